//! Text in pictures: how wide it is, where it breaks, and how it is written in XML.
//!
//! Which font a viewer has is not known. Widths are those of a wide one (DejaVu Sans), so that what fits here fits there.

use unicode_width::UnicodeWidthChar as _;

/// Fonts that are on most machines, the nicest first; none is wider than what is reckoned with.
pub(super) const SANS: &str = "Inter, 'Segoe UI', 'Helvetica Neue', Roboto, Arial, 'DejaVu Sans', sans-serif";
pub(super) const MONO: &str = "ui-monospace, 'SF Mono', 'Cascadia Mono', Menlo, Consolas, 'DejaVu Sans Mono', monospace";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Face {
    Plain,
    Bold,
    Mono,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Font {
    pub(super) face: Face,
    /// In pixels.
    pub(super) size: f64,
}

/// Of the characters from space to `~`, in hundredths of the size.
const PLAIN: [u8; 95] = [
    32, 41, 46, 84, 64, 96, 78, 28, 40, 40, 50, 84, 32, 37, 32, 34, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 34, 34, 84, 84, 84,
    54, 100, 69, 69, 70, 78, 64, 58, 78, 76, 30, 30, 66, 56, 87, 75, 79, 61, 79, 70, 64, 62, 74, 69, 99, 69, 62, 69, 40, 34, 40,
    84, 50, 50, 62, 64, 55, 64, 62, 36, 64, 64, 28, 28, 58, 28, 98, 64, 62, 64, 64, 42, 53, 40, 64, 60, 82, 60, 60, 53, 64, 34,
    64, 84,
];
const BOLD: [u8; 95] = [
    35, 46, 53, 84, 70, 101, 88, 31, 46, 46, 53, 84, 38, 42, 38, 37, 70, 70, 70, 70, 70, 70, 70, 70, 70, 70, 40, 40, 84, 84, 84,
    59, 100, 78, 77, 74, 84, 69, 69, 83, 84, 38, 38, 78, 64, 100, 84, 86, 74, 86, 78, 73, 69, 82, 78, 111, 78, 73, 73, 46, 37,
    46, 84, 50, 50, 68, 72, 60, 72, 68, 44, 72, 72, 35, 35, 67, 35, 105, 72, 69, 72, 72, 50, 60, 48, 72, 66, 93, 65, 66, 59, 72,
    37, 72, 84,
];
const MONO_WIDTH: f64 = 0.605;

/// Where a text breaks best: before these characters, and after a space.
const BREAKS_WELL: &str = "/?&{";
/// After which characters it may break where it does not break well.
const BREAKS_AFTER: &str = ",;:=_-.}])|+";

impl Font {
    pub(super) const fn new(face: Face, size: f64) -> Self {
        Self { face, size }
    }

    /// From one line to the next, in pixels.
    pub(super) fn line(self) -> f64 {
        (self.size * 1.4).round()
    }

    /// In pixels.
    pub(super) fn width(self, text: &str) -> f64 {
        text.chars().map(|character| self.of(character)).sum()
    }

    fn of(self, character: char) -> f64 {
        let table = match self.face {
            Face::Plain => &PLAIN,
            Face::Bold => &BOLD,
            Face::Mono => return self.size * self.mono(character),
        };
        let at = (character as usize).checked_sub(0x20);
        match at.and_then(|at| table.get(at)) {
            Some(hundredths) => self.size * f64::from(*hundredths) / 100.0,
            None => self.size * 1.1 * columns(character),
        }
    }

    fn mono(self, character: char) -> f64 {
        if character.is_ascii() { MONO_WIDTH } else { columns(character) }
    }

    /// `text` in at most `most` lines, none wider than `room`; what does not fit is left out, and `…` says so.
    pub(super) fn wrap(self, text: &str, room: f64, most: usize) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        let mut rest = text.trim();
        while !rest.is_empty() && lines.len() < most {
            let fitting = self.fitting(rest, room);
            if fitting == rest.len() || lines.len() + 1 < most {
                let end = if fitting == rest.len() { fitting } else { break_before(rest, fitting) };
                lines.push(rest[..end].trim_end().to_owned());
                rest = rest[end..].trim_start();
            } else {
                let end = self.fitting(rest, room - self.of('…'));
                lines.push(format!("{}…", rest[..end].trim_end()));
                rest = "";
            }
        }
        lines
    }

    /// How many bytes of `text` fit: of a text that is not empty at least one character.
    fn fitting(self, text: &str, room: f64) -> usize {
        let mut width = 0.0;
        for (at, character) in text.char_indices() {
            width += self.of(character);
            if width > room && at > 0 {
                return at;
            }
        }
        text.len()
    }
}

/// How many columns of a terminal; of what is not ASCII at least one.
fn columns(character: char) -> f64 {
    match character.width() {
        Some(2..) => 2.0,
        _ => 1.0,
    }
}

/// The last good place to break at or before `end`; `end` itself if there is none in the second half.
fn break_before(text: &str, end: usize) -> usize {
    let before = |at: usize| text[..at].chars().next_back();
    let places = || text.char_indices().take_while(|(at, _)| *at <= end).filter(|(at, _)| *at > end / 2);
    // `.?` is one operator.
    let is_good = |at: usize, next: char| BREAKS_WELL.contains(next) && before(at) != Some('.') || before(at) == Some(' ');
    let well = places().filter(|(at, next)| is_good(*at, *next)).last();
    let somehow = || places().filter(|(at, _)| before(*at).is_some_and(|before| BREAKS_AFTER.contains(before))).last();
    well.or_else(somehow).map_or(end, |(at, _)| at)
}

/// `text` as XML text or attribute (XML 1.0, sections 2.2 and 2.4).
pub(super) fn xml(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            '\t' | '\n' | '\r' => out.push(' '),
            control if control.is_control() => out.push('\u{fffd}'),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const FONT: Font = Font::new(Face::Mono, 10.0);

    #[test]
    fn text_breaks_where_it_reads_well_and_says_when_something_is_left_out() {
        assert_eq!(FONT.wrap("orders POST /internal/orders/", 120.0, 2), ["orders POST", "/internal/orders/"]);
        assert_eq!(FONT.wrap("orders POST /internal/orders/", 60.0, 2), ["orders", "POST /in…"]);
        assert_eq!(FONT.wrap("aaaaaaaaaaaaaaaa", 60.0, 3), ["aaaaaaaaa", "aaaaaaa"]);
        assert_eq!(FONT.wrap("", 60.0, 3), [""; 0]);
        assert_eq!(FONT.wrap("漢字漢字", 1.0, 2), ["漢", "字…"]);
    }

    #[test]
    fn no_line_is_wider_than_there_is_room() {
        for text in ["WWWWWWWWWWWWWWWWWWWWWWWW", "i l i l i l i", "漢字かな交じり文漢字かな交じり文", "a/b?c=d&e=${f.g}"]
        {
            for face in [Face::Plain, Face::Bold, Face::Mono] {
                let font = Font::new(face, 12.0);
                assert!(font.wrap(text, 60.0, 3).iter().all(|line| font.width(line) <= 60.0), "{text}");
            }
        }
    }

    #[test]
    fn nothing_in_a_text_is_markup() {
        assert_eq!(
            xml("<script a=\"b\" c='d'>&\u{0}\u{ffff}"),
            "&lt;script a=&quot;b&quot; c=&#39;d&#39;&gt;&amp;\u{fffd}\u{fffd}"
        );
    }
}
