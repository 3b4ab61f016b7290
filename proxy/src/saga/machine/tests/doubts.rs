//! One saga, one story: what is done when nobody knows, and when nobody says.

use std::time::Duration;

use saga_config::saga::{InDoubt, Retry};
use serde_json::json;

use super::{
    build::{MAX_EXECUTION, RETRY, check, saga, step},
    hand::Hand,
    world::reply,
};
use crate::{
    saga::turn::{Answer, Then, UndoKnows},
    store::journal::SagaState,
};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn an_unknown_outcome_is_sent_again_with_the_same_key_as_a_start() {
    let mut hand = Hand::start(saga(vec![step("a")]));
    let first = hand.sent().clone();
    hand.unknown("a");
    assert_eq!(hand.entries(), ["doubted"]);
    hand.sleep();
    assert_eq!(hand.entries(), ["sending"]);
    let second = hand.sent();
    assert_eq!((&second.key, &second.request, second.attempt), (&first.key, &first.request, 2));
    assert_eq!(first.key, "07070707070707070707070707070707-0001020304050607-a-do-1");
}

#[test]
fn a_refusal_proves_nothing_after_a_send_without_an_answer_unless_it_is_of_the_only_send() {
    let mut hand = Hand::start(saga(vec![step("a")]));
    hand.unknown("a").sleep().replied("a", 409, json!({}));
    assert_eq!(hand.entries(), ["doubted"], "the first may have been carried out");
    hand.sleep().answer("a", Answer::Replied(reply(409, json!({}), true)));
    assert_eq!(hand.entries(), ["refused", "compensating", "ended"]);
}

#[test]
fn a_refusal_that_proves_nothing_is_not_asked_for_again_once_the_saga_turned_back() {
    let mut hand = Hand::start(saga(vec![step("a")]));
    hand.unknown("a").sleep().unknown("a").sleep().unknown("a");
    assert!(hand.sent().resolve);
    hand.replied("a", 409, json!({}));
    assert_eq!(hand.entries(), ["doubted", "quarantined"]);
}

#[test]
fn what_was_not_sent_costs_no_start_and_leaves_no_doubt() {
    let mut hand = Hand::start(saga(vec![step("a")]));
    for _ in 0..20 {
        hand.not_sent("a").sleep();
        assert_eq!(hand.entries(), ["sending"]);
    }
    assert_eq!(hand.sent().first_sent, Some(hand.now), "it was never sent before");
    hand.replied("a", 409, json!({}));
    assert_eq!(hand.entries(), ["refused", "compensating", "ended"], "the first that was sent is the first");
}

#[test]
fn what_is_never_sent_fails_in_the_end_without_a_doubt() {
    let retry = Retry { within: Some(Duration::from_secs(60)), ..RETRY };
    let mut hand = Hand::start(saga(vec![step("a").retry(retry)]));
    for _ in 0..200 {
        hand.not_sent("a");
        if hand.machine.state() != SagaState::Running {
            assert_eq!(hand.entries(), ["refused", "compensating", "ended"]);
            return;
        }
        hand.sleep();
    }
    panic!("the time for it has passed");
}

#[test]
fn not_an_answer_yet_is_asked_again_and_is_no_start() {
    let mut hand = Hand::start(saga(vec![step("a")]));
    for _ in 0..10 {
        hand.not_yet("a");
        assert_eq!(hand.entries(), ["waiting"]);
        hand.sleep();
        assert_eq!(hand.entries(), ["asking"]);
    }
    assert_eq!(hand.machine.view()[0].starts, 1);
    assert_eq!(hand.sent().attempt, 11);
    hand.replied("a", 422, json!({}));
    assert_eq!(hand.entries(), ["refused", "compensating", "ended"], "there was one start");
}

#[test]
fn a_parked_saga_asks_again_and_one_whose_driver_was_lost_asking_starts_again() {
    let mut hand = Hand::start(saga(vec![step("a")]));
    hand.not_yet("a").lose(HOUR);
    assert_eq!(hand.entries(), ["asking"]);
    hand.lose(SECOND);
    assert_eq!(hand.entries(), ["sending"]);
    assert_eq!(hand.machine.view()[0].starts, 2);
}

#[test]
fn a_step_that_crashes_its_driver_is_not_retried_for_ever() {
    let mut hand = Hand::start(saga(vec![step("a")]));
    for start in 2..=3 {
        hand.lose(SECOND);
        assert_eq!((hand.entries(), hand.sent().attempt), (vec!["sending"], start));
    }
    hand.lose(SECOND);
    assert_eq!(hand.entries(), ["doubted", "compensating", "sending"], "the budget is spent, and the doubt is resolved");
    assert!(hand.sent().resolve);
}

#[test]
fn an_undo_never_overtakes_its_forward_call() {
    let mut hand = Hand::start(saga(vec![step("a"), step("b")]));
    hand.now = hand.now.plus(SECOND * 5);
    hand.unknown("a");
    let in_doubt_since = hand.now;
    hand.sleep().done("a").replied("b", 409, json!({}));
    assert_eq!((hand.entries(), hand.sends()), (vec!["refused", "compensating"], vec![]));
    assert_eq!(hand.turn.then, Then::Sleep { until: in_doubt_since.plus(MAX_EXECUTION) });
    hand.sleep();
    assert_eq!(hand.sends(), ["undo a"]);
    let facts = hand.sent().undo.clone().unwrap();
    assert_eq!((facts.knows, facts.first_sent), (UndoKnows::Done, super::build::BEGIN));
}

#[test]
fn after_turning_back_a_forward_call_only_asks() {
    let mut definition = saga(vec![step("a")]);
    definition.deadline = Some(SECOND * 30);
    let mut hand = Hand::start(definition);
    hand.after(SECOND * 30).unknown("a").sleep();
    assert_eq!(hand.sends(), ["do a"]);
    assert!(hand.sent().resolve);
    hand.answer("a", Answer::Sealed);
    assert_eq!(hand.entries(), ["refused", "ended"]);
}

#[test]
fn doubt_is_resolved_on_the_compensations_budget_and_else_an_operator_must_look() {
    let undo_retry = Retry { max: None, within: Some(HOUR), initial: SECOND, max_delay: SECOND * 60 };
    let mut hand = Hand::start(saga(vec![step("a").undo(|undo| undo.call.retry = undo_retry)]));
    hand.unknown("a").sleep().unknown("a").sleep().unknown("a");
    assert_eq!(hand.entries(), ["doubted", "compensating", "sending"]);
    let turned = hand.now;
    while hand.machine.state() == SagaState::Compensating {
        hand.unknown("a");
        if hand.machine.state() == SagaState::Compensating {
            hand.sleep();
        }
    }
    assert!(turned.until(hand.now) > HOUR / 2 && turned.until(hand.now) <= HOUR);
    assert_eq!(hand.entries(), ["doubted", "quarantined"]);
    assert!(hand.machine.reason().unwrap().contains("step `a`"), "{:?}", hand.machine.reason());
    assert_eq!(hand.end().status, 500);
}

#[test]
fn a_pivot_in_doubt_is_resolved_before_anything_is_undone() {
    let mut definition = saga(vec![step("a"), step("p").pivot(), step("z").past_pivot()]);
    definition.deadline = Some(SECOND * 30);
    let at_doubt = || {
        let mut hand = Hand::start(definition.clone());
        hand.done("a").after(SECOND * 30);
        assert_eq!((hand.entries(), hand.sends()), (vec![], vec![]), "the pivot is under way");
        hand.unknown("p").sleep();
        assert_eq!(hand.sends(), ["do p"]);
        assert!(hand.sent().resolve);
        hand
    };
    let mut hand = at_doubt();
    hand.answer("p", Answer::Sealed);
    assert_eq!((hand.entries(), hand.sends()), (vec!["refused", "compensating", "sending"], vec!["undo a".to_owned()]));
    let mut hand = at_doubt();
    hand.done("p");
    assert_eq!((hand.entries(), hand.sends()), (vec!["done", "sending"], vec!["do z".to_owned()]), "the deadline is void");
    assert!(!hand.sent().resolve);
    hand.after(HOUR * 20).done("z");
    assert_eq!(hand.machine.state(), SagaState::Completed);
}

#[test]
fn past_the_pivot_a_refusal_is_quarantine_and_never_turns_back() {
    let mut hand = Hand::start(saga(vec![step("a"), step("p").pivot(), step("z").past_pivot()]));
    hand.done("a").done("p").replied("z", 409, json!({}));
    assert_eq!(hand.entries(), ["refused", "quarantined"]);
    assert_eq!(hand.states()[2], ("failed", "none"));
}

#[test]
fn a_pivot_whose_budget_is_spent_in_doubt_waits_for_an_operator() {
    let mut hand = Hand::start(saga(vec![step("a"), step("p").pivot()]));
    hand.done("a").unknown("p").sleep().unknown("p").sleep().unknown("p");
    assert_eq!(hand.entries(), ["doubted", "quarantined"]);
}

#[test]
fn a_doubt_that_does_not_matter_is_left_and_resolved_only_when_all_is_undone() {
    let mut hand = Hand::start(saga(vec![step("a").continues(), step("b")]));
    hand.unknown("a").sleep().unknown("a").sleep().unknown("a");
    assert_eq!((hand.entries(), hand.sends()), (vec!["doubted", "sending"], vec!["do b".to_owned()]));
    assert_eq!(hand.states()[0].0, "maybe_done");
    hand.replied("b", 409, json!({}));
    assert_eq!((hand.entries(), hand.sends()), (vec!["refused", "compensating", "sending"], vec!["do a".to_owned()]));
    assert!(hand.sent().resolve);
    hand.done("a").sleep();
    assert_eq!(hand.sends(), ["undo a"]);
}

#[test]
fn blindly_undone_the_undo_waits_until_the_call_cannot_act_any_more_and_may_find_nothing() {
    let mut hand = Hand::start(saga(vec![step("a").in_doubt(InDoubt::Compensate)]));
    hand.unknown("a");
    assert_eq!((hand.entries(), hand.sends()), (vec!["given_up", "compensating"], vec![]));
    assert_eq!(hand.turn.then, Then::Sleep { until: hand.now.plus(MAX_EXECUTION) });
    hand.sleep();
    assert_eq!(hand.sent().undo.as_ref().unwrap().knows, UndoKnows::Unknown);
    hand.replied("undo a", 404, json!({}));
    assert_eq!(hand.entries(), ["undone", "ended"]);
}

#[test]
fn through_the_barrier_the_participant_may_say_that_there_is_nothing_to_undo() {
    let mut hand = Hand::start(saga(vec![step("a").in_doubt(InDoubt::Barrier)]));
    hand.unknown("a").sleep().answer("undo a", Answer::NothingToUndo);
    assert_eq!(hand.entries(), ["undone", "ended"]);
}

#[test]
fn a_probe_decides_and_its_no_counts_only_after_a_time() {
    let mut hand = Hand::start(saga(vec![step("a").checked(), step("b")]));
    hand.unknown("a");
    assert_eq!(hand.turn.then, Then::Sleep { until: hand.now.plus(MAX_EXECUTION) });
    hand.sleep();
    assert_eq!(hand.sends(), ["check do a"]);
    hand.found("a", json!([{"id": "there"}]));
    assert_eq!((hand.entries(), hand.sends()), (vec!["done", "sending"], vec!["do b".to_owned()]));
    assert_eq!(hand.machine.view()[0].output.as_ref().unwrap()["id"], "there");

    let mut hand = Hand::start(saga(vec![step("a").checked()]));
    hand.unknown("a").sleep().found("a", json!([]));
    assert_eq!(hand.entries(), ["not_done", "sending"]);
    hand.replied("a", 409, json!({}));
    assert_eq!(hand.entries(), ["refused", "compensating", "ended"], "nothing is in doubt before this start");

    let mut hand = Hand::start(saga(vec![step("a").checked(), step("b")]));
    hand.unknown("a").sleep().found("a", json!([])).done("a").replied("b", 409, json!({}));
    assert_eq!(hand.sends(), ["undo a"], "nor is anything on its way that the undo could overtake");
}

#[test]
fn a_probe_that_an_operator_hurries_may_find_what_was_done_but_not_that_nothing_was() {
    let retry = || crate::saga::entry::Act::Retry { step: Some("a".parse().unwrap()), run_again: false };
    let mut hand = Hand::start(saga(vec![step("a").checked()]));
    hand.unknown("a");
    let doubted_at = hand.now;
    hand.obeys(retry());
    assert_eq!(hand.sends(), ["check do a"]);
    hand.found("a", json!([]));
    assert_eq!(hand.entries(), ["doubted"]);
    assert_eq!(hand.turn.then, Then::Sleep { until: doubted_at.plus(MAX_EXECUTION) });
    hand.obeys(retry()).found("a", json!([{"id": 1}]));
    assert_eq!(hand.entries(), ["done", "ended"]);
}

#[test]
fn a_probe_that_cannot_tell_is_asked_again_within_a_bound() {
    let mut hand = Hand::start(saga(vec![step("a").checked()]));
    hand.unknown("a");
    let mut probes = 0;
    while hand.machine.state() == SagaState::Running {
        hand.sleep().found("a", json!(null));
        probes += 1;
    }
    assert_eq!((probes, hand.entries()), (3, vec!["doubted", "compensating"]));
    assert_eq!(hand.sends(), ["check do a"], "on the compensation's budget");
}

#[test]
fn a_manual_step_in_doubt_waits_for_an_operator() {
    let mut hand = Hand::start(saga(vec![step("a").in_doubt(InDoubt::Manual)]));
    hand.unknown("a");
    assert_eq!(hand.entries(), ["doubted", "quarantined"]);
    let mut hand = Hand::start(saga(vec![step("a").in_doubt(InDoubt::Manual)]));
    hand.lose(SECOND);
    assert_eq!(hand.entries(), ["doubted", "quarantined"]);
}

#[test]
fn what_must_not_be_is_never_a_failure() {
    for answer in [Answer::Wrong { reason: "key-reused".to_owned() }, Answer::Sealed, Answer::NothingToUndo] {
        let mut hand = Hand::start(saga(vec![step("a")]));
        hand.answer("a", answer);
        assert_eq!(hand.entries(), ["doubted", "quarantined"]);
    }
    for answer in [Answer::Wrong { reason: "key-reused".to_owned() }, Answer::Sealed] {
        let mut hand = Hand::start(saga(vec![step("a"), step("b")]));
        hand.done("a").replied("b", 409, json!({})).answer("undo a", answer);
        assert_eq!(hand.entries(), ["undo_failed", "quarantined"]);
    }
}

#[test]
fn a_refrain_that_does_not_trust_this_one_is_asked_seldom() {
    let mut hand = Hand::start(saga(vec![step("a")]));
    hand.answer("a", Answer::Untrusted);
    let Then::Sleep { until } = hand.turn.then else { panic!("{:?}", hand.turn.then) };
    assert!(hand.now.until(until) >= SECOND * 60);
}

#[test]
fn an_upstream_that_says_when_to_come_back_is_heeded() {
    let mut hand = Hand::start(saga(vec![step("a")]));
    let later = crate::saga::turn::Reply { retry_after: Some(SECOND * 7), ..reply(429, json!({}), false) };
    hand.answer("a", Answer::Replied(later));
    let Then::Sleep { until } = hand.turn.then else { panic!("{:?}", hand.turn.then) };
    assert_eq!(hand.now.until(until), SECOND * 7);
}

#[test]
fn a_participant_that_may_have_forgotten_the_key_is_not_sent_to_again() {
    let mut hand = Hand::start(saga(vec![step("a")]));
    hand.unknown("a").lose(HOUR * 25);
    assert_eq!(hand.entries(), ["doubted", "compensating", "doubted", "quarantined"], "not even to ask");
    let patient = Retry { within: Some(HOUR * 1000), ..RETRY };
    let mut hand = Hand::start(saga(vec![step("a").retry(patient)]));
    hand.unknown("a").lose(HOUR * 25);
    assert_eq!(hand.entries(), ["doubted", "quarantined"]);
    let mut hand = Hand::start(saga(vec![step("a").retry(patient)]));
    hand.lose(HOUR * 25);
    assert_eq!(hand.entries(), ["doubted", "quarantined"], "nor where its driver was lost");
    let mut hand = Hand::start(saga(vec![step("a").retry(patient).in_doubt(check("/a"))]));
    hand.not_yet("a").lose(HOUR * 25);
    assert_eq!(hand.entries(), ["doubted"], "a probe may ask");
    hand.sleep();
    assert_eq!(hand.sends(), ["check do a"]);
    let mut hand = Hand::start(saga(vec![step("a").retry(patient)]));
    let short = crate::saga::turn::Reply { remembered_for: Some(SECOND * 60), ..reply(500, json!({}), false) };
    hand.answer("a", Answer::Replied(short)).lose(SECOND * 61);
    assert_eq!(hand.entries(), ["doubted", "quarantined"], "what the participant says counts");
    let mut hand = Hand::start(saga(vec![step("a").retry(patient)]));
    let long = crate::saga::turn::Reply { remembered_for: Some(HOUR * 100), ..reply(500, json!({}), false) };
    hand.answer("a", Answer::Replied(long)).lose(HOUR * 25);
    assert_eq!(hand.sends(), ["do a"]);
}
