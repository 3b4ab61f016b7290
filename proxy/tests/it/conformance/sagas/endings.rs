//! Rules of ends, quarantine and those who wait for them.

use refrain::store::{Store, journal::Attached, wakes::Listener};

use super::*;

/// A process that waits for the saga: it listens, then attaches.
async fn waiter<S: Store + Journal>(process: &Process<S>, id: SagaId) -> Listener {
    let listener = process.wakes.listen(id.as_record());
    let attached = process.store.attach(id, Some(process.wakes.mailbox())).await.unwrap().expect("it is there");
    assert!(!attached.head.state.is_end());
    listener
}

async fn is_woken(mut listener: Listener, why: &str) {
    tokio::time::timeout(PATIENCE, listener.woken()).await.unwrap_or_else(|_| panic!("not woken: {why}"));
}

pub(crate) async fn an_end_wakes_those_who_wait_in_both_processes(on: Setup<impl Store + Journal>) {
    for state in [SagaState::Completed, SagaState::Compensated] {
        let first = create();
        let mut driver = fresh(&on.a.store, &first).await;
        let (one, two) = (waiter(&on.a, first.id).await, waiter(&on.b, first.id).await);
        driver.keep(&on.a.store, Append { state, ..driver.append(&["end"], end()) }).await;
        is_woken(one, "own process").await;
        is_woken(two, "other process").await;
    }
    // A second create waits as well.
    let first = create();
    let mut driver = fresh(&on.a.store, &first).await;
    let waiting = on.b.wakes.listen(first.id.as_record());
    let second = Create { mailbox: Some(on.b.wakes.mailbox()), ..again(&first) };
    assert!(matches!(on.b.store.create(second).await.unwrap(), Created::Running(_)));
    driver.turn(&on.a.store, park(Duration::ZERO)).await;
    let (mut driver, _) = leased(&on.a.store, first.id).await;
    driver.turn(&on.a.store, end()).await;
    is_woken(waiting, "a second create, through a change of hands").await;
}

pub(crate) async fn quarantine_wakes_those_who_wait_and_answers_for_the_time_being(on: Setup<impl Store + Journal>) {
    let first = create();
    let mut driver = fresh(&on.a.store, &first).await;
    let waiting = waiter(&on.b, first.id).await;
    let rest = Next::Rest { answer: Some("we are looking into it".into()) };
    driver.keep(&on.a.store, Append { state: SagaState::Quarantined, ..driver.append(&["stuck"], rest) }).await;
    is_woken(waiting, "quarantine").await;
    match on.b.store.create(again(&first)).await.unwrap() {
        Created::Running(head) => {
            assert_eq!((head.state, head.due_at), (SagaState::Quarantined, None));
            assert_eq!(head.answer.map(|answer| answer.bytes), Some("we are looking into it".into()));
        }
        other => panic!("expected Running, got {other:?}"),
    }
}

pub(crate) async fn the_answer_of_a_quarantine_goes_when_the_saga_goes_on(on: Setup<impl Store + Journal>) {
    let first = create();
    let mut driver = fresh(&on.a.store, &first).await;
    let answered = async || loaded(&on.b.store, first.id).await.head.answer.is_some();
    let quarantined = SagaState::Quarantined;
    let rest = Next::Rest { answer: Some("we are looking into it".into()) };
    driver.keep(&on.a.store, Append { state: quarantined, ..driver.append(&["stuck"], rest) }).await;
    on.b.store.command(first.id, Owner::random(), "retry".into()).await.unwrap();
    let (mut driver, _) = leased(&on.a.store, first.id).await;
    driver.keep(&on.a.store, Append { state: quarantined, ..driver.append(&["looked at"], run()) }).await;
    assert!(answered().await, "still quarantined");
    let waiting = async {
        driver.turn(&on.a.store, run()).await;
        assert!(!answered().await);
        waiter(&on.b, first.id).await
    };
    let waiting = waiting.await;
    driver.turn(&on.a.store, end()).await;
    is_woken(waiting, "the end after a quarantine").await;
    let not_quarantined = driven(&on.a.store).await;
    let rest = not_quarantined.append(&["paused"], Next::Rest { answer: Some("no answer".into()) });
    on.a.store.append(rest).await.unwrap();
    assert_eq!(loaded(&on.b.store, not_quarantined.token.id).await.head.answer, None);
}

pub(crate) async fn an_open_saga_never_expires(on: Setup<impl Store + Journal>) {
    let mut all = Vec::new();
    for (state, next) in [
        (SagaState::Running, Next::Run { lease: SHORT }),
        (SagaState::Compensating, park(SHORT)),
        (SagaState::Quarantined, Next::Rest { answer: None }),
        (SagaState::Running, Next::Rest { answer: None }),
    ] {
        let mut driver = driven(&on.a.store).await;
        driver.keep(&on.a.store, Append { state, ..driver.append(&["open"], next) }).await;
        all.push(driver.token.id);
    }
    on.time.pass(SHORT * 3).await;
    if let Time::Manual(hand) = &on.time {
        hand.advance(Duration::from_secs(86_400 * 366));
    }
    // A write, for what is dropped with writes.
    driven(&on.a.store).await;
    for id in all {
        assert_eq!(journal(&on.b.store, id).await, ["started", "open"]);
    }
}

pub(crate) async fn an_ended_saga_goes_after_its_retention(on: Setup<impl Store + Journal>) {
    let first = create();
    let mut driver = fresh(&on.a.store, &first).await;
    driver.turn(&on.a.store, end()).await;
    let mut short = driven(&on.a.store).await;
    short.turn(&on.a.store, Next::End { answer: "gone".into(), retention: SHORT }).await;
    on.time.pass(SHORT).await;
    let id = short.token.id;
    assert_eq!(on.b.store.load(id).await.unwrap(), None);
    assert_eq!(on.b.store.attach(id, Some(on.b.wakes.mailbox())).await.unwrap(), None);
    assert_eq!(asked_for(&on.b.store, id).await, Leased::Gone);
    assert_eq!(on.a.store.append(short.append(&["late"], run())).await.unwrap(), Appended::Lost);
    let all = refrain::store::journal::Listing { limit: 10, ..Default::default() };
    let listed = on.b.store.list(all).await.unwrap();
    assert_eq!(listed.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [first.id], "the other is kept for longer");
}

pub(crate) async fn attaching_tells_the_head(on: Setup<impl Store + Journal>) {
    assert_eq!(on.a.store.attach(SagaId::random(), Some(on.a.wakes.mailbox())).await.unwrap(), None);
    let mut driver = driven(&on.a.store).await;
    for next in [run(), park(LONG), end()] {
        if matches!(next, Next::End { .. }) {
            on.b.store.command(driver.token.id, Owner::random(), "go on".into()).await.unwrap();
            driver = leased(&on.a.store, driver.token.id).await.0;
        }
        driver.turn(&on.a.store, next).await;
        let seen = loaded(&on.a.store, driver.token.id).await;
        for mailbox in [None, Some(on.b.wakes.mailbox())] {
            let Attached { head, now } = on.b.store.attach(driver.token.id, mailbox).await.unwrap().expect("it is there");
            assert_eq!(head, seen.head);
            assert!(now >= seen.now);
        }
    }
}
