//! How a run ended: what the saga says, what its services have, and whether the two agree.

use std::{collections::BTreeMap, time::Duration};

use saga_config::{
    names::StepPath,
    saga::{Effect as StepEffect, OnFailure},
};
use serde::Serialize;
use serde_json::{Value, json};

use super::{
    super::{entry::What, machine::Machine, state::call_step, turn::StepView},
    fault::Fault,
    stage::BEGIN,
    world::World,
};
use crate::store::journal::SagaState;

/// What became of a step's effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// The service did nothing.
    None,
    /// The service did it, and undid it.
    Undone,
    /// It is there.
    Kept,
}

impl Effect {
    /// As expressions see it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Undone => "undone",
            Self::Kept => "kept",
        }
    }
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Ending {
    /// `completed`, `compensated`, `quarantined`; `running`: it takes more turns than a simulation makes.
    pub state: SagaState,
    /// What the caller gets: its status.
    pub status: u16,
    /// What the caller gets: its JSON body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<Value>,
    /// Whether the body is a problem.
    pub is_problem: bool,
    /// Why the answer is the default and not the definition's own, if that has no value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer_fault: Option<String>,
    /// Whether the caller gets a 202 first, since it takes long.
    pub pending_first: bool,
    /// The steps that were undone, in this order.
    pub undone: Vec<StepPath>,
    /// What services have of each step with an effect. Of a loop's: of every item together.
    pub effects: BTreeMap<StepPath, Effect>,
    /// What went wrong.
    pub faults: Vec<Fault>,
    /// How long it took, in whole seconds.
    #[serde(rename = "seconds", serialize_with = "seconds")]
    pub took: Duration,
    /// Why it turned back, or waits for an operator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What is there although the saga's books say otherwise, and the other way round.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub leaks: Vec<String>,
    /// What happened, in words, with the time since the beginning.
    #[serde(skip)]
    pub story: Vec<(Duration, String)>,
}

fn seconds<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(duration.as_secs())
}

impl Ending {
    /// What came of a world that is over.
    pub(super) fn of(mut world: World<'_>) -> Self {
        let took = BEGIN.until(world.answer.as_ref().map_or(world.now, |(at, _)| *at));
        let state = world.state();
        world.settle();
        let answer = world.answer.as_ref().map(|(_, answer)| answer);
        let views = world.machine().map(Machine::view).unwrap_or_default();
        let reason = world.machine().and_then(|machine| machine.reason().map(str::to_owned));
        Self {
            state,
            status: answer.map_or(0, |answer| answer.status),
            body: answer.and_then(|answer| answer.body.as_deref()).and_then(|body| serde_json::from_str(body).ok()),
            is_problem: answer.is_some_and(|answer| answer.is_problem),
            answer_fault: world.machine().and_then(Machine::answer_fault),
            pending_first: took > world.stage.definition.response.pending_after,
            undone: undone(&world),
            effects: effects(&world),
            took,
            reason,
            leaks: views.iter().flat_map(|view| leaks(&world, view, state)).collect(),
            faults: world.faults,
            story: world.story,
        }
    }

    /// As invariants see it.
    pub(super) fn seen(&self, case: &str) -> Value {
        let fault = |fault: &Fault| json!({"step": fault.step.name(), "undo": fault.undo, "outcome": fault.outcome.name()});
        let effects: serde_json::Map<String, Value> =
            self.effects.iter().map(|(step, effect)| (step.as_str().to_owned(), effect.as_str().into())).collect();
        json!({
            "case": case,
            "state": self.state.as_str(),
            "status": self.status,
            "body": self.body,
            "effects": effects,
            "undone": self.undone.iter().map(StepPath::as_str).collect::<Vec<_>>(),
            "fault": self.faults.first().map_or_else(|| json!({"step": "", "undo": false, "outcome": "none"}), fault),
            "faults": self.faults.iter().map(fault).collect::<Vec<_>>(),
            "reason": self.reason.as_deref().unwrap_or_default(),
            "seconds": self.took.as_secs(),
        })
    }
}

fn undone(world: &World<'_>) -> Vec<StepPath> {
    let of = |what: &What| match what {
        What::Undone { step, .. } => Some(step.clone()),
        _ => None,
    };
    world.journal.iter().filter_map(|entry| of(&entry.what)).collect()
}

fn effects(world: &World<'_>) -> BTreeMap<StepPath, Effect> {
    let steps = world.stage.definition.steps.iter();
    let with_effects = steps.filter(|step| call_step(step).is_some_and(|call| call.effect != StepEffect::None));
    let mut effects: BTreeMap<StepPath, Effect> = with_effects.map(|step| (step.id.clone(), Effect::None)).collect();
    for (step, book) in world.services.books() {
        let effect = match (book.done, book.undone) {
            (0, _) => Effect::None,
            (done, undone) if done > undone => Effect::Kept,
            _ => Effect::Undone,
        };
        if let Some(known) = effects.get_mut(&step.without_place()) {
            *known = effect.max(*known);
        }
    }
    effects
}

/// Where a service's book and the saga's do not agree. What the author allowed is no leak: `compensate: none`, and doubt that
/// `on_failure: continue` leaves.
fn leaks(world: &World<'_>, view: &StepView, state: SagaState) -> Vec<String> {
    let definition = &world.stage.definition;
    let Some(step) = definition.step(view.step.name()).map(|index| &definition[index]) else { return Vec::new() };
    let Some(call) = call_step(step).filter(|call| call.effect != StepEffect::None) else { return Vec::new() };
    let book = world.services.book(&view.step);
    let (done, undone, name) = (book.done, book.undone, &view.step);
    let mut leaks = Vec::new();
    if call.effect == StepEffect::Once && done > 1 {
        leaks.push(format!("{name} was carried out {done} times"));
    }
    if undone > done {
        leaks.push(format!("{name} was carried out {done} times and undone {undone} times"));
    }
    let remains = done > undone;
    let is_off = matches!(view.state, "failed" | "skipped" | "pending");
    let is_allowed_doubt = view.state == "maybe_done" && step.on_failure == OnFailure::Continue;
    let wrong = match state {
        _ if remains && is_off => Some(format!("{name} is there, and counts as never carried out")),
        _ if remains && view.undo == "undone" => Some(format!("{name} is there, and counts as undone")),
        SagaState::Completed if view.state == "done" && !remains => Some(format!("{name} counts as done, and is not there")),
        SagaState::Completed if view.state == "maybe_done" && !is_allowed_doubt => {
            Some(format!("nobody knows what became of {name}, and the saga is completed"))
        }
        SagaState::Compensated if call.compensate.is_some() && remains => {
            Some(format!("{name} is there, neither kept nor undone"))
        }
        _ => None,
    };
    leaks.extend(wrong);
    leaks
}
