#![allow(clippy::unwrap_used)]
use redb::ReadableTableMetadata;

use super::{super::file, write::*, *};
use crate::store::{
    Store as _,
    clock::StoreClock,
    journal::{SagaState, SagaToken, fixture},
    wakes::Wakes,
};

const LONG: Duration = Duration::from_secs(600);

fn creation(n: u8) -> Create {
    fixture::creation(SagaId::from_bytes([n; SagaId::LEN]), Owner::random(), LONG)
}

async fn created(store: &EmbeddedStore, n: u8) -> SagaToken {
    let create = creation(n);
    match store.create(create.clone()).await.unwrap() {
        Created::Fresh(granted) => SagaToken { id: create.id, owner: create.owner, fence: granted.fence },
        other => panic!("expected Fresh, got {other:?}"),
    }
}

async fn append(store: &EmbeddedStore, token: SagaToken, expected: u64, entries: usize, next: Next) {
    let append = Append {
        token,
        expected,
        nonce: Owner::random(),
        entries: vec!["entry".into(); entries],
        state: if matches!(next, Next::End { .. }) { SagaState::Completed } else { SagaState::Running },
        paused: false,
        commands_taken: 0,
        next,
    };
    assert!(matches!(store.append(append).await.unwrap(), Appended::Kept(_)));
}

/// How long the tables are: sagas (driven and others), entries of journals apart from them, commands, due, lists.
fn lengths(store: &EmbeddedStore) -> [u64; 5] {
    let snapshot = store.shared.snapshot.load_full().unwrap();
    let txn = snapshot.transaction().0;
    let parts = |table| txn.open_table(table).unwrap().len().unwrap();
    let sagas = [DRIVEN, STILL].map(|table| txn.open_table(table).unwrap().len().unwrap());
    let (due, lists) = (txn.open_table(DUE).unwrap().len(), txn.open_table(LISTS).unwrap().len());
    [sagas[0] + sagas[1], parts(JOURNAL), parts(COMMANDS), due.unwrap(), lists.unwrap()]
}

#[tokio::test]
async fn a_saga_that_is_gone_leaves_nothing_and_its_journal_goes_in_bites() {
    let dir = tempfile::tempdir().unwrap();
    let (clock, hand) = StoreClock::manual(Timestamp::from_unix_ms(1 << 40));
    let store = EmbeddedStore::open_with(&dir.path().join("store.redb"), Wakes::default(), clock).unwrap();
    let mut token = created(&store, 1).await;
    for n in 0..4 {
        append(&store, token, 1 + 250 * n, 250, Next::Run { lease: LONG }).await;
    }
    store.command(token.id, Owner::random(), "never taken".into()).await.unwrap();
    append(&store, token, 1001, 1, Next::End { answer: Bytes::new(), retention: LONG }).await;
    assert_eq!(lengths(&store), [1, 1001, 0, 0, 2], "the last entry lies with its saga");
    hand.advance(LONG);
    let before = store.stats().commits;

    // The id lives again while the old journal is being swept.
    token = created(&store, 1).await;
    append(&store, token, 1, 1, Next::Run { lease: LONG }).await;
    assert!(lengths(&store)[1] > 500, "not all at once: {:?}", lengths(&store));
    hand.advance(Duration::from_secs(20));
    let sweeping = async {
        while lengths(&store)[1] != 0 {
            store.queue.run(0, |batch| batch.sagas().map(|_| ())).await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), sweeping).await.expect("the old journal goes");
    let commits = store.stats().commits - before;
    assert!(commits * 256 >= 1000, "a bite has a bound: {commits} commits");
    assert_eq!(lengths(&store), [1, 0, 0, 1, 2]);
    let entries = store.load(token.id).await.unwrap().unwrap().entries;
    assert_eq!(entries, ["started", "entry"], "the new journal is whole");
    append(&store, token, 2, 0, Next::End { answer: Bytes::new(), retention: LONG }).await;
    hand.advance(LONG + Duration::from_secs(20));
    let sweeping = async {
        while lengths(&store) != [0; 5] {
            store.queue.run(0, |batch| batch.sagas().map(|_| ())).await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), sweeping).await.expect("nothing is left");
    assert_eq!(store.count().await.unwrap(), [0; 5]);
    store.close().await;
}

#[tokio::test]
async fn an_unreadable_saga_is_named_and_harms_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.redb");
    let store = EmbeddedStore::open(&path, Wakes::default()).unwrap();
    let (bad, good) = (created(&store, 1).await, created(&store, 2).await);
    store.close().await;
    let opened = file::open(&path, StoreClock::real()).unwrap();
    let txn = opened.db.begin_write().unwrap();
    txn.open_table(DRIVEN).unwrap().insert(bad.id.as_bytes(), [9_u8, 9].as_slice()).unwrap();
    txn.commit().unwrap();
    let store = EmbeddedStore::start(&path, Wakes::default(), opened).unwrap();

    let mut due = store.due(10, 0).await.unwrap().ids;
    due.sort_unstable();
    assert_eq!(due, [bad.id, good.id], "it is still asked for");
    for answer in [
        store.load(bad.id).await.map(drop),
        store.lease(bad.id, Owner::random(), LONG).await.map(drop),
        store.create(creation(1)).await.map(drop),
        store.command(bad.id, Owner::random(), "go".into()).await.map(drop),
    ] {
        assert!(matches!(&answer, Err(StoreError::Corrupt(reason)) if reason.contains("layout 9")), "{answer:?}");
    }
    let renewals = [bad, good].map(|token| SagaRenewal { token, lease: LONG });
    let held = store.extend_sagas(renewals.to_vec()).await.unwrap();
    assert_eq!(held, [SagaHeld::Lost, SagaHeld::Kept { commands: false }]);
    let all = Listing { limit: 10, ..Listing::default() };
    assert_eq!(store.list(all).await.unwrap().iter().map(|(id, _)| *id).collect::<Vec<_>>(), [good.id]);
    append(&store, good, 1, 1, Next::Run { lease: LONG }).await;
    store.close().await;
}

#[tokio::test]
async fn a_journal_with_an_entry_missing_is_damage_and_not_a_shorter_journal() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.redb");
    let store = EmbeddedStore::open(&path, Wakes::default()).unwrap();
    let token = created(&store, 1).await;
    append(&store, token, 1, 250, Next::Park { due_in: Duration::ZERO }).await;
    store.close().await;
    let opened = file::open(&path, StoreClock::real()).unwrap();
    let txn = opened.db.begin_write().unwrap();
    let key = codec::PartKey::to_bytes(token.id, token.fence, 2);
    txn.open_table(JOURNAL).unwrap().remove(&key).unwrap().unwrap();
    txn.commit().unwrap();
    let store = EmbeddedStore::start(&path, Wakes::default(), opened).unwrap();
    for answer in [store.load(token.id).await.map(drop), store.lease(token.id, Owner::random(), LONG).await.map(drop)] {
        assert!(matches!(&answer, Err(StoreError::Corrupt(reason)) if reason.contains("250 entries")), "{answer:?}");
    }
    assert_eq!(store.health().ready, Ok(()));
    store.close().await;
}
