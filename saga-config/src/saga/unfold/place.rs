//! Puts what is nested into one list.

use super::{
    GroupPlan, Held, LoopPlan, Node, Plan,
    read::{Entry, Inner, List},
};
use crate::saga::{LoopIndex, StepIndex, Within, findings::Findings};

/// Puts the entries of `list`, and all that stand in them, into one list.
pub(super) fn place<'r>(list: List<'r>, order_is_known: bool, findings: &Findings) -> Plan<'r> {
    let plan = Plan { nodes: Vec::new(), groups: Vec::new(), loops: Vec::new(), order_is_known };
    let mut placer = Placer { plan, findings };
    placer.list(list, &Place::default());
    placer.plan
}

struct Placer<'f, 'r> {
    plan: Plan<'r>,
    findings: &'f Findings,
}

/// Where a list stands.
#[derive(Clone, Default)]
struct Place {
    /// What is settled before its first steps start.
    after: Vec<usize>,
    held: Option<Held>,
    group: Option<usize>,
    in_loop: Option<usize>,
}

impl<'r> Placer<'_, 'r> {
    fn list(&mut self, list: List<'r>, place: &Place) {
        let mut nodes_of: Vec<Vec<usize>> = list.entries.iter().map(|_| Vec::new()).collect();
        let mut entries: Vec<Option<Entry<'r>>> = list.entries.into_iter().map(Some).collect();
        for index in list.order {
            let Some(entry) = entries[index].take() else { continue };
            let mut after: Vec<usize> = match entry.needs.as_slice() {
                [] => place.after.clone(),
                needs => needs.iter().flat_map(|need| nodes_of[*need].iter().copied()).collect(),
            };
            after.sort_unstable();
            let start = self.plan.nodes.len();
            self.entry(entry, Place { after, ..place.clone() });
            nodes_of[index] = (start..self.plan.nodes.len()).collect();
        }
    }

    /// An entry: of one step, of none but those that stand in it, or of both.
    fn entry(&mut self, mut entry: Entry<'r>, place: Place) {
        let start = self.plan.nodes.len();
        match std::mem::replace(&mut entry.inner, Inner::Nothing) {
            Inner::Nothing => self.step(entry, place),
            Inner::Group(raw, list) => {
                let number = self.plan.groups.len();
                let Entry { raw: written, at, id, .. } = entry;
                self.plan.groups.push(GroupPlan { raw, entry: written, at, id, members: Vec::new() });
                self.list(list, &Place { group: Some(number), ..place });
                self.plan.groups[number].members = (start..self.plan.nodes.len()).collect();
            }
            Inner::Arms(arms) => {
                self.step(entry, place.clone());
                for (arm, list) in arms.into_iter().enumerate() {
                    let within = Within::Arm { switch: StepIndex(start), arm };
                    self.list(list, &Place { after: vec![start], held: Some(Held { by: start, within }), ..place });
                }
            }
            Inner::Body(raw, item, list) => {
                self.step(entry, place.clone());
                let number = self.plan.loops.len();
                self.plan.loops.push(LoopPlan { raw, node: start, item, body: Vec::new() });
                let held = Some(Held { by: start, within: Within::Body(LoopIndex(number)) });
                self.list(list, &Place { after: vec![start], held, in_loop: Some(number), ..place });
                self.plan.loops[number].body = (start + 1..self.plan.nodes.len()).collect();
            }
        }
    }

    fn step(&mut self, entry: Entry<'r>, place: Place) {
        let nodes = &mut self.plan.nodes;
        let mut before = vec![false; nodes.len()];
        for direct in &place.after {
            before[*direct] = true;
            let earlier = nodes[*direct].before.iter().enumerate().filter(|(_, is_before)| **is_before);
            earlier.for_each(|(index, _)| before[index] = true);
        }
        let is_whole = self.findings.is_whole(&entry.at);
        let Entry { raw, at, id, .. } = entry;
        let Place { after, held, group, in_loop } = place;
        nodes.push(Node { raw, at, id, after, held, group, in_loop, before, is_whole });
    }
}
