//! The embedded store against its engine alone: claim and completion, group commit, every commit synced, in alternating rounds.
//!
//! `cargo bench -p refrain --bench embedded [-- SECONDS [KEPT]]`: seconds for each measurement (2), and how many records are kept before
//! the first (0). CPU time and bytes are counted for the whole process, so they hold on a busy machine as well; times do not.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::disallowed_methods, reason = "a bench says what it measures")]

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use refrain::{
    ids::{Fingerprint, Owner, RecordName},
    store::{Claim, Claimed, Complete, Completed, OnAbsent, OnUnknown, Store, Token, embedded::EmbeddedStore, wakes::Wakes},
};
use tokio::sync::oneshot;

/// The threads that callers run on, each with a runtime of its own, as the proxy's cores have.
const THREADS: usize = 2;
const CALLERS: [usize; 3] = [1, 64, 256];
const ROUNDS: usize = 3;
const RESPONSE: usize = 1024;
const DAY: Duration = Duration::from_secs(86_400);

/// One who can do what a first request under a key needs.
trait Pairs: Clone + Send + 'static {
    fn pair(&self, response: &Bytes) -> impl Future<Output = ()>;
}

/// The store.
#[derive(Clone)]
struct Ours(EmbeddedStore);

impl Pairs for Ours {
    async fn pair(&self, response: &Bytes) {
        let (name, owner) = (RecordName::from_bytes(rand::random()), Owner::random());
        let fingerprint = Fingerprint::from_bytes([1; Fingerprint::LEN]);
        let claim = Claim {
            name,
            fingerprint,
            owner,
            lease: Duration::from_secs(30),
            ttl: DAY,
            mailbox: None,
            on_unknown: OnUnknown::Hold,
            on_absent: OnAbsent::Begin,
            note: Bytes::new(),
        };
        let Claimed::Fresh(grant) = self.0.claim(claim).await.unwrap() else { panic!("not fresh") };
        let token = Token { name, owner, fence: grant.fence };
        let complete = Complete { token, attempt: 1, fingerprint, ttl: DAY, response: response.clone() };
        assert_eq!(self.0.complete(complete).await.unwrap(), Completed::Kept);
    }
}

type Insert = ([u8; 32], Bytes, oneshot::Sender<()>);

/// The engine alone: two inserts under one random name, nothing read, nothing indexed.
#[derive(Clone)]
struct Engine(mpsc::Sender<Insert>);

impl Engine {
    fn open(path: &Path) -> Self {
        const TABLE: redb::TableDefinition<'_, &[u8; 32], &[u8]> = redb::TableDefinition::new("pairs");
        let database = redb::Builder::new().set_cache_size(64 << 20).create(path).unwrap();
        let (sender, inserts) = mpsc::channel::<Insert>();
        thread::spawn(move || {
            while let Ok(first) = inserts.recv() {
                let batch: Vec<Insert> = std::iter::once(first).chain(inserts.try_iter().take(1023)).collect();
                let transaction = database.begin_write().unwrap();
                for (name, value, _) in &batch {
                    transaction.open_table(TABLE).unwrap().insert(name, value.as_ref()).unwrap();
                }
                transaction.commit().unwrap();
                for (_, _, done) in batch {
                    // A caller that has stopped waits no more.
                    let _gone = done.send(());
                }
            }
        });
        Self(sender)
    }
}

impl Pairs for Engine {
    async fn pair(&self, response: &Bytes) {
        let name = rand::random();
        for value in [response.slice(..100), response.clone()] {
            let (done, is_done) = oneshot::channel();
            self.0.send((name, value, done)).unwrap();
            is_done.await.unwrap();
        }
    }
}

/// Runs `callers` until `end` or `at_most` pairs, and says what they came to.
fn run(label: &str, pairs: &impl Pairs, callers: usize, seconds: f64, at_most: u64) {
    let (begun, cpu, written) = (Instant::now(), cpu_us(), written_kib());
    let (end, started) = (begun + Duration::from_secs_f64(seconds), Arc::<AtomicU64>::default());
    let mut times: Vec<u128> = thread::scope(|scope| {
        let threads = (0..THREADS.min(callers)).map(|thread| {
            let (pairs, started) = (pairs.clone(), Arc::clone(&started));
            let callers = callers / THREADS.min(callers) + usize::from(thread < callers % THREADS.min(callers));
            scope.spawn(move || {
                let response = Bytes::from(vec![b'a'; RESPONSE]);
                let callers = (0..callers).map(|_| {
                    let (pairs, response, started) = (pairs.clone(), response.clone(), Arc::clone(&started));
                    tokio::task::spawn_local(async move {
                        let mut times = Vec::new();
                        while Instant::now() < end && started.fetch_add(1, Ordering::Relaxed) < at_most {
                            let begun = Instant::now();
                            pairs.pair(&response).await;
                            times.push(begun.elapsed().as_micros());
                        }
                        times
                    })
                });
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                tokio::task::LocalSet::new().block_on(&runtime, async move {
                    let mut times = Vec::new();
                    for caller in callers.collect::<Vec<_>>() {
                        times.extend(caller.await.unwrap());
                    }
                    times
                })
            })
        });
        let threads: Vec<_> = threads.collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    times.sort_unstable();
    let pairs = times.len() as f64;
    let rate = pairs / begun.elapsed().as_secs_f64();
    let [cpu, written] = [cpu_us() - cpu, written_kib() - written].map(|spent| spent / pairs);
    let [p50, p99] = [50, 99].map(|percent| times.get(times.len() * percent / 100).copied().unwrap_or_default());
    println!(
        "{label:>12} {callers:>4}: {rate:>7.0} pairs/s, {cpu:>6.1} µs CPU, {written:>5.1} KiB written, p50 {p50} µs, p99 {p99} µs"
    );
}

/// The process's CPU time. The kernel counts it in hundredths of a second.
fn cpu_us() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields = stat.rsplit(')').next().unwrap().split_whitespace().skip(11).take(2);
    fields.map(|ticks| ticks.parse::<f64>().unwrap() * 10_000.0).sum()
}

fn written_kib() -> f64 {
    let io = std::fs::read_to_string("/proc/self/io").unwrap();
    io.lines().find_map(|line| line.strip_prefix("wchar: ")).unwrap().parse::<f64>().unwrap() / 1024.0
}

fn main() {
    // The runner adds arguments of its own.
    let mut numbers = std::env::args().skip(1).filter_map(|argument| argument.parse::<f64>().ok());
    let (seconds, kept) = (numbers.next().unwrap_or(2.0), numbers.next().unwrap_or(0.0));
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::open(&dir.path().join("engine.redb"));
    let ours = Ours(EmbeddedStore::open(&dir.path().join("store.redb"), Wakes::default()).unwrap());
    if kept > 0.0 {
        run("engine fill", &engine, 512, 3600.0, kept as u64);
        run("store fill", &ours, 512, 3600.0, kept as u64);
    }
    for callers in CALLERS.into_iter().cycle().take(ROUNDS * CALLERS.len()) {
        run("engine", &engine, callers, seconds, u64::MAX);
        run("store", &ours, callers, seconds, u64::MAX);
    }
}
