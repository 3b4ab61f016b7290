//! The lists of a file as they are nested, each entry with its id.

use std::collections::BTreeMap;

use crate::{
    diagnostic::{Diagnostic, quoted},
    names::{StepId, VariableName},
    saga::{
        findings::Findings,
        kinds::{Kind, kinds},
        limits, raw,
        scope::EVERYWHERE,
    },
    yaml::Pointer,
};

/// Steps and groups that stand beside each other.
#[derive(Debug, Default)]
pub(super) struct List<'r> {
    pub(super) entries: Vec<Entry<'r>>,
    /// The places of the entries, each after all that it waits for.
    pub(super) order: Vec<usize>,
    /// Whether they start together, as those of a group.
    pub(super) starts_together: bool,
}

/// One of them.
#[derive(Debug)]
pub(super) struct Entry<'r> {
    pub(super) raw: &'r raw::Step,
    pub(super) at: Pointer,
    pub(super) id: Option<StepId>,
    /// The entries of the same list that it waits for.
    pub(super) needs: Vec<usize>,
    pub(super) inner: Inner<'r>,
}

/// What stands in an entry.
#[derive(Debug)]
pub(super) enum Inner<'r> {
    /// Nothing: it is a step.
    Nothing,
    /// The children of a group, which is itself no step.
    Group(&'r raw::Parallel, List<'r>),
    /// The arms of a switch.
    Arms(Vec<List<'r>>),
    /// The body of a loop.
    Body(&'r raw::Foreach, Option<VariableName>, List<'r>),
}

/// What a list stands in.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Around {
    is_in_group: bool,
    is_in_loop: bool,
}

/// What is known once all is read.
pub(super) struct Known {
    /// Where each id stands.
    pub(super) taken: BTreeMap<String, Pointer>,
    /// Whether nothing that says the order was left out.
    pub(super) is_whole: bool,
}

pub(super) struct Reader<'f> {
    findings: &'f mut Findings,
    known: Known,
    count: usize,
}

impl<'f> Reader<'f> {
    pub(super) fn new(findings: &'f mut Findings) -> Self {
        Self { findings, known: Known { taken: BTreeMap::new(), is_whole: true }, count: 0 }
    }

    pub(super) fn finish(self) -> Known {
        self.known
    }

    /// A list, and all that stands in it: as deep as a file nests at most.
    pub(super) fn list<'r>(&mut self, list: Option<&'r [Option<raw::Step>]>, at: &Pointer, around: Around) -> List<'r> {
        // What was left out leaves a hole in the order.
        self.known.is_whole &= list.is_some_and(|list| list.iter().all(Option::is_some));
        let steps = list.unwrap_or_default().iter().enumerate();
        let mut entries: Vec<Entry<'r>> = Vec::new();
        for (at, raw) in steps.filter_map(|(index, step)| Some((at.child(index), step.as_ref()?))) {
            self.known.is_whole &= !self.findings.is_left_out(&at.child("needs"));
            entries.push(Entry { id: self.id(raw, &at), raw, at, needs: Vec::new(), inner: Inner::Nothing });
        }
        for entry in &mut entries {
            entry.inner = self.inner(entry, around);
        }
        List { entries, order: Vec::new(), starts_together: false }
    }

    fn id(&mut self, raw: &raw::Step, at: &Pointer) -> Option<StepId> {
        let at = at.child("id");
        let text = raw.id.as_deref()?;
        let id = match text.parse::<StepId>() {
            Ok(id) => id,
            Err(error) => {
                self.findings.error(
                    "invalid-value",
                    &at,
                    error.to_string(),
                    "write lower-case words joined by `_`, such as create_order",
                );
                return None;
            }
        };
        if let Some(first) = self.known.taken.get(text) {
            let diagnostic =
                Diagnostic::error("duplicate-id", self.findings.place(&at), format!("the id {} is there twice", quoted(text)))
                    .with_label(self.findings.place(first), "the first is here")
                    .with_help("steps and groups share one namespace: give each its own id");
            self.findings.add(diagnostic);
            return None;
        }
        self.known.taken.insert(text.to_owned(), at);
        Some(id)
    }

    fn inner<'r>(&mut self, entry: &Entry<'r>, around: Around) -> Inner<'r> {
        let kind = kinds(entry.raw).0;
        if !matches!(kind, Some(Kind::Group(_))) {
            self.count_step(entry);
        }
        match kind {
            Some(Kind::Group(group)) => Inner::Group(group, self.children(group, entry, around)),
            Some(Kind::Switch(arms)) => {
                let at = entry.at.child("switch");
                self.known.is_whole &= arms.iter().all(Option::is_some);
                let read = arms.iter().enumerate().map(|(index, arm)| match arm {
                    Some(arm) => self.arm(arm, &at.child(index), index + 1 == arms.len(), around),
                    None => List::default(),
                });
                Inner::Arms(read.collect())
            }
            Some(Kind::Loop(foreach)) => {
                if around.is_in_loop {
                    let place = self.findings.key_place(&entry.at.child("foreach"));
                    let diagnostic = Diagnostic::error("nested-loop", place, "a loop does not stand in another loop");
                    let help = "put the inner loop into a service, or start a saga for each item";
                    self.findings.add(diagnostic.with_help(help));
                }
                let item = foreach.item.as_deref().and_then(|item| self.item(item, &entry.at.child("foreach").child("as")));
                let at = entry.at.child("steps");
                if entry.raw.steps.is_none() && self.findings.is_whole(&at) {
                    let message = "this loop has no steps";
                    self.findings.error("missing-key", &entry.at, message, "write them beside `foreach`: `steps: […]`");
                }
                let body = self.list(entry.raw.steps.as_deref(), &at, Around { is_in_loop: true, ..around });
                Inner::Body(foreach, item, body)
            }
            Some(Kind::Call | Kind::Callback(..) | Kind::Timer(_) | Kind::Set(_) | Kind::Sub(_)) | None => Inner::Nothing,
        }
    }

    fn children<'r>(&mut self, group: &'r raw::Parallel, entry: &Entry<'r>, around: Around) -> List<'r> {
        let at = entry.at.child("parallel");
        if around.is_in_group {
            let place = self.findings.key_place(&at);
            let diagnostic = Diagnostic::error("nested-group", place, "a group does not stand in another group");
            let help = "order the list with `needs`: it runs whatever can run at once";
            self.findings.add(diagnostic.with_help(help));
        }
        let around = Around { is_in_group: true, ..around };
        let mut list = List { starts_together: true, ..self.list(group.steps.as_deref(), &at.child("steps"), around) };
        list.order = (0..list.entries.len()).collect();
        for child in list.entries.iter().filter(|child| child.raw.needs.is_some()) {
            let place = self.findings.key_place(&child.at.child("needs"));
            let message = "the steps of a group start together: none of them needs anything";
            let diagnostic = Diagnostic::error("needs-in-group", place, message);
            self.findings.add(diagnostic.with_help("write `needs` at the group, or take the steps out of it"));
        }
        list
    }

    fn arm<'r>(&mut self, arm: &'r raw::Arm, at: &Pointer, is_last: bool, around: Around) -> List<'r> {
        let otherwise = at.child("else");
        let has_other = arm.when.is_some() || arm.steps.is_some();
        if arm.otherwise.is_some() && has_other {
            let place = self.findings.key_place(&otherwise);
            let diagnostic = Diagnostic::error("exclusive-keys", place, "an arm has a `when` with its `steps`, or `else`");
            self.findings.add(diagnostic.with_help("make two arms of it"));
        } else if arm.otherwise.is_some() && !is_last {
            let place = self.findings.key_place(&otherwise);
            let diagnostic = Diagnostic::error("never-chosen", place, "what comes after `else` is never chosen");
            self.findings.add(diagnostic.with_help("put `else` last"));
        } else if arm.otherwise.is_none() && self.findings.is_whole(at) {
            for (key, is_there) in [("when", arm.when.is_some()), ("steps", arm.steps.is_some())] {
                if !is_there {
                    let help = "an arm is `{when: \"${…}\", steps: […]}`, the last one may be `{else: […]}`";
                    self.findings.error("missing-key", at, format!("this arm has no `{key}`"), help);
                }
            }
        }
        match &arm.otherwise {
            Some(steps) => self.list(Some(steps), &otherwise, around),
            None => self.list(arm.steps.as_deref(), &at.child("steps"), around),
        }
    }

    /// The name of a loop's item.
    fn item(&mut self, text: &str, at: &Pointer) -> Option<VariableName> {
        match text.parse::<VariableName>() {
            Ok(name) => {
                if EVERYWHERE.iter().any(|(taken, _)| *taken == text) {
                    let message = format!("{} means something else in expressions", quoted(text));
                    self.findings.error("reserved-name", at, message, "choose another name, such as `item`");
                }
                Some(name)
            }
            Err(error) => {
                let help = "use lower-case letters, digits and `_`, such as item";
                self.findings.error("invalid-value", at, error.to_string(), help);
                None
            }
        }
    }

    fn count_step(&mut self, entry: &Entry<'_>) {
        self.count += 1;
        if self.count == limits::STEPS + 1 {
            let message = format!("a saga has at most {} steps, those of groups counted", limits::STEPS);
            self.findings.refuse("too-many-steps", &entry.at, message, "let a service do several things in one call");
        }
    }
}
