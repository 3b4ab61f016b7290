//! Switches and loops.

use serde_json::Value;

use super::{
    Arm, Loop, StepIndex,
    build::Builder,
    limits,
    raw::{self, Foreach},
    scope::Scope,
    unfold::LoopPlan,
};
use crate::{expr::Use, template::ValueTemplate, yaml::Pointer};

/// For how many items a loop's steps run at once, where nothing is written.
const MAX: usize = 1;
/// The longest list, where nothing is written.
const LIMIT: usize = 100;

impl Builder<'_, '_> {
    /// The arms of the switch at `index`. `None`: reported.
    pub(super) fn arms(&mut self, index: usize, written: &[Option<raw::Arm>], at: &Pointer) -> Option<Vec<Arm>> {
        let scope = self.decision(index);
        let mut arms = Vec::new();
        for (nth, arm) in written.iter().enumerate() {
            let Some(arm) = arm else { continue };
            let when = self.maybe(arm.when.as_ref(), &at.child(nth).child("when"), &scope);
            arms.extend(when.map(|when| Arm { when }));
        }
        let steps = written.iter().flatten().flat_map(|arm| arm.steps.iter().chain(&arm.otherwise));
        if steps.map(Vec::len).sum::<usize>() == 0 && self.plan.nodes[index].is_whole {
            self.findings.refuse("no-steps", at, "whatever this chooses, nothing is done", "write steps at one of the arms");
        }
        (arms.len() == written.len()).then_some(arms)
    }

    /// A loop. `None`: reported.
    pub(super) fn a_loop(&mut self, plan: &LoopPlan<'_>) -> Option<Loop> {
        let at = self.plan.nodes[plan.node].at.child("foreach");
        let Foreach { list, item: _, max, limit } = plan.raw;
        let max = max.map_or(MAX, |max| max as usize);
        let limit = limit.map_or(LIMIT, |limit| limit as usize);
        let scope = self.decision(plan.node);
        let list = list.as_ref().and_then(|list| self.list(list, &at.child("in"), limit, &scope));
        self.prove_bounds(plan, limit, &at);
        let body = plan.body.iter().copied().map(StepIndex).collect();
        Some(Loop { step: StepIndex(plan.node), list: list?, item: plan.item.clone()?, max, limit, body })
    }

    /// What gives a list, as far as that can be seen.
    fn list(&mut self, written: &Value, at: &Pointer, limit: usize, scope: &Scope) -> Option<ValueTemplate> {
        match written {
            Value::String(text) => {
                self.expression_for(Use::List, text, at, scope)?;
            }
            Value::Array(items) => {
                if items.len() > limit {
                    let message = format!("this list has {} items, and the loop takes {limit}", items.len());
                    self.findings.refuse("too-many", at, message, "write a larger `limit`, or a shorter list");
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => {
                self.findings.error("not-a-list", at, "a loop goes over a list", "write one `${…}` that gives a list");
                return None;
            }
        }
        self.value(written, at, scope)
    }

    /// A loop's steps are steps of the saga, as many as there are items.
    fn prove_bounds(&mut self, plan: &LoopPlan<'_>, limit: usize, at: &Pointer) {
        let steps = limit * plan.body.len();
        if steps > limits::INSTANCES {
            let message = format!(
                "{limit} items with {} steps each are {steps} steps; the limit is {}",
                plan.body.len(),
                limits::INSTANCES
            );
            self.findings.refuse(
                "too-many-steps",
                &at.child("limit"),
                message,
                "write a smaller `limit`, or let a service take several items at once",
            );
        }
    }
}
