//! Rounds: every contender once in each, the order turned by one from round to round, so that what changes on the machine meanwhile
//! meets all of them alike.

use std::time::Duration;

use crate::ask;
use crate::contender::{Contender, Lineup};
use crate::error::Error;
use crate::load::{Load, Outcome, Shape};
use crate::results::{Measure, Results, Sample};
use crate::settings::Settings;

/// How long each contender is warmed up before a load's first round.
const WARM_UP: Duration = Duration::from_secs(1);

/// A load under its name in the tables.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    pub(crate) name: String,
    pub(crate) shape: Shape,
    pub(crate) connections: usize,
}

impl Named {
    pub(crate) fn new(name: impl Into<String>, shape: Shape, connections: usize) -> Self {
        Self { name: name.into(), shape, connections }
    }

    /// Where it goes on this contender; `None`: it does not speak that.
    fn load(&self, contender: &Contender, time: Duration) -> Option<Load> {
        let url = if matches!(self.shape, Shape::H2cPost) { contender.h2c_url()? } else { contender.url() };
        Some(Load { url, shape: self.shape.clone(), connections: self.connections, time })
    }
}

/// Measures every contender under each of the loads, as often as the settings say. A contender that fails under a load is skipped there
/// from then on, and named.
pub(crate) async fn measure(settings: &Settings, results: &mut Results, lineup: &Lineup, loads: &[Named]) -> Result<(), Error> {
    let mut failed = Vec::new();
    for round in 0..settings.rounds {
        for load in loads {
            for turn in 0..lineup.0.len() {
                let contender = &lineup.0[(turn + round) % lineup.0.len()];
                let what = format!("{}, {}", contender.name, load.name);
                if failed.contains(&what) {
                    continue;
                }
                match one(settings, contender, load, round == 0).await {
                    Ok(None) => {}
                    Ok(Some(sample)) => {
                        tell(&what, round, &sample);
                        results.add(&load.name, &contender.name, None, sample);
                    }
                    Err(Error::Stopped) => return Err(Error::Stopped),
                    Err(error) => {
                        results.skip(&what, error);
                        failed.push(what);
                    }
                }
            }
        }
    }
    Ok(())
}

async fn one(settings: &Settings, contender: &Contender, named: &Named, is_first: bool) -> Result<Option<Sample>, Error> {
    let Some(load) = named.load(contender, settings.measure) else { return Ok(None) };
    if let Shape::Same(key) = &load.shape {
        store(contender, key).await?;
    }
    if is_first {
        Load { time: WARM_UP, ..load.clone() }.run(settings).await?;
    }
    sample(settings, contender, &load).await.map(|(sample, _)| Some(sample))
}

/// Has the first request under a key answered, so that those of a load are replays.
pub(crate) async fn store(contender: &Contender, key: &str) -> Result<(), Error> {
    let body = format!("\"{}\"", "x".repeat(1022));
    let answer = ask::post(contender.address, &contender.path, &format!("Idempotency-Key: {key}\r\n"), &body).await?;
    if answer.status / 100 == 2 {
        return Ok(());
    }
    Err(Error::program(&contender.name, format!("answered {} to the first request under a key: {}", answer.status, answer.body)))
}

/// One measurement of one contender.
pub(crate) async fn sample(settings: &Settings, contender: &Contender, load: &Load) -> Result<(Sample, Outcome), Error> {
    let before = contender.used()?;
    let outcome = load.run(settings).await?;
    let after = contender.used()?;
    let mut sample = Sample::from([
        (Measure::RequestsPerSecond, outcome.requests_per_second()),
        (Measure::P50Us, outcome.p50_us as f64),
        (Measure::P99Us, outcome.p99_us as f64),
    ]);
    after.add_to(&mut sample, &before, outcome.requests);
    Ok((sample, outcome))
}

/// On standard error: a run takes a while.
pub(crate) fn tell(what: &str, round: usize, sample: &Sample) {
    let of = |measure| sample.get(&measure).copied().unwrap_or(0.0);
    let (rate, cpu, p99) = (of(Measure::RequestsPerSecond), of(Measure::CpuUs), of(Measure::P99Us));
    eprintln!("bench: round {}: {what}: {rate:.0}/s, {cpu:.1} µs CPU, p99 {p99:.0} µs", round + 1);
}
