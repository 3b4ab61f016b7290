//! What a definition's expressions read in the end: an input, or what a service answers. A value that is only passed on, from an answer
//! to an output, from there to a `set`, to a sub-saga's input, is followed back to where it comes from.

use saga_config::{
    expr::{Expression, Key, Reference, Segment},
    names::StepPath,
    saga::{Action, Call, CallStep, Check, FrameIndex, InDoubt, Later, Outcome, Reply, Saga, StepIndex, Undo},
    template::{Template, ValueTemplate},
};

/// How often a value may be passed on: as often as steps stand in a row, and that is bounded.
const DEPTH: usize = 100;

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Origin {
    /// The saga's input.
    Input,
    /// The answer to a step's call.
    Answer(StepIndex),
    /// The answer that accepted it.
    Accepted(StepIndex),
    /// What is called back.
    Callback(StepIndex),
}

/// What `response` is where an expression stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// There is none.
    Before,
    Answer,
    Accepted,
    /// Of a probe, or of an undo: nothing that later steps read.
    Other,
}

/// An expression, and where it stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Site<'d> {
    pub(super) expression: &'d Expression,
    /// `None`: in the saga's answers.
    pub(super) step: Option<StepIndex>,
    pub(super) role: Role,
    frame: Option<FrameIndex>,
}

/// Where a reference leads: what it comes from, and the path in that.
pub(super) type Source = (Origin, Vec<Segment>);

/// All expressions that what services answer, or the input, goes into.
pub(super) fn sites(definition: &Saga) -> Vec<Site<'_>> {
    let mut sites = Sites { found: Vec::new(), step: None, frame: None };
    for (index, step) in definition.steps.iter().enumerate() {
        (sites.step, sites.frame) = (Some(StepIndex(index)), step.frame);
        sites.all(Role::Before, &step.when);
        match &step.action {
            Action::Call(call) => sites.call_step(call),
            Action::Set(values) => values.iter().for_each(|(_, value)| sites.value(Role::Before, value)),
            Action::Switch(arms) => arms.iter().for_each(|arm| sites.all(Role::Before, &arm.when)),
            Action::Foreach(at) => definition.loops.get(at.0).iter().for_each(|one| sites.value(Role::Before, &one.list)),
            Action::Wait(_) => {}
            Action::Enter(at) => {
                let given = definition.frames.get(at.0).into_iter().flat_map(|frame| &frame.given);
                sites.frame = definition.frames.get(at.0).and_then(|frame| frame.parent);
                given.for_each(|(_, value)| sites.value(Role::Before, value));
            }
            Action::Leave(at) => {
                sites.frame = Some(*at);
                sites.reply(definition.frames.get(at.0).and_then(|frame| frame.reply.as_ref()));
            }
        }
    }
    (sites.step, sites.frame) = (None, None);
    let response = &definition.response;
    [&response.completed, &response.compensated, &response.quarantined].into_iter().for_each(|reply| sites.reply(reply.as_ref()));
    sites.found
}

struct Sites<'d> {
    found: Vec<Site<'d>>,
    step: Option<StepIndex>,
    frame: Option<FrameIndex>,
}

impl<'d> Sites<'d> {
    fn all(&mut self, role: Role, expressions: impl IntoIterator<Item = &'d Expression>) {
        let (step, frame) = (self.step, self.frame);
        self.found.extend(expressions.into_iter().map(|expression| Site { expression, step, role, frame }));
    }

    fn value(&mut self, role: Role, value: &'d ValueTemplate) {
        self.all(role, value.expressions());
    }

    fn template(&mut self, role: Role, template: &'d Template) {
        self.all(role, template.expressions().map(|(expression, _)| expression));
    }

    fn call(&mut self, call: &'d Call) {
        self.template(Role::Before, call.target.template());
        call.headers.iter().for_each(|(_, header)| self.template(Role::Before, header));
        call.body.iter().for_each(|body| self.value(Role::Before, body));
    }

    fn outcome(&mut self, role: Role, outcome: &'d Outcome) {
        self.all(role, [&outcome.failure, &outcome.pending, &outcome.success].into_iter().flatten());
    }

    fn call_step(&mut self, call: &'d CallStep) {
        self.call(&call.call);
        match &call.later {
            None => self.outcome(Role::Answer, &call.call.outcome),
            Some(Later::Poll(poll)) => {
                self.outcome(Role::Answer, &call.call.outcome);
                self.template(Role::Accepted, poll.target.template());
                poll.headers.iter().for_each(|(_, header)| self.template(Role::Accepted, header));
                self.all(Role::Answer, [&poll.until]);
            }
            Some(Later::Callback(callback)) => {
                self.outcome(Role::Accepted, &call.call.outcome);
                self.all(Role::Answer, &callback.failure);
            }
        }
        call.output.iter().for_each(|(_, value)| self.value(Role::Answer, value));
        self.check(&call.in_doubt);
        if let Some(undo) = &call.compensate {
            self.undo(undo);
        }
    }

    fn undo(&mut self, undo: &'d Undo) {
        self.call(&undo.call);
        self.outcome(Role::Other, &undo.call.outcome);
        self.check(&undo.in_doubt);
    }

    fn check(&mut self, in_doubt: &'d InDoubt) {
        let InDoubt::Check(check) = in_doubt else { return };
        let Check { target, headers, .. } = &**check;
        self.template(Role::Before, target.template());
        headers.iter().for_each(|(_, header)| self.template(Role::Before, header));
    }

    fn reply(&mut self, reply: Option<&'d Reply>) {
        let Some(reply) = reply else { return };
        self.value(Role::Before, &reply.status);
        reply.headers.iter().for_each(|(_, header)| self.template(Role::Before, header));
        reply.body.iter().chain(&reply.problem).for_each(|value| self.value(Role::Before, value));
    }
}

/// Where a reference of an expression leads; `None`: to something that is computed, or to no value of a service.
pub(super) fn source(definition: &Saga, site: &Site<'_>, reference: &Reference) -> Option<Source> {
    follow(definition, *site, reference.root(), reference.segments(), DEPTH)
}

fn follow(definition: &Saga, site: Site<'_>, root: &str, path: &[Segment], depth: usize) -> Option<Source> {
    let depth = depth.checked_sub(1)?;
    match (root, site.role) {
        ("response", Role::Answer) => Some((Origin::Answer(site.step?), path.to_vec())),
        ("response", Role::Accepted) => Some((Origin::Accepted(site.step?), path.to_vec())),
        ("callback", _) => Some((Origin::Callback(site.step?), path.to_vec())),
        ("input", _) => match site.frame {
            None => Some((Origin::Input, path.to_vec())),
            Some(at) => {
                let frame = definition.frames.get(at.0)?;
                let (name, rest) = named(path)?;
                let (_, given) = frame.given.iter().find(|(known, _)| known.as_str() == name)?;
                let site = Site { step: Some(frame.enter), role: Role::Before, frame: frame.parent, ..site };
                through(definition, site, given, rest, depth)
            }
        },
        ("steps", _) => output(definition, site, path, depth),
        (name, _) => {
            // The item of a loop.
            let at = definition[site.step?].in_loop?;
            let one = definition.loops.get(at.0).filter(|one| one.item.as_str() == name)?;
            let site = Site { step: Some(one.step), role: Role::Before, frame: definition[one.step].frame, ..site };
            let first = Segment { key: Key::Index(0), optional: false };
            let path: Vec<Segment> = std::iter::once(first).chain(path.iter().cloned()).collect();
            through(definition, site, &one.list, &path, depth)
        }
    }
}

/// `steps.ID.OUTPUT…`, as it is seen where the expression stands.
fn output(definition: &Saga, site: Site<'_>, path: &[Segment], depth: usize) -> Option<Source> {
    let (id, rest) = named(path)?;
    let (name, rest) = named(rest)?;
    let path = match site.frame.and_then(|at| definition.frames.get(at.0)) {
        None => id.to_owned(),
        Some(frame) => format!("{}/{id}", frame.path.name()),
    };
    let index = definition.step(&path)?;
    let step = &definition[index];
    // Outside of its loop an output is a list with one entry for each item.
    let is_list = step.in_loop.is_some() && step.in_loop != site.step.and_then(|at| definition[at].in_loop);
    let rest = match rest {
        [Segment { key: Key::Index(_), .. }, rest @ ..] if is_list => rest,
        rest => rest,
    };
    let there = Site { step: Some(index), role: Role::Before, frame: step.frame, ..site };
    let by_name = |values: &'_ [(saga_config::names::VariableName, ValueTemplate)]| {
        values.iter().find(|(known, _)| known.as_str() == name).map(|(_, value)| value.clone())
    };
    match &step.action {
        Action::Call(_) if name == "accepted" => Some((Origin::Accepted(index), rest.to_vec())),
        Action::Call(call) => through(definition, Site { role: Role::Answer, ..there }, &by_name(&call.output)?, rest, depth),
        Action::Set(values) => through(definition, there, &by_name(values)?, rest, depth),
        Action::Leave(at) => {
            let reply = definition.frames.get(at.0)?.reply.as_ref()?;
            let value = if name == "body" { reply.body.as_ref()? } else { &reply.status };
            through(definition, Site { frame: Some(*at), ..there }, value, rest, depth)
        }
        Action::Switch(_) | Action::Foreach(_) | Action::Wait(_) | Action::Enter(_) => None,
    }
}

/// Into a value that is written as a template, if what stands there is one path and nothing else.
fn through(definition: &Saga, site: Site<'_>, value: &ValueTemplate, path: &[Segment], depth: usize) -> Option<Source> {
    let leads = |at: &saga_config::yaml::Pointer| {
        let tokens: Vec<&str> = at.tokens().collect();
        let fits = tokens.len() <= path.len() && tokens.iter().zip(path).all(|(token, segment)| is(segment, token));
        fits.then_some(tokens.len())
    };
    let (taken, template) = value.templates().into_iter().find_map(|(at, template)| Some((leads(&at)?, template)))?;
    let expression = template.whole()?;
    let [reference] = expression.references() else { return None };
    if expression.source().trim() != reference.to_string() {
        return None;
    }
    let path: Vec<Segment> = reference.segments().iter().chain(&path[taken..]).cloned().collect();
    follow(definition, site, reference.root(), &path, depth)
}

fn is(segment: &Segment, token: &str) -> bool {
    match &segment.key {
        Key::Field(name) => name == token,
        Key::Index(index) => token.parse() == Ok(*index),
    }
}

fn named(path: &[Segment]) -> Option<(&str, &[Segment])> {
    match path {
        [Segment { key: Key::Field(name), .. }, rest @ ..] => Some((name, rest)),
        _ => None,
    }
}

/// The step of an answer.
pub(super) fn step_of(definition: &Saga, origin: Origin) -> Option<&StepPath> {
    match origin {
        Origin::Input => None,
        Origin::Answer(at) | Origin::Accepted(at) | Origin::Callback(at) => Some(&definition[at].id),
    }
}
