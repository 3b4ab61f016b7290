//! Steps.

use super::{
    Action, CallStep, Effect, GroupIndex, InDoubt, LoopIndex, OnFailure, Position, Step, Undo,
    build::Builder,
    calls::Written,
    kinds::{Kind, ONE_OF, kinds},
    raw::{self, Compensate, DefaultInDoubt},
    response::transposed,
    scope::Steps,
    unfold::Node,
};
use crate::{diagnostic::Diagnostic, yaml::Pointer};

impl Builder<'_, '_> {
    /// One step. `None`: reported.
    pub(super) fn step(&mut self, index: usize) -> Option<Step> {
        let node = &self.plan.nodes[index];
        let (raw, at) = (node.raw, &node.at);
        let when = self.maybe(raw.when.as_ref(), &at.child("when"), &self.decision(index));
        let action = self.action(index, node);
        if let Some(action) = &action {
            self.note_types(index, action);
        }
        Some(Step {
            id: node.id.clone()?.into(),
            after: node.predecessors(),
            within: node.held.map(|held| held.within),
            group: node.group.map(GroupIndex),
            in_loop: node.in_loop.map(LoopIndex),
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
        let Some(kind) = self.kind(raw, at) else {
            if node.is_whole {
                self.findings.error("missing-key", at, "this step does nothing", format!("write {ONE_OF}"));
            }
            return None;
        };
        match kind {
            Kind::Call | Kind::Callback(..) => self.call_step(index, node, kind).map(|call| Action::Call(Box::new(call))),
            Kind::Timer(wait) => self.waiting_time(wait.within, &at.child("wait")).map(Action::Wait),
            Kind::Set(set) => {
                if set.0.is_empty() && self.findings.is_whole(&at.child("set")) {
                    self.findings.error("no-values", &at.child("set"), "this computes nothing", "write `set: {total: \"${…}\"}`");
                }
                self.named(Some(set), &at.child("set"), &self.decision(index)).map(Action::Set)
            }
            Kind::Sub(written) => self.sub_saga(index, node, written),
            Kind::Switch(arms) => self.arms(index, arms, &at.child("switch")).map(Action::Switch),
            Kind::Loop(_) => {
                let number = self.plan.loops.iter().position(|looped| looped.node == index)?;
                Some(Action::Foreach(LoopIndex(number)))
            }
            // Its children are steps, it is none.
            Kind::Group(_) => None,
        }
    }

    /// What an entry of a list is. Keys that would make it something else too, and those that mean nothing to it, are reported.
    pub(super) fn kind<'r>(&mut self, raw: &'r raw::Step, at: &Pointer) -> Option<Kind<'r>> {
        let (kind, others) = kinds(raw);
        let kind = kind?;
        if let Some(other) = others.first() {
            let place = self.findings.key_place(&at.child(other));
            let diagnostic = Diagnostic::error("exclusive-keys", place, format!("a step has {ONE_OF}"));
            self.findings.add(diagnostic.with_help("make two steps of it"));
        }
        for key in kind.meaningless(raw) {
            self.means_nothing(&at.child(key), format!("`{key}` means nothing {}", kind.place()), kind.instead(key));
        }
        Some(kind)
    }

    /// A step that calls, at once or to be called back.
    fn call_step(&mut self, index: usize, node: &Node<'_>, kind: Kind<'_>) -> Option<CallStep> {
        let (raw, at) = (node.raw, &node.at);
        let request = self.request(Steps::Before(index));
        let (call, later, scope) = match kind {
            Kind::Callback(wait, send) => {
                let at = at.child("wait").child("callback");
                let call = Written::of_send(send).and_then(|parts| self.call(&parts, &at, Steps::Before(index)));
                if let Some(call) = call.as_ref().filter(|_| node.is_whole) {
                    self.prove_that_it_says_where(call, &at);
                }
                (call, self.callback(index, wait, raw.outcome.as_ref()).map(Some), request.called_back())
            }
            _ => {
                let call = Written::of_step(raw).and_then(|parts| self.call(&parts, at, Steps::Before(index)));
                let later = raw.accept.as_ref().map(|accept| self.accept(index, accept, raw.outcome.as_ref()));
                let scope = request.answer();
                (call, transposed(later), if raw.accept.is_some() { scope.with_accepted() } else { scope })
            }
        };
        let effect = match raw.effect {
            Some(raw::Effect::None) => Effect::None,
            Some(raw::Effect::Idempotent) => Effect::Idempotent,
            Some(raw::Effect::Once) | None => Effect::Once,
        };
        let in_doubt = self.in_doubt(raw.in_doubt.as_ref(), effect, &at.child("in_doubt"), index);
        let output = self.named(raw.output.as_ref(), &at.child("output"), &scope);
        if node.is_accepted_first() {
            self.keep_accepted_free(raw, &at.child("output"));
        }
        let compensate = self.compensate(raw, &at.child("compensate"), index);
        let step = CallStep {
            call: call?,
            effect,
            in_doubt: in_doubt?,
            in_doubt_is_own: raw.in_doubt.is_some(),
            later: later?,
            output: output?,
            compensate: compensate?,
        };
        self.prove_step(index, &step);
        Some(step)
    }

    /// `steps.ID.accepted` is the answer that accepted.
    fn keep_accepted_free(&mut self, raw: &raw::Step, at: &Pointer) {
        if raw.output.iter().flat_map(|output| &output.0).any(|(name, _)| name == "accepted") {
            let place = self.findings.key_place(&at.child("accepted"));
            let message = "`accepted` is the answer to the request of this step";
            let diagnostic = Diagnostic::error("reserved-name", place, message);
            self.findings.add(diagnostic.with_help("choose another name for the output"));
        }
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

    /// Whether a step must say what undoes it: one that can fail after it was carried out, the pivot included, or after which another can.
    pub(super) fn must_be_undone(&self, index: usize, effect: Effect) -> bool {
        effect != Effect::None
            && match self.position(index) {
                Position::Before => true,
                Position::Pivot => self.plan.nodes[index].is_accepted_first(),
                Position::After => false,
            }
    }
}
