//! Steps that are called back.

use std::sync::Arc;

use serde_json::json;

use super::{
    super::{
        super::{Callback, Machine},
        build::{BEGIN, ID, saga, step},
        world::{Facts, reply},
    },
    HOUR, MINUTE, SECOND, accepted, begin, called_back, undo_from_acceptance,
};
use crate::{
    saga::{
        entry::{Act, What},
        turn::{Answer, Event},
    },
    store::journal::SagaState,
};

#[test]
fn a_callback_is_the_end_of_a_step_once() {
    let mut hand = begin(saga(vec![called_back("a"), step("b")]));
    let address = hand.address();
    assert_eq!(address.id, ID);
    assert_eq!(hand.machine.callback(address.token).unwrap().1, Callback::Awaited { until: None });
    hand.done("a");
    assert_eq!((hand.entries(), hand.states()[0].0), (vec!["accepted"], "waiting"));
    let until = Some(BEGIN.plus(MINUTE * 30));
    assert_eq!(hand.machine.callback(address.token), Some(("a".parse().unwrap(), Callback::Awaited { until })));
    hand.call_back(json!({"answer": "yes", "by": "ann"}), "n");
    assert_eq!((hand.entries(), hand.sends()), (vec!["called_back", "done", "sending"], vec!["do b".to_owned()]));
    assert_eq!(hand.machine.view()[0].output.as_ref().unwrap()["by"], "ann");
    let came = Callback::Came { nonce: "n".to_owned() };
    assert_eq!(hand.machine.callback(address.token).unwrap().1, came);
    for nonce in ["n", "other"] {
        hand.call_back(json!({"answer": "no"}), nonce);
        assert!(hand.turn.entries.is_empty() && hand.turn.effects.is_empty());
    }
    hand.done("b");
    assert_eq!(hand.machine.callback(address.token).unwrap().1, came, "a repeat is known after the end too");
    hand.call_back(json!({"answer": "no"}), "late");
    assert!(hand.turn.entries.is_empty());
}

#[test]
fn a_callback_that_says_no_has_the_step_undone_as_carried_out() {
    let mut hand = begin(saga(vec![called_back("a")]));
    hand.done("a").call_back(json!({"answer": "no", "by": "ann"}), "n");
    assert_eq!(
        (hand.entries(), hand.sends()),
        (vec!["called_back", "done", "compensating", "sending"], vec!["undo a".to_owned()])
    );
    assert_eq!(hand.machine.reason(), Some("called back with a no by its `outcome`"));
    // What nobody can judge, and what does not give what is needed, is no yes.
    for body in [json!({"by": "ann"}), json!({"answer": "yes"})] {
        let mut hand = begin(saga(vec![called_back("a")]));
        hand.done("a").call_back(body, "n");
        assert_eq!(hand.sends(), ["undo a"]);
    }
}

#[test]
fn a_callback_that_comes_before_the_answer_counts_when_that_is_there_whatever_it_says() {
    let yes = || json!({"answer": "yes", "by": "ann"});
    for answer in [
        Answer::Replied(reply(201, accepted(), true)),
        Answer::Replied(reply(409, json!({}), false)),
        Answer::Unknown { reason: "reset".to_owned() },
        Answer::NotYet { reason: "in-flight".to_owned(), retry_after: None },
        Answer::NotKept,
    ] {
        let mut hand = begin(saga(vec![called_back("a")]));
        hand.call_back(yes(), "n");
        assert_eq!((hand.entries(), hand.states()[0].0), (vec!["called_back"], "sending"));
        hand.answer("a", answer);
        assert_eq!(hand.entries(), ["accepted", "done", "ended"]);
        assert_eq!(hand.machine.state(), SagaState::Completed);
    }
    // Its answer freezes the undo.
    let mut hand = begin(saga(vec![undo_from_acceptance(called_back("a"))]));
    hand.call_back(json!({"answer": "no", "by": "ann"}), "n").replied("a", 201, accepted());
    assert_eq!(hand.sent().request.target, "/a/jobs/7");
    // Its driver is lost before the answer: the callback proves that it arrived.
    let mut hand = begin(saga(vec![called_back("a")]));
    hand.call_back(yes(), "n").lose(SECOND);
    assert_eq!(hand.entries(), ["accepted", "done", "ended"]);
}

#[test]
fn a_callback_resolves_a_send_that_is_in_doubt() {
    let yes = || json!({"answer": "yes", "by": "ann"});
    let in_doubt = |in_doubt| begin(saga(vec![called_back("a").in_doubt(in_doubt), step("b")]));
    let mut hand = in_doubt(saga_config::saga::InDoubt::Resend);
    hand.unknown("a").call_back(yes(), "n");
    assert_eq!((hand.entries(), hand.sends()), (vec!["called_back", "accepted", "done", "sending"], vec!["do b".to_owned()]));
    let mut hand = in_doubt(saga_config::saga::InDoubt::Manual);
    hand.unknown("a");
    assert_eq!(hand.machine.state(), SagaState::Quarantined);
    hand.call_back(yes(), "n");
    assert_eq!((hand.machine.state(), hand.sends()), (SagaState::Running, vec!["do b".to_owned()]), "the operator is not needed");
    // Where its answer is needed, it is asked for once more.
    let mut hand = begin(saga(vec![undo_from_acceptance(called_back("a"))]));
    hand.unknown("a").call_back(yes(), "n");
    assert_eq!((hand.entries(), hand.sends()), (vec!["called_back"], Vec::new()));
    hand.sleep().replied("a", 201, accepted());
    assert_eq!(hand.entries(), ["accepted", "done", "ended"]);
    let mut hand = begin(saga(vec![undo_from_acceptance(called_back("a")).checked()]));
    hand.unknown("a").call_back(yes(), "n").sleep().found("a", json!([]));
    assert_eq!(hand.entries()[..2], ["accepted", "done"], "the probe is wrong");
    // While what is in doubt is sent again, its answer is waited for.
    let mut hand = in_doubt(saga_config::saga::InDoubt::Resend);
    hand.unknown("a").sleep().call_back(yes(), "n");
    assert_eq!(hand.entries(), ["called_back"]);
    hand.not_sent("a");
    assert_eq!(hand.sends(), ["do b"]);
    // What never left cannot have been answered.
    let mut hand = in_doubt(saga_config::saga::InDoubt::Resend);
    hand.not_sent("a").call_back(yes(), "n");
    assert!(hand.turn.entries.is_empty());
}

#[test]
fn a_callback_that_was_there_in_time_is_not_beaten_by_the_end_of_its_time() {
    let mut hand = begin(saga(vec![called_back("a")]));
    hand.done("a");
    let definition = Arc::clone(hand.machine.definition());
    let late = BEGIN.plus(HOUR);
    assert!(hand.machine.is_callback_due(late) && !hand.machine.is_callback_due(BEGIN.plus(MINUTE)));
    let mut machine = Machine::replay(ID, definition, &hand.journal).unwrap();
    let body = json!({"answer": "yes", "by": "ann"});
    let called = Event::CalledBack { step: "a".parse().unwrap(), body, nonce: "n".to_owned() };
    let turn = machine.on_all(vec![Event::Taken, called], late, &Facts);
    assert!(matches!(turn.entries[0].what, What::CalledBack { .. }), "{:?}", turn.entries);
    assert_eq!(machine.state(), SagaState::Completed);
}

#[test]
fn a_step_that_runs_again_is_called_back_at_another_url() {
    let mut hand = begin(saga(vec![called_back("a").in_doubt(saga_config::saga::InDoubt::Manual)]));
    let first = hand.address();
    hand.unknown("a").obeys(Act::Retry { step: Some("a".parse().unwrap()), run_again: true });
    let second = hand.address();
    assert_ne!(first.token, second.token);
    assert_eq!(hand.machine.callback(first.token), None);
    assert!(hand.machine.callback(second.token).is_some());
}

#[test]
fn a_callback_after_the_saga_turned_back_changes_nothing_where_the_undo_did_not_wait_for_it() {
    let mut hand = begin(saga(vec![called_back("a")]));
    let address = hand.address();
    hand.done("a").obeys(Act::Compensate);
    assert_eq!((hand.entries(), hand.sends()), (vec!["operator", "compensating", "done", "sending"], vec!["undo a".to_owned()]));
    assert_eq!(hand.machine.callback(address.token).unwrap().1, Callback::Over);
    hand.call_back(json!({"answer": "yes"}), "n");
    assert!(hand.turn.entries.is_empty());
}
