//! What an expression may read where it stands.

use super::{
    Within,
    build::Builder,
    kinds::{Kind, kinds},
    raw::OnFailure,
    secrets::Secrets,
    sub_saga,
    types::Types,
    unfold::Node,
};
use crate::{
    diagnostic::{did_you_mean, quoted},
    expr::{Key, Names, Reading, Reference, Segment, Type},
    names::{StepId, VariableName},
};

/// A place in a definition, as far as expressions go.
#[derive(Debug, Clone)]
pub(super) struct Scope {
    /// The names that are there.
    pub(super) roots: &'static [&'static str],
    /// The name of the item, in a loop.
    pub(super) item: Option<VariableName>,
    pub(super) steps: Steps,
    /// Whether `step.attempt` is there: what says it differs from one attempt to the next.
    pub(super) has_attempt: bool,
    /// Whether the step's own `accepted` is there: the answer to its request, before it came to its end.
    has_accepted: bool,
    /// What `callback` has, where it is there.
    callback: &'static [&'static str],
    /// Whether `secret()` is there.
    pub(super) secrets: Secrets,
}

/// The answer to the request of a step that did not end with it: of its own outputs.
pub(super) const ACCEPTED: &str = "accepted";

/// Which steps can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Steps {
    /// None: `steps` is not there.
    None,
    /// Those that are surely settled before this one starts.
    Before(usize),
    /// Those, and itself.
    BeforeAndOwn(usize),
    /// All: they are done, but for those that may be skipped or fail.
    Done,
    /// All, and any of them may never have run.
    Whatever,
}

impl Steps {
    /// The step that reads.
    pub(super) fn reader(self) -> Option<usize> {
        match self {
            Self::Before(reader) | Self::BeforeAndOwn(reader) => Some(reader),
            Self::None | Self::Done | Self::Whatever => None,
        }
    }
}

/// Where inputs come from.
pub(super) const INPUT: Scope = Scope::new(&["request", "claims"], Steps::None);
/// What must hold of an input.
pub(super) const CHECK: Scope = Scope::new(&["self"], Steps::None);
/// The answer when every step is done.
pub(super) const COMPLETED: Scope = Scope::new(&["input", "steps", "saga"], Steps::Done);
/// The answer when not.
pub(super) const FAILED: Scope = Scope::new(&["input", "steps", "saga", "failure"], Steps::Whatever);

impl Scope {
    const fn new(roots: &'static [&'static str], steps: Steps) -> Self {
        Self { roots, item: None, steps, has_attempt: false, has_accepted: false, callback: &[], secrets: Secrets::Refused }
    }

    /// The headers of a request that is rendered for each attempt.
    pub(super) fn with_attempt(self) -> Self {
        Self { has_attempt: true, ..self }
    }

    /// A header or the body of a request, as far as secrets go.
    pub(super) fn with_secrets(self, secrets: Secrets) -> Self {
        Self { secrets, ..self }
    }

    /// What judges the answer to a request.
    pub(super) fn answer(self) -> Self {
        Self { roots: &["input", "steps", "saga", "step", "response"], ..self }
    }

    /// A request that asks for a callback.
    pub(super) fn asking_for_callback(self) -> Self {
        Self { roots: &["input", "steps", "saga", "step", "callback"], callback: &["url"], ..self }
    }

    /// What judges a callback, and is kept of it.
    pub(super) fn called_back(self) -> Self {
        Self { callback: &["body"], has_accepted: true, ..self.asking_for_callback() }
    }

    /// Where the answer that accepted is there.
    pub(super) fn with_accepted(self) -> Self {
        Self { has_accepted: true, ..self }
    }

    /// The names that are there, with what is known of their values.
    fn names(&self, types: &Types, in_loop: Option<usize>) -> Names {
        // With this name known, its use can be refused for what it is.
        let names = Names::new(self.roots).with_function("secret");
        let names = self.item.iter().fold(names, Names::with_variable);
        self.roots.iter().fold(names, |names, root| match types.of(root, in_loop) {
            Type::Dyn => names,
            known => names.with_type(*root, known),
        })
    }

    /// Whether a path may begin with `name`.
    pub(super) fn has_root(&self, name: &str) -> bool {
        self.roots.contains(&name) || self.item.as_ref().is_some_and(|item| item.as_str() == name)
    }
}

/// All names, and where each is there.
pub(super) const EVERYWHERE: [(&str, &str); 10] = [
    ("request", "`request` is there in `input` only: take what steps need as an input"),
    ("claims", "`claims` is there in `input` only: take what steps need as an input"),
    ("input", "inputs are there for steps and answers"),
    ("steps", "outputs are there for later steps and answers"),
    ("saga", "`saga` is there for steps and answers"),
    ("step", "`step` is there in the calls of steps"),
    ("response", "`response` is there in `output`, `outcome` and `done`: keep what is needed later as an output"),
    ("failure", "`failure` is there in `response.compensated` and `response.quarantined`"),
    (
        "callback",
        "`callback` is there at a step that waits for one: `url` in what it sends, `body` in its `outcome` and its `output`",
    ),
    ("self", "`self` is there in an input's `check`"),
];

/// What these names have.
const FIELDS: [(&str, &[&str]); 5] = [
    ("request", &["method", "path", "query", "headers", "body"]),
    ("response", &["status", "headers", "body"]),
    ("failure", &["step", "status", "reason"]),
    ("saga", &["id", "name", "started_at"]),
    ("step", &["id", "key", "attempt"]),
];

/// What is wrong with a path that an expression reads.
pub(super) struct Mistake {
    pub(super) code: &'static str,
    pub(super) message: String,
    pub(super) help: String,
}

fn mistake(code: &'static str, message: impl Into<String>, help: impl Into<String>) -> Option<Mistake> {
    Some(Mistake { code, message: message.into(), help: help.into() })
}

impl Builder<'_, '_> {
    /// The names that are there in `scope`.
    pub(super) fn names(&self, scope: &Scope) -> Names {
        let in_loop = scope.steps.reader().and_then(|reader| self.plan.nodes[reader].in_loop);
        scope.names(&self.types, in_loop)
    }

    /// What a step decides and computes by.
    pub(super) fn decision(&self, step: usize) -> Scope {
        self.at_step(&["input", "steps", "saga"], Steps::Before(step))
    }

    /// A request.
    pub(super) fn request(&self, steps: Steps) -> Scope {
        let scope = self.at_step(&["input", "steps", "saga", "step"], steps);
        match steps {
            Steps::BeforeAndOwn(step) if self.plan.nodes[step].is_accepted_first() => scope.with_accepted(),
            _ => scope,
        }
    }

    fn at_step(&self, roots: &'static [&'static str], steps: Steps) -> Scope {
        let in_loop = steps.reader().and_then(|reader| self.plan.nodes[reader].in_loop);
        let item = in_loop.and_then(|number| self.plan.loops[number].item.clone());
        Scope { item, ..Scope::new(roots, steps) }
    }

    /// What is wrong with reading `reference` in `scope`.
    pub(super) fn mistake_in(&self, reference: &Reference, scope: &Scope) -> Option<Mistake> {
        match reference.root() {
            "input" => self.read_input(reference),
            "steps" => self.read_step(reference, scope),
            root => fields(root, reference, scope),
        }
    }

    fn read_input(&self, reference: &Reference) -> Option<Mistake> {
        let Some(Key::Field(name)) = reference.segments().first().map(|segment| &segment.key) else { return None };
        let known = self.inputs.as_ref()?;
        if known.iter().any(|known| known == name) {
            return None;
        }
        let help = there_are(name, known.iter().map(String::as_str), "`input` is empty: declare it there");
        mistake("unknown-input", format!("there is no input {}", quoted(name)), help)
    }

    fn read_step(&self, reference: &Reference, scope: &Scope) -> Option<Mistake> {
        let (first, rest) = match reference.segments() {
            [Segment { key: Key::Field(id), optional }, rest @ ..] => ((id, *optional), rest),
            _ => return mistake("whole-steps", "a step is read by its id", "write `steps.ID.OUTPUT`"),
        };
        let (id, is_optional) = first;
        let Some(index) = self.plan.find(id) else { return self.no_such_step(id) };
        let node = &self.plan.nodes[index];
        if node.is_accepted_first()
            && let Some((Segment { key: Key::Field(name), .. }, rest)) = rest.split_first()
            && name == ACCEPTED
        {
            return accepted(id, rest, scope.has_accepted && scope.steps.reader() == Some(index));
        }
        if let Some(wrong) = self.out_of_reach(index, id, scope) {
            return Some(wrong);
        }
        self.output(node, id, rest).or_else(|| {
            let provides = is_optional || provides_for_absence(reference.reading(), rest);
            if provides || rest.is_empty() {
                presence_of_a_step(reference, rest, id)
            } else {
                self.absent(index, id, rest, scope)
            }
        })
    }

    fn no_such_step(&self, id: &str) -> Option<Mistake> {
        if let Some(group) = self.plan.groups.iter().find(|group| group.id.as_ref().is_some_and(|known| known.as_str() == id)) {
            let members = group.members.iter().filter_map(|member| self.plan.nodes[*member].id.as_ref());
            let members: Vec<&str> = members.map(AsRef::as_ref).collect();
            let help = format!("read its steps: {}", members.join(", "));
            return mistake("unknown-step", format!("{} is a group, it has no outputs of its own", quoted(id)), help);
        }
        let is_whole = self.plan.order_is_known && self.plan.nodes.iter().all(|node| node.is_whole);
        if !is_whole && did_you_mean(id, self.plan.ids()).is_none() {
            // It may be in what could not be read.
            return None;
        }
        let help = there_are(id, self.plan.ids(), "the saga has no steps");
        mistake("unknown-step", format!("there is no step {}", quoted(id)), help)
    }

    /// Whether the step has run where it is read.
    fn out_of_reach(&self, index: usize, id: &str, scope: &Scope) -> Option<Mistake> {
        let (reader, own) = match scope.steps {
            Steps::Before(reader) => (reader, false),
            Steps::BeforeAndOwn(reader) => (reader, true),
            Steps::None | Steps::Done | Steps::Whatever => return None,
        };
        if reader == index {
            let help = "`response` is the answer: keep what is needed later as an output, and read that in later steps";
            return if own {
                None
            } else {
                mistake("own-output", format!("{} has no outputs before it is done", quoted(id)), help)
            };
        }
        if !self.plan.order_is_known || self.plan.nodes[reader].is_after(index) {
            return None;
        }
        let this = self.name_of(reader);
        if self.plan.nodes[index].is_after(reader) {
            return mistake("not-before", format!("{} runs after {this}", quoted(id)), "read only what runs before");
        }
        let (held, by) = (self.plan.outermost(index, Some(reader)), self.plan.outermost(reader, Some(index)));
        if held == by {
            let message = format!("{} is in another arm of {} than {this}: one of them runs", quoted(id), self.name_of(held));
            return mistake("not-before", message, "read only what runs before, in the same arm or outside");
        }
        let help = match (self.plan.nodes[held].group, self.plan.nodes[by].group) {
            (Some(a), Some(b)) if a == b => "steps of a group start together: take one of them out of it".to_owned(),
            (group, _) => {
                let needed = group.and_then(|group| self.plan.groups[group].id.as_ref());
                let needed = needed.or(self.plan.nodes[held].id.as_ref()).map_or("?", StepId::as_str);
                let at = if by == reader { String::new() } else { format!(" at {}", self.name_of(by)) };
                format!("write `needs: [{needed}]`{at}")
            }
        };
        mistake("not-before", format!("{} does not surely run before {this}", quoted(id)), help)
    }

    fn name_of(&self, index: usize) -> String {
        self.plan.nodes[index].id.as_ref().map_or_else(|| "this step".to_owned(), |id| quoted(id.as_str()))
    }

    fn output(&self, node: &Node<'_>, id: &str, rest: &[Segment]) -> Option<Mistake> {
        let first = rest.first()?;
        let is_known = |key: &str, is_written: bool| is_written && self.findings.is_whole(&node.at.child(key));
        if !node.is_whole && !is_known("output", node.raw.output.is_some()) && !is_known("set", node.raw.set.is_some()) {
            return None;
        }
        let outputs = outputs_of(node);
        let Key::Field(name) = &first.key else {
            return mistake(
                "unknown-output",
                format!("the outputs of {} are read by name", quoted(id)),
                "write `steps.ID.OUTPUT`",
            );
        };
        if outputs.clone().any(|known| known == name) {
            return None;
        }
        let none = kinds(node.raw).0.map_or("", Kind::without_outputs);
        let help = there_are(name, outputs, none);
        mistake("unknown-output", format!("{} has no output {}", quoted(id), quoted(name)), help)
    }

    fn absent(&self, index: usize, id: &str, rest: &[Segment], scope: &Scope) -> Option<Mistake> {
        let raw = self.plan.nodes[index].raw;
        let between = self.plan.between(index, scope.steps.reader());
        if between.iter().any(|held| matches!(held.within, Within::Body(_))) {
            // Outside of its loop an output is a list, with one entry for each item.
            return self.no_list(index, id, rest);
        }
        let arm = between.iter().find(|held| matches!(held.within, Within::Arm { .. }));
        let why = match (scope.steps, arm) {
            (Steps::Whatever, _) => format!("{} may not have run when this is answered", quoted(id)),
            (Steps::BeforeAndOwn(reader), _) if reader == index && self.plan.nodes[index].is_accepted_first() => {
                return mistake(
                    "may-be-absent",
                    format!("{} is undone without its outputs if it runs out of time", quoted(id)),
                    format!(
                        "read `{0}.{ACCEPTED}`, or say what stands for it: `{0}.?{1}.orValue(null)`",
                        spelled(id),
                        output_name(rest)
                    ),
                );
            }
            // An undo runs only if its step did.
            (Steps::BeforeAndOwn(reader), _) if reader == index => return None,
            (_, Some(held)) => format!("{} is skipped where {} chooses another arm", quoted(id), self.name_of(held.by)),
            _ if raw.when.is_some() => format!("{} is skipped where its `when` says no", quoted(id)),
            _ if raw.on_failure == Some(OnFailure::Continue) => {
                format!("{} may fail, and the saga goes on without its outputs", quoted(id))
            }
            _ => return None,
        };
        let name = output_name(rest);
        mistake("may-be-absent", why, format!("say what stands for it: `{}.?{name}.orValue(null)`", spelled(id)))
    }

    /// A field of an output that is a list where it is read.
    fn no_list(&self, index: usize, id: &str, rest: &[Segment]) -> Option<Mistake> {
        let [output, Segment { key: Key::Field(field), .. }, ..] = rest else { return None };
        let whole = format!("{}.{}", spelled(id), output_name(std::slice::from_ref(output)));
        let looped = self.plan.nodes[index].in_loop.map(|number| self.name_of(self.plan.loops[number].node));
        let message = format!(
            "{} is a list outside of the loop {}: it has no {}",
            quoted(&whole),
            looped.unwrap_or_default(),
            quoted(field)
        );
        mistake("is-a-list", message, format!("it has one entry for each item, `null` where there is none: `{whole}[0]`"))
    }
}

fn output_name(rest: &[Segment]) -> &str {
    rest.first().map_or("OUTPUT", |segment| match &segment.key {
        Key::Field(name) => name.as_str(),
        Key::Index(_) => "OUTPUT",
    })
}

/// The outputs that a step declares, and those that a sub-saga has.
pub(super) fn outputs_of<'n>(node: &Node<'n>) -> impl Iterator<Item = &'n str> + Clone {
    let outputs = node.raw.output.iter().chain(&node.raw.set);
    let of_sub_saga = node.raw.saga.iter().flat_map(|_| sub_saga::OUTPUTS);
    outputs.flat_map(|outputs| &outputs.0).map(|(name, _)| name.as_str()).chain(of_sub_saga)
}

/// A step as expressions spell it.
fn spelled(id: &str) -> String {
    if id.contains('-') { format!("steps['{id}']") } else { format!("steps.{id}") }
}

/// Whether a path of these segments below a step is read so that the output need not be there.
fn provides_for_absence(reading: Reading, rest: &[Segment]) -> bool {
    match (reading, rest) {
        (_, [output, ..]) if output.optional => true,
        (Reading::Presence, [_output]) => true,
        _ => false,
    }
}

/// `has(steps.x)` says nothing.
fn presence_of_a_step(reference: &Reference, rest: &[Segment], id: &str) -> Option<Mistake> {
    if reference.reading() == Reading::Presence && rest.is_empty() {
        let step = spelled(id);
        return mistake(
            "always-there",
            format!("`has({step})` is always true"),
            format!("ask for an output: `has({step}.OUTPUT)`"),
        );
    }
    None
}

/// What is wrong with reading a field of the answer that accepted; `is_there`: whether it can be read at all.
fn accepted(id: &str, rest: &[Segment], is_there: bool) -> Option<Mistake> {
    let path = format!("{}.{ACCEPTED}", spelled(id));
    if !is_there {
        let message = format!("`{path}` is there in the `outcome`, the `output` and the `compensate` of {} itself", quoted(id));
        return mistake("accepted", message, "keep what is needed later as an output");
    }
    let (_, known) = FIELDS[1];
    field_of(&path, known, rest)
}

fn fields(root: &str, reference: &Reference, scope: &Scope) -> Option<Mistake> {
    let segments = reference.segments();
    if root == "callback" {
        return field_of(root, scope.callback, segments);
    }
    let (_, known) = FIELDS.iter().find(|(name, _)| *name == root)?;
    if root == "step" && !scope.has_attempt {
        let attempts =
            "it differs from one attempt to the next, and what is sent again must be the same: only headers of a step may say it";
        match segments.first().map(|segment| &segment.key) {
            None => return mistake("attempt", "`step` holds the attempt", "write step.id or step.key"),
            Some(Key::Field(field)) if field == "attempt" => {
                return mistake("attempt", "`step.attempt` is not there", attempts);
            }
            Some(_) => {}
        }
    }
    field_of(root, known, segments)
}

/// What is wrong with reading a field of `path`, which has those `known`.
fn field_of(path: &str, known: &[&str], segments: &[Segment]) -> Option<Mistake> {
    let Key::Field(field) = &segments.first()?.key else {
        return mistake("unknown-field", format!("`{path}` is not a list"), format!("there are {}", known.join(", ")));
    };
    if !known.contains(&field.as_str()) {
        let help = match (path, field.as_str()) {
            ("callback", "url") => "`callback.url` is there in what `send` sends".to_owned(),
            ("callback", "body") => "`callback.body` is there in the `outcome` and the `output` of the step".to_owned(),
            _ => there_are(field, known.iter().copied(), ""),
        };
        return mistake("unknown-field", format!("`{path}` has no {}", quoted(field)), help);
    }
    match segments.get(1).map(|segment| &segment.key) {
        Some(Key::Field(name)) if field == "headers" && name.contains(|c: char| c.is_ascii_uppercase()) => {
            let message = format!("headers are named in lower case here, {} is never there", quoted(name));
            mistake("header-case", message, format!("write headers['{}']", name.to_ascii_lowercase()))
        }
        _ => None,
    }
}

fn there_are<'n>(name: &str, known: impl Iterator<Item = &'n str> + Clone, none: &str) -> String {
    match did_you_mean(name, known.clone()) {
        Some(meant) => format!("did you mean {}?", quoted(meant)),
        None => match known.collect::<Vec<_>>() {
            known if known.is_empty() => none.to_owned(),
            known => format!("there are {}", known.join(", ")),
        },
    }
}
