//! Simulation: what comes of a saga whatever goes wrong, without any network.
//!
//! The saga's own machine decides, as it does when the saga runs; services are simulated and keep books, time jumps to whatever comes
//! next. [`simulate`] gives the saga's failure table, each call with each of its outcomes, and a verdict over every single fault and
//! over pairs of them: whether any ending leaves an effect neither kept nor undone.
//!
//! What is not simulated: the store, and Refrains beside the services that die with a request.

mod candidates;
mod ending;
mod fault;
mod literals;
mod reads;
mod runs;
mod services;
mod shape;
mod stage;
mod synth;
mod table;
#[cfg(test)]
mod tests;
mod verdict;
mod world;

use std::sync::Arc;

use saga_config::saga::{
    Saga, UpstreamFacts,
    test::{Case, Test},
};
use serde::Serialize;
use serde_json::{Map, Value};

pub use ending::{Effect, Ending};
pub use fault::{Fault, Outcome};
pub use runs::{Bounds, Go};
pub use services::Kind;
pub use stage::{Participant, ParticipantKind};
pub use synth::Lacking;
pub use table::Row;
pub use verdict::{Checked, Counterexample, Progress, Verdict};

/// What comes of a saga, whatever goes wrong.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Its name.
    pub saga: String,
    /// Its version.
    pub version: u32,
    /// Its definition's hash.
    pub definition: String,
    /// What its services are taken for.
    pub services: Vec<Participant>,
    /// Its cases.
    pub cases: Vec<CaseReport>,
    /// What holds of all endings.
    pub verdict: Verdict,
}

impl Report {
    /// Whether nothing leaks, every invariant holds, and every case ends as it is expected to.
    pub fn is_good(&self) -> bool {
        self.verdict.is_good() && self.cases.iter().all(|case| case.unexpected.is_empty())
    }
}

/// What comes of one case.
#[derive(Clone, Debug, Serialize)]
pub struct CaseReport {
    /// Its name; of the one that nobody wrote: empty.
    pub name: String,
    /// What it begins with.
    pub input: Map<String, Value>,
    /// What of its input and its answers nobody wrote.
    pub made_up: Vec<String>,
    /// How it ends when nothing goes wrong.
    pub ending: Ending,
    /// What of its `expect` does not hold.
    pub unexpected: Vec<String>,
    /// The failure table.
    pub rows: Vec<Row>,
    /// What the table cannot show.
    pub notes: Vec<String>,
}

/// Simulates a saga. `facts`: what is known of its upstreams; what is not known of them is what the definition can be meant for. `go` is
/// told how far it has come and may stop it; the verdict says then that it was cut.
///
/// # Errors
///
/// What the cases lack, so that the saga does not go through although nothing goes wrong.
pub fn simulate(
    definition: &Arc<Saga>,
    test: Option<&Test>,
    facts: Option<&dyn UpstreamFacts>,
    bounds: Bounds,
    go: &mut dyn FnMut(Progress) -> Go,
) -> Result<Report, Vec<Lacking>> {
    let stages = stages(definition, test, facts)?;
    let invariants = test.map(|test| test.invariants.as_slice()).unwrap_or_default();
    let mut judge = verdict::Judge::new(invariants);
    let mut cases = Vec::new();
    for (case, made) in &stages {
        let stage = &made.stage;
        let base = runs::play(stage, &[]).map(Ending::of).ok_or_else(|| vec![Lacking::nothing(&case.name)])?;
        let table::Table { rows, notes } = table::table(stage, &base);
        cases.push(CaseReport {
            name: case.name.clone(),
            input: stage.input.clone(),
            made_up: made.made_up.clone(),
            unexpected: case.expect.as_ref().map(|expect| verdict::unexpected(expect, &base)).unwrap_or_default(),
            ending: base,
            rows,
            notes,
        });
    }
    for (nth, (case, made)) in stages.iter().enumerate() {
        // What faults never end is in the table, and in no exploration.
        let input = Value::Object(made.stage.input.clone());
        let lasting = cases[nth].rows.iter().filter(|row| row.outcome.lasts() && !row.outcome.ends_with_turning_back());
        lasting.for_each(|row| judge.look(&case.name, &input, &row.ending));
        if judge.explore(&case.name, &made.stage, bounds, go) == Go::Stop {
            break;
        }
    }
    Ok(Report {
        saga: definition.name.as_str().to_owned(),
        version: definition.version,
        definition: definition.hash.to_string(),
        services: stage::participants(definition, facts),
        cases,
        verdict: judge.verdict,
    })
}

/// The cases, each with all that it needs.
fn stages(
    definition: &Arc<Saga>,
    test: Option<&Test>,
    facts: Option<&dyn UpstreamFacts>,
) -> Result<Vec<(Case, synth::Made)>, Vec<Lacking>> {
    let made_up = Case { name: String::new(), start: None, answers: std::collections::BTreeMap::new(), expect: None };
    let written = test.map(|test| test.cases.clone()).unwrap_or_default();
    let cases = if written.is_empty() { vec![made_up] } else { written };
    let participants = stage::participants(definition, facts);
    let (mut made, mut lacking) = (Vec::new(), Vec::new());
    for case in cases {
        match synth::make(definition, &case, &participants) {
            Ok(stage) => made.push((case, stage)),
            Err(wrong) => lacking.push(wrong),
        }
    }
    if lacking.is_empty() { Ok(made) } else { Err(lacking) }
}
