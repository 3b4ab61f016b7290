//! What names stand for, where a step stands: in the saga itself or in a sub-saga, in a loop or outside.

use saga_config::{
    expr::Bindings,
    saga::{Action, FrameIndex, Saga, Step},
};
use serde_json::{Map, Value, json};

use super::{Reach, Scope, rfc3339};
use crate::saga::state::{State, waits_for};

/// Where a step stands.
#[derive(Clone, Copy)]
struct Stand {
    /// The sub-saga whose names it sees.
    frame: Option<FrameIndex>,
    /// For which item.
    place: Option<u32>,
}

impl<'a> Scope<'a> {
    /// Bindings for what a step decides and computes by.
    pub(in super::super) fn known(self, reach: Reach) -> Bindings<'a> {
        let Self { id, definition, state } = self;
        let stand = self.stand(reach);
        let mut known = Bindings::new();
        if let Some((name, item)) = self.item(reach, stand) {
            known = known.with(name, item);
        }
        let known = match stand.frame {
            None => known.with("input", &state.input),
            Some(frame) => known.with_lazy("input", move || Value::Object(self.given(frame, stand.place))),
        };
        let name = match stand.frame.and_then(|frame| definition.frames.get(frame.0)) {
            Some(frame) => frame.saga.as_str(),
            None => definition.name.as_str(),
        };
        known
            .with_lazy("steps", move || self.outputs(reach, stand))
            .with_lazy("saga", move || json!({"id": id.to_string(), "name": name, "started_at": rfc3339(state.created_at)}))
    }

    fn stand(self, reach: Reach) -> Stand {
        let Some(i) = reach.instance() else { return Stand { frame: None, place: None } };
        let step = self.state.instances.step(self.definition, i);
        let frame = match step.action {
            // What a sub-saga is given is computed where it stands.
            Action::Enter(own) => self.definition.frames.get(own.0).and_then(|frame| frame.parent),
            Action::Leave(own) => Some(own),
            _ => step.frame,
        };
        Stand { frame, place: self.state.instances[i].place }
    }

    /// The item of the loop that a step stands in, unless a sub-saga is between them.
    fn item(self, reach: Reach, stand: Stand) -> Option<(&'a str, &'a Value)> {
        let in_loop = self.state.instances.step(self.definition, reach.instance()?).in_loop?;
        let of = self.definition.loops.get(in_loop.0)?;
        let is_seen = self.definition.steps.get(of.step.0)?.frame == stand.frame;
        let items = self.state.items.get(in_loop.0).filter(|_| is_seen)?;
        Some((of.item.as_str(), items.get(usize::try_from(stand.place?).ok()?)?))
    }

    /// The inputs of a sub-saga.
    fn given(self, frame: FrameIndex, place: Option<u32>) -> Map<String, Value> {
        let enter = self.definition.frames.get(frame.0).and_then(|frame| of_item(self, frame.enter.0, place));
        enter.map(|enter| self.state.steps[enter].output.clone()).unwrap_or_default()
    }

    /// The outputs of steps, as expressions see them: a map for each step, empty where it gave none. Outside of a loop, the outputs of
    /// its steps are lists: one entry for each item, `null` where it is absent.
    fn outputs(self, reach: Reach, stand: Stand) -> Value {
        let Self { definition, state, .. } = self;
        let own = reach.instance().map(|i| state.instances[i].step);
        let mut seen = own.map_or_else(|| vec![true; definition.steps.len()], |own| before(definition, own));
        if let (Reach::BeforeAndOwn(_), Some(own)) = (reach, own) {
            seen[own] = true;
        }
        let in_loop = own.and_then(|own| definition.steps[own].in_loop);
        let mut outputs = Map::new();
        for (i, step) in definition.steps.iter().enumerate().filter(|(i, _)| seen[*i]) {
            let is_visible = match step.action {
                Action::Enter(_) => false,
                Action::Leave(frame) => definition.frames.get(frame.0).is_some_and(|of| of.parent == stand.frame),
                _ => step.frame == stand.frame,
            };
            if is_visible {
                let known = match step.in_loop {
                    Some(_) if step.in_loop != in_loop => lists(state, i, step),
                    _ => of_item(self, i, stand.place).map(|i| self.output(i, reach)).unwrap_or_default(),
                };
                outputs.insert(step.id.id().to_owned(), Value::Object(known));
            }
        }
        Value::Object(outputs)
    }
}

impl Scope<'_> {
    /// What a step gave. To itself it gives the answer that accepted it as well.
    fn output(self, i: usize, reach: Reach) -> Map<String, Value> {
        let step = &self.state.steps[i];
        let mut output = step.output.clone();
        if let (true, Some(accepted)) = (reach == Reach::BeforeAndOwn(i), &step.accepted) {
            output.insert("accepted".to_owned(), accepted.clone());
        }
        output
    }
}

/// The instance of a step, for the same item if it is in a loop.
fn of_item(scope: Scope<'_>, step: usize, place: Option<u32>) -> Option<usize> {
    let in_loop = scope.definition.steps.get(step)?.in_loop;
    scope.state.instances.at(step, place.filter(|_| in_loop.is_some()))
}

fn lists(state: &State, i: usize, step: &Step) -> Map<String, Value> {
    let list = |name: &str| {
        let outputs = state.instances.all(i).map(|i| &state.steps[i].output);
        Value::Array(outputs.map(|output| output.get(name).cloned().unwrap_or_default()).collect())
    };
    output_names(step).into_iter().map(|name| (name.to_owned(), list(name))).collect()
}

fn output_names(step: &Step) -> Vec<&str> {
    match &step.action {
        Action::Call(call) => call.output.iter().map(|(name, _)| name.as_str()).collect(),
        Action::Set(values) => values.iter().map(|(name, _)| name.as_str()).collect(),
        Action::Leave(_) => vec!["status", "body"],
        Action::Switch(_) | Action::Foreach(_) | Action::Wait(_) | Action::Enter(_) => Vec::new(),
    }
}

/// Which steps of a definition a step waits for, directly or not. They all have smaller indices.
fn before(definition: &Saga, i: usize) -> Vec<bool> {
    let mut seen = vec![false; definition.steps.len()];
    for at in (0..=i.min(definition.steps.len().saturating_sub(1))).rev() {
        if at == i || seen[at] {
            for earlier in waits_for(definition, at) {
                seen[earlier] = true;
            }
        }
    }
    seen
}
