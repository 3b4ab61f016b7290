//! What tables say.

use super::{super::Effect, *};
use crate::store::journal::SagaState;

#[test]
fn every_outcome_of_every_call_of_create_order_has_its_row() {
    let report = report(CREATE_ORDER, 1);
    assert!(report.is_good(), "{:#?}", report.verdict);
    let rows = &report.cases[0].rows;
    let of = |step: &str, undo: bool| rows.iter().filter(|row| row.step.as_str() == step && row.undo == undo).count();
    for step in ["create_order", "create_payment", "complete_order", "send_order_completed"] {
        assert_eq!(of(step, false), 13, "{step}");
    }
    assert_eq!(of("get_account", false), 7, "a read has fewer");
    for step in ["create_order", "create_payment", "complete_order"] {
        assert_eq!(of(step, true), 9, "{step}");
    }
    assert_eq!(of("send_order_completed", true), 0);
    assert_eq!(report.cases[0].notes, Vec::<String>::new());
}

#[test]
fn a_refused_payment_cancels_the_order_and_the_caller_is_told_402() {
    let report = report(CREATE_ORDER, 0);
    let refused = ending(&report, "create_payment", false, Outcome::Refused);
    assert_eq!((refused.state, refused.status), (SagaState::Compensated, 402));
    assert_eq!(refused.undone.iter().map(ToString::to_string).collect::<Vec<_>>(), ["create_order"]);
    let effect = |step: &str| refused.effects[&step.parse().unwrap()];
    assert_eq!((effect("create_order"), effect("create_payment")), (Effect::Undone, Effect::None));
    assert_eq!(refused.body.as_ref().unwrap()["title"], "The order was not placed");
}

#[test]
fn a_lost_answer_is_asked_for_again_and_a_lost_driver_is_replaced() {
    let report = report(CREATE_ORDER, 0);
    for outcome in [Outcome::UnknownApplied, Outcome::UnknownNotApplied, Outcome::NotSent, Outcome::CrashBeforeRecord] {
        let ending = ending(&report, "create_payment", false, outcome);
        assert_eq!((ending.state, ending.status, ending.undone.len()), (SagaState::Completed, 201, 0), "{outcome:?}");
    }
    assert!(ending(&report, "create_payment", false, Outcome::CrashAfterRecord).pending_first, "a lease lapses first");
}

#[test]
fn what_never_answers_waits_for_an_operator_in_the_end() {
    let report = report(CREATE_ORDER, 0);
    let ending = ending(&report, "create_payment", false, Outcome::MuteApplied);
    assert_eq!((ending.state, ending.status), (SagaState::Quarantined, 500));
    assert!(ending.took >= Duration::from_secs(23 * 3600), "{:?}", ending.took);
    assert!(ending.leaks.is_empty(), "the saga's books say that it may be there");
}
