//! The counts as they are recorded: `name = instructions`, a line each.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use crate::error::Error;

const HEAD: &str = "# Instructions per request, as scripts/counts counts them; scripts/counts --write records them anew.\n";

/// Counts by their names.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Record(BTreeMap<String, u64>);

/// What has changed.
#[derive(Debug)]
pub(super) struct Compared {
    /// For people.
    pub(super) table: String,
    /// One for each count that is not as recorded.
    pub(super) faults: Vec<String>,
}

impl Record {
    pub(super) fn get(&self, name: &str) -> Option<u64> {
        self.0.get(name).copied()
    }

    pub(super) fn set(&mut self, name: &str, count: u64) {
        self.0.insert(name.to_owned(), count);
    }

    /// # Errors
    /// When there is no such file, or a line is not one of a count.
    pub(super) fn read(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path).map_err(Error::io(format!("read {}", path.display())))?;
        Self::parse(&text).map_err(|line| Error::Invalid(format!("{}: this is no `name = number`: {line}", path.display())))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let read = lines.map(|line| {
            let (name, count) = line.split_once('=').ok_or(line)?;
            let count = count.trim().replace('_', "").parse().map_err(|_| line)?;
            Ok((name.trim().to_owned(), count))
        });
        read.collect::<Result<_, &str>>().map(Self).map_err(str::to_owned)
    }

    /// # Errors
    /// When the file cannot be written.
    pub(super) fn write(&self, path: &Path) -> Result<(), Error> {
        std::fs::write(path, self.text()).map_err(Error::io(format!("write {}", path.display())))
    }

    fn text(&self) -> String {
        self.0.iter().fold(HEAD.to_owned(), |mut text, (name, count)| {
            // Writing to a text cannot fail.
            let _written = writeln!(text, "{name} = {}", grouped(*count));
            text
        })
    }

    /// `now` beside what is recorded. A count that has fallen by more than `tolerance` per cent is a fault too: the record has to be
    /// lowered, or what was won is lost unseen.
    pub(super) fn compare(&self, now: &Self, tolerance: f64) -> Compared {
        let mut table = format!("{:18}{:>14}{:>14}{:>9}", "", "recorded", "now", "");
        let mut faults = Vec::new();
        for (name, count) in &now.0 {
            let Some(recorded) = self.get(name) else {
                faults.push(format!("{name} is not recorded: scripts/counts --write"));
                continue;
            };
            let change = (*count as f64 / recorded.max(1) as f64 - 1.0) * 100.0;
            let (recorded, count) = (grouped(recorded), grouped(*count));
            let _written = write!(table, "\n{name:18}{recorded:>14}{count:>14}{change:>+8.1}%");
            if change > tolerance {
                faults.push(format!("{name} has risen by {change:.1} %: from {recorded} to {count} instructions per request"));
            } else if change < -tolerance {
                let fallen = -change;
                faults.push(format!("{name} has fallen by {fallen:.1} %, to {count}: record it, scripts/counts --write"));
            }
        }
        let gone = self.0.keys().filter(|name| !now.0.contains_key(*name));
        faults.extend(gone.map(|name| format!("{name} is recorded and not counted any more: scripts/counts --write")));
        Compared { table, faults }
    }
}

/// 1234567 as `1_234_567`.
fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push('_');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn of(counts: &[(&str, u64)]) -> Record {
        Record(counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect())
    }

    #[test]
    fn what_is_written_is_read() {
        let record = of(&[("pass", 54_321), ("first_redis", 1_234_567), ("none", 7)]);
        assert!(record.text().contains("first_redis = 1_234_567\n"), "{}", record.text());
        assert_eq!(Record::parse(&record.text()).unwrap(), record);
        for wrong in ["pass", "pass = ", "pass = many", "pass = -1"] {
            assert_eq!(Record::parse(wrong).unwrap_err(), wrong.trim());
        }
    }

    #[test]
    fn what_rises_or_falls_by_more_than_is_tolerated_is_a_fault() {
        let recorded = of(&[("same", 1000), ("noise", 1000), ("more", 1000), ("less", 1000), ("gone", 5)]);
        let now = of(&[("same", 1000), ("noise", 1029), ("more", 1031), ("less", 969), ("new", 5)]);
        let faults = recorded.compare(&now, 3.0).faults;
        let starts = ["less has fallen by 3.1 %", "more has risen by 3.1 %", "new is not recorded", "gone is recorded"];
        assert_eq!(faults.len(), starts.len(), "{faults:?}");
        assert!(faults.iter().zip(starts).all(|(fault, start)| fault.starts_with(start)), "{faults:?}");
    }
}
