//! Instructions per request, counted: the real program with one worker under valgrind's callgrind, one connection, one request after the
//! other. Counts hardly move between runs, where times do, so they are recorded in `benches/counts.toml`, and a change that adds to one
//! is seen before it is merged.
//!
//! They are comparable between machines: whatever the processor is, valgrind shows the program the same one, as long as it has AVX2, so
//! that the C library and the crates that look choose the same variants. Elsewhere nothing is counted. They depend on the compiler and the
//! profile, which are the repository's (`[profile.counted]`), and a little on the C library.

mod record;
mod requests;
mod valgrind;

use std::path::PathBuf;

use crate::contender::Contender;
use crate::error::Error;
use crate::origin::Origin;
use crate::peers::refrain::{self, Store};
use crate::settings::Settings;
use record::Record;
use requests::{Connection, Shape};
use valgrind::Counted;

const SAGAS: &str = include_str!("../peers/refrain/sagas.yaml");
const TWO: &str = include_str!("../sagas/two.yaml");
const FIVE: &str = include_str!("../sagas/five.yaml");

/// What routes, metrics and choices for keys may add to a request that has no key.
const MAX_CONFIGURED: f64 = 1.03;

/// Requests before those that are counted: connections are open then, buffers have their size.
const WARM_UP: u32 = 200;

/// What is asked for.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// Record the counts instead of comparing them.
    #[arg(long)]
    write: bool,
    /// Where they are recorded.
    #[arg(long, default_value = "benches/counts.toml")]
    record: PathBuf,
    /// By how much a count may differ from the recorded one, in per cent.
    #[arg(long, default_value_t = 3.0)]
    tolerance: f64,
    /// How often each is counted; the median is what counts.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=20))]
    times: u8,
}

/// What is counted: by a Refrain of its own, since what it has done before would count.
struct Case {
    name: &'static str,
    start: Start,
    shape: Shape,
    /// Requests that are counted.
    requests: u32,
}

/// Which Refrain.
#[derive(Clone, Copy)]
enum Start {
    Bare,
    Configured,
    Keyed(Store),
    Sagas(Store),
}

const fn case(name: &'static str, start: Start, shape: Shape, requests: u32) -> Case {
    Case { name, start, shape, requests }
}

const BARE: &str = "pass";
const CONFIGURED: &str = "pass_configured";

const CASES: [Case; 10] = [
    case(BARE, Start::Bare, Shape::Plain, 1000),
    case(CONFIGURED, Start::Configured, Shape::Plain, 1000),
    case("first_memory", Start::Keyed(Store::Memory), Shape::First, 500),
    case("first_redis", Start::Keyed(Store::Redis), Shape::First, 500),
    case("first_embedded", Start::Keyed(Store::Embedded), Shape::First, 200),
    case("replay_memory", Start::Keyed(Store::Memory), Shape::Replay, 500),
    case("replay_redis", Start::Keyed(Store::Redis), Shape::Replay, 500),
    case("replay_embedded", Start::Keyed(Store::Embedded), Shape::Replay, 500),
    case("saga_memory", Start::Sagas(Store::Memory), Shape::Saga, 50),
    case("saga_redis", Start::Sagas(Store::Redis), Shape::Saga, 50),
];

/// Counts all, and records or compares them. The last line on standard error is `counts: N passed, N failed, N skipped`.
///
/// # Errors
/// When something cannot be counted, or when a count has risen or fallen by more than what is tolerated.
pub(crate) async fn run(settings: &Settings, args: &Args) -> Result<(), Error> {
    if let Some(why) = valgrind::unusable(settings) {
        eprintln!("bench: SKIPPED: {why}");
        eprintln!("counts: 0 passed, 0 failed, {} skipped", CASES.len() + 1);
        return Ok(());
    }
    let recorded = if args.write { Record::default() } else { Record::read(&args.record)? };
    let origin = Origin::start(settings).await?;
    let mut counted = Record::default();
    for case in &CASES {
        let mut counts = Vec::new();
        for _ in 0..args.times {
            counts.push(count(settings, &origin, case).await?);
        }
        eprintln!("bench: {}: {}", case.name, counts.iter().map(|count| format!("{count:.0}")).collect::<Vec<_>>().join(" "));
        let median = crate::results::median(counts).unwrap_or_default();
        counted.set(case.name, median.round() as u64);
    }
    let mut faults = configured(&counted).err().into_iter().collect::<Vec<_>>();
    if args.write {
        counted.write(&args.record)?;
    } else {
        let compared = recorded.compare(&counted, args.tolerance);
        eprintln!("{}", compared.table);
        faults.extend(compared.faults);
    }
    let failed = faults.len().min(CASES.len() + 1);
    eprintln!("counts: {} passed, {failed} failed, 0 skipped", CASES.len() + 1 - failed);
    match faults.is_empty() {
        true => Ok(()),
        false => Err(Error::Invalid(faults.join("\n"))),
    }
}

/// What configured routes, metrics and choices for keys add.
fn configured(counted: &Record) -> Result<(), String> {
    let (Some(bare), Some(configured)) = (counted.get(BARE), counted.get(CONFIGURED)) else { return Ok(()) };
    let ratio = configured as f64 / bare.max(1) as f64;
    eprintln!("bench: {CONFIGURED} is {ratio:.3} of {BARE}; at most {MAX_CONFIGURED}");
    match ratio <= MAX_CONFIGURED {
        true => Ok(()),
        false => Err(format!("{CONFIGURED} is {ratio:.3} of {BARE}: routes and choices may add 3 % to a request without a key")),
    }
}

/// Instructions per request.
async fn count(settings: &Settings, origin: &Origin, case: &Case) -> Result<f64, Error> {
    let counted = Counted::new(settings)?;
    let under = counted.settings(settings);
    let contender = match case.start {
        Start::Bare => refrain::bare(&under, origin).await?,
        Start::Configured => refrain::configured(&under, origin).await?,
        Start::Keyed(store) => refrain::keyed(&under, origin, store).await?,
        Start::Sagas(store) => sagas(&under, origin, store).await?,
    };
    let id = contender.processes.first().map(crate::process::Process::id).unwrap_or_default();
    let mut connection = Connection::open(contender.address).await?;
    for number in 0..WARM_UP.min(case.requests) {
        connection.ask(case.shape, number).await?;
    }
    counted.tell(id, "zero").await?;
    for number in 0..case.requests {
        connection.ask(case.shape, WARM_UP + number).await?;
    }
    counted.tell(id, "dump").await?;
    let instructions = counted.instructions()?;
    contender.stop().await;
    settings.next_port.set(under.next_port.get());
    Ok(instructions as f64 / f64::from(case.requests))
}

async fn sagas(settings: &Settings, origin: &Origin, store: Store) -> Result<Contender, Error> {
    let (two, five) = (settings.file("two.yaml", TWO)?, settings.file("five.yaml", FIVE)?);
    let values = [("two", two.display().to_string()), ("five", five.display().to_string())];
    let values = values.each_ref().map(|(name, path)| (*name, &**path));
    refrain::with_store(settings, store.name(), SAGAS, origin, store, &values).await
}
