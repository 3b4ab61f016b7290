//! Services that carry out later, and those who call back.

use saga_config::saga::Later;
use serde_json::json;

use super::{World, reply};
use crate::saga::{
    machine::Machine,
    state::Forward,
    turn::{CheckEffect, Event, Finding},
};

/// The path of polls.
pub(in super::super) const POLLED: &str = "/poll/";

impl World<'_> {
    /// What a service says of what it has accepted. One that says no has not carried it out, and stays with that.
    pub(super) fn poll(&mut self, check: &CheckEffect) -> Finding {
        let step = check.of.step.to_string();
        let is_denied = self.net(&step).0 == 0;
        let said = |state: &str| Finding::Replied(reply(200, json!({"state": state, "id": "polled"}), false));
        match if is_denied { 3 } else { self.fault(4) } {
            0 => said("GRANTED"),
            1 => said("PENDING"),
            2 => Finding::CannotTell { reason: "no answer".to_owned() },
            _ => {
                self.books.entry(step).or_default().done = 0;
                said("DENIED")
            }
        }
    }

    /// Somebody calls back whose URL has arrived; or says no, or does not.
    pub(super) fn calls_back(&mut self, machine: &Machine, is_idle: bool) -> Option<Event> {
        let state = &machine.state;
        let waits = |i: &usize| {
            let known = &state.steps[*i];
            let has_url = known.call.was_sent() && self.net(state.instances.path(*i).as_str()).0 > 0;
            matches!(machine.later(*i), Some(Later::Callback(_)))
                && known.forward == Forward::Open
                && known.called_back.is_none()
                && has_url
        };
        let i = (0..state.steps.len()).find(waits)?;
        let step = state.instances.path(i).clone();
        // Who is waited for comes; who is not may come all the same.
        let answer = match (self.fault(3), is_idle) {
            (0, true) | (1, false) => "yes",
            (1, true) | (2, false) => "no",
            _ => return None,
        };
        self.nonces += 1;
        Some(Event::CalledBack { step, body: json!({"answer": answer, "by": "ann"}), nonce: format!("called-{}", self.nonces) })
    }
}
