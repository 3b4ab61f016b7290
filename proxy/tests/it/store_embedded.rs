//! What the embedded store promises besides the rules of every store: durability, one process, bounded growth.

use std::{
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use futures_util::future::join_all;
use refrain::{
    ids::{Fingerprint, Owner, RecordName},
    store::{
        Claim, Claimed, Complete, Completed, OnUnknown, Reserved, Standing, Store, StoreError,
        clock::StoreClock,
        embedded::{EmbeddedStore, OpenError},
        wakes::Wakes,
    },
    time::Timestamp,
};

use crate::conformance::{LONG, again, claim, completion, fresh, name, replayed, token};

mod sagas;

const FILE: &str = "store.redb";

fn open(dir: &Path) -> EmbeddedStore {
    EmbeddedStore::open(&dir.join(FILE), Wakes::default()).unwrap()
}

fn refusal(path: &Path) -> String {
    EmbeddedStore::open(path, Wakes::default()).unwrap_err().to_string()
}

#[tokio::test]
async fn a_reopened_store_keeps_what_is_done_and_knows_that_the_rest_is_unknown() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let (done, flying, probed) = (claim(), claim(), claim());
    let key = store.hash_key().await.unwrap();
    let grant = fresh(&store, &done).await;
    store.complete(completion(&done, grant, b"ok")).await.unwrap();
    let flying_grant = fresh(&store, &flying).await;
    let doubted = fresh(&store, &probed).await;
    store.doubt(token(&probed, doubted.fence)).await.unwrap();
    let probe = Claim { on_unknown: OnUnknown::Probe { lease: LONG }, ..again(&probed) };
    assert!(matches!(store.claim(probe.clone()).await.unwrap(), Claimed::Probe { .. }));
    let payload = name();
    assert_eq!(store.reserve(payload, done.name, LONG).await.unwrap(), Reserved::Ours);
    store.close().await;

    let store = open(dir.path());
    assert_eq!(store.hash_key().await.unwrap(), key);
    let record = replayed(&store, &again(&done)).await;
    assert_eq!((record.response.as_ref(), record.fence), (b"ok".as_ref(), grant.fence));
    assert_eq!(store.claim(again(&flying)).await.unwrap(), Claimed::Unknown { probing: false }, "at once, not after its lease");
    assert!(matches!(store.claim(again(&probe)).await.unwrap(), Claimed::Probe { .. }), "the prober is gone, too");
    assert_eq!(store.reserve(payload, name(), LONG).await.unwrap(), Reserved::Theirs);
    let late = completion(&flying, flying_grant, b"late");
    assert_eq!(store.complete(late).await.unwrap(), Completed::Kept, "its owner may have handed its completion on");
    store.close().await;
}

#[tokio::test]
async fn the_clock_does_not_go_back_over_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE);
    let (late, hand) = StoreClock::manual(Timestamp::from_unix_ms(1 << 41));
    let store = EmbeddedStore::open_with(&path, Wakes::default(), late).unwrap();
    hand.advance(LONG);
    let first = fresh(&store, &claim()).await;
    hand.advance(LONG);
    store.close().await;
    let (early, _) = StoreClock::manual(Timestamp::from_unix_ms(1 << 40));
    let store = EmbeddedStore::open_with(&path, Wakes::default(), early).unwrap();
    let next = fresh(&store, &claim()).await;
    assert!(
        u128::from(next.fence.0) >= u128::from(first.fence.0) + LONG.as_micros(),
        "nor over what passed since the last write"
    );
    store.close().await;
}

#[tokio::test]
async fn a_file_belongs_to_one_process() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE);
    let store = open(dir.path());
    let error = EmbeddedStore::open(&path, Wakes::default()).unwrap_err();
    assert!(matches!(error, OpenError::InUse { .. }), "{error}");
    assert!(error.to_string().starts_with(&format!("another process has {} open", path.display())), "{error}");
    fresh(&store, &claim()).await;
    store.close().await;
    open(dir.path()).close().await;
}

#[tokio::test]
async fn what_was_acknowledged_is_in_the_file_already() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let (done, flying) = (claim(), claim());
    let grant = fresh(&store, &done).await;
    store.complete(completion(&done, grant, b"ok")).await.unwrap();
    fresh(&store, &flying).await;
    let copy = tempfile::tempdir().unwrap();
    std::fs::copy(dir.path().join(FILE), copy.path().join(FILE)).unwrap();

    let found = open(copy.path());
    assert_eq!(replayed(&found, &again(&done)).await.response.as_ref(), b"ok");
    assert_eq!(found.claim(again(&flying)).await.unwrap(), Claimed::Unknown { probing: false });
}

/// The environment variable that makes [`a_killed_process_loses_nothing_it_acknowledged`] the process that is killed.
const VICTIM: &str = "REFRAIN_TEST_VICTIM_DIR";

#[tokio::test]
async fn a_killed_process_loses_nothing_it_acknowledged() {
    if let Some(dir) = std::env::var_os(VICTIM) {
        return write_until_killed(Path::new(&dir)).await;
    }
    let dir = tempfile::tempdir().unwrap();
    let test = concat!(module_path!(), "::a_killed_process_loses_nothing_it_acknowledged");
    let test = test.split_once("::").unwrap().1;
    let mut victim = Command::new(std::env::current_exe().unwrap());
    victim.args(["--exact", test, "--nocapture"]).env(VICTIM, dir.path()).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut victim = victim.spawn().unwrap();
    let lines = BufReader::new(victim.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut acknowledged = Vec::new();
    for line in lines {
        acknowledged.extend(line.strip_prefix("acknowledged ").map(|n| n.parse::<u64>().unwrap()));
        if acknowledged.len() == 100 {
            victim.kill().unwrap();
        }
    }
    victim.wait().unwrap();
    assert!(acknowledged.len() >= 100, "{} writes before it was killed", acknowledged.len());

    let store = open(dir.path());
    for n in acknowledged {
        assert_eq!(replayed(&store, &numbered(n)).await.response.as_ref(), n.to_string().as_bytes());
    }
    store.close().await;
}

async fn write_until_killed(dir: &Path) {
    let store = open(dir);
    let lanes = (0..8).map(|lane| {
        let store = store.handle();
        async move {
            // The bound is for a victim that nobody kills.
            for round in 0..100_000_u64 {
                let n = round * 8 + lane;
                let claim = numbered(n);
                let grant = fresh(&store, &claim).await;
                let complete = Complete { response: n.to_string().into(), ..completion(&claim, grant, b"") };
                store.complete(complete).await.unwrap();
                #[expect(clippy::print_stdout, reason = "it is how the victim tells its parent")]
                {
                    println!("acknowledged {n}");
                }
            }
        }
    });
    join_all(lanes).await;
}

fn numbered(n: u64) -> Claim {
    let mut bytes = [0; RecordName::LEN];
    bytes[..8].copy_from_slice(&n.to_be_bytes());
    Claim {
        name: RecordName::from_bytes(bytes),
        owner: Owner::random(),
        fingerprint: Fingerprint::from_bytes([1; 32]),
        ..claim()
    }
}

#[tokio::test]
async fn concurrent_operations_share_their_commits() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let claims: Vec<Claim> = (0..512).map(|_| claim()).collect();
    let grants = join_all(claims.iter().map(|claim| fresh(&store, claim))).await;
    let completions = claims.iter().zip(grants).map(|(claim, grant)| store.complete(completion(claim, grant, b"ok")));
    assert!(join_all(completions).await.into_iter().all(|answer| answer == Ok(Completed::Kept)));
    let commits = store.stats().commits;
    assert!(commits <= 64, "1024 writes took {commits} commits");
    store.close().await;
}

#[tokio::test]
async fn replays_and_duplicates_never_wait_for_the_writer() {
    let dir = tempfile::tempdir().unwrap();
    let wakes = Wakes::default();
    let store = EmbeddedStore::open(&dir.path().join(FILE), wakes.clone()).unwrap();
    let (done, flying) = (claim(), claim());
    let grant = fresh(&store, &done).await;
    store.complete(completion(&done, grant, b"ok")).await.unwrap();
    fresh(&store, &flying).await;
    let before = store.stats();
    replayed(&store, &again(&done)).await;
    let mismatch = Claim { fingerprint: Fingerprint::from_bytes([2; 32]), ..again(&done) };
    assert_eq!(store.claim(mismatch).await.unwrap(), Claimed::Mismatch);
    let waiting = Claim { mailbox: Some(wakes.mailbox()), ..again(&flying) };
    assert!(matches!(store.claim(waiting).await.unwrap(), Claimed::InFlight { .. }));
    store.inspect(done.name).await.unwrap();
    let after = store.stats();
    assert_eq!((after.commits, after.reads), (before.commits, before.reads + 4));
    store.close().await;
}

#[tokio::test]
async fn a_response_larger_than_the_queue_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let first = claim();
    let grant = fresh(&store, &first).await;
    let complete = Complete { response: vec![0; 65 << 20].into(), ..completion(&first, grant, b"") };
    let answer = store.complete(complete).await;
    assert!(matches!(answer, Err(StoreError::Refused(_))), "{answer:?}");
    assert!(matches!(store.inspect(first.name).await.unwrap().unwrap().standing, Standing::InFlight { .. }));
    store.close().await;
}

#[tokio::test]
async fn expired_records_make_room_for_new_ones() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE);
    let (clock, hand) = StoreClock::manual(Timestamp::from_unix_ms(1 << 40));
    let store = EmbeddedStore::open_with(&path, Wakes::default(), clock).unwrap();
    let mut lengths = Vec::new();
    for round in 1..=12 {
        let claims: Vec<Claim> = (0..200).map(|_| claim()).collect();
        let keep = async |claim: &Claim| {
            let grant = fresh(&store, claim).await;
            let complete = Complete { response: vec![7; 8 << 10].into(), ..completion(claim, grant, b"") };
            store.complete(complete).await.unwrap();
        };
        join_all(claims.iter().map(keep)).await;
        hand.advance(LONG * 2);
        // Each write takes a bite along; an idle writer may be faster.
        for _ in 0..400 {
            if store.stats().swept < round * 200 {
                store.forget(name()).await.unwrap();
            }
        }
        assert_eq!(store.stats().swept, round * 200);
        lengths.push(std::fs::metadata(&path).unwrap().len());
    }
    // The engine doubles and cuts its file as it goes; without the sweeping it would be more than six times as long.
    assert!(lengths.iter().all(|length| *length <= lengths[0] * 3), "the file grows on: {lengths:?}");
    store.close().await;
}

#[tokio::test]
async fn the_file_and_its_directories_are_the_owners_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state/of/refrain").join(FILE);
    let store = EmbeddedStore::open(&path, Wakes::default()).unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(path.parent().unwrap()), mode(&dir.path().join("state"))), (0o600, 0o700, 0o700));
    assert!(store.health().warnings.is_empty());
    store.close().await;
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
    let store = EmbeddedStore::open(&path, Wakes::default()).unwrap();
    assert!(store.health().warnings[0].contains("mode 644"), "{:?}", store.health().warnings);
    store.close().await;
}

#[tokio::test]
async fn what_is_not_a_store_is_refused_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    std::fs::create_dir(at("directory")).unwrap();
    assert_eq!(refusal(&at("directory")), format!("{} is not a regular file", at("directory").display()));

    std::fs::write(at("text"), "not a database at all\n".repeat(1000)).unwrap();
    assert!(refusal(&at("text")).starts_with(&format!("{} is not a store of this program: ", at("text").display())));

    let below = at("text").join("store");
    assert!(refusal(&below).contains("cannot be"), "{}", refusal(&below));

    EmbeddedStore::open(&at("whole"), Wakes::default()).unwrap().close().await;
    let whole = std::fs::read(at("whole")).unwrap();
    std::fs::write(at("cut"), &whole[..whole.len() / 2]).unwrap();
    let error = EmbeddedStore::open(&at("cut"), Wakes::default()).unwrap_err();
    assert!(matches!(error, OpenError::Damaged { .. } | OpenError::NotAStore { .. }), "{error}");

    std::fs::write(at("empty"), "").unwrap();
    EmbeddedStore::open(&at("empty"), Wakes::default()).unwrap().close().await;
}

#[tokio::test]
async fn a_store_whose_handles_are_gone_lets_go_of_its_file() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    let reopening = async {
        while EmbeddedStore::open(&dir.path().join(FILE), Wakes::default()).is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), reopening).await.expect("the writer ends");
}
