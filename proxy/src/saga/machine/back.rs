//! Going back: doubt is resolved, then what was done is undone, the last first.

use super::{
    super::{
        entry::What,
        state::{Back, Forward, Standing, undo},
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
        let may_undo = self.may_be_undone();
        for i in (0..self.steps()).rev() {
            let leg = match self.is_to_be_resolved(i) {
                true => Leg::forward(i),
                false if may_undo[i] => Leg::undo(i),
                false => continue,
            };
            if self.has_slot_back() && self.step_back(leg) == Progress::Made {
                return Progress::Made;
            }
        }
        if !self.is_anything_under_way() && self.back_timer().is_none() {
            let reason = self.in_words((0..self.steps()).filter(|i| !self.is_settled_back(*i) && self.is_stuck_back(*i)));
            return self.quarantine(reason);
        }
        Progress::None
    }

    /// The end, if nothing remains.
    pub(super) fn compensated(&mut self) -> Progress {
        if !(0..self.steps()).all(|i| self.is_settled_back(i)) {
            return Progress::None;
        }
        self.emit(What::Ended { completed: false });
        Progress::Made
    }

    /// When a saga that undoes has something to do, if nothing comes before.
    pub(super) fn back_timer(&self) -> Option<Timestamp> {
        let may_undo = self.may_be_undone();
        let timers = (0..self.steps()).filter_map(|i| match self.is_to_be_resolved(i) {
            true => self.timer(Leg::forward(i)),
            false if may_undo[i] => self.timer(Leg::undo(i)).or_else(|| self.not_before(i)),
            false => None,
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

    /// Whether a step's doubt keeps the saga from undoing it. What has no undo needs no knowledge.
    fn is_to_be_resolved(&self, i: usize) -> bool {
        self.state(i).back == Back::Open && self.state(i).is_unresolved() && undo(self.step(i)).is_some()
    }

    /// Whether nothing of a step remains to be undone.
    fn is_settled_back(&self, i: usize) -> bool {
        let step = self.state(i);
        if self.is_under_way(Leg::forward(i)) {
            return false;
        }
        match (step.back, &step.forward, undo(self.step(i))) {
            (Back::Undone, ..) | (_, _, None) => true,
            (Back::Open | Back::Failed, Forward::Done { .. } | Forward::GivenUp, Some(_)) => false,
            (Back::Open | Back::Failed, Forward::Open, Some(_)) => !step.is_unresolved(),
            (Back::Open | Back::Failed, Forward::Refused { .. } | Forward::Skipped(_) | Forward::Set, Some(_)) => true,
        }
    }

    fn is_stuck_back(&self, i: usize) -> bool {
        self.state(i).back == Back::Failed || matches!(self.call(Leg::forward(i)).standing, Standing::Stuck | Standing::Left)
    }

    /// Which steps' undos may be under way: all that comes after them is settled.
    fn may_be_undone(&self) -> Vec<bool> {
        let mut is_clear = vec![true; self.steps()];
        let mut may = vec![false; self.steps()];
        for i in (0..self.steps()).rev() {
            may[i] =
                is_clear[i] && self.state(i).has_happened() && self.state(i).back == Back::Open && undo(self.step(i)).is_some();
            if !is_clear[i] || !self.is_settled_back(i) {
                for before in &self.machine.state.instances[i].before {
                    is_clear[*before] = false;
                }
            }
        }
        may
    }

    /// An undo never overtakes its forward call (invariant 6): a send that has no answer may still act for this long.
    fn not_before(&self, i: usize) -> Option<Timestamp> {
        let rules = self.rules(Leg::forward(i))?;
        let upstream = rules.call.target.upstream().map(AsRef::as_ref);
        let is_first = self.call(Leg::undo(i)).standing == Standing::Idle;
        self.call(Leg::forward(i)).unanswered.filter(|_| is_first).map(|at| at.plus(self.upstreams.max_execution(upstream)))
    }
}
