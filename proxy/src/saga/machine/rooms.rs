//! How many run at once: of the saga, of a group, of a sub-saga. Groups and sub-sagas in a loop are there once for each item.

use saga_config::saga::{FrameIndex, GroupIndex, Saga};

use super::work::Work;

impl Work<'_> {
    /// The group that a step stands in: in a loop's body there is one for each item.
    pub(super) fn group(&self, i: usize) -> Option<(usize, Option<u32>)> {
        let GroupIndex(group) = self.step(i).group?;
        let of = self.machine.definition.groups.get(group)?;
        let place = self.machine.state.instances[i].place;
        // A loop that stands in a child of the group is a member of it, with all its steps.
        let stands_in = |of_loop: &saga_config::saga::Loop| of.members.contains(&of_loop.step);
        let is_around =
            self.step(i).in_loop.and_then(|in_loop| self.machine.definition.loops.get(in_loop.0)).is_some_and(stands_in);
        Some((group, place.filter(|_| !is_around)))
    }

    /// Whether the sub-sagas that a step stands in have room for one more of these.
    pub(super) fn frames_have_room<I: Iterator<Item = usize>>(&self, i: usize, running: impl Fn() -> I) -> bool {
        let definition = &self.machine.definition;
        self.frames(i).all(|frame| {
            let Some(of) = definition.frames.get(frame.0.0) else { return true };
            running().filter(|other| self.frames(*other).any(|their| their == frame)).count() < of.max_parallel.max(1)
        })
    }

    /// The sub-sagas that a step stands in, from the innermost, and for which item.
    fn frames(&self, i: usize) -> impl Iterator<Item = (FrameIndex, Option<u32>)> + '_ {
        let definition: &Saga = &self.machine.definition;
        let place = self.machine.state.instances[i].place;
        let chain = std::iter::successors(self.step(i).frame, |frame| definition.frames.get(frame.0).and_then(|of| of.parent));
        // A definition's frames stand in those before them: the chain has an end.
        chain.take(definition.frames.len()).map(move |frame| {
            let enter = definition.frames.get(frame.0).and_then(|of| definition.steps.get(of.enter.0));
            (frame, place.filter(|_| enter.is_some_and(|enter| enter.in_loop.is_some())))
        })
    }
}
