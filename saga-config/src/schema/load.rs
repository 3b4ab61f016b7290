//! From a checked tree to a Rust value.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_path_to_error::Segment;

use super::check_with;
use super::format::{Format, STANDARD_FORMATS};
use crate::diagnostic::{self, Diagnostic, Source, has_errors};
use crate::yaml::{Document, Pointer};

/// A value with the document it came from, which later checks point into.
#[derive(Debug, Clone)]
pub struct Loaded<T> {
    /// The value.
    pub value: T,
    /// Where it was written.
    pub document: Document,
}

/// Reads a file's text as a `T`, with the [`STANDARD_FORMATS`].
///
/// # Errors
///
/// Every mistake of YAML and of form, in the order of the file; of those that only the deserialiser of `T` knows, the
/// first, and only if there are no others.
pub fn read<T: DeserializeOwned + JsonSchema>(source: &Arc<Source>) -> Result<Loaded<T>, Vec<Diagnostic>> {
    read_with(source, STANDARD_FORMATS)
}

/// Like [`read`], with other formats.
///
/// # Errors
///
/// As [`read`].
pub fn read_with<T: DeserializeOwned + JsonSchema>(
    source: &Arc<Source>,
    formats: &[Format],
) -> Result<Loaded<T>, Vec<Diagnostic>> {
    let (document, mut found) = Document::recover(source);
    let Some(document) = document else {
        return Err(found);
    };
    if !has_errors(&found) {
        return Ok(Loaded { value: load_with(&document, formats)?, document });
    }
    // What is wrong as YAML was replaced by something in the tree; what the schema says of that is of no use.
    let schema = schemars::schema_for!(T);
    for mistake in check_with(&document, &schema, formats) {
        if found.iter().all(|known| known.place() != mistake.place()) {
            found.push(mistake);
        }
    }
    diagnostic::sort(&mut found);
    Err(found)
}

/// Takes a document as a `T`, with the [`STANDARD_FORMATS`].
///
/// # Errors
///
/// As [`read`].
pub fn load<T: DeserializeOwned + JsonSchema>(document: &Document) -> Result<T, Vec<Diagnostic>> {
    load_with(document, STANDARD_FORMATS)
}

/// Like [`load`], with other formats.
///
/// # Errors
///
/// As [`read`].
pub fn load_with<T: DeserializeOwned + JsonSchema>(document: &Document, formats: &[Format]) -> Result<T, Vec<Diagnostic>> {
    let schema = schemars::schema_for!(T);
    let found = check_with(document, &schema, formats);
    if has_errors(&found) {
        return Err(found);
    }
    serde_path_to_error::deserialize(document.root().to_json()).map_err(|error| {
        let place = document.place(&pointer_along(document, error.path()));
        vec![Diagnostic::error("invalid-value", place, error.inner().to_string())]
    })
}

/// As far along a deserialiser's path as the document goes.
pub fn pointer_along(document: &Document, path: &serde_path_to_error::Path) -> Pointer {
    let mut at = Pointer::root();
    for segment in path {
        let next = match segment {
            Segment::Seq { index } => at.child(index),
            Segment::Map { key } => at.child(key),
            // The name of a variant is a key of the map it is written as, or the text itself.
            Segment::Enum { variant } => at.child(variant),
            Segment::Unknown => break,
        };
        if document.node(&next).is_some() {
            at = next;
        }
    }
    at
}
