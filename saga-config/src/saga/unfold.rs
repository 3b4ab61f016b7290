//! From lists, groups and `needs` to one list in which every step comes after all that it waits for.

use std::collections::BTreeMap;

use super::{
    StepIndex,
    findings::Findings,
    limits,
    raw::{self, Raw},
};
use crate::{
    diagnostic::{Diagnostic, did_you_mean, quoted},
    names::StepId,
    yaml::Pointer,
};

/// The steps in the order in which they can run.
#[derive(Debug)]
pub(super) struct Plan<'r> {
    pub(super) nodes: Vec<Node<'r>>,
    pub(super) groups: Vec<GroupPlan<'r>>,
    /// Whether the order is known: nothing that says it was wrong.
    pub(super) order_is_known: bool,
}

/// A step.
#[derive(Debug)]
pub(super) struct Node<'r> {
    pub(super) raw: &'r raw::Step,
    /// Where it is written.
    pub(super) at: Pointer,
    /// Absent: reported.
    pub(super) id: Option<StepId>,
    /// Direct predecessors, all with smaller indices.
    pub(super) after: Vec<usize>,
    pub(super) group: Option<usize>,
    /// By index: whether that step is surely settled before this starts.
    pub(super) before: Vec<bool>,
    /// Whether it is read as it is written.
    pub(super) is_whole: bool,
}

/// A parallel group.
#[derive(Debug)]
pub(super) struct GroupPlan<'r> {
    pub(super) raw: &'r raw::Parallel,
    /// What it stands in.
    pub(super) entry: &'r raw::Step,
    pub(super) at: Pointer,
    pub(super) id: Option<StepId>,
    pub(super) members: Vec<usize>,
}

impl Plan<'_> {
    /// The step of that name.
    pub(super) fn find(&self, id: &str) -> Option<usize> {
        self.nodes.iter().position(|node| node.id.as_ref().is_some_and(|known| known.as_str() == id))
    }

    /// The names of steps.
    pub(super) fn ids(&self) -> impl Iterator<Item = &str> + Clone {
        self.nodes.iter().filter_map(|node| node.id.as_ref()).map(StepId::as_str)
    }

    /// The step that says `pivot: true`, the first of them.
    pub(super) fn pivot(&self) -> Option<usize> {
        self.nodes.iter().position(|node| node.raw.pivot == Some(true))
    }
}

/// Something in the saga's list: a step or a group.
struct Entry<'r> {
    raw: &'r raw::Step,
    at: Pointer,
    id: Option<StepId>,
    /// The entries it waits for.
    needs: Vec<usize>,
}

/// Unfolds the saga's list.
pub(super) fn unfold<'r>(raw: &'r Raw, findings: &mut Findings) -> Plan<'r> {
    let at = Pointer::root().child("steps");
    let list = raw.steps.as_deref().unwrap_or_default();
    let mut unfolder = Unfolder { findings, order_is_known: raw.steps.is_some(), taken: BTreeMap::new(), count: 0 };
    let mut entries = unfolder.entries(list, &at);
    let members: Vec<Vec<Entry<'r>>> = entries.iter().map(|entry| unfolder.members(entry)).collect();
    unfolder.predecessors(&mut entries);
    let order = unfolder.order(&entries);
    unfolder.plan(entries, members, &order)
}

struct Unfolder<'f> {
    findings: &'f mut Findings,
    order_is_known: bool,
    /// Where each name stands.
    taken: BTreeMap<String, Pointer>,
    count: usize,
}

impl Unfolder<'_> {
    fn entries<'r>(&mut self, list: &'r [Option<raw::Step>], at: &Pointer) -> Vec<Entry<'r>> {
        // What was left out leaves a hole in the order.
        self.order_is_known &= list.iter().all(Option::is_some);
        let steps = list.iter().enumerate().filter_map(|(index, step)| Some((at.child(index), step.as_ref()?)));
        let steps: Vec<_> = steps.collect();
        steps
            .into_iter()
            .map(|(at, raw)| {
                self.order_is_known &= !self.findings.is_left_out(&at.child("needs"));
                Entry { id: self.id(raw, &at), raw, at, needs: Vec::new() }
            })
            .collect()
    }

    fn id(&mut self, raw: &raw::Step, at: &Pointer) -> Option<StepId> {
        let at = at.child("id");
        let text = raw.id.as_deref()?;
        let id = match text.parse::<StepId>() {
            Ok(id) => id,
            Err(error) => {
                self.findings.error(
                    "invalid-value",
                    &at,
                    error.to_string(),
                    "write lower-case words joined by `_`, such as create_order",
                );
                return None;
            }
        };
        if let Some(first) = self.taken.get(text) {
            let diagnostic =
                Diagnostic::error("duplicate-id", self.findings.place(&at), format!("the id {} is there twice", quoted(text)))
                    .with_label(self.findings.place(first), "the first is here")
                    .with_help("steps and groups share one namespace: give each its own id");
            self.findings.add(diagnostic);
            return None;
        }
        self.taken.insert(text.to_owned(), at);
        Some(id)
    }

    /// The steps of a group; of a step, none.
    fn members<'r>(&mut self, entry: &Entry<'r>) -> Vec<Entry<'r>> {
        let Some(group) = &entry.raw.parallel else {
            self.count_step(entry);
            return Vec::new();
        };
        let at = entry.at.child("parallel").child("steps");
        self.order_is_known &= group.steps.is_some();
        let members = self.entries(group.steps.as_deref().unwrap_or_default(), &at);
        for member in &members {
            self.count_step(member);
            if member.raw.parallel.is_some() {
                let place = self.findings.key_place(&member.at.child("parallel"));
                self.findings.add(
                    Diagnostic::error("nested-group", place, "a group stands in the saga's own list, not in another group")
                        .with_help("order the saga's list with `needs`: it runs whatever can run at once"),
                );
            }
            if member.raw.needs.is_some() {
                let place = self.findings.key_place(&member.at.child("needs"));
                self.findings.add(
                    Diagnostic::error(
                        "needs-in-group",
                        place,
                        "the steps of a group start together: none of them needs anything",
                    )
                    .with_help("write `needs` at the group, or take the steps out of it"),
                );
            }
        }
        members
    }

    fn count_step(&mut self, entry: &Entry<'_>) {
        self.count += 1;
        if self.count == limits::STEPS + 1 {
            let message = format!("a saga has at most {} steps, those of groups counted", limits::STEPS);
            self.findings.refuse("too-many-steps", &entry.at, message, "let a service do several things in one call");
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
                    self.order_is_known = false;
                    self.unknown_need(entries, name, &at);
                }
            }
        }
        found
    }

    fn unknown_need(&mut self, entries: &[Entry<'_>], name: &str, at: &Pointer) {
        let ids: Vec<&str> = entries.iter().filter_map(|entry| entry.id.as_ref()).map(StepId::as_str).collect();
        let group = entries.iter().find(|entry| {
            let steps = entry.raw.parallel.iter().flat_map(|group| group.steps.iter().flatten().flatten());
            steps.into_iter().any(|step| step.id.as_deref() == Some(name))
        });
        let help = match (group, did_you_mean(name, ids.iter().copied())) {
            (Some(Entry { id: Some(group), .. }), _) => format!("it is in the group {}: need that", quoted(group.as_str())),
            (_, Some(meant)) => format!("did you mean {}?", quoted(meant)),
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
            self.order_is_known = false;
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

    fn plan<'r>(self, entries: Vec<Entry<'r>>, members: Vec<Vec<Entry<'r>>>, order: &[usize]) -> Plan<'r> {
        let mut plan = Plan { nodes: Vec::new(), groups: Vec::new(), order_is_known: self.order_is_known };
        let mut nodes_of: Vec<Vec<usize>> = entries.iter().map(|_| Vec::new()).collect();
        let mut pairs: Vec<Option<(Entry<'r>, Vec<Entry<'r>>)>> = entries.into_iter().zip(members).map(Some).collect();
        for index in order {
            let Some((entry, members)) = pairs[*index].take() else { continue };
            let after: Vec<usize> = entry.needs.iter().flat_map(|need| nodes_of[*need].iter().copied()).collect();
            let start = plan.nodes.len();
            match &entry.raw.parallel {
                None => plan.push(entry, after, None, self.findings),
                Some(group) => {
                    let number = plan.groups.len();
                    for member in members {
                        plan.push(member, after.clone(), Some(number), self.findings);
                    }
                    let members = (start..plan.nodes.len()).collect();
                    plan.groups.push(GroupPlan { raw: group, entry: entry.raw, at: entry.at, id: entry.id, members });
                }
            }
            nodes_of[*index] = (start..plan.nodes.len()).collect();
        }
        plan
    }
}

impl<'r> Plan<'r> {
    fn push(&mut self, entry: Entry<'r>, mut after: Vec<usize>, group: Option<usize>, findings: &Findings) {
        after.sort_unstable();
        let mut before = vec![false; self.nodes.len()];
        for direct in &after {
            before[*direct] = true;
            let earlier = self.nodes[*direct].before.iter().enumerate().filter(|(_, is_before)| **is_before);
            earlier.for_each(|(index, _)| before[index] = true);
        }
        let is_whole = findings.is_whole(&entry.at);
        self.nodes.push(Node { raw: entry.raw, at: entry.at, id: entry.id, after, group, before, is_whole });
    }
}

impl Node<'_> {
    /// Whether the step at `index` is surely settled before this starts.
    pub(super) fn is_after(&self, index: usize) -> bool {
        self.before.get(index).copied().unwrap_or(false)
    }

    /// Whether its outputs may be absent once it is settled: it was skipped, or failed and the saga went on.
    pub(super) fn may_be_absent(&self) -> bool {
        self.raw.when.is_some() || self.raw.on_failure == Some(raw::OnFailure::Continue)
    }

    /// Direct predecessors, as the saga has them.
    pub(super) fn predecessors(&self) -> Vec<StepIndex> {
        self.after.iter().copied().map(StepIndex).collect()
    }
}
