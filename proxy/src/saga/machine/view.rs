//! A saga as people see it.

use saga_config::saga::Saga;

use super::super::{
    state::{Back, Forward, Standing, State, StepState, undo},
    turn::StepView,
};
use crate::time::Timestamp;

pub(super) fn view(definition: &Saga, state: &State) -> Vec<StepView> {
    let views = in_order(definition, state).map(|i| (i, &state.steps[i])).map(|(i, known)| StepView {
        step: state.instances.path(i).clone(),
        state: forward(state, known),
        undo: if undo(state.instances.step(definition, i)).is_some() { back(known) } else { "none" },
        starts: known.call.number.saturating_sub(known.call.annulled),
        again_at: again_at(state, known),
        reason: known.reason.clone(),
        output: (!known.output.is_empty()).then(|| known.output.clone()),
    });
    views.collect()
}

/// As the definition has them; those of a loop in the order of its items, and none before its list is fixed.
fn in_order<'a>(definition: &'a Saga, state: &'a State) -> impl Iterator<Item = usize> + 'a {
    (0..definition.steps.len()).flat_map(|step| state.instances.all(step))
}

fn forward(state: &State, step: &StepState) -> &'static str {
    if is_timer(state, step) {
        return "waiting";
    }
    match (&step.forward, step.call.standing) {
        (Forward::Done { .. } | Forward::Set, _) => "done",
        (Forward::Refused { .. }, _) => "failed",
        (Forward::GivenUp, _) => "maybe_done",
        (Forward::Skipped(_), _) => "skipped",
        (Forward::Open, Standing::Idle) => "pending",
        (Forward::Open, Standing::Sending { .. }) => "sending",
        (Forward::Open, Standing::Delayed { .. } | Standing::Waiting { .. } | Standing::Accepted { .. }) => "waiting",
        (Forward::Open, Standing::Doubted { .. } | Standing::Left | Standing::Stuck) => "maybe_done",
    }
}

/// Whether a timer runs: not any more once the saga has turned back.
fn is_timer(state: &State, step: &StepState) -> bool {
    step.forward == Forward::Open && step.timed.is_some() && state.turned.is_none()
}

fn back(step: &StepState) -> &'static str {
    match (step.back, step.undo_call.standing) {
        (Back::Undone, _) => "undone",
        (Back::Failed, _) => "undo_failed",
        (Back::Open, Standing::Idle) if step.has_happened() => "planned",
        (Back::Open, Standing::Idle) => "none",
        (Back::Open, _) => "sending",
    }
}

fn again_at(state: &State, step: &StepState) -> Option<Timestamp> {
    if is_timer(state, step) {
        return step.timed.filter(|_| state.quarantined.is_none());
    }
    let call = if state.turned.is_some() && step.has_happened() { &step.undo_call } else { &step.call };
    let at = match call.standing {
        Standing::Delayed { again_at } | Standing::Waiting { again_at } | Standing::Doubted { again_at } => Some(again_at),
        // Until then somebody may call back.
        Standing::Accepted { again_at } => again_at.or(call.accepted.map(|accepted| accepted.until)),
        Standing::Idle | Standing::Sending { .. } | Standing::Left | Standing::Stuck => None,
    };
    at.filter(|_| state.ended.is_none() && state.quarantined.is_none())
}
