//! What a saga remembers of steps that come to their end later than their call's answer.

use saga_config::{
    names::StepPath,
    saga::{Later, Saga},
};
use serde_json::Value;

use super::{Applied, CallState, Forward, Standing, State, StepState, Unfit, call_step, unfit};
use crate::{saga::entry::FrozenRequest, time::Timestamp};

/// That a call was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Acceptance {
    /// Since when its time counts.
    pub(in super::super) from: Timestamp,
    /// When the end must have come.
    pub(in super::super) until: Timestamp,
    /// Whether the service is polled; else somebody calls back.
    pub(in super::super) polls: bool,
}

/// What somebody called back with.
#[derive(Clone, Debug, PartialEq)]
pub(in super::super) struct CalledBack {
    pub(in super::super) body: Value,
    pub(in super::super) nonce: String,
}

impl State {
    pub(super) fn accepted(
        &mut self,
        definition: &Saga,
        path: &StepPath,
        answer: &Value,
        undo: Option<&FrozenRequest>,
        terms: (Timestamp, Timestamp, Option<Timestamp>),
    ) -> Applied {
        let polls = match self.later_of(definition, path) {
            None => return unfit("the step's answer is its end"),
            Some(later) => matches!(later, Later::Poll(_)),
        };
        let (from, until, again_at) = terms;
        let step = self.called_and_open(definition, path)?;
        if !step.call.was_sent() || step.call.accepted.is_some() {
            return unfit("nothing was sent that could be accepted, or it was accepted already");
        }
        step.call.accept(Acceptance { from, until, polls }, again_at);
        step.accepted = Some(answer.clone());
        step.frozen = undo.cloned().or_else(|| step.frozen.take());
        step.reason = None;
        Ok(())
    }

    pub(super) fn polled(&mut self, definition: &Saga, path: &StepPath, reason: &str, again_at: Timestamp) -> Applied {
        let step = self.called_and_open(definition, path)?;
        step.call.polled(again_at)?;
        step.reason = Some(reason.to_owned());
        Ok(())
    }

    pub(super) fn called_back(&mut self, definition: &Saga, path: &StepPath, body: &Value, nonce: &str) -> Applied {
        if !matches!(self.later_of(definition, path), Some(Later::Callback(_))) {
            return unfit("nobody calls the step back");
        }
        let step = self.called_and_open(definition, path)?;
        if !step.call.was_sent() || step.called_back.is_some() {
            return unfit("its URL never left, or it was called back already");
        }
        step.called_back = Some(CalledBack { body: body.clone(), nonce: nonce.to_owned() });
        if step.call.standing == Standing::Stuck {
            // What an operator was asked about is known now. If there is more, the saga will say so again.
            self.quarantined = None;
        }
        self.nonces.insert(nonce.to_owned());
        Ok(())
    }

    fn later_of<'d>(&self, definition: &'d Saga, path: &StepPath) -> Option<&'d Later> {
        let i = self.instances.find(definition, path)?;
        call_step(self.instances.step(definition, i))?.later.as_ref()
    }
}

impl StepState {
    /// Whether it was accepted, and its end is not known.
    pub(in super::super) fn is_accepted(&self) -> bool {
        self.forward == Forward::Open && self.call.accepted.is_some()
    }
}

impl CallState {
    /// Whether a send may have reached the service. One that was found not to have been carried out counts: who knows better says so.
    pub(in super::super) const fn was_sent(&self) -> bool {
        self.first_sent.is_some()
    }

    fn accept(&mut self, acceptance: Acceptance, again_at: Option<Timestamp>) {
        self.accepted = Some(acceptance);
        (self.tries, self.checks) = (0, 0);
        self.standing = Standing::Accepted { again_at };
    }

    fn polled(&mut self, again_at: Timestamp) -> Result<(), Unfit> {
        match (self.standing, self.accepted) {
            (Standing::Accepted { .. }, Some(Acceptance { polls: true, .. })) => {
                self.tries = self.tries.saturating_add(1);
                self.standing = Standing::Accepted { again_at: Some(again_at) };
                Ok(())
            }
            _ => Err(Unfit("nothing is polled".to_owned())),
        }
    }

    /// Its time begins anew. A service is polled at `again_at`, if that is given.
    pub(super) fn wait_anew(&mut self, at: Timestamp, again_at: Option<Timestamp>) {
        let Some(accepted) = &mut self.accepted else { return };
        *accepted = Acceptance { from: at, until: at.plus(accepted.from.until(accepted.until)), ..*accepted };
        let polls = accepted.polls;
        self.standing = match (self.standing, again_at) {
            (Standing::Accepted { .. } | Standing::Left | Standing::Stuck, Some(at)) => {
                Standing::Accepted { again_at: polls.then_some(at) }
            }
            (other, _) => other,
        };
    }
}
