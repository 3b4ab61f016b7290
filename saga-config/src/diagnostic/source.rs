//! A file's text with its name, and places in it.

use std::ops::Range;
use std::sync::Arc;

/// The text of one file, with the name people know it by.
///
/// Lines end at `\n`, `\r\n` or a lone `\r`, as in YAML 1.2.2 section 5.4.
#[derive(Debug, PartialEq, Eq)]
pub struct Source {
    name: String,
    text: String,
    line_starts: Vec<usize>,
}

impl Source {
    /// Keeps `text` under `name`, usually the path as the user wrote it.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Arc<Self> {
        let text = text.into();
        let line_starts = line_starts(&text);
        Arc::new(Self { name: name.into(), text, line_starts })
    }

    /// The name given at the door.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The whole text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The line and column of a byte offset. An offset past the end or inside a character counts as the next
    /// boundary to its left.
    pub fn position(&self, offset: usize) -> Position {
        let offset = self.text.floor_char_boundary(offset);
        let line = self.line_starts.partition_point(|&start| start <= offset).max(1);
        let start = self.line_starts[line - 1];
        Position { line, column: self.text[start..offset].chars().count() + 1 }
    }

    /// The bytes of a line, without its line break. Lines count from 1; a line that does not exist is empty and at
    /// the end.
    pub fn line_range(&self, line: usize) -> Range<usize> {
        let end_of_text = self.text.len();
        let start = line.checked_sub(1).and_then(|index| self.line_starts.get(index).copied()).unwrap_or(end_of_text);
        let next = self.line_starts.get(line).copied();
        let next = next.unwrap_or(end_of_text).max(start);
        let content = self.text[start..next].trim_end_matches(['\n', '\r']);
        start..start + content.len()
    }

    /// The text of a span, cut to what exists.
    pub fn slice(&self, span: Span) -> &str {
        let start = self.text.floor_char_boundary(span.start);
        let end = self.text.floor_char_boundary(span.end).max(start);
        &self.text[start..end]
    }
}

fn line_starts(text: &str) -> Vec<usize> {
    let bytes = text.as_bytes();
    let breaks = bytes.iter().enumerate().filter_map(|(at, &byte)| {
        let ends_line = match byte {
            b'\n' => true,
            b'\r' => bytes.get(at + 1) != Some(&b'\n'),
            _ => false,
        };
        ends_line.then_some(at + 1)
    });
    std::iter::once(0).chain(breaks).collect()
}

/// A range of bytes in a [`Source`], the end exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span {
    /// The first byte.
    pub start: usize,
    /// The byte after the last.
    pub end: usize,
}

impl Span {
    /// From `start` up to `end`; an end before the start makes an empty span.
    pub fn new(start: usize, end: usize) -> Self {
        Self { start, end: end.max(start) }
    }

    /// The span of no bytes at `offset`.
    pub fn at(offset: usize) -> Self {
        Self::new(offset, offset)
    }
}

/// A place as people count it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// From 1.
    pub line: usize,
    /// From 1, in Unicode scalar values.
    pub column: usize,
}

/// Where a diagnostic points.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Bytes of a file.
    InSource {
        /// The file.
        source: Arc<Source>,
        /// The bytes.
        span: Span,
    },
    /// Something without text to show: a flag (`--listen`), an environment variable, a file that could not be read.
    Elsewhere(String),
}

impl Place {
    /// The bytes `span` of `source`.
    pub fn in_source(source: &Arc<Source>, span: Span) -> Self {
        Self::InSource { source: Arc::clone(source), span }
    }

    /// A flag, a variable or the like, by the name users know.
    pub fn elsewhere(name: impl Into<String>) -> Self {
        Self::Elsewhere(name.into())
    }

    /// The file's name, or the flag.
    pub fn name(&self) -> &str {
        match self {
            Self::InSource { source, .. } => source.name(),
            Self::Elsewhere(name) => name,
        }
    }

    /// The first position and the one after the last, for a place in a file.
    pub fn positions(&self) -> Option<(Position, Position)> {
        match self {
            Self::InSource { source, span } => Some((source.position(span.start), source.position(span.end))),
            Self::Elsewhere(_) => None,
        }
    }

    /// What diagnostics are sorted by: the file, then the place in it.
    pub(super) fn order(&self) -> (&str, Option<Span>) {
        match self {
            Self::InSource { source, span } => (source.name(), Some(*span)),
            Self::Elsewhere(name) => (name, None),
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&super::text::escaped(self.name()))?;
        match self.positions() {
            Some((start, _)) => write!(f, ":{}:{}", start.line, start.column),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn positions_count_characters_and_every_kind_of_line_break() {
        let source = Source::new("f", "aé\r\nb\rc\nd");
        let at = |offset| {
            let p = source.position(offset);
            (p.line, p.column)
        };
        assert_eq!(at(0), (1, 1));
        assert_eq!(at(3), (1, 3));
        assert_eq!(at(2), (1, 2), "inside é");
        assert_eq!(at(5), (2, 1));
        assert_eq!(at(7), (3, 1));
        assert_eq!(at(9), (4, 1));
        assert_eq!(at(999), (4, 2));
        assert_eq!(&source.text()[source.line_range(1)], "aé");
        assert_eq!(&source.text()[source.line_range(4)], "d");
        assert_eq!(source.line_range(9), 10..10);
        assert_eq!(source.line_range(0), 10..10);
    }

    #[test]
    fn a_span_past_the_end_is_cut() {
        let source = Source::new("f", "é");
        assert_eq!(source.slice(Span::new(1, 99)), "é");
        assert_eq!(source.slice(Span::at(7)), "");
    }
}
