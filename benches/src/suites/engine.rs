//! What is below Refrain's stores, driven alone: the most that any use of it could reach.
//!
//! `redb`: every caller records a claim, waits until it is synced, records a completion, and waits again; a writer thread commits
//! whatever waits together. That is what a first request under a key needs of it, and no more. Redis is asked by its own load generator.

use std::path::Path;
use std::sync::mpsc;
use std::thread;

use redb::{Database, TableDefinition};
use tokio::process::Command;
use tokio::sync::oneshot;

use crate::clock;
use crate::error::Error;
use crate::peers::redis;
use crate::results::{Measure, Results, Sample};
use crate::rounds::tell;
use crate::settings::Settings;

const TABLE: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("records");

/// What is recorded when a request begins, and when it has been answered: as much as Refrain does with an answer of 1 KiB.
const CLAIM: [u8; 160] = [b'c'; 160];
const COMPLETION: [u8; 1400] = [b'a'; 1400];

/// The most writes of one commit.
const MAX_BATCH: usize = 1024;

/// Callers of `redb`, each with one write under way.
const CALLERS: [usize; 3] = [1, 64, 256];

/// Measures it and writes `engine.json`.
pub(crate) async fn run(settings: &Settings) -> Result<(), Error> {
    let mut results = Results::new("engine", settings);
    for round in 0..settings.rounds {
        for callers in CALLERS {
            redb(settings, &mut results, callers, round).await?;
        }
    }
    if let Err(error) = redis_alone(settings, &mut results).await {
        results.skip("redis", error);
    }
    results.write(&settings.results)
}

/// One round of claims and completions, group commits, every commit synced.
pub(crate) async fn redb(settings: &Settings, results: &mut Results, callers: usize, round: usize) -> Result<(), Error> {
    let file = settings.work.join("engine.redb");
    let measure = settings.measure;
    // The callers and the writer have threads of their own; this one's timers go on.
    let pairs = tokio::task::spawn_blocking(move || drive(&file, callers, measure));
    let (pairs, mut times) = pairs.await.map_err(|error| Error::program("redb", error.to_string()))??;
    times.sort_unstable();
    let at = |percent: usize| times.get(times.len() * percent / 100).copied().unwrap_or(0) as f64;
    let rate = pairs as f64 / measure.as_secs_f64();
    let sample = Sample::from([(Measure::RequestsPerSecond, rate), (Measure::P50Us, at(50)), (Measure::P99Us, at(99))]);
    tell(&format!("redb alone, first, {callers}"), round, &sample);
    results.add(&format!("first, {callers}"), "redb alone", None, sample);
    Ok(())
}

struct Write {
    key: [u8; 16],
    value: &'static [u8],
    done: oneshot::Sender<()>,
}

/// Pairs that were recorded, and how long each took in microseconds.
fn drive(file: &Path, callers: usize, measure: std::time::Duration) -> Result<(u64, Vec<u64>), Error> {
    let wrong = |error: redb::Error| Error::program("redb", error.to_string());
    let database = Database::create(file).map_err(|error| wrong(error.into()))?;
    let (writes, waiting) = mpsc::sync_channel(callers);
    let writer = thread::spawn(move || commit(&database, &waiting).map_err(wrong));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::io("start"))?;
    let times = tokio::task::LocalSet::new().block_on(&runtime, async {
        let end = clock::now() + measure;
        let run = u128::from_str_radix(&clock::nonce(), 16).unwrap_or_default() << 40;
        let tasks = (0..callers).map(|caller| {
            let writes = writes.clone();
            tokio::task::spawn_local(async move {
                let (mut times, mut number) = (Vec::new(), run | (caller as u128) << 28);
                while clock::now() < end {
                    let begun = clock::now();
                    number += 1;
                    // Spread, as names that are hashes are.
                    let key = number.wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835).to_be_bytes();
                    for value in [&CLAIM[..], &COMPLETION[..]] {
                        let (done, is_done) = oneshot::channel();
                        // Each caller has one write under way, so there is room; the writer ends after its callers.
                        if writes.try_send(Write { key, value, done }).is_err() || is_done.await.is_err() {
                            return times;
                        }
                    }
                    times.push(u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX));
                }
                times
            })
        });
        let tasks: Vec<_> = tasks.collect();
        drop(writes);
        let mut times = Vec::new();
        for task in tasks {
            times.extend(task.await.map_err(|error| Error::program("redb", error.to_string()))?);
        }
        Ok::<_, Error>(times)
    })?;
    writer.join().map_err(|_| Error::program("redb", "the writer has panicked"))??;
    let _gone = std::fs::remove_file(file);
    Ok((times.len() as u64, times))
}

/// Commits what waits, until nobody is left who could write.
fn commit(database: &Database, waiting: &mpsc::Receiver<Write>) -> Result<(), redb::Error> {
    let mut batch = Vec::with_capacity(MAX_BATCH);
    while let Ok(first) = waiting.recv() {
        batch.push(first);
        batch.extend(waiting.try_iter().take(MAX_BATCH - 1));
        // Synced before `commit` returns: the default durability.
        let transaction = database.begin_write()?;
        {
            let mut table = transaction.open_table(TABLE)?;
            for write in &batch {
                table.insert(&write.key[..], write.value)?;
            }
        }
        transaction.commit()?;
        for write in batch.drain(..) {
            // A caller that has stopped waits no more.
            let _told = write.done.send(());
        }
    }
    Ok(())
}

/// SET and GET of 1 KiB at 64 connections, one at a time and in pipelines of 16.
async fn redis_alone(settings: &Settings, results: &mut Results) -> Result<(), Error> {
    let program = settings.program("redis-benchmark")?;
    let (server, address) = redis::start(settings).await?;
    results.versions.insert("redis".to_owned(), redis::version(settings).await?);
    for pipeline in [1, 16] {
        for round in 0..settings.rounds.min(3) {
            let before = server.usage()?;
            let requests = 20_000 * pipeline * settings.measure.as_secs().max(1);
            let mut command = Command::new(&program);
            command.args(["-h", "127.0.0.1", "-p", &address.port().to_string(), "-c", "64", "-d", "1024", "-r", "100000"]);
            command.args(["-P", &pipeline.to_string(), "-n", &requests.to_string(), "-t", "set,get", "--csv"]).kill_on_drop(true);
            let output = command.output().await.map_err(Error::io("run redis-benchmark"))?;
            let after = server.usage()?;
            let said = String::from_utf8_lossy(&output.stdout);
            for name in ["SET", "GET"] {
                let fields = said.lines().find(|line| line.starts_with(&format!("\"{name}\""))).unwrap_or_default();
                let fields: Vec<f64> = fields.split(',').filter_map(|field| field.trim_matches('"').parse().ok()).collect();
                // Rate, then mean, least, median, 95th and 99th percentile in milliseconds.
                let [rate, _, _, p50, _, p99, ..] = fields[..] else { return Err(Error::program("redis-benchmark", said)) };
                let cpu = (after.cpu - before.cpu).as_secs_f64() * 1e6 / (2 * requests) as f64;
                let sample = [(Measure::RequestsPerSecond, rate), (Measure::P50Us, p50 * 1e3), (Measure::P99Us, p99 * 1e3)];
                let sample = Sample::from_iter(sample.into_iter().chain([(Measure::StoreCpuUs, cpu)]));
                tell(&format!("redis alone, {name}, pipelines of {pipeline}"), round, &sample);
                results.add(&format!("{name} of 1 KiB, 64 connections, pipelines of {pipeline}"), "redis alone", None, sample);
            }
        }
    }
    server.stop().await;
    Ok(())
}
