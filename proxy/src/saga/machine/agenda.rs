//! What can go on: kept up to date with every entry, so that a turn costs what has changed and not what there is. A loop of a thousand
//! items is as quick for each of them as a list of three steps.
//!
//! Nothing here is remembered: all of it follows from the state and from what is under way ([`Agenda::new`]).

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use saga_config::saga::{Action, FrameIndex, Saga};

use super::super::{
    entry::Direction,
    state::{Back, Forward, Standing, State, Touched, undo},
};

/// What can go on. The numbers are instances.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Agenda {
    seen: Vec<Seen>,
    /// How many steps are not settled on the way forward.
    pub(super) unsettled: usize,
    /// Whose failure is the saga's.
    pub(super) failing: BTreeSet<usize>,
    /// Whose call only an operator brings further.
    pub(super) stuck: BTreeSet<usize>,
    /// What has begun and goes on by itself: calls, timers.
    pub(super) active: BTreeSet<usize>,
    /// What may begin as soon as there is room for it.
    pub(super) ready: BTreeSet<usize>,
    /// The beginnings of sub-sagas that have a deadline and are not at their end.
    pub(super) frames: BTreeSet<usize>,
    /// How many steps leave something to be undone.
    pub(super) unsettled_back: usize,
    /// What is to be resolved, or may be undone.
    pub(super) backward: BTreeSet<usize>,
    loops: Vec<Items>,
    /// What is under way: forward, back.
    out: BTreeMap<usize, (bool, bool)>,
}

#[cfg(test)]
thread_local! {
    /// How many times a step was looked at.
    pub(super) static LOOKS: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

/// What was counted of a step.
#[derive(Clone, Debug, PartialEq)]
struct Seen {
    settled: bool,
    /// Settled, and so is all that comes before it: one that an operator skipped does not let what comes after it begin too early.
    passed: bool,
    /// How many of those that come before it are not passed.
    waits_for: usize,
    /// Whether it leaves something to be undone.
    remains: bool,
    /// Whether it, or what comes after it, leaves something to be undone.
    held: bool,
    /// How many of those that come after it are held.
    held_by: usize,
    /// Of which loop and item.
    item: Option<(usize, usize)>,
}

/// The items of a loop.
#[derive(Clone, Debug, PartialEq)]
struct Items {
    /// How many may be open at once.
    max: usize,
    /// Of each item, its instances.
    instances: Vec<Range<usize>>,
    /// Of each item, how many steps are not settled; and the items that have any.
    unsettled: Vec<usize>,
    open: BTreeSet<usize>,
    /// The last item that may begin.
    last: usize,
    /// Of each item, how many steps are held; and the items that have any.
    held: Vec<usize>,
    remaining: BTreeSet<usize>,
}

impl Items {
    fn new(max: usize, instances: Vec<Range<usize>>) -> Self {
        let open: BTreeSet<usize> = (0..instances.len()).collect();
        let unsettled = instances.iter().map(ExactSizeIterator::len).collect();
        let held = vec![0; instances.len()];
        let mut items = Self { max: max.max(1), instances, unsettled, open, last: 0, held, remaining: BTreeSet::new() };
        items.last = items.may_begin();
        items
    }

    fn may_begin(&self) -> usize {
        self.open.iter().nth(self.max - 1).copied().unwrap_or(usize::MAX)
    }

    /// One more step of an item is settled, or one fewer. Gives whose turn it is now, or is not any more.
    fn settled(&mut self, item: usize, settled: bool) -> Vec<usize> {
        let count = &mut self.unsettled[item];
        *count = if settled { *count - 1 } else { *count + 1 };
        if *count == 0 {
            self.open.remove(&item);
        } else if !self.open.insert(item) {
            return Vec::new();
        }
        let was = self.last;
        self.last = self.may_begin();
        let (from, to) = (was.min(self.last), was.max(self.last).min(self.instances.len().saturating_sub(1)));
        self.instances.iter().take(to + 1).skip(from.saturating_add(1)).cloned().flatten().collect()
    }

    /// One more step of an item is held, or one fewer. Gives whose undos may be next, or may not any more.
    fn held(&mut self, item: usize, held: bool) -> Vec<usize> {
        let was = self.remaining.last().copied();
        let count = &mut self.held[item];
        *count = if held { *count + 1 } else { *count - 1 };
        match *count {
            0 => self.remaining.remove(&item),
            _ => self.remaining.insert(item),
        };
        let is = self.remaining.last().copied();
        let changed = (self.max == 1 && was != is).then(|| was.into_iter().chain(is));
        changed.into_iter().flatten().flat_map(|item| self.instances[item].clone()).collect()
    }

    /// Whether an item's undos may run: where items run one by one, the last comes first.
    fn may_be_undone(&self, item: usize) -> bool {
        self.max > 1 || self.remaining.last().is_none_or(|last| *last == item)
    }
}

impl Agenda {
    /// Of a saga of which nothing is under way.
    pub(super) fn new(definition: &Saga, state: &State) -> Self {
        Self::with(definition, state, BTreeMap::new())
    }

    fn with(definition: &Saga, state: &State, out: BTreeMap<usize, (bool, bool)>) -> Self {
        let mut seen: Vec<Seen> = state.instances.iter().map(|instance| Seen::new(instance.before.len())).collect();
        let loops = definition.loops.iter().enumerate().map(|(nth, of)| {
            let instances: Vec<_> = state.instances.items(nth).map(Iterator::collect).unwrap_or_default();
            for (item, instances) in instances.iter().enumerate() {
                for seen in &mut seen[instances.clone()] {
                    seen.item = Some((nth, item));
                }
            }
            Items::new(of.max, instances)
        });
        let loops = loops.collect();
        let unsettled = seen.len();
        let mut agenda = Self {
            seen,
            unsettled,
            failing: BTreeSet::new(),
            stuck: BTreeSet::new(),
            active: BTreeSet::new(),
            ready: BTreeSet::new(),
            frames: BTreeSet::new(),
            unsettled_back: 0,
            backward: BTreeSet::new(),
            loops,
            out,
        };
        for i in 0..state.instances.len() {
            agenda.look_at(definition, state, i);
        }
        agenda
    }

    /// The same, from the state as it is.
    #[cfg(test)]
    pub(super) fn again(&self, definition: &Saga, state: &State) -> Self {
        Self::with(definition, state, self.out.clone())
    }

    /// Takes up what an entry has changed.
    pub(super) fn touched(&mut self, definition: &Saga, state: &State, touched: Touched) {
        match touched {
            Touched::All => *self = Self::with(definition, state, std::mem::take(&mut self.out)),
            Touched::Steps(steps) => {
                for i in steps {
                    self.look_at(definition, state, i);
                }
            }
        }
    }

    /// A call, or its probe, is under way now, or is not any more.
    pub(super) fn set_out(&mut self, definition: &Saga, state: &State, i: usize, direction: Direction, is_out: bool) {
        let out = self.out.entry(i).or_default();
        match direction {
            Direction::Forward => out.0 = is_out,
            Direction::Undo => out.1 = is_out,
        }
        if *out == (false, false) {
            self.out.remove(&i);
        }
        self.look_at(definition, state, i);
    }

    pub(super) fn is_out(&self, i: usize, direction: Direction) -> bool {
        self.out.get(&i).is_some_and(|(forward, undo)| match direction {
            Direction::Forward => *forward,
            Direction::Undo => *undo,
        })
    }

    /// Of which steps something is under way.
    pub(super) fn out(&self) -> impl Iterator<Item = usize> + '_ {
        self.out.keys().copied()
    }

    /// Nothing is under way.
    pub(super) fn forget_out(&mut self, definition: &Saga, state: &State) {
        for i in std::mem::take(&mut self.out).into_keys() {
            self.look_at(definition, state, i);
        }
    }

    /// Whether nothing of a step remains to be undone.
    pub(super) fn is_settled_back(&self, i: usize) -> bool {
        self.seen.get(i).is_none_or(|seen| !seen.remains)
    }

    fn look_at(&mut self, definition: &Saga, state: &State, i: usize) {
        let mut next = vec![i];
        while let Some(i) = next.pop() {
            #[cfg(test)]
            LOOKS.set(LOOKS.get() + 1);
            self.look_forward(definition, state, i, &mut next);
            if state.turned.is_some() {
                self.look_back(definition, state, i, &mut next);
            }
        }
    }

    fn look_forward(&mut self, definition: &Saga, state: &State, i: usize, next: &mut Vec<usize>) {
        let step = &state.steps[i];
        let settled = state.is_settled(definition, i);
        if settled != self.seen[i].settled {
            self.seen[i].settled = settled;
            self.unsettled = if settled { self.unsettled - 1 } else { self.unsettled + 1 };
            if let Some((of, item)) = self.seen[i].item {
                next.extend(self.loops[of].settled(item, settled));
            }
        }
        let passed = settled && self.seen[i].waits_for == 0;
        if passed != self.seen[i].passed {
            self.seen[i].passed = passed;
            for &after in &state.instances[i].after {
                let count = &mut self.seen[after].waits_for;
                let was = std::mem::replace(count, if passed { *count - 1 } else { *count + 1 });
                if was == 0 || *count == 0 {
                    next.push(after);
                }
            }
        }
        let seen = &self.seen[i];
        let may_begin = seen.waits_for == 0 && seen.item.is_none_or(|(of, item)| item <= self.loops[of].last);
        set(&mut self.failing, i, state.is_failing(definition, i));
        set(&mut self.stuck, i, step.forward == Forward::Open && step.call.standing == Standing::Stuck);
        set(&mut self.active, i, step.is_active());
        set(&mut self.ready, i, may_begin && step.is_untouched());
        if let Action::Enter(frame) | Action::Leave(frame) = state.instances.step(definition, i).action {
            self.look_at_frame(definition, state, i, frame);
        }
    }

    fn look_at_frame(&mut self, definition: &Saga, state: &State, i: usize, frame: FrameIndex) {
        let Some(of) = definition.frames.get(frame.0).filter(|of| of.deadline.is_some()) else { return };
        let place = state.instances[i].place;
        if let (Some(enter), Some(leave)) = (state.instances.at(of.enter.0, place), state.instances.at(of.leave.0, place)) {
            let is_open = state.steps[enter].set_at.is_some() && !state.is_settled(definition, leave);
            set(&mut self.frames, enter, is_open);
        }
    }

    fn look_back(&mut self, definition: &Saga, state: &State, i: usize, next: &mut Vec<usize>) {
        let (step, undo) = (&state.steps[i], undo(state.instances.step(definition, i)));
        let remains = self.is_out(i, Direction::Forward) || undo.is_some() && step.remains();
        if remains != self.seen[i].remains {
            self.seen[i].remains = remains;
            self.unsettled_back = if remains { self.unsettled_back + 1 } else { self.unsettled_back - 1 };
        }
        let held = remains || self.seen[i].held_by > 0;
        if held != self.seen[i].held {
            self.seen[i].held = held;
            for &before in &state.instances[i].before {
                let count = &mut self.seen[before].held_by;
                let was = std::mem::replace(count, if held { *count + 1 } else { *count - 1 });
                if was == 0 || *count == 0 {
                    next.push(before);
                }
            }
            if let Some((of, item)) = self.seen[i].item {
                next.extend(self.loops[of].held(item, held));
            }
        }
        let seen = &self.seen[i];
        let is_next = seen.held_by == 0 && seen.item.is_none_or(|(of, item)| self.loops[of].may_be_undone(item));
        let is_open = undo.is_some() && step.back == Back::Open;
        set(&mut self.backward, i, is_open && (step.is_unresolved() || is_next && step.has_happened()));
    }
}

impl Seen {
    const fn new(waits_for: usize) -> Self {
        Self { settled: false, passed: false, waits_for, remains: false, held: false, held_by: 0, item: None }
    }
}

fn set(of: &mut BTreeSet<usize>, i: usize, is_in: bool) {
    if is_in {
        of.insert(i);
    } else {
        of.remove(&i);
    }
}
