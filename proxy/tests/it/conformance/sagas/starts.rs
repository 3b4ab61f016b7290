//! Rules of the beginning, and of definitions.

use refrain::store::{
    Store, StoreError,
    journal::{MAX_ENTRIES_AT_ONCE, MAX_ENTRY_BYTES},
};

use super::*;

pub(crate) async fn a_new_saga_is_its_creators(on: Setup<impl Store + Journal>) {
    let first = create();
    let granted = granted(on.a.store.create(first.clone()).await.unwrap());
    assert_eq!((granted.version, granted.commands), (1, false));
    let seen = loaded(&on.b.store, first.id).await;
    let head = seen.head;
    assert!(head.birth.created_at > Timestamp::from_unix_ms(1 << 39), "the store says when: {:?}", head.birth.created_at);
    assert_eq!(head.birth, Birth { created_at: head.birth.created_at, ..first.birth });
    assert_eq!((head.state, head.paused, head.version, head.fence), (SagaState::Running, false, 1, granted.fence));
    assert_eq!((head.updated_at, head.answer), (head.birth.created_at, None));
    assert_eq!(head.due_at, Some(head.updated_at.plus(LONG)), "the lease's end");
    assert_eq!((seen.entries, seen.commands), (first.entries, Vec::<Bytes>::new()));
}

pub(crate) async fn a_repeat_of_a_create_gets_the_same_fence_also_after_appends(on: Setup<impl Store + Journal>) {
    let first = create();
    let mut driver = fresh(&on.a.store, &first).await;
    for version in 1..4 {
        let again = granted(on.b.store.create(first.clone()).await.unwrap());
        assert_eq!((again.fence, again.version), (driver.token.fence, version));
        driver.turn(&on.a.store, run()).await;
    }
    assert_eq!(journal(&on.b.store, first.id).await, ["started", "turn", "turn", "turn"], "a repeat writes nothing");
}

pub(crate) async fn a_repeat_of_a_create_that_gave_the_saga_up_or_ended_it_is_fresh(on: Setup<impl Store + Journal>) {
    for (state, next) in [
        (SagaState::Running, park(LONG)),
        (SagaState::Quarantined, Next::Rest { answer: Some("so far".into()) }),
        (SagaState::Completed, end()),
    ] {
        let first = Create { state, next, ..create() };
        let driver = fresh(&on.a.store, &first).await;
        assert_eq!(fresh(&on.a.store, &first).await.token, driver.token, "{state:?}");
        assert_eq!(loaded(&on.b.store, first.id).await.head.state, state);
        let held = on.a.store.append(driver.append(&["more"], run())).await.unwrap();
        assert_eq!(held, Appended::Lost, "it was given up: {state:?}");
    }
}

pub(crate) async fn a_second_create_is_told_how_the_first_stands(on: Setup<impl Store + Journal>) {
    let first = create();
    let mut driver = fresh(&on.a.store, &first).await;
    driver.turn(&on.a.store, run()).await;
    let head = loaded(&on.a.store, first.id).await.head;
    let second = Create { entries: vec!["another start".into()], ..again(&first) };
    assert_eq!(on.b.store.create(second).await.unwrap(), Created::Running(Box::new(head)));
    assert_eq!(journal(&on.b.store, first.id).await, ["started", "turn"], "nothing is written");
}

pub(crate) async fn a_create_of_an_ended_saga_gets_its_answer(on: Setup<impl Store + Journal>) {
    let first = create();
    let mut driver = fresh(&on.a.store, &first).await;
    driver.turn(&on.a.store, end()).await;
    match on.b.store.create(again(&first)).await.unwrap() {
        Created::Ended(head) => {
            assert_eq!((head.state, head.due_at, head.version), (SagaState::Completed, None, 2));
            let answer = head.answer.expect("the answer");
            assert_eq!((answer.bytes.as_ref(), answer.fence), (b"the answer".as_slice(), driver.token.fence));
        }
        other => panic!("expected Ended, got {other:?}"),
    }
}

pub(crate) async fn another_fingerprint_or_name_is_a_mismatch(on: Setup<impl Store + Journal>) {
    let first = create();
    let mut driver = fresh(&on.a.store, &first).await;
    let fingerprint = Birth { fingerprint: Fingerprint::from_bytes([9; 32]), ..first.birth.clone() };
    let name = Birth { name: "orders".to_owned(), ..first.birth.clone() };
    let definition = Birth { definition: DefinitionHash::from_bytes([8; 32]), version: 4, ..first.birth.clone() };
    for ended in [false, true] {
        for birth in [&fingerprint, &name] {
            let other = Create { birth: birth.clone(), ..again(&first) };
            assert_eq!(on.b.store.create(other).await.unwrap(), Created::Mismatch);
        }
        let newer = on.b.store.create(Create { birth: definition.clone(), ..again(&first) }).await.unwrap();
        assert!(!matches!(newer, Created::Mismatch), "a saga outlives a change of its definition: {newer:?}");
        if !ended {
            driver.turn(&on.a.store, end()).await;
        }
    }
}

pub(crate) async fn one_of_many_concurrent_creates_is_fresh(on: Setup<impl Store + Journal>) {
    let first = create();
    let tries = (0..16).map(|n| {
        let store = if n % 2 == 0 { on.a.store.clone() } else { on.b.store.clone() };
        let create = Create { entries: vec![Bytes::from(vec![n])], ..again(&first) };
        async move { (n, store.create(create).await.unwrap()) }
    });
    let answers = futures_util::future::join_all(tries).await;
    let winners: Vec<u8> = answers.iter().filter(|(_, answer)| matches!(answer, Created::Fresh(_))).map(|(n, _)| *n).collect();
    assert_eq!(winners.len(), 1, "{answers:?}");
    assert_eq!(loaded(&on.a.store, first.id).await.entries, [Bytes::from(winners)]);
}

pub(crate) async fn an_id_is_free_again_after_the_retention(on: Setup<impl Store + Journal>) {
    let first = create();
    let mut driver = fresh(&on.a.store, &first).await;
    driver.turn(&on.a.store, run()).await;
    // More than goes with one write, before it.
    for _ in 0..20 {
        let end = Next::End { answer: Bytes::new(), retention: SHORT / 2 };
        fresh(&on.a.store, &Create { state: SagaState::Completed, next: end, ..create() }).await;
    }
    let retention = SHORT;
    driver.turn(&on.a.store, Next::End { answer: "old".into(), retention }).await;
    on.time.pass(retention).await;
    let other = Create {
        birth: Birth { fingerprint: Fingerprint::from_bytes([9; 32]), ..first.birth.clone() },
        entries: vec!["a new life".into()],
        ..again(&first)
    };
    let mut second = fresh(&on.b.store, &other).await;
    assert!(second.token.fence > driver.token.fence, "the fence tells the incarnations apart");
    second.turn(&on.b.store, run()).await;
    let seen = loaded(&on.a.store, first.id).await;
    assert_eq!((seen.head.answer, seen.head.version), (None, 2));
    assert_eq!(journal(&on.a.store, first.id).await, ["a new life", "turn"]);

    // Also where it is not kept at all.
    let born = fresh(&on.a.store, &Create { state: SagaState::Completed, next: end_at_once(), ..create() }).await;
    on.time.pass(Duration::from_millis(1)).await;
    let reborn = Create { id: born.token.id, entries: vec!["again".into()], ..create() };
    assert!(fresh(&on.a.store, &reborn).await.token.fence > born.token.fence);
    assert_eq!(journal(&on.b.store, born.token.id).await, ["again"]);
}

fn end_at_once() -> Next {
    Next::End { answer: Bytes::new(), retention: Duration::ZERO }
}

pub(crate) async fn what_would_be_in_nobodys_hands_is_refused(on: Setup<impl Store + Journal>) {
    let rest = Next::Rest { answer: None };
    for (state, next) in [
        (SagaState::Running, end()),
        (SagaState::Quarantined, end()),
        (SagaState::Completed, run()),
        (SagaState::Compensated, park(LONG)),
        (SagaState::Completed, rest.clone()),
        (SagaState::Running, rest),
    ] {
        let wrong = Create { state, next: next.clone(), ..create() };
        let refused = on.a.store.create(wrong.clone()).await;
        assert!(matches!(refused, Err(StoreError::Refused(_))), "{state:?} {next:?}: {refused:?}");
        assert_eq!(on.a.store.load(wrong.id).await.unwrap(), None);
        let driver = driven(&on.a.store).await;
        let append = Append { state, paused: false, ..driver.append(&["turn"], next.clone()) };
        let refused = on.a.store.append(append).await;
        assert!(matches!(refused, Err(StoreError::Refused(_))), "{state:?} {next:?}: {refused:?}");
        assert_eq!(journal(&on.a.store, driver.token.id).await, ["started"]);
    }
    let many = Create { entries: vec![Bytes::new(); MAX_ENTRIES_AT_ONCE + 1], ..create() };
    assert!(matches!(on.a.store.create(many).await, Err(StoreError::Refused(_))));
    let large = Create { entries: vec![vec![0; MAX_ENTRY_BYTES + 1].into()], ..create() };
    assert!(matches!(on.a.store.create(large).await, Err(StoreError::Refused(_))));
}

pub(crate) async fn a_definition_is_kept_as_it_was_first_pinned(on: Setup<impl Store + Journal>) {
    let [first, second] = [[1; 32], [2; 32]].map(DefinitionHash::from_bytes);
    assert_eq!(on.a.store.definition(first).await.unwrap(), None);
    on.a.store.pin(first, "the first".into()).await.unwrap();
    on.b.store.pin(first, "the first".into()).await.unwrap();
    on.b.store.pin(second, vec![0, 255, 7].into()).await.unwrap();
    on.a.store.pin(second, "something else".into()).await.unwrap();
    assert_eq!(on.b.store.definition(first).await.unwrap(), Some("the first".into()));
    assert_eq!(on.a.store.definition(second).await.unwrap(), Some(vec![0, 255, 7].into()));
    on.time.pass(SHORT).await;
    assert!(on.a.store.definition(first).await.unwrap().is_some());
    let large = on.a.store.pin(first, vec![0; MAX_ENTRY_BYTES + 1].into()).await;
    assert!(matches!(large, Err(StoreError::Refused(_))), "{large:?}");
}
