//! What a step comes after: computed once for a definition, and looked up by every saga that runs by it.

use std::sync::OnceLock;

use super::{Action, Saga, Within};

/// What each step of a definition comes after. Empty until somebody asks.
#[derive(Debug, Clone, Default)]
pub struct Precedence(OnceLock<Vec<Place>>);

/// Of one step.
#[derive(Debug, Clone)]
struct Place {
    waits_for: Vec<usize>,
    /// A bit for each step.
    before: Vec<u64>,
}

const BITS: usize = u64::BITS as usize;

impl Saga {
    /// What a step waits for, directly, in order: what it says, and the beginning of what it stands in.
    pub fn waits_for(&self, step: usize) -> &[usize] {
        self.places().get(step).map_or(&[], |place| &place.waits_for)
    }

    /// Whether a step comes before another: whether that waits for it, directly or not. A step is not before itself.
    pub fn is_before(&self, step: usize, other: usize) -> bool {
        let before = self.places().get(other).map(|place| &place.before);
        before.and_then(|before| before.get(step / BITS)).is_some_and(|bits| bits >> (step % BITS) & 1 == 1)
    }

    fn places(&self) -> &[Place] {
        self.precedence.0.get_or_init(|| {
            let mut places: Vec<Place> = Vec::with_capacity(self.steps.len());
            for step in 0..self.steps.len() {
                let waits_for = waits_for(self, step);
                let mut before = vec![0; self.steps.len().div_ceil(BITS)];
                for &earlier in &waits_for {
                    before[earlier / BITS] |= 1 << (earlier % BITS);
                    let known = places.get(earlier).map_or(&[][..], |place| &place.before);
                    before.iter_mut().zip(known).for_each(|(bits, more)| *bits |= more);
                }
                places.push(Place { waits_for, before });
            }
            places
        })
    }
}

/// All have smaller indices.
fn waits_for(definition: &Saga, step: usize) -> Vec<usize> {
    let Some(of) = definition.steps.get(step) else { return Vec::new() };
    let within = match of.within {
        Some(Within::Arm { switch, .. }) => Some(switch),
        Some(Within::Body(in_loop)) => definition.loops.get(in_loop.0).map(|of| of.step),
        Some(Within::Sub(frame)) => definition.frames.get(frame.0).map(|frame| frame.enter),
        None => None,
    };
    let in_loop = of.in_loop.and_then(|in_loop| definition.loops.get(in_loop.0)).map(|of| of.step);
    // A loop begins when all is there that its steps need and that was there before it.
    let body: &[_] = match of.action {
        Action::Foreach(own) => definition.loops.get(own.0).map_or(&[], |of| &of.body),
        _ => &[],
    };
    let hoisted = body.iter().filter_map(|inner| definition.steps.get(inner.0)).flat_map(|inner| &inner.after).copied();
    let hoisted = hoisted.filter(|on| on.0 < step);
    let mut all: Vec<usize> =
        of.after.iter().copied().chain(within).chain(in_loop).chain(hoisted).map(|on| on.0).filter(|on| *on < step).collect();
    all.sort_unstable();
    all.dedup();
    if let Some(in_loop) = of.in_loop {
        let begins = definition.loops.get(in_loop.0).map_or(0, |of| of.step.0);
        // What another loop's steps give was waited for by this loop's own.
        all.retain(|on| *on >= begins || definition.steps[*on].in_loop.is_none());
    }
    all
}
