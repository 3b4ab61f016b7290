//! The failure table of one case: every call and every outcome, one fault at a time.

use saga_config::{
    names::StepPath,
    saga::{Effect, OnFailure, Saga, Step},
};
use serde::Serialize;

use super::{
    super::state::{call_step, undo},
    ending::Ending,
    fault::{Fault, Outcome},
    runs::{Planned, play},
    stage::Stage,
};

/// One row.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// The step.
    pub step: StepPath,
    /// Whether it is the step's undo.
    pub undo: bool,
    /// What becomes of it.
    pub outcome: Outcome,
    /// What made the saga turn back before, for an undo.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Fault>,
    /// How it ends.
    pub ending: Ending,
}

/// The rows of one case, in the order of the steps, undos after them; and what they cannot show.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Table {
    pub(super) rows: Vec<Row>,
    /// Calls that are not made in this case, or have no such outcome that could be made up.
    pub(super) notes: Vec<String>,
}

/// The table of a stage. `base`: how it ends when nothing goes wrong.
pub(super) fn table(stage: &Stage, base: &Ending) -> Table {
    let mut table = Table::default();
    let definition = &stage.definition;
    for step in definition.steps.iter().filter(|step| call_step(step).is_some()) {
        if play(stage, &[Planned::new(step.id.as_str(), false, Outcome::NotSent)]).is_none() {
            table.notes.push(format!("{} is not called in this case", step.id));
            continue;
        }
        table.rows.push(Row { step: step.id.clone(), undo: false, outcome: Outcome::Done, after: None, ending: base.clone() });
        let reads = call_step(step).is_some_and(|call| call.effect == Effect::None);
        let outcomes: &[Outcome] = if reads { &Outcome::OF_READS } else { &Outcome::OF_STEPS };
        for outcome in outcomes.iter().chain(&Outcome::OF_CALLBACKS) {
            let plan = [Planned::new(step.id.as_str(), false, *outcome)];
            match play(stage, &plan) {
                Some(world) => {
                    let ending = Ending::of(world);
                    table.rows.push(Row { step: step.id.clone(), undo: false, outcome: *outcome, after: None, ending });
                }
                None if *outcome == Outcome::Refused => table.notes.push(format!(
                    "no answer was found that {} takes for a refusal: say one in `test.cases[].answers.{}.refused`",
                    step.id, step.id
                )),
                None => {}
            }
        }
    }
    for step in definition.steps.iter().rev().filter(|step| undo(step).is_some()) {
        undos(stage, step, &mut table);
    }
    table
}

fn undos(stage: &Stage, step: &Step, table: &mut Table) {
    let Some(turns) = turns(stage, step) else {
        table.notes.push(format!("nothing that goes wrong once has {} undone in this case", step.id));
        return;
    };
    let id = step.id.as_str();
    for outcome in Outcome::OF_UNDOS {
        let Some(world) = play(stage, &[turns.clone(), Planned::new(id, true, outcome)]) else { continue };
        let ending = Ending::of(world);
        let after = ending.faults.first().cloned();
        table.rows.push(Row { step: step.id.clone(), undo: true, outcome, after, ending });
    }
}

/// What has a step undone: the refusal of a later one, or an operator who turns the saga back while a later one is under way.
fn turns(stage: &Stage, step: &Step) -> Option<Planned> {
    let definition: &Saga = &stage.definition;
    let at = definition.step(step.id.name())?.0;
    let later = || definition.steps.iter().skip(at + 1).filter(|step| call_step(step).is_some());
    let refused = later().filter(|step| step.on_failure == OnFailure::Compensate);
    let refused = refused.map(|later| Planned::new(later.id.as_str(), false, Outcome::Refused));
    let told = later().map(|later| Planned::new(later.id.as_str(), false, Outcome::TurnedBack));
    let undoes = |plan: &Planned| {
        let world = play(stage, std::slice::from_ref(plan));
        world.is_some_and(|world| Ending::of(world).undone.iter().any(|undone| undone.name() == step.id.name()))
    };
    refused.chain(told).find(undoes)
}
