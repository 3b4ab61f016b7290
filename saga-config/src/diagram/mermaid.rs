//! A flowchart in Mermaid's language (<https://mermaid.js.org/syntax/flowchart.html>).

use std::fmt::{Display, Write as _};

use super::{
    caption::{self, Caption, Mark, Role},
    chart::{Block, BlockKind, Entry, List},
};
use crate::saga::Saga;

const START: &str = "start";
const COMPLETED: &str = "completed";
const COMPENSATED: &str = "compensated";

/// The most characters of a box's name, and of what is said beside it.
const MOST_TITLE: usize = 80;

const FORWARD: &str = "-->";
/// An arrow back would turn the order of the chart round, for that follows the arrows: a line that says so does not.
const BACK: &str = "-. back .-";

pub(super) fn draw(saga: &Saga) -> String {
    let list = List::of(saga);
    let mut flowchart = Flowchart { saga, out: String::from("flowchart TB\n"), back: Vec::new(), links: 0, pivot: None };
    flowchart.line(1, format_args!("{START}([\"{}\"])", label(&caption::start(saga))));
    flowchart.list(&list, 1);
    flowchart.line(1, format_args!("{COMPLETED}([\"{}\"])", label(&caption::completed(saga))));
    for first in list.first() {
        flowchart.link(1, START, FORWARD, &id(saga, &list.entries[first]));
    }
    flowchart.links(&list, 1);
    for last in list.last() {
        flowchart.link(1, &id(saga, &list.entries[last]), FORWARD, COMPLETED);
    }
    flowchart.compensated(&list);
    flowchart.finish()
}

struct Flowchart<'s> {
    saga: &'s Saga,
    out: String,
    /// How many lines there are, and which of them lead back.
    links: usize,
    back: Vec<usize>,
    pivot: Option<String>,
}

impl Flowchart<'_> {
    fn line(&mut self, depth: usize, line: impl Display) {
        // Writing to a string does not fail.
        let _written = writeln!(self.out, "{:1$}{line}", "", 2 * depth);
    }

    fn link(&mut self, depth: usize, from: &str, arrow: &str, to: &str) {
        if arrow == BACK {
            self.back.push(self.links);
        }
        self.links += 1;
        self.line(depth, format_args!("{from} {arrow} {to}"));
    }

    fn list(&mut self, list: &List, depth: usize) {
        for entry in &list.entries {
            match entry {
                Entry::Step(step) => {
                    let caption = caption::step(self.saga, *step);
                    let id = id(self.saga, entry);
                    let (open, close) = shape(&caption);
                    self.line(depth, format_args!("{id}{open}\"{}\"{close}", text(&caption)));
                    if caption.marks.contains(&Mark::Pivot) {
                        self.pivot = Some(id);
                    }
                }
                Entry::Block(block) => self.block(block, &id(self.saga, entry), depth),
            }
        }
    }

    fn block(&mut self, block: &Block, id: &str, depth: usize) {
        let caption = caption::block(self.saga, block);
        let title = title(&caption);
        self.line(depth, format_args!("subgraph {id}[\"{title}\"]"));
        self.line(depth + 1, "direction TB");
        if block.list.entries.is_empty() {
            self.line(depth + 1, format_args!("{id}_nothing[\"nothing to do\"]"));
        }
        self.list(&block.list, depth + 1);
        self.links(&block.list, depth + 1);
        self.line(depth, "end");
    }

    fn links(&mut self, list: &List, depth: usize) {
        for link in &list.links {
            let (from, to) = (id(self.saga, &list.entries[link.from]), id(self.saga, &list.entries[link.to]));
            self.link(depth, &from, FORWARD, &to);
            if link.back {
                self.link(depth, &from, BACK, &to);
            }
        }
    }

    fn compensated(&mut self, list: &List) {
        let turned_back = list.turned_back(self.saga);
        if !turned_back.is_empty() {
            self.line(1, format_args!("{COMPENSATED}([\"{}\"])", label(&caption::compensated(self.saga))));
        }
        for first in turned_back {
            self.link(1, COMPENSATED, BACK, &id(self.saga, &list.entries[first]));
        }
    }

    fn finish(mut self) -> String {
        if !self.back.is_empty() {
            let back: Vec<String> = self.back.iter().map(ToString::to_string).collect();
            self.line(1, format_args!("linkStyle {} stroke:#d97706", back.join(",")));
        }
        if let Some(pivot) = self.pivot.take() {
            self.line(1, format_args!("style {pivot} stroke:#be123c,stroke-width:3px"));
        }
        self.out
    }
}

/// The name of a node: of a step or box its path. `-` and `/` cannot stand there; escaped, two names stay two.
fn id(saga: &Saga, entry: &Entry) -> String {
    let (kind, name) = match entry {
        Entry::Step(step) => ("s", saga[*step].id.name().to_owned()),
        Entry::Block(block) => ("b", block.name(saga)),
    };
    format!("{kind}_{}", name.replace('-', "_d").replace('/', "_s_").replace('.', "_a"))
}

impl Block {
    /// Its path; of an arm, the switch's and its number.
    pub(super) fn name(&self, saga: &Saga) -> String {
        match self.kind {
            BlockKind::Group(index) => saga.groups[index.0].id.to_string(),
            BlockKind::Switch(step) => saga[step].id.name().to_owned(),
            BlockKind::Arm { switch, arm } => format!("{}.{arm}", saga[switch].id.name()),
            BlockKind::Loop(index) => saga[saga.loops[index.0].step].id.name().to_owned(),
            BlockKind::Sub(index) => saga.frames[index.0].path.name().to_owned(),
        }
    }
}

/// What stands around a label.
fn shape(caption: &Caption) -> (&'static str, &'static str) {
    let has = |mark: Mark| caption.marks.contains(&mark);
    if has(Mark::Pivot) {
        ("[[", "]]")
    } else if has(Mark::Timer) || has(Mark::Callback) || has(Mark::Poll) {
        ("{{", "}}")
    } else {
        ("[", "]")
    }
}

/// A caption as one label.
fn text(caption: &Caption) -> String {
    let marks: Vec<&str> = caption.marks.iter().map(|mark| mark.word()).collect();
    let mut text = format!("<b>{}</b>", label(&caption.name));
    if !marks.is_empty() {
        // Writing to a string does not fail.
        let _written = write!(text, " ({})", marks.join(", "));
    }
    for line in &caption.lines {
        let before = if line.role == Role::Undo { "undo&nbsp;" } else { "" };
        let _written = write!(text, "<br/>{before}{}", label(&line.text));
    }
    text
}

/// A caption on one line: there is room for no more above what stands in a box.
fn title(caption: &Caption) -> String {
    let words = caption.marks.iter().map(|mark| mark.word()).chain(caption.lines.iter().map(|line| line.text.as_str()));
    let words: Vec<&str> = words.collect();
    let said = if words.is_empty() { String::new() } else { format!(": {}", words.join(", ")) };
    let title = format!("<b>{}</b>{}", label(&cut(&caption.name)), label(&cut(&said)));
    // It would be broken at spaces.
    title.replace(' ', "&nbsp;")
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(MOST_TITLE) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Text of a saga, as it can stand between quotes: whatever could be markup, an entity or a directive there is written as a number.
fn label(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            ' ' | '.' | ',' | '/' | '_' | '-' | '(' | ')' | '{' | '}' | '=' | '+' | '?' | '$' => out.push(character),
            plain if plain.is_alphanumeric() => out.push(plain),
            // Before an `n` it would break the line: a space of no width stands between.
            '\\' => out.push_str("#92;#8203;"),
            other => {
                let _written = write!(out, "#{};", u32::from(other));
            }
        }
    }
    out
}
