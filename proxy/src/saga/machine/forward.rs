//! Going forward: what starts, what is tried again, and when the saga turns back.

use std::collections::BTreeSet;

use saga_config::saga::{Action, Position};

use super::{
    super::{
        entry::{Turning, What},
        state::Forward,
    },
    legs::Leg,
    work::{Progress, Work},
};
use crate::time::Timestamp;

/// What a running saga does.
enum Plan {
    /// It turns back.
    Turn(Turning),
    /// Only an operator can help: it sends nothing more, and stops when nothing is under way.
    Stop,
    /// Nothing but this goes on: the pivot is in doubt, and decides whether the saga can turn back.
    Resolve(usize),
    /// It goes on; of what has not begun, these may begin (`None`: all).
    GoOn(Option<BTreeSet<usize>>),
}

impl Work<'_> {
    /// One step forward.
    pub(super) fn forward(&mut self) -> Progress {
        if self.complete() == Progress::Made {
            return Progress::Made;
        }
        match self.plan() {
            Plan::Turn(because) => {
                self.emit(What::Compensating { because });
                Progress::Made
            }
            Plan::Stop if self.is_anything_under_way() => Progress::None,
            Plan::Stop => {
                let reason = self.what_is_stuck();
                self.quarantine(reason)
            }
            Plan::Resolve(i) => self.go_on(Leg::forward(i)),
            Plan::GoOn(may_begin) => self.go_on_or_begin(may_begin.as_ref()),
        }
    }

    /// The end, if every step is done.
    pub(super) fn complete(&mut self) -> Progress {
        if self.machine.agenda.unsettled > 0 {
            return Progress::None;
        }
        self.emit(What::Ended { completed: true });
        Progress::Made
    }

    /// Whether a forward call only asks what became of it, and must not be carried out any more (invariant 10).
    pub(super) fn only_asks(&self) -> bool {
        self.machine.state.turned.is_some() || self.wish().is_some()
    }

    /// When a running saga has something to do, if nothing comes before.
    pub(super) fn forward_timer(&self) -> Option<Timestamp> {
        let next = match self.plan() {
            Plan::Turn(_) | Plan::Stop => return None,
            Plan::Resolve(i) => self.next_at(i),
            Plan::GoOn(_) => self.machine.agenda.active.iter().filter_map(|i| self.next_at(*i)).filter(|at| *at > self.now).min(),
        };
        let is_past_pivot = self.machine.state.is_past_pivot(&self.machine.definition);
        let deadlines = self.deadlines().filter(|_| !is_past_pivot).map(|(at, _)| at);
        next.into_iter().chain(deadlines).filter(|at| *at > self.now).min()
    }

    /// When a step that has begun goes on.
    fn next_at(&self, i: usize) -> Option<Timestamp> {
        self.state(i).timed.or_else(|| self.timer(Leg::forward(i)))
    }

    /// Why the saga should turn back. Past the pivot it cannot.
    fn wish(&self) -> Option<Turning> {
        if self.machine.state.is_past_pivot(&self.machine.definition) {
            return None;
        }
        let failing = self.machine.agenda.failing.iter().copied().find(|i| self.step(*i).position != Position::After);
        match failing {
            Some(i) => {
                let status = match self.state(i).forward {
                    Forward::Refused { status } => status,
                    _ => 0,
                };
                let reason = self.state(i).reason.clone().unwrap_or_default();
                Some(Turning::Failure { step: self.path(i), status, reason })
            }
            None => self.passed_deadline(),
        }
    }

    fn plan(&self) -> Plan {
        let (state, definition) = (&self.machine.state, &self.machine.definition);
        match (self.wish(), state.pivot(definition)) {
            (Some(_), Some(i)) if state.is_pivot_in_doubt(definition) => {
                if self.is_stuck() {
                    Plan::Stop
                } else {
                    Plan::Resolve(i)
                }
            }
            (Some(because), _) => {
                let unfinished = self.unfinished_members();
                if self.passed_deadline().is_some() || unfinished.is_empty() {
                    Plan::Turn(because)
                } else {
                    Plan::GoOn(Some(unfinished))
                }
            }
            (None, _) if self.is_stuck() => Plan::Stop,
            (None, _) => Plan::GoOn(None),
        }
    }

    /// Whether nothing but an operator brings some step further.
    fn is_stuck(&self) -> bool {
        let (agenda, state, definition) = (&self.machine.agenda, &self.machine.state, &self.machine.definition);
        !agenda.stuck.is_empty() || agenda.failing.iter().any(|i| state.is_stuck(definition, *i))
    }

    /// The deadlines that count now, and why the saga turns back at them: its own, and those of the sub-sagas that have begun.
    fn deadlines(&self) -> impl Iterator<Item = (Timestamp, Turning)> + '_ {
        let own = self.machine.state.started.deadline.map(|at| (at, Turning::Deadline));
        let frames = self.machine.agenda.frames.iter().filter_map(|i| {
            let Action::Enter(frame) = self.step(*i).action else { return None };
            let of = self.machine.definition.frames.get(frame.0)?;
            let within = of.deadline?;
            let step = match self.machine.state.instances[*i].place {
                Some(place) => of.path.at(place),
                None => of.path.clone(),
            };
            let reason = format!("the deadline of the sub-saga, {within:?} from its beginning, passed");
            Some((self.state(*i).set_at?.plus(within), Turning::Failure { step, status: 0, reason }))
        });
        own.into_iter().chain(frames)
    }

    fn passed_deadline(&self) -> Option<Turning> {
        self.deadlines().find(|(at, _)| self.now >= *at).map(|(_, because)| because)
    }

    /// Which members of groups that failed, and whose `on_failure` is `wait_for_all`, are still to run: what goes on, and what can begin.
    /// As long as there is any, more may come.
    fn unfinished_members(&self) -> BTreeSet<usize> {
        let agenda = &self.machine.agenda;
        let waits = |i: &usize| self.group(*i).filter(|of| !self.machine.definition.groups[of.0].cancel_others);
        let failed: BTreeSet<_> = agenda.failing.iter().filter_map(waits).collect();
        let is_member = |i: &&usize| self.group(**i).is_some_and(|group| failed.contains(&group));
        match failed.is_empty() {
            true => BTreeSet::new(),
            false => agenda.active.iter().chain(&agenda.ready).filter(is_member).copied().collect(),
        }
    }

    fn go_on_or_begin(&mut self, may_begin: Option<&BTreeSet<usize>>) -> Progress {
        let mut last = None;
        while let Some(i) = after(&self.machine.agenda.active, last) {
            last = Some(i);
            if self.elapse(i) == Progress::Made || self.go_on(Leg::forward(i)) == Progress::Made {
                return Progress::Made;
            }
        }
        if !self.has_room() {
            return Progress::None;
        }
        let mut last = None;
        while let Some(i) = after(&self.machine.agenda.ready, last) {
            last = Some(i);
            if may_begin.is_none_or(|may_begin| may_begin.contains(&i)) && self.has_slot(i) {
                self.begin(i);
                return Progress::Made;
            }
        }
        Progress::None
    }

    /// A timer is over.
    fn elapse(&mut self, i: usize) -> Progress {
        match self.state(i).timed {
            Some(until) if until <= self.now => {
                let step = self.path(i);
                self.emit(What::Elapsed { step });
                Progress::Made
            }
            _ => Progress::None,
        }
    }

    /// Whether one more call may run. A timer takes up no room.
    fn has_room(&self) -> bool {
        let calls = self.machine.agenda.active.iter().filter(|i| self.state(**i).calls()).count();
        calls < self.machine.definition.max_parallel.max(1)
    }

    /// Whether a step's group, and the sub-sagas that it stands in, have room for one more call.
    fn has_slot(&self, i: usize) -> bool {
        let definition = &self.machine.definition;
        let calls = || self.machine.agenda.active.iter().copied().filter(|i| self.state(*i).calls());
        let group = self.group(i).is_none_or(|group| {
            let active = calls().filter(|other| self.group(*other) == Some(group)).count();
            active < definition.groups[group.0].max.max(1)
        });
        group && self.frames_have_room(i, calls)
    }

    /// What an operator should look at.
    fn what_is_stuck(&self) -> String {
        let (state, definition) = (&self.machine.state, &self.machine.definition);
        self.in_words((0..self.steps()).filter(|i| state.is_stuck(definition, *i)))
    }

    /// Steps and their reasons.
    pub(super) fn in_words(&self, steps: impl Iterator<Item = usize>) -> String {
        const MOST: usize = 5;
        let one = |i: usize| format!("step `{}`: {}", self.path(i), self.state(i).reason.as_deref().unwrap_or("it has no end"));
        steps.take(MOST).map(one).collect::<Vec<_>>().join("; ")
    }
}

/// The next of them.
pub(super) fn after(of: &BTreeSet<usize>, last: Option<usize>) -> Option<usize> {
    match last {
        None => of.first().copied(),
        Some(last) => of.range(last.saturating_add(1)..).next().copied(),
    }
}
