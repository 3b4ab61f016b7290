//! What a suite has measured, as it is kept: one JSON file for each.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::clock;
use crate::error::Error;
use crate::machine::Machine;
use crate::settings::Settings;

/// What one measurement has given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Measure {
    RequestsPerSecond,
    /// Of the contender with all its processes, in microseconds per request.
    CpuUs,
    /// Of the store that it uses, in microseconds per request.
    StoreCpuUs,
    /// Of a process that does the work and is no part of the contender, in microseconds per request.
    ServiceCpuUs,
    P50Us,
    P99Us,
    /// Resident memory after the measurement.
    RssBytes,
    /// Of the store.
    StoreRssBytes,
    Descriptors,
    /// Until the first answer.
    StartUs,
    /// What was carried both ways.
    BytesPerSecond,
    /// Of all samples of a profile, in percent.
    Share,
}

/// The measures of one round.
pub(crate) type Sample = BTreeMap<Measure, f64>;

/// One line of a table: a contender under a load, with its rounds in order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Row {
    /// The load.
    pub(crate) shape: String,
    pub(crate) contender: String,
    /// Where on a curve, in the curve's own unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) at: Option<f64>,
    pub(crate) samples: Vec<Sample>,
}

/// Something that was to be measured and was not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Skipped {
    /// A contender, or a contender under a load.
    pub(crate) what: String,
    pub(crate) why: String,
}

/// Everything of one suite.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Results {
    pub(crate) suite: String,
    /// What measures it again.
    pub(crate) command: String,
    /// Seconds since the Unix epoch.
    pub(crate) measured_at: u64,
    pub(crate) machine: Machine,
    pub(crate) settings: BTreeMap<String, String>,
    /// Of every program that took part.
    pub(crate) versions: BTreeMap<String, String>,
    pub(crate) rows: Vec<Row>,
    pub(crate) skipped: Vec<Skipped>,
}

impl Results {
    /// None yet.
    pub(crate) fn new(suite: &str, settings: &Settings) -> Self {
        let seconds = settings.measure.as_secs();
        let (rounds, quick) = (settings.rounds, if settings.quick { " --quick" } else { "" });
        let written = [
            ("seconds", seconds.to_string()),
            ("rounds", rounds.to_string()),
            ("threads of each proxy", settings.workers.to_string()),
            ("threads of the origin", settings.origin_threads.to_string()),
            ("threads of the load", settings.load_threads.to_string()),
        ];
        Self {
            suite: suite.to_owned(),
            command: format!("scripts/bench {suite} --seconds {seconds} --rounds {rounds}{quick}"),
            measured_at: clock::unix_seconds(),
            machine: Machine::read(),
            settings: written.map(|(name, value)| (name.to_owned(), value)).into(),
            versions: BTreeMap::new(),
            rows: Vec::new(),
            skipped: Vec::new(),
        }
    }

    /// Adds a round to a row, which is made if it is the first.
    pub(crate) fn add(&mut self, shape: &str, contender: &str, at: Option<f64>, sample: Sample) {
        let found = self.rows.iter_mut().find(|row| row.shape == shape && row.contender == contender && row.at == at);
        match found {
            Some(row) => row.samples.push(sample),
            None => {
                let (shape, contender) = (shape.to_owned(), contender.to_owned());
                self.rows.push(Row { shape, contender, at, samples: vec![sample] });
            }
        }
    }

    /// Names something that is not measured.
    pub(crate) fn skip(&mut self, what: impl Into<String>, why: impl ToString) {
        let skipped = Skipped { what: what.into(), why: why.to_string() };
        eprintln!("bench: skipped: {}: {}", skipped.what, skipped.why);
        if !self.skipped.contains(&skipped) {
            self.skipped.push(skipped);
        }
    }

    /// Writes them to their file in the folder.
    pub(crate) fn write(&self, folder: &Path) -> Result<(), Error> {
        let path = folder.join(format!("{}.json", self.suite));
        let text = serde_json::to_string_pretty(self).map_err(|error| Error::Invalid(error.to_string()))?;
        let written = fs::create_dir_all(folder).and_then(|()| fs::write(&path, text + "\n"));
        written.map_err(Error::io(format!("write {}", path.display())))
    }

    /// Reads a suite's file; `None`: it was not measured yet.
    pub(crate) fn read(folder: &Path, suite: &str) -> Result<Option<Self>, Error> {
        let path = folder.join(format!("{suite}.json"));
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io(format!("read {}", path.display()))(error)),
        };
        let read = serde_json::from_str(&text).map_err(|error| Error::Invalid(format!("{}: {error}", path.display())))?;
        Ok(Some(read))
    }

    /// The row, if it was measured.
    pub(crate) fn row(&self, shape: &str, contender: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.shape == shape && row.contender == contender)
    }
}

impl Row {
    /// The median over the rounds.
    pub(crate) fn median(&self, measure: Measure) -> Option<f64> {
        median(self.samples.iter().filter_map(|sample| sample.get(&measure).copied()).collect())
    }

    /// The median of the ratios, each of one round to the same round of `other`.
    pub(crate) fn ratio(&self, other: &Self, measure: Measure) -> Option<f64> {
        let pairs = self.samples.iter().zip(&other.samples);
        let ratios = pairs.filter_map(|(one, other)| Some(one.get(&measure)? / other.get(&measure).filter(|by| **by > 0.0)?));
        median(ratios.collect())
    }
}

/// `None` of nothing.
pub(crate) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        length if length % 2 == 1 => Some(values[middle]),
        _ => Some(f64::midpoint(values[middle - 1], values[middle])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_compares_rounds_with_their_own() {
        let row = |values: [f64; 3]| {
            let samples = values.map(|value| Sample::from([(Measure::CpuUs, value)])).to_vec();
            Row { shape: String::new(), contender: String::new(), at: None, samples }
        };
        // Everything was twice as slow in the second round: no ratio shows it.
        let (one, other) = (row([10.0, 22.0, 12.0]), row([20.0, 40.0, 20.0]));
        assert_eq!(one.ratio(&other, Measure::CpuUs), Some(0.55));
        assert_eq!(one.median(Measure::CpuUs), Some(12.0));
        assert_eq!(median(vec![4.0, 1.0]), Some(2.5));
        assert_eq!(median(Vec::new()), None);
    }
}
