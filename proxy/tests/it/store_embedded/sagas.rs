//! What the embedded store promises of sagas, besides the rules of every store.

use std::{path::Path, time::Duration};

use refrain::{
    ids::Owner,
    store::{
        Store,
        clock::{ManualClock, StoreClock},
        embedded::EmbeddedStore,
        journal::{Append, Appended, Journal, Leased, Next, SagaState},
        wakes::Wakes,
    },
    time::Timestamp,
};
use saga_config::saga::DefinitionHash;

use super::FILE;
use crate::conformance::{
    LONG,
    sagas::{asked_for, create, driven, end, fresh, journal, leased, loaded, park},
};

fn clock() -> (StoreClock, ManualClock) {
    StoreClock::manual(Timestamp::from_unix_ms(1 << 40))
}

fn open(dir: &Path, clock: &StoreClock) -> EmbeddedStore {
    EmbeddedStore::open_with(&dir.join(FILE), Wakes::default(), clock.clone()).unwrap()
}

#[tokio::test]
async fn after_a_restart_driven_sagas_are_due_at_once_and_timers_keep_their_time() {
    let dir = tempfile::tempdir().unwrap();
    let (clock, hand) = clock();
    let store = open(dir.path(), &clock);
    let running = driven(&store).await;
    let [mut parked, mut soon, mut resting, mut ended] =
        [driven(&store).await, driven(&store).await, driven(&store).await, driven(&store).await];
    parked.turn(&store, park(LONG)).await;
    soon.turn(&store, park(LONG / 4)).await;
    resting.keep(&store, Append { paused: true, ..resting.append(&["paused"], Next::Rest { answer: None }) }).await;
    ended.turn(&store, end()).await;
    assert_eq!(store.due(10, 0).await.unwrap().ids, []);
    let (before, counts) = (loaded(&store, parked.token.id).await.head, store.count().await.unwrap());
    store.close().await;

    let store = open(dir.path(), &clock);
    let due = store.due(10, 0).await.unwrap();
    assert_eq!((due.ids, due.next_in), (vec![running.token.id], Some(LONG / 4)), "at once, not after its lease");
    assert_eq!(loaded(&store, parked.token.id).await.head, before);
    assert_eq!(store.count().await.unwrap(), counts);
    assert_eq!(asked_for(&store, parked.token.id).await, Leased::NotDue(Some(LONG)));
    assert_eq!(asked_for(&store, resting.token.id).await, Leased::NotDue(None));
    assert_eq!(asked_for(&store, ended.token.id).await, Leased::Gone);
    let (mut next, seen) = leased(&store, running.token.id).await;
    assert_eq!(seen.entries, ["started"]);
    assert!(next.token.fence > running.token.fence);
    assert_eq!(store.append(running.append(&["too late"], park(LONG))).await.unwrap(), Appended::Lost);
    assert_eq!(store.due(10, 0).await.unwrap().ids, [], "it is driven in this life");
    next.turn(&store, park(LONG)).await;
    hand.advance(LONG / 4);
    assert_eq!(store.due(10, 0).await.unwrap().ids, [soon.token.id]);
    store.close().await;
}

#[tokio::test]
async fn many_lives_leave_each_saga_due_once() {
    let dir = tempfile::tempdir().unwrap();
    let (clock, hand) = clock();
    let mut all = Vec::new();
    for life in 0..4 {
        let store = open(dir.path(), &clock);
        // Those of earlier lives are due, and one of them is taken again in each.
        assert_eq!(store.due(10, 0).await.unwrap().ids.len(), life);
        if let Some(id) = all.first() {
            leased(&store, *id).await;
            assert_eq!(store.due(10, 0).await.unwrap().ids.len(), life - 1);
        }
        all.push(driven(&store).await.token.id);
        hand.advance(Duration::from_secs(1));
        store.close().await;
    }
    let store = open(dir.path(), &clock);
    let mut due = store.due(10, 0).await.unwrap().ids;
    due.sort_unstable();
    all.sort_unstable();
    assert_eq!(due, all);
    for id in due {
        leased(&store, id).await;
    }
    assert_eq!(store.due(10, 0).await.unwrap().ids, []);
    hand.advance(LONG);
    assert_eq!(store.due(10, 0).await.unwrap().ids.len(), all.len());
    store.close().await;
}

#[tokio::test]
async fn what_was_acknowledged_of_a_saga_is_in_the_file_already() {
    let dir = tempfile::tempdir().unwrap();
    let (clock, _) = clock();
    let store = open(dir.path(), &clock);
    let mut driver = driven(&store).await;
    for _ in 0..20 {
        driver.turn(&store, Next::Run { lease: LONG }).await;
    }
    store.command(driver.token.id, Owner::random(), "pause".into()).await.unwrap();
    let hash = DefinitionHash::from_bytes([1; 32]);
    store.pin(hash, "a definition".into()).await.unwrap();
    let copy = tempfile::tempdir().unwrap();
    std::fs::copy(dir.path().join(FILE), copy.path().join(FILE)).unwrap();

    let found = open(copy.path(), &clock);
    let (_, seen) = leased(&found, driver.token.id).await;
    assert_eq!((seen.head.version, seen.entries.len(), seen.commands), (21, 21, vec!["pause".into()]));
    assert_eq!(found.definition(hash).await.unwrap(), Some("a definition".into()));
}

#[tokio::test]
async fn what_only_reads_never_waits_for_the_writer() {
    let dir = tempfile::tempdir().unwrap();
    let (clock, _) = clock();
    let store = open(dir.path(), &clock);
    let first = create();
    let mut driver = fresh(&store, &first).await;
    let id = driver.token.id;
    let hash = DefinitionHash::from_bytes([1; 32]);
    store.pin(hash, "a definition".into()).await.unwrap();
    let reads = async || {
        let (before, trips) = (store.stats(), store.health().round_trips);
        store.load(id).await.unwrap();
        store.attach(id, Some(refrain::ids::Mailbox::random())).await.unwrap();
        store.commands(id).await.unwrap();
        store.due(10, 0).await.unwrap();
        store.list(refrain::store::journal::Listing { limit: 10, ..Default::default() }).await.unwrap();
        store.count().await.unwrap();
        store.definition(hash).await.unwrap();
        store.pin(hash, "a definition".into()).await.unwrap();
        store.create(crate::conformance::sagas::again(&first)).await.unwrap();
        asked_for(&store, id).await;
        let after = store.stats();
        assert_eq!((after.commits, after.reads), (before.commits, before.reads + 10), "each is a read");
        assert_eq!(store.health().round_trips, trips + 10);
    };
    reads().await;
    driver.turn(&store, end()).await;
    reads().await;
    let commits = store.stats().commits;
    futures_util::future::join_all((0..50).map(|_| driven(&store))).await;
    assert!(store.stats().commits - commits < 50, "concurrent writes share commits");
    store.close().await;
}

#[tokio::test]
async fn ended_sagas_make_room_for_new_ones() {
    let dir = tempfile::tempdir().unwrap();
    let (clock, hand) = clock();
    let store = open(dir.path(), &clock);
    let mut lengths = Vec::new();
    for _ in 0..6 {
        let large = vec![bytes::Bytes::from(vec![7; 64 << 10]); 16];
        for _ in 0..8 {
            let mut driver = driven(&store).await;
            let state = SagaState::Completed;
            driver.keep(&store, Append { entries: large.clone(), state, ..driver.append(&[], end()) }).await;
        }
        hand.advance(LONG + Duration::from_secs(20));
        let sweeping = async {
            // Each write takes a bite.
            while store.count().await.unwrap() != [0; 5] {
                store.forget(crate::conformance::name()).await.unwrap();
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), sweeping).await.expect("they go");
        lengths.push(std::fs::metadata(dir.path().join(FILE)).unwrap().len());
    }
    assert!(lengths.iter().all(|length| *length <= lengths[0] * 3), "the file grows on: {lengths:?}");
    let kept = driven(&store).await;
    assert_eq!(journal(&store, kept.token.id).await, ["started"]);
    store.close().await;
}
