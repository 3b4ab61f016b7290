//! Diagnostics as people read them.

use std::fmt::Write as _;

use unicode_width::UnicodeWidthStr as _;

use super::text::{escaped, must_escape};
use super::{Diagnostic, Place, Severity, Source, Span};

/// The most terminal columns of a source line that are shown.
const LINE_COLUMNS: usize = 100;
/// Of those, how many at most stand before the place in question when the line is cut.
const COLUMNS_BEFORE: usize = 32;

/// Whether to write ANSI colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// Plain text: pipes, files, `NO_COLOR`.
    Never,
    /// For a terminal.
    Ansi,
}

/// The diagnostics in the order given, each with its source line and an underline, a blank line between them.
///
/// Long lines are cut to a window around the place; control characters of the source and of messages are escaped.
pub fn render(diagnostics: &[Diagnostic], colour: Colour) -> String {
    let mut out = String::new();
    for (index, diagnostic) in diagnostics.iter().enumerate() {
        if index > 0 {
            out.push('\n');
        }
        Page::new(diagnostic, colour).write(&mut out, diagnostic);
    }
    out
}

/// The layout shared by the lines of one diagnostic.
struct Page {
    /// Digits of the greatest line number.
    gutter: usize,
    colour: Colour,
    severity: Severity,
}

impl Page {
    fn new(diagnostic: &Diagnostic, colour: Colour) -> Self {
        let places = std::iter::once(diagnostic.place()).chain(diagnostic.labels().iter().map(|label| &label.place));
        let greatest = places.filter_map(|place| place.positions().map(|(start, _)| start.line)).max();
        Self { gutter: greatest.map_or(1, |line| line.to_string().len()), colour, severity: diagnostic.severity() }
    }

    fn write(&self, out: &mut String, diagnostic: &Diagnostic) {
        let title = format!("{}[{}]", diagnostic.severity().as_str(), diagnostic.code());
        let title = self.paint(&title, self.severity_style());
        let message = self.paint(&escaped(diagnostic.message()), BOLD);
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{title}: {message}");
        self.snippet(out, "-->", diagnostic.place(), '^', "");
        for label in diagnostic.labels() {
            self.edge_line(out, "");
            self.snippet(out, ":::", &label.place, '-', &label.text);
        }
        for note in diagnostic.notes() {
            self.footer(out, "note", note);
        }
        if let Some(help) = diagnostic.help() {
            self.footer(out, "help", help);
        }
    }

    /// The `--> file:line:column` line and, for a place with text, the line underlined.
    fn snippet(&self, out: &mut String, arrow: &str, place: &Place, mark: char, label: &str) {
        let pad = " ".repeat(self.gutter);
        let arrow = self.paint(arrow, BLUE);
        let _ = write!(out, "{pad}{arrow} {place}");
        let Place::InSource { source, span } = place else {
            let separator = if label.is_empty() { "" } else { ": " };
            let _ = writeln!(out, "{separator}{}", escaped(label));
            return;
        };
        let line = source.position(span.start).line;
        let shown = Window::around(source, *span, line);
        out.push('\n');
        self.edge_line(out, "");
        let number = self.paint(&format!("{line:>width$} |", width = self.gutter), BLUE);
        let _ = writeln!(out, "{} {}", number, shown.text);
        let mut marks = mark.to_string().repeat(shown.marked);
        if !label.is_empty() {
            let _ = write!(marks, " {}", escaped(label));
        }
        let style = if mark == '^' { self.severity_style() } else { BLUE };
        let indent = " ".repeat(shown.before);
        self.edge_line(out, &format!("{indent}{}", self.paint(&marks, style)));
    }

    fn footer(&self, out: &mut String, kind: &str, text: &str) {
        let pad = " ".repeat(self.gutter + 1);
        let (sign, kind) = (self.paint("=", BLUE), self.paint(kind, BOLD));
        let _ = writeln!(out, "{pad}{sign} {kind}: {}", escaped(text));
    }

    fn edge_line(&self, out: &mut String, rest: &str) {
        let edge = format!("{} |", " ".repeat(self.gutter));
        let space = if rest.is_empty() { "" } else { " " };
        let _ = writeln!(out, "{}{space}{rest}", self.paint(&edge, BLUE));
    }

    fn severity_style(&self) -> &'static str {
        match self.severity {
            Severity::Error => "\u{1b}[1;31m",
            Severity::Warning => "\u{1b}[1;33m",
        }
    }

    fn paint(&self, text: &str, style: &str) -> String {
        match self.colour {
            Colour::Never => text.to_owned(),
            Colour::Ansi => format!("{style}{text}\u{1b}[0m"),
        }
    }
}

const BOLD: &str = "\u{1b}[1m";
const BLUE: &str = "\u{1b}[1;34m";

/// What is shown of one source line.
struct Window {
    text: String,
    /// Columns before the marked part.
    before: usize,
    /// Columns to underline, at least 1.
    marked: usize,
}

impl Window {
    fn around(source: &Source, span: Span, line: usize) -> Self {
        let range = source.line_range(line);
        let content = &source.text()[range.clone()];
        let within = |offset: usize| content.floor_char_boundary(offset.saturating_sub(range.start).min(content.len()));
        let (start, end) = (within(span.start), within(span.end));
        let (whole, _) = head_in(content, LINE_COLUMNS);
        let columns_before = if whole.cut { COLUMNS_BEFORE } else { LINE_COLUMNS };
        let (head, head_width) = tail_in(&content[..start], columns_before);
        let (marked, marked_width) = head_in(&content[start..end], LINE_COLUMNS - head_width);
        let room = LINE_COLUMNS - head_width - marked_width;
        let (rest, _) = head_in(&content[end..], room);
        let before = head_width + usize::from(head.cut);
        let mut text = String::new();
        if head.cut {
            text.push('…');
        }
        text.push_str(&head.text);
        text.push_str(&marked.text);
        // Without the end of the marked part, what follows it would seem to belong to it.
        if !marked.cut {
            text.push_str(&rest.text);
        }
        if marked.cut || rest.cut {
            text.push('…');
        }
        Self { text, before, marked: marked_width.max(1) }
    }
}

/// A piece of a line, escaped.
struct Piece {
    text: String,
    /// Whether something was left out.
    cut: bool,
}

/// As much of the beginning as fits into `columns`, and its width.
fn head_in(text: &str, columns: usize) -> (Piece, usize) {
    fitting(text.chars(), columns, |out, cell| out.push_str(cell))
}

/// As much of the end as fits into `columns`, and its width.
fn tail_in(text: &str, columns: usize) -> (Piece, usize) {
    fitting(text.chars().rev(), columns, |out, cell| out.insert_str(0, cell))
}

fn fitting(characters: impl Iterator<Item = char>, columns: usize, mut add: impl FnMut(&mut String, &str)) -> (Piece, usize) {
    let (mut text, mut width, mut added) = (String::new(), 0, 0);
    for character in characters {
        let cell = if must_escape(character) { character.escape_default().to_string() } else { character.to_string() };
        let cell_width = cell.width();
        // Characters without width (combining marks) are bounded by number.
        if width + cell_width > columns || added >= 4 * LINE_COLUMNS {
            return (Piece { text, cut: true }, width);
        }
        add(&mut text, &cell);
        width += cell_width;
        added += 1;
    }
    (Piece { text, cut: false }, width)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str, start: usize, end: usize) -> String {
        let source = Source::new("f.yaml", text);
        let place = Place::in_source(&source, Span::new(start, end));
        render(&[Diagnostic::error("code", place, "message")], Colour::Never)
    }

    #[test]
    fn a_long_line_is_cut_to_a_window_around_the_place() {
        let text = format!("{}BAD{}", "a".repeat(5_000), "b".repeat(5_000));
        let page = one(&text, 5_000, 5_003);
        let lines: Vec<&str> = page.lines().collect();
        let shown = format!("1 | …{}BAD{}…", "a".repeat(32), "b".repeat(65));
        assert_eq!(lines[1], " --> f.yaml:1:5001");
        assert_eq!(lines[3], shown);
        assert_eq!(lines[4], format!("  | {}^^^", " ".repeat(33)));
    }

    #[test]
    fn a_line_that_fits_is_shown_whole() {
        let text = format!("{}BAD", "a".repeat(97));
        assert!(one(&text, 97, 100).contains(&format!("1 | {text}\n")));
    }

    #[test]
    fn a_span_wider_than_the_window_is_underlined_to_its_edge() {
        let page = one(&"x".repeat(1_000), 0, 1_000);
        assert!(page.contains(&format!("1 | {}…\n  | {}\n", "x".repeat(100), "^".repeat(100))));
    }

    #[test]
    fn wide_and_control_characters_keep_the_underline_in_place() {
        let page = one("\t\u{1b}日本: x\n", 8, 11);
        assert!(page.contains("1 | \\t\\u{1b}日本: x\n"), "{page}");
        // "日本" begins at byte 2; its second character is bytes 5 to 8, so byte 8 is the colon.
        assert!(page.contains(&format!("  | {}^^^\n", " ".repeat(12))), "{page}");
    }

    #[test]
    fn a_span_over_several_lines_is_underlined_on_its_first() {
        let page = one("ab: [\n1,\n2]\n", 4, 11);
        assert!(page.contains("1 | ab: [\n  |     ^\n"), "{page}");
    }

    #[test]
    fn an_empty_span_at_the_end_still_has_a_caret() {
        assert!(one("ab\n", 3, 3).contains("2 | \n  | ^\n"));
        assert!(one("", 0, 0).contains("1 | \n  | ^\n"));
        assert!(one("ab\n", 2, 3).contains("1 | ab\n  |   ^\n"));
    }

    #[test]
    fn labels_notes_and_places_without_text_have_their_lines() {
        let source = Source::new("f.yaml", "a: 1\n\n\n\n\n\n\n\n\na: 2\n");
        let at = |start| Place::in_source(&source, Span::new(start, start + 1));
        let twice = Diagnostic::error("duplicate-key", at(13), "`a` is given twice")
            .with_label(at(0), "first here")
            .with_label(Place::elsewhere("--a"), "and here")
            .with_note("one is enough")
            .with_help("remove one");
        let flag = Diagnostic::warning("flag", Place::elsewhere("--listen"), "odd\nport");
        assert_eq!(
            render(&[twice, flag], Colour::Never),
            "error[duplicate-key]: `a` is given twice
  --> f.yaml:10:1
   |
10 | a: 2
   | ^
   |
  ::: f.yaml:1:1
   |
 1 | a: 1
   | - first here
   |
  ::: --a: and here
   = note: one is enough
   = help: remove one

warning[flag]: odd\\nport
 --> --listen
"
        );
    }

    #[test]
    fn colours_are_written_only_when_asked_for() {
        let warning = Diagnostic::warning("flag", Place::elsewhere("--listen"), "odd");
        let plain = render(std::slice::from_ref(&warning), Colour::Never);
        assert!(!plain.contains('\u{1b}'));
        assert!(render(&[warning], Colour::Ansi).starts_with("\u{1b}[1;33mwarning[flag]\u{1b}[0m: "));
    }
}
