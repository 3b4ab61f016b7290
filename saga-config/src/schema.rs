//! From a file to its Rust type, with every mistake told at once.
//!
//! A file's format is one private struct that derives `Deserialize` and `JsonSchema` with `deny_unknown_fields`. [`read`]
//! holds the file against the schema of that struct, reports all that does not fit where it stands, and only then
//! deserialises. The same schema is what editors get, so neither can drift.
//!
//! The part of JSON Schema 2020-12 that is understood is what schemars writes for such structs;
//! [`unsupported_keywords`] names anything else, and a test of every format asserts that there is nothing. `pattern` is not run: a `format` from the table of [`Format`]s is checked by its own
//! parser, whose message is better.
//!
//! ```
//! use saga_config::diagnostic::Source;
//! use saga_config::schema;
//! use saga_config::units::DurationText;
//!
//! #[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
//! #[serde(deny_unknown_fields)]
//! struct Retry {
//!     max: u32,
//!     initial: DurationText,
//! }
//!
//! let mistakes = schema::read::<Retry>(&Source::new("retry.yaml", "maxx: 5\ninitial: 30\n")).unwrap_err();
//! let lines: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
//! assert_eq!(lines, [
//!     "retry.yaml:1:1: error: unknown key `maxx` (did you mean `max`?)",
//!     "retry.yaml:2:10: error: expected a duration such as 30s, found the number 30 (a duration needs a unit: 30s, 5m, 24h)",
//! ]);
//!
//! let read = schema::read::<Retry>(&Source::new("retry.yaml", "max: 5\ninitial: 30s\n")).expect("it fits");
//! assert_eq!(read.value.max, 5);
//! ```

mod expected;
mod format;
mod load;
mod map;
mod partly;
mod rules;
mod scalar;
mod supported;
#[cfg(test)]
mod tests;
mod union;
mod walk;

pub use format::{Format, STANDARD_FORMATS, parse_as};
pub use load::{Loaded, load, load_with, pointer_along, read, read_with};
pub use partly::{Partly, blamed, read_partly};
pub use supported::unsupported_keywords;

use crate::diagnostic::{self, Diagnostic};
use crate::yaml::Document;

/// Everything in `document` that does not fit `schema`, in the order of the file, with the [`STANDARD_FORMATS`].
///
/// At most 100 diagnostics; the last says when there are more.
pub fn check(document: &Document, schema: &schemars::Schema) -> Vec<Diagnostic> {
    check_with(document, schema, STANDARD_FORMATS)
}

/// Like [`check`], with other formats.
pub fn check_with(document: &Document, schema: &schemars::Schema, formats: &[Format]) -> Vec<Diagnostic> {
    let mut found = walk::Checker::new(document, schema.as_value(), formats).run();
    diagnostic::sort(&mut found);
    found
}
