//! What an entry is about: found, or the entry does not fit.

use saga_config::{
    names::StepPath,
    saga::{Action, Saga, Step},
};

use super::{Back, Forward, State, StepState, Unfit, call_step, undo};
use crate::saga::entry::{Direction, What, Which};

impl State {
    pub(super) fn definition_of<'d>(&self, definition: &'d Saga, path: &StepPath) -> Option<&'d Step> {
        self.instances.find(definition, path).map(|i| self.instances.step(definition, i))
    }

    /// The end of the sub-saga that a step begins.
    pub(super) fn end_of(&self, definition: &Saga, i: usize) -> Option<usize> {
        let Action::Enter(frame) = self.instances.step(definition, i).action else { return None };
        self.instances.at(definition.frames.get(frame.0)?.leave.0, self.instances[i].place)
    }

    pub(super) fn find(&self, definition: &Saga, path: &StepPath) -> Result<usize, Unfit> {
        self.instances.find(definition, path).ok_or_else(|| Unfit("there is no such step".to_owned()))
    }

    pub(super) fn find_open(&self, definition: &Saga, path: &StepPath) -> Result<usize, Unfit> {
        let i = self.find(definition, path)?;
        match self.steps[i].forward {
            Forward::Open => Ok(i),
            _ => Err(Unfit("the step is settled already".to_owned())),
        }
    }

    pub(super) fn step(&mut self, definition: &Saga, path: &StepPath) -> Result<&mut StepState, Unfit> {
        let i = self.find(definition, path)?;
        Ok(&mut self.steps[i])
    }

    pub(super) fn called(&mut self, definition: &Saga, path: &StepPath) -> Result<&mut StepState, Unfit> {
        let calls = self.definition_of(definition, path).is_some_and(|step| call_step(step).is_some());
        if calls { self.step(definition, path) } else { Err(Unfit("the step does not call".to_owned())) }
    }

    pub(super) fn called_and_open(&mut self, definition: &Saga, path: &StepPath) -> Result<&mut StepState, Unfit> {
        self.called(definition, path)?;
        let i = self.find_open(definition, path)?;
        Ok(&mut self.steps[i])
    }

    pub(super) fn undoable(&mut self, definition: &Saga, path: &StepPath) -> Result<&mut StepState, Unfit> {
        let has_undo = self.definition_of(definition, path).is_some_and(|step| undo(step).is_some());
        let turned = self.turned.is_some();
        let step = self.step(definition, path)?;
        let happened = matches!(step.forward, Forward::Done { .. } | Forward::GivenUp) || step.call.is_unresolved();
        match turned && has_undo && happened && step.back != Back::Undone {
            true => Ok(step),
            false => Err(Unfit("nothing is to be undone".to_owned())),
        }
    }

    /// The step of a call that is not settled.
    pub(super) fn locate(&mut self, definition: &Saga, of: &Which) -> Result<&mut StepState, Unfit> {
        let i = self.instances.find(definition, &of.step).ok_or_else(|| Unfit("there is no such step".to_owned()))?;
        let calls = match of.direction {
            Direction::Forward => call_step(self.instances.step(definition, i)).is_some(),
            Direction::Undo => undo(self.instances.step(definition, i)).is_some(),
        };
        if !calls {
            return Err(Unfit("there is no such call".to_owned()));
        }
        let step = &mut self.steps[i];
        let is_settled = match of.direction {
            Direction::Forward => step.forward != Forward::Open,
            Direction::Undo => step.back != Back::Open,
        };
        if is_settled || step.call_of(of.direction).generation != of.generation {
            return Err(Unfit("the call is settled already, or of another generation".to_owned()));
        }
        Ok(step)
    }
}

/// What an entry is about, if that is one step.
pub(super) const fn step_of(what: &What) -> Option<&StepPath> {
    match what {
        What::Sending { of, .. }
        | What::Asking { of }
        | What::NotSent { of, .. }
        | What::Doubted { of, .. }
        | What::Waiting { of, .. }
        | What::NotDone { of } => Some(&of.step),
        What::Done { step, .. }
        | What::Refused { step, .. }
        | What::GivenUp { step, .. }
        | What::Skipped { step, .. }
        | What::Set { step, .. }
        | What::Chosen { step, .. }
        | What::Listed { step, .. }
        | What::Timed { step, .. }
        | What::Elapsed { step }
        | What::Accepted { step, .. }
        | What::Polled { step, .. }
        | What::CalledBack { step, .. }
        | What::Undone { step, .. }
        | What::UndoFailed { step, .. } => Some(step),
        What::Started(_) | What::Compensating { .. } | What::Quarantined { .. } | What::Ended { .. } | What::Operator { .. } => {
            None
        }
    }
}
