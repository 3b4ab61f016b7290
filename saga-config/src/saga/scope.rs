//! What an expression may read where it stands.

use super::{
    build::Builder,
    secrets::Secrets,
    sub_saga,
    unfold::{Node, Plan},
};
use crate::{
    diagnostic::{did_you_mean, quoted},
    expr::{Key, Names, Reading, Reference, Segment},
};

/// A place in a definition, as far as expressions go.
#[derive(Debug, Clone)]
pub(super) struct Scope {
    /// The names that are there.
    pub(super) roots: &'static [&'static str],
    pub(super) steps: Steps,
    /// Whether `step.attempt` is there: what says it differs from one attempt to the next.
    pub(super) has_attempt: bool,
    /// Whether `secret()` is there.
    pub(super) secrets: Secrets,
}

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

/// Where inputs come from.
pub(super) const INPUT: Scope =
    Scope { roots: &["request", "claims"], steps: Steps::None, has_attempt: false, secrets: Secrets::Refused };
/// What must hold of an input.
pub(super) const CHECK: Scope = Scope { roots: &["self"], steps: Steps::None, has_attempt: false, secrets: Secrets::Refused };
/// The answer when every step is done.
pub(super) const COMPLETED: Scope =
    Scope { roots: &["input", "steps", "saga"], steps: Steps::Done, has_attempt: false, secrets: Secrets::Refused };
/// The answer when not.
pub(super) const FAILED: Scope = Scope {
    roots: &["input", "steps", "saga", "failure"],
    steps: Steps::Whatever,
    has_attempt: false,
    secrets: Secrets::Refused,
};

impl Scope {
    /// What a step decides and computes by.
    pub(super) fn decision(step: usize) -> Self {
        Self { roots: &["input", "steps", "saga"], steps: Steps::Before(step), has_attempt: false, secrets: Secrets::Refused }
    }

    /// A request.
    pub(super) fn call(steps: Steps) -> Self {
        Self { roots: &["input", "steps", "saga", "step"], steps, has_attempt: false, secrets: Secrets::Refused }
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

    pub(super) fn names(&self) -> Names {
        // With this name known, its use can be refused for what it is.
        Names::new(self.roots).with_function("secret")
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
    ("callback", "waiting for a callback is not supported yet"),
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
        if let Some(wrong) = self.out_of_reach(index, id, scope) {
            return Some(wrong);
        }
        self.output(node, id, rest).or_else(|| {
            let provides = is_optional || provides_for_absence(reference.reading(), rest);
            if provides || rest.is_empty() { presence_of_a_step(reference, rest, id) } else { self.absent(node, id, rest, scope) }
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
        let is_later = self.plan.nodes[index].is_after(reader);
        let this = self.plan.nodes[reader].id.as_ref().map_or_else(|| "this step".to_owned(), |id| quoted(id.as_str()));
        match is_later {
            true => mistake("not-before", format!("{} runs after {this}", quoted(id)), "read only what runs before"),
            false => {
                let help = match self.plan.nodes[reader].group {
                    Some(_) => "steps of a group start together: take one of them out of it".to_owned(),
                    None => format!("write `needs: [{id}]`"),
                };
                mistake("not-before", format!("{} does not surely run before {this}", quoted(id)), help)
            }
        }
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
        let help = there_are(name, outputs, "it keeps nothing of its answer: add it to its `output`");
        mistake("unknown-output", format!("{} has no output {}", quoted(id), quoted(name)), help)
    }

    fn absent(&self, node: &Node<'_>, id: &str, rest: &[Segment], scope: &Scope) -> Option<Mistake> {
        let why = match scope.steps {
            Steps::Whatever => format!("{} may not have run when this is answered", quoted(id)),
            // An undo runs only if its step did.
            Steps::BeforeAndOwn(reader) if self.plan.find(id) == Some(reader) => return None,
            _ if !node.may_be_absent() => return None,
            _ if node.raw.when.is_some() => format!("{} is skipped where its `when` says no", quoted(id)),
            _ => format!("{} may fail, and the saga goes on without its outputs", quoted(id)),
        };
        let name = rest.first().map_or("OUTPUT", |segment| match &segment.key {
            Key::Field(name) => name.as_str(),
            Key::Index(_) => "OUTPUT",
        });
        mistake("may-be-absent", why, format!("say what stands for it: `{}.?{name}.orValue(null)`", spelled(id)))
    }
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

fn fields(root: &str, reference: &Reference, scope: &Scope) -> Option<Mistake> {
    let (_, known) = FIELDS.iter().find(|(name, _)| *name == root)?;
    let mut segments = reference.segments().iter().map(|segment| &segment.key);
    let attempts =
        "it differs from one attempt to the next, and what is sent again must be the same: only headers of a step may say it";
    let Some(first) = segments.next() else {
        let help = "write step.id or step.key";
        return if root == "step" && !scope.has_attempt { mistake("attempt", "`step` holds the attempt", help) } else { None };
    };
    let Key::Field(field) = first else {
        return mistake("unknown-field", format!("`{root}` is not a list"), format!("there are {}", known.join(", ")));
    };
    if !known.contains(&field.as_str()) {
        let help = there_are(field, known.iter().copied(), "");
        return mistake("unknown-field", format!("`{root}` has no {}", quoted(field)), help);
    }
    if root == "step" && field == "attempt" && !scope.has_attempt {
        return mistake("attempt", "`step.attempt` is not there", attempts);
    }
    match segments.next() {
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

impl Plan<'_> {
    /// Whether two steps are ordered, one way or the other.
    pub(super) fn are_ordered(&self, a: usize, b: usize) -> bool {
        a == b || self.nodes[a].is_after(b) || self.nodes[b].is_after(a)
    }
}
