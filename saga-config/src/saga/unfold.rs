//! From lists, groups, arms, loops and `needs` to one list in which every step comes after all that it waits for.

mod order;
mod place;
mod read;

use super::{
    StepIndex, Within,
    findings::Findings,
    kinds::{Kind, kinds},
    raw::{self, Raw},
};
use crate::{
    names::{StepId, VariableName},
    yaml::Pointer,
};

/// The steps in the order in which they can run.
#[derive(Debug)]
pub(super) struct Plan<'r> {
    pub(super) nodes: Vec<Node<'r>>,
    pub(super) groups: Vec<GroupPlan<'r>>,
    pub(super) loops: Vec<LoopPlan<'r>>,
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
    /// What it stands in, the innermost.
    pub(super) held: Option<Held>,
    pub(super) group: Option<usize>,
    pub(super) in_loop: Option<usize>,
    /// By index: whether that step is surely settled before this starts.
    pub(super) before: Vec<bool>,
    /// Whether it is read as it is written.
    pub(super) is_whole: bool,
}

/// What a step stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Held {
    /// The step of it: a switch, a loop.
    pub(super) by: usize,
    pub(super) within: Within,
}

/// A parallel group.
#[derive(Debug)]
pub(super) struct GroupPlan<'r> {
    pub(super) raw: &'r raw::Parallel,
    /// What it stands in.
    pub(super) entry: &'r raw::Step,
    pub(super) at: Pointer,
    pub(super) id: Option<StepId>,
    /// Its children, and what stands in them.
    pub(super) members: Vec<usize>,
}

/// A loop.
#[derive(Debug)]
pub(super) struct LoopPlan<'r> {
    pub(super) raw: &'r raw::Foreach,
    pub(super) node: usize,
    /// Absent: reported.
    pub(super) item: Option<VariableName>,
    pub(super) body: Vec<usize>,
}

/// Unfolds the saga's list.
pub(super) fn unfold<'r>(raw: &'r Raw, findings: &mut Findings) -> Plan<'r> {
    let at = Pointer::root().child("steps");
    let mut reader = read::Reader::new(findings);
    let mut list = reader.list(raw.steps.as_deref(), &at, read::Around::default());
    let known = reader.finish();
    let is_acyclic = order::order(&mut list, &known.taken, findings);
    place::place(list, known.is_whole && is_acyclic, findings)
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
        self.nodes.iter().position(Node::is_pivot)
    }

    /// Whether two steps are ordered, one way or the other.
    pub(super) fn are_ordered(&self, a: usize, b: usize) -> bool {
        a == b || self.nodes[a].is_after(b) || self.nodes[b].is_after(a)
    }

    /// What a step stands in, the innermost first.
    pub(super) fn around(&self, index: usize) -> impl Iterator<Item = Held> {
        std::iter::successors(self.nodes[index].held, |held| self.nodes[held.by].held)
    }

    /// What the step at `index` stands in and the one at `from` does not, the innermost first.
    pub(super) fn between(&self, index: usize, from: Option<usize>) -> Vec<Held> {
        let shared: Vec<Held> = from.into_iter().flat_map(|from| self.around(from)).collect();
        self.around(index).take_while(|held| !shared.contains(held)).collect()
    }

    /// What holds the step at `index` in a list that the one at `from` stands in too, or itself.
    pub(super) fn outermost(&self, index: usize, from: Option<usize>) -> usize {
        self.between(index, from).last().map_or(index, |held| held.by)
    }
}

impl Node<'_> {
    /// Whether the step at `index` is surely settled before this starts.
    pub(super) fn is_after(&self, index: usize) -> bool {
        self.before.get(index).copied().unwrap_or(false)
    }

    /// Whether it says `pivot: true`, and is a step that can be the pivot.
    pub(super) fn is_pivot(&self) -> bool {
        self.raw.pivot == Some(true) && matches!(kinds(self.raw).0, Some(Kind::Call | Kind::Callback(..)))
    }

    /// Whether something comes between its call's answer and its end.
    pub(super) fn is_accepted_first(&self) -> bool {
        match kinds(self.raw).0 {
            Some(Kind::Callback(..)) => true,
            Some(Kind::Call) => self.raw.accept.is_some(),
            _ => false,
        }
    }

    /// Direct predecessors, as the saga has them.
    pub(super) fn predecessors(&self) -> Vec<StepIndex> {
        self.after.iter().copied().map(StepIndex).collect()
    }
}
