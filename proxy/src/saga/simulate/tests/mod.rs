//! Promises of simulations.
#![allow(clippy::unwrap_used)]

mod differential;
mod making;
mod rules;
mod tables;

use std::{sync::Arc, time::Duration};

use saga_config::{
    diagnostic::{Colour, Source, render},
    names::UpstreamName,
    saga::{Loaded, Saga, UpstreamFact, UpstreamFacts},
};

use super::{Bounds, Go, Lacking, Outcome, Report, simulate};

/// The example that everything is shown by.
const CREATE_ORDER: &str = include_str!("../../../../../examples/services/sagas/create-order.yaml");

/// All upstreams are the same.
struct All(UpstreamFact);

impl UpstreamFacts for All {
    fn find(&self, _: Option<&UpstreamName>) -> Option<UpstreamFact> {
        Some(self.0)
    }

    fn names(&self) -> Vec<String> {
        Vec::new()
    }
}

const REFRAIN: UpstreamFact =
    UpstreamFact { has_refrain: true, idempotency_window: None, max_execution: Duration::from_secs(30), has_credentials: true };

/// A service that remembers keys itself, of what it did.
const REMEMBERS: UpstreamFact =
    UpstreamFact { has_refrain: false, idempotency_window: Some(Duration::from_secs(24 * 3600)), ..REFRAIN };

fn load(text: &str) -> Loaded {
    Saga::load(&Source::new("saga.yaml", text), None).unwrap_or_else(|found| panic!("{}", render(&found, Colour::Never)))
}

fn simulated(text: &str, facts: Option<&dyn UpstreamFacts>, faults: usize) -> Result<Report, Vec<Lacking>> {
    let Loaded { saga, test, .. } = load(text);
    simulate(&Arc::new(saga), test.as_ref(), facts, Bounds { faults, runs: 3000 }, &mut |_| Go::On)
}

fn report(text: &str, faults: usize) -> Report {
    simulated(text, None, faults).unwrap_or_else(|lacking| panic!("{lacking:#?}"))
}

/// The ending of one row.
fn ending<'r>(report: &'r Report, step: &str, undo: bool, outcome: Outcome) -> &'r super::Ending {
    let is = |row: &&super::Row| row.step.as_str() == step && row.undo == undo && row.outcome == outcome;
    &report.cases[0].rows.iter().find(is).unwrap_or_else(|| panic!("no row for {step} {outcome:?}")).ending
}
