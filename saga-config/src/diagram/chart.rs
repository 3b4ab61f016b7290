//! What stands in what, and what leads where: the flat list of a saga's steps as lists in boxes.

use std::collections::BTreeSet;

use crate::saga::{Action, FrameIndex, GroupIndex, LoopIndex, OnFailure, Position, Saga, StepIndex, Within};

/// Entries that stand beside each other, each after all that it waits for.
#[derive(Debug, Default)]
pub(super) struct List {
    pub(super) entries: Vec<Entry>,
    /// Between entries of this list; what follows from others is left out.
    pub(super) links: Vec<Link>,
}

/// What stands in a list.
#[derive(Debug)]
pub(super) enum Entry {
    /// A step that nothing stands in.
    Step(StepIndex),
    /// A box with a list in it.
    Block(Block),
}

#[derive(Debug)]
pub(super) struct Block {
    pub(super) kind: BlockKind,
    pub(super) list: List,
}

/// What a box is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BlockKind {
    Group(GroupIndex),
    /// Its list are its arms.
    Switch(StepIndex),
    Arm {
        switch: StepIndex,
        arm: usize,
    },
    Loop(LoopIndex),
    Sub(FrameIndex),
}

/// From one entry to a later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) from: usize,
    pub(super) to: usize,
    /// Whether the saga can turn back along it, with something to undo.
    pub(super) back: bool,
}

impl List {
    /// The saga's own list.
    pub(super) fn of(saga: &Saga) -> Self {
        let mut builder = Builder { saga, root: Self::default(), places: Vec::new() };
        for index in 0..saga.steps.len() {
            builder.put(StepIndex(index));
        }
        builder.link();
        let mut root = builder.root;
        root.mark_the_way_back(saga, false);
        root
    }

    /// The entries that wait for none of this list.
    pub(super) fn first(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.entries.len()).filter(|entry| self.links.iter().all(|link| link.to != *entry))
    }

    /// The entries that none of this list waits for.
    pub(super) fn last(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.entries.len()).filter(|entry| self.links.iter().all(|link| link.from != *entry))
    }

    /// Of the first entries, those over which the saga turns back to its beginning.
    pub(super) fn turned_back(&self, saga: &Saga) -> Vec<usize> {
        let turning = |entry: &Entry| entry.any(&|step| may_turn_back(saga, step));
        let reached = self.reached();
        let turns = |first: &usize| {
            let mut entries = self.entries.iter().enumerate();
            entries.any(|(index, entry)| (index == *first || reached[*first][index]) && turning(entry))
        };
        self.first().filter(turns).collect()
    }

    /// Keeps of the links those that do not follow from others.
    fn reduce(&mut self) {
        let count = self.entries.len();
        // By entry: what is reached from it, from the last to the first.
        let mut reached = vec![vec![false; count]; count];
        let mut kept = Vec::new();
        for from in (0..count).rev() {
            let mut targets: Vec<usize> = self.links.iter().filter(|link| link.from == from).map(|link| link.to).collect();
            targets.sort_unstable();
            for to in targets {
                // A nearer target that leads there has a smaller index.
                if !reached[from][to] {
                    kept.push(Link { from, to, back: false });
                    let beyond = reached[to].clone();
                    reached[from].iter_mut().zip(beyond).for_each(|(reached, beyond)| *reached |= beyond);
                    reached[from][to] = true;
                }
            }
        }
        kept.sort_unstable_by_key(|link| (link.from, link.to));
        self.links = kept;
    }

    /// `turned`: whether what stands outside of this list can still turn back when this is done.
    fn mark_the_way_back(&mut self, saga: &Saga, turned: bool) {
        let count = self.entries.len();
        let undone: Vec<bool> = self.entries.iter().map(|entry| entry.any(&|step| has_undo(saga, step))).collect();
        let turning: Vec<bool> = self.entries.iter().map(|entry| entry.any(&|step| may_turn_back(saga, step))).collect();
        let reached = self.reached();
        for link in &mut self.links {
            let is_left = |entry: usize| entry == link.from || reached[entry][link.from];
            let is_ahead = |entry: usize| entry == link.to || reached[link.to][entry];
            let something = (0..count).any(|entry| is_left(entry) && undone[entry]);
            link.back = something && (turned || (0..count).any(|entry| is_ahead(entry) && turning[entry]));
        }
        for (index, entry) in self.entries.iter_mut().enumerate() {
            if let Entry::Block(block) = entry {
                // One item of a loop may turn back when another is done.
                let itself = matches!(block.kind, BlockKind::Loop(_)) && turning[index];
                let others = (0..count).any(|other| other != index && !reached[other][index] && turning[other]);
                block.list.mark_the_way_back(saga, turned || itself || others);
            }
        }
    }

    /// By entry: which entries come after it.
    fn reached(&self) -> Vec<Vec<bool>> {
        let count = self.entries.len();
        let mut reached = vec![vec![false; count]; count];
        for from in (0..count).rev() {
            for link in self.links.iter().filter(|link| link.from == from) {
                let beyond = reached[link.to].clone();
                reached[from].iter_mut().zip(beyond).for_each(|(reached, beyond)| *reached |= beyond);
                reached[from][link.to] = true;
            }
        }
        reached
    }

    /// The list of the block at `place`, which is one of [`Builder::places`] or begins one.
    fn at(&mut self, place: &[usize]) -> Option<&mut Self> {
        let mut list = self;
        for index in place {
            match list.entries.get_mut(*index)? {
                Entry::Block(block) => list = &mut block.list,
                Entry::Step(_) => return None,
            }
        }
        Some(list)
    }
}

impl Entry {
    /// Whether it holds of any step in it.
    pub(super) fn any(&self, holds: &dyn Fn(StepIndex) -> bool) -> bool {
        match self {
            Self::Step(step) => holds(*step),
            Self::Block(block) => block.list.entries.iter().any(|entry| entry.any(holds)),
        }
    }
}

/// Whether the saga can turn back when it has come to this step.
fn may_turn_back(saga: &Saga, step: StepIndex) -> bool {
    let step = &saga[step];
    // Even a step whose failure means nothing can be overtaken by the deadline.
    step.position != Position::After && (step.on_failure == OnFailure::Compensate || saga.deadline.is_some())
}

/// Whether something undoes it.
fn has_undo(saga: &Saga, step: StepIndex) -> bool {
    matches!(&saga[step].action, Action::Call(call) if call.compensate.is_some())
}

struct Builder<'s> {
    saga: &'s Saga,
    root: List,
    /// By step: the way to its entry. The beginning and the end of a sub-saga have the way to its box, as have a switch and a loop.
    places: Vec<Vec<usize>>,
}

impl Builder<'_> {
    fn put(&mut self, step: StepIndex) {
        let (home, is_leaf) = match self.saga[step].action {
            Action::Switch(_) => (Some(BlockKind::Switch(step)), false),
            Action::Foreach(index) => (Some(BlockKind::Loop(index)), false),
            Action::Enter(index) | Action::Leave(index) => (Some(BlockKind::Sub(index)), false),
            Action::Call(_) | Action::Set(_) | Action::Wait(_) => (stands_in(self.saga, step), true),
        };
        let mut place = Vec::new();
        let mut list = &mut self.root;
        for kind in chain(self.saga, home) {
            let known = list.entries.iter().position(|entry| matches!(entry, Entry::Block(block) if block.kind == kind));
            let index = known.unwrap_or_else(|| {
                list.entries.push(Entry::Block(Block { kind, list: arms(self.saga, kind) }));
                list.entries.len() - 1
            });
            place.push(index);
            match &mut list.entries[index] {
                Entry::Block(block) => list = &mut block.list,
                Entry::Step(_) => return,
            }
        }
        if is_leaf {
            place.push(list.entries.len());
            list.entries.push(Entry::Step(step));
        }
        self.places.push(place);
    }

    /// What a step waits for, as links between the entries that hold the two and stand in one list.
    fn link(&mut self) {
        let mut known: BTreeSet<(&[usize], usize, usize)> = BTreeSet::new();
        for (step, place) in self.saga.steps.iter().zip(&self.places) {
            for before in step.after.iter().filter_map(|before| self.places.get(before.0)) {
                let shared = place.iter().zip(before).take_while(|(a, b)| a == b).count();
                // One stands in the other: the box itself says so.
                if let (Some(from), Some(to)) = (before.get(shared), place.get(shared))
                    && from < to
                {
                    known.insert((&place[..shared], *from, *to));
                }
            }
        }
        let mut touched = BTreeSet::new();
        for (place, from, to) in known {
            if let Some(list) = self.root.at(place) {
                list.links.push(Link { from, to, back: false });
                touched.insert(place);
            }
        }
        for place in touched {
            if let Some(list) = self.root.at(place) {
                list.reduce();
            }
        }
    }
}

/// What a box has in it before any step: a switch its arms, also those without a step.
fn arms(saga: &Saga, kind: BlockKind) -> List {
    let BlockKind::Switch(switch) = kind else { return List::default() };
    let Action::Switch(arms) = &saga[switch].action else { return List::default() };
    let blocks = (0..arms.len()).map(|arm| Block { kind: BlockKind::Arm { switch, arm }, list: List::default() });
    List { entries: blocks.map(Entry::Block).collect(), links: Vec::new() }
}

/// The box that a step's entry stands in.
fn stands_in(saga: &Saga, step: StepIndex) -> Option<BlockKind> {
    let owner = saga[step].within.map(|within| match within {
        Within::Arm { switch, .. } => switch,
        Within::Body(index) => saga.loops[index.0].step,
        Within::Sub(index) => saga.frames[index.0].enter,
    });
    match saga[step].group {
        // What stands in a child of the group stands in that child.
        Some(group) if owner.is_none_or(|owner| saga[owner].group != Some(group)) => Some(BlockKind::Group(group)),
        _ => saga[step].within.map(around),
    }
}

/// The box that a box stands in.
fn parent(saga: &Saga, kind: BlockKind) -> Option<BlockKind> {
    match kind {
        BlockKind::Arm { switch, .. } => Some(BlockKind::Switch(switch)),
        BlockKind::Switch(step) => stands_in(saga, step),
        BlockKind::Loop(index) => stands_in(saga, saga.loops[index.0].step),
        BlockKind::Sub(index) => stands_in(saga, saga.frames[index.0].enter),
        BlockKind::Group(index) => {
            let member = saga.groups[index.0].members.first()?;
            saga[*member].within.map(around)
        }
    }
}

fn around(within: Within) -> BlockKind {
    match within {
        Within::Arm { switch, arm } => BlockKind::Arm { switch, arm },
        Within::Body(index) => BlockKind::Loop(index),
        Within::Sub(index) => BlockKind::Sub(index),
    }
}

/// From the outermost box to `innermost`. No deeper than there are steps: each box but an arm and a group begins with one.
fn chain(saga: &Saga, innermost: Option<BlockKind>) -> Vec<BlockKind> {
    let most = 3 * saga.steps.len();
    let mut chain: Vec<BlockKind> = std::iter::successors(innermost, |kind| parent(saga, *kind)).take(most).collect();
    chain.reverse();
    chain
}
