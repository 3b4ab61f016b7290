//! Sagas that run each other: each gets the steps of its sub-sagas, or is told why it cannot.
//!
//! They are taken in an order in which a saga comes after all that it runs, so that what is put into another is whole already.

mod inline;

use std::collections::BTreeSet;

use super::{Saga, build::Built, findings::Findings, limits, raw::Raw, sub_saga::SubSaga, test::raw::RawTest};
use crate::{
    diagnostic::{Diagnostic, Place, did_you_mean, quoted},
    names::{SagaName, VariableName},
    yaml::Pointer,
};

/// A saga that may run others, and be run by others.
#[derive(Debug)]
pub(super) struct Unit {
    pub(super) raw: Raw,
    /// `None`: it is wrong, which is reported.
    pub(super) built: Option<Built>,
    /// The sagas that it runs itself, as far as they are known.
    subs: Vec<SubSaga>,
    pub(super) findings: Findings,
    /// What is said for simulating it.
    pub(super) test: Option<RawTest>,
    /// With its sub-sagas in it. `None`: not yet, or reported.
    pub(super) linked: Option<Saga>,
    /// Every saga that it runs, and those that they run.
    pub(super) uses: BTreeSet<usize>,
    /// How deep sub-sagas stand in it.
    depth: usize,
}

impl Unit {
    pub(super) fn new(raw: Raw, built: Option<Built>, subs: Vec<SubSaga>, findings: Findings) -> Self {
        Self { raw, built, subs, findings, test: None, linked: None, uses: BTreeSet::new(), depth: 0 }
    }

    fn name(&self) -> Option<&SagaName> {
        self.raw.saga.as_ref()
    }

    /// Whether it can be run as it is.
    fn is_sound(&self) -> bool {
        self.linked.is_some() && !self.findings.has_errors()
    }
}

/// Links all of `units`. `are_all`: whether these are all the sagas that were given; one that could not be read at all is not here.
pub(super) fn link(units: &mut [Unit], are_all: bool) {
    let targets: Vec<Vec<Option<usize>>> = units
        .iter()
        .map(|unit| unit.subs.iter().map(|sub| units.iter().position(|other| other.name() == Some(&sub.name))).collect())
        .collect();
    let mut left = vec![true; units.len()];
    // Each round takes at least one, or is the last.
    loop {
        let waits = |index: usize| targets[index].iter().flatten().any(|target| left[*target]);
        let next: Vec<usize> = (0..units.len()).filter(|index| left[*index] && !waits(*index)).collect();
        for index in &next {
            link_one(units, *index, &targets[*index], are_all);
        }
        next.iter().for_each(|index| left[*index] = false);
        if next.is_empty() {
            break;
        }
    }
    for index in (0..units.len()).filter(|index| left[*index]) {
        refuse_circle(units, index, &targets, &left);
    }
}

/// Links one saga, of which all that it runs is linked.
fn link_one(units: &mut [Unit], index: usize, targets: &[Option<usize>], are_all: bool) {
    let names: Vec<String> = units.iter().filter_map(Unit::name).map(ToString::to_string).collect();
    let mut refused = Vec::new();
    let mut children = Vec::new();
    for (sub, target) in units[index].subs.iter().zip(targets) {
        let parent = Parent { unit: &units[index], sub };
        let Some(target) = target else {
            refused.push(parent.unknown(&names, are_all));
            continue;
        };
        let found = parent.mistakes(&units[*target]);
        match &units[*target].linked {
            Some(child) if !found.iter().any(|refusal| matches!(refusal, Refusal::Always(_))) => children.push(child),
            _ => {}
        }
        refused.extend(found);
    }
    let is_whole = children.len() == units[index].subs.len();
    let own = units[index].built.as_ref().filter(|_| is_whole).map(|built| &built.saga);
    let linked = own.map(|own| inline::inline(own, &units[index].subs, &children));
    let known = || targets.iter().flatten();
    let depth = known().map(|target| units[*target].depth + 1).max().unwrap_or_default();
    let uses = known().flat_map(|target| units[*target].uses.iter().chain([target])).copied().collect();
    let unit = &mut units[index];
    (unit.depth, unit.uses) = (depth, uses);
    refused.into_iter().for_each(|refusal| refusal.tell(&mut unit.findings));
    unit.linked = linked.filter(|linked| fits(linked, &unit.subs, &mut unit.findings));
}

/// A saga where it runs another.
struct Parent<'p> {
    unit: &'p Unit,
    sub: &'p SubSaga,
}

/// Why a saga cannot run another.
enum Refusal {
    /// It could not be run.
    Always(Diagnostic),
    /// It could be run, and is not good.
    Judged(Diagnostic),
}

impl Refusal {
    fn tell(self, findings: &mut Findings) {
        match self {
            Self::Always(diagnostic) => findings.add(diagnostic),
            Self::Judged(diagnostic) => findings.prove(diagnostic),
        }
    }
}

impl Parent<'_> {
    fn name_place(&self) -> Place {
        self.unit.findings.place(&self.sub.at.child("name"))
    }

    fn error(&self, code: &'static str, message: impl Into<String>) -> Diagnostic {
        Diagnostic::error(code, self.name_place(), message)
    }

    fn unknown(&self, names: &[String], are_all: bool) -> Refusal {
        let name = self.sub.name.as_str();
        let own = self.unit.name().map(SagaName::as_str);
        let others: Vec<&str> = names.iter().map(String::as_str).filter(|other| Some(*other) != own).collect();
        let message = format!("there is no saga {}", quoted(name));
        let help = match (did_you_mean(name, others.iter().copied()), others.as_slice()) {
            (Some(meant), _) => format!("did you mean {}?", quoted(meant)),
            _ if !are_all => "it may be one of those that cannot be read".to_owned(),
            (None, []) => "a sub-saga has a file of its own: give that too".to_owned(),
            (None, others) => format!("there are {}", others.join(", ")),
        };
        Refusal::Always(self.error("unknown-saga", message).with_help(help))
    }

    /// What keeps it from running `child`.
    fn mistakes(&self, child: &Unit) -> Vec<Refusal> {
        let Some(saga) = child.linked.as_ref().filter(|_| child.is_sound()) else {
            return vec![Refusal::Always(unsound(self.name_place(), &self.sub.name))];
        };
        let mut found = self.inputs(saga);
        found.extend(self.depth(child));
        found.extend(self.pivot(child, saga));
        found.extend(self.nesting(saga));
        if saga.sensitive && self.unit.raw.sensitive != Some(true) {
            let message = format!("{} is `sensitive`, and this saga would hold its secrets too", quoted(saga.name.as_str()));
            let help = "write `sensitive: true` here too";
            found.push(Refusal::Judged(self.error("sensitive-saga", message).with_help(help)));
        }
        found
    }

    /// All inputs are given, and no others.
    fn inputs(&self, child: &Saga) -> Vec<Refusal> {
        let Some(names) = &self.sub.names else { return Vec::new() };
        let at = self.sub.at.child("input");
        let declared = || child.input.iter().map(|input| input.name.as_str());
        let missing: Vec<String> = child
            .input
            .iter()
            .filter(|input| !names.iter().any(|name| name == input.name.as_str()))
            .map(|input| quoted(input.name.as_str()))
            .collect();
        let mut found = Vec::new();
        if !missing.is_empty() {
            let message = format!("{} is not given {}, which it declares", quoted(child.name.as_str()), missing.join(" and "));
            let diagnostic = Diagnostic::error("missing-input", self.unit.findings.place(&at), message);
            found.push(Refusal::Always(
                diagnostic.with_help("give a sub-saga all of its inputs; what may be absent can be given as `null`"),
            ));
        }
        // What is no name at all has been reported.
        let names = names.iter().filter(|name| name.parse::<VariableName>().is_ok());
        for name in names.filter(|name| !declared().any(|known| known == name.as_str())) {
            let message = format!("{} has no input {}", quoted(child.name.as_str()), quoted(name));
            let help = match did_you_mean(name, declared()) {
                Some(meant) => format!("did you mean {}?", quoted(meant)),
                None if child.input.is_empty() => "it takes none: leave it out".to_owned(),
                None => format!("it has {}", declared().collect::<Vec<_>>().join(", ")),
            };
            let place = self.unit.findings.key_place(&at.child(name));
            found.push(Refusal::Judged(Diagnostic::error("unknown-input", place, message).with_help(help)));
        }
        found
    }

    fn depth(&self, child: &Unit) -> Option<Refusal> {
        let depth = child.depth + 1;
        (depth > limits::SUB_SAGAS).then(|| {
            let message = format!("sub-sagas stand {depth} deep in each other here; the limit is {}", limits::SUB_SAGAS);
            Refusal::Always(self.error("too-deep", message).with_help("write the steps of one of them where it is run"))
        })
    }

    fn pivot(&self, child: &Unit, saga: &Saga) -> Option<Refusal> {
        let pivot = saga.steps.iter().find(|step| step.position == super::Position::Pivot)?;
        let steps = child.raw.steps.iter().flatten().position(|step| step.as_ref().is_some_and(|step| step.pivot == Some(true)));
        let at = Pointer::root().child("steps").child(steps.unwrap_or_default()).child("pivot");
        let message = format!(
            "{} has a pivot, {}: behind it nothing is undone, and a sub-saga has to be",
            quoted(saga.name.as_str()),
            quoted(pivot.id.as_str())
        );
        let diagnostic = self.error("sub-saga-with-pivot", message).with_label(child.findings.key_place(&at), "the pivot");
        Some(Refusal::Judged(diagnostic.with_help("write the other saga's steps here, or start that saga by a call")))
    }

    /// Loops do not stand in loops, nor groups in groups.
    fn nesting(&self, child: &Saga) -> Vec<Refusal> {
        let Some(built) = &self.unit.built else { return Vec::new() };
        let outer = &built.saga[self.sub.step];
        let name = quoted(child.name.as_str());
        let mut found = Vec::new();
        if outer.in_loop.is_some() && !child.loops.is_empty() {
            let message = format!("{name} has a loop, and a loop does not stand in another");
            let help = "put the inner loop into a service, or start a saga for each item";
            found.push(Refusal::Always(self.error("nested-loop", message).with_help(help)));
        }
        if outer.group.is_some() && !child.groups.is_empty() {
            let message = format!("{name} has a parallel group, and a group does not stand in another");
            found.push(Refusal::Always(self.error("nested-group", message).with_help("run it outside of the group")));
        }
        found
    }
}

/// Whether what came of it keeps to the limits.
fn fits(linked: &Saga, subs: &[SubSaga], findings: &mut Findings) -> bool {
    let Some(first) = subs.first() else { return true };
    let at = first.at.child("name");
    if linked.steps.len() > limits::STEPS {
        let message =
            format!("with those of its sub-sagas this saga has {} steps; the limit is {}", linked.steps.len(), limits::STEPS);
        let help = "a sub-saga counts for its steps and two: let a service do several things in one call";
        findings.error("too-many-steps", &at, message, help);
        return false;
    }
    let long = linked.steps.iter().find(|step| step.id.as_str().len() > limits::STEP_PATH_BYTES);
    if let Some(step) = long {
        let (path, limit) = (step.id.as_str(), limits::STEP_PATH_BYTES);
        let message = format!("the path {} is {} bytes long; the limit is {limit}", quoted(path), path.len());
        findings.error("too-long", &at, message, "it is a part of the keys of its calls: give shorter ids");
        return false;
    }
    true
}

/// The most names of a circle that are shown.
const SHOWN: usize = 8;

/// What runs itself, or waits for what does.
fn refuse_circle(units: &mut [Unit], index: usize, targets: &[Vec<Option<usize>>], left: &[bool]) {
    let next = |unit: usize| {
        let known = targets[unit].iter().enumerate().filter_map(|(nth, target)| Some((nth, (*target)?)));
        known.into_iter().find(|(_, target)| left[*target])
    };
    // Every saga that is left runs another that is, so a walk along them comes back to where it was.
    let mut walk = vec![index];
    let mut seen = vec![false; units.len()];
    while let Some((_, to)) = walk.last().and_then(|last| next(*last)).filter(|(_, to)| !std::mem::replace(&mut seen[*to], true))
    {
        walk.push(to);
    }
    let Some(sub) = next(index).and_then(|(nth, _)| units[index].subs.get(nth)) else { return };
    let place = units[index].findings.place(&sub.at.child("name"));
    let diagnostic = if seen[index] {
        let names = walk.iter().map(|unit| units[*unit].name().map_or("?", SagaName::as_str));
        // The last is the first again.
        let mut shown: Vec<&str> = names.collect();
        if shown.len() > SHOWN {
            shown.splice(SHOWN - 1..shown.len() - 1, ["…"]);
        }
        let message = format!("this saga would run itself without end: {}", shown.join(" runs "));
        let help = "leave one of them out: a sub-saga is a part of the saga that runs it";
        Diagnostic::error("recursive-saga", place, message).with_help(help)
    } else {
        unsound(place, &sub.name)
    };
    units[index].findings.add(diagnostic);
}

fn unsound(place: Place, name: &SagaName) -> Diagnostic {
    let message = format!("the saga {} has mistakes of its own", quoted(name.as_str()));
    Diagnostic::error("unsound-saga", place, message).with_help("put those right first")
}
