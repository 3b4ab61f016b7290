//! Steps that come to their end later than their call's answer: polled, or called back (`callbacks`).

mod callbacks;

use std::time::Duration;

use saga_config::saga::{Auth, Callback as Called, Frozen, Later, Outcome, Poll, Saga};
use serde_json::{Value, json};

use super::{
    build::{StepOf, saga, says, shared, started, step, target, value},
    explore::{ends_by_itself, explore, rules},
    hand::Hand,
    world::{End, Kind, Rules, reply},
};
use crate::{
    saga::{
        callback::Address,
        entry::{Act, Callbacks},
        turn::{Answer, Effect, Event, Finding},
    },
    store::journal::SagaState,
};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// It answers 202, and is polled from every 2 s to every 60 s, for ten minutes.
fn polled(id: &'static str) -> StepOf {
    step(id).change(|call| {
        call.later = Some(Later::Poll(Box::new(Poll {
            status: 202,
            target: target("svc GET ${response.body.location}"),
            headers: Vec::new(),
            auth: Auth::Service,
            timeout: SECOND * 5,
            every: SECOND * 2,
            max_every: MINUTE,
            until: says("response.body.state != 'PENDING'"),
            within: MINUTE * 10,
        })));
        call.output = vec![("id".parse().unwrap(), value(json!("${response.body.id}")))];
        call.call.outcome = Outcome { failure: Some(says("response.body.state == 'DENIED'")), ..Outcome::default() };
    })
}

/// It is called back within half an hour.
fn called_back(id: &'static str) -> StepOf {
    step(id).change(|call| {
        let failure = Some(says("callback.body.answer == 'no'"));
        call.later = Some(Later::Callback(Called { within: MINUTE * 30, failure }));
        call.call.body = Some(value(json!({"url": "${callback.url}"})));
        call.output = vec![("by".parse().unwrap(), value(json!("${callback.body.by}")))];
    })
}

/// Its undo uses the answer that accepted it.
fn undo_from_acceptance(step: StepOf) -> StepOf {
    step.undo(|undo| {
        undo.call.target = target("svc DELETE ${steps.a.accepted.body.location}");
        undo.frozen = Frozen::WithAcceptance;
    })
}

/// Its undo uses the answer of its end.
fn undo_from_end(step: StepOf, output: &str) -> StepOf {
    let path = target(&format!("svc DELETE /a/${{steps.a.{output}}}"));
    step.undo(|undo| {
        undo.call.target = path;
        undo.frozen = Frozen::WithAnswer;
    })
}

fn begin(definition: Saga) -> Hand {
    let definition = shared(definition);
    let callbacks = Callbacks { base: "https://shop.example/refrain/callbacks/".to_owned(), secret: "s".repeat(64) };
    let started = crate::saga::entry::Started { callbacks: Some(callbacks), ..started(&definition) };
    Hand::begin(&definition, started)
}

const PENDING: &str = "PENDING";

fn state(state: &str) -> Value {
    json!({"state": state, "id": "a-1"})
}

fn accepted() -> Value {
    json!({"location": "/a/jobs/7"})
}

impl Hand {
    fn accept(&mut self, call: &str) -> &mut Self {
        self.replied(call, 202, accepted());
        assert!(self.entries().contains(&"accepted"), "{:?}", self.entries());
        self
    }

    /// Somebody calls back.
    fn call_back(&mut self, body: Value, nonce: &str) -> &mut Self {
        self.on(Event::CalledBack { step: "a".parse().unwrap(), body, nonce: nonce.to_owned() })
    }

    /// The address that the request has.
    fn address(&self) -> Address {
        let body: Value = serde_json::from_str(self.sent().request.body.as_deref().unwrap()).unwrap();
        let url = body["url"].as_str().unwrap().to_owned();
        Address::parse(url.strip_prefix("https://shop.example/refrain/callbacks/").unwrap()).unwrap()
    }

    fn reason_of(&self, i: usize) -> String {
        self.machine.view()[i].reason.clone().unwrap_or_default()
    }

    fn poll_path(&self) -> &str {
        match &*self.turn.effects {
            [Effect::Check(check)] => {
                assert!(check.service_auth);
                &check.request.target
            }
            other => panic!("not one poll: {other:?}"),
        }
    }
}

#[test]
fn what_was_accepted_is_polled_until_it_is_done_and_never_sent_again() {
    let mut hand = begin(saga(vec![polled("a"), step("b")]));
    hand.accept("a");
    assert_eq!(hand.entries(), ["accepted"]);
    assert_eq!(hand.states()[0].0, "waiting");
    for _ in 0..5 {
        hand.sleep();
        assert_eq!((hand.sends(), hand.poll_path()), (vec!["check do a".to_owned()], "/a/jobs/7"));
        hand.found("a", state(PENDING));
        assert_eq!(hand.entries(), ["polled"]);
    }
    hand.sleep().found("a", state("GRANTED"));
    assert_eq!((hand.entries(), hand.sends()), (vec!["done", "sending"], vec!["do b".to_owned()]));
    assert_eq!(hand.machine.view()[0].output.as_ref().unwrap()["id"], "a-1");
    hand.done("b");
    assert_eq!(hand.machine.state(), SagaState::Completed);
}

#[test]
fn polls_come_less_and_less_often_within_bounds_and_as_late_as_the_service_wishes() {
    let mut hand = begin(saga(vec![polled("a")]));
    hand.accept("a");
    let mut waits = Vec::new();
    for _ in 0..12 {
        let before = hand.now;
        hand.sleep();
        waits.push(before.until(hand.now));
        hand.found("a", state(PENDING));
    }
    assert!((SECOND..SECOND * 2).contains(&waits[0]), "{waits:?}");
    assert!((SECOND * 2..SECOND * 4).contains(&waits[1]), "{waits:?}");
    assert!(waits[6..].iter().all(|wait| (MINUTE / 2..MINUTE).contains(wait)), "{waits:?}");
    let mut hand = begin(saga(vec![polled("a")]));
    hand.accept("a").sleep();
    let later = crate::saga::turn::Reply { retry_after: Some(MINUTE * 3), ..reply(200, state(PENDING), false) };
    let of = hand.which("a");
    let before = hand.now;
    hand.on(Event::Checked { of, finding: Finding::Replied(later) }).sleep();
    assert!(before.until(hand.now) >= MINUTE * 3);
}

#[test]
fn another_positive_answer_is_the_end_at_once() {
    for polled in [polled("a"), undo_from_acceptance(polled("a")), undo_from_end(polled("a"), "id")] {
        let mut hand = begin(saga(vec![polled, step("b")]));
        hand.replied("a", 200, json!({"state": "GRANTED", "id": "a-1", "location": "/a/jobs/7"}));
        assert!(hand.entries().ends_with(&["done", "sending"]), "{:?}", hand.entries());
        hand.replied("b", 409, json!({}));
        assert!(hand.sent().request.target.starts_with("/a"), "{}", hand.sent().request.target);
    }
    let mut hand = begin(saga(vec![polled("a")]));
    hand.replied("a", 200, state("DENIED"));
    assert_eq!(hand.entries(), ["refused", "compensating", "ended"]);
}

#[test]
fn the_last_polls_answer_is_judged_by_the_outcome_and_a_no_is_definite() {
    let mut hand = begin(saga(vec![step("z"), polled("a")]));
    hand.done("z").accept("a").sleep().found("a", state("DENIED"));
    assert_eq!((hand.entries(), hand.sends()), (vec!["refused", "compensating", "sending"], vec!["undo z".to_owned()]));
    hand.done("undo z");
    assert_eq!(hand.machine.state(), SagaState::Compensated);
}

#[test]
fn a_poll_that_says_nothing_is_made_again() {
    let mut hand = begin(saga(vec![polled("a")]));
    hand.accept("a");
    for finding in [
        Finding::CannotTell { reason: "timeout".to_owned() },
        Finding::Replied(reply(404, json!({}), false)),
        Finding::Replied(reply(303, state("GRANTED"), false)),
        Finding::Replied(reply(200, json!({"other": true}), false)),
    ] {
        hand.sleep();
        let of = hand.which("a");
        hand.on(Event::Checked { of, finding });
        assert_eq!(hand.entries(), ["polled"]);
        assert!(!hand.reason_of(0).is_empty());
    }
    hand.sleep().found("a", state("GRANTED"));
    assert_eq!(hand.machine.state(), SagaState::Completed);
}

#[test]
fn what_does_not_come_to_its_end_in_time_has_failed_and_is_undone_as_carried_out() {
    for polled in [polled("a"), undo_from_acceptance(polled("a"))] {
        let mut hand = begin(saga(vec![polled]));
        hand.accept("a").sleep().found("a", state(PENDING)).after(MINUTE * 10);
        assert_eq!((hand.entries(), hand.sends()), (vec!["done", "compensating", "sending"], vec!["undo a".to_owned()]));
        assert!(hand.machine.reason().unwrap().contains("did not come to its end in time"));
        hand.done("undo a");
        assert_eq!(hand.machine.state(), SagaState::Compensated);
    }
    let mut hand = begin(saga(vec![called_back("a")]));
    hand.done("a").after(MINUTE * 30);
    assert_eq!(hand.entries(), ["done", "compensating", "sending"]);
    assert_eq!(hand.machine.reason(), Some("nobody called back in time"));
}

#[test]
fn an_undo_that_needs_the_end_waits_for_it_on_the_compensations_time_and_then_for_an_operator() {
    let mut hand = begin(saga(vec![undo_from_end(polled("a"), "id")]));
    hand.accept("a").after(MINUTE * 11);
    assert_eq!((hand.entries(), hand.sends()), (vec!["doubted", "compensating"], vec!["check do a".to_owned()]));
    hand.found("a", state(PENDING)).sleep().found("a", state("GRANTED"));
    assert_eq!((hand.entries(), hand.sends()), (vec!["done", "sending"], vec!["undo a".to_owned()]));
    assert_eq!(hand.sent().request.target, "/a/a-1");

    let mut hand = begin(saga(vec![undo_from_end(polled("a"), "id")]));
    hand.accept("a").after(MINUTE * 11).found("a", state(PENDING)).after(HOUR * 25);
    assert_eq!(hand.entries(), ["doubted", "quarantined"]);
    // "Try again" asks the service again.
    hand.obeys(Act::Retry { step: None, run_again: false });
    assert_eq!(hand.sends(), ["check do a"]);
    hand.found("a", state("DENIED"));
    assert_eq!(hand.machine.state(), SagaState::Compensated, "it never ran");

    let mut hand = begin(saga(vec![undo_from_end(called_back("a"), "by")]));
    hand.done("a").after(MINUTE * 31);
    assert_eq!(hand.entries(), ["doubted", "compensating"]);
    hand.after(HOUR).call_back(json!({"by": "ann"}), "n");
    assert_eq!((hand.entries(), hand.sends()), (vec!["called_back", "done", "sending"], vec!["undo a".to_owned()]));
    assert_eq!(hand.sent().request.target, "/a/ann");
}

#[test]
fn a_saga_that_turns_back_undoes_at_once_what_was_accepted_and_stops_polling() {
    for (polled, path) in [(polled("a"), "/a"), (undo_from_acceptance(polled("a")), "/a/jobs/7")] {
        let mut definition = saga(vec![polled]);
        definition.deadline = Some(MINUTE);
        let mut hand = begin(definition);
        hand.accept("a").sleep().found("a", state(PENDING)).after(MINUTE);
        assert_eq!((hand.entries(), hand.sends()), (vec!["compensating", "done", "sending"], vec!["undo a".to_owned()]));
        assert_eq!(hand.sent().request.target, path);
    }
    // What a poll finds that was under way then changes nothing.
    let mut hand = begin(saga(vec![polled("a")]));
    hand.accept("a").sleep().obeys(Act::Compensate);
    assert_eq!(hand.sends(), ["undo a"]);
    hand.found("a", state("GRANTED"));
    assert_eq!(hand.entries(), Vec::<&str>::new());
    hand.done("undo a");
    assert_eq!(hand.machine.state(), SagaState::Compensated);
}

#[test]
fn a_poll_that_was_lost_with_its_driver_is_simply_made_again() {
    let mut hand = begin(saga(vec![polled("a")]));
    hand.accept("a").sleep().lose(SECOND * 10);
    assert_eq!((hand.entries(), hand.sends()), (Vec::<&str>::new(), vec!["check do a".to_owned()]));
    hand.found("a", state("GRANTED"));
    assert_eq!(hand.machine.state(), SagaState::Completed);
    // A send that was lost before it was accepted is in doubt, as any call.
    let mut hand = begin(saga(vec![polled("a")]));
    hand.lose(SECOND);
    assert_eq!((hand.entries(), hand.sends()), (vec!["sending"], vec!["do a".to_owned()]));
    hand.accept("a");
    assert!(hand.sends().is_empty());
}

#[test]
fn a_paused_saga_polls_nothing_and_a_callback_still_counts() {
    let mut hand = begin(saga(vec![polled("a")]));
    hand.accept("a").obeys(Act::Pause);
    assert!(hand.after(MINUTE).sends().is_empty());
    hand.obeys(Act::Resume);
    assert_eq!(hand.sends(), ["check do a"]);
    let mut hand = begin(saga(vec![called_back("a"), step("b")]));
    hand.done("a").obeys(Act::Pause).call_back(json!({"answer": "yes", "by": "ann"}), "n");
    assert_eq!((hand.entries(), hand.sends()), (vec!["called_back", "done"], Vec::new()));
    hand.obeys(Act::Resume);
    assert_eq!(hand.sends(), ["do b"]);
}

#[test]
fn operators_say_what_became_of_what_was_accepted() {
    let a = || "a".parse().unwrap();
    let mut hand = begin(saga(vec![polled("a"), step("b")]));
    hand.accept("a");
    assert_eq!(hand.refuses(Act::Skip { step: a() }), "the step has begun");
    assert!(hand.obeys(Act::Retry { step: Some(a()), run_again: false }).sends() == ["check do a"], "polled now");
    assert!(hand.refuses(Act::ResolveNotDone { step: a() }).contains("under way"));
    hand.found("a", state(PENDING));
    let output = serde_json::Map::from_iter([("id".to_owned(), json!("a-9"))]);
    hand.obeys(Act::ResolveDone { step: a(), output });
    assert_eq!(hand.sends(), ["do b"]);
    let mut hand = begin(saga(vec![called_back("a")]));
    hand.done("a").obeys(Act::ResolveNotDone { step: a() });
    assert_eq!(hand.machine.state(), SagaState::Compensated, "there is nothing to undo");
    hand.call_back(json!({}), "n");
    assert!(hand.turn.entries.is_empty());
}

#[test]
fn a_pivot_that_was_accepted_is_resolved_before_anything_is_undone() {
    let mut definition = saga(vec![step("z"), polled("a").pivot(), step("b").past_pivot()]);
    definition.deadline = Some(MINUTE);
    let mut hand = begin(definition.clone());
    hand.done("z").accept("a").after(MINUTE * 2);
    assert_eq!((hand.entries(), hand.sends()), (Vec::<&str>::new(), vec!["check do a".to_owned()]));
    hand.found("a", state("DENIED"));
    assert_eq!(hand.sends(), ["undo z"]);
    let mut hand = begin(definition);
    hand.done("z").accept("a").after(MINUTE * 2).found("a", state("GRANTED"));
    assert_eq!(hand.sends(), ["do b"], "past the pivot the deadline is void");
    // What can only go forward, and does not, is an operator's.
    let mut hand = begin(saga(vec![step("p").pivot(), polled("a").past_pivot()]));
    hand.done("p").accept("a").after(MINUTE * 11);
    assert_eq!(hand.entries(), ["doubted", "quarantined"]);
    hand.obeys(Act::Retry { step: None, run_again: false });
    hand.found("a", state(PENDING)).sleep().found("a", state("GRANTED"));
    assert_eq!(hand.machine.state(), SagaState::Completed);
}

#[test]
fn best_effort_goes_on_without_what_did_not_come_in_time() {
    let mut hand = begin(saga(vec![called_back("a").without_undo().continues(), step("b")]));
    hand.done("a").after(MINUTE * 31);
    assert_eq!((hand.entries(), hand.sends()), (vec!["done", "sending"], vec!["do b".to_owned()]));
}

#[test]
fn a_poll_that_cannot_be_made_is_a_failure_with_the_reason() {
    let mut hand = begin(saga(vec![polled("a")]));
    hand.replied("a", 202, json!({"nothing": 1})).sleep();
    assert_eq!((hand.entries(), hand.sends()), (vec!["done", "compensating", "sending"], vec!["undo a".to_owned()]));
    assert!(hand.machine.reason().unwrap().contains("cannot be polled"), "{:?}", hand.machine.reason());
    // The same, where the undo cannot be made: that is told at once.
    let mut hand = begin(saga(vec![undo_from_acceptance(polled("a"))]));
    hand.replied("a", 202, json!({"nothing": 1}));
    assert_eq!(hand.entries(), ["accepted", "done", "compensating", "undo_failed", "quarantined"]);
}

#[test]
fn a_probe_that_finds_it_done_has_found_it_accepted() {
    let mut hand = begin(saga(vec![called_back("a").checked()]));
    hand.unknown("a").sleep().found("a", json!([{"id": "a-1"}]));
    assert_eq!(hand.entries(), ["accepted"]);
    hand.call_back(json!({"answer": "yes", "by": "ann"}), "n");
    assert_eq!(hand.machine.state(), SagaState::Completed);
    let mut hand = begin(saga(vec![called_back("a")]));
    hand.answer("a", Answer::NotKept);
    assert_eq!(hand.entries(), ["accepted"], "who calls back tells the rest");
}

/// What every service here accepts and carries out later: it is polled where it says, and denied seldom.
fn polled_in_the_world(id: &'static str) -> StepOf {
    polled(id).change(|call| {
        let Some(Later::Poll(poll)) = &mut call.later else { panic!() };
        (poll.status, poll.target) = (201, target("svc GET /poll/${response.body.id}"));
        (poll.every, poll.within) = (SECOND * 4, SECOND * 20);
    })
}

/// As everybody here calls back: with a yes or a no, at once, or not.
fn called_back_in_the_world(id: &'static str) -> StepOf {
    called_back(id).change(|call| call.call.body = None)
}

#[test]
fn the_books_are_right_at_every_end_around_polls() {
    use saga_config::saga::InDoubt;
    let next = || step("b").in_doubt(InDoubt::Barrier);
    ends_by_itself(&explore(saga(vec![polled_in_the_world("a").in_doubt(InDoubt::Barrier), next()]), &rules(Kind::Refrain), 2));
    let ends = explore(saga(vec![undo_from_end(polled_in_the_world("a"), "id"), next()]), &rules(Kind::Remembers), 2);
    assert!(ends[&End::Completed] > 0 && ends[&End::Compensated] > 0, "{ends:?}");
    let mut definition = saga(vec![polled_in_the_world("a").checked(), step("b").checked()]);
    definition.deadline = Some(SECOND * 15);
    explore(definition, &rules(Kind::Ledger), 2);
    let meddled = Rules { meddles: true, crashes: false, ..rules(Kind::Refrain) };
    explore(saga(vec![polled_in_the_world("a")]), &meddled, 2);
}

#[test]
fn the_books_are_right_at_every_end_around_callbacks() {
    use saga_config::saga::InDoubt;
    let next = || step("b").in_doubt(InDoubt::Barrier);
    let definition = saga(vec![called_back_in_the_world("a").in_doubt(InDoubt::Barrier), next()]);
    ends_by_itself(&explore(definition, &rules(Kind::Refrain), 2));
    let ends = explore(saga(vec![undo_from_end(called_back_in_the_world("a"), "by"), next()]), &rules(Kind::Remembers), 2);
    assert!(ends[&End::Completed] > 0 && ends[&End::Compensated] > 0, "{ends:?}");
    explore(saga(vec![called_back_in_the_world("a").checked()]), &rules(Kind::Ledger), 2);
    let parked = Rules { parks: true, ..rules(Kind::Refrain) };
    explore(saga(vec![called_back_in_the_world("a"), next()]), &parked, 1);
}
