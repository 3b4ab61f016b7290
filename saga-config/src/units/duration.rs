//! `200ms`, `30s`, `1m30s`, `24h`, `7d`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{DURATION_FORMAT, leading_digits};
use crate::diagnostic::quoted;

/// The longest duration that can be written: 3650 days.
pub const MAX_DURATION: Duration = Duration::from_secs(3650 * 24 * 60 * 60);

/// The units from the longest, in milliseconds.
const UNITS: [(&str, u64); 5] = [("d", 24 * 60 * 60 * 1000), ("h", 60 * 60 * 1000), ("m", 60 * 1000), ("s", 1000), ("ms", 1)];

/// What a duration may look like, for editors; the order and the bounds are left to the parser.
const PATTERN: &str = "^([0-9]+(ms|s|m|h|d))+$";

/// A duration written with its unit.
///
/// Whole numbers with the units `d`, `h`, `m`, `s`, `ms`, each at most once and the longest first. In steps of a
/// millisecond, from `0s` to [`MAX_DURATION`].
///
/// Shown in the longest unit that says it exactly: `90s`, `2m`, `1d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DurationText(Duration);

impl DurationText {
    /// Takes whole milliseconds up to [`MAX_DURATION`]; `None` for anything else.
    pub const fn new(duration: Duration) -> Option<Self> {
        let whole = duration.subsec_nanos().is_multiple_of(1_000_000);
        if whole && duration.as_millis() <= MAX_DURATION.as_millis() { Some(Self(duration)) } else { None }
    }

    /// The duration itself.
    pub const fn get(self) -> Duration {
        self.0
    }
}

impl From<DurationText> for Duration {
    fn from(text: DurationText) -> Self {
        text.get()
    }
}

/// Why a text is not a duration. The message says what to write.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// Nothing there.
    #[error("a duration is missing: write 30s, 5m, 24h")]
    Empty,
    /// Digits alone, or at the end.
    #[error("a duration needs a unit: {0}s, 5m, 24h")]
    NoUnit(String),
    /// No digit where a number is due.
    #[error("a duration is a number with a unit such as 30s, 5m, 24h, not {}", quoted(.0))]
    NotADuration(String),
    /// A sign.
    #[error("a duration cannot be negative")]
    Negative,
    /// A fraction.
    #[error("a duration is a whole number: write 1500ms or 1m30s instead of a fraction")]
    Fraction,
    /// Letters that are no unit.
    #[error("{} is not a unit of time: use ms, s, m, h or d", quoted(.0))]
    UnknownUnit(String),
    /// A unit twice, or a longer one after a shorter one.
    #[error("write each unit once, the longest first, as in 1m30s")]
    OutOfOrder,
    /// More than [`MAX_DURATION`].
    #[error("a duration is at most 3650d")]
    TooLong,
}

impl FromStr for DurationText {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, DurationError> {
        if text.is_empty() {
            return Err(DurationError::Empty);
        }
        if text.starts_with('-') {
            return Err(DurationError::Negative);
        }
        let (mut rest, mut milliseconds, mut next_unit) = (text, 0_u64, 0);
        while !rest.is_empty() {
            let (digits, after) = leading_digits(rest).ok_or_else(|| DurationError::NotADuration(text.to_owned()))?;
            let (index, length, after) = unit(digits, after)?;
            if index < next_unit {
                return Err(DurationError::OutOfOrder);
            }
            next_unit = index + 1;
            milliseconds = (digits.parse::<u64>().ok())
                .and_then(|number| number.checked_mul(length))
                .and_then(|part| milliseconds.checked_add(part))
                .ok_or(DurationError::TooLong)?;
            rest = after;
        }
        Self::new(Duration::from_millis(milliseconds)).ok_or(DurationError::TooLong)
    }
}

/// The unit at the beginning of `text`: its index, its milliseconds, and what follows it.
fn unit<'a>(digits: &str, text: &'a str) -> Result<(usize, u64, &'a str), DurationError> {
    if text.is_empty() {
        return Err(DurationError::NoUnit(digits.to_owned()));
    }
    if text.starts_with(['.', ',']) {
        return Err(DurationError::Fraction);
    }
    let end = text.find(|c: char| c.is_ascii_digit()).unwrap_or(text.len());
    let (name, after) = text.split_at(end);
    let found = UNITS.iter().position(|(unit, _)| *unit == name);
    let index = found.ok_or_else(|| DurationError::UnknownUnit(name.to_owned()))?;
    Ok((index, UNITS[index].1, after))
}

impl fmt::Display for DurationText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let milliseconds = self.0.as_millis();
        let fitting = UNITS.iter().find(|(_, length)| milliseconds.is_multiple_of(u128::from(*length)));
        match fitting {
            Some((unit, length)) if milliseconds > 0 => {
                write!(f, "{}{unit}", milliseconds / u128::from(*length))
            }
            _ => f.write_str("0s"),
        }
    }
}

impl<'de> Deserialize<'de> for DurationText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

impl Serialize for DurationText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for DurationText {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn schema_id() -> Cow<'static, str> {
        concat!(module_path!(), "::DurationText").into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A duration with its unit: 200ms, 30s, 1m30s, 24h, 7d. At most 3650d.",
            "type": "string",
            "format": DURATION_FORMAT,
            "pattern": PATTERN,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn parsed(text: &str) -> Result<Duration, String> {
        let parsed = text.parse::<DurationText>();
        parsed.map(DurationText::get).map_err(|e| e.to_string())
    }

    #[test]
    fn every_unit_and_their_sums_are_read() {
        assert_eq!(parsed("200ms"), Ok(Duration::from_millis(200)));
        assert_eq!(parsed("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(parsed("5m"), Ok(Duration::from_secs(300)));
        assert_eq!(parsed("24h"), Ok(Duration::from_secs(86_400)));
        assert_eq!(parsed("7d"), Ok(Duration::from_secs(604_800)));
        assert_eq!(parsed("1d2h3m4s5ms"), Ok(Duration::from_millis(93_784_005)));
        assert_eq!(parsed("0s"), Ok(Duration::ZERO));
        assert_eq!(parsed("3650d"), Ok(MAX_DURATION));
    }

    #[test]
    fn every_mistake_has_its_own_message() {
        let message = |text| parsed(text).unwrap_err();
        assert_eq!(message("30"), "a duration needs a unit: 30s, 5m, 24h");
        assert_eq!(message("1m30"), "a duration needs a unit: 30s, 5m, 24h");
        assert_eq!(message(""), "a duration is missing: write 30s, 5m, 24h");
        assert!(message("soon").contains("not `soon`"));
        assert_eq!(message("-3s"), "a duration cannot be negative");
        assert!(message("1.5s").contains("1500ms"));
        assert!(message("5min").contains("`min` is not a unit of time"));
        assert!(message("5us").contains("use ms, s, m, h or d"));
        assert!(message("5 s").contains("` s` is not a unit"));
        assert!(message("5S").contains("`S`"));
        assert!(message("5s ").contains("`s `"));
        assert!(message("30s1m").contains("longest first"));
        assert!(message("1s1s").contains("once"));
        assert_eq!(message("3651d"), "a duration is at most 3650d");
        assert_eq!(message("3650d1ms"), "a duration is at most 3650d");
        assert_eq!(message("99999999999999999999d"), "a duration is at most 3650d");
        assert_eq!(message("18446744073709551615d"), "a duration is at most 3650d");
    }

    #[test]
    fn display_uses_the_longest_unit_that_is_exact() {
        for (text, shown) in [("90s", "90s"), ("120s", "2m"), ("24h", "1d"), ("0d", "0s"), ("1500ms", "1500ms")] {
            assert_eq!(text.parse::<DurationText>().unwrap().to_string(), shown);
        }
    }

    #[test]
    fn json_holds_the_text_and_nothing_else_is_taken() {
        let duration: DurationText = serde_json::from_str("\"1m30s\"").unwrap();
        assert_eq!(serde_json::to_string(&duration).unwrap(), "\"90s\"");
        assert!(serde_json::from_str::<DurationText>("30").is_err());
        assert_eq!(DurationText::new(Duration::from_nanos(1)), None);
        assert_eq!(DurationText::new(MAX_DURATION + Duration::from_millis(1)), None);
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back_the_same(ms in 0..=3650_u64 * 86_400_000) {
            let duration = DurationText::new(Duration::from_millis(ms)).unwrap();
            prop_assert_eq!(duration.to_string().parse(), Ok(duration));
        }

        #[test]
        fn no_text_panics(text in "[0-9a-zA-Z.\\- éµ]{0,40}|\\PC*") {
            if let Ok(duration) = text.parse::<DurationText>() {
                prop_assert_eq!(duration.to_string().parse(), Ok(duration));
            }
        }
    }
}
