#![allow(clippy::unwrap_used)]
use std::{
    io,
    sync::atomic::{AtomicBool, Ordering},
};

use redb::{Builder, Database, ReadableDatabase, ReadableTableMetadata, StorageBackend, backends::FileBackend};

use super::*;
use crate::{
    ids::Fingerprint,
    store::{OnUnknown, Standing},
};

const LONG: Duration = Duration::from_secs(600);

fn name(n: u8) -> RecordName {
    RecordName::from_bytes([n; RecordName::LEN])
}

fn claim(n: u8) -> Claim {
    Claim {
        name: name(n),
        fingerprint: Fingerprint::from_bytes([1; 32]),
        owner: Owner::random(),
        lease: LONG,
        ttl: LONG,
        mailbox: None,
        on_unknown: OnUnknown::Hold,
        on_absent: OnAbsent::Begin,
        note: bytes::Bytes::new(),
    }
}

async fn fresh(store: &EmbeddedStore, claim: &Claim) -> Token {
    match store.claim(claim.clone()).await.unwrap() {
        Claimed::Fresh(grant) => Token { name: claim.name, owner: claim.owner, fence: grant.fence },
        other => panic!("expected Fresh, got {other:?}"),
    }
}

fn completion(claim: &Claim, token: Token) -> Complete {
    Complete { token, attempt: 1, fingerprint: claim.fingerprint, ttl: LONG, response: "ok".into() }
}

/// Resolves when the health is as asked; the writer sets it, so each look is an operation of its own.
async fn until(store: &EmbeddedStore, ready: bool) {
    let turning = async {
        while store.health().ready.is_ok() != ready {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), turning).await.expect("the health turns");
}

/// A file whose writes and syncs can be made to fail.
#[derive(Debug)]
struct Flaky {
    file: FileBackend,
    broken: Arc<AtomicBool>,
}

impl Flaky {
    fn whole(&self) -> io::Result<()> {
        if self.broken.load(Ordering::Acquire) { Err(io::Error::other("the disk is gone")) } else { Ok(()) }
    }
}

impl StorageBackend for Flaky {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.whole()?;
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.whole()?;
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.whole()?;
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.whole()?;
        self.file.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }
}

/// A store on a flaky file; it is opened again on the file itself.
fn flaky(path: &Path) -> (EmbeddedStore, Arc<AtomicBool>) {
    let mut opened = file::open(path, StoreClock::real()).unwrap();
    opened.db.close().unwrap();
    let broken = Arc::new(AtomicBool::new(false));
    let file = std::fs::File::options().read(true).write(true).open(path).unwrap();
    let backend = Flaky { file: FileBackend::new(file).unwrap(), broken: Arc::clone(&broken) };
    opened.db = Builder::new().create_with_backend(backend).unwrap();
    (EmbeddedStore::start(path, Wakes::default(), opened).unwrap(), broken)
}

#[tokio::test]
async fn a_failed_disk_makes_the_answer_lost_and_the_store_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let (store, broken) = flaky(&dir.path().join("store.redb"));
    let (held, lost) = (claim(1), claim(2));
    let token = fresh(&store, &held).await;
    broken.store(true, Ordering::Release);
    let answer = store.claim(lost.clone()).await;
    assert!(matches!(answer, Err(StoreError::AnswerLost(_))), "{answer:?}");

    until(&store, true).await;
    let health = store.health();
    assert!(health.recovered_at.is_some() && health.writes_may_be_lost_since.is_some(), "{health:?}");
    let standing = store.inspect(held.name).await.unwrap().unwrap().standing;
    assert!(matches!(standing, Standing::InFlight { .. }), "its owner lives in this process: {standing:?}");
    assert_eq!(store.complete(completion(&held, token)).await.unwrap(), Completed::Kept);
    fresh(&store, &lost).await;
    store.close().await;
}

#[tokio::test]
async fn a_failed_store_answers_at_once_and_its_waiters_are_woken_when_it_is_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.redb");
    let wakes = Wakes::default();
    let store = EmbeddedStore::open(&path, wakes.clone()).unwrap();
    let held = claim(1);
    let token = fresh(&store, &held).await;
    let away = dir.path().join("away");
    std::fs::rename(&path, &away).unwrap();
    store.queue.suspect("a reader met an error".to_owned());
    until(&store, false).await;
    for answer in [store.claim(held.clone()).await.map(drop), store.doubt(token).await.map(drop)] {
        assert!(matches!(answer, Err(StoreError::NotReached(_))), "{answer:?}");
    }
    let mut listener = wakes.listen(held.name);
    std::fs::rename(&away, &path).unwrap();
    tokio::time::timeout(Duration::from_secs(20), listener.woken()).await.unwrap();
    assert_eq!(store.complete(completion(&held, token)).await.unwrap(), Completed::Kept);
}

#[tokio::test]
async fn another_store_in_the_place_of_the_file_is_not_taken_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let (path, other) = (dir.path().join("store.redb"), dir.path().join("other.redb"));
    drop(file::open(&other, StoreClock::real()).unwrap());
    let store = EmbeddedStore::open(&path, Wakes::default()).unwrap();
    std::fs::rename(&other, &path).unwrap();
    store.queue.suspect("a reader met an error".to_owned());
    let refusing = async {
        while !store.health().ready.as_ref().is_err_and(|reason| reason.contains("its hash key is another")) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), refusing).await.expect("it says why");
    store.close().await;
}

#[tokio::test]
async fn a_process_that_had_the_file_in_between_makes_claims_unknown() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.redb");
    let store = EmbeddedStore::open(&path, Wakes::default()).unwrap();
    let held = claim(1);
    fresh(&store, &held).await;
    let away = dir.path().join("away");
    std::fs::rename(&path, &away).unwrap();
    store.queue.suspect("a reader met an error".to_owned());
    until(&store, false).await;
    // The writer says that it is down before it lets go of the file.
    while file::open(&away, StoreClock::real()).is_err() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    std::fs::rename(&away, &path).unwrap();
    until(&store, true).await;
    assert_eq!(store.inspect(held.name).await.unwrap().unwrap().standing, Standing::Unknown);
    assert!(store.health().writes_may_be_lost_since.is_some());
}

#[tokio::test]
async fn an_unreadable_record_is_named_harms_no_other_and_can_be_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.redb");
    let opened = file::open(&path, StoreClock::real()).unwrap();
    let txn = opened.db.begin_write().unwrap();
    txn.open_table(file::OPEN).unwrap().insert(name(1).as_bytes(), [9_u8, 9].as_slice()).unwrap();
    txn.commit().unwrap();
    let store = EmbeddedStore::start(&path, Wakes::default(), opened).unwrap();

    let (bad, good) = (claim(1), claim(2));
    for answer in [store.claim(bad.clone()).await.map(drop), store.inspect(bad.name).await.map(drop)] {
        assert!(matches!(&answer, Err(StoreError::Corrupt(reason)) if reason.contains("layout 9")), "{answer:?}");
    }
    let token = fresh(&store, &good).await;
    let renewal = |token| Renewal { token, lease: LONG, sent: true };
    let both = vec![renewal(Token { name: bad.name, ..token }), renewal(token)];
    assert_eq!(store.extend(both).await.unwrap(), [Held::Lost, Held::Kept]);
    assert!(store.complete(completion(&bad, Token { name: bad.name, ..token })).await.is_err(), "it is not overwritten");
    assert!(store.forget(bad.name).await.unwrap());
    fresh(&store, &bad).await;
    assert_eq!(store.health().ready, Ok(()));
    store.close().await;
}

/// One transaction on the file itself.
fn in_batch(opened: &file::Opened, now: Timestamp, work: impl FnOnce(&mut batch::Batch<'_>)) -> batch::Effects {
    let txn = opened.db.begin_write().unwrap();
    let numbers = batch::Numbers::default();
    let mut batch = batch::Batch::begin(&txn, opened.life, &numbers, now).unwrap();
    work(&mut batch);
    let effects = batch.finish();
    txn.commit().unwrap();
    effects
}

fn put(batch: &mut batch::Batch<'_>, claim: &Claim, done: bool) {
    let claimed = |record: Option<&_>, now| transition::claim(record, claim, now, now);
    let Claimed::Fresh(grant) = batch.step(claim.name, Wake::Nobody, claimed).unwrap() else { panic!("not fresh") };
    if done {
        let token = Token { name: claim.name, owner: claim.owner, fence: grant.fence };
        let complete = Complete { ttl: claim.ttl, ..completion(claim, token) };
        let step = batch.step(claim.name, Wake::Nobody, |record, now| transition::complete(record, &complete, now));
        assert_eq!(step.unwrap(), Completed::Kept);
    }
}

#[tokio::test]
async fn a_sweep_deletes_what_has_expired_and_no_more_than_it_may() {
    let dir = tempfile::tempdir().unwrap();
    let (clock, hand) = StoreClock::manual(Timestamp::from_unix_ms(1 << 40));
    let opened = file::open(&dir.path().join("store.redb"), clock).unwrap();
    let start = opened.clock.now();
    in_batch(&opened, start, |batch| {
        for n in 0..30 {
            put(batch, &claim(n), n < 10);
        }
        for n in 0..10 {
            batch.put_reservation(name(n), &reservation::Reservation { holder: name(0), expires_at: start.plus(LONG) }).unwrap();
        }
        for (n, done) in [(100, true), (101, false)] {
            put(batch, &Claim { ttl: LONG * 8, ..claim(n) }, done);
        }
    });
    hand.advance(LONG * 4);
    let now = opened.clock.now();
    let mut pass = batch::OpenPass::default();
    // Settled, open and reserved: each at most seven.
    for (swept, more) in [(21, true), (13, true), (6, true), (0, false), (0, false)] {
        let mut told = None;
        let effects = in_batch(&opened, now, |batch| told = Some(batch.sweep(7, &mut pass).unwrap()));
        assert_eq!((effects.swept, told), (swept, Some(more)), "{pass:?}");
    }
    assert!(!pass.is_due(now) && pass.is_due(now.plus(LONG * 2)), "open records are looked through once in a while");
    let snapshot = Snapshot::take(&opened.db, opened.life).unwrap();
    assert!((0..30).all(|n| snapshot.record(name(n)).unwrap().is_none()) && snapshot.reservation(name(0)).unwrap().is_none());
    assert!([100, 101].iter().all(|n| snapshot.record(name(*n)).unwrap().is_some()));
}

#[tokio::test]
async fn a_record_lies_in_one_place_and_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let (clock, hand) = StoreClock::manual(Timestamp::from_unix_ms(1 << 40));
    let opened = file::open(&dir.path().join("store.redb"), clock).unwrap();
    let lengths = || {
        let txn = opened.db.begin_read().unwrap();
        let (open, names) = (txn.open_table(file::OPEN).unwrap().len(), txn.open_table(file::NAMES).unwrap().len());
        (open.unwrap(), names.unwrap(), txn.open_table(file::KEPT).unwrap().len().unwrap())
    };
    let claim = claim(1);
    let now = || opened.clock.now();
    in_batch(&opened, now(), |batch| put(batch, &claim, false));
    assert_eq!(lengths(), (1, 0, 0));
    in_batch(&opened, now(), |batch| put(batch, &claim, true));
    assert_eq!(lengths(), (0, 1, 1));
    hand.advance(LONG * 2);
    in_batch(&opened, now(), |batch| put(batch, &claim, false));
    assert_eq!(lengths(), (1, 0, 0), "the expired one made room");
    in_batch(&opened, now(), |batch| put(batch, &claim, true));
    in_batch(&opened, now(), |batch| assert!(batch.forget(claim.name).unwrap()));
    assert_eq!(lengths(), (0, 0, 0));
}

#[tokio::test]
async fn a_file_grows_no_longer_than_what_it_holds_at_once() {
    const AT_ONCE: u8 = 200;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.redb");
    let (clock, hand) = StoreClock::manual(Timestamp::from_unix_ms(1 << 40));
    let store = EmbeddedStore::open_with(&path, Wakes::default(), clock).unwrap();
    let mut lengths = Vec::new();
    for round in 1..=8 {
        let pairs = (0..AT_ONCE).map(|n| {
            let store = &store;
            async move {
                let claim = claim(n);
                let token = fresh(store, &claim).await;
                let complete = Complete { response: vec![n; 16 << 10].into(), ..completion(&claim, token) };
                assert_eq!(store.complete(complete).await.unwrap(), Completed::Kept);
            }
        });
        futures_util::future::join_all(pairs).await;
        hand.advance(LONG * 2);
        let sweeping = async {
            while store.stats().swept < round * u64::from(AT_ONCE) {
                store.queue.run(0, |_| Ok(())).await.unwrap();
            }
        };
        tokio::time::timeout(Duration::from_secs(20), sweeping).await.expect("what has expired goes");
        lengths.push(std::fs::metadata(&path).unwrap().len());
    }
    store.close().await;
    // The engine lengthens its file by steps; eight times as much as one round needs is far from it.
    assert!(lengths[7] <= lengths[0] * 2, "{lengths:?}");
}

#[test]
fn a_file_of_a_later_layout_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.redb");
    drop(file::open(&path, StoreClock::real()).unwrap());
    let db = Database::open(&path).unwrap();
    let txn = db.begin_write().unwrap();
    let meta = redb::TableDefinition::<&str, &[u8]>::new("meta");
    txn.open_table(meta).unwrap().insert(codec::meta::LAYOUT, 3_u32.to_be_bytes().as_slice()).unwrap();
    txn.commit().unwrap();
    drop(db);
    let error = file::open(&path, StoreClock::real()).unwrap_err().to_string();
    assert!(error.ends_with("has layout 3, and this program reads layout 2"), "{error}");
}

/// A store's file that is long and holds little.
pub(super) fn filled_and_emptied(path: &Path) {
    drop(file::open(path, StoreClock::real()).unwrap());
    let db = Database::open(path).unwrap();
    let block = vec![7_u8; 1 << 20];
    let fill = db.begin_write().unwrap();
    for n in 0..70 {
        fill.open_table(file::OPEN).unwrap().insert(name(n).as_bytes(), block.as_slice()).unwrap();
    }
    fill.commit().unwrap();
    let empty = db.begin_write().unwrap();
    for n in 0..69 {
        empty.open_table(file::OPEN).unwrap().remove(name(n).as_bytes()).unwrap();
    }
    empty.commit().unwrap();
}
