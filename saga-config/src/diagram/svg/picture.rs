//! A list of steps as it stands in the picture: every box with its place, every line with its points.

use super::{
    card::{self, Text},
    paint::Area,
    text::{Face, Font},
};
use crate::{
    diagram::{
        caption,
        chart::{Block, BlockKind, Entry, List},
        layered::{self, Layout, Link, Route, Size},
    },
    saga::{Position, Saga, StepIndex},
};

/// Between a box and what stands in it.
const PAD: f64 = 16.0;
const TERMINAL: Font = Font::new(Face::Mono, 12.0);
const TERMINAL_MOST: f64 = 270.0;
const NOTHING: Size = Size { width: 150.0, height: 30.0 };

/// A list, laid out; everything in it is placed from its corner.
#[derive(Debug)]
pub(in crate::diagram) struct Picture {
    pub(in crate::diagram) width: f64,
    pub(in crate::diagram) height: f64,
    pub(in crate::diagram) items: Vec<Item>,
    pub(in crate::diagram) routes: Vec<Route>,
    /// Where the point of no return is.
    pub(super) pivot: Option<f64>,
}

#[derive(Debug)]
pub(in crate::diagram) struct Item {
    pub(in crate::diagram) area: Area,
    pub(in crate::diagram) shape: Shape,
}

#[derive(Debug)]
pub(in crate::diagram) enum Shape {
    Card(Text),
    Block(Box<Framed>),
    /// An arm without a step.
    Nothing,
    Terminal(Terminal, Vec<String>),
}

/// A box around a list.
#[derive(Debug)]
pub(in crate::diagram) struct Framed {
    pub(in crate::diagram) kind: BlockKind,
    pub(in crate::diagram) header: Text,
    pub(in crate::diagram) inner: Picture,
    /// From the box's corner.
    pub(in crate::diagram) inner_at: (f64, f64),
}

/// Where the saga begins and ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::diagram) enum Terminal {
    Start,
    Completed,
    Compensated,
}

impl Picture {
    /// The whole saga, with its beginning and its ends.
    pub(in crate::diagram) fn of(saga: &Saga) -> Self {
        let list = List::of(saga);
        let turned_back = list.turned_back(saga);
        let before = if turned_back.is_empty() { 1 } else { 2 };
        let mut shapes = vec![terminal(Terminal::Start, &caption::start(saga))];
        let mut links: Vec<Link> =
            list.first().map(|first| Link { from: 0, to: first + before, forward: true, back: false }).collect();
        if !turned_back.is_empty() {
            shapes.push(terminal(Terminal::Compensated, &caption::compensated(saga)));
            links.extend(turned_back.iter().map(|first| Link { from: 1, to: first + before, forward: false, back: true }));
        }
        shapes.extend(list.entries.iter().map(|entry| shape(saga, entry)));
        links.extend(links_of(&list, before));
        let end = shapes.len();
        shapes.push(terminal(Terminal::Completed, &caption::completed(saga)));
        links.extend(list.last().map(|last| Link { from: last + before, to: end, forward: true, back: false }));
        let layout = layered::lay_out(&sizes(&shapes), &links);
        let is_pivot = |step: StepIndex| saga[step].position == Position::Pivot;
        let pivot = list.entries.iter().position(|entry| entry.any(&is_pivot));
        let pivot = pivot.and_then(|pivot| below(&layout, pivot + before));
        Self { pivot, ..Self::new(shapes, layout) }
    }

    fn of_list(saga: &Saga, list: &List) -> Self {
        let mut shapes: Vec<(Size, Shape)> = list.entries.iter().map(|entry| shape(saga, entry)).collect();
        if shapes.is_empty() {
            shapes.push((NOTHING, Shape::Nothing));
        }
        let layout = match list.links.is_empty() {
            true => layered::lay_out_unlinked(&sizes(&shapes)),
            false => layered::lay_out(&sizes(&shapes), &links_of(list, 0).collect::<Vec<_>>()),
        };
        Self::new(shapes, layout)
    }

    fn new(shapes: Vec<(Size, Shape)>, layout: Layout) -> Self {
        let items = shapes.into_iter().zip(&layout.corners).map(|((size, shape), corner)| {
            let area = Area { x: corner.x, y: corner.y, width: size.width, height: size.height };
            Item { area, shape }
        });
        Self { items: items.collect(), width: layout.width, height: layout.height, routes: layout.routes, pivot: None }
    }

    /// Whether any line leads back.
    pub(super) fn has_way_back(&self) -> bool {
        self.routes.iter().any(|route| route.is_back)
    }
}

/// The middle between the layer of a box and the next.
fn below(layout: &Layout, index: usize) -> Option<f64> {
    let layer = *layout.layers.get(index)?;
    let (_, bottom) = *layout.bands.get(layer)?;
    let (top, _) = *layout.bands.get(layer + 1)?;
    Some(f64::midpoint(bottom, top).round())
}

fn links_of(list: &List, before: usize) -> impl Iterator<Item = Link> + '_ {
    list.links.iter().map(move |link| Link { from: link.from + before, to: link.to + before, forward: true, back: link.back })
}

fn sizes(shapes: &[(Size, Shape)]) -> Vec<Size> {
    shapes.iter().map(|(size, _)| *size).collect()
}

fn terminal(terminal: Terminal, text: &str) -> (Size, Shape) {
    let lines = TERMINAL.wrap(text, TERMINAL_MOST, 3);
    let widest = lines.iter().map(|line| TERMINAL.width(line)).fold(0.0, f64::max);
    let size = Size { width: (widest + 36.0).ceil(), height: lines.len() as f64 * TERMINAL.line() + 15.0 };
    (size, Shape::Terminal(terminal, lines))
}

fn shape(saga: &Saga, entry: &Entry) -> (Size, Shape) {
    match entry {
        Entry::Step(step) => {
            let text = Text::new(&caption::step(saga, *step), card::WIDTH);
            (Size { width: card::WIDTH, height: text.height() }, Shape::Card(text))
        }
        Entry::Block(block) => framed(saga, block),
    }
}

fn framed(saga: &Saga, block: &Block) -> (Size, Shape) {
    let inner = Picture::of_list(saga, &block.list);
    let caption = caption::block(saga, block);
    // Wide enough for the name, if it is not too long.
    let width = inner.width.max(Text::natural_width(&caption).min(card::WIDTH)) + 2.0 * PAD;
    let header = Text::new(&caption, width);
    let below_header = header.height() + 4.0;
    let size = Size { width, height: below_header + inner.height + PAD };
    let inner_at = (((width - inner.width) / 2.0).round(), below_header);
    (size, Shape::Block(Box::new(Framed { kind: block.kind, header, inner, inner_at })))
}
