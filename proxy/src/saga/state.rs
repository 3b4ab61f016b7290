//! The state of a saga: a fold of its journal (invariant 2), and nothing else.
//!
//! [`State::apply`] is the only door to it, for a journal that is read and for an entry that is being written, so that replay equals
//! live by construction. An entry that cannot follow those before it is refused: a journal that was damaged says so.

use saga_config::saga::{Action, CallStep, InDoubt, OnFailure, Position, Saga, Step, Undo};
use serde_json::{Map, Value};

use super::entry::{By, Direction, Entry, FrozenRequest, SkipReason, Started, Turning, What, Which};
use crate::{store::journal::SagaState, time::Timestamp};

mod call;
mod find;
mod instances;
mod later;
mod operator;
mod within;

pub(super) use call::{CallState, Standing};
use find::step_of;
pub(super) use instances::Instances;
pub(super) use later::CalledBack;
pub(super) use within::MAX_INSTANCES;

/// What a saga remembers.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct State {
    pub(super) started: Started,
    /// [`Started::input`], as expressions see it.
    pub(super) input: Value,
    pub(super) created_at: Timestamp,
    /// When the last entry was made: no later one is earlier.
    pub(super) last_at: Timestamp,
    pub(super) instances: Instances,
    /// Of each instance.
    pub(super) steps: Vec<StepState>,
    /// The items of each loop, once its list is fixed.
    pub(super) items: Vec<Vec<Value>>,
    /// Why it undoes, if it does.
    pub(super) turned: Option<Turning>,
    /// Why it waits for an operator, if it does.
    pub(super) quarantined: Option<String>,
    pub(super) paused: bool,
    /// `true`: completed.
    pub(super) ended: Option<bool>,
    /// Of the commands that were taken up.
    pub(super) nonces: std::collections::BTreeSet<String>,
}

/// What a saga remembers of a step.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct StepState {
    pub(super) forward: Forward,
    pub(super) call: CallState,
    pub(super) back: Back,
    pub(super) undo_call: CallState,
    pub(super) output: Map<String, Value>,
    /// The undo's request (invariant 5).
    pub(super) frozen: Option<FrozenRequest>,
    /// Whether its condition was found true: it is never asked again (invariant 11).
    pub(super) decided: bool,
    /// When it computed, of one that computes.
    pub(super) set_at: Option<Timestamp>,
    /// Until when it waits, of a timer that was set.
    pub(super) timed: Option<Timestamp>,
    /// The last reason.
    pub(super) reason: Option<String>,
    /// The answer that accepted it, as expressions see it.
    pub(super) accepted: Option<Value>,
    pub(super) called_back: Option<CalledBack>,
}

/// Where a step stands.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Forward {
    /// Nothing definite is known; [`StepState::call`] says more.
    Open,
    Done {
        by: By,
        /// Why it counts as failed all the same.
        fault: Option<String>,
    },
    Refused {
        status: u16,
    },
    /// It may have been carried out, and is undone without knowing.
    GivenUp,
    Skipped(SkipReason),
    /// It has computed, chosen, listed or waited.
    Set,
}

/// Where its undo stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Back {
    /// Not made; [`StepState::undo_call`] says more.
    Open,
    Undone,
    Failed,
}

/// An entry that cannot follow those before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unfit(pub(super) String);

type Applied = Result<(), Unfit>;

/// Of which steps an entry has changed something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Touched {
    /// Of these.
    Steps(Vec<usize>),
    /// Of any.
    All,
}

fn unfit(why: impl Into<String>) -> Applied {
    Err(Unfit(why.into()))
}

impl State {
    /// A saga of which only the start is known.
    pub(super) fn new(definition: &Saga, started: Started, at: Timestamp) -> Self {
        let instances = Instances::new(definition);
        Self {
            input: Value::Object(started.input.clone()),
            started,
            created_at: at,
            last_at: at,
            steps: vec![StepState::default(); instances.len()],
            instances,
            items: vec![Vec::new(); definition.loops.len()],
            turned: None,
            quarantined: None,
            paused: false,
            ended: None,
            nonces: std::collections::BTreeSet::new(),
        }
    }

    /// Takes up an entry.
    pub(super) fn apply(&mut self, definition: &Saga, entry: &Entry) -> Result<Touched, Unfit> {
        if self.ended.is_some() {
            return Err(Unfit("it follows the end".to_owned()));
        }
        let at = entry.at;
        let mut touched: Vec<usize> =
            step_of(&entry.what).and_then(|path| self.instances.find(definition, path)).into_iter().collect();
        match &entry.what {
            What::Started(_) => return Err(Unfit("a saga starts once".to_owned())),
            What::Sending { of, start, undo, request } => {
                self.sending(definition, of, *start, undo.as_ref(), at)?;
                if let Some(request) = request {
                    self.locate(definition, of)?.call_mut(of.direction).request = Some(Box::new(request.clone()));
                }
            }
            What::Asking { of } => self.locate(definition, of)?.call_mut(of.direction).asking(at)?,
            What::NotSent { of, reason, again_at } => self.said(definition, of, reason, |call| call.not_sent(*again_at))?,
            What::Doubted { of, reason, again_at, needs_operator, remembered_until } => {
                let standing = match (again_at, needs_operator) {
                    (Some(again_at), _) => Standing::Doubted { again_at: *again_at },
                    (None, true) => Standing::Stuck,
                    (None, false) => Standing::Left,
                };
                self.said(definition, of, reason, |call| call.doubted(standing, at, *remembered_until))?;
            }
            What::Waiting { of, reason, again_at, remembered_until } => {
                self.said(definition, of, reason, |call| call.waiting(*again_at, *remembered_until))?;
            }
            What::NotDone { of } => self.locate(definition, of)?.call_mut(of.direction).not_done(at)?,
            What::Done { step, output, undo, by, fault } => {
                let step = self.called(definition, step)?;
                if !matches!(step.forward, Forward::Open | Forward::Refused { .. }) {
                    return Err(Unfit("the step is settled already".to_owned()));
                }
                step.forward = Forward::Done { by: *by, fault: fault.clone() };
                step.output.clone_from(output);
                step.frozen = undo.clone().or_else(|| step.frozen.take());
                step.reason.clone_from(fault);
            }
            What::Refused { step, status, reason, .. } => {
                let i = self.find_open(definition, step)?;
                self.steps[i].forward = Forward::Refused { status: *status };
                self.steps[i].reason = Some(reason.clone());
                if continues(self.instances.step(definition, i)) {
                    touched.append(&mut self.skip_within(definition, i, None, SkipReason::Cancelled));
                }
            }
            What::GivenUp { step, reason } => {
                let step = self.called_and_open(definition, step)?;
                if !step.call.is_unresolved() {
                    return Err(Unfit("the step is not in doubt".to_owned()));
                }
                step.call.unanswered = Some(at);
                step.forward = Forward::GivenUp;
                step.reason = Some(reason.clone());
            }
            What::Skipped { step, because } => {
                let i = self.find(definition, step)?;
                let step = &mut self.steps[i];
                let is_timer = step.forward == Forward::Open && step.timed.is_some();
                if !matches!(step.forward, Forward::Refused { .. }) && !step.is_untouched() && !is_timer {
                    return Err(Unfit("the step has begun".to_owned()));
                }
                step.forward = Forward::Skipped(*because);
                touched.append(&mut self.skip_within(definition, i, None, *because));
            }
            What::Set { step, values } => {
                let i = self.find_open(definition, step)?;
                let action = &self.instances.step(definition, i).action;
                if !matches!(action, Action::Set(_) | Action::Enter(_) | Action::Leave(_)) {
                    return Err(Unfit("the step does not compute".to_owned()));
                }
                let is_beginning = matches!(action, Action::Enter(_));
                touched.extend(is_beginning.then(|| self.end_of(definition, i)).flatten());
                let step = &mut self.steps[i];
                (step.forward, step.set_at) = (Forward::Set, Some(at));
                step.output.clone_from(values);
            }
            What::Chosen { step, arm } => {
                let i = self.find_open(definition, step)?;
                touched.append(&mut self.chosen(definition, i, *arm)?);
            }
            What::Listed { step, items } => {
                let i = self.find_open(definition, step)?;
                self.listed(definition, i, items)?;
            }
            What::Timed { step, until } => {
                let i = self.find_open(definition, step)?;
                if !matches!(self.instances.step(definition, i).action, Action::Wait(_)) || self.steps[i].timed.is_some() {
                    return Err(Unfit("no timer can be set".to_owned()));
                }
                (self.steps[i].decided, self.steps[i].timed) = (true, Some(*until));
            }
            What::Elapsed { step } => {
                let i = self.find_open(definition, step)?;
                if self.steps[i].timed.is_none() {
                    return Err(Unfit("no timer was set".to_owned()));
                }
                self.steps[i].forward = Forward::Set;
            }
            What::Undone { step, .. } => {
                let step = self.undoable(definition, step)?;
                step.back = Back::Undone;
                step.reason = None;
            }
            What::UndoFailed { step, status, reason } => {
                let step = self.undoable(definition, step)?;
                step.back = Back::Failed;
                step.undo_call.failed(*status);
                step.reason = Some(reason.clone());
            }
            What::Accepted { step, answer, undo, until, again_at } => {
                self.accepted(definition, step, answer, undo.as_ref(), (at, *until, *again_at))?;
            }
            What::Polled { step, reason, again_at } => self.polled(definition, step, reason, *again_at)?,
            What::CalledBack { step, body, nonce } => self.called_back(definition, step, body, nonce)?,
            What::Compensating { because } => self.turn(definition, because, at)?,
            What::Quarantined { reason } => self.quarantined = Some(reason.clone()),
            What::Ended { completed } => self.ended = Some(*completed),
            What::Operator { act, nonce, refused, .. } => {
                self.nonces.insert(nonce.clone());
                if refused.is_none() {
                    self.obey(definition, act, at)?;
                }
            }
        }
        self.last_at = self.last_at.max(at);
        let is_all = matches!(entry.what, What::Listed { .. } | What::Compensating { .. } | What::Operator { .. });
        Ok(if is_all { Touched::All } else { Touched::Steps(touched) })
    }

    /// Where the saga stands.
    pub(super) fn state(&self) -> SagaState {
        match (self.ended, &self.quarantined, &self.turned) {
            (Some(true), ..) => SagaState::Completed,
            (Some(false), ..) => SagaState::Compensated,
            (None, Some(_), _) => SagaState::Quarantined,
            (None, None, Some(_)) => SagaState::Compensating,
            (None, None, None) => SagaState::Running,
        }
    }

    /// Whether a step needs nothing more on the way forward.
    pub(super) fn is_settled(&self, definition: &Saga, i: usize) -> bool {
        match &self.steps[i].forward {
            Forward::Done { fault: None, .. } | Forward::Skipped(_) | Forward::Set => true,
            Forward::Done { .. } | Forward::Refused { .. } | Forward::GivenUp => continues(self.instances.step(definition, i)),
            Forward::Open => self.steps[i].call.standing == Standing::Left && continues(self.instances.step(definition, i)),
        }
    }

    /// Whether a step has failed, and its failure is the saga's.
    pub(super) fn is_failing(&self, definition: &Saga, i: usize) -> bool {
        let failed = match &self.steps[i].forward {
            Forward::Done { fault, .. } => fault.is_some(),
            Forward::Refused { .. } | Forward::GivenUp => true,
            Forward::Skipped(_) | Forward::Set => false,
            Forward::Open => self.steps[i].call.standing == Standing::Left,
        };
        failed && !continues(self.instances.step(definition, i))
    }

    /// Whether nothing but an operator brings a step further, on the way forward.
    pub(super) fn is_stuck(&self, definition: &Saga, i: usize) -> bool {
        let is_stuck = self.steps[i].forward == Forward::Open && self.steps[i].call.standing == Standing::Stuck;
        let cannot_turn = self.instances.step(definition, i).position == Position::After || self.is_past_pivot(definition);
        is_stuck || self.is_failing(definition, i) && cannot_turn
    }

    /// Whether the saga cannot turn back any more.
    pub(super) fn is_past_pivot(&self, definition: &Saga) -> bool {
        self.pivot(definition)
            .is_some_and(|i| matches!(self.steps[i].forward, Forward::Done { .. }) || self.is_settled(definition, i))
    }

    /// Whether nobody knows what became of the pivot: it is resolved before anything is undone.
    pub(super) fn is_pivot_in_doubt(&self, definition: &Saga) -> bool {
        self.pivot(definition).is_some_and(|i| {
            let has_effect =
                call_step(self.instances.step(definition, i)).is_some_and(|call| call.effect != saga_config::saga::Effect::None);
            has_effect && self.steps[i].forward == Forward::Open && self.steps[i].call.is_unresolved()
        })
    }

    fn sending(&mut self, definition: &Saga, of: &Which, start: u32, undo: Option<&FrozenRequest>, at: Timestamp) -> Applied {
        let turned = self.turned.is_some();
        let step = self.locate(definition, of)?;
        let fits = match of.direction {
            Direction::Forward => step.forward == Forward::Open,
            Direction::Undo => turned && step.back == Back::Open && step.has_happened(),
        };
        let number = step.call_of(of.direction).number;
        if !fits || start != number + 1 {
            return unfit(format!("start {start} follows start {number}, or the call is settled already"));
        }
        step.call_mut(of.direction).sending(at)?;
        step.decided |= of.direction == Direction::Forward;
        if let Some(undo) = undo {
            step.frozen = Some(undo.clone());
        }
        Ok(())
    }

    fn said(&mut self, definition: &Saga, of: &Which, reason: &str, change: impl FnOnce(&mut CallState) -> Applied) -> Applied {
        let step = self.locate(definition, of)?;
        change(step.call_mut(of.direction))?;
        step.reason = Some(reason.to_owned());
        Ok(())
    }

    /// From here on it undoes: what is in doubt is resolved, on the compensation's budget (invariant 10).
    fn turn(&mut self, definition: &Saga, because: &Turning, at: Timestamp) -> Applied {
        if self.turned.is_some() {
            return unfit("it turned back already");
        }
        self.turned = Some(because.clone());
        for (instance, state) in self.instances.iter().zip(&mut self.steps) {
            let is_manual =
                call_step(&definition.steps[instance.step]).is_some_and(|call| matches!(call.in_doubt, InDoubt::Manual));
            if state.forward == Forward::Open && state.call.is_unresolved() {
                let again_at = match state.call.standing {
                    Standing::Left | Standing::Stuck if !is_manual || state.call.accepted.is_some() => Some(at),
                    _ => None,
                };
                state.call.fresh_budget(at, again_at);
            }
        }
        Ok(())
    }

    /// The pivot.
    pub(super) fn pivot(&self, definition: &Saga) -> Option<usize> {
        let pivot = definition.steps.iter().position(|step| step.position == Position::Pivot)?;
        self.instances.only(pivot)
    }
}

impl Default for StepState {
    fn default() -> Self {
        Self {
            forward: Forward::Open,
            call: CallState::default(),
            back: Back::Open,
            undo_call: CallState::default(),
            output: Map::new(),
            frozen: None,
            decided: false,
            set_at: None,
            timed: None,
            reason: None,
            accepted: None,
            called_back: None,
        }
    }
}

impl StepState {
    /// Its call, or its undo's.
    pub(super) const fn call_of(&self, direction: Direction) -> &CallState {
        match direction {
            Direction::Forward => &self.call,
            Direction::Undo => &self.undo_call,
        }
    }

    const fn call_mut(&mut self, direction: Direction) -> &mut CallState {
        match direction {
            Direction::Forward => &mut self.call,
            Direction::Undo => &mut self.undo_call,
        }
    }

    /// Whether it was carried out, or may have been and is undone all the same.
    pub(super) const fn has_happened(&self) -> bool {
        matches!(self.forward, Forward::Done { .. } | Forward::GivenUp)
    }

    /// Whether nothing was decided or sent.
    pub(super) fn is_untouched(&self) -> bool {
        self.forward == Forward::Open && self.call.standing == Standing::Idle && self.timed.is_none()
    }

    /// Whether it has begun, is not settled, and goes on by itself.
    pub(super) fn is_active(&self) -> bool {
        let is_called_back = matches!(self.call.standing, Standing::Accepted { again_at: None });
        self.calls() || self.forward == Forward::Open && (self.timed.is_some() || is_called_back)
    }

    /// Whether its call has begun, is not settled, and goes on by itself. Who is called back has nothing to do but wait.
    pub(super) fn calls(&self) -> bool {
        use Standing::{Accepted, Delayed, Doubted, Idle, Left, Sending, Stuck, Waiting};
        match self.call.standing {
            Sending { .. } | Delayed { .. } | Waiting { .. } | Doubted { .. } | Accepted { again_at: Some(_) } => {
                self.forward == Forward::Open
            }
            Accepted { again_at: None } | Idle | Left | Stuck => false,
        }
    }

    /// Whether something of it remains to be undone, if it can be undone.
    pub(super) fn remains(&self) -> bool {
        match (self.back, &self.forward) {
            (Back::Undone, _) => false,
            (Back::Open | Back::Failed, Forward::Done { .. } | Forward::GivenUp) => true,
            (Back::Open | Back::Failed, Forward::Open) => self.is_unresolved(),
            (Back::Open | Back::Failed, Forward::Refused { .. } | Forward::Skipped(_) | Forward::Set) => false,
        }
    }

    /// Whether nobody knows what became of it.
    pub(super) fn is_unresolved(&self) -> bool {
        self.forward == Forward::Open && self.call.is_unresolved()
    }
}

/// The call of a step that calls.
pub(super) fn call_step(step: &Step) -> Option<&CallStep> {
    match &step.action {
        Action::Call(call) => Some(call),
        Action::Set(_) | Action::Switch(_) | Action::Foreach(_) | Action::Wait(_) | Action::Enter(_) | Action::Leave(_) => None,
    }
}

/// How a step is undone, if it is.
pub(super) fn undo(step: &Step) -> Option<&Undo> {
    call_step(step)?.compensate.as_ref()
}

/// Whether the saga goes on when the step fails.
pub(super) fn continues(step: &Step) -> bool {
    step.on_failure == OnFailure::Continue
}
