//! Mistakes of YAML's syntax in words that help.

use std::sync::Arc;

use granit_parser::{ErrorKind, ScanError};

use crate::diagnostic::{Diagnostic, Place, Source, Span};

/// The diagnostic for what the parser stopped at. `open` is where the innermost `[` or `{` that is still open stands.
pub(super) fn diagnostic(source: &Arc<Source>, error: &ScanError, open: Option<Span>) -> Diagnostic {
    let (message, help) = explain(error.kind());
    let message = message.map_or_else(|| error.info(), str::to_owned);
    let at = character_at(source, error);
    let is_bare = open.is_some() && is_bare_expression(source.text(), at.end);
    let help = if is_bare { Some("between brackets, put a text with `${…}` in it into quotes: \"${input.id}\"") } else { help };
    let place = Place::in_source(source, at);
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
    let offset = match error.kind() {
        // The parser says where the text before it begins.
        ErrorKind::TabInPlainScalar => offset + tab_that_indents(&text[offset..]),
        _ => offset,
    };
    match text[offset..].chars().next() {
        Some(character) => Span::new(offset, offset + character.len_utf8()),
        None => Span::at(text.trim_end().len()),
    }
}

/// Where the first line after the one at hand that begins with a tab does so; 0 if none does.
fn tab_that_indents(text: &str) -> usize {
    let mut start = 0;
    for line in text.split_inclusive(['\n', '\r']) {
        let blank = line.len() - line.trim_start_matches(' ').len();
        if start > 0 && line[blank..].starts_with('\t') {
            return start + blank;
        }
        start += line.len();
    }
    0
}

/// Whether the text before `offset`, on its line, has a `${` without a quote before it: YAML takes its brace for a map's.
fn is_bare_expression(text: &str, offset: usize) -> bool {
    let start = text[..offset].rfind(['\n', '\r']).map_or(0, |end| end + 1);
    text[start..offset].rfind("${").is_some_and(|found| !text[start..start + found].contains(['"', '\'']))
}

/// Our own message, where the parser's is in its own terms, and what to do.
fn explain(kind: &ErrorKind) -> (Option<&'static str>, Option<&'static str>) {
    use ErrorKind as Kind;
    match kind {
        Kind::TabNotAllowed
        | Kind::TabInBlockIndentation
        | Kind::TabInIndentation
        | Kind::TabAtBlockScalarStart
        | Kind::TabInPlainScalar => (Some("a tab cannot indent"), Some("indent with spaces")),
        Kind::InvalidTrailingSingleQuotedScalar | Kind::InvalidTrailingDoubleQuotedScalar => (
            Some("something follows the text in quotes"),
            Some("put the whole value into quotes; write a quote inside of \"…\" as \\\", inside of '…' as ''"),
        ),
        Kind::MisplacedFlowCollectionEnd => {
            (Some("this bracket closes nothing"), Some("leave it out, or put the text into quotes"))
        }
        Kind::MismatchedFlowCollectionEnd { .. } => {
            (Some("this bracket closes another kind than was opened"), Some("close `[` with `]`, and `{` with `}`"))
        }
        Kind::MissingAnchorOrAliasName => {
            (Some("an anchor or alias has a name"), Some("put text that begins with `&` or `*` into quotes"))
        }
        Kind::CommentNotSeparated => (Some("a comment begins with a space and `#`"), Some("put a space before the `#`")),
        Kind::BomInsideDocument => {
            (Some("a byte order mark stands inside of the text"), Some("remove it: it is invisible in most editors"))
        }
        Kind::InvalidQuotedScalarHexEscape | Kind::InvalidUnicodeEscape => {
            (Some("this escape names no character"), Some(r"write \xHH, \uHHHH or \UHHHHHHHH in hexadecimal digits"))
        }
        Kind::InvalidMappingValueWhitespace | Kind::FlowMappingValueAdjacentCollection => {
            (Some("a space is missing after `:`"), Some("write `key: value`"))
        }
        Kind::InvalidBlockEntryWhitespace => (Some("a space is missing after `-`"), Some("write `- item`")),
        Kind::InvalidBlockScalarHeader => (
            Some("text stands beside the `|` or `>` that begins a block of text"),
            Some("begin the text on the next line, or put it into quotes"),
        ),
        Kind::InvalidBlockScalarIndent => {
            (Some("a line of this text is indented less than its first"), Some("indent all lines to the same column"))
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
