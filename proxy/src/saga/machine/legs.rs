//! A leg: a step's call, or its undo's. What is the same for both.

use std::time::Duration;

use saga_config::saga::{Call, Check, Effect, InDoubt, OnExhausted, Position, Retry};

use super::{
    super::{
        backoff,
        entry::{By, Direction, What, Which},
        render::{self, Reach},
        state::{Back, CallState, Forward, Standing, call_step, continues, undo},
    },
    work::{Progress, Work},
};
use crate::time::Timestamp;

/// How long something waits or is tried where the definition gives a number of starts only: what costs no start needs a bound too.
pub(super) const PATIENCE: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a participant remembers a key where nothing says so.
const WINDOW: Duration = Duration::from_secs(24 * 60 * 60);

/// A step's call, or its undo's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Leg {
    pub(super) step: usize,
    pub(super) direction: Direction,
}

impl Leg {
    pub(super) const fn forward(step: usize) -> Self {
        Self { step, direction: Direction::Forward }
    }

    pub(super) const fn undo(step: usize) -> Self {
        Self { step, direction: Direction::Undo }
    }

    /// Which steps' outputs its expressions see.
    pub(super) const fn reach(self) -> Reach {
        match self.direction {
            Direction::Forward => Reach::Before(self.step),
            Direction::Undo => Reach::BeforeAndOwn(self.step),
        }
    }
}

/// What the definition says of a leg.
pub(super) struct Rules<'a> {
    pub(super) call: &'a Call,
    pub(super) effect: Effect,
    pub(super) in_doubt: &'a InDoubt,
    /// Whether a participant that cannot find out what became of an attempt sends it again: the definition itself says `resend` for
    /// this call, or doing it twice is doing it once.
    pub(super) resends: bool,
    pub(super) retry: Retry,
}

impl Rules<'_> {
    /// Whether what nobody knows is sent again. Reading again is always possible.
    pub(super) fn resends(&self) -> bool {
        matches!(self.in_doubt, InDoubt::Resend) || self.effect == Effect::None
    }

    pub(super) fn check(&self) -> Option<&Check> {
        match self.in_doubt {
            InDoubt::Check(check) => Some(check),
            InDoubt::Resend | InDoubt::Compensate | InDoubt::Barrier | InDoubt::Manual => None,
        }
    }
}

fn resends(effect: Effect, in_doubt: &InDoubt, is_own: bool) -> bool {
    effect == Effect::Idempotent || is_own && matches!(in_doubt, InDoubt::Resend)
}

/// Why a budget gives no more.
pub(super) struct Spent(pub(super) String);

impl Work<'_> {
    pub(super) fn call(&self, leg: Leg) -> &CallState {
        self.state(leg.step).call_of(leg.direction)
    }

    pub(super) fn which(&self, leg: Leg) -> Which {
        Which { step: self.path(leg.step), direction: leg.direction, generation: self.call(leg).generation }
    }

    pub(super) fn key(&self, leg: Leg) -> String {
        let path = self.machine.state.instances.path(leg.step);
        render::key(&self.machine.key_prefix, path.as_str(), leg.direction, self.call(leg).generation)
    }

    /// What the definition says; `None`: there is no such call.
    pub(super) fn rules(&self, leg: Leg) -> Option<Rules<'_>> {
        let step = self.step(leg.step);
        let call = call_step(step)?;
        Some(match leg.direction {
            Direction::Forward => {
                let retry = match (&self.machine.state.turned, &call.compensate) {
                    (Some(_), Some(undo)) => undo.call.retry,
                    _ => call.call.retry,
                };
                let resends = resends(call.effect, &call.in_doubt, call.in_doubt_is_own);
                Rules { call: &call.call, effect: call.effect, in_doubt: &call.in_doubt, resends, retry }
            }
            Direction::Undo => {
                let undo = undo(step)?;
                let resends = resends(undo.effect, &undo.in_doubt, undo.in_doubt_is_own);
                Rules { call: &undo.call, effect: undo.effect, in_doubt: &undo.in_doubt, resends, retry: undo.call.retry }
            }
        })
    }

    pub(super) fn is_under_way(&self, leg: Leg) -> bool {
        self.machine.agenda.is_out(leg.step, leg.direction)
    }

    /// Whether nothing more is to be made of a leg.
    pub(super) fn is_settled(&self, leg: Leg) -> bool {
        match leg.direction {
            Direction::Forward => self.state(leg.step).forward != Forward::Open,
            Direction::Undo => self.state(leg.step).back != Back::Open,
        }
    }

    /// When a call is tried again, if its budget of time allows.
    pub(super) fn again(&self, leg: Leg, retry_after: Option<Duration>) -> Result<Timestamp, Spent> {
        let Some(rules) = self.rules(leg) else { return Err(Spent("there is no such call".to_owned())) };
        let call = self.call(leg);
        let at = self.now.plus(backoff::delay(&rules.retry, &self.key(leg), call.tries, retry_after));
        if at >= self.budget_end(leg) { Err(self.out_of_time(leg)) } else { Ok(at) }
    }

    /// Whether one more start is on the budget.
    pub(super) fn may_start(&self, leg: Leg) -> Result<(), Spent> {
        let (max, spent) = (self.rules(leg).and_then(|rules| rules.retry.max), self.call(leg).spent);
        match max {
            Some(max) if spent >= max => Err(Spent(format!("all {max} starts are spent"))),
            _ if self.now >= self.budget_end(leg) => Err(self.out_of_time(leg)),
            _ => Ok(()),
        }
    }

    pub(super) fn budget_end(&self, leg: Leg) -> Timestamp {
        let within = self.rules(leg).and_then(|rules| rules.retry.within).unwrap_or(PATIENCE);
        self.call(leg).budget_from.unwrap_or(self.now).plus(within)
    }

    pub(super) fn out_of_time(&self, leg: Leg) -> Spent {
        let within = self.rules(leg).and_then(|rules| rules.retry.within).unwrap_or(PATIENCE);
        Spent(format!("the {within:?} for it have passed"))
    }

    /// Whether the participant may have forgotten the key at a time, so that a send is no repeat any more.
    pub(super) fn is_forgotten(&self, leg: Leg, at: Timestamp) -> bool {
        let Some(rules) = self.rules(leg).filter(|rules| rules.effect != Effect::None) else { return false };
        let call = self.call(leg);
        let Some(from) = call.window_from else { return false };
        let upstream = rules.call.target.upstream().map(AsRef::as_ref);
        let configured = || from.plus(self.upstreams.idempotency_window(upstream).unwrap_or(WINDOW));
        at >= call.remembered_until.unwrap_or_else(configured)
    }

    /// When a leg goes on by itself, if it waits for nothing but a time.
    pub(super) fn timer(&self, leg: Leg) -> Option<Timestamp> {
        match self.call(leg).standing {
            Standing::Idle | Standing::Left | Standing::Stuck => None,
            _ if self.is_settled(leg) || self.is_under_way(leg) => None,
            Standing::Delayed { again_at } | Standing::Waiting { again_at } | Standing::Doubted { again_at } => Some(again_at),
            Standing::Accepted { again_at } => self.waiting_timer(leg.step, again_at),
            Standing::Sending { .. } => Some(self.now),
        }
    }

    /// Brings a leg further that has begun, if it is time.
    pub(super) fn go_on(&mut self, leg: Leg) -> Progress {
        if self.timer(leg).is_none_or(|at| at > self.now) {
            return Progress::None;
        }
        match self.call(leg).standing {
            Standing::Sending { .. } => self.lost(leg),
            Standing::Delayed { .. } => match self.may_start(leg) {
                Ok(()) => self.start(leg),
                Err(why) => self.exhausted(leg, &why, None),
            },
            Standing::Waiting { .. } => self.ask_again(leg),
            Standing::Doubted { .. } => self.work_on_doubt(leg),
            Standing::Accepted { .. } => self.go_on_waiting(leg),
            Standing::Idle | Standing::Left | Standing::Stuck => return Progress::None,
        }
        Progress::Made
    }

    /// A budget is spent; `last` is what came of the last try, where that is not in the journal yet.
    pub(super) fn exhausted(&mut self, leg: Leg, why: &Spent, last: Option<&str>) {
        let last = last.or(self.state(leg.step).reason.as_deref());
        let reason = last.map_or_else(|| why.0.clone(), |last| format!("{}; last: {last}", why.0));
        match leg.direction {
            Direction::Forward => self.exhausted_forward(leg, reason),
            Direction::Undo => self.exhausted_undo(leg, reason),
        }
    }

    fn exhausted_forward(&mut self, leg: Leg, reason: String) {
        let reads = self.rules(leg).is_none_or(|rules| rules.effect == Effect::None);
        let step = self.step(leg.step);
        let goes_on = self.machine.state.turned.is_none() && (step.position == Position::Before || continues(step));
        if reads || !self.call(leg).is_unresolved() {
            self.refuse(leg.step, 0, reason, By::Rule);
        } else if self.is_undone_blindly(leg) {
            self.give_up(leg.step, reason);
        } else {
            self.leave(leg, reason, !goes_on);
        }
    }

    fn exhausted_undo(&mut self, leg: Leg, reason: String) {
        let id = self.path(leg.step);
        match undo(self.step(leg.step)).map(|undo| undo.on_exhausted) {
            Some(OnExhausted::Continue) => self.emit(What::Undone { step: id, by: By::Rule }),
            Some(OnExhausted::Quarantine) | None => self.emit(What::UndoFailed { step: id, status: 0, reason }),
        }
    }

    /// Whether doubt about a step is no reason to wait: it is undone all the same.
    pub(super) fn is_undone_blindly(&self, leg: Leg) -> bool {
        let blindly = self.rules(leg).is_some_and(|rules| matches!(rules.in_doubt, InDoubt::Compensate | InDoubt::Barrier));
        blindly && leg.direction == Direction::Forward && undo(self.step(leg.step)).is_some()
    }

    /// A step was definitely not carried out.
    pub(super) fn refuse(&mut self, i: usize, status: u16, reason: String, by: By) {
        if self.was_called_back(Leg::forward(i)) {
            return self.resolve(i, None);
        }
        let step = self.path(i);
        self.emit(What::Refused { step, status, reason, by });
    }

    /// A step is left in doubt, and undone.
    pub(super) fn give_up(&mut self, i: usize, reason: String) {
        if self.was_called_back(Leg::forward(i)) {
            return self.resolve(i, None);
        }
        let step = self.path(i);
        self.emit(What::GivenUp { step, reason });
    }

    /// A call is left in doubt.
    pub(super) fn leave(&mut self, leg: Leg, reason: String, needs_operator: bool) {
        if self.was_called_back(leg) {
            return self.resolve(leg.step, None);
        }
        let of = self.which(leg);
        self.emit(What::Doubted { of, reason, again_at: None, needs_operator, remembered_until: None });
    }
}
