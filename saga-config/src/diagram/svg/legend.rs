//! What the lines and grounds mean: of those that are in the picture.

use super::{
    card::UNDO_ICON,
    paint::{Area, BACK, Canvas, EDGE, FAINT, FORWARD, PIVOT, STAYS_FILL, UNDO_FILL},
    picture::{Picture, Shape},
    text::{Face, Font},
};
use crate::diagram::caption::{Mark, Role};

const FONT: Font = Font::new(Face::Plain, 12.0);
const SAMPLE: f64 = 34.0;
const ROW: f64 = 24.0;
const BETWEEN: f64 = 26.0;

/// One thing that is explained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    Forward,
    Back,
    Undo,
    Stays,
    Pivot,
    UntilDone,
    MayFail,
}

impl Sign {
    fn says(self) -> &'static str {
        match self {
            Self::Forward => "the way forward",
            Self::Back => "the way back, after a failure",
            Self::Undo => "what undoes the step",
            Self::Stays => "stays as it is",
            Self::Pivot => "the point of no return",
            Self::UntilDone => "retried until it is done",
            Self::MayFail => "its failure is passed over",
        }
    }

    fn draw(self, canvas: &mut Canvas, x: f64, y: f64) {
        let middle = y + ROW / 2.0;
        let end = x + SAMPLE;
        let swatch = Area { x, y: middle - 8.0, width: SAMPLE, height: 16.0 };
        match self {
            Self::Forward => {
                canvas.path(&format!("M{x} {middle}H{}", end - 6.0), &line(FORWARD, ""));
                canvas.path(&format!("M{end} {middle}l-8 -4.5v9Z"), &format!(r#"fill="{FORWARD}""#));
            }
            Self::Back => {
                canvas.path(&format!("M{end} {middle}H{}", x + 6.0), &line(BACK, r#"stroke-dasharray="5 4""#));
                canvas.path(&format!("M{x} {middle}l8 -4.5v9Z"), &format!(r#"fill="{BACK}""#));
            }
            Self::Undo => {
                canvas.rectangle(swatch, 4.0, &format!(r#"fill="{UNDO_FILL}" stroke="{BACK}" stroke-opacity="0.5""#));
                let at = format!(r#"transform="translate({} {})""#, x + 11.0, middle - 6.0);
                canvas.path(UNDO_ICON, &format!(r#"{at} stroke="{BACK}" stroke-width="1.6" fill="none""#));
            }
            Self::Stays => canvas.rectangle(swatch, 4.0, &format!(r#"fill="{STAYS_FILL}" stroke="{EDGE}""#)),
            Self::Pivot => canvas.path(&format!("M{x} {middle}H{end}"), &line(PIVOT, r#"stroke-dasharray="10 4 2 4""#)),
            Self::UntilDone => pill(canvas, Mark::UntilDone, x, middle),
            Self::MayFail => pill(canvas, Mark::MayFail, x, middle),
        }
    }

    fn sample(self) -> f64 {
        match self {
            Self::UntilDone => super::paint::pill_width(Mark::UntilDone.word()),
            Self::MayFail => super::paint::pill_width(Mark::MayFail.word()),
            _ => SAMPLE,
        }
    }

    fn width(self) -> f64 {
        (self.sample() + 10.0 + FONT.width(self.says())).ceil()
    }
}

fn pill(canvas: &mut Canvas, mark: Mark, x: f64, middle: f64) {
    canvas.pill((x, middle - 9.0), mark.word(), super::card::colours(mark));
}

fn line(colour: &str, dashes: &str) -> String {
    format!(r#"stroke="{colour}" stroke-width="1.8" fill="none" {dashes}"#)
}

/// Those that are in a picture.
pub(super) fn signs(picture: &Picture) -> Vec<Sign> {
    let mut signs = vec![Sign::Forward];
    let mut roles = Vec::new();
    let mut marks = Vec::new();
    collect(picture, &mut roles, &mut marks);
    let mut add = |is_there: bool, sign: Sign| signs.extend(is_there.then_some(sign));
    add(picture.has_way_back(), Sign::Back);
    add(roles.contains(&Role::Undo), Sign::Undo);
    add(roles.contains(&Role::Stays), Sign::Stays);
    add(picture.pivot.is_some(), Sign::Pivot);
    add(marks.contains(&Mark::UntilDone), Sign::UntilDone);
    add(marks.contains(&Mark::MayFail), Sign::MayFail);
    signs
}

fn collect(picture: &Picture, roles: &mut Vec<Role>, marks: &mut Vec<Mark>) {
    for item in &picture.items {
        match &item.shape {
            Shape::Card(text) => text.uses(roles, marks),
            Shape::Block(block) => {
                block.header.uses(roles, marks);
                collect(&block.inner, roles, marks);
            }
            Shape::Nothing | Shape::Terminal(..) => {}
        }
    }
}

/// A legend of a width, in rows.
#[derive(Debug)]
pub(super) struct Legend {
    rows: Vec<Vec<(f64, Sign)>>,
    pub(super) width: f64,
    pub(super) height: f64,
}

impl Legend {
    pub(super) fn new(signs: &[Sign], room: f64) -> Self {
        let mut rows: Vec<Vec<(f64, Sign)>> = vec![Vec::new()];
        let (mut x, mut width) = (0.0, 0.0_f64);
        for sign in signs {
            if x > 0.0 && x + sign.width() > room {
                rows.push(Vec::new());
                x = 0.0;
            }
            if let Some(row) = rows.last_mut() {
                row.push((x, *sign));
            }
            width = width.max(x + sign.width());
            x += sign.width() + BETWEEN;
        }
        Self { height: rows.len() as f64 * ROW, rows, width }
    }

    pub(super) fn draw(&self, canvas: &mut Canvas, left: f64, top: f64) {
        for (nth, row) in self.rows.iter().enumerate() {
            let y = top + nth as f64 * ROW;
            for (x, sign) in row {
                sign.draw(canvas, left + x, y);
                canvas.text((left + x + sign.sample() + 10.0, y + ROW / 2.0 + 4.0), FONT, FAINT, sign.says());
            }
        }
    }
}
