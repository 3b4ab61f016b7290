//! What names stand for, where a step stands: in the saga itself or in a sub-saga, in a loop or outside.

use std::{borrow::Cow, sync::OnceLock};

use saga_config::{
    expr::{Bindings, Key, Roots, Segment},
    saga::{Action, FrameIndex, Step},
};
use serde_json::{Map, Value, json};

use super::{Reach, Scope, StepName, rfc3339};
use crate::saga::state::State;

/// Where a step stands.
#[derive(Clone, Copy)]
struct Stand {
    /// The sub-saga whose names it sees.
    frame: Option<FrameIndex>,
    /// For which item.
    place: Option<u32>,
}

/// What the names of one step's expressions stand for. What can be pointed at in the state is; the rest is made when it is read, once.
pub(in super::super) struct Known<'a> {
    scope: Scope<'a>,
    reach: Reach,
    stand: Stand,
    name: Option<&'a StepName<'a>>,
    item: Option<(&'a str, &'a Value)>,
    made: Made,
}

#[derive(Default)]
struct Made {
    input: OnceLock<Value>,
    steps: OnceLock<Value>,
    saga: OnceLock<Value>,
    step: OnceLock<Value>,
    callback: OnceLock<Option<Value>>,
}

impl Known<'_> {
    /// To evaluate with.
    pub(in super::super) fn bindings(&self) -> Bindings<'_> {
        Bindings::over(self)
    }

    fn path(&self) -> &str {
        self.reach.instance().map_or("", |i| self.scope.state.instances.path(i).as_str())
    }

    fn saga(&self) -> Value {
        let Scope { id, definition, state, .. } = self.scope;
        let name = match self.stand.frame.and_then(|frame| definition.frames.get(frame.0)) {
            Some(frame) => frame.saga.as_str(),
            None => definition.name.as_str(),
        };
        json!({"id": id.to_string(), "name": name, "started_at": rfc3339(state.created_at)})
    }

    fn step(&self, name: &StepName<'_>) -> Value {
        match name.attempt {
            None => json!({"id": self.path(), "key": name.key}),
            Some(attempt) => json!({"id": self.path(), "key": name.key, "attempt": attempt}),
        }
    }

    /// An output of a step outside of loops, or of the own item.
    fn output(&self, id: &str, output: &str) -> Option<&Value> {
        let (Scope { definition, state, .. }, own) = (self.scope, self.reach.instance());
        let own_step = own.map(|own| state.instances[own].step);
        let step = definition.steps.iter().position(|step| step.id.id() == id && self.scope.is_visible(step, self.stand))?;
        let is_own = own_step == Some(step);
        if !self.scope.is_reached(step, own_step, self.reach) || is_own && output == "accepted" {
            return None;
        }
        let in_loop = definition.steps[step].in_loop;
        if in_loop.is_some() && in_loop != own_step.and_then(|own| definition.steps[own].in_loop) {
            return None;
        }
        state.steps[of_item(self.scope, step, self.stand.place)?].output.get(output)
    }
}

impl Roots for Known<'_> {
    fn root(&self, name: &str) -> Option<&Value> {
        let Self { scope, reach, stand, made, .. } = self;
        match name {
            "input" => Some(match stand.frame {
                None => &scope.state.input,
                Some(frame) => made.input.get_or_init(|| Value::Object(scope.given(frame, stand.place))),
            }),
            "steps" => Some(made.steps.get_or_init(|| scope.outputs(*reach, *stand))),
            "saga" => Some(made.saga.get_or_init(|| self.saga())),
            "step" => self.name.map(|name| made.step.get_or_init(|| self.step(name))),
            "callback" => {
                self.name?;
                let url = || Some(json!({"url": scope.callback_url(reach.instance()?)?}));
                made.callback.get_or_init(url).as_ref()
            }
            _ => self.item.and_then(|(bound, item)| (bound == name).then_some(item)),
        }
    }

    fn at(&self, root: &str, path: &[Segment]) -> Option<(Cow<'_, Value>, usize)> {
        let field = |nth: usize| match &path.get(nth)?.key {
            Key::Field(name) => Some(name.as_str()),
            Key::Index(_) => None,
        };
        let (value, count) = match (root, field(0)?) {
            ("steps", id) => (Cow::Borrowed(self.output(id, field(1)?)?), 2),
            ("step", "key") => (Cow::Owned(Value::from(self.name?.key)), 1),
            ("step", "id") => (Cow::Owned(Value::from(self.name.map(|_| self.path())?)), 1),
            _ => return None,
        };
        // Every expression of every test sees to it that both ways lead to the same.
        #[cfg(test)]
        assert_eq!((0..count).try_fold(self.root(root)?, |at, nth| at.get(field(nth)?)), Some(&*value), "{root} {path:?}");
        Some((value, count))
    }
}

impl<'a> Scope<'a> {
    /// What is known to what a step decides and computes by.
    pub(in super::super) fn known(self, reach: Reach) -> Known<'a> {
        self.named(reach, None)
    }

    /// What is known to a call of a step, or of its undo.
    pub(in super::super) fn calling(self, reach: Reach, name: &'a StepName<'a>) -> Known<'a> {
        self.named(reach, Some(name))
    }

    fn named(self, reach: Reach, name: Option<&'a StepName<'a>>) -> Known<'a> {
        let stand = self.stand(reach);
        Known { scope: self, reach, stand, name, item: self.item(reach, stand), made: Made::default() }
    }

    /// Whether a step's outputs are among the names of who stands there.
    fn is_visible(self, step: &Step, stand: Stand) -> bool {
        match step.action {
            Action::Enter(_) => false,
            Action::Leave(frame) => self.definition.frames.get(frame.0).is_some_and(|of| of.parent == stand.frame),
            _ => step.frame == stand.frame,
        }
    }

    /// Whether a step of the definition comes before who asks, or is who asks and sees itself.
    fn is_reached(self, step: usize, own: Option<usize>, reach: Reach) -> bool {
        own.is_none_or(|own| self.definition.is_before(step, own) || own == step && matches!(reach, Reach::BeforeAndOwn(_)))
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
        let in_loop = own.and_then(|own| definition.steps[own].in_loop);
        let mut outputs = Map::new();
        for (i, step) in definition.steps.iter().enumerate() {
            if self.is_visible(step, stand) && self.is_reached(i, own, reach) {
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
