//! A graph in Graphviz's language (<https://graphviz.org/doc/info/lang.html>).

use std::fmt::{Display, Write as _};

use super::{
    caption::{self, Caption, Mark, Role},
    chart::{Block, BlockKind, Entry, List},
};
use crate::saga::Saga;

// No step is named so.
const START: &str = "(start)";
const COMPLETED: &str = "(completed)";
const COMPENSATED: &str = "(compensated)";

const GRAPH: &str = r##"graph [compound=true, rankdir=TB, nodesep=0.4, ranksep=0.5, fontname="Helvetica", fontsize=12, bgcolor="white"];
  node [shape=box, style="rounded,filled", fillcolor="white", color="#94a3b8", fontname="Helvetica", fontsize=11];
  edge [color="#334155", arrowsize=0.8];"##;
const BACK: &str = r##"style=dashed, color="#d97706", constraint=false"##;

pub(super) fn draw(saga: &Saga) -> String {
    let list = List::of(saga);
    let mut graph = Graph { saga, out: String::new() };
    graph.line(0, format_args!("digraph {} {{", quoted(saga.name.as_str())));
    graph.line(1, GRAPH);
    graph.terminal(START, &caption::start(saga), r##"fillcolor="#1e293b", fontcolor="white""##);
    graph.list(&list, 1);
    graph.terminal(COMPLETED, &caption::completed(saga), r##"fillcolor="#ecfdf3", color="#15803d""##);
    for first in list.first() {
        let entry = &list.entries[first];
        graph.edge(1, START, &graph.first(entry), &graph.ends(None, Some(entry)));
    }
    graph.links(&list, 1);
    for last in list.last() {
        let entry = &list.entries[last];
        for end in graph.lasts(entry) {
            graph.edge(1, &end, COMPLETED, &graph.shown_from(entry, &end));
        }
    }
    graph.compensated(&list);
    graph.line(0, "}");
    graph.out
}

struct Graph<'s> {
    saga: &'s Saga,
    out: String,
}

impl Graph<'_> {
    fn line(&mut self, depth: usize, line: impl Display) {
        // Writing to a string does not fail.
        let _written = writeln!(self.out, "{:1$}{line}", "", 2 * depth);
    }

    fn terminal(&mut self, id: &str, text: &str, paint: &str) {
        self.line(1, format_args!("{} [label={}, style=\"rounded,filled\", {paint}];", quoted(id), quoted(text)));
    }

    fn edge(&mut self, depth: usize, from: &str, to: &str, attributes: &str) {
        self.line(depth, format_args!("{} -> {}{attributes};", quoted(from), quoted(to)));
    }

    fn list(&mut self, list: &List, depth: usize) {
        for entry in &list.entries {
            match entry {
                Entry::Step(step) => {
                    let caption = caption::step(self.saga, *step);
                    let is_pivot = caption.marks.contains(&Mark::Pivot);
                    let paint = if is_pivot { r##", color="#be123c", penwidth=2"## } else { "" };
                    let id = quoted(self.saga[*step].id.name());
                    self.line(depth, format_args!("{id} [label={}{paint}];", label(&caption)));
                }
                Entry::Block(block) => self.block(block, depth),
            }
        }
    }

    fn block(&mut self, block: &Block, depth: usize) {
        let caption = caption::block(self.saga, block);
        self.line(depth, format_args!("subgraph {} {{", quoted(&cluster(self.saga, block))));
        self.line(depth + 1, format_args!("label={};", label(&caption)));
        let ground = match block.kind {
            BlockKind::Group(_) => "#f5f8fb",
            BlockKind::Switch(_) => "#f8f6ff",
            BlockKind::Arm { .. } => "#ffffff",
            BlockKind::Loop(_) => "#f1fdfa",
            BlockKind::Sub(_) => "#f3f8ff",
        };
        self.line(depth + 1, format_args!("style=\"rounded,filled\"; labeljust=l; color=\"#94a3b8\"; fillcolor=\"{ground}\";"));
        if block.list.entries.is_empty() {
            let id = quoted(&nothing(self.saga, block));
            self.line(depth + 1, format_args!("{id} [label=\"nothing to do\", shape=plaintext, style=\"\"];"));
        }
        self.list(&block.list, depth + 1);
        self.links(&block.list, depth + 1);
        self.line(depth, "}");
    }

    fn links(&mut self, list: &List, depth: usize) {
        for link in &list.links {
            let (from, to) = (&list.entries[link.from], &list.entries[link.to]);
            let (first, last) = (self.first(to), self.last(from));
            self.edge(depth, &last, &first, &self.ends(Some(from), Some(to)));
            // What is below is below all of it.
            for other in self.lasts(from).into_iter().filter(|other| *other != last) {
                self.edge(depth, &other, &first, " [style=invis]");
            }
            if link.back {
                let ends = self.ends(Some(to), Some(from)).replace(" [", ", ").replace(']', "");
                self.edge(depth, &first, &last, &format!(" [{BACK}{ends}]"));
            }
        }
    }

    fn compensated(&mut self, list: &List) {
        let turned_back = list.turned_back(self.saga);
        if !turned_back.is_empty() {
            self.terminal(COMPENSATED, &caption::compensated(self.saga), r##"fillcolor="#fff4e0", color="#d97706""##);
        }
        for first in turned_back {
            let entry = &list.entries[first];
            let ends = self.ends(Some(entry), None).replace(" [", ", ").replace(']', "");
            self.edge(1, &self.first(entry), COMPENSATED, &format!(" [{BACK}{ends}]"));
        }
    }

    /// The attributes of an edge that ends at the edge of a box.
    fn ends(&self, from: Option<&Entry>, to: Option<&Entry>) -> String {
        let end = |name: &str, entry: Option<&Entry>| match entry {
            Some(Entry::Block(block)) => Some(format!("{name}={}", quoted(&cluster(self.saga, block)))),
            _ => None,
        };
        let ends: Vec<String> = end("ltail", from).into_iter().chain(end("lhead", to)).collect();
        if ends.is_empty() { String::new() } else { format!(" [{}]", ends.join(", ")) }
    }

    /// Of the nodes at the end of an entry one has the edge that is seen.
    fn shown_from(&self, entry: &Entry, end: &str) -> String {
        if self.last(entry) == end { self.ends(Some(entry), None) } else { " [style=invis]".to_owned() }
    }

    /// The first node of an entry.
    fn first(&self, entry: &Entry) -> String {
        match entry {
            Entry::Step(step) => self.saga[*step].id.name().to_owned(),
            Entry::Block(block) => match block.list.entries.first() {
                Some(entry) => self.first(entry),
                None => nothing(self.saga, block),
            },
        }
    }

    fn last(&self, entry: &Entry) -> String {
        self.lasts(entry).pop().unwrap_or_default()
    }

    /// The nodes of an entry below which nothing of it stands.
    fn lasts(&self, entry: &Entry) -> Vec<String> {
        match entry {
            Entry::Step(step) => vec![self.saga[*step].id.name().to_owned()],
            Entry::Block(block) if block.list.entries.is_empty() => vec![nothing(self.saga, block)],
            Entry::Block(block) => block.list.last().flat_map(|last| self.lasts(&block.list.entries[last])).collect(),
        }
    }
}

fn cluster(saga: &Saga, block: &Block) -> String {
    format!("cluster {}", block.name(saga))
}

fn nothing(saga: &Saga, block: &Block) -> String {
    format!("{} (nothing)", block.name(saga))
}

/// A caption as a label, its lines from the left.
fn label(caption: &Caption) -> String {
    let marks: Vec<&str> = caption.marks.iter().map(|mark| mark.word()).collect();
    let marks = if marks.is_empty() { String::new() } else { format!(" ({})", marks.join(", ")) };
    let mut text = format!("{}{marks}\\l", escaped(&caption.name));
    for line in &caption.lines {
        let before = if line.role == Role::Undo { "undo " } else { "" };
        let _written = write!(text, "{before}{}\\l", escaped(&line.text));
    }
    format!("\"{text}\"")
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", escaped(text))
}

/// As it can stand between quotes: no escape, no entity.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '&' => out.push_str("&amp;"),
            control if control.is_control() => out.push(' '),
            other => out.push(other),
        }
    }
    out
}
