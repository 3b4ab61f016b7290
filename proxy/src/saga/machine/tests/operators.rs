//! What operators can do, and what it does.

use std::time::Duration;

use saga_config::saga::InDoubt;
use serde_json::{Map, json};

use super::{
    build::{saga, step},
    hand::Hand,
};
use crate::{
    saga::{
        entry::{Act, What},
        turn::{Answer, Event, Then},
    },
    store::journal::SagaState,
};

const SECOND: Duration = Duration::from_secs(1);

fn retry(step: &str) -> Act {
    Act::Retry { step: Some(step.parse().unwrap()), run_again: false }
}

fn run_again(step: &str) -> Act {
    Act::Retry { step: Some(step.parse().unwrap()), run_again: true }
}

fn retry_all() -> Act {
    Act::Retry { step: None, run_again: false }
}

fn done(step: &str) -> Act {
    Act::ResolveDone { step: step.parse().unwrap(), output: Map::from_iter([("id".to_owned(), json!("told"))]) }
}

fn not_done(step: &str) -> Act {
    Act::ResolveNotDone { step: step.parse().unwrap() }
}

fn undone(step: &str) -> Act {
    Act::ResolveUndone { step: step.parse().unwrap() }
}

fn skip(step: &str) -> Act {
    Act::Skip { step: step.parse().unwrap() }
}

/// Nobody knows what became of `b`, and an operator decides.
fn in_doubt() -> Hand {
    let mut hand = Hand::start(saga(vec![step("a"), step("b").in_doubt(InDoubt::Manual).undo_from_answer(), step("c")]));
    hand.done("a").unknown("b");
    assert_eq!(hand.machine.state(), SagaState::Quarantined);
    hand
}

#[test]
fn a_step_that_an_operator_says_was_done_is_done_and_can_be_undone() {
    let mut hand = in_doubt();
    hand.obeys(done("b"));
    assert_eq!((hand.entries(), hand.sends()), (vec!["operator", "done", "sending"], vec!["do c".to_owned()]));
    hand.replied("c", 409, json!({})).sleep();
    assert_eq!(hand.sent().request.target, "/b/told");
}

#[test]
fn what_an_operator_says_must_hold_what_is_needed() {
    let mut hand = in_doubt();
    let nothing = Act::ResolveDone { step: "b".parse().unwrap(), output: Map::new() };
    assert!(hand.refuses(nothing).contains("`id`"));
    let more = json!({"id": 1, "other": 2}).as_object().unwrap().clone();
    assert!(hand.refuses(Act::ResolveDone { step: "b".parse().unwrap(), output: more }).contains("`other`"));
    let wrong = json!({"id": [1]}).as_object().unwrap().clone();
    hand.command(Act::ResolveDone { step: "b".parse().unwrap(), output: wrong });
    assert_eq!(
        (hand.entries(), hand.machine.state()),
        (vec!["operator"], SagaState::Quarantined),
        "its undo cannot be made of this"
    );
}

#[test]
fn a_step_that_an_operator_says_was_not_done_has_failed() {
    let mut hand = in_doubt();
    hand.obeys(not_done("b"));
    assert_eq!(hand.entries(), ["operator", "refused", "compensating", "sending"]);
    assert_eq!(hand.sends(), ["undo a"]);
}

#[test]
fn a_retry_sends_again_with_the_same_key_and_run_again_with_another() {
    let mut hand = in_doubt();
    let first = hand.journal.iter().rev().find_map(|entry| match &entry.what {
        What::Sending { of, .. } => Some(of.generation),
        _ => None,
    });
    assert_eq!(first, Some(1));
    hand.obeys(retry("b"));
    assert!(hand.sent().key.ends_with("-b-do-1"), "{}", hand.sent().key);
    let mut hand = in_doubt();
    hand.obeys(run_again("b"));
    assert_eq!(hand.entries(), ["operator", "sending"]);
    assert!(hand.sent().key.ends_with("-b-do-2"), "{}", hand.sent().key);
    hand.done("b").replied("c", 409, json!({}));
    let undo = hand.sent();
    assert!(undo.undo.as_ref().unwrap().of.ends_with("-b-do-2"));
    assert!(undo.key.ends_with("-b-undo-1"));
}

#[test]
fn the_key_of_a_call_never_changes_but_for_run_again() {
    let mut hand = Hand::start(saga(vec![step("a"), step("b")]));
    hand.done("a").replied("b", 409, json!({})).replied("undo a", 409, json!({}));
    assert_eq!(hand.machine.state(), SagaState::Quarantined);
    hand.obeys(retry("a"));
    assert!(hand.sent().key.ends_with("-a-undo-1"));
    hand.replied("undo a", 409, json!({})).obeys(run_again("a"));
    let sent = hand.sent();
    assert!(sent.key.ends_with("-a-undo-2"));
    assert!(sent.request.body.as_ref().unwrap().contains("-a-undo-2"), "also where it stands in the request");
    hand.lose(SECOND);
    assert!(hand.sent().request.body.as_ref().unwrap().contains("-a-undo-2"), "and after a take-over");
}

#[test]
fn an_undo_that_was_made_by_hand_is_made() {
    let mut hand = Hand::start(saga(vec![step("a"), step("b"), step("c")]));
    hand.done("a").done("b").replied("c", 409, json!({})).replied("undo b", 409, json!({}));
    hand.obeys(undone("b"));
    assert_eq!((hand.entries(), hand.sends()), (vec!["operator", "undone", "sending"], vec!["undo a".to_owned()]));
}

#[test]
fn an_operator_can_turn_a_saga_back_but_not_past_its_pivot_nor_while_the_pivot_is_in_doubt() {
    let pivoted = || saga(vec![step("a"), step("p").pivot().in_doubt(InDoubt::Manual), step("z").past_pivot()]);
    let mut hand = Hand::start(pivoted());
    hand.done("a").unknown("p");
    assert!(hand.refuses(Act::Compensate).contains("pivot"));
    let mut hand = Hand::start(pivoted());
    hand.done("a").done("p");
    assert!(hand.refuses(Act::Compensate).contains("past its pivot"));
    let mut hand = in_doubt();
    hand.obeys(Act::Compensate);
    assert_eq!(hand.entries(), ["operator", "compensating", "quarantined"], "what is in doubt still needs an operator");
    hand.obeys(not_done("b"));
    assert_eq!(hand.sends(), ["undo a"]);
    assert!(hand.refuses(Act::Compensate).contains("already"));
    let mut hand = Hand::start(saga(vec![step("a"), step("b")]));
    hand.done("a").obeys(Act::Compensate);
    assert_eq!((hand.entries(), hand.sends()), (vec!["operator", "compensating"], vec![]), "what is under way is answered first");
}

#[test]
fn past_the_pivot_a_failed_step_can_be_retried_run_again_skipped_or_done_by_hand() {
    let failed = || {
        let mut hand = Hand::start(saga(vec![step("p").pivot(), step("y").past_pivot(), step("z").past_pivot()]));
        hand.done("p").replied("y", 409, json!({}));
        assert_eq!(hand.machine.state(), SagaState::Quarantined);
        hand
    };
    for (act, sends) in
        [(retry("y"), "do y"), (retry_all(), "do y"), (run_again("y"), "do y"), (skip("y"), "do z"), (done("y"), "do z")]
    {
        let mut hand = failed();
        hand.obeys(act.clone());
        assert_eq!((hand.machine.state(), hand.sends()), (SagaState::Running, vec![sends.to_owned()]), "{act:?}");
    }
}

#[test]
fn a_step_that_has_not_begun_can_be_skipped() {
    let mut hand = Hand::start(saga(vec![step("a"), step("b"), step("c")]));
    assert!(hand.refuses(skip("a")).contains("under way"));
    hand.obeys(skip("b"));
    hand.done("a");
    assert_eq!(hand.sends(), ["do c"]);
    assert!(hand.refuses(skip("a")).contains("begun"));
}

#[test]
fn a_paused_saga_answers_what_is_under_way_and_sends_nothing() {
    let mut hand = Hand::start(saga(vec![step("a"), step("b")]));
    hand.obeys(Act::Pause);
    assert_eq!(hand.turn.then, Then::Await { tick_at: None });
    hand.done("a");
    assert_eq!((hand.entries(), hand.sends(), &hand.turn.then), (vec!["done"], vec![], &Then::Rest { answer: None }));
    hand.after(SECOND * 3600);
    assert_eq!(hand.sends(), Vec::<String>::new());
    assert!(hand.refuses(Act::Pause).contains("already"));
    hand.lose(SECOND);
    assert_eq!((hand.entries(), hand.machine.is_paused()), (vec![], true));
    hand.obeys(Act::Resume);
    assert_eq!(hand.sends(), ["do b"]);
    assert!(hand.refuses(Act::Resume).contains("not paused"));
}

#[test]
fn of_a_paused_saga_that_lost_its_driver_what_was_under_way_is_in_doubt_and_can_be_resolved() {
    let mut hand = Hand::start(saga(vec![step("a"), step("b")]));
    hand.obeys(Act::Pause).lose(SECOND);
    assert_eq!((hand.entries(), hand.sends()), (vec!["doubted"], vec![]));
    hand.obeys(done("a"));
    assert_eq!(hand.sends(), Vec::<String>::new());
    hand.obeys(Act::Resume);
    assert_eq!(hand.sends(), ["do b"]);
}

#[test]
fn a_saga_whose_last_answer_comes_while_it_is_paused_ends() {
    let mut hand = Hand::start(saga(vec![step("a")]));
    hand.obeys(Act::Pause).done("a");
    assert_eq!(hand.machine.state(), SagaState::Completed);
}

#[test]
fn a_command_is_taken_up_once() {
    let mut hand = in_doubt();
    let command = || Event::Command { act: retry("b"), reason: "again".to_owned(), nonce: "one".to_owned() };
    hand.on(command());
    assert_eq!(hand.sends(), ["do b"]);
    hand.unknown("b").on(command());
    assert_eq!((hand.entries(), hand.sends()), (vec![], vec![]));
}

#[test]
fn what_is_under_way_is_not_resolved_from_outside() {
    let mut hand = Hand::start(saga(vec![step("a")]));
    for act in [done("a"), not_done("a"), retry("a"), run_again("a")] {
        assert!(hand.refuses(act).contains("under way"));
    }
    assert!(hand.refuses(undone("a")).contains("under way"));
    assert!(hand.refuses(retry_all()).contains("nothing waits"));
    assert!(hand.refuses(skip("nobody")).contains("no step"));
    assert!(hand.refuses(Act::Retry { step: None, run_again: true }).contains("which step"));
}

#[test]
fn a_probe_that_is_under_way_is_not_overtaken_by_an_operator() {
    let mut hand = Hand::start(saga(vec![step("a").checked()]));
    hand.unknown("a").sleep();
    assert!(hand.refuses(not_done("a")).contains("under way"));
    let of = hand.which("a");
    hand.on(Event::Answered { of, answer: Answer::Sealed });
    assert_eq!(hand.entries(), Vec::<&str>::new(), "an answer is no finding");
    hand.found("a", json!([{"id": 1}]));
    assert_eq!(hand.machine.state(), SagaState::Completed);
}

#[test]
fn a_saga_that_has_ended_takes_no_commands() {
    let mut hand = Hand::start(saga(vec![step("a")]));
    hand.done("a");
    assert!(hand.machine.can(&Act::Pause).is_err());
    hand.command(Act::Pause);
    assert_eq!(hand.entries(), Vec::<&str>::new());
    assert!(matches!(hand.turn.then, Then::End { .. }));
}
