//! Steps that come to their end later than their call's answer: the service is polled, or somebody calls back.

use saga_config::{names::StepPath, saga::Later};

use super::{
    super::{
        callback::Token,
        state::{Forward, call_step},
    },
    Machine,
};
use crate::time::Timestamp;

/// How the callback of a step stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Callback {
    /// It is waited for.
    Awaited {
        /// When it must have come, where that is known: not before the send was answered.
        until: Option<Timestamp>,
    },
    /// It came.
    Came {
        /// Tells its own repeat.
        nonce: String,
    },
    /// It is not waited for any more.
    Over,
}

impl Machine {
    /// The step whose callback a token is for, and how that stands; `None`: nobody was given this token.
    pub fn callback(&self, token: Token) -> Option<(StepPath, Callback)> {
        let callbacks = self.state.started.callbacks.as_ref()?;
        let waits = |step| call_step(step).is_some_and(|call| matches!(call.later, Some(Later::Callback(_))));
        let steps = self.definition.steps.iter().zip(&self.state.steps).filter(|(step, _)| waits(step));
        // All are looked at: how long it takes does not tell which it was.
        let found = steps.fold(None, |found, (step, known)| {
            let is_it = callbacks.is_for(token, step.id.as_str(), known.call.generation);
            if is_it { Some((step, known)) } else { found }
        });
        let (step, known) = found?;
        let callback = match &known.called_back {
            Some(nonce) => Callback::Came { nonce: nonce.clone() },
            None if known.forward != Forward::Open || self.state.ended.is_some() => Callback::Over,
            // Its URL never left.
            None if known.call.first_sent.is_none() => return None,
            None => Callback::Awaited { until: None },
        };
        Some((step.id.clone(), callback))
    }
}
