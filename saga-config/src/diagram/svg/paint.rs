//! Colours, and the few shapes that everything is drawn with.

use std::fmt::{Display, Write as _};

use super::text::{Face, Font, MONO, SANS, xml};

pub(super) const PAPER: &str = "#ffffff";
pub(super) const INK: &str = "#0f172a";
pub(super) const FAINT: &str = "#475569";
pub(super) const EDGE: &str = "#cbd5e1";
pub(super) const FORWARD: &str = "#334155";
pub(super) const CALLED: &str = "#1d4ed8";
pub(super) const CONDITION: &str = "#6d28d9";
pub(super) const BACK: &str = "#d97706";
pub(super) const UNDO: &str = "#92400e";
pub(super) const UNDO_FILL: &str = "#fff4e0";
pub(super) const STAYS_FILL: &str = "#f1f5f9";
pub(super) const PIVOT: &str = "#be123c";
pub(super) const DONE: &str = "#15803d";
pub(super) const DONE_FILL: &str = "#ecfdf3";

/// What is drawn, as it grows.
#[derive(Debug, Default)]
pub(super) struct Canvas {
    out: String,
}

/// Where a rectangle stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::diagram) struct Area {
    pub(in crate::diagram) x: f64,
    pub(in crate::diagram) y: f64,
    pub(in crate::diagram) width: f64,
    pub(in crate::diagram) height: f64,
}

impl Area {
    pub(in crate::diagram) fn right(self) -> f64 {
        self.x + self.width
    }

    pub(in crate::diagram) fn bottom(self) -> f64 {
        self.y + self.height
    }
}

impl Canvas {
    /// An empty element: its name, and its attributes as they are; texts in them are escaped already.
    pub(super) fn element(&mut self, name: &str, attributes: &str) {
        self.line(format_args!("<{name} {attributes}/>"));
    }

    pub(super) fn rectangle(&mut self, area: Area, radius: f64, paint: &str) {
        let Area { x, y, width, height } = area;
        self.element("rect", &format!(r#"x="{x}" y="{y}" width="{width}" height="{height}" rx="{radius}" {paint}"#));
    }

    pub(super) fn path(&mut self, shape: &str, paint: &str) {
        self.element("path", &format!(r#"d="{shape}" {paint}"#));
    }

    /// One line of text: `(x, y)` is where its baseline begins.
    pub(super) fn text(&mut self, (x, y): (f64, f64), font: Font, colour: &str, text: &str) {
        self.line(format_args!(r#"<text x="{x}" y="{y}" {} fill="{colour}">{}</text>"#, face(font), xml(text)));
    }

    /// The same in two colours: the first `head` bytes bold.
    pub(super) fn text_with_head(&mut self, (x, y): (f64, f64), font: Font, colours: (&str, &str), text: &str, head: usize) {
        let (head, rest) = text.split_at(head);
        let (first, second) = colours;
        self.line(format_args!(
            r#"<text x="{x}" y="{y}" {} xml:space="preserve" fill="{second}"><tspan font-weight="600" fill="{first}">{}</tspan>{}</text>"#,
            face(font),
            xml(head),
            xml(rest)
        ));
    }

    /// What is shown when a pointer rests on the element that was opened last.
    pub(super) fn tooltip(&mut self, text: &str) {
        self.line(format_args!("<title>{}</title>", xml(text)));
    }

    /// What is drawn until [`Canvas::close_view`] is cut off at `area`, and placed from its corner.
    pub(super) fn open_view(&mut self, area: Area) {
        let Area { x, y, width, height } = area;
        self.line(format_args!(r#"<svg x="{x}" y="{y}" width="{width}" height="{height}" overflow="hidden">"#));
    }

    pub(super) fn close_view(&mut self) {
        self.line("</svg>");
    }

    /// A word on a coloured ground; gives its width.
    pub(super) fn pill(&mut self, (x, y): (f64, f64), word: &str, (colour, fill): (&str, &str)) -> f64 {
        let width = pill_width(word);
        self.rectangle(Area { x, y, width, height: PILL_HEIGHT }, PILL_HEIGHT / 2.0, &format!(r#"fill="{fill}""#));
        self.text((x + PILL_PAD, y + 12.5), PILL, colour, word);
        width
    }

    pub(super) fn line(&mut self, line: impl Display) {
        // Writing to a string does not fail.
        let _written = writeln!(self.out, "{line}");
    }

    pub(super) fn finish(self) -> String {
        self.out
    }
}

const PILL: Font = Font::new(Face::Bold, 10.5);
pub(super) const PILL_HEIGHT: f64 = 18.0;
const PILL_PAD: f64 = 8.0;

pub(super) fn pill_width(word: &str) -> f64 {
    (PILL.width(word) + 2.0 * PILL_PAD).ceil()
}

fn face(font: Font) -> String {
    let (family, weight) = match font.face {
        Face::Plain => (SANS, ""),
        Face::Bold => (SANS, r#" font-weight="600""#),
        Face::Mono => (MONO, ""),
    };
    format!(r#"font-family="{}" font-size="{}"{weight}"#, family, font.size)
}
