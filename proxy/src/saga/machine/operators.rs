//! Operators' commands.

use saga_config::{
    names::StepPath,
    saga::{Action, Position, Saga},
};
use serde_json::{Map, Value};

use super::{
    super::{
        entry::{Act, By, Direction, SkipReason, Turning, What, Which},
        state::{Back, Forward, Standing, State, StepState, call_step, undo},
    },
    Machine,
    work::Work,
};
use crate::store::journal::SagaState;

impl Work<'_> {
    /// Takes up a command, unless its nonce was seen. One that does not apply is journalled with the reason, and changes nothing.
    pub(super) fn command(&mut self, act: Act, reason: String, nonce: String) {
        if self.machine.state.nonces.contains(&nonce) {
            return;
        }
        let refused = can(self.machine, &act).and_then(|()| self.can_be_undone_later(&act)).err();
        let applies = refused.is_none();
        self.emit(What::Operator { act: act.clone(), reason: reason.clone(), nonce, refused });
        if applies {
            self.obey(act, reason);
        }
    }

    fn obey(&mut self, act: Act, reason: String) {
        match act {
            Act::Retry { .. } | Act::Pause | Act::Resume => {}
            Act::ResolveDone { step, output } => {
                if let Some(i) = self.machine.state.instances.find(&self.machine.definition, &step) {
                    self.done_with(i, output, By::Operator, None);
                }
            }
            Act::ResolveNotDone { step } => self.emit(What::Refused { step, status: 0, reason, by: By::Operator }),
            Act::ResolveUndone { step } => self.emit(What::Undone { step, by: By::Operator }),
            Act::Compensate => self.emit(What::Compensating { because: Turning::Operator }),
            Act::Skip { step } => {
                let step = what_to_skip(self.machine, &step);
                self.emit(What::Skipped { step, because: SkipReason::Operator });
            }
        }
    }

    /// What an operator says was done must be possible to undo.
    fn can_be_undone_later(&mut self, act: &Act) -> Result<(), String> {
        let Act::ResolveDone { step, output } = act else { return Ok(()) };
        let Some(i) = self.machine.state.instances.find(&self.machine.definition, step) else { return Ok(()) };
        match self.undo_from_answer(i, &mut output.clone()) {
            Some(Err(why)) => Err(format!("with these outputs its undo cannot be made: {why}")),
            Some(Ok(_)) | None => Ok(()),
        }
    }
}

/// Whether a command applies as the saga stands; if not, why, in words for the operator.
pub(super) fn can(machine: &Machine, act: &Act) -> Result<(), String> {
    let (state, definition) = (&machine.state, &machine.definition);
    if state.ended.is_some() {
        return Err("the saga has ended".to_owned());
    }
    match act {
        Act::Pause if state.paused => Err("it is paused already".to_owned()),
        Act::Resume if !state.paused => Err("it is not paused".to_owned()),
        Act::Pause | Act::Resume => Ok(()),
        Act::Compensate => can_compensate(state, definition),
        Act::Retry { step: None, run_again: true } => Err("say which step is to run again".to_owned()),
        Act::Retry { step: None, run_again: false } => {
            let waits = |step: &StepState| waits(&step.call, &step.forward) || waits_back(step);
            match state.quarantined.is_some() || state.steps.iter().any(waits) {
                true => Ok(()),
                false => Err("nothing waits".to_owned()),
            }
        }
        Act::Retry { step: Some(id), run_again } => {
            let target = Target::find(machine, id)?;
            target.is_idle()?;
            if *run_again { target.can_run_again(state) } else { target.can_be_retried(state, definition) }
        }
        Act::ResolveDone { step, output } => Target::find(machine, step)?.can_be_done(state, definition, output),
        Act::ResolveNotDone { step } => Target::find(machine, step)?.can_be_not_done(),
        Act::ResolveUndone { step } => Target::find(machine, step)?.can_be_undone(state),
        Act::Skip { step } => Target::find(machine, &what_to_skip(machine, step))?.can_be_skipped(state, definition),
    }
}

fn can_compensate(state: &State, definition: &Saga) -> Result<(), String> {
    if state.turned.is_some() {
        return Err("it compensates already: retry or resolve what failed".to_owned());
    }
    if state.is_past_pivot(definition) {
        return Err("it is past its pivot, and can only go forward".to_owned());
    }
    match state.is_pivot_in_doubt(definition) {
        true => Err("nobody knows what became of the pivot: resolve it first".to_owned()),
        false => Ok(()),
    }
}

fn waits(call: &super::super::state::CallState, forward: &Forward) -> bool {
    let waits = match call.standing {
        Standing::Delayed { .. } | Standing::Waiting { .. } | Standing::Doubted { .. } => true,
        // Nothing is gained by hurrying who is to call back.
        Standing::Accepted { again_at } => again_at.is_some(),
        Standing::Idle | Standing::Sending { .. } | Standing::Left | Standing::Stuck => false,
    };
    *forward == Forward::Open && waits
}

fn waits_back(step: &StepState) -> bool {
    let waits = matches!(step.undo_call.standing, Standing::Delayed { .. } | Standing::Waiting { .. } | Standing::Doubted { .. });
    step.back == Back::Failed || step.back == Back::Open && waits
}

/// Who skips a sub-saga's step skips all of it, unless it has begun.
fn what_to_skip(machine: &Machine, path: &StepPath) -> StepPath {
    let (state, definition) = (&machine.state, &machine.definition);
    let beginning = state.instances.find(definition, path).and_then(|end| {
        let Action::Leave(frame) = state.instances.step(definition, end).action else { return None };
        let enter = state.instances.at(definition.frames.get(frame.0)?.enter.0, path.place())?;
        let was_refused = matches!(state.steps[enter].forward, Forward::Refused { .. });
        (was_refused || state.steps[enter].is_untouched()).then(|| state.instances.path(enter).clone())
    });
    beginning.unwrap_or_else(|| path.clone())
}

fn no_such_step(machine: &Machine, path: &StepPath) -> String {
    let step = machine.definition.step(path.name()).map(|step| &machine.definition[step]);
    match step.map(|step| step.in_loop) {
        Some(Some(_)) if path.place().is_none() => {
            format!("the step `{path}` is in a loop: say for which item (`{}`)", path.at(0))
        }
        Some(Some(_)) => format!("there is no step `{path}`: the loop has no such item, or its list is not fixed yet"),
        Some(None) => format!("there is no step `{path}`: `{}` is in no loop", path.name()),
        None => format!("there is no step `{path}`"),
    }
}

/// The step that a command is about.
struct Target<'a> {
    machine: &'a Machine,
    index: usize,
    step: &'a StepState,
}

impl<'a> Target<'a> {
    fn find(machine: &'a Machine, path: &StepPath) -> Result<Self, String> {
        let index = machine.state.instances.find(&machine.definition, path);
        let index = index.ok_or_else(|| no_such_step(machine, path))?;
        let step = machine.state.steps.get(index).ok_or("there is no such step")?;
        Ok(Self { machine, index, step })
    }

    /// What is under way comes to its end by itself, and might say otherwise.
    fn is_idle(&self) -> Result<(), String> {
        for direction in [Direction::Forward, Direction::Undo] {
            let call = self.step.call_of(direction);
            let step = self.machine.state.instances.path(self.index).clone();
            let of = Which { step, direction, generation: call.generation };
            let is_settled = match direction {
                Direction::Forward => self.step.forward != Forward::Open,
                Direction::Undo => self.step.back != Back::Open,
            };
            let may_be_out = matches!(call.standing, Standing::Sending { .. }) && !is_settled;
            if may_be_out || self.machine.is_under_way(&of) {
                return Err("a call of the step is under way: wait for its end".to_owned());
            }
        }
        Ok(())
    }

    /// Whether a timer runs: a retry ends it, and so does a skip.
    fn is_timer(&self) -> bool {
        self.step.forward == Forward::Open && self.step.timed.is_some()
    }

    fn can_be_retried(&self, state: &State, definition: &Saga) -> Result<(), String> {
        let is_stuck = self.step.is_unresolved() || state.turned.is_none() && state.is_failing(definition, self.index);
        let is_done = matches!(self.step.forward, Forward::Done { .. });
        // Once the saga has turned back, what was never sent will not be.
        let goes_on = state.turned.is_none() || self.step.is_unresolved();
        let is_timer = self.is_timer() && state.turned.is_none();
        match is_timer || goes_on && waits(&self.step.call, &self.step.forward) || waits_back(self.step) || is_stuck && !is_done {
            true => Ok(()),
            false => Err("the step waits for nothing".to_owned()),
        }
    }

    fn can_run_again(&self, state: &State) -> Result<(), String> {
        if state.turned.is_some() {
            let has_begun = self.step.undo_call.standing != Standing::Idle || self.step.back == Back::Failed;
            return match self.step.has_happened() && self.step.back != Back::Undone && has_begun {
                true => Ok(()),
                false => Err("the saga compensates, and no undo of the step has begun or failed".to_owned()),
            };
        }
        match (&self.step.forward, call_step(self.machine.state.instances.step(&self.machine.definition, self.index))) {
            (Forward::Open, Some(_)) if self.step.call.standing != Standing::Idle => Ok(()),
            (Forward::Refused { .. }, Some(_)) if state.is_failing(&self.machine.definition, self.index) => Ok(()),
            _ => Err("the step is done, or has not begun".to_owned()),
        }
    }

    fn can_be_done(&self, state: &State, definition: &Saga, output: &Map<String, Value>) -> Result<(), String> {
        self.is_idle()?;
        let Some(call) = call_step(state.instances.step(definition, self.index)) else {
            return Err("the step does not call".to_owned());
        };
        let was_refused = matches!(self.step.forward, Forward::Refused { .. })
            && state.quarantined.is_some()
            && state.is_failing(definition, self.index)
            && state.turned.is_none();
        let lacks = matches!(self.step.forward, Forward::Done { fault: Some(_), .. }) && state.turned.is_none();
        if !self.step.is_unresolved() && !was_refused && !lacks || self.step.back == Back::Undone {
            return Err("the step is not in doubt".to_owned());
        }
        if let Some(other) = output.keys().find(|key| !call.output.iter().any(|(name, _)| name.as_str() == key.as_str())) {
            return Err(format!("the step has no output `{other}`"));
        }
        let missing = call.output.iter().find(|(name, _)| !output.contains_key(name.as_str()));
        match missing {
            Some((name, _)) if state.turned.is_none() => Err(format!("later steps may need its output `{name}`")),
            _ => Ok(()),
        }
    }

    fn can_be_not_done(&self) -> Result<(), String> {
        self.is_idle()?;
        match self.step.is_unresolved() && self.step.back == Back::Open {
            true => Ok(()),
            false => Err("the step is not in doubt".to_owned()),
        }
    }

    fn can_be_undone(&self, state: &State) -> Result<(), String> {
        self.is_idle()?;
        let happened = self.step.has_happened() || self.step.is_unresolved();
        let has_undo = undo(self.machine.state.instances.step(&self.machine.definition, self.index)).is_some();
        match state.turned.is_some() && happened && has_undo && self.step.back != Back::Undone {
            true => Ok(()),
            false => Err("there is nothing to undo, or the saga does not compensate".to_owned()),
        }
    }

    fn can_be_skipped(&self, state: &State, definition: &Saga) -> Result<(), String> {
        if state.state() == SagaState::Compensating || state.turned.is_some() {
            return Err("the saga compensates: nothing more starts".to_owned());
        }
        self.is_idle()?;
        // Past the pivot nothing is undone any more: what comes before it must be at its end.
        let is_open =
            |i: usize| state.instances.step(definition, i).position == Position::Before && !state.is_settled(definition, i);
        if state.pivot(definition) == Some(self.index) && (0..state.steps.len()).any(is_open) {
            return Err("it is the pivot, and what comes before it is not done yet".to_owned());
        }
        let was_refused = matches!(self.step.forward, Forward::Refused { .. }) && state.is_failing(definition, self.index);
        match self.step.is_untouched() || was_refused || self.is_timer() {
            true => Ok(()),
            false => Err("the step has begun".to_owned()),
        }
    }
}
