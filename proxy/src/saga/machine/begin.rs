//! A step begins: it is skipped, decides, computes, waits, or is sent. What it decides it decides once (invariant 11).

use std::sync::Arc;

use saga_config::{
    names::VariableName,
    saga::{Action, Arm, FrameIndex, LoopIndex, Saga},
    template::ValueTemplate,
};
use serde_json::{Map, Value};

use super::{
    super::{
        entry::{By, SkipReason, What},
        input,
        render::{MAX_KEPT_BYTES, Reach, size, values},
        state::MAX_INSTANCES,
    },
    legs::Leg,
    work::Work,
};

impl Work<'_> {
    pub(super) fn begin(&mut self, i: usize) {
        let definition = Arc::clone(&self.machine.definition);
        let step = self.machine.state.instances.step(&definition, i);
        if let Some(when) = step.when.as_ref().filter(|_| !self.state(i).decided) {
            let decision = when.eval_bool(&self.machine.scope().known(Reach::Before(i)).bindings());
            match decision {
                Err(error) => return self.refuse(i, 0, format!("`when`: {error}"), By::Rule),
                Ok(false) => return self.emit(What::Skipped { step: self.path(i), because: SkipReason::Condition }),
                Ok(true) => {}
            }
        }
        match &step.action {
            Action::Call(_) => self.start(Leg::forward(i)),
            Action::Set(templates) => {
                let computed = self.computed(i, templates);
                self.set(i, computed);
            }
            Action::Switch(arms) => self.choose(i, arms),
            Action::Foreach(in_loop) => self.list(i, &definition, *in_loop),
            Action::Wait(time) => {
                let (step, until) = (self.path(i), self.now.plus(*time));
                self.emit(What::Timed { step, until });
            }
            Action::Enter(frame) => {
                let given = self.given(i, &definition, *frame);
                self.set(i, given);
            }
            Action::Leave(frame) => {
                let reply = definition.frames.get(frame.0).map(|frame| frame.reply.as_ref());
                let reply = self.machine.scope().outcome_of_sub_saga(Reach::Before(i), reply.flatten());
                self.set(i, reply);
            }
        }
    }

    fn set(&mut self, i: usize, computed: Result<Map<String, Value>, String>) {
        match computed.and_then(kept) {
            Ok(values) => {
                let step = self.path(i);
                self.emit(What::Set { step, values });
            }
            Err(fault) => self.refuse(i, 0, fault, By::Rule),
        }
    }

    fn computed(&self, i: usize, templates: &[(VariableName, ValueTemplate)]) -> Result<Map<String, Value>, String> {
        let templates = templates.iter().map(|(name, template)| (name.as_str(), template));
        match values(templates, &self.machine.scope().known(Reach::Before(i)).bindings()) {
            (values, None) => Ok(values),
            (_, Some(fault)) => Err(fault),
        }
    }

    /// The first arm whose condition holds.
    fn choose(&mut self, i: usize, arms: &[Arm]) {
        let chosen = {
            let known = self.machine.scope().known(Reach::Before(i));
            let known = known.bindings();
            let holds = |arm: &Arm| arm.when.as_ref().map_or(Ok(true), |when| when.eval_bool(&known));
            let holding = arms.iter().zip(0_u32..).map(|(arm, nth)| (nth, holds(arm)));
            let decided = holding
                .filter(|(_, holds)| !matches!(holds, Ok(false)))
                .map(|(nth, holds)| holds.map(|_| nth).map_err(|error| (nth, error)));
            decided.take(1).next().transpose()
        };
        match chosen {
            Ok(arm) => {
                let step = self.path(i);
                self.emit(What::Chosen { step, arm });
            }
            Err((nth, error)) => self.refuse(i, 0, format!("the `when` of its arm {}: {error}", nth + 1), By::Rule),
        }
    }

    /// The list of a loop.
    fn list(&mut self, i: usize, definition: &Saga, in_loop: LoopIndex) {
        let Some(of) = definition.loops.get(in_loop.0) else { return };
        let rendered = of.list.render(&self.machine.scope().known(Reach::Before(i)).bindings());
        let items = match rendered {
            Err(error) => Err(error.to_string()),
            Ok(Value::Array(items)) if items.len() > of.limit => {
                Err(format!("it has {} items, and its `limit` is {}", items.len(), of.limit))
            }
            Ok(Value::Array(items)) => self.has_room_for(of.body.len(), items),
            Ok(_) => Err("it is no list".to_owned()),
        };
        match items.and_then(kept) {
            Ok(items) => {
                let step = self.path(i);
                self.emit(What::Listed { step, items });
            }
            Err(fault) => self.refuse(i, 0, format!("its list: {fault}"), By::Rule),
        }
    }

    /// A journal has an end, and what was begun must be undone before it.
    fn has_room_for(&self, steps: usize, items: Vec<Value>) -> Result<Vec<Value>, String> {
        let all = self.steps().saturating_add(steps.saturating_mul(items.len()));
        match all > MAX_INSTANCES {
            true => {
                Err(format!("with its {} items the saga would have {all} steps, and the most is {MAX_INSTANCES}", items.len()))
            }
            false => Ok(items),
        }
    }

    /// The inputs of a sub-saga, checked as those of a saga are.
    fn given(&self, i: usize, definition: &Saga, frame: FrameIndex) -> Result<Map<String, Value>, String> {
        let Some(of) = definition.frames.get(frame.0) else { return Err("there is no such sub-saga".to_owned()) };
        let values = self.computed(i, &of.given)?;
        for declared in &of.input {
            let value = values.get(declared.name.as_str()).unwrap_or(&Value::Null);
            input::check(declared, value).map_err(|error| error.to_string())?;
        }
        Ok(values)
    }
}

/// What is not too much to be kept.
fn kept<T: serde::Serialize>(values: T) -> Result<T, String> {
    match size(&values) {
        bytes if bytes > MAX_KEPT_BYTES => Err(format!("it has {bytes} bytes, and the most is {MAX_KEPT_BYTES}")),
        _ => Ok(values),
    }
}
