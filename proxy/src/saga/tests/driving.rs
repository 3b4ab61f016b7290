//! Promises of the driver: written first, then performed; and what happens where the store or the lease is lost.

use super::*;
use crate::{
    ids::Owner,
    saga::{codec::Command, entry::Act},
    store::{
        faults::{Fault, Operation},
        journal::{Commanded, Leased},
    },
};

#[tokio::test]
async fn a_saga_of_n_steps_costs_n_plus_one_round_trips() {
    let (process, saga) = alone(Script::default(), ORDER);
    let (id, settled) = process.run(&saga).await;
    let answer = settled.answer.unwrap();
    assert_eq!((settled.state, answer.status, answer.body.as_deref()), (SagaState::Completed, 201, Some(r#"{"id":"7"}"#)));
    assert_eq!(process.script.called(), ["one", "two", "three"]);
    let operations = process.store.operations();
    let [Operation::Pin, rest @ ..] = &operations[..] else { panic!("{operations:?}") };
    assert_eq!(rest, [Operation::Create, Operation::Append, Operation::Append, Operation::Append]);
    let expected = ["started", "sending one", "done one", "sending two", "done two", "sending three", "done three", "completed"];
    assert_eq!(kinds(&process.journal(id).await), expected);
    // A second one by the same definition does not pin it again.
    process.run(&saga).await;
    assert_eq!(process.store.calls() as usize, operations.len() + 4);
}

#[tokio::test]
async fn a_refused_step_is_undone_newest_first_and_the_caller_is_told() {
    let (process, saga) = alone(Script::default().on("three", vec![Deed::Answer(status(409))]), ORDER);
    let (id, settled) = process.run(&saga).await;
    assert_eq!((settled.state, settled.answer.unwrap().status), (SagaState::Compensated, 409));
    assert_eq!(process.script.called(), ["one", "two", "three", "undo two", "undo one"]);
    assert_eq!(process.head(id).await.state, SagaState::Compensated);
}

/// At every call of the store, for every way in which it can fail: nothing is sent that is not written, and every step's sends have
/// one key.
#[tokio::test]
async fn whatever_the_store_does_no_step_is_sent_twice_and_the_saga_ends() {
    let (clean, order) = alone(Script::default(), ORDER);
    clean.run(&order).await;
    for n in 2..=clean.store.calls() {
        for fault in [Fault::NotReached, Fault::AnswerLost, Fault::Refused] {
            let (process, saga) = alone(Script::default(), ORDER);
            process.store.fail(n, fault.clone());
            let begun = process.begin(SagaId::random(), &saga).await;
            match begun {
                Ok(Begun::Here(settled)) => assert_eq!(settled.await.unwrap().state, SagaState::Completed, "call {n}, {fault:?}"),
                Err(NotBegun::Store(error)) => {
                    assert!(n == 2 && !error.may_have_applied(), "call {n}, {fault:?}: {error}");
                    assert_eq!(process.script.called(), Vec::<String>::new());
                    continue;
                }
                other => panic!("call {n}, {fault:?}: {other:?}"),
            }
            assert_eq!(process.script.called(), ["one", "two", "three"], "call {n}, {fault:?}");
        }
    }
}

#[tokio::test]
async fn a_store_that_is_away_stops_the_driver_and_it_goes_on_when_it_is_back() {
    let gate = Arc::new(Notify::new());
    let (process, saga) = alone(Script::default().on("one", vec![Deed::Gate(Arc::clone(&gate), ok())]), ORDER);
    let Ok(Begun::Here(settled)) = process.begin(SagaId::random(), &saga).await else { panic!() };
    process.script.until_called("one", 1).await;
    process.store.break_down(Fault::NotReached);
    let before = process.store.calls();
    gate.notify_one();
    process.store.begun(before + 3).await;
    assert_eq!(process.script.called(), ["one"], "nothing is sent that is not written");
    process.store.heal();
    assert_eq!(settled.await.unwrap().state, SagaState::Completed);
}

#[tokio::test]
async fn a_driver_whose_saga_was_taken_performs_nothing_more() {
    let gate = Arc::new(Notify::new());
    let script = Script::default().on("one", vec![Deed::Gate(Arc::clone(&gate), ok())]);
    let (saga, wakes) = (saga(ORDER), Wakes::default());
    let store = Faulty::new(MemoryStore::new(wakes.clone()));
    let process = process(&store, wakes, script, &[Arc::clone(&saga)], Duration::from_millis(30));
    let id = SagaId::random();
    let Ok(Begun::Here(settled)) = process.begin(id, &saga).await else { panic!() };
    process.script.until_called("one", 1).await;
    // Nobody renews here: the lease lapses, and another takes the saga.
    let taken = loop {
        match store.inner().lease(id, Owner::from_bytes([9; 16]), LEASE).await.unwrap() {
            Leased::Granted(loaded) => break loaded,
            Leased::NotDue(left) => tokio::time::sleep(left.unwrap()).await,
            Leased::Gone => panic!("it is open"),
        }
    };
    gate.notify_one();
    assert!(settled.await.is_err(), "its driver says nothing of it");
    process.idle().await;
    assert_eq!(process.script.called(), ["one"]);
    assert_eq!(process.head(id).await.version, taken.head.version);
    assert!(process.engine.common.leases.is_empty());
}

#[tokio::test]
async fn a_call_that_panics_is_in_doubt_and_the_saga_goes_on() {
    let (process, saga) = alone(Script::default().on("one", vec![Deed::Panic, Deed::Answer(ok())]), ORDER);
    let (_, settled) = process.run(&saga).await;
    assert_eq!(settled.state, SagaState::Completed);
    let keys = process.script.keys_of("one");
    assert_eq!(keys.len(), 2);
    assert_eq!(keys[0], keys[1], "the same key on every attempt");
}

#[tokio::test]
async fn an_input_that_the_store_does_not_take_begins_nothing() {
    let (process, saga) = alone(Script::default(), ORDER);
    let input: Map<String, Value> = [("n".to_owned(), json!("x".repeat(4 * 1024 * 1024)))].into_iter().collect();
    let (id, mark) = (SagaId::random(), Fingerprint::from_bytes([1; 32]));
    let new = NewSaga { id, saga, input, fingerprint: mark, starter: mark, traceparent: None };
    assert!(matches!(process.engine.begin(new).await, Err(NotBegun::TooLarge(_))));
    assert_eq!(process.store.inner().attach(id, None).await.unwrap(), None);
}

/// Two steps side by side.
const PAIR: &str = r#"
saga: pair
version: 1
trigger: {route: POST /pair, idempotency: optional}
steps:
  - id: both
    parallel:
      steps:
        - {id: left, call: POST /left, compensate: none}
        - {id: right, call: POST /right, compensate: none}
"#;

#[tokio::test]
async fn a_quarantined_saga_is_given_up_only_when_what_is_under_way_is_answered() {
    let gate = Arc::new(Notify::new());
    let wrong = Deed::Answer(Answer::Wrong { reason: "no".to_owned() });
    let script = Script::default().on("left", vec![Deed::Gate(Arc::clone(&gate), ok())]).on("right", vec![wrong]);
    let (process, saga) = alone(script, PAIR);
    let id = SagaId::random();
    let Ok(Begun::Here(settled)) = process.begin(id, &saga).await else { panic!() };
    process.script.until_called("right", 1).await;
    gate.notify_one();
    assert_eq!(settled.await.unwrap().state, SagaState::Quarantined);
    let journal = kinds(&process.journal(id).await);
    assert!(journal.contains(&"done left".to_owned()), "{journal:?}");
    assert_eq!(process.head(id).await.due_at, None);
}

#[tokio::test]
async fn what_ends_together_is_written_together() {
    let (process, saga) = alone(Script::default(), PAIR);
    process.run(&saga).await;
    let appends = process.store.operations().iter().filter(|operation| **operation == Operation::Append).count();
    assert_eq!(appends, 1);
}

#[tokio::test]
async fn a_drain_finishes_what_is_under_way_begins_nothing_and_hands_the_saga_back() {
    let gate = Arc::new(Notify::new());
    let (process, saga) = alone(Script::default().on("one", vec![Deed::Gate(Arc::clone(&gate), ok())]), ORDER);
    let id = SagaId::random();
    let Ok(Begun::Here(settled)) = process.begin(id, &saga).await else { panic!() };
    process.script.until_called("one", 1).await;
    process.engine.shared.drain.cancel();
    gate.notify_one();
    assert!(settled.await.is_err());
    process.idle().await;
    assert_eq!(kinds(&process.journal(id).await), ["started", "sending one", "done one"]);
    assert_eq!(process.store.inner().due(10, 0).await.unwrap().ids, [id], "it is due at once");
    assert_eq!(process.script.called(), ["one"]);
}

async fn command(process: &Process, id: SagaId, act: Act) {
    let nonce = Owner::random();
    let command = Command::Operator { act, reason: "a test".to_owned(), nonce: nonce.to_string() };
    let command = process.engine.codec.command(id, &command).unwrap();
    assert_eq!(process.store.inner().command(id, nonce, command).await.unwrap(), Commanded::Queued);
}

#[tokio::test]
async fn a_command_reaches_a_running_driver_and_is_written_once() {
    let gate = Arc::new(Notify::new());
    let (process, saga) = alone(Script::default().on("one", vec![Deed::Gate(Arc::clone(&gate), ok())]), ORDER);
    let id = SagaId::random();
    let Ok(Begun::Here(settled)) = process.begin(id, &saga).await else { panic!() };
    process.script.until_called("one", 1).await;
    command(&process, id, Act::Pause).await;
    // The next write tells the driver that somebody spoke.
    gate.notify_one();
    assert!(settled.await.is_err(), "a paused saga is given up");
    process.idle().await;
    let journal = kinds(&process.journal(id).await);
    assert_eq!(journal.iter().filter(|kind| *kind == "operator Pause").count(), 1, "{journal:?}");
    let head = process.head(id).await;
    assert_eq!((head.paused, head.due_at), (true, None));
    command(&process, id, Act::Resume).await;
    process.engine.adopt(id, || ()).await;
    assert_eq!(process.head(id).await.state, SagaState::Completed);
    assert!(process.store.inner().load(id).await.unwrap().unwrap().commands.is_empty());
}

#[tokio::test]
async fn a_command_that_cannot_be_read_is_taken_and_does_not_come_again() {
    let (process, saga) =
        alone(Script::default().on("one", vec![Deed::Answer(Answer::Wrong { reason: "no".to_owned() })]), ORDER);
    let (id, settled) = process.run(&saga).await;
    assert_eq!(settled.state, SagaState::Quarantined);
    process.store.inner().command(id, Owner::random(), bytes("nonsense")).await.unwrap();
    process.engine.adopt(id, || ()).await;
    let loaded = process.store.inner().load(id).await.unwrap().unwrap();
    assert!(loaded.commands.is_empty());
    assert_eq!((loaded.head.state, loaded.head.due_at), (SagaState::Quarantined, None));
}

#[tokio::test]
async fn a_long_wait_is_parked_and_a_short_one_is_not() {
    let later = Answer::NotYet { reason: "busy".to_owned(), retry_after: Some(Duration::from_secs(100)) };
    let (process, saga) = alone(Script::default().on("two", vec![Deed::Answer(later)]), ORDER);
    let id = SagaId::random();
    let Ok(Begun::Here(settled)) = process.begin(id, &saga).await else { panic!() };
    assert!(settled.await.is_err());
    process.idle().await;
    let head = process.head(id).await;
    let due_in = head.updated_at.until(head.due_at.unwrap());
    assert!(due_in > Duration::from_secs(90), "{due_in:?}");
    assert!(process.engine.common.leases.is_empty(), "a parked saga holds nothing");
}
