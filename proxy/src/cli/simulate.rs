//! `refrain simulate`: a saga's failure table, without any network.

mod shown;
#[cfg(test)]
mod tests;

use std::{
    io::{IsTerminal as _, Write as _},
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use clap::Args;
use saga_config::{
    diagnostic::{Diagnostic, Place, Source},
    names::UpstreamName,
    saga::{Loaded, Saga, UpstreamFact, UpstreamFacts},
    yaml::{Document, Pointer, read_file},
};

use super::{Format, environment, print, show};
use crate::{
    config::{Config, load::Overrides},
    saga::simulate::{Bounds, Go, Lacking, Progress, Report, simulate},
    time::monotonic_now,
};

/// How long an exploration may take.
const LONGEST: Duration = Duration::from_secs(300);
/// From when on, and how often, progress is told.
const TELL_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
pub(super) struct SimulateArgs {
    /// Files of sagas; of a saga with sub-sagas, theirs too
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// A configuration: it says what the upstreams are. Without it they are what the saga can be meant for
    #[arg(long, env = "REFRAIN_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Exit with 1 if an invariant is broken, an effect is neither kept nor undone, or a case does not end as it is expected to
    #[arg(long)]
    check: bool,
    /// How many things may go wrong in one run
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(0..=3))]
    faults: u8,
    /// How many runs of each case are taken at the most
    #[arg(long, value_name = "N", default_value_t = 50_000)]
    runs: u64,
    /// How it is shown
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
}

pub(super) fn run(args: &SimulateArgs) -> ExitCode {
    match reports(args) {
        Err(mistakes) => {
            show(&mistakes, args.format);
            ExitCode::from(2)
        }
        Ok(reports) => {
            let is_good = reports.iter().all(Report::is_good);
            let printed = match args.format {
                Format::Human => {
                    print(&reports.iter().map(|report| shown::report(report, colour())).collect::<Vec<_>>().join("\n"))
                }
                Format::Json => print(&reports.iter().map(json).collect::<String>()),
            };
            if args.check && !is_good { ExitCode::FAILURE } else { printed }
        }
    }
}

fn reports(args: &SimulateArgs) -> Result<Vec<Report>, Vec<Diagnostic>> {
    let config = match &args.config {
        None => None,
        Some(file) => Some(crate::config::load::load(Some(file), &Overrides::default(), &environment)?.config),
    };
    let facts = config.as_ref().map(Known);
    let bounds = Bounds { faults: usize::from(args.faults), runs: args.runs };
    let mut reports = Vec::new();
    let mut mistakes = Vec::new();
    let facts = facts.as_ref().map(|facts| facts as &dyn UpstreamFacts);
    let sources =
        args.files.iter().map(|file| read_file(file)).collect::<Result<Vec<_>, _>>().map_err(|mistake| vec![mistake])?;
    // Together: one may run another.
    for (source, loaded) in sources.iter().zip(Saga::load_all(&sources, facts)) {
        match loaded.and_then(|loaded| report(source, loaded, facts, bounds)) {
            Ok(report) => reports.push(report),
            Err(found) => mistakes.extend(found),
        }
    }
    if mistakes.is_empty() { Ok(reports) } else { Err(mistakes) }
}

fn report(
    source: &Arc<Source>,
    loaded: Loaded,
    facts: Option<&dyn UpstreamFacts>,
    bounds: Bounds,
) -> Result<Report, Vec<Diagnostic>> {
    let Loaded { saga, test, .. } = loaded;
    let mut meter = Meter::new(saga.name.as_str().to_owned());
    let simulated = simulate(&Arc::new(saga), test.as_ref(), facts, bounds, &mut |progress| meter.go(progress));
    meter.clear();
    simulated.map_err(|lacking| lacking.iter().map(|one| mistake(source, one)).collect())
}

/// What a case lacks, at the step where it stops.
fn mistake(source: &Arc<Source>, lacking: &Lacking) -> Diagnostic {
    let document = Document::recover(source).0;
    let place = document.as_ref().and_then(|document| {
        let at = at(document, lacking.step.as_ref()?.id())?;
        Some(document.place(&at.child("id")))
    });
    let place = place.or_else(|| document.as_ref().map(|document| document.key_place(&Pointer::root().child("test"))));
    let case = if lacking.case.is_empty() { String::new() } else { format!(" in the case `{}`", lacking.case) };
    let message = format!("the saga does not go through{case}: {}", lacking.reason);
    let place = place.unwrap_or_else(|| Place::elsewhere(source.name()));
    Diagnostic::error("does-not-go-through", place, message).with_help(lacking.help.clone())
}

/// Where the step with this id is written, however deep. As deep as the file nests at most.
fn at(document: &Document, id: &str) -> Option<Pointer> {
    fn below(document: &Document, at: &Pointer, id: &str) -> Option<Pointer> {
        let node = document.node(at)?;
        if node.child("id").and_then(|found| found.as_str()) == Some(id) {
            return Some(at.clone());
        }
        let keys = node.entries().iter().map(|entry| entry.key.text.clone());
        let items = (0..node.items().len()).map(|index| index.to_string());
        keys.chain(items).find_map(|key| below(document, &at.child(key), id))
    }
    below(document, &Pointer::root().child("steps"), id)
}

fn json(report: &Report) -> String {
    // A report has string keys only.
    serde_json::to_string(report).map(|text| text + "\n").unwrap_or_default()
}

fn colour() -> bool {
    std::io::stdout().is_terminal() && environment("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Says how far it is, on a terminal, if it takes long, and stops what takes too long.
struct Meter {
    what: String,
    began: std::time::Instant,
    told: Option<Duration>,
    is_terminal: bool,
}

impl Meter {
    fn new(what: String) -> Self {
        Self { what, began: monotonic_now(), told: None, is_terminal: std::io::stderr().is_terminal() }
    }

    fn go(&mut self, progress: Progress) -> Go {
        let taken = monotonic_now().duration_since(self.began);
        if self.is_terminal && taken >= self.told.unwrap_or_default() + TELL_EVERY {
            self.told = Some(taken);
            self.write(&format!("\r{}: {} endings", self.what, shown::number(progress.endings)));
        }
        if taken < LONGEST { Go::On } else { Go::Stop }
    }

    fn clear(&self) {
        if self.told.is_some() {
            self.write("\r\u{1b}[K");
        }
    }

    fn write(&self, text: &str) {
        // Whoever closed standard error does not want to know.
        let _told = std::io::stderr().write_all(text.as_bytes());
    }
}

/// What a configuration says of upstreams.
struct Known<'c>(&'c Config);

impl UpstreamFacts for Known<'_> {
    fn find(&self, name: Option<&UpstreamName>) -> Option<UpstreamFact> {
        let is_meant = |upstream: &&crate::config::UpstreamConfig| match name {
            None => upstream.local,
            Some(name) => upstream.name.as_str() == name.as_str(),
        };
        self.0.upstreams.iter().map(AsRef::as_ref).find(is_meant).map(|upstream| UpstreamFact {
            has_refrain: upstream.local || upstream.refrain,
            idempotency_window: upstream.idempotency_window,
            max_execution: upstream.max_execution,
            has_credentials: upstream.auth.is_some(),
        })
    }

    fn names(&self) -> Vec<String> {
        self.0.upstreams.iter().map(|upstream| upstream.name.to_string()).collect()
    }
}
