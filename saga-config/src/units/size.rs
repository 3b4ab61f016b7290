//! `0`, `1500`, `64KiB`, `1MiB`, `8GiB`, `10MB`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{SIZE_FORMAT, leading_digits};
use crate::diagnostic::{did_you_mean, quoted};

/// The greatest size that can be written: 1024 GiB.
pub const MAX_SIZE: ByteCount = ByteCount(1 << 40);

/// The units, powers of 1024 before powers of 1000, the greatest first.
const UNITS: [(&str, u64); 7] =
    [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("GB", 1_000_000_000), ("MB", 1_000_000), ("KB", 1_000), ("B", 1)];

/// What a size may look like, for editors; the bound is left to the parser.
const PATTERN: &str = "^[0-9]+(B|KB|MB|GB|KiB|MiB|GiB)?$";

/// A number of bytes, from 0 to [`MAX_SIZE`].
///
/// Written as a whole number of bytes or with a unit: `KiB`, `MiB`, `GiB` (powers of 1024), `KB`, `MB`, `GB` (powers of
/// 1000), `B`. Shown in the greatest unit that says it exactly; bytes alone carry no unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteCount(u64);

impl ByteCount {
    /// Takes up to [`MAX_SIZE`] bytes; `None` for more.
    pub const fn new(bytes: u64) -> Option<Self> {
        if bytes <= MAX_SIZE.0 { Some(Self(bytes)) } else { None }
    }

    /// The bytes.
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// Why a text is not a size. The message says what to write.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SizeError {
    /// Nothing there.
    #[error("a size is missing: write 64KiB, 1MiB or a number of bytes")]
    Empty,
    /// No digit at the beginning.
    #[error("a size is a number with a unit such as 64KiB or 1MiB, or a number of bytes, not {}", quoted(.0))]
    NotASize(String),
    /// A sign.
    #[error("a size cannot be negative")]
    Negative,
    /// A fraction.
    #[error("a size is a whole number: write 1536KiB instead of 1.5MiB")]
    Fraction,
    /// Letters that are no unit.
    #[error("{} is not a unit of size: {}", quoted(.0), meant(.0))]
    UnknownUnit(String),
    /// More than [`MAX_SIZE`].
    #[error("a size is at most 1024GiB")]
    TooLarge,
}

/// What an unknown unit was probably meant to be.
fn meant(unit: &str) -> String {
    let by_letter = match unit.trim().chars().next().map(|c| c.to_ascii_lowercase()) {
        Some(letter @ ('k' | 'm' | 'g')) if unit.trim().len() <= 2 => Some(letter.to_ascii_uppercase()),
        _ => None,
    };
    if let Some(letter) = by_letter {
        return format!("write {letter}iB (powers of 1024) or {letter}B (powers of 1000)");
    }
    match did_you_mean(unit, UNITS.map(|(name, _)| name)) {
        Some(name) => format!("write {name}"),
        None => "use KiB, MiB, GiB, KB, MB, GB or B".to_owned(),
    }
}

impl FromStr for ByteCount {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, SizeError> {
        if text.is_empty() {
            return Err(SizeError::Empty);
        }
        if text.starts_with('-') {
            return Err(SizeError::Negative);
        }
        let (digits, unit) = leading_digits(text).ok_or_else(|| SizeError::NotASize(text.to_owned()))?;
        if unit.starts_with(['.', ',']) {
            return Err(SizeError::Fraction);
        }
        let found = UNITS.iter().find(|(name, _)| *name == unit);
        let factor = match found {
            Some((_, factor)) => *factor,
            None if unit.is_empty() => 1,
            None => return Err(SizeError::UnknownUnit(unit.to_owned())),
        };
        (digits.parse::<u64>().ok()).and_then(|number| number.checked_mul(factor)).and_then(Self::new).ok_or(SizeError::TooLarge)
    }
}

impl fmt::Display for ByteCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fitting = UNITS.iter().find(|(unit, factor)| *unit != "B" && self.0.is_multiple_of(*factor));
        match fitting {
            Some((unit, factor)) if self.0 > 0 => write!(f, "{}{unit}", self.0 / factor),
            _ => write!(f, "{}", self.0),
        }
    }
}

impl<'de> Deserialize<'de> for ByteCount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SizeVisitor)
    }
}

struct SizeVisitor;

impl de::Visitor<'_> for SizeVisitor {
    type Value = ByteCount;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a size such as 64KiB, or a number of bytes")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<ByteCount, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<ByteCount, E> {
        ByteCount::new(bytes).ok_or_else(|| E::custom(SizeError::TooLarge))
    }

    fn visit_u128<E: de::Error>(self, _: u128) -> Result<ByteCount, E> {
        // Only numbers beyond `u64` come through this door.
        Err(E::custom(SizeError::TooLarge))
    }

    fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<ByteCount, E> {
        match u64::try_from(bytes) {
            Ok(bytes) => self.visit_u64(bytes),
            Err(_) => Err(E::custom(SizeError::Negative)),
        }
    }
}

impl Serialize for ByteCount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for ByteCount {
    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }

    fn schema_id() -> Cow<'static, str> {
        concat!(module_path!(), "::ByteCount").into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A size: a number of bytes, or with a unit: 64KiB, 1MiB, 8GiB, 10MB. At most 1024GiB.",
            "type": ["string", "integer"],
            "format": SIZE_FORMAT,
            "pattern": PATTERN,
            "minimum": 0,
            "maximum": MAX_SIZE.0,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn parsed(text: &str) -> Result<u64, String> {
        let parsed = text.parse::<ByteCount>();
        parsed.map(ByteCount::get).map_err(|e| e.to_string())
    }

    #[test]
    fn every_unit_is_read() {
        assert_eq!(parsed("0"), Ok(0));
        assert_eq!(parsed("1500"), Ok(1500));
        assert_eq!(parsed("7B"), Ok(7));
        assert_eq!(parsed("64KiB"), Ok(65_536));
        assert_eq!(parsed("1MiB"), Ok(1_048_576));
        assert_eq!(parsed("8GiB"), Ok(8_589_934_592));
        assert_eq!(parsed("2KB"), Ok(2_000));
        assert_eq!(parsed("2MB"), Ok(2_000_000));
        assert_eq!(parsed("2GB"), Ok(2_000_000_000));
        assert_eq!(parsed("1024GiB"), Ok(MAX_SIZE.get()));
    }

    #[test]
    fn every_mistake_has_its_own_message() {
        let message = |text| parsed(text).unwrap_err();
        assert!(message("").contains("missing"));
        assert!(message("big").contains("not `big`"));
        assert!(message("-1").contains("negative"));
        assert!(message("1.5MiB").contains("1536KiB"));
        assert_eq!(message("64k"), "`k` is not a unit of size: write KiB (powers of 1024) or KB (powers of 1000)");
        assert!(message("1mb").contains("write MiB (powers of 1024) or MB"));
        assert!(message("1mib").contains("write MiB"));
        assert!(message("1 MiB").contains("write MiB"));
        assert!(message("1parsec").contains("use KiB, MiB"));
        assert_eq!(message("1025GiB"), "a size is at most 1024GiB");
        assert_eq!(message("99999999999999999999"), "a size is at most 1024GiB");
        assert_eq!(message("18446744073709551615GiB"), "a size is at most 1024GiB");
    }

    #[test]
    fn json_takes_text_and_whole_numbers() {
        let size = |json| serde_json::from_str::<ByteCount>(json).map(ByteCount::get);
        assert_eq!(size("\"1MiB\"").unwrap(), 1 << 20);
        assert_eq!(size("1500").unwrap(), 1500);
        assert!(size("-1").unwrap_err().to_string().contains("negative"));
        assert!(size("1.5").is_err());
        assert!(size("1099511627777").unwrap_err().to_string().contains("at most"));
        assert!(size("99999999999999999999").is_err());
        assert_eq!(serde_json::to_string(&MAX_SIZE).unwrap(), "\"1024GiB\"");
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back_the_same(bytes in 0..=MAX_SIZE.get(), shift in 0..40) {
            let size = ByteCount::new(bytes >> shift << shift).unwrap();
            prop_assert_eq!(size.to_string().parse(), Ok(size));
        }

        #[test]
        fn no_text_panics(text in "[0-9]{0,22}[a-zA-Z.\\- é]{0,5}|\\PC*") {
            if let Ok(size) = text.parse::<ByteCount>() {
                prop_assert_eq!(size.to_string().parse(), Ok(size));
            }
        }
    }
}
