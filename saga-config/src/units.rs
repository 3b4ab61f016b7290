//! Durations and sizes as people write them: `30s`, `64KiB`.
//!
//! Inside, a duration is a [`std::time::Duration`] and a size a [`ByteCount`]; the unit lives only in the text. There are
//! no defaults for a missing unit, and no rounding: what cannot be said exactly is an error that says how to write it.
//!
//! ```
//! use saga_config::units::{ByteCount, DurationText};
//! use std::time::Duration;
//!
//! let timeout: DurationText = "1m30s".parse()?;
//! assert_eq!(timeout.get(), Duration::from_secs(90));
//! let cap: ByteCount = "64KiB".parse()?;
//! assert_eq!(cap.get(), 65_536);
//! assert_eq!("30".parse::<DurationText>().unwrap_err().to_string(), "a duration needs a unit: 30s, 5m, 24h");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod duration;
mod size;

pub use duration::{DurationError, DurationText, MAX_DURATION};
pub use size::{ByteCount, MAX_SIZE, SizeError};

/// The name of the JSON Schema `format` of durations.
pub const DURATION_FORMAT: &str = "refrain-duration";
/// The name of the JSON Schema `format` of sizes.
pub const SIZE_FORMAT: &str = "refrain-size";

/// A whole number at the beginning of `text`, and what follows. `None` if there is no digit.
fn leading_digits(text: &str) -> Option<(&str, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}
