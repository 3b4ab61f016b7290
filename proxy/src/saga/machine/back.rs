//! Going back: doubt is resolved, then what was done is undone, the last first.

use super::{
    super::{
        entry::{Direction, What},
        state::{Back, Standing},
    },
    legs::Leg,
    work::{Progress, Work},
};
use crate::{store::journal::SagaState, time::Timestamp};

impl Work<'_> {
    /// One step back.
    pub(super) fn back(&mut self) -> Progress {
        if self.settle_accepted() == Progress::Made || self.compensated() == Progress::Made {
            return Progress::Made;
        }
        let mut last = usize::MAX;
        while self.has_slot_back()
            && let Some(i) = self.machine.agenda.backward.range(..last).next_back().copied()
        {
            last = i;
            let leg = self.leg_back(i);
            if self.frames_have_room(i, || self.machine.agenda.out()) && self.step_back(leg) == Progress::Made {
                return Progress::Made;
            }
        }
        if !self.is_anything_under_way() && self.back_timer().is_none() {
            let reason =
                self.in_words((0..self.steps()).filter(|i| !self.machine.agenda.is_settled_back(*i) && self.is_stuck_back(*i)));
            return self.quarantine(reason);
        }
        Progress::None
    }

    /// The end, if nothing remains.
    pub(super) fn compensated(&mut self) -> Progress {
        if self.machine.agenda.unsettled_back > 0 {
            return Progress::None;
        }
        self.emit(What::Ended { completed: false });
        Progress::Made
    }

    /// When a saga that undoes has something to do, if nothing comes before.
    pub(super) fn back_timer(&self) -> Option<Timestamp> {
        let timers = self.machine.agenda.backward.iter().filter_map(|i| match self.leg_back(*i) {
            leg if leg.direction == Direction::Forward => self.timer(leg),
            leg => self.timer(leg).or_else(|| self.not_before(*i)),
        });
        timers.filter(|at| *at > self.now).min()
    }

    /// When the saga has something to do, if nothing comes before.
    pub(super) fn next_timer(&self) -> Option<Timestamp> {
        match self.machine.state() {
            SagaState::Running => self.forward_timer(),
            SagaState::Compensating => self.back_timer(),
            SagaState::Completed | SagaState::Compensated | SagaState::Quarantined => None,
        }
    }

    fn step_back(&mut self, leg: Leg) -> Progress {
        let is_first = leg == Leg::undo(leg.step) && self.call(leg).standing == Standing::Idle;
        match (is_first, self.not_before(leg.step)) {
            (false, _) => self.go_on(leg),
            (true, Some(at)) if at > self.now => Progress::None,
            (true, _) => {
                self.start(leg);
                Progress::Made
            }
        }
    }

    fn has_slot_back(&self) -> bool {
        self.machine.under_way.len() < self.machine.definition.max_parallel.max(1)
    }

    /// What is to be done of a step: a doubt is resolved, then it is undone. What has no undo needs no knowledge.
    fn leg_back(&self, i: usize) -> Leg {
        if self.state(i).is_unresolved() { Leg::forward(i) } else { Leg::undo(i) }
    }

    fn is_stuck_back(&self, i: usize) -> bool {
        self.state(i).back == Back::Failed || matches!(self.call(Leg::forward(i)).standing, Standing::Stuck | Standing::Left)
    }

    /// An undo never overtakes its forward call (invariant 6): a send that has no answer may still act for this long.
    fn not_before(&self, i: usize) -> Option<Timestamp> {
        let rules = self.rules(Leg::forward(i))?;
        let upstream = rules.call.target.upstream().map(AsRef::as_ref);
        let is_first = self.call(Leg::undo(i)).standing == Standing::Idle;
        self.call(Leg::forward(i)).unanswered.filter(|_| is_first).map(|at| at.plus(self.upstreams.max_execution(upstream)))
    }
}
