//! One saga, one story: what the design says, row by row.

use std::time::Duration;

use saga_config::saga::{OnExhausted, Outcome, Reply as Response, Retry};
use serde_json::json;

use super::{
    build::{RETRY, call, saga, says, shared, step, value},
    hand::Hand,
    world::{Choices, End, Kind, Rules, World},
};
use crate::{
    saga::{
        entry::What,
        turn::{Answer, Then},
    },
    store::journal::SagaState,
};

/// Nothing goes wrong.
struct Good;

impl Choices for Good {
    fn choose(&mut self, _: usize) -> usize {
        0
    }
}

const FINE: Rules =
    Rules { kind: Kind::Refrain, crashes: false, undo_may_be_refused: false, odd: false, meddles: false, parks: false };
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn a_list_of_n_steps_takes_one_more_appends_than_steps() {
    let mut good = Good;
    let mut world = World::new(shared(saga(vec![step("a"), step("b"), step("c")])), FINE, &mut good);
    assert_eq!(world.run(), End::Completed);
    assert_eq!(world.appends, 4);
}

#[test]
fn done_and_the_next_intent_are_one_append() {
    let mut hand = Hand::start(saga(vec![step("a"), step("b")]));
    assert_eq!((hand.entries(), hand.sends()), (vec!["sending"], vec!["do a".to_owned()]));
    hand.done("a");
    assert_eq!((hand.entries(), hand.sends()), (vec!["done", "sending"], vec!["do b".to_owned()]));
    hand.done("b");
    assert_eq!(hand.entries(), ["done", "ended"]);
    assert_eq!((hand.end().status, &hand.end().body), (200, &None));
}

#[test]
fn undos_run_in_reverse_order() {
    let mut hand = Hand::start(saga(vec![step("a"), step("b"), step("c")]));
    hand.done("a").done("b").replied("c", 409, json!({}));
    assert_eq!(hand.entries(), ["refused", "compensating", "sending"]);
    assert_eq!(hand.sends(), ["undo b"]);
    assert_eq!(hand.machine.state(), SagaState::Compensating);
    hand.replied("undo b", 204, json!(null));
    assert_eq!(hand.sends(), ["undo a"]);
    hand.replied("undo a", 204, json!(null));
    assert_eq!(hand.entries(), ["undone", "ended"]);
    assert_eq!(hand.states(), [("done", "undone"), ("done", "undone"), ("failed", "none")]);
    let answer = hand.end();
    assert!(answer.status == 409 && answer.is_problem, "{answer:?}");
}

#[test]
fn an_undo_is_frozen_before_it_can_be_needed() {
    let mut hand = Hand::start(saga(vec![step("a"), step("b").undo_from_answer(), step("c")]));
    let frozen = |what: &What| match what {
        What::Sending { undo, .. } | What::Done { undo, .. } => undo.as_ref().map(|undo| undo.target.clone()),
        _ => None,
    };
    assert_eq!(frozen(&hand.turn.entries[0].what).as_deref(), Some("/a"), "with the intent");
    hand.done("a");
    assert_eq!(hand.turn.entries.iter().filter_map(|entry| frozen(&entry.what)).count(), 0, "not known yet");
    hand.done("b");
    assert_eq!(frozen(&hand.turn.entries[0].what).as_deref(), Some("/b/b-1"), "with the success");
    hand.replied("c", 409, json!({}));
    assert_eq!((hand.sends(), hand.sent().request.target.as_str()), (vec!["undo b".to_owned()], "/b/b-1"));
}

#[test]
fn at_the_deadline_nothing_new_starts_and_what_is_under_way_is_answered_first() {
    let mut definition = saga(vec![step("a"), step("b"), step("c")]);
    definition.deadline = Some(SECOND * 30);
    let mut hand = Hand::start(definition);
    hand.done("a");
    assert_eq!(hand.turn.then, Then::Await { tick_at: Some(super::build::BEGIN.plus(SECOND * 30)) });
    hand.sleep();
    assert_eq!((hand.entries(), hand.sends()), (vec!["compensating"], vec![]));
    hand.done("b");
    assert_eq!((hand.entries(), hand.sends()), (vec!["done", "sending"], vec!["undo b".to_owned()]));
}

#[test]
fn a_pivot_that_is_refused_turns_back() {
    let mut hand = Hand::start(saga(vec![step("a"), step("p").pivot()]));
    hand.done("a").replied("p", 402, json!({}));
    assert_eq!(hand.sends(), ["undo a"]);
}

#[test]
fn a_failure_that_does_not_matter_lets_the_saga_go_on() {
    let mut hand = Hand::start(saga(vec![step("a").continues(), step("b").when("has(steps.a.id)"), step("c")]));
    hand.replied("a", 409, json!({}));
    assert_eq!((hand.entries(), hand.sends()), (vec!["refused", "skipped", "sending"], vec!["do c".to_owned()]));
    hand.done("c");
    assert_eq!(hand.machine.state(), SagaState::Completed);
}

#[test]
fn decisions_are_taken_once() {
    let definition = || {
        saga(vec![
            step("v").set(json!({"x": "${input.yes ? 1 : 2}"})),
            step("a").when("input.no"),
            step("b").when("steps.v.x == 1"),
        ])
    };
    let mut hand = Hand::start(definition());
    assert_eq!(hand.entries(), ["set", "skipped", "sending"]);
    hand.not_sent("b").lose(SECOND);
    assert_eq!(hand.entries(), ["sending"], "nothing is decided again");
    let mut other = definition();
    other.steps[2].when = Some(says("steps.v.x == 2"));
    let mut again = super::super::Machine::replay(super::build::ID, shared(other), &hand.journal).unwrap();
    let turn = again.on(crate::saga::turn::Event::Taken, hand.now, &super::world::Facts);
    assert_eq!(super::hand::kind(&turn.entries[0].what), "sending", "not even where it would be decided otherwise");

    let manual = || step("b").when("input.yes").in_doubt(saga_config::saga::InDoubt::Manual);
    let mut hand = Hand::start(saga(vec![manual()]));
    hand.unknown("b");
    let mut other = saga(vec![manual()]);
    other.steps[0].when = Some(says("input.no"));
    let mut again = super::super::Machine::replay(super::build::ID, shared(other), &hand.journal).unwrap();
    let act = crate::saga::entry::Act::Retry { step: Some("b".parse().unwrap()), run_again: true };
    let command = crate::saga::turn::Event::Command { act, reason: String::new(), nonce: "one".to_owned() };
    let turn = again.on(command, hand.now, &super::world::Facts);
    assert_eq!(super::hand::kind(&turn.entries[1].what), "sending", "nor when it runs again");
}

#[test]
fn a_condition_or_a_value_that_cannot_be_computed_fails_the_step_and_nothing_is_sent() {
    for definition in [
        saga(vec![step("a").when("input.nothing == 1")]),
        saga(vec![step("a").set(json!({"x": "${input.nothing}"}))]),
        saga(vec![step("a").change(|step| step.call = call("svc POST /a/${input.nothing}"))]),
        saga(vec![step("a").undo(|undo| undo.call = call("svc POST /a/${input.nothing}"))]),
    ] {
        let hand = Hand::start(definition);
        assert_eq!((hand.entries(), hand.sends()), (vec!["refused", "compensating", "ended"], vec![]));
        assert!(hand.machine.reason().unwrap().contains("nothing"), "{:?}", hand.machine.reason());
    }
}

#[test]
fn an_answer_without_what_is_needed_fails_the_step_which_is_undone_all_the_same() {
    let mut hand = Hand::start(saga(vec![step("a")]));
    hand.replied("a", 201, json!({"secret": "s3cret"}));
    assert_eq!((hand.entries(), hand.sends()), (vec!["done", "compensating", "sending"], vec!["undo a".to_owned()]));
    let reason = hand.machine.reason().unwrap();
    assert!(reason.contains("output `id`") && !reason.contains("s3cret"), "{reason}");
}

#[test]
fn an_undo_that_needs_what_the_answer_did_not_give_waits_for_an_operator() {
    let mut hand = Hand::start(saga(vec![step("a").undo_from_answer()]));
    hand.replied("a", 201, json!({}));
    assert_eq!(hand.entries(), ["done", "compensating", "undo_failed", "quarantined"]);
}

#[test]
fn a_step_whose_undo_cannot_be_made_of_its_answer_has_failed_and_the_saga_does_not_go_on() {
    let mut hand = Hand::start(saga(vec![step("a").undo_from_answer(), step("b")]));
    hand.replied("a", 201, json!({"id": ["no", "part", "of", "a", "path"]}));
    assert_eq!((hand.entries(), hand.sends()), (vec!["done", "compensating", "undo_failed", "quarantined"], vec![]));
}

#[test]
fn an_outcome_without_a_value_is_no_yes_and_no_no() {
    let outcome = Outcome { failure: Some(says("response.body.state == 'DENIED'")), ..Outcome::default() };
    let mut hand = Hand::start(saga(vec![step("a").outcome(outcome)]));
    hand.replied("a", 201, json!({"id": 1}));
    assert_eq!((hand.entries(), hand.sends()), (vec!["done", "compensating", "sending"], vec!["undo a".to_owned()]));
}

#[test]
fn an_answer_that_was_not_kept_is_done_where_nobody_needs_it() {
    let mut hand = Hand::start(saga(vec![step("a").without_output()]));
    hand.answer("a", Answer::NotKept);
    assert_eq!(hand.entries(), ["done", "ended"]);
    let mut hand = Hand::start(saga(vec![step("a")]));
    hand.answer("a", Answer::NotKept);
    assert_eq!(hand.entries(), ["doubted", "quarantined"]);
    let mut hand = Hand::start(saga(vec![step("a").checked()]));
    hand.answer("a", Answer::NotKept);
    assert_eq!(hand.sends(), ["check do a"]);
    let mut hand = Hand::start(saga(vec![step("a"), step("b")]));
    hand.done("a").replied("b", 409, json!({})).answer("undo a", Answer::NotKept);
    assert_eq!(hand.entries(), ["undone", "ended"]);
}

#[test]
fn an_undo_that_finds_nothing_is_no_success_for_a_step_that_was_done() {
    let mut hand = Hand::start(saga(vec![step("a"), step("b")]));
    hand.done("a").replied("b", 409, json!({})).replied("undo a", 404, json!({}));
    assert_eq!(hand.entries(), ["undo_failed", "quarantined"]);
    let gone = Outcome { success: Some(says("response.status in [204, 404]")), ..Outcome::default() };
    let mut hand = Hand::start(saga(vec![step("a").undo(|undo| undo.call.outcome = gone), step("b")]));
    hand.done("a").replied("b", 409, json!({})).replied("undo a", 404, json!({}));
    assert_eq!(hand.entries(), ["undone", "ended"], "unless its outcome says so");
}

#[test]
fn a_failed_undo_never_stops_independent_undos() {
    let steps = vec![step("a"), step("b").after(&["a"]), step("c").after(&["a"]), step("d").after(&["b", "c"])];
    let mut hand = Hand::start(saga(steps));
    hand.done("a").done("b").done("c").replied("d", 409, json!({}));
    assert_eq!(hand.sends(), ["undo c", "undo b"]);
    hand.replied("undo c", 409, json!({}));
    assert_eq!((hand.entries(), hand.machine.state()), (vec!["undo_failed"], SagaState::Compensating));
    hand.unknown("undo b").sleep();
    assert_eq!(hand.sends(), ["undo b"]);
    hand.replied("undo b", 204, json!(null));
    assert_eq!(hand.entries(), ["undone", "quarantined"], "but what depends on it is not undone");
}

#[test]
fn an_undo_may_be_given_up_where_the_definition_says_so() {
    let retry = Retry { max: Some(1), ..RETRY };
    let undo = |undo: &mut saga_config::saga::Undo| (undo.call.retry, undo.on_exhausted) = (retry, OnExhausted::Continue);
    let mut hand = Hand::start(saga(vec![step("a").undo(undo), step("b")]));
    hand.done("a").replied("b", 409, json!({})).unknown("undo a");
    assert_eq!(hand.entries(), ["undone", "ended"]);
    let mut hand = Hand::start(saga(vec![step("a").undo(undo), step("b")]));
    hand.done("a").replied("b", 409, json!({})).replied("undo a", 409, json!({}));
    assert_eq!(hand.entries(), ["undo_failed", "quarantined"], "a no is no spent budget");
}

#[test]
fn what_only_reads_fails_without_a_doubt_and_is_not_undone() {
    let mut hand = Hand::start(saga(vec![step("a").reads()]));
    hand.unknown("a").sleep().unknown("a").sleep().unknown("a");
    assert_eq!(hand.entries(), ["refused", "compensating", "ended"]);
}

#[test]
fn a_failed_group_resolves_what_is_in_flight_and_starts_nothing() {
    let group = |cancel_others, max| {
        let member = |id| step(id).after(&[]).member_of(0);
        let mut definition = saga(vec![member("a"), member("b"), member("c"), step("d").after(&["a", "b", "c"])]);
        definition.groups[0].cancel_others = cancel_others;
        definition.groups[0].max = max;
        Hand::start(definition)
    };
    let mut hand = group(true, 2);
    assert_eq!(hand.sends(), ["do a", "do b"], "no more than its max at once");
    hand.replied("a", 409, json!({}));
    assert_eq!((hand.entries(), hand.sends()), (vec!["refused", "compensating"], vec![]));
    hand.done("b");
    assert_eq!(hand.sends(), ["undo b"]);

    let mut hand = group(false, 2);
    hand.replied("a", 409, json!({}));
    assert_eq!((hand.entries(), hand.sends()), (vec!["refused", "sending"], vec!["do c".to_owned()]), "all run first");
    hand.done("b");
    assert_eq!((hand.entries(), hand.sends()), (vec!["done"], vec![]));
    hand.done("c");
    assert_eq!(hand.sends(), ["undo c", "undo b"]);
}

#[test]
fn no_more_steps_run_at_once_than_the_saga_says() {
    let mut definition = saga(vec![step("a").after(&[]), step("b").after(&[]), step("c").after(&[])]);
    definition.max_parallel = 2;
    let mut hand = Hand::start(definition);
    assert_eq!(hand.sends(), ["do a", "do b"]);
    hand.not_yet("a");
    assert_eq!(hand.sends(), Vec::<String>::new(), "one that waits runs");
    hand.done("b");
    assert_eq!(hand.sends(), ["do c"]);
}

#[test]
fn a_long_list_of_values_is_computed_in_bounded_turns() {
    let ids: Vec<&'static str> = (0..500).map(|i| &*Box::leak(format!("v{i}").into_boxed_str())).collect();
    let mut hand = Hand::start(saga(ids.into_iter().map(|id| step(id).set(json!({"x": 1}))).collect()));
    let mut turns = 1;
    while hand.machine.state() == SagaState::Running {
        assert!(hand.turn.entries.len() < crate::store::journal::MAX_ENTRIES_AT_ONCE);
        assert_eq!(hand.turn.then, Then::Sleep { until: hand.now }, "it goes on at once");
        hand.sleep();
        turns += 1;
    }
    assert_eq!((hand.machine.state(), turns), (SagaState::Completed, 3));
}

#[test]
fn time_never_goes_back_in_a_journal() {
    let mut hand = Hand::start(saga(vec![step("a"), step("b")]));
    hand.now = hand.now.plus(HOUR);
    hand.done("a");
    hand.now = super::build::BEGIN;
    hand.done("b");
    assert!(hand.journal.is_sorted_by_key(|entry| entry.at));
}

#[test]
fn a_driver_that_takes_the_saga_again_knows_of_nothing_under_way() {
    let mut hand = Hand::start(saga(vec![step("a")]));
    hand.on(crate::saga::turn::Event::Taken);
    assert_eq!((hand.entries(), hand.sent().attempt), (vec!["sending"], 2));
}

#[test]
fn the_callers_answers_are_the_definitions_own() {
    let problem = |title: &str| Response {
        status: value(json!("${failure.status == 402 ? 402 : 409}")),
        headers: Vec::new(),
        body: None,
        problem: Some(value(json!({"title": title, "step": "${failure.step}"}))),
    };
    let mut definition = saga(vec![step("a")]);
    definition.response.completed = Some(Response {
        status: value(json!(201)),
        headers: vec![(
            "x-id".parse().unwrap(),
            saga_config::template::Template::parse("${steps.a.id}", &saga_config::expr::Names::new(&["steps"])).unwrap(),
        )],
        body: Some(value(json!({"id": "${steps.a.id}"}))),
        problem: None,
    });
    definition.response.compensated = Some(problem("No"));
    let mut hand = Hand::start(definition.clone());
    hand.done("a");
    let answer = hand.end();
    assert_eq!((answer.status, answer.body.as_deref(), answer.is_problem), (201, Some(r#"{"id":"a-1"}"#), false));
    assert_eq!(answer.headers, [("x-id".to_owned(), "a-1".to_owned())]);
    let mut hand = Hand::start(definition.clone());
    hand.replied("a", 402, json!({}));
    let answer = hand.end();
    assert_eq!(answer.status, 402);
    assert_eq!(answer.body.as_deref(), Some(r#"{"type":"about:blank","title":"No","status":402,"step":"a"}"#));
    definition.response.completed.as_mut().unwrap().body = Some(value(json!("${steps.a.nothing}")));
    let mut hand = Hand::start(definition);
    hand.done("a");
    assert_eq!((hand.machine.state(), hand.end().status, &hand.end().body), (SagaState::Completed, 200, &None));
    assert!(hand.machine.answer_fault().unwrap().contains("nothing"));
}

#[test]
fn an_output_too_large_to_keep_fails_the_step_which_is_undone() {
    let mut hand = Hand::start(saga(vec![step("a")]));
    hand.replied("a", 201, json!({"id": "x".repeat(2 * 1024 * 1024)}));
    assert_eq!((hand.entries(), hand.sends()), (vec!["done", "compensating", "sending"], vec!["undo a".to_owned()]));
}
