//! Mistakes of YAML's syntax in words that help.

use std::sync::Arc;

use granit_parser::{ErrorKind, ScanError};

use crate::diagnostic::{Diagnostic, Place, Source, Span};

/// The diagnostic for what the parser stopped at. `open` is where the innermost `[` or `{` that is still open stands.
pub(super) fn diagnostic(source: &Arc<Source>, error: &ScanError, open: Option<Span>) -> Diagnostic {
    let (message, help) = explain(error.kind());
    let message = message.map_or_else(|| error.info(), str::to_owned);
    let place = Place::in_source(source, character_at(source, error));
    let mut diagnostic = Diagnostic::error("yaml-syntax", place, message);
    if let Some(open) = open {
        let bracket = source.slice(open).to_owned();
        diagnostic = diagnostic.with_label(Place::in_source(source, open), format!("inside the `{bracket}` that opens here"));
    }
    match help {
        Some(help) => diagnostic.with_help(help),
        None => diagnostic,
    }
}

/// The character at which the parser stopped. At the end of the text: its last character, so that a line with content
/// is shown.
fn character_at(source: &Source, error: &ScanError) -> Span {
    let text = source.text();
    let offset = error.marker().byte_offset().unwrap_or(text.len());
    let offset = text.floor_char_boundary(offset);
    match text[offset..].chars().next() {
        Some(character) => Span::new(offset, offset + character.len_utf8()),
        None => Span::at(text.trim_end().len()),
    }
}

/// Our own message, where the parser's is in its own terms, and what to do.
fn explain(kind: &ErrorKind) -> (Option<&'static str>, Option<&'static str>) {
    use ErrorKind as Kind;
    match kind {
        Kind::TabNotAllowed | Kind::TabInBlockIndentation | Kind::TabInIndentation | Kind::TabAtBlockScalarStart => {
            (Some("a tab cannot indent"), Some("indent with spaces"))
        }
        Kind::MappingValueNotAllowed | Kind::InvalidColonPlacement | Kind::MappingKeyNotAllowed => (
            Some("a `key:` cannot stand here"),
            Some("check the indentation of this line and the one before; put text with `: ` in it into quotes"),
        ),
        Kind::SimpleKeyExpected | Kind::InvalidSimpleKey | Kind::ExpectedBlockMappingKey => {
            (Some("expected `key: value`"), Some("check the indentation, and that the key ends with `:` and a space"))
        }
        Kind::InvalidIndentation | Kind::InvalidFlowScalarIndent => {
            (Some("the indentation fits nothing above"), Some("indent to the same column as the lines that belong together"))
        }
        Kind::ExpectedBlockSequenceEntry | Kind::BlockSequenceEntryNotAllowed | Kind::BlockEntryInFlowCollection => (
            Some("an item of a list cannot stand here"),
            Some("begin every item with `- ` in the same column, on a line of its own"),
        ),
        Kind::ExpectedFlowSequenceSeparator | Kind::UnexpectedEofFlowSequence => {
            (Some("the list is not closed"), Some("separate items with `,` and end the list with `]`"))
        }
        Kind::ExpectedFlowMappingSeparator | Kind::UnexpectedEofFlowMapping | Kind::UnexpectedEofImplicitFlowMapping => {
            (Some("the map is not closed"), Some("separate entries with `,` and end the map with `}`"))
        }
        Kind::UnclosedFlowCollection { .. } => (Some("the bracket is not closed"), None),
        Kind::UnclosedQuotedScalar | Kind::InvalidQuotedScalarIndent | Kind::DocumentIndicatorInQuotedScalar => {
            (Some("the text in quotes is not closed"), Some("end the text with the quote it began with"))
        }
        Kind::UnknownQuotedScalarEscape => (
            Some("this escape is unknown in double quotes"),
            Some(r"write a backslash as \\, or use single quotes, in which nothing is escaped"),
        ),
        Kind::DirectiveDisallowed => (Some("directives (lines that begin with `%`) are not used here"), Some("remove the line")),
        Kind::RecursionLimitExceeded => (Some("the nesting is too deep"), None),
        Kind::UnexpectedCharacter { .. } => (None, Some("put text that begins with this character into quotes")),
        _ => (None, None),
    }
}
