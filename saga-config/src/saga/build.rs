//! From the mirror of a file to a saga.

use std::{sync::Arc, time::Duration};

use super::{
    DefinitionHash, Group, Input, InputType, Position, Precedence, Saga, StepIndex,
    defaults::Defaults,
    findings::Findings,
    limits,
    load::UpstreamFacts,
    raw::{self, Raw},
    scope,
    sub_saga::SubSaga,
    trigger,
    types::Types,
    unfold::{self, Plan},
};
use crate::{diagnostic::Diagnostic, expr::Type, names::SecretName, template::ValueTemplate, units::DurationText, yaml::Pointer};

/// How many steps run at once, where nothing is written.
const MAX_PARALLEL: usize = 16;

/// A saga without its canonical form and without its sub-sagas, and what held for steps that said nothing else.
#[derive(Debug)]
pub(super) struct Built {
    /// Where it runs another saga, the step is an [`Action::Leave`](super::Action::Leave) with the index of that one among its sub-sagas.
    pub(super) saga: Saga,
    pub(super) defaults: Defaults,
}

/// What every part of a saga is built with.
pub(super) struct Builder<'b, 'r> {
    pub(super) plan: &'b Plan<'r>,
    /// The names of the inputs, where they are known.
    pub(super) inputs: Option<Vec<String>>,
    /// What is known of the values that expressions read.
    pub(super) types: Types,
    pub(super) defaults: Defaults,
    /// The sagas that it runs, as far as they have come by.
    pub(super) subs: &'b mut Vec<SubSaga>,
    /// The secrets that its requests name, as far as they have come by, each once.
    pub(super) secrets: Vec<SecretName>,
    /// Whether the saga says that it holds secrets.
    pub(super) is_sensitive: bool,
    pub(super) upstreams: Option<&'b dyn UpstreamFacts>,
    pub(super) findings: &'b mut Findings,
}

/// Builds what `raw` says. `None`: reported. The sagas that it runs, as far as they are known, are known all the same.
pub(super) fn saga(raw: &Raw, upstreams: Option<&dyn UpstreamFacts>, findings: &mut Findings) -> (Option<Built>, Vec<SubSaga>) {
    let mut subs = Vec::new();
    (built(raw, upstreams, findings, &mut subs), subs)
}

fn built(raw: &Raw, upstreams: Option<&dyn UpstreamFacts>, findings: &mut Findings, subs: &mut Vec<SubSaga>) -> Option<Built> {
    let root = Pointer::root();
    let trigger = trigger::trigger(raw, &root.child("trigger"), findings);
    let plan = unfold::unfold(raw, findings);
    let defaults = Defaults::read(raw.defaults.as_ref(), &root.child("defaults"), findings);
    let names = raw.input.iter().flat_map(|input| &input.0).map(|(name, _)| name.clone()).collect();
    let inputs = findings.is_whole(&root.child("input")).then_some(names);
    let types = Types::new(declared(raw));
    let is_sensitive = raw.sensitive.unwrap_or(false);
    let secrets = Vec::new();
    let mut builder = Builder { plan: &plan, inputs, types, defaults, subs, secrets, is_sensitive, upstreams, findings };
    let input = builder.inputs(raw);
    let steps: Vec<_> = (0..plan.nodes.len()).map(|index| builder.step(index)).collect();
    let groups: Vec<_> = plan.groups.iter().map(|group| builder.group(group)).collect();
    let loops: Vec<_> = plan.loops.iter().map(|plan| builder.a_loop(plan)).collect();
    let response = builder.responses(raw.response.as_ref(), &root.child("response"));
    let deadline = builder.span(raw.deadline, &root.child("deadline"));
    builder.prove_the_pivot();
    builder.compare_with_deadline(deadline, &steps);
    // While something is wrong, what is only unwise can wait.
    if !builder.findings.has_errors() {
        builder.look_for_the_unwise(raw, deadline, &steps);
    }
    let (defaults, secrets) = (builder.defaults, builder.secrets);
    let saga = Saga {
        name: raw.saga.clone()?,
        version: raw.version?,
        description: raw.description.clone(),
        trigger: trigger?,
        input: input?,
        sensitive: is_sensitive,
        deadline,
        steps: steps.into_iter().collect::<Option<_>>()?,
        groups: groups.into_iter().collect::<Option<_>>()?,
        loops: loops.into_iter().collect::<Option<_>>()?,
        frames: Vec::new(),
        secrets,
        max_parallel: raw.max_parallel.map_or(MAX_PARALLEL, |max| max as usize),
        response: response?,
        // Both are known once it is written out.
        hash: DefinitionHash::from_bytes([0; 32]),
        canonical: Arc::from(""),
        precedence: Precedence::default(),
    };
    (!saga.steps.is_empty()).then_some(Built { saga, defaults })
}

impl Builder<'_, '_> {
    fn inputs(&mut self, raw: &Raw) -> Option<Vec<Input>> {
        let at = Pointer::root().child("input");
        let written = raw.input.as_ref().map(|input| input.0.as_slice()).unwrap_or_default();
        self.at_most(written.len(), limits::INPUTS, "inputs", &at);
        let mut inputs = Vec::new();
        for (name, input) in written {
            inputs.extend(self.input(name, input, &at.child(name)));
        }
        (inputs.len() == written.len()).then_some(inputs)
    }

    fn input(&mut self, name: &str, written: &raw::Input, at: &Pointer) -> Option<Input> {
        let name = self.variable(name, at);
        let from = written.from.as_ref().and_then(|from| self.value(from, &at.child("from"), &scope::INPUT));
        let kind = kind(written);
        self.types.own = kind.known();
        if let Some(given) = from.as_ref().map(ValueTemplate::gives).filter(|given| given.excludes(&kind.known())) {
            let message = format!("this is {}, and the input has to be {}", given.a(), kind.known().a());
            self.findings.refuse("type-clash", &at.child("from"), message, "change what it comes from, or its `type`");
        }
        let check = self.maybe(written.check.as_ref(), &at.child("check"), &scope::CHECK);
        Some(Input { name: name?, from: from?, kind, check: check? })
    }

    fn group(&mut self, plan: &unfold::GroupPlan<'_>) -> Option<Group> {
        let members: Vec<StepIndex> = plan.members.iter().copied().map(StepIndex).collect();
        let cancel_others = plan.raw.on_failure != Some(raw::GroupOnFailure::WaitForAll);
        let max = plan.raw.max.map_or(members.len(), |max| max as usize);
        Some(Group { id: plan.id.clone()?.into(), members, max, cancel_others })
    }

    /// A time of which there is some, and not too much.
    pub(super) fn span(&mut self, written: Option<DurationText>, at: &Pointer) -> Option<Duration> {
        within(written?, limits::SPAN, at, self.findings)
    }

    /// Where a step stands with regard to the pivot.
    pub(super) fn position(&self, index: usize) -> Position {
        match self.plan.pivot() {
            Some(pivot) if pivot == index => Position::Pivot,
            Some(pivot) if self.plan.nodes[index].is_after(pivot) => Position::After,
            _ => Position::Before,
        }
    }

    /// Reports something about a key that is written and means nothing.
    pub(super) fn means_nothing(&mut self, at: &Pointer, message: impl Into<String>, help: impl Into<String>) {
        let place = self.findings.key_place(at);
        self.findings.prove(Diagnostic::error("means-nothing", place, message).with_help(help));
    }
}

fn kind(written: &raw::Input) -> InputType {
    match written.kind {
        None | Some(raw::InputType::Any) => InputType::Any,
        Some(raw::InputType::String) => InputType::String,
        Some(raw::InputType::Int) => InputType::Int,
        Some(raw::InputType::Double) => InputType::Double,
        Some(raw::InputType::Bool) => InputType::Bool,
        Some(raw::InputType::List) => InputType::List,
        Some(raw::InputType::Map) => InputType::Map,
    }
}

/// What the inputs are declared to be. Whether there are others is said elsewhere.
fn declared(raw: &Raw) -> Type {
    let inputs = raw.input.iter().flat_map(|input| &input.0);
    Type::open_record(inputs.map(|(name, input)| (name.clone(), kind(input).known())))
}

/// A time of which there is some, and no more than `limit`; reported if it is not.
pub(super) fn within(written: DurationText, limit: Duration, at: &Pointer, findings: &mut Findings) -> Option<Duration> {
    let duration = written.get();
    if duration.is_zero() {
        findings.error("no-time", at, "this is no time at all", "write a duration such as 5s");
        return None;
    }
    if duration > limit {
        let longest = DurationText::new(limit).map_or_else(String::new, |limit| limit.to_string());
        findings.refuse("too-long", at, format!("this is at most {longest}"), format!("write {longest} or less"));
    }
    Some(duration)
}
