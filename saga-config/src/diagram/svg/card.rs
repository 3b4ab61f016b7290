//! A step as a card, and what stands above a box's list.

use super::{
    paint::{
        Area, BACK, CALLED, CONDITION, Canvas, EDGE, FAINT, INK, PAPER, PILL_HEIGHT, PIVOT, STAYS_FILL, UNDO, UNDO_FILL,
        pill_width,
    },
    text::{Face, Font},
};
use crate::{
    diagram::caption::{Caption, Line, Mark, Role},
    template::Method,
};

/// Of every card.
pub(super) const WIDTH: f64 = 300.0;
const PAD: f64 = 14.0;
const RADIUS: f64 = 10.0;
const MARK_GAP: f64 = 5.0;

const NAME: Font = Font::new(Face::Bold, 14.5);
const CODE: Font = Font::new(Face::Mono, 11.5);
const WORDS: Font = Font::new(Face::Plain, 12.0);

/// The most lines of one caption's line.
const MOST_LINES: usize = 3;

/// A caption, broken into lines.
#[derive(Debug)]
pub(in crate::diagram) struct Text {
    name: Vec<String>,
    marks: Vec<Mark>,
    /// Whether the marks stand beside the name, rather than below it.
    beside: bool,
    rows: Vec<Row>,
    /// All of it, uncut.
    whole: String,
    width: f64,
}

#[derive(Debug)]
struct Row {
    role: Role,
    lines: Vec<String>,
}

impl Row {
    fn font(&self) -> Font {
        match self.role {
            Role::Condition | Role::Call | Role::Value | Role::Undo => CODE,
            Role::Words | Role::Stays => WORDS,
        }
    }

    /// It stands in the strip at the bottom.
    fn is_foot(&self) -> bool {
        matches!(self.role, Role::Undo | Role::Stays)
    }

    fn height(&self) -> f64 {
        self.lines.len() as f64 * self.font().line()
    }
}

impl Text {
    /// Breaks `caption` so that it stands within `width`, its margins included.
    pub(super) fn new(caption: &Caption, width: f64) -> Self {
        let room = width - 2.0 * PAD;
        let marks_width = marks_width(&caption.marks);
        let beside = marks_width == 0.0 || NAME.width(&caption.name) + 8.0 + marks_width <= room;
        let row = |line: &Line| {
            // An icon stands before what undoes it.
            let room = if line.role == Role::Undo { room - ICON } else { room };
            let font = if matches!(line.role, Role::Words | Role::Stays) { WORDS } else { CODE };
            Row { role: line.role, lines: font.wrap(&line.text, room, MOST_LINES) }
        };
        let texts = std::iter::once(caption.name.as_str()).chain(caption.lines.iter().map(|line| line.text.as_str()));
        Self {
            name: NAME.wrap(&caption.name, room, 2),
            marks: caption.marks.clone(),
            beside,
            rows: caption.lines.iter().map(row).collect(),
            whole: texts.collect::<Vec<_>>().join("\n"),
            width,
        }
    }

    /// The least width in which the name and the marks stand beside each other.
    pub(super) fn natural_width(caption: &Caption) -> f64 {
        (NAME.width(&caption.name) + 8.0 + marks_width(&caption.marks) + 2.0 * PAD).ceil()
    }

    /// Adds what is in it.
    pub(super) fn uses(&self, roles: &mut Vec<Role>, marks: &mut Vec<Mark>) {
        roles.extend(self.rows.iter().map(|row| row.role));
        marks.extend(&self.marks);
    }

    /// Of a card, with its strip.
    pub(in crate::diagram) fn height(&self) -> f64 {
        self.body() + self.foot()
    }

    fn head(&self) -> f64 {
        let names = self.name.len() as f64 * NAME.line();
        let marks = if self.beside { 0.0 } else { PILL_HEIGHT + 4.0 };
        names + marks
    }

    fn body(&self) -> f64 {
        let rows: f64 = self.rows.iter().filter(|row| !row.is_foot()).map(|row| row.height() + 3.0).sum();
        10.0 + self.head() + 3.0 + rows + 8.0
    }

    /// How high the strip at the bottom is; 0: there is none.
    fn foot(&self) -> f64 {
        let rows: f64 = self.rows.iter().filter(|row| row.is_foot()).map(Row::height).sum();
        if rows > 0.0 { rows + 14.0 } else { 0.0 }
    }

    /// Draws a card.
    pub(super) fn draw_card(&self, canvas: &mut Canvas, x: f64, y: f64) {
        let area = Area { x, y, width: self.width, height: self.height() };
        canvas.rectangle(Area { y: y + 2.0, ..area }, RADIUS, r##"fill="#0f172a" fill-opacity="0.07""##);
        let (edge, stroke) = if self.marks.contains(&Mark::Pivot) { (PIVOT, 2.0) } else { (EDGE, 1.0) };
        canvas.rectangle(area, RADIUS, &format!(r#"fill="{PAPER}""#));
        self.draw_foot(canvas, area);
        canvas.rectangle(area, RADIUS, &format!(r#"fill="none" stroke="{edge}" stroke-width="{stroke}""#));
        canvas.open_view(area);
        canvas.tooltip(&self.whole);
        self.draw_text(canvas);
        canvas.close_view();
    }

    /// Draws what stands above a list.
    pub(super) fn draw_header(&self, canvas: &mut Canvas, x: f64, y: f64) {
        canvas.open_view(Area { x, y, width: self.width, height: self.height() });
        canvas.tooltip(&self.whole);
        self.draw_text(canvas);
        canvas.close_view();
    }

    fn draw_foot(&self, canvas: &mut Canvas, card: Area) {
        let height = self.foot();
        if height == 0.0 {
            return;
        }
        let undoes = self.rows.iter().any(|row| row.role == Role::Undo);
        let fill = if undoes { UNDO_FILL } else { STAYS_FILL };
        let (left, right, top, bottom) = (card.x, card.right(), card.bottom() - height, card.bottom());
        let shape = format!(
            "M{left} {top}H{right}V{}Q{right} {bottom} {} {bottom}H{}Q{left} {bottom} {left} {}Z",
            bottom - RADIUS,
            right - RADIUS,
            left + RADIUS,
            bottom - RADIUS
        );
        canvas.path(&shape, &format!(r#"fill="{fill}""#));
        if undoes {
            let paint = format!(r#"stroke="{BACK}" stroke-opacity="0.55" stroke-dasharray="4 3" fill="none""#);
            canvas.path(&format!("M{left} {top}H{right}"), &paint);
        }
    }

    fn draw_text(&self, canvas: &mut Canvas) {
        let mut y = 10.0;
        for line in &self.name {
            canvas.text((PAD, y + NAME.size), NAME, INK, line);
            y += NAME.line();
        }
        let (mut x, marks_y) = match self.beside {
            true => (self.width - PAD - marks_width(&self.marks), 11.0),
            false => (PAD, y + 2.0),
        };
        for mark in &self.marks {
            x += canvas.pill((x, marks_y), mark.word(), colours(*mark)) + MARK_GAP;
        }
        y = 10.0 + self.head() + 3.0;
        for row in self.rows.iter().filter(|row| !row.is_foot()) {
            draw_row(canvas, row, PAD, y);
            y += row.height() + 3.0;
        }
        y = self.body() + 7.0;
        for row in self.rows.iter().filter(|row| row.is_foot()) {
            let is_undo = row.role == Role::Undo;
            if is_undo {
                let paint = format!(r#"transform="translate({PAD} {})" stroke="{BACK}" stroke-width="1.7" fill="none""#, y + 1.5);
                canvas.path(UNDO_ICON, &paint);
            }
            draw_row(canvas, row, PAD + if is_undo { ICON } else { 0.0 }, y);
            y += row.height();
        }
    }
}

/// An arrow that turns back, 12 wide.
pub(super) const UNDO_ICON: &str = "M4.5 1L1 4.5L4.5 8M1 4.5H8A3.2 3.2 0 0 1 8 11H4.5";
/// The room for it.
const ICON: f64 = 19.0;

fn draw_row(canvas: &mut Canvas, row: &Row, x: f64, mut y: f64) {
    let font = row.font();
    let (first, rest) = match row.role {
        Role::Condition => (CONDITION, CONDITION),
        Role::Call => (CALLED, INK),
        Role::Value => (INK, INK),
        Role::Words | Role::Stays => (FAINT, FAINT),
        Role::Undo => (UNDO, UNDO),
    };
    for (nth, line) in row.lines.iter().enumerate() {
        let at = (x, y + font.size);
        match head(row.role, line) {
            head if head > 0 && nth == 0 => canvas.text_with_head(at, font, (first, rest), line, head),
            _ => canvas.text(at, font, rest, line),
        }
        y += font.line();
    }
}

/// How much of a call's first line is the upstream and the method, in bytes.
fn head(role: Role, line: &str) -> usize {
    if !matches!(role, Role::Call | Role::Undo) {
        return 0;
    }
    let mut end = 0;
    for word in line.split(' ').take(2) {
        end += word.len();
        if Method::parse(word).is_some() {
            return end;
        }
        end += 1;
    }
    0
}

fn marks_width(marks: &[Mark]) -> f64 {
    let gaps = marks.len().saturating_sub(1) as f64 * MARK_GAP;
    marks.iter().map(|mark| pill_width(mark.word())).sum::<f64>() + gaps
}

/// Of a mark: the word, the ground.
pub(super) fn colours(mark: Mark) -> (&'static str, &'static str) {
    match mark {
        Mark::Pivot => ("#ffffff", PIVOT),
        Mark::Reads => ("#0e7490", "#e0f7fb"),
        Mark::MayFail => ("#475569", "#e9eef4"),
        Mark::UntilDone => ("#15803d", "#dcfce7"),
        Mark::Timer | Mark::Callback | Mark::Poll => ("#a21caf", "#fae8ff"),
        Mark::Computes => ("#475569", "#e9eef4"),
        Mark::Parallel => ("#334155", "#dbe4ee"),
        Mark::Switch => ("#6d28d9", "#ede9fe"),
        Mark::Loop => ("#0f766e", "#ccfbf1"),
        Mark::SubSaga => ("#1d4ed8", "#dbeafe"),
    }
}
