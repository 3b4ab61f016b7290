//! Steps.

use super::{
    Action, CallStep, Effect, InDoubt, OnFailure, Position, Step, Undo,
    build::Builder,
    calls::Written,
    raw::{self, Compensate, DefaultInDoubt},
    scope::{Scope, Steps},
    unfold::Node,
};
use crate::{diagnostic::Diagnostic, yaml::Pointer};

/// What a step that calls has, and no other.
pub(super) fn of_calls(raw: &raw::Step) -> [(&'static str, bool); 11] {
    [
        ("body", raw.body.is_some()),
        ("headers", raw.headers.is_some()),
        ("auth", raw.auth.is_some()),
        ("timeout", raw.timeout.is_some()),
        ("retry", raw.retry.is_some()),
        ("outcome", raw.outcome.is_some()),
        ("effect", raw.effect.is_some()),
        ("in_doubt", raw.in_doubt.is_some()),
        ("output", raw.output.is_some()),
        ("compensate", raw.compensate.is_some()),
        ("pivot", raw.pivot.is_some()),
    ]
}

impl Builder<'_, '_> {
    /// One step. `None`: reported.
    pub(super) fn step(&mut self, index: usize) -> Option<Step> {
        let node = &self.plan.nodes[index];
        let (raw, at) = (node.raw, &node.at);
        let when = self.maybe(raw.when.as_ref(), &at.child("when"), &Scope::decision(index));
        let action = self.action(index, node);
        Some(Step {
            id: node.id.clone()?.into(),
            after: node.predecessors(),
            within: None,
            group: self.group_index(index),
            in_loop: None,
            frame: None,
            when: when?,
            action: action?,
            position: self.position(index),
            on_failure: match raw.on_failure {
                Some(raw::OnFailure::Continue) => OnFailure::Continue,
                Some(raw::OnFailure::Compensate) | None => OnFailure::Compensate,
            },
        })
    }

    fn action(&mut self, index: usize, node: &Node<'_>) -> Option<Action> {
        let (raw, at) = (node.raw, &node.at);
        if let Some(written) = &raw.saga {
            return self.sub_saga(index, node, written);
        }
        match (&raw.call, &raw.set) {
            (Some(call), None) => self.call_step(index, node, call).map(|call| Action::Call(Box::new(call))),
            (None, Some(set)) => {
                for (key, _) in of_calls(raw).into_iter().filter(|(_, is_written)| *is_written) {
                    let message = format!("`{key}` means nothing at a step that computes: it calls nobody");
                    self.means_nothing(&at.child(key), message, "leave it out");
                }
                if set.0.is_empty() && self.findings.is_whole(&at.child("set")) {
                    self.findings.error("no-values", &at.child("set"), "this computes nothing", "write `set: {total: \"${…}\"}`");
                }
                self.named(Some(set), &at.child("set"), &Scope::decision(index)).map(Action::Set)
            }
            (Some(_), Some(_)) => {
                let place = self.findings.key_place(&at.child("set"));
                let message = "a step has one of `call`, `set` and `parallel`";
                self.findings.add(Diagnostic::error("exclusive-keys", place, message).with_help("make two steps of it"));
                None
            }
            (None, None) => {
                if node.is_whole && raw.parallel.is_none() {
                    let message = "this step does nothing";
                    self.findings.error("missing-key", at, message, "write one of `call`, `set` and `parallel`");
                }
                None
            }
        }
    }

    fn call_step(&mut self, index: usize, node: &Node<'_>, call: &str) -> Option<CallStep> {
        let (raw, at) = (node.raw, &node.at);
        let parts = Written {
            call,
            body: raw.body.as_ref(),
            headers: raw.headers.as_ref(),
            auth: raw.auth,
            timeout: raw.timeout,
            retry: raw.retry.as_ref(),
            outcome: raw.outcome.as_ref(),
        };
        let call = self.call(&parts, at, Steps::Before(index));
        let effect = match raw.effect {
            Some(raw::Effect::None) => Effect::None,
            Some(raw::Effect::Idempotent) => Effect::Idempotent,
            Some(raw::Effect::Once) | None => Effect::Once,
        };
        let in_doubt = self.in_doubt(raw.in_doubt.as_ref(), effect, &at.child("in_doubt"), index);
        let scope = Scope::call(Steps::Before(index)).answer();
        let output = self.named(raw.output.as_ref(), &at.child("output"), &scope);
        let compensate = self.compensate(raw, &at.child("compensate"), index);
        let step = CallStep {
            call: call?,
            effect,
            in_doubt: in_doubt?,
            in_doubt_is_own: raw.in_doubt.is_some(),
            later: None,
            output: output?,
            compensate: compensate?,
        };
        self.prove_step(index, &step);
        Some(step)
    }

    fn in_doubt(&mut self, written: Option<&raw::InDoubt>, effect: Effect, at: &Pointer, index: usize) -> Option<InDoubt> {
        let in_doubt = match written {
            Some(raw::InDoubt::Resend) => InDoubt::Resend,
            Some(raw::InDoubt::Compensate) => InDoubt::Compensate,
            Some(raw::InDoubt::Barrier) => InDoubt::Barrier,
            Some(raw::InDoubt::Manual) => InDoubt::Manual,
            Some(raw::InDoubt::Check(check)) => {
                let check = self.check_call(check, &at.child("check"), Steps::Before(index))?;
                InDoubt::Check(Box::new(check))
            }
            // Reading again is no second time.
            None if effect == Effect::None => InDoubt::Resend,
            None => match self.defaults.in_doubt {
                DefaultInDoubt::Resend => InDoubt::Resend,
                DefaultInDoubt::Compensate => InDoubt::Compensate,
                DefaultInDoubt::Barrier => InDoubt::Barrier,
                DefaultInDoubt::Manual => InDoubt::Manual,
            },
        };
        Some(in_doubt)
    }

    /// `None`: reported; `Some(None)`: it is not undone.
    fn compensate(&mut self, raw: &raw::Step, at: &Pointer, index: usize) -> Option<Option<Undo>> {
        match &raw.compensate {
            None | Some(Compensate::None(_)) => Some(None),
            Some(Compensate::Call(undo)) => self.undo(undo, at, index).map(Some),
        }
    }

    /// Whether a step must say what undoes it.
    pub(super) fn must_be_undone(&self, index: usize, effect: Effect) -> bool {
        effect != Effect::None && self.position(index) == Position::Before
    }
}
