//! What stands in a step: the arms of a switch, the steps of a loop, a sub-saga.

use saga_config::saga::{Action, Saga, Within};
use serde_json::Value;

use super::{Applied, Forward, State, StepState, unfit};
use crate::saga::entry::SkipReason;

/// The most steps of a running saga, those of each item counted: with the entries of all their calls and undos, and of some repeats, they
/// stay below [`crate::store::journal::MAX_JOURNAL_ENTRIES`].
pub(in super::super) const MAX_INSTANCES: usize = 20_000;

impl State {
    /// A switch has chosen: what stands in its other arms does not run. Gives what that is.
    pub(super) fn chosen(&mut self, definition: &Saga, i: usize, arm: Option<u32>) -> Result<Vec<usize>, super::Unfit> {
        let Action::Switch(arms) = &self.instances.step(definition, i).action else {
            return Err(super::Unfit("the step is no switch".to_owned()));
        };
        if arm.is_some_and(|arm| arm as usize >= arms.len()) {
            return Err(super::Unfit("there is no such arm".to_owned()));
        }
        self.steps[i].forward = Forward::Set;
        Ok(self.skip_within(definition, i, arm, SkipReason::NotChosen))
    }

    /// A loop's list is fixed: its steps are there now.
    pub(super) fn listed(&mut self, definition: &Saga, i: usize, items: &[Value]) -> Applied {
        let Action::Foreach(in_loop) = self.instances.step(definition, i).action else { return unfit("the step is no loop") };
        let Some((of, known)) = definition.loops.get(in_loop.0).zip(self.items.get_mut(in_loop.0)) else {
            return unfit("there is no such loop");
        };
        let is_short = self.instances.len().saturating_add(items.len().saturating_mul(of.body.len())) <= MAX_INSTANCES;
        let Some(count) = u32::try_from(items.len()).ok().filter(|_| is_short && items.len() <= of.limit) else {
            return unfit("the list is too long");
        };
        items.clone_into(known);
        self.instances.listed(definition, in_loop.0, count);
        self.steps.resize_with(self.instances.len(), StepState::default);
        self.steps[i].forward = Forward::Set;
        Ok(())
    }

    /// What stands in a step does not run, for the same item, but what stands in the arm that was chosen. Gives what that is.
    pub(super) fn skip_within(&mut self, definition: &Saga, i: usize, chosen: Option<u32>, because: SkipReason) -> Vec<usize> {
        let (container, place) = (self.instances[i].step, self.instances[i].place);
        if !matches!(definition.steps[container].action, Action::Switch(_) | Action::Enter(_)) {
            return Vec::new();
        }
        let mut is_gone = vec![false; definition.steps.len()];
        let mut skipped = Vec::new();
        for (inner, step) in definition.steps.iter().enumerate().skip(container + 1) {
            is_gone[inner] = match step.within {
                Some(Within::Arm { switch, arm }) if switch.0 == container => chosen.is_none_or(|chosen| chosen as usize != arm),
                Some(Within::Arm { switch, .. }) => is_gone[switch.0],
                Some(Within::Sub(frame)) => {
                    definition.frames.get(frame.0).is_some_and(|of| of.enter.0 == container || is_gone[of.enter.0])
                }
                Some(Within::Body(_)) | None => false,
            };
            let at = self.instances.at(inner, place.filter(|_| step.in_loop.is_some()));
            if let Some(at) = at.filter(|at| is_gone[inner] && self.steps[*at].is_untouched()) {
                self.steps[at].forward = Forward::Skipped(because);
                skipped.push(at);
            }
        }
        skipped
    }
}
