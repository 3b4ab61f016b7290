//! The steps of a saga as it runs: one for each step of the definition and, in a loop, for each item.
//!
//! What a definition says of steps it says once; an *instance* is what begins, is sent, and is undone. Their places never change: those
//! of a loop come behind all others when its list is fixed, item by item.

use std::ops::Range;

use saga_config::{
    names::StepPath,
    saga::{Saga, Step},
};

/// The steps of a saga as it runs.
#[derive(Clone, Debug, PartialEq)]
pub(in super::super) struct Instances {
    list: Vec<Instance>,
    /// Where each step of the definition is.
    seats: Vec<Seat>,
    /// Of each loop.
    loops: Vec<Body>,
}

/// One step as it runs.
#[derive(Clone, Debug, PartialEq)]
pub(in super::super) struct Instance {
    /// Its step in the definition.
    pub(in super::super) step: usize,
    /// For which item, in a loop.
    pub(in super::super) place: Option<u32>,
    /// How the journal names it.
    pub(in super::super) path: StepPath,
    /// What must be settled before it may start, directly.
    pub(in super::super) before: Vec<usize>,
    /// What waits for it, directly.
    pub(in super::super) after: Vec<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Seat {
    /// It is outside of loops, and this instance.
    One(usize),
    /// It is this one of a loop's steps.
    Each { in_loop: usize, nth: usize },
}

/// A loop's steps.
#[derive(Clone, Debug, PartialEq)]
struct Body {
    /// Its steps in the definition, in order.
    steps: Vec<usize>,
    /// Its first instance, and how many items there are, once the list is fixed.
    listed: Option<(usize, usize)>,
}

impl std::ops::Index<usize> for Instances {
    type Output = Instance;

    fn index(&self, i: usize) -> &Instance {
        &self.list[i]
    }
}

impl Instances {
    /// Before any loop's list is fixed.
    pub(super) fn new(definition: &Saga) -> Self {
        let mut bodies = vec![Body { steps: Vec::new(), listed: None }; definition.loops.len()];
        let mut list: Vec<Instance> = Vec::with_capacity(definition.steps.len());
        let mut seats = Vec::with_capacity(definition.steps.len());
        for (i, step) in definition.steps.iter().enumerate() {
            let body = step.in_loop.and_then(|in_loop| Some((in_loop.0, bodies.get_mut(in_loop.0)?)));
            seats.push(match body {
                Some((in_loop, body)) => {
                    body.steps.push(i);
                    Seat::Each { in_loop, nth: body.steps.len() - 1 }
                }
                None => {
                    list.push(Instance { step: i, place: None, path: step.id.clone(), before: Vec::new(), after: Vec::new() });
                    Seat::One(list.len() - 1)
                }
            });
        }
        let mut instances = Self { list, seats, loops: bodies };
        for to in 0..instances.list.len() {
            // What a loop's steps stand for is not there yet: its list comes first.
            let from = definition.waits_for(instances.list[to].step).iter().copied().filter_map(|on| match instances.seats[on] {
                Seat::One(from) => Some(from),
                Seat::Each { in_loop, .. } => instances.only(definition.loops[in_loop].step.0),
            });
            for from in from.collect::<std::collections::BTreeSet<_>>() {
                instances.join(from, to);
            }
        }
        instances
    }

    /// The list of a loop is fixed: its steps are there for each item. Gives the first of them.
    pub(super) fn listed(&mut self, definition: &Saga, in_loop: usize, items: u32) -> usize {
        let first = self.list.len();
        let Some(body) = self.loops.get_mut(in_loop) else { return first };
        body.listed = Some((first, items as usize));
        let steps = body.steps.clone();
        for place in 0..items {
            for &step in &steps {
                let path = definition.steps[step].id.at(place);
                self.list.push(Instance { step, place: Some(place), path, before: Vec::new(), after: Vec::new() });
            }
        }
        for (nth, &step) in steps.iter().enumerate() {
            for &on in definition.waits_for(step) {
                let is_own = steps.contains(&on);
                for place in 0..items {
                    let to = first + place as usize * steps.len() + nth;
                    self.join_all(on, to, is_own.then_some(place));
                }
            }
        }
        for to in 0..first {
            for on in definition.waits_for(self.list[to].step).iter().copied().filter(|on| steps.contains(on)) {
                self.join_all(on, to, None);
            }
        }
        first
    }

    #[allow(clippy::len_without_is_empty, reason = "a saga has steps")]
    pub(in super::super) fn len(&self) -> usize {
        self.list.len()
    }

    pub(in super::super) fn iter(&self) -> impl DoubleEndedIterator<Item = &Instance> + ExactSizeIterator {
        self.list.iter()
    }

    /// The step of the definition that an instance is of.
    pub(in super::super) fn step<'d>(&self, definition: &'d Saga, i: usize) -> &'d Step {
        &definition.steps[self.list[i].step]
    }

    pub(in super::super) fn path(&self, i: usize) -> &StepPath {
        &self.list[i].path
    }

    /// The instance that a journal names.
    pub(in super::super) fn find(&self, definition: &Saga, path: &StepPath) -> Option<usize> {
        self.at(definition.step(path.name())?.0, path.place())
    }

    /// The instance of a step of the definition.
    pub(in super::super) fn at(&self, step: usize, place: Option<u32>) -> Option<usize> {
        match (*self.seats.get(step)?, place) {
            (Seat::One(i), None) => Some(i),
            (Seat::Each { in_loop, nth }, Some(place)) => {
                let Body { steps, listed } = self.loops.get(in_loop)?;
                let (first, items) = (*listed)?;
                let place = usize::try_from(place).ok().filter(|place| *place < items)?;
                Some(first + place * steps.len() + nth)
            }
            (Seat::One(_), Some(_)) | (Seat::Each { .. }, None) => None,
        }
    }

    /// The instance of a step outside of loops.
    pub(in super::super) fn only(&self, step: usize) -> Option<usize> {
        self.at(step, None)
    }

    /// All instances of a step of the definition, in the order of the items.
    pub(in super::super) fn all(&self, step: usize) -> impl Iterator<Item = usize> + use<> {
        let (first, by, count) = match self.seats.get(step) {
            Some(Seat::One(i)) => (*i, 1, 1),
            Some(Seat::Each { in_loop, nth }) => {
                let body = &self.loops[*in_loop];
                let (first, items) = body.listed.unwrap_or_default();
                (first + nth, body.steps.len(), items)
            }
            None => (0, 1, 0),
        };
        (0..count).map(move |item| first + item * by)
    }

    /// The instances of the items of a loop, in their order; `None`: its list is not fixed.
    pub(in super::super) fn items(&self, in_loop: usize) -> Option<impl Iterator<Item = Range<usize>> + use<>> {
        let Body { steps, listed } = self.loops.get(in_loop)?;
        let ((first, items), by) = ((*listed)?, steps.len());
        Some((0..items).map(move |item| first + item * by..first + (item + 1) * by))
    }

    /// An instance waits for a step, in the same item of the same loop if there is a place.
    fn join_all(&mut self, on: usize, to: usize, place: Option<u32>) {
        if place.is_some() {
            if let Some(from) = self.at(on, place) {
                self.join(from, to);
            }
            return;
        }
        for from in self.all(on) {
            self.join(from, to);
        }
    }

    fn join(&mut self, from: usize, to: usize) {
        self.list[from].after.push(to);
        self.list[to].before.push(from);
    }
}
