//! Input and answers that nobody gave: made up so that the saga, with them, goes through.
//!
//! The shape is what the definition reads. What the values are is found by playing: where the machine cannot go on, what is read there is
//! tried with other values, one by one and then two at a time, until it can.

use std::{collections::BTreeMap, sync::Arc};

use saga_config::{
    expr::{Bindings, Key},
    names::StepPath,
    saga::{
        Later, Saga, StepIndex,
        test::{Answers, Case, Mock, Start},
    },
};
use serde_json::{Map, Value, json};

use super::{
    super::{
        entry::{By, What},
        input,
        machine::Machine,
        state::call_step,
    },
    candidates::deduplicated,
    fault::Outcome,
    literals::literals,
    reads::{Origin, Site, sites, source, step_of},
    runs::play,
    shape::{Path, Shape, written},
    stage::{Participant, Stage},
    world::World,
};
use crate::store::journal::SagaState;

/// The most plays of the search.
const MOST_PLAYS: usize = 600;
/// Statuses of answers that are a yes, the likeliest first.
const YES: [u16; 4] = [200, 201, 202, 204];

/// What a case lacks, so that it cannot be simulated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lacking {
    /// The case.
    pub case: String,
    /// The step where it stops; `None`: before the first, or at the saga's answer.
    pub step: Option<StepPath>,
    /// Why, in the machine's words.
    pub reason: String,
    /// What to write.
    pub help: String,
}

/// A case that goes through, or as far as it can.
pub(super) struct Made {
    pub(super) stage: Stage,
    /// Which answers and inputs were made up.
    pub(super) made_up: Vec<String>,
}

/// Makes a stage of a case.
pub(super) fn make(definition: &Arc<Saga>, case: &Case, participants: &[Participant]) -> Result<Made, Lacking> {
    let mut search = Search::new(definition, case, participants)?;
    let mut best = search.look();
    // Every round of the search plays at least once.
    while let Some(stop) = best.stop.clone() {
        if search.plays >= MOST_PLAYS {
            return Err(search.lacking(&stop));
        }
        match search.improve(&stop, best.score) {
            Some(better) => best = better,
            None => return Err(search.lacking(&stop)),
        }
    }
    let made_up = search.made_up();
    let stage = search.stage();
    if let Some(wrong) =
        stage.definition.input.iter().find_map(|input| input::check(input, stage.input.get(input.name.as_str())?).err())
    {
        let help = "write `test: {cases: [{name: …, input: {…}}]}`".to_owned();
        return Err(Lacking { case: case.name.clone(), step: None, reason: wrong.to_string(), help });
    }
    Ok(Made { stage, made_up })
}

/// How far a play came.
struct Look {
    score: usize,
    /// Where it stopped; `None`: it went through.
    stop: Option<Stop>,
}

#[derive(Clone, Debug)]
struct Stop {
    step: Option<StepPath>,
    /// The input that is not what it must be, if it is one.
    input: Option<String>,
    reason: String,
}

struct Search<'d> {
    definition: &'d Arc<Saga>,
    case: &'d Case,
    participants: &'d [Participant],
    sites: Vec<Site<'d>>,
    shapes: BTreeMap<Origin, Shape>,
    statuses: BTreeMap<StepIndex, u16>,
    given_input: Map<String, Value>,
    plays: usize,
}

impl<'d> Search<'d> {
    fn new(definition: &'d Arc<Saga>, case: &'d Case, participants: &'d [Participant]) -> Result<Self, Lacking> {
        let given_input = match &case.start {
            None => Map::new(),
            Some(Start::Input(input)) => input.clone(),
            Some(Start::Request { request, claims }) => {
                let known = Bindings::new().with("request", request).with("claims", claims);
                input::evaluate(&definition.input, &known).map_err(|error| Lacking {
                    case: case.name.clone(),
                    step: None,
                    reason: error.to_string(),
                    help: "the case's `request` has to be one that starts the saga".to_owned(),
                })?
            }
        };
        let sites = sites(definition);
        let mut shapes: BTreeMap<Origin, Shape> = BTreeMap::new();
        for site in &sites {
            for reference in site.expression.references() {
                if let Some((origin, path)) = source(definition, site, reference) {
                    shapes.entry(origin).or_default().read(&path, reference.reading());
                }
            }
        }
        let inputs = shapes.entry(Origin::Input).or_default();
        for input in &definition.input {
            let shape = inputs.field(input.name.as_str());
            shape.is(input.kind);
            let reads = input.check.iter().flat_map(|check| check.references());
            reads.for_each(|reference| shape.read_below(reference, "self", &[]));
        }
        Ok(Self { definition, case, participants, sites, shapes, statuses: BTreeMap::new(), given_input, plays: 0 })
    }

    /// The stage as the choices stand.
    fn stage(&self) -> Stage {
        let mut input = Map::new();
        let made = self.shapes.get(&Origin::Input).map_or_else(|| json!({}), |shape| shape.made("input"));
        for declared in &self.definition.input {
            let name = declared.name.as_str();
            let value = self.given_input.get(name).or_else(|| made.get(name)).cloned();
            input.insert(name.to_owned(), value.unwrap_or(Value::Null));
        }
        let mut answers = self.case.answers.clone();
        for (index, step) in self.definition.steps.iter().enumerate() {
            if call_step(step).is_none() {
                continue;
            }
            let at = StepIndex(index);
            let known: &mut Answers = answers.entry(step.id.clone()).or_default();
            if let Some(later) = call_step(step).and_then(|call| call.later.as_ref()) {
                let accepted = self.mock(Origin::Accepted(at), step.id.id());
                let status = match later {
                    Later::Poll(poll) => poll.status,
                    Later::Callback(_) => accepted.status,
                };
                known.accepted.get_or_insert(Mock { status, ..accepted });
            }
            known.done.get_or_insert_with(|| self.mock(Origin::Answer(at), step.id.id()));
        }
        Stage::new(Arc::clone(self.definition), input, answers, self.participants.to_vec())
    }

    fn mock(&self, origin: Origin, whose: &str) -> Mock {
        let mut shape = self.shapes.get(&origin).cloned().unwrap_or_default();
        let status = match origin {
            Origin::Answer(at) => self.statuses.get(&at).copied().unwrap_or(YES[0]),
            _ => YES[0],
        };
        let text = |value: Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let headers = match shape.field("headers").made(whose) {
            Value::Object(headers) => headers.into_iter().map(|(name, value)| (name, text(value))).collect(),
            _ => Vec::new(),
        };
        let body = shape.field("body");
        let body = if body.is_unknown() && body.leaves().len() == 1 { body.made("") } else { body.made(whose) };
        Mock { status, headers, body }
    }

    fn look(&mut self) -> Look {
        self.plays += 1;
        let stage = self.stage();
        let accepted = |input: &&saga_config::saga::Input| {
            let value = stage.input.get(input.name.as_str()).unwrap_or(&Value::Null);
            input::check(input, value).is_ok()
        };
        let inputs = &self.definition.input;
        let score = inputs.iter().take_while(accepted).count();
        if let Some(wrong) = inputs.get(score) {
            let value = stage.input.get(wrong.name.as_str()).unwrap_or(&Value::Null);
            let reason = input::check(wrong, value).err().map(|error| error.to_string()).unwrap_or_default();
            return Look { score, stop: Some(Stop { step: None, input: Some(wrong.name.as_str().to_owned()), reason }) };
        }
        match play(&stage, &[]) {
            Some(world) => {
                let look = look_at(&world);
                Look { score: score + look.score, ..look }
            }
            None => Look { score: 0, stop: Some(Stop { step: None, input: None, reason: "it does not begin".to_owned() }) },
        }
    }

    /// Other values for what is read where it stops, until it comes further.
    fn improve(&mut self, stop: &Stop, score: usize) -> Option<Look> {
        let knobs = self.knobs(stop);
        for knob in &knobs {
            let before = self.turned(knob);
            for value in self.values_for(knob) {
                self.turn(knob, Some(value));
                if let Some(look) = self.better(score) {
                    return Some(look);
                }
            }
            self.turn(knob, before);
        }
        for (nth, one) in knobs.iter().enumerate() {
            for other in &knobs[nth + 1..] {
                let before = (self.turned(one), self.turned(other));
                for first in self.values_for(one) {
                    for second in self.values_for(other) {
                        self.turn(one, Some(first.clone()));
                        self.turn(other, Some(second));
                        if let Some(look) = self.better(score) {
                            return Some(look);
                        }
                    }
                }
                self.turn(one, before.0);
                self.turn(other, before.1);
            }
        }
        None
    }

    fn better(&mut self, score: usize) -> Option<Look> {
        if self.plays >= MOST_PLAYS {
            return None;
        }
        let look = self.look();
        (look.score > score).then_some(look)
    }

    /// What can be chosen of what is read where it stops.
    fn knobs(&self, stop: &Stop) -> Vec<Knob> {
        let at = stop.step.as_ref().and_then(|step| self.definition.step(step.name()));
        let mut knobs: Vec<Knob> = Vec::new();
        if let Some(input) = stop.input.as_ref().filter(|input| !self.given_input.contains_key(*input)) {
            let of = |leaf: &Path| matches!(leaf.first(), Some(Key::Field(name)) if name == input);
            let leaves = self.shapes.get(&Origin::Input).map(Shape::leaves).unwrap_or_default();
            return leaves.into_iter().filter(of).map(|leaf| Knob::Leaf(Origin::Input, leaf)).collect();
        }
        for site in self.sites.iter().filter(|site| site.step == at) {
            for reference in site.expression.references() {
                let Some((origin, path)) = source(self.definition, site, reference) else { continue };
                let path: Path = path.into_iter().map(|segment| segment.key).collect();
                let Some(shape) = self.shapes.get(&origin).filter(|_| !self.is_given(origin, &path)) else { continue };
                if matches!((origin, path.first()), (Origin::Answer(_), Some(Key::Field(name))) if name == "status") {
                    continue;
                }
                let leaves = shape.leaves().into_iter().filter(|leaf| leaf.starts_with(&path) || path.starts_with(leaf));
                knobs.extend(leaves.map(|path| Knob::Leaf(origin, path)));
            }
        }
        knobs.sort();
        knobs.dedup();
        if let Some(at) = at.filter(|at| call_step(&self.definition[*at]).is_some() && !self.is_given(Origin::Answer(*at), &[])) {
            knobs.insert(0, Knob::Status(at));
        }
        knobs
    }

    /// Whether the file says what it is.
    fn is_given(&self, origin: Origin, path: &[Key]) -> bool {
        let answers = step_of(self.definition, origin).and_then(|step| self.case.answers.get(step));
        match origin {
            Origin::Input => matches!(path.first(), Some(Key::Field(name)) if self.given_input.contains_key(name)),
            Origin::Answer(_) => answers.is_some_and(|answers| answers.done.is_some()),
            Origin::Accepted(_) => answers.is_some_and(|answers| answers.accepted.is_some()),
            Origin::Callback(_) => answers.is_some_and(|answers| answers.approves.is_some()),
        }
    }

    fn values_for(&self, knob: &Knob) -> Vec<Value> {
        match knob {
            Knob::Status(_) => YES.iter().map(|status| json!(status)).collect(),
            Knob::Leaf(origin, path) => {
                let reads = self.sites.iter().filter(|site| {
                    let leads = |(from, read): (Origin, Vec<saga_config::expr::Segment>)| {
                        from == *origin && read.iter().zip(path).all(|(segment, key)| segment.key == *key)
                    };
                    site.expression
                        .references()
                        .iter()
                        .any(|reference| source(self.definition, site, reference).is_some_and(leads))
                });
                let checks = self.definition.input.iter().filter_map(|input| input.check.as_ref());
                let mut values = literals(reads.map(|site| site.expression).chain(checks));
                values.extend([json!("text"), json!(1), json!(100), json!(true), json!(false)]);
                values.extend([json!(["a", "b"]), json!([]), json!({}), json!(1.5), json!("2026-01-01T00:00:00Z"), Value::Null]);
                deduplicated(values)
            }
        }
    }

    fn turned(&self, knob: &Knob) -> Option<Value> {
        match knob {
            Knob::Status(at) => self.statuses.get(at).map(|status| json!(status)),
            Knob::Leaf(origin, path) => self.shapes.get(origin).and_then(|shape| shape.chosen(path)).cloned(),
        }
    }

    fn turn(&mut self, knob: &Knob, value: Option<Value>) {
        match knob {
            Knob::Status(at) => {
                let status = value.and_then(|value| value.as_u64()).and_then(|status| u16::try_from(status).ok());
                match status {
                    Some(status) => drop(self.statuses.insert(*at, status)),
                    None => drop(self.statuses.remove(at)),
                }
            }
            Knob::Leaf(origin, path) => {
                if let Some(shape) = self.shapes.get_mut(origin) {
                    shape.choose(path, value);
                }
            }
        }
    }

    fn made_up(&self) -> Vec<String> {
        let steps = self.definition.steps.iter().filter(|step| call_step(step).is_some());
        let answered = steps.filter(|step| self.case.answers.get(&step.id).is_none_or(|answers| answers.done.is_none()));
        let inputs = self.definition.input.iter().filter(|input| !self.given_input.contains_key(input.name.as_str()));
        let inputs = inputs.map(|input| format!("input.{}", input.name.as_str()));
        inputs.chain(answered.map(|step| step.id.to_string())).collect()
    }

    fn lacking(&self, stop: &Stop) -> Lacking {
        let mut wanted: Vec<String> = Vec::new();
        for knob in self.knobs(stop) {
            if let Knob::Leaf(origin, path) = knob {
                let path = written(&path);
                wanted.push(match step_of(self.definition, origin) {
                    None => format!("input.{path}"),
                    Some(step) => format!("answers.{step}.{path}"),
                });
            }
        }
        let help = match wanted.as_slice() {
            [] => "the case's answers have to lead further".to_owned(),
            wanted => format!("say in the case (`test.cases`) what these are: {}", wanted.join(", ")),
        };
        Lacking { case: self.case.name.clone(), step: stop.step.clone(), reason: stop.reason.clone(), help }
    }
}

/// Something that can be chosen.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Knob {
    Status(StepIndex),
    Leaf(Origin, Path),
}

/// How far it came: how many steps are as they should be, and whether the saga's answer is what the definition says.
fn look_at(world: &World<'_>) -> Look {
    let mut score = 0;
    let mut stop: Option<Stop> = None;
    for entry in &world.journal {
        let (step, reason) = match &entry.what {
            What::Done { fault: None, .. }
            | What::Set { .. }
            | What::Skipped { .. }
            | What::Chosen { .. }
            | What::Listed { .. } => {
                score += usize::from(stop.is_none()) * 2;
                continue;
            }
            What::Sending { .. } => {
                score += usize::from(stop.is_none());
                continue;
            }
            What::Done { step, fault: Some(fault), .. } => (step, fault),
            What::Refused { step, reason, by: By::Answer | By::Rule, .. } => (step, reason),
            What::Doubted { of, reason, .. } | What::Waiting { of, reason, .. } => (&of.step, reason),
            _ => continue,
        };
        stop.get_or_insert_with(|| Stop { step: Some(step.clone()), input: None, reason: reason.clone() });
    }
    let machine = world.machine();
    if stop.is_none() && machine.is_none_or(|machine| machine.state() != SagaState::Completed) {
        stop = Some(Stop {
            step: None,
            input: None,
            reason: machine.and_then(|machine| machine.reason().map(str::to_owned)).unwrap_or_default(),
        });
    }
    if stop.is_none() {
        score += 1;
        let fault = machine.and_then(Machine::answer_fault);
        stop = fault.map(|reason| Stop { step: None, input: None, reason: format!("`response.completed`: {reason}") });
        score += usize::from(stop.is_none());
    }
    debug_assert!(world.faults.iter().all(|fault| fault.outcome == Outcome::Done), "nothing went wrong");
    Look { score, stop }
}

impl Lacking {
    /// Of a case that does not begin.
    pub(super) fn nothing(case: &str) -> Self {
        let (reason, help) = ("it does not begin".to_owned(), "this is a fault of Refrain's own".to_owned());
        Self { case: case.to_owned(), step: None, reason, help }
    }
}
