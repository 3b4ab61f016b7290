//! The long run: everything that Refrain does at a moderate rate for half an hour, on Redis and on the embedded store side by side, with
//! clients that hang up, a service that fails, and reloads. Memory, descriptors, threads and the stores' sizes are sampled; at the end
//! they are flat or not. What is answered is looked at: one answer that must not be fails the run.

mod client;
mod load;
mod plot;
mod sample;
mod trend;
mod upstream;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::Serialize;
use tokio::process::Command;
use tokio::task::JoinSet;

use crate::clock;
use crate::error::Error;
use crate::machine::Machine;
use crate::peers::{redis, version};
use crate::process::{Process, Ready};
use crate::settings::{Settings, fill};
use sample::{Kept, Sample};
use trend::Trend;

const CONFIG: &str = include_str!("../long/refrain.yaml");
const ORDER: &str = include_str!("../long/order.yaml");

/// How often samples are taken, and how many at least in a run that is short.
const EVERY: Duration = Duration::from_secs(5);
const MIN_SAMPLES: u32 = 60;
/// How often the configuration is another.
const RELOAD_EVERY: Duration = Duration::from_secs(15);
/// How often it is told how far it is, and what there is so far is written.
const TELL_EVERY: Duration = Duration::from_secs(60);
/// How long records and sagas are kept: a fraction of the run, so that what is kept comes to its full size in its first part.
const MAX_KEPT: Duration = Duration::from_secs(120);
const MIN_KEPT: Duration = Duration::from_secs(15);

/// Where a long run keeps its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Store {
    Redis,
    Embedded,
}

/// What is asked for.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// How long it lasts.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=1440))]
    minutes: u64,
    /// On which stores: one Refrain for each, at the same time.
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["redis", "embedded"])]
    stores: Vec<Store>,
}

/// Everything of a run, as it is written.
#[derive(Debug, Serialize)]
struct Run {
    command: String,
    /// Seconds since the Unix epoch.
    measured_at: u64,
    machine: Machine,
    version: String,
    minutes: u64,
    /// Whether it came to its end.
    is_whole: bool,
    stores: Vec<OfStore>,
}

#[derive(Debug, Serialize)]
struct OfStore {
    store: &'static str,
    #[serde(flatten)]
    counts: load::Counts,
    reloads: u64,
    trends: Vec<Trend>,
    samples: Vec<Sample>,
}

/// One Refrain under its load. Dropped, all of it ends.
struct Subject {
    store: &'static str,
    refrain: Process,
    _redis: Option<Process>,
    admin: SocketAddr,
    kept: Kept,
    config: Config,
    tally: load::Tally,
    samples: Vec<Sample>,
    _clients: JoinSet<()>,
}

/// Its configuration, which is another at each reload.
struct Config {
    path: PathBuf,
    values: Vec<(&'static str, String)>,
    number: u64,
}

/// Runs it.
///
/// # Errors
/// When a program does not start or ends; when something grows, or was answered as it must not be.
pub(crate) async fn run(settings: &Settings, args: &Args) -> Result<(), Error> {
    let length = Duration::from_secs(args.minutes * 60);
    let mut subjects = Vec::new();
    for store in &args.stores {
        subjects.push(start(settings, *store, length).await?);
    }
    let mut run = Run {
        command: format!("scripts/bench long --minutes {}", args.minutes),
        measured_at: clock::unix_seconds(),
        machine: Machine::read(),
        version: version(&settings.refrain, "--version").await?,
        minutes: args.minutes,
        is_whole: false,
        stores: Vec::new(),
    };
    let begun = clock::now();
    let (mut sampled, mut reloaded, mut told) = (begun, begun, begun);
    let every = EVERY.min(length / MIN_SAMPLES);
    let is_due = |last: &mut Instant, every| {
        let due = last.elapsed() >= every;
        *last = if due { *last + every } else { *last };
        due
    };
    while begun.elapsed() < length {
        tokio::time::sleep(every.min(Duration::from_millis(500))).await;
        if is_due(&mut sampled, every) {
            for subject in &mut subjects {
                let sample = sample::take(subject.refrain.id(), &subject.kept, begun.elapsed()).await?;
                subject.samples.push(sample);
            }
        }
        if is_due(&mut reloaded, RELOAD_EVERY) {
            for subject in &mut subjects {
                subject.reload()?;
            }
        }
        if is_due(&mut told, TELL_EVERY) {
            run.take(&subjects).await?;
            run.tell();
            run.write(settings)?;
        }
    }
    run.take(&subjects).await?;
    run.is_whole = true;
    run.tell();
    run.write(settings)?;
    plot::draw(settings, &run)?;
    run.verdict()
}

async fn start(settings: &Settings, store: Store, length: Duration) -> Result<Subject, Error> {
    let (listen, admin, upstream) = (settings.address()?, settings.address()?, settings.address()?);
    upstream::start(upstream).await?;
    let (name, server, kept, url) = match store {
        Store::Embedded => {
            let file = settings.work.join(format!("long-{}.db", listen.port()));
            let url = format!("embedded:{}", file.display());
            ("embedded", None, Kept::File(file), url)
        }
        Store::Redis => {
            let (process, address) = redis::start(settings).await?;
            ("redis", Some(process), Kept::Redis(address), format!("redis://{address}"))
        }
    };
    let seconds = (length / 8).clamp(MIN_KEPT, MAX_KEPT).as_secs();
    let values = vec![
        ("listen", listen.to_string()),
        ("admin", admin.to_string()),
        ("upstream", upstream.to_string()),
        ("workers", settings.workers.to_string()),
        ("store", url),
        ("kept", format!("{seconds}s")),
    ];
    let path = settings.work.join(format!("long-{name}.yaml"));
    let mut config = Config { path, values, number: 0 };
    config.write()?;
    settings.file("order.yaml", ORDER)?;
    let mut command = Command::new(&settings.refrain);
    command.arg("run").arg("--config").arg(&config.path).env("RUST_LOG", "error");
    let refrain = Process::start(settings, "refrain", command, Ready::Answers(admin, "/readyz")).await?;
    let tally = load::Tally::default();
    let clients = load::start(listen, &clock::nonce(), &tally);
    Ok(Subject { store: name, refrain, _redis: server, admin, kept, config, tally, samples: Vec::new(), _clients: clients })
}

impl Config {
    fn write(&mut self) -> Result<(), Error> {
        self.number += 1;
        let number = self.number.to_string();
        let values = self.values.iter().map(|(name, value)| (*name, &**value)).chain([("reload", &*number)]);
        let text = fill(CONFIG, &values.collect::<Vec<_>>());
        std::fs::write(&self.path, text).map_err(Error::io(format!("write {}", self.path.display())))
    }
}

impl Subject {
    /// Another route, and the signal to read it.
    fn reload(&mut self) -> Result<(), Error> {
        self.config.write()?;
        let id = Pid::from_raw(self.refrain.id().cast_signed());
        kill(id, Signal::SIGHUP).map_err(|error| Error::program("refrain", format!("cannot be told to reload: {error}")))
    }

    /// How often it has taken up another configuration.
    async fn reloads(&self) -> Result<u64, Error> {
        let metrics = crate::ask::get(self.admin, "/metrics").await?.body;
        let line = metrics.lines().find_map(|line| line.strip_prefix(r#"refrain_config_reloads_total{result="applied"}"#));
        Ok(line.and_then(|value| value.trim().parse().ok()).unwrap_or(0))
    }
}

impl Run {
    async fn take(&mut self, subjects: &[Subject]) -> Result<(), Error> {
        self.stores.clear();
        for subject in subjects {
            self.stores.push(OfStore {
                store: subject.store,
                counts: subject.tally.counts(),
                reloads: subject.reloads().await?,
                trends: trend::judge(&subject.samples),
                samples: subject.samples.clone(),
            });
        }
        Ok(())
    }

    /// One line for each store, on standard error.
    fn tell(&self) {
        for of in &self.stores {
            let trends = of.trends.iter().map(|trend| {
                let (unit, by) = if trend.median > 100_000.0 { (" MiB", 1_048_576.0) } else { ("", 1.0) };
                let (now, growth) = (trend.median / by, trend.growth_per_hour / by);
                let flat = if trend.is_flat { "flat" } else { "GROWS" };
                format!("{} {now:.1}{unit} {growth:+.2} per hour, {flat}", trend.what)
            });
            let trends = trends.collect::<Vec<_>>().join("; ");
            let asked: u64 = of.counts.asked.values().sum();
            eprintln!("bench: {}: {asked} requests, {} wrong, {} reloads; {trends}", of.store, of.counts.wrong, of.reloads);
        }
    }

    fn write(&self, settings: &Settings) -> Result<(), Error> {
        let path = settings.results.join("long.json");
        let text = serde_json::to_string(self).map_err(|error| Error::Invalid(error.to_string()))?;
        let written = std::fs::create_dir_all(&settings.results).and_then(|()| std::fs::write(&path, text + "\n"));
        written.map_err(Error::io(format!("write {}", path.display())))
    }

    fn verdict(&self) -> Result<(), Error> {
        let mut faults = Vec::new();
        for of in &self.stores {
            faults.extend(
                of.trends.iter().filter(|trend| !trend.is_flat).map(|trend| format!("{}: {} grows", of.store, trend.what)),
            );
            faults.extend(of.counts.told.iter().map(|wrong| format!("{}: {wrong}", of.store)));
            if of.reloads == 0 {
                faults.push(format!("{}: nothing was reloaded", of.store));
            }
        }
        match faults.is_empty() {
            true => Ok(()),
            false => Err(Error::Invalid(faults.join("\n"))),
        }
    }
}
