//! A step that runs another saga: what its own file says of it. The other's steps come in its place when sagas are linked.

use super::{Action, FrameIndex, Position, StepIndex, build::Builder, limits, raw, scope::Scope, unfold::Node};
use crate::{
    diagnostic::{Diagnostic, quoted},
    names::{SagaName, VariableName},
    template::ValueTemplate,
    yaml::Pointer,
};

/// What a sub-saga gives to the saga that runs it.
pub(super) const OUTPUTS: [&str; 2] = ["status", "body"];

/// A saga that a step runs.
#[derive(Debug)]
pub(super) struct SubSaga {
    /// The step.
    pub(super) step: StepIndex,
    /// Where its `saga` is written.
    pub(super) at: Pointer,
    /// Which saga.
    pub(super) name: SagaName,
    /// The names of what it is given, sound or not; `None`: they are not all known.
    pub(super) names: Option<Vec<String>>,
    /// What it is given, in the order of the file: nothing, if a part of it is wrong.
    pub(super) given: Vec<(VariableName, ValueTemplate)>,
}

impl Builder<'_, '_> {
    /// A step that runs another saga. `None`: reported.
    pub(super) fn sub_saga(&mut self, index: usize, node: &Node<'_>, written: &raw::SubSaga) -> Option<Action> {
        let at = node.at.child("saga");
        self.prove_sub_saga(index, node);
        let given = self.given(written, &at.child("input"), &self.decision(index));
        let names = written.input.iter().flat_map(|input| &input.0).map(|(name, _)| name.clone()).collect();
        let names = self.findings.is_whole(&at).then_some(names);
        let is_sound = given.is_some();
        let (name, given) = (written.name.clone()?, given.unwrap_or_default());
        self.subs.push(SubSaga { step: StepIndex(index), at, name, names, given });
        is_sound.then(|| Action::Leave(FrameIndex(self.subs.len() - 1)))
    }

    fn given(&mut self, written: &raw::SubSaga, at: &Pointer, scope: &Scope) -> Option<Vec<(VariableName, ValueTemplate)>> {
        let written = written.input.as_ref().map(|input| input.0.as_slice()).unwrap_or_default();
        self.at_most(written.len(), limits::INPUTS, "inputs", at);
        let mut given = Vec::new();
        for (name, value) in written {
            let at = at.child(name);
            let name = self.variable(name, &at);
            let value = self.value(value, &at, scope);
            given.extend(name.zip(value));
        }
        (given.len() == written.len()).then_some(given)
    }

    fn prove_sub_saga(&mut self, index: usize, node: &Node<'_>) {
        let (raw, at) = (node.raw, &node.at);
        if raw.on_failure == Some(raw::OnFailure::Continue) {
            let message = "some of a sub-saga's steps may be done when it fails, and would stay so";
            let help = "say `on_failure: continue` at those of its steps whose failure is borne";
            self.findings.refuse("sub-saga-continues", &at.child("on_failure"), message, help);
        }
        if self.plan.order_is_known && raw.pivot.is_none() && self.position(index) != Position::Before {
            let name = node.id.as_ref().map_or_else(|| "this step".to_owned(), |id| quoted(id.as_str()));
            let message =
                format!("{name} comes after the pivot, and a sub-saga that fails is undone: that is no more possible then");
            let help = "put it before the pivot, or write the other saga's steps here";
            let place = self.findings.key_place(&at.child("saga"));
            self.findings.prove(Diagnostic::error("sub-saga-after-pivot", place, message).with_help(help));
        }
    }
}
