//! What each entry of a list waits for, and an order in which they can run.

use std::collections::BTreeMap;

use super::read::{Entry, Inner, List};
use crate::{
    diagnostic::{Diagnostic, did_you_mean, quoted},
    names::StepId,
    saga::findings::Findings,
    yaml::Pointer,
};

/// Orders a list and all that stand in it. Whether all that they need is there, and nothing waits for itself.
pub(super) fn order(list: &mut List<'_>, taken: &BTreeMap<String, Pointer>, findings: &mut Findings) -> bool {
    let mut orderer = Orderer { findings, taken, is_known: true };
    orderer.list(list);
    orderer.is_known
}

struct Orderer<'f> {
    findings: &'f mut Findings,
    taken: &'f BTreeMap<String, Pointer>,
    is_known: bool,
}

impl Orderer<'_> {
    fn list(&mut self, list: &mut List<'_>) {
        if !list.starts_together {
            self.predecessors(&mut list.entries);
            list.order = self.order(&list.entries);
        }
        for entry in &mut list.entries {
            match &mut entry.inner {
                Inner::Nothing => {}
                Inner::Group(_, list) | Inner::Body(_, _, list) => self.list(list),
                Inner::Arms(arms) => arms.iter_mut().for_each(|arm| self.list(arm)),
            }
        }
    }

    /// Fills in what each entry waits for: what it needs, or in a list without any `needs` the entry before.
    fn predecessors(&mut self, entries: &mut [Entry<'_>]) {
        let is_graph = entries.iter().any(|entry| entry.raw.needs.is_some());
        for entry in entries.iter().skip(1).filter(|entry| is_graph && entry.raw.needs.is_none()) {
            self.no_needs(entry);
        }
        for index in 0..entries.len() {
            entries[index].needs = match is_graph {
                true => self.needs(entries, index),
                false => index.checked_sub(1).into_iter().collect(),
            };
        }
    }

    /// In a graph the place in the list says nothing, which is easily overlooked.
    fn no_needs(&mut self, entry: &Entry<'_>) {
        if !self.findings.is_whole(&entry.at.child("needs")) {
            return;
        }
        let place = self.findings.place(&entry.at.child("id"));
        let name = entry.id.as_ref().map_or_else(|| "this step".to_owned(), |id| quoted(id.as_str()));
        let message = format!("another step `needs` some, so the list is a graph, and {name} would start at once");
        let help = "write what it needs, or `needs: []` if it is to start at once";
        self.findings.prove(Diagnostic::error("missing-needs", place, message).with_help(help));
    }

    fn needs(&mut self, entries: &[Entry<'_>], index: usize) -> Vec<usize> {
        let mut found = Vec::new();
        for (nth, name) in entries[index].raw.needs.iter().flatten().enumerate() {
            let at = entries[index].at.child("needs").child(nth);
            let known = entries.iter().position(|entry| entry.id.as_ref().is_some_and(|id| id.as_str() == name));
            match known {
                Some(known) if found.contains(&known) => {
                    self.findings.error("duplicate-need", &at, format!("{} is needed twice", quoted(name)), "leave one out");
                }
                Some(known) => found.push(known),
                None => {
                    self.is_known = false;
                    self.unknown_need(entries, name, &at);
                }
            }
        }
        found
    }

    fn unknown_need(&mut self, entries: &[Entry<'_>], name: &str, at: &Pointer) {
        let ids: Vec<&str> = entries.iter().filter_map(|entry| entry.id.as_ref()).map(StepId::as_str).collect();
        let elsewhere = self.taken.get(name);
        let holder = entries.iter().find(|entry| elsewhere.is_some_and(|there| there.is_within(&entry.at)));
        let help = match (holder, elsewhere, did_you_mean(name, ids.iter().copied())) {
            (Some(Entry { id: Some(id), inner, .. }), ..) => {
                format!("it is in the {} {}: need that", inner.word(), quoted(id.as_str()))
            }
            (None, Some(_), _) => {
                "it is in another list: what this list stands in can need it, or what that one stands in".to_owned()
            }
            (_, _, Some(meant)) => format!("did you mean {}?", quoted(meant)),
            _ => format!("there are {}", ids.join(", ")),
        };
        self.findings.error("unknown-step", at, format!("there is no step {} in this list", quoted(name)), help);
    }

    /// The entries, each after all it waits for; of those that could be next, the first of the file. What is in a cycle, and what comes
    /// after, is in the order of the file.
    fn order(&mut self, entries: &[Entry<'_>]) -> Vec<usize> {
        let mut order: Vec<usize> = Vec::with_capacity(entries.len());
        loop {
            let is_next = |index: &usize| !order.contains(index) && entries[*index].needs.iter().all(|need| order.contains(need));
            match (0..entries.len()).find(is_next) {
                Some(next) => order.push(next),
                None => break,
            }
        }
        let stuck: Vec<usize> = (0..entries.len()).filter(|index| !order.contains(index)).collect();
        if let Some(first) = stuck.first() {
            self.is_known = false;
            self.cycle(entries, &stuck, *first);
            order.extend(stuck);
        }
        order
    }

    /// Every entry in `stuck` needs another in it, so a walk along them comes back to where it was.
    fn cycle(&mut self, entries: &[Entry<'_>], stuck: &[usize], first: usize) {
        let mut walk = vec![first];
        let circle = loop {
            let last = walk[walk.len() - 1];
            let Some(next) = entries[last].needs.iter().copied().find(|need| stuck.contains(need)) else { return };
            if let Some(start) = walk.iter().position(|seen| *seen == next) {
                break &walk[start..];
            }
            walk.push(next);
        };
        let name = |index: usize| entries[index].id.as_ref().map_or("?", StepId::as_str);
        // The first of the file is named first.
        let start = circle.iter().enumerate().min_by_key(|(_, index)| **index).map_or(0, |(nth, _)| nth);
        let turned = circle[start..].iter().chain(&circle[..=start]);
        let shown: Vec<&str> = turned.map(|index| name(*index)).collect();
        let place = self.findings.place(&entries[circle[start]].at.child("needs"));
        let message = format!("these steps wait for each other: {}", shown.join(" needs "));
        self.findings.add(Diagnostic::error("cycle", place, message).with_help("leave one of these `needs` out"));
    }
}

impl Inner<'_> {
    fn word(&self) -> &'static str {
        match self {
            Self::Nothing => "step",
            Self::Group(..) => "group",
            Self::Arms(_) => "switch",
            Self::Body(..) => "loop",
        }
    }
}
