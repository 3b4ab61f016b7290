//! Rules of commands.

use refrain::store::{
    Store,
    journal::{Commanded, MAX_COMMANDS, SagaHeld},
};

use super::*;

async fn command(store: &impl Journal, id: SagaId, text: &'static str) -> Commanded {
    store.command(id, Owner::random(), text.into()).await.unwrap()
}

async fn waiting(store: &impl Journal, id: SagaId) -> Vec<Bytes> {
    let commands = store.commands(id).await.unwrap();
    assert_eq!(loaded(store, id).await.commands, commands);
    commands
}

pub(crate) async fn a_command_waits_for_the_driver_who_is_told(on: Setup<impl Store + Journal>) {
    let first = create();
    let mut driver = fresh(&on.a.store, &first).await;
    let id = driver.token.id;
    assert_eq!(waiting(&on.a.store, id).await, Vec::<Bytes>::new());
    assert!(!driver.turn(&on.a.store, run()).await.commands);
    assert_eq!(command(&on.b.store, id, "pause").await, Commanded::Queued);
    let held = on.a.store.extend_sagas(vec![driver.renewal(LONG)]).await.unwrap();
    assert_eq!(held, [SagaHeld::Kept { commands: true }]);
    assert!(granted(on.a.store.create(first).await.unwrap()).commands);
    assert!(driver.turn(&on.a.store, run()).await.commands);
    assert_eq!(command(&on.b.store, id, "resume").await, Commanded::Queued);
    assert_eq!(waiting(&on.a.store, id).await, ["pause", "resume"].map(Bytes::from));
    assert_eq!(journal(&on.a.store, id).await, ["started", "turn", "turn"], "a command is no entry");
    driver.turn(&on.a.store, park(LONG)).await;
    let (_, seen) = leased(&on.b.store, id).await;
    assert_eq!(seen.commands, ["pause", "resume"].map(Bytes::from));
}

pub(crate) async fn a_repeated_command_waits_once(on: Setup<impl Store + Journal>) {
    let driver = driven(&on.a.store).await;
    let id = driver.token.id;
    let nonce = Owner::random();
    for store in [&on.a.store, &on.b.store, &on.a.store] {
        assert_eq!(store.command(id, nonce, "pause".into()).await.unwrap(), Commanded::Queued);
    }
    assert_eq!(waiting(&on.a.store, id).await, ["pause"].map(Bytes::from));
}

pub(crate) async fn an_append_takes_the_oldest_commands(on: Setup<impl Store + Journal>) {
    let mut driver = driven(&on.a.store).await;
    let id = driver.token.id;
    for text in ["one", "two", "three"] {
        command(&on.b.store, id, text).await;
    }
    let append = Append { commands_taken: 2, ..driver.append(&["took two"], run()) };
    assert!(driver.keep(&on.a.store, append.clone()).await.commands);
    assert_eq!(waiting(&on.b.store, id).await, ["three"].map(Bytes::from));
    on.a.store.append(append).await.unwrap();
    assert_eq!(waiting(&on.b.store, id).await, ["three"].map(Bytes::from), "a repeat takes no more");
    command(&on.b.store, id, "four").await;
    assert_eq!(waiting(&on.b.store, id).await, ["three", "four"].map(Bytes::from));
    let append = Append { commands_taken: 2, ..driver.append(&["took two"], run()) };
    assert!(!driver.keep(&on.a.store, append).await.commands);
    assert_eq!(waiting(&on.b.store, id).await, Vec::<Bytes>::new());
    command(&on.b.store, id, "five").await;
    let lost = Append { commands_taken: 1, expected: 0, ..driver.append(&["not so"], run()) };
    assert_eq!(on.a.store.append(lost).await.unwrap(), Appended::Lost);
    assert_eq!(waiting(&on.b.store, id).await, ["five"].map(Bytes::from));
}

pub(crate) async fn a_command_makes_a_saga_that_nobody_drives_due_at_once(on: Setup<impl Store + Journal>) {
    for (state, next) in [
        (SagaState::Running, park(LONG)),
        (SagaState::Compensating, Next::Rest { answer: None }),
        (SagaState::Quarantined, Next::Rest { answer: None }),
    ] {
        let mut driver = driven(&on.a.store).await;
        let id = driver.token.id;
        driver.keep(&on.a.store, Append { state, ..driver.append(&["given up"], next) }).await;
        let asked = asked_for(&on.b.store, id).await;
        assert!(matches!(asked, Leased::NotDue(_)), "{asked:?}");
        command(&on.b.store, id, "retry").await;
        assert_eq!(on.b.store.due(10, 0).await.unwrap().ids, [id], "{state:?}");
        let (_, seen) = leased(&on.b.store, id).await;
        assert_eq!((seen.head.state, seen.commands), (state, vec!["retry".into()]));
    }
}

pub(crate) async fn a_command_leaves_a_driven_saga_with_its_driver(on: Setup<impl Store + Journal>) {
    let mut driver = driven(&on.a.store).await;
    let id = driver.token.id;
    command(&on.b.store, id, "pause").await;
    let asked = asked_for(&on.b.store, id).await;
    assert!(matches!(asked, Leased::NotDue(Some(left)) if left > LONG / 2), "{asked:?}");
    assert_eq!(on.b.store.due(10, 0).await.unwrap().ids, []);
    driver.turn(&on.a.store, run()).await;
}

pub(crate) async fn a_command_that_the_driver_did_not_see_makes_the_saga_due_when_it_is_given_up(
    on: Setup<impl Store + Journal>,
) {
    for next in [park(LONG), Next::Rest { answer: None }] {
        let mut driver = driven(&on.a.store).await;
        let id = driver.token.id;
        command(&on.b.store, id, "seen").await;
        command(&on.b.store, id, "not seen").await;
        let append = Append { commands_taken: 1, ..driver.append(&["given up"], next.clone()) };
        assert!(driver.keep(&on.a.store, append).await.commands);
        assert_eq!(on.b.store.due(10, 0).await.unwrap().ids, [id], "{next:?}");
        let (_, seen) = leased(&on.b.store, id).await;
        assert_eq!(seen.commands, ["not seen"].map(Bytes::from));
    }
}

pub(crate) async fn only_so_many_commands_wait(on: Setup<impl Store + Journal>) {
    let mut driver = driven(&on.a.store).await;
    let id = driver.token.id;
    let nonce = Owner::random();
    assert_eq!(on.b.store.command(id, nonce, "first".into()).await.unwrap(), Commanded::Queued);
    for _ in 1..MAX_COMMANDS {
        assert_eq!(command(&on.b.store, id, "more").await, Commanded::Queued);
    }
    assert_eq!(command(&on.b.store, id, "too many").await, Commanded::Full);
    assert_eq!(on.b.store.command(id, nonce, "first".into()).await.unwrap(), Commanded::Queued, "it waits already");
    assert_eq!(waiting(&on.b.store, id).await.len(), MAX_COMMANDS);
    driver.keep(&on.a.store, Append { commands_taken: 1, ..driver.append(&["took one"], run()) }).await;
    assert_eq!(command(&on.b.store, id, "one more").await, Commanded::Queued);
    assert_eq!(command(&on.b.store, id, "too many").await, Commanded::Full);
}

pub(crate) async fn an_absent_or_ended_saga_takes_no_command(on: Setup<impl Store + Journal>) {
    let nobody = SagaId::random();
    assert_eq!(command(&on.a.store, nobody, "go").await, Commanded::Absent);
    assert_eq!(on.a.store.commands(nobody).await.unwrap(), Vec::<Bytes>::new());
    let mut driver = driven(&on.a.store).await;
    let retention = SHORT;
    driver.turn(&on.a.store, Next::End { answer: Bytes::new(), retention: LONG }).await;
    assert_eq!(command(&on.b.store, driver.token.id, "go").await, Commanded::Ended);
    let mut driver = driven(&on.a.store).await;
    driver.turn(&on.a.store, Next::End { answer: Bytes::new(), retention }).await;
    on.time.pass(retention).await;
    assert_eq!(command(&on.b.store, driver.token.id, "go").await, Commanded::Absent);
}

pub(crate) async fn the_end_drops_the_commands(on: Setup<impl Store + Journal>) {
    let mut driver = driven(&on.a.store).await;
    let id = driver.token.id;
    command(&on.b.store, id, "too late").await;
    assert!(!driver.turn(&on.a.store, end()).await.commands);
    assert_eq!(waiting(&on.b.store, id).await, Vec::<Bytes>::new());
}
