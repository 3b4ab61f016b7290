//! A picture for a slide.

mod card;
mod legend;
pub(super) mod paint;
pub(super) mod picture;
mod text;

use std::fmt::Write as _;

use self::{
    legend::Legend,
    paint::{Area, BACK, Canvas, DONE, DONE_FILL, FAINT, FORWARD, INK, PAPER, PIVOT, UNDO, UNDO_FILL},
    picture::{Item, Picture, Shape, Terminal},
    text::{Face, Font, xml},
};
use super::{caption, chart::BlockKind, layered::Route};
use crate::saga::Saga;

const MARGIN: f64 = 36.0;
const TITLE: Font = Font::new(Face::Bold, 25.0);
const SAID: Font = Font::new(Face::Plain, 13.5);
const TERMINAL: Font = Font::new(Face::Mono, 12.0);
const WORDS: Font = Font::new(Face::Plain, 12.0);
const LABEL: Font = Font::new(Face::Bold, 11.0);
/// The least width of what is drawn.
const LEAST: f64 = 480.0;
/// The legend's width where it stands beside the picture.
const BESIDE: f64 = 250.0;
const NO_RETURN: &str = "point of no return";

pub(super) fn draw(saga: &Saga) -> String {
    let sheet = Sheet::new(saga);
    let (width, height) = (sheet.width + 2.0 * MARGIN, sheet.height + 2.0 * MARGIN);
    let mut canvas = Canvas::default();
    canvas.line(format_args!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" aria-label="{}">"#,
        xml(&format!("The saga {}", saga.name))
    ));
    canvas.rectangle(Area { x: 0.0, y: 0.0, width, height }, 0.0, &format!(r#"fill="{PAPER}""#));
    sheet.draw(saga, &mut canvas);
    canvas.line("</svg>");
    canvas.finish()
}

/// Where the title, the picture and the legend stand, from the margin's corner.
struct Sheet {
    width: f64,
    height: f64,
    name: Vec<String>,
    facts: Vec<String>,
    said: Vec<String>,
    picture: Picture,
    picture_at: (f64, f64),
    legend: Legend,
    legend_at: (f64, f64),
}

impl Sheet {
    fn new(saga: &Saga) -> Self {
        let picture = Picture::of(saga);
        let signs = legend::signs(&picture);
        // What is high leaves room beside it.
        let is_high = picture.height > picture.width * 0.8;
        let picture_width = picture.width + label_width(&picture);
        let room = if is_high { picture_width + MARGIN + BESIDE } else { picture_width }.max(LEAST);
        let name = TITLE.wrap(saga.name.as_str(), room, 2);
        let mut facts = vec![format!("version {}", saga.version)];
        facts.extend(caption::about(saga));
        let said = caption::description(saga).map(|said| SAID.wrap(&said, room, 3)).unwrap_or_default();
        let top = name.len() as f64 * TITLE.line() + 26.0 + said.len() as f64 * SAID.line() + 22.0;
        let legend = Legend::new(&signs, if is_high { 1.0 } else { room });
        let (picture_at, legend_at, height) = match is_high {
            true => {
                let beside = legend.width.max(BESIDE);
                let x = ((room - beside - MARGIN - picture.width) / 2.0).max(0.0).round();
                ((x, top), (room - beside, top), top + picture.height.max(legend.height))
            }
            false => {
                let x = ((room - picture_width) / 2.0).max(0.0).round();
                ((x, top), (0.0, top + picture.height + 28.0), top + picture.height + 28.0 + legend.height)
            }
        };
        let width = room.max(legend_at.0 + legend.width);
        Self { width, height, name, facts, said, picture, picture_at, legend, legend_at }
    }

    fn draw(&self, saga: &Saga, canvas: &mut Canvas) {
        let mut y = MARGIN;
        for line in &self.name {
            canvas.text((MARGIN, y + TITLE.size), TITLE, INK, line);
            y += TITLE.line();
        }
        let mut x = MARGIN;
        for fact in &self.facts {
            x += canvas.pill((x, y + 2.0), fact, ("#475569", "#e9eef4")) + 6.0;
        }
        y += 26.0;
        for line in &self.said {
            canvas.text((MARGIN, y + SAID.size), SAID, FAINT, line);
            y += SAID.line();
        }
        let (left, top) = (MARGIN + self.picture_at.0, MARGIN + self.picture_at.1);
        draw_picture(canvas, &self.picture, saga, left, top);
        if let Some(pivot) = self.picture.pivot {
            draw_pivot(canvas, &self.picture, left, top + pivot);
        }
        self.legend.draw(canvas, MARGIN + self.legend_at.0, MARGIN + self.legend_at.1);
    }
}

fn label_width(picture: &Picture) -> f64 {
    if picture.pivot.is_some() { (LABEL.width(NO_RETURN) + 12.0).ceil() } else { 0.0 }
}

/// The line that nothing comes back over.
fn draw_pivot(canvas: &mut Canvas, picture: &Picture, left: f64, y: f64) {
    let right = left + picture.width;
    let paint = format!(r#"stroke="{PIVOT}" stroke-width="1.6" stroke-dasharray="10 4 2 4" fill="none""#);
    canvas.path(&format!("M{left} {y}H{right}"), &paint);
    canvas.text((right + 8.0, y + 4.0), LABEL, PIVOT, NO_RETURN);
}

fn draw_picture(canvas: &mut Canvas, picture: &Picture, saga: &Saga, left: f64, top: f64) {
    for item in &picture.items {
        draw_item(canvas, item, saga, left, top);
    }
    picture.routes.iter().for_each(|route| draw_route(canvas, route, left, top));
}

fn draw_item(canvas: &mut Canvas, item: &Item, saga: &Saga, left: f64, top: f64) {
    let area = Area { x: left + item.area.x, y: top + item.area.y, ..item.area };
    match &item.shape {
        Shape::Card(text) => text.draw_card(canvas, area.x, area.y),
        Shape::Terminal(terminal, lines) => draw_terminal(canvas, area, *terminal, lines),
        Shape::Nothing => {
            let text = "nothing to do";
            let x = area.x + (area.width - WORDS.width(text)) / 2.0;
            canvas.text((x.round(), area.y + 18.0), WORDS, FAINT, text);
        }
        Shape::Block(block) => {
            let (edge, fill) = grounds(block.kind);
            canvas.rectangle(area, 14.0, &format!(r#"fill="{fill}" stroke="{edge}""#));
            block.header.draw_header(canvas, area.x, area.y);
            draw_picture(canvas, &block.inner, saga, area.x + block.inner_at.0, area.y + block.inner_at.1);
        }
    }
}

/// Of a box: its edge, its ground.
fn grounds(kind: BlockKind) -> (&'static str, &'static str) {
    match kind {
        BlockKind::Group(_) => ("#b6c2d1", "#f5f8fb"),
        BlockKind::Switch(_) => ("#c4b5fd", "#f8f6ff"),
        BlockKind::Arm { .. } => ("#ddd6fe", "#ffffff"),
        BlockKind::Loop(_) => ("#7fdacb", "#f1fdfa"),
        BlockKind::Sub(_) => ("#93c5fd", "#f3f8ff"),
    }
}

fn draw_terminal(canvas: &mut Canvas, area: Area, terminal: Terminal, lines: &[String]) {
    let (colour, fill, edge) = match terminal {
        Terminal::Start => ("#ffffff", "#1e293b", "#1e293b"),
        Terminal::Completed => (DONE, DONE_FILL, "#86d9a5"),
        Terminal::Compensated => (UNDO, UNDO_FILL, BACK),
    };
    let radius = (area.height / 2.0).min(18.0);
    canvas.rectangle(area, radius, &format!(r#"fill="{fill}" stroke="{edge}" stroke-width="1.2""#));
    canvas.open_view(area);
    for (nth, line) in lines.iter().enumerate() {
        let y = 7.5 + nth as f64 * TERMINAL.line() + 12.0;
        let at = format!(r#"x="{}" y="{y}" text-anchor="middle""#, area.width / 2.0);
        canvas.line(format_args!(
            r#"<text {at} font-family="{}" font-size="12" font-weight="600" fill="{colour}">{}</text>"#,
            text::MONO,
            xml(line)
        ));
    }
    canvas.close_view();
}

fn draw_route(canvas: &mut Canvas, route: &Route, left: f64, top: f64) {
    let (colour, dashes) = if route.is_back { (BACK, r#" stroke-dasharray="5 4""#) } else { (FORWARD, "") };
    let (Some(first), Some(last)) = (route.points.first(), route.points.last()) else { return };
    // The arrow's head covers the line's end.
    let shortened = |index: usize, y: f64| match (route.is_back, index) {
        (true, 0) => y + 7.0,
        (false, index) if index + 1 == route.points.len() => y - 7.0,
        _ => y,
    };
    let mut shape = format!("M{} {}", left + first.x, top + shortened(0, first.y));
    for (nth, pair) in route.points.windows(2).enumerate() {
        let (from, to) = (pair[0], pair[1]);
        let y = top + shortened(nth + 1, to.y);
        // Writing to a string does not fail.
        let _written = match from.x == to.x {
            true => write!(shape, "V{y}"),
            false => {
                let handles = top + route.handles(from, to);
                write!(shape, "C{} {handles} {} {handles} {} {y}", left + from.x, left + to.x, left + to.x)
            }
        };
    }
    canvas.path(&shape, &format!(r#"fill="none" stroke="{colour}" stroke-width="1.8"{dashes}"#));
    let head = match route.is_back {
        true => format!("M{} {}l-4.5 8h9Z", left + first.x, top + first.y),
        false => format!("M{} {}l-4.5 -8h9Z", left + last.x, top + last.y),
    };
    canvas.path(&head, &format!(r#"fill="{colour}""#));
}
