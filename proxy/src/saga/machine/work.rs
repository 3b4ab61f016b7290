//! One turn: what it has to append and to perform so far.

use saga_config::{names::StepPath, saga::Step};

use super::{
    super::{
        entry::{Entry, What, Which},
        state::{Standing, StepState},
        turn::{Effect, Event, FinalAnswer, Then, Turn, Upstreams},
    },
    Machine,
    legs::Leg,
};
use crate::{store::journal::SagaState, time::Timestamp};

/// The most entries of one turn, but for what one step adds last: those of a saga's creation stay below
/// [`crate::store::journal::MAX_ENTRIES_AT_ONCE`]. What is left to do comes with the next tick, at once.
const MAX_ENTRIES: usize = 200;

/// A step's answer, its end, and what begins then.
const USUAL_ENTRIES: usize = 2;

/// A turn that is being taken.
pub(super) struct Work<'a> {
    pub(super) machine: &'a mut Machine,
    pub(super) now: Timestamp,
    pub(super) upstreams: &'a dyn Upstreams,
    entries: Vec<Entry>,
    effects: Vec<Effect>,
}

/// Whether something was done, so that there may be more to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    Made,
    None,
}

impl<'a> Work<'a> {
    /// `now` is never earlier than the journal's last entry (invariant 17).
    pub(super) fn new(machine: &'a mut Machine, now: Timestamp, upstreams: &'a dyn Upstreams) -> Self {
        let now = now.max(machine.state.last_at);
        Self { machine, now, upstreams, entries: Vec::with_capacity(USUAL_ENTRIES), effects: Vec::new() }
    }

    /// What the event itself says.
    pub(super) fn take_up(&mut self, event: Event) {
        match event {
            Event::Taken => {
                self.machine.under_way.clear();
                let Machine { agenda, definition, state, .. } = &mut *self.machine;
                agenda.forget_out(definition, state);
                if matches!(self.machine.state(), SagaState::Running | SagaState::Compensating) {
                    self.doubt_what_was_lost();
                }
            }
            Event::Tick => {}
            Event::CalledBack { step, body, nonce } => self.called_back(step, body, nonce),
            Event::Answered { of, answer } => {
                if let Some(leg) = self.arrived(&of) {
                    match self.call(leg).standing {
                        Standing::Sending { .. } => self.answered(leg, answer),
                        _ if self.is_settled(leg) => {}
                        // A probe is under way: this answers nothing.
                        _ => self.keep_under_way(of),
                    }
                }
            }
            Event::Checked { of, finding } => {
                if let Some(leg) = self.arrived(&of) {
                    match self.call(leg).standing {
                        // A callback or the saga's turning back has settled it meanwhile.
                        _ if self.is_settled(leg) => {}
                        Standing::Doubted { .. } => self.checked(leg, finding),
                        Standing::Accepted { .. } => self.polled(leg, finding),
                        _ => self.keep_under_way(of),
                    }
                }
            }
            Event::Command { act, reason, nonce } => self.command(act, reason, nonce),
        }
    }

    /// All that can be done now. Every round adds an entry or an effect, and there are bounds for both.
    pub(super) fn advance(&mut self) {
        while self.entries.len() < MAX_ENTRIES {
            let progress = match self.machine.state() {
                _ if self.machine.state.paused => self.end(),
                SagaState::Running => self.forward(),
                SagaState::Compensating => self.back(),
                SagaState::Completed | SagaState::Compensated | SagaState::Quarantined => Progress::None,
            };
            if progress == Progress::None {
                break;
            }
        }
    }

    /// The turn.
    pub(super) fn turn(mut self) -> Turn {
        let (then, answer_fault) = self.then();
        let Self { machine, entries, effects, .. } = self;
        Turn { entries, effects, state: machine.state(), paused: machine.state.paused, then, answer_fault }
    }

    /// Makes an entry. One that does not fit is not made: the fold and what writes it agree, and the tests see to that.
    pub(super) fn emit(&mut self, what: What) {
        let entry = Entry { at: self.now, what };
        let Machine { agenda, definition, state, .. } = &mut *self.machine;
        match state.apply(definition, &entry) {
            Ok(touched) => {
                agenda.touched(definition, state, touched);
                self.entries.push(entry);
            }
            Err(unfit) => debug_assert!(false, "{}: {entry:?}", unfit.0),
        }
    }

    /// Has something performed, of which there is at most one for each call.
    pub(super) fn perform(&mut self, effect: Effect) {
        let of = match &effect {
            Effect::Send(send) => &send.of,
            Effect::Check(check) => &check.of,
        };
        let of = of.clone();
        self.set_out(&of, true);
        self.machine.under_way.insert(of);
        self.effects.push(effect);
    }

    /// Has the saga wait for an operator.
    pub(super) fn quarantine(&mut self, reason: String) -> Progress {
        self.emit(What::Quarantined { reason });
        Progress::Made
    }

    /// How many instances there are.
    pub(super) fn steps(&self) -> usize {
        self.machine.state.instances.len()
    }

    /// The step of the definition that an instance is of.
    pub(super) fn step(&self, i: usize) -> &Step {
        self.machine.state.instances.step(&self.machine.definition, i)
    }

    /// How the journal names an instance.
    pub(super) fn path(&self, i: usize) -> StepPath {
        self.machine.state.instances.path(i).clone()
    }

    pub(super) fn state(&self, i: usize) -> &StepState {
        &self.machine.state.steps[i]
    }

    pub(super) fn is_anything_under_way(&self) -> bool {
        !self.machine.under_way.is_empty()
    }

    /// The call that something came of, if it is under way. It is under way no more then.
    fn arrived(&mut self, of: &Which) -> Option<Leg> {
        if !self.machine.under_way.remove(of) {
            return None;
        }
        self.set_out(of, false);
        let step = self.machine.state.instances.find(&self.machine.definition, &of.step)?;
        Some(Leg { step, direction: of.direction })
    }

    fn set_out(&mut self, of: &Which, is_out: bool) {
        let Machine { agenda, definition, state, .. } = &mut *self.machine;
        if let Some(i) = state.instances.find(definition, &of.step) {
            agenda.set_out(definition, state, i, of.direction, is_out);
        }
    }

    fn keep_under_way(&mut self, of: Which) {
        self.set_out(&of, true);
        self.machine.under_way.insert(of);
    }

    /// What was lost with its driver and is not simply sent again comes first: the saga may turn back for it, and then nothing more is
    /// to start. A paused saga sends nothing again either: what was lost is in doubt, so that an operator can resolve it.
    fn doubt_what_was_lost(&mut self) {
        for step in 0..self.steps() {
            for leg in [Leg::forward(step), Leg::undo(step)] {
                let is_lost = matches!(self.call(leg).standing, Standing::Sending { .. }) && !self.is_settled(leg);
                let resends = self.rules(leg).is_some_and(|rules| rules.resends());
                if is_lost && (!resends || self.machine.state.paused) {
                    self.lost(leg);
                }
            }
        }
    }

    /// A saga whose every step is done ends also while it is paused.
    fn end(&mut self) -> Progress {
        match self.machine.state() {
            SagaState::Running => self.complete(),
            SagaState::Compensating => self.compensated(),
            SagaState::Completed | SagaState::Compensated | SagaState::Quarantined => Progress::None,
        }
    }

    /// What comes then and, where that has an answer that is the default in the place of the definition's own, why.
    fn then(&mut self) -> (Then, Option<String>) {
        let is_waiting = self.is_anything_under_way();
        let then = match self.machine.state() {
            SagaState::Completed | SagaState::Compensated => {
                let (answer, fault) = self.answer();
                return (Then::End { answer }, fault);
            }
            SagaState::Quarantined => return self.rest(),
            SagaState::Running | SagaState::Compensating if self.machine.state.paused => match is_waiting {
                true => Then::Await { tick_at: None },
                false => Then::Rest { answer: None },
            },
            SagaState::Running | SagaState::Compensating => {
                let next = if self.entries.len() >= MAX_ENTRIES { Some(self.now) } else { self.next_timer() };
                match (is_waiting, next) {
                    (true, tick_at) => Then::Await { tick_at },
                    (false, Some(until)) => Then::Sleep { until },
                    (false, None) => {
                        // No saga is left in a state that nobody looks at (invariant 12).
                        self.quarantine("nothing can go on: this is a fault of Refrain's own".to_owned());
                        return self.rest();
                    }
                }
            }
        };
        (then, None)
    }

    fn rest(&self) -> (Then, Option<String>) {
        let (answer, fault) = self.answer();
        (Then::Rest { answer: Some(answer) }, fault)
    }

    fn answer(&self) -> (FinalAnswer, Option<String>) {
        let nothing = FinalAnswer { status: 500, headers: Vec::new(), body: None, is_problem: false };
        self.machine.rendered().map_or((nothing, None), |rendered| (rendered.answer, rendered.fault))
    }
}
