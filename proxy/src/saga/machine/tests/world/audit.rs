//! Who looks into the services' books: the test, at every end, and an operator who tells the truth.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use saga_config::{
    names::StepPath,
    saga::{Effect as StepEffect, InDoubt, OnFailure, Step},
};
use serde_json::json;

use super::{
    super::{
        super::Machine,
        build::{ID, MAX_EXECUTION},
    },
    End, Kind, World,
};
use crate::saga::{
    entry::{Act, What},
    state::call_step,
};

impl World<'_> {
    /// What an operator who looks into the services' books says.
    pub(super) fn truth(&self, round: usize) -> Act {
        let machine = Machine::replay(ID, Arc::clone(&self.definition), &self.journal).unwrap();
        let views = machine.view();
        let turned = machine.state.turned.is_some();
        let says = |again: bool| {
            views.iter().find_map(|view| {
                let (done, undone) = self.net(view.step.as_str());
                let step = view.step.clone();
                let has_output = call_step(self.step_of(&view.step)).is_some_and(|call| !call.output.is_empty());
                let output = if has_output { json!({"id": "told"}) } else { json!({}) }.as_object().unwrap().clone();
                let acts = if again {
                    vec![Act::Retry { step: Some(step), run_again: false }]
                } else {
                    let acts = [
                        (turned && undone > 0).then(|| Act::ResolveUndone { step: step.clone() }),
                        (done > 0).then(|| Act::ResolveDone { step: step.clone(), output }),
                        (done == 0).then(|| Act::ResolveNotDone { step: step.clone() }),
                        (turned && done == 0).then(|| Act::ResolveUndone { step: step.clone() }),
                        (if turned { undone == 0 } else { done == 0 }).then(|| Act::Retry { step: Some(step), run_again: true }),
                    ];
                    acts.into_iter().flatten().collect()
                };
                acts.into_iter().find(|act| machine.can(act).is_ok() && self.late.is_empty())
            })
        };
        if let Some(act) = says(false).or_else(|| says(true)) {
            return act;
        }
        assert!(round < 15, "nothing can be said: {} {views:?}", self.story());
        Act::Retry { step: None, run_again: false }
    }

    fn step_of(&self, path: &StepPath) -> &Step {
        &self.definition[self.definition.step(path.name()).unwrap()]
    }

    /// What was decided was decided once, and a timer was over when it was said to be.
    fn audit_decisions(&self) {
        let mut decided = BTreeSet::new();
        let mut until = BTreeMap::new();
        for entry in &self.journal {
            match &entry.what {
                What::Chosen { step, .. } | What::Listed { step, .. } | What::Set { step, .. } => {
                    assert!(decided.insert(step.clone()), "{step} is decided twice: {}", self.story());
                }
                What::Timed { step, until: at } => {
                    assert_eq!(until.insert(step.clone(), *at), None, "{step} is timed twice: {}", self.story());
                }
                What::Elapsed { step } => assert!(entry.at >= until[step], "{step} is over too early: {}", self.story()),
                _ => {}
            }
        }
    }

    /// The books at an end.
    pub(super) fn audit(&mut self, end: End) {
        // Whatever is still out arrives.
        self.pass(MAX_EXECUTION * 2);
        let machine = Machine::replay(ID, Arc::clone(&self.definition), &self.journal).unwrap();
        let views = machine.view();
        self.audit_decisions();
        for view in views {
            let (step, path) = (self.step_of(&view.step), &view.step);
            let Some(call) = call_step(step) else { continue };
            let (done, undone) = self.net(path.as_str());
            let twice =
                call.effect == StepEffect::Once && matches!(call.in_doubt, InDoubt::Resend) && self.rules.kind == Kind::Ledger;
            assert!(done <= 1 || twice || call.effect != StepEffect::Once, "{} happened {done} times: {}", path, self.story());
            assert!(undone <= done, "{} was undone {undone} times: {}", path, self.story());
            if call.effect == StepEffect::None {
                continue;
            }
            match end {
                End::Completed if view.state == "skipped" => assert_eq!(done, 0, "{}", self.story()),
                End::Completed if step.on_failure == OnFailure::Continue => {
                    assert!(view.state != "done" || done == 1, "{} {}", path, self.story());
                    assert!(view.state != "failed" || done == 0, "{} {}", path, self.story());
                }
                End::Completed => assert_eq!((done, undone), (1, 0), "{} is kept once: {}", path, self.story()),
                End::Compensated if call.compensate.is_none() && step.on_failure == OnFailure::Continue => {}
                End::Compensated if call.compensate.is_none() && step.position == saga_config::saga::Position::Before => {}
                End::Compensated => assert_eq!(done, undone, "{} does not remain: {}", path, self.story()),
                End::Quarantined => assert!(self.faults > 0, "only faults quarantine: {}", self.story()),
            }
        }
    }
}
