//! Who looks into the services' books: the test, at every end, and an operator who tells the truth.

use std::sync::Arc;

use saga_config::saga::{Effect as StepEffect, InDoubt, OnFailure};
use serde_json::json;

use super::{
    super::{
        super::Machine,
        build::{ID, MAX_EXECUTION},
    },
    End, Kind, World,
};
use crate::saga::{entry::Act, state::call_step};

impl World<'_> {
    /// What an operator who looks into the services' books says.
    pub(super) fn truth(&self, round: usize) -> Act {
        let machine = Machine::replay(ID, Arc::clone(&self.definition), &self.journal).unwrap();
        let views = machine.view();
        let turned = machine.state.turned.is_some();
        let says = |again: bool| {
            views.iter().enumerate().find_map(|(i, view)| {
                let (done, undone) = self.net(view.step.as_str());
                let step = view.step.clone();
                let has_output = call_step(&self.definition.steps[i]).is_some_and(|call| !call.output.is_empty());
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

    /// The books at an end.
    pub(super) fn audit(&mut self, end: End) {
        // Whatever is still out arrives.
        self.pass(MAX_EXECUTION * 2);
        let machine = Machine::replay(ID, Arc::clone(&self.definition), &self.journal).unwrap();
        let views = machine.view();
        for (step, view) in self.definition.steps.iter().zip(views) {
            let Some(call) = call_step(step) else { continue };
            let (done, undone) = self.net(step.id.as_str());
            let twice =
                call.effect == StepEffect::Once && matches!(call.in_doubt, InDoubt::Resend) && self.rules.kind == Kind::Ledger;
            assert!(done <= 1 || twice || call.effect != StepEffect::Once, "{} happened {done} times: {}", step.id, self.story());
            assert!(undone <= done, "{} was undone {undone} times: {}", step.id, self.story());
            if call.effect == StepEffect::None {
                continue;
            }
            match end {
                End::Completed if view.state == "skipped" => assert_eq!(done, 0, "{}", self.story()),
                End::Completed if step.on_failure == OnFailure::Continue => {
                    assert!(view.state != "done" || done == 1, "{} {}", step.id, self.story());
                    assert!(view.state != "failed" || done == 0, "{} {}", step.id, self.story());
                }
                End::Completed => assert_eq!((done, undone), (1, 0), "{} is kept once: {}", step.id, self.story()),
                End::Compensated if call.compensate.is_none() && step.on_failure == OnFailure::Continue => {}
                End::Compensated if call.compensate.is_none() && step.position == saga_config::saga::Position::Before => {}
                End::Compensated => assert_eq!(done, undone, "{} does not remain: {}", step.id, self.story()),
                End::Quarantined => assert!(self.faults > 0, "only faults quarantine: {}", self.story()),
            }
        }
    }
}
