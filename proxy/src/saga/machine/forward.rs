//! Going forward: what starts, what is tried again, and when the saga turns back.

use saga_config::saga::{Action, Position};

use super::{
    super::{
        entry::{By, SkipReason, Turning, What},
        render::{MAX_KEPT_BYTES, Reach, size, values},
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
    /// It goes on; what has not begun may begin where this says so.
    GoOn(Vec<bool>),
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
            Plan::GoOn(may_begin) => self.go_on_or_begin(&may_begin),
        }
    }

    /// The end, if every step is done.
    pub(super) fn complete(&mut self) -> Progress {
        let state = &self.machine.state;
        if !(0..self.steps()).all(|i| state.is_settled(&self.machine.definition, i)) {
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
        let legs = match self.plan() {
            Plan::Turn(_) | Plan::Stop => return None,
            Plan::Resolve(i) => i..i + 1,
            Plan::GoOn(_) => 0..self.steps(),
        };
        let deadline =
            self.machine.state.started.deadline.filter(|_| !self.machine.state.is_past_pivot(&self.machine.definition));
        legs.filter_map(|i| self.timer(Leg::forward(i))).chain(deadline).filter(|at| *at > self.now).min()
    }

    /// Why the saga should turn back. Past the pivot it cannot.
    fn wish(&self) -> Option<Turning> {
        let (state, definition) = (&self.machine.state, &self.machine.definition);
        if state.is_past_pivot(definition) {
            return None;
        }
        let failing = (0..self.steps()).find(|i| state.is_failing(definition, *i) && self.step(*i).position != Position::After);
        match failing {
            Some(i) => {
                let status = match self.state(i).forward {
                    Forward::Refused { status } => status,
                    _ => 0,
                };
                let reason = self.state(i).reason.clone().unwrap_or_default();
                Some(Turning::Failure { step: self.path(i), status, reason })
            }
            None if self.is_past_deadline() => Some(Turning::Deadline),
            None => None,
        }
    }

    fn plan(&self) -> Plan {
        let (state, definition) = (&self.machine.state, &self.machine.definition);
        let is_stuck = || (0..self.steps()).any(|i| state.is_stuck(definition, i));
        match (self.wish(), state.pivot(definition)) {
            (Some(_), Some(i)) if state.is_pivot_in_doubt(definition) => {
                if is_stuck() {
                    Plan::Stop
                } else {
                    Plan::Resolve(i)
                }
            }
            (Some(because), _) => {
                let unfinished = self.unfinished_members();
                if self.is_past_deadline() || !unfinished.contains(&true) { Plan::Turn(because) } else { Plan::GoOn(unfinished) }
            }
            (None, _) if is_stuck() => Plan::Stop,
            (None, _) => Plan::GoOn(vec![true; self.steps()]),
        }
    }

    fn is_past_deadline(&self) -> bool {
        self.machine.state.started.deadline.is_some_and(|deadline| self.now >= deadline)
    }

    /// Which members of groups that failed, and whose `on_failure` is `wait_for_all`, are still to run.
    fn unfinished_members(&self) -> Vec<bool> {
        let (state, definition) = (&self.machine.state, &self.machine.definition);
        let mut runs = vec![false; self.steps()];
        for group in definition.groups.iter().filter(|group| !group.cancel_others) {
            let mut members: Vec<usize> = group.members.iter().flat_map(|member| state.instances.all(member.0)).collect();
            if !members.iter().any(|member| state.is_failing(definition, *member)) {
                continue;
            }
            members.sort_unstable();
            for i in members {
                let can_begin = || state.instances[i].before.iter().all(|on| state.is_settled(definition, *on) || runs[*on]);
                runs[i] = self.state(i).is_active() || self.state(i).is_untouched() && can_begin();
            }
        }
        runs
    }

    fn go_on_or_begin(&mut self, may_begin: &[bool]) -> Progress {
        for i in 0..self.steps() {
            if self.state(i).is_active() && self.go_on(Leg::forward(i)) == Progress::Made {
                return Progress::Made;
            }
        }
        let is_passed = self.passed();
        for (i, may_begin) in may_begin.iter().enumerate() {
            let is_ready = || self.machine.state.instances[i].before.iter().all(|on| is_passed[*on]);
            if *may_begin && self.state(i).is_untouched() && is_ready() && self.has_slot(i) {
                self.begin(i);
                return Progress::Made;
            }
        }
        Progress::None
    }

    /// Which steps need nothing more, and neither does what comes before them: one that an operator skipped does not let what
    /// comes after it begin too early.
    fn passed(&self) -> Vec<bool> {
        let mut passed = vec![false; self.steps()];
        for i in 0..self.steps() {
            let is_settled = self.machine.state.is_settled(&self.machine.definition, i);
            passed[i] = is_settled && self.machine.state.instances[i].before.iter().all(|on| passed[*on]);
        }
        passed
    }

    fn has_slot(&self, i: usize) -> bool {
        let definition = &self.machine.definition;
        let active = (0..self.steps()).filter(|i| self.state(*i).is_active()).count();
        let group = self.step(i).group.and_then(|group| definition.groups.get(group.0));
        let has_group_slot = group.is_none_or(|group| {
            let active = group.members.iter().flat_map(|member| self.machine.state.instances.all(member.0)).filter(|i| self.state(*i).is_active()).count();
            active < group.max.max(1)
        });
        active < definition.max_parallel.max(1) && has_group_slot
    }

    /// A step begins: it is skipped, computes, or is sent.
    fn begin(&mut self, i: usize) {
        let definition = std::sync::Arc::clone(&self.machine.definition);
        let step = self.machine.state.instances.step(&definition, i);
        if let Some(when) = step.when.as_ref().filter(|_| !self.state(i).decided) {
            let decision = when.eval_bool(&self.machine.scope().known(Reach::Before(i)));
            match decision {
                Err(error) => return self.refuse(i, 0, format!("`when`: {error}"), By::Rule),
                Ok(false) => return self.emit(What::Skipped { step: self.path(i), because: SkipReason::Condition }),
                Ok(true) => {}
            }
        }
        match &step.action {
            Action::Call(_) => self.start(Leg::forward(i)),
            Action::Switch(_) | Action::Foreach(_) | Action::Wait(_) | Action::Enter(_) | Action::Leave(_) => {
                self.refuse(i, 0, "definitions with such a step are refused".to_owned(), By::Rule);
            }
            Action::Set(templates) => {
                let templates = templates.iter().map(|(name, template)| (name.as_str(), template));
                let (values, fault) = values(templates, &self.machine.scope().known(Reach::Before(i)));
                match (fault, size(&values)) {
                    (Some(fault), _) => self.refuse(i, 0, fault, By::Rule),
                    (None, bytes) if bytes > MAX_KEPT_BYTES => {
                        self.refuse(i, 0, format!("its values have {bytes} bytes, and the most is {MAX_KEPT_BYTES}"), By::Rule);
                    }
                    (None, _) => self.emit(What::Set { step: self.path(i), values }),
                }
            }
        }
    }

    /// What an operator should look at.
    fn what_is_stuck(&self) -> String {
        let (state, definition) = (&self.machine.state, &self.machine.definition);
        self.in_words((0..self.steps()).filter(|i| state.is_stuck(definition, *i)))
    }

    /// Steps and their reasons.
    pub(super) fn in_words(&self, steps: impl Iterator<Item = usize>) -> String {
        const MOST: usize = 5;
        let one =
            |i: usize| format!("step `{}`: {}", self.path(i), self.state(i).reason.as_deref().unwrap_or("it has no end"));
        steps.take(MOST).map(one).collect::<Vec<_>>().join("; ")
    }
}
