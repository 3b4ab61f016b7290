//! Sagas of two and five steps, each step a real call: Refrain on two stores beside Restate and dtmrs.
//!
//! A figure counts only if the origin has seen it: after every measurement, when nothing runs any more, it must have executed all steps of
//! every saga that was answered, of no more sagas than callers had under way at the end beside those, and not one undo.

use std::time::Duration;

use crate::clock;
use crate::contender::Contender;
use crate::error::Error;
use crate::load::{Load, Outcome, Shape};
use crate::origin::Origin;
use crate::peers::dtmrs::{self, Answer};
use crate::peers::refrain::{self, Store};
use crate::peers::restate;
use crate::process::Process;
use crate::results::{Measure, Results, Sample};
use crate::rounds::tell;
use crate::settings::Settings;

const REFRAIN: &str = include_str!("../../peers/refrain/sagas.yaml");
const TWO: &str = include_str!("../../sagas/two.yaml");
const FIVE: &str = include_str!("../../sagas/five.yaml");

/// Who starts sagas: a caller starts its next one when it is answered.
const CALLERS: [usize; 3] = [1, 32, 128];

/// Steps of a saga.
const STEPS: [u64; 2] = [5, 2];

/// How long each is warmed up under a load before its first round.
const WARM_UP: Duration = Duration::from_secs(1);

/// The origin is still when it was asked for nothing during as many looks, so far apart.
const STILL: (u32, Duration) = (4, Duration::from_millis(50));

/// How long sagas may run on after their callers are gone.
const MAX_SETTLE: Duration = Duration::from_secs(60);

/// Who it is, and so how it is asked for a saga.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Refrain(Store),
    Restate,
    Dtmrs(Answer),
}

struct Entrant {
    contender: Contender,
    /// Of its own: a saga that goes on for long is then nobody else's.
    origin: Origin,
    asked: Asked,
    /// What makes the steps, where that is a process of its own: its use is listed apart.
    service: Option<Process>,
}

/// One line of the table.
#[derive(Clone, Copy, Debug)]
struct Case {
    steps: u64,
    callers: usize,
}

/// What the origin has executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Executed {
    steps: u64,
    undos: u64,
}

/// Measures it and writes `sagas.json`.
pub(crate) async fn run(settings: &Settings) -> Result<(), Error> {
    let mut results = Results::new("sagas", settings);
    let entrants = start(settings, &mut results).await?;
    let mut failed = Vec::new();
    for round in 0..settings.rounds {
        for (steps, callers) in STEPS.into_iter().flat_map(|steps| CALLERS.map(|callers| (steps, callers))) {
            let case = Case { steps, callers };
            for turn in 0..entrants.len() {
                let entrant = &entrants[(turn + round) % entrants.len()];
                let what = format!("{}, {}", entrant.contender.name, case.name());
                if failed.contains(&what) {
                    continue;
                }
                match one(settings, entrant, case, round == 0).await {
                    Ok(sample) => {
                        tell(&what, round, &sample);
                        results.add(&case.name(), &entrant.contender.name, None, sample);
                    }
                    Err(Error::Stopped) => return Err(Error::Stopped),
                    Err(error) => {
                        results.skip(&what, error);
                        failed.push(what);
                        still(&entrant.origin).await?;
                    }
                }
            }
        }
    }
    for entrant in entrants {
        entrant.contender.stop().await;
        if let Some(service) = entrant.service {
            service.stop().await;
        }
    }
    results.write(&settings.results)
}

/// All that are here, each with an origin.
async fn start(settings: &Settings, results: &mut Results) -> Result<Vec<Entrant>, Error> {
    let mut entrants = Vec::new();
    for asked in [
        Asked::Refrain(Store::Redis),
        Asked::Refrain(Store::Embedded),
        Asked::Restate,
        Asked::Dtmrs(Answer::Done),
        Asked::Dtmrs(Answer::Stored),
    ] {
        let origin = Origin::start(settings).await?;
        match asked.start(settings, &origin).await {
            Ok((contender, service)) => {
                results.versions.extend(contender.versions.iter().cloned());
                entrants.push(Entrant { contender, origin, asked, service });
            }
            Err(error) => results.skip(asked.name(), error),
        }
    }
    Ok(entrants)
}

impl Asked {
    fn name(self) -> &'static str {
        match self {
            Self::Refrain(store) => store.name(),
            Self::Restate => "restate",
            Self::Dtmrs(answer) => answer.name(),
        }
    }

    async fn start(self, settings: &Settings, origin: &Origin) -> Result<(Contender, Option<Process>), Error> {
        Ok(match self {
            Self::Refrain(store) => (refrain(settings, origin, store).await?, None),
            Self::Restate => {
                let (contender, service) = restate::start(settings, origin).await?;
                (contender, Some(service))
            }
            Self::Dtmrs(answer) => (dtmrs::start(settings, answer).await?, None),
        })
    }
}

async fn refrain(settings: &Settings, origin: &Origin, store: Store) -> Result<Contender, Error> {
    let (two, five) = (settings.file("two.yaml", TWO)?, settings.file("five.yaml", FIVE)?);
    let values = [("two", &*two.to_string_lossy()), ("five", &*five.to_string_lossy())];
    refrain::with_store(settings, store.name(), REFRAIN, origin, store, &values).await
}

impl Case {
    fn name(self) -> String {
        let Self { steps, callers } = self;
        format!("{steps} steps, {callers} caller{}", if callers == 1 { "" } else { "s" })
    }
}

impl Entrant {
    fn load(&self, case: Case, time: Duration) -> Load {
        let saga = if case.steps == 2 { "two" } else { "five" };
        let address = self.contender.address;
        let with_key = Shape::Script(include_str!("../../load/saga.lua"), vec![clock::nonce()]);
        let (path, shape) = match self.asked {
            Asked::Refrain(_) => (format!("/{saga}/"), with_key),
            Asked::Restate => (format!("/Saga/{saga}"), with_key),
            Asked::Dtmrs(_) => {
                let arguments = vec![clock::nonce(), format!("http://{}", self.origin.address), case.steps.to_string()];
                (self.contender.path.clone(), Shape::Script(include_str!("../../load/dtmrs.lua"), arguments))
            }
        };
        Load { url: format!("http://{address}{path}"), shape, connections: case.callers, time }
    }
}

async fn one(settings: &Settings, entrant: &Entrant, case: Case, is_first: bool) -> Result<Sample, Error> {
    let origin = &entrant.origin;
    if is_first {
        entrant.load(case, WARM_UP).run(settings).await?;
        still(origin).await?;
    }
    let load = entrant.load(case, settings.measure);
    let (before, used_before) = (executed(origin).await?, entrant.contender.used()?);
    let service_before = entrant.service.as_ref().map(Process::usage).transpose()?;
    let outcome = load.run(settings).await?;
    let at_end = executed(origin).await?;
    let after = still(origin).await?;
    check(&outcome, case, before, after)?;
    let sagas = (after.steps - before.steps) / case.steps;
    let mut sample = Sample::new();
    if entrant.asked == Asked::Dtmrs(Answer::Stored) {
        // What its callers see is how fast it stores; what counts is how many sagas have run meanwhile.
        let ran = (at_end.steps - before.steps) as f64 / case.steps as f64;
        sample.insert(Measure::RequestsPerSecond, ran * 1e6 / outcome.microseconds.max(1) as f64);
    } else {
        sample.insert(Measure::RequestsPerSecond, outcome.requests_per_second());
        sample.insert(Measure::P50Us, outcome.p50_us as f64);
        sample.insert(Measure::P99Us, outcome.p99_us as f64);
    }
    entrant.contender.used()?.add_to(&mut sample, &used_before, sagas);
    if let (Some(process), Some(before)) = (&entrant.service, service_before) {
        let cpu = process.usage()?.cpu.saturating_sub(before.cpu);
        sample.insert(Measure::ServiceCpuUs, cpu.as_secs_f64() * 1e6 / sagas.max(1) as f64);
    }
    Ok(sample)
}

/// Whether the origin has seen what the callers were told.
fn check(outcome: &Outcome, case: Case, before: Executed, after: Executed) -> Result<(), Error> {
    let steps = after.steps - before.steps;
    let answered = outcome.requests * case.steps;
    let under_way = case.callers as u64 * case.steps;
    if after.undos != before.undos {
        return Err(Error::Invalid(format!("{} steps were undone, and none was to fail", after.undos - before.undos)));
    }
    if steps < answered || steps > answered + under_way {
        let sagas = outcome.requests;
        return Err(Error::Invalid(format!(
            "{sagas} sagas of {} steps were answered, and {steps} steps were executed: at least {answered} and at most {under_way} more",
            case.steps
        )));
    }
    Ok(())
}

/// What the origin has executed so far, of everyone.
async fn executed(origin: &Origin) -> Result<Executed, Error> {
    let mut executed = Executed { steps: 0, undos: 0 };
    for (path, count) in origin.counts().await? {
        if path.starts_with("/step/") {
            executed.steps += count;
        } else if path.starts_with("/undo/") {
            executed.undos += count;
        }
    }
    Ok(executed)
}

/// Waits until it executes nothing any more.
async fn still(origin: &Origin) -> Result<Executed, Error> {
    let (looks, apart) = STILL;
    let (mut seen, mut same) = (executed(origin).await?, 0);
    let begun = clock::now();
    while same < looks {
        if begun.elapsed() > MAX_SETTLE {
            return Err(Error::Invalid("sagas run on for a minute after their callers are gone".to_owned()));
        }
        tokio::time::sleep(apart).await;
        let now = executed(origin).await?;
        same = if now == seen { same + 1 } else { 0 };
        seen = now;
    }
    Ok(seen)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(requests: u64) -> Outcome {
        Outcome { requests, microseconds: 1, p50_us: 1, p99_us: 1, errors: 0, refused: 0 }
    }

    #[test]
    fn a_figure_that_the_origin_has_not_seen_is_none() {
        let case = Case { steps: 5, callers: 2 };
        let before = Executed { steps: 100, undos: 7 };
        let seen = |steps: u64, undos: u64| check(&outcome(10), case, before, Executed { steps: 100 + steps, undos: 7 + undos });
        // Ten sagas, and at most two that nobody waited for.
        assert!(seen(50, 0).is_ok() && seen(60, 0).is_ok());
        assert!(seen(49, 0).is_err() && seen(61, 0).is_err());
        assert!(seen(50, 1).is_err());
    }
}
