//! Rules of the journal itself.

use refrain::{
    ids::Fence,
    store::{
        Store, StoreError,
        journal::{MAX_ENTRIES_AT_ONCE, MAX_ENTRY_BYTES, MAX_JOURNAL_ENTRIES},
    },
};

use super::*;

pub(crate) async fn entries_are_kept_in_order_byte_for_byte(on: Setup<impl Store + Journal>) {
    let mut driver = driven(&on.a.store).await;
    let mut expected = vec![Bytes::from_static(b"started")];
    for n in 0..20_u8 {
        let entries: Vec<Bytes> = (0..n % 4).map(|m| Bytes::from(vec![n, 0, 255, b'\r', b'\n', m])).collect();
        expected.extend(entries.iter().cloned());
        let granted = driver.keep(&on.a.store, Append { entries, ..driver.append(&[], run()) }).await;
        assert_eq!(granted.version, u64::try_from(expected.len()).unwrap());
    }
    let large = Bytes::from(vec![0xAB; 1 << 20]);
    expected.extend([Bytes::new(), large.clone()]);
    driver.keep(&on.a.store, Append { entries: vec![Bytes::new(), large], ..driver.append(&[], run()) }).await;
    let seen = loaded(&on.b.store, driver.token.id).await;
    assert_eq!(seen.head.version, driver.version);
    assert!(seen.entries == expected, "{} entries and {}", seen.entries.len(), expected.len());
}

pub(crate) async fn another_owner_fence_or_version_changes_nothing(on: Setup<impl Store + Journal>) {
    let mut driver = driven(&on.a.store).await;
    driver.turn(&on.a.store, run()).await;
    let before = loaded(&on.a.store, driver.token.id).await;
    let good = driver.append(&["not so"], Next::Park { due_in: Duration::ZERO });
    let token = driver.token;
    for append in [
        Append { token: SagaToken { owner: Owner::random(), ..token }, ..good.clone() },
        Append { token: SagaToken { fence: Fence(token.fence.0 + 1), ..token }, ..good.clone() },
        Append { token: SagaToken { fence: Fence(token.fence.0 - 1), ..token }, ..good.clone() },
        Append { token: SagaToken { id: SagaId::random(), ..token }, ..good.clone() },
        Append { expected: driver.version - 1, ..good.clone() },
        Append { expected: driver.version + 1, ..good.clone() },
    ] {
        assert_eq!(on.b.store.append(append.clone()).await.unwrap(), Appended::Lost, "{append:?}");
    }
    let after = loaded(&on.a.store, driver.token.id).await;
    assert_eq!(Loaded { now: before.now, ..after }, before);
    driver.keep(&on.a.store, good).await;
}

pub(crate) async fn a_repeated_append_is_applied_once(on: Setup<impl Store + Journal>) {
    for next in [run(), park(LONG), park(Duration::ZERO), Next::Rest { answer: None }, end()] {
        let mut driver = driven(&on.a.store).await;
        let append = driver.append(&["one", "two"], next.clone());
        let first = driver.keep(&on.a.store, append.clone()).await;
        for store in [&on.a.store, &on.b.store] {
            match store.append(append.clone()).await.unwrap() {
                Appended::Kept(again) => {
                    assert_eq!((again.fence, again.version, again.commands), (first.fence, 3, false), "{next:?}");
                }
                other => panic!("{next:?}: {other:?}"),
            }
        }
        assert_eq!(journal(&on.b.store, driver.token.id).await, ["started", "one", "two"]);
        if next == run() {
            driver.turn(&on.a.store, run()).await;
            assert_eq!(on.a.store.append(append).await.unwrap(), Appended::Lost, "it is the last append that can be repeated");
        }
    }
}

pub(crate) async fn an_append_after_giving_up_is_lost(on: Setup<impl Store + Journal>) {
    for next in [park(LONG), park(Duration::ZERO), Next::Rest { answer: None }, end()] {
        let mut driver = driven(&on.a.store).await;
        driver.turn(&on.a.store, next.clone()).await;
        let later = on.a.store.append(driver.append(&["later"], run())).await.unwrap();
        assert_eq!(later, Appended::Lost, "{next:?}");
        assert_eq!(journal(&on.b.store, driver.token.id).await, ["started", "turn"]);
    }
}

pub(crate) async fn a_fenced_driver_cannot_append_and_its_repeat_is_lost(on: Setup<impl Store + Journal>) {
    let mut first = driven(&on.a.store).await;
    let append = first.append(&["mine"], park(Duration::ZERO));
    first.keep(&on.a.store, append.clone()).await;
    let (mut second, seen) = leased(&on.b.store, first.token.id).await;
    assert_eq!(seen.head.version, 2);
    assert_eq!(on.a.store.append(append).await.unwrap(), Appended::Lost, "its repeat: the saga is not its any more");
    assert_eq!(on.a.store.append(first.append(&["not mine"], run())).await.unwrap(), Appended::Lost);
    let stolen = SagaToken { fence: second.token.fence, ..first.token };
    let append = Append { token: stolen, ..second.append(&["not mine"], run()) };
    assert_eq!(on.a.store.append(append).await.unwrap(), Appended::Lost, "the fence alone is not enough");
    second.turn(&on.b.store, run()).await;
    assert_eq!(journal(&on.a.store, first.token.id).await, ["started", "mine", "turn"]);
}

pub(crate) async fn an_append_under_a_lapsed_lease_that_nobody_took_counts(on: Setup<impl Store + Journal>) {
    let mut driver = fresh(&on.a.store, &Create { next: Next::Run { lease: SHORT }, ..create() }).await;
    on.time.pass(SHORT).await;
    driver.turn(&on.a.store, run()).await;
    let asked = asked_for(&on.b.store, driver.token.id).await;
    assert!(matches!(asked, Leased::NotDue(Some(left)) if left > LONG / 2), "and renews the lease: {asked:?}");
}

pub(crate) async fn an_empty_append_applies_what_comes_next(on: Setup<impl Store + Journal>) {
    let mut driver = driven(&on.a.store).await;
    let append = Append { state: SagaState::Compensating, paused: true, ..driver.append(&[], Next::Rest { answer: None }) };
    assert_eq!(driver.keep(&on.a.store, append).await.version, 1);
    let head = loaded(&on.b.store, driver.token.id).await.head;
    assert_eq!((head.state, head.paused, head.due_at), (SagaState::Compensating, true, None));
}

pub(crate) async fn one_of_two_appends_to_the_same_version_is_kept(on: Setup<impl Store + Journal>) {
    let mut driver = driven(&on.a.store).await;
    for _ in 0..10 {
        let (one, two) = (driver.append(&["one"], run()), driver.append(&["two"], run()));
        let (one, two) = tokio::join!(on.a.store.append(one), on.b.store.append(two));
        let kept = [one.unwrap(), two.unwrap()].map(|answer| matches!(answer, Appended::Kept(_)));
        assert!(kept[0] != kept[1], "{kept:?}");
        driver.version += 1;
        let last = journal(&on.a.store, driver.token.id).await.pop();
        assert_eq!(last.as_deref(), Some(if kept[0] { "one" } else { "two" }));
    }
}

pub(crate) async fn too_much_at_once_is_refused(on: Setup<impl Store + Journal>) {
    let mut driver = driven(&on.a.store).await;
    let id = driver.token.id;
    let many = vec![Bytes::from_static(b"x"); MAX_ENTRIES_AT_ONCE + 1];
    let large = Bytes::from(vec![0; MAX_ENTRY_BYTES + 1]);
    for append in [
        Append { entries: many.clone(), ..driver.append(&[], run()) },
        Append { entries: vec![large.clone()], ..driver.append(&[], run()) },
        driver.append(&[], Next::End { answer: large.clone(), retention: LONG }),
    ] {
        let refused = on.a.store.append(append).await;
        assert!(matches!(refused, Err(StoreError::Refused(_))), "{refused:?}");
    }
    let refused = on.a.store.command(id, Owner::random(), large).await;
    assert!(matches!(refused, Err(StoreError::Refused(_))), "{refused:?}");
    assert_eq!(journal(&on.a.store, id).await, ["started"]);
    let most = many[1..].to_vec();
    driver.keep(&on.a.store, Append { entries: most, ..driver.append(&[], run()) }).await;
}

pub(crate) async fn a_full_journal_takes_only_its_end(on: Setup<impl Store + Journal>) {
    let mut driver = driven(&on.a.store).await;
    let most = u64::try_from(MAX_ENTRIES_AT_ONCE).unwrap();
    while driver.version < MAX_JOURNAL_ENTRIES {
        let n = (MAX_JOURNAL_ENTRIES - driver.version).min(most);
        let entries = vec![Bytes::from_static(b"x"); usize::try_from(n).unwrap()];
        driver.keep(&on.a.store, Append { entries, ..driver.append(&[], run()) }).await;
    }
    assert_eq!(on.a.store.append(driver.append(&["more"], run())).await.unwrap(), Appended::Full);
    assert_eq!(on.a.store.append(driver.append(&["more"], park(LONG))).await.unwrap(), Appended::Full);
    driver.keep(&on.a.store, driver.append(&[], run())).await;
    driver.keep(&on.a.store, driver.append(&["quarantined"], Next::Rest { answer: None })).await;
    assert_eq!(driver.version, MAX_JOURNAL_ENTRIES + 1);
    on.b.store.command(driver.token.id, Owner::random(), "end".into()).await.unwrap();
    let (mut second, seen) = leased(&on.b.store, driver.token.id).await;
    assert_eq!(u64::try_from(seen.entries.len()).unwrap(), MAX_JOURNAL_ENTRIES + 1);
    second.turn(&on.b.store, end()).await;
}
