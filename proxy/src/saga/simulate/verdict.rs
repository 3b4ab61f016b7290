//! What holds of all endings: of every single fault, and of every pair of them as far as the bounds go.

use std::collections::BTreeMap;

use saga_config::{expr::Bindings, saga::test::Invariant};
use serde::Serialize;
use serde_json::Value;

use super::{
    ending::Ending,
    runs::{Bounds, Go, explore, weight},
    stage::Stage,
};
use crate::store::journal::SagaState;

/// What holds of all endings that were looked at.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Verdict {
    /// Endings, by how many things went wrong: none, one, two.
    pub endings: Vec<u64>,
    /// Endings by the saga's last state.
    pub by_state: BTreeMap<&'static str, u64>,
    /// Runs that were not taken, for they would go on as another did.
    pub known: u64,
    /// Whether there are runs within the number of faults that were not taken.
    pub is_cut: bool,
    /// How many endings leave an effect neither kept nor undone.
    pub leaking: u64,
    /// The shortest of those.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leak: Option<Counterexample>,
    /// The invariants of the file.
    pub invariants: Vec<Checked>,
}

impl Verdict {
    /// How many endings were looked at.
    pub fn explored(&self) -> u64 {
        self.endings.iter().sum()
    }

    /// Whether nothing leaks, no run is without an end, and every invariant holds.
    pub fn is_good(&self) -> bool {
        self.leaking == 0 && !self.by_state.contains_key("running") && self.invariants.iter().all(|one| one.broken == 0)
    }
}

/// An invariant, and what it came to.
#[derive(Clone, Debug, Serialize)]
pub struct Checked {
    /// Its name.
    pub name: String,
    /// In how many endings it does not hold.
    pub broken: u64,
    /// The shortest of those.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counterexample: Option<Counterexample>,
}

/// An ending that must not be, and how it comes to that.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Counterexample {
    /// The case.
    pub case: String,
    /// What is wrong with it.
    pub wrong: String,
    /// The ending.
    pub ending: Ending,
    /// What happened, in words, with the time since the beginning in milliseconds.
    pub story: Vec<(u128, String)>,
}

impl Counterexample {
    fn new(case: &str, wrong: String, ending: &Ending) -> Self {
        let story = ending.story.iter().map(|(at, what)| (at.as_millis(), what.clone())).collect();
        Self { case: case.to_owned(), wrong, ending: ending.clone(), story }
    }
}

/// How far an exploration has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Endings so far.
    pub endings: u64,
}

/// Collects what holds of all endings of all cases.
pub(super) struct Judge<'j> {
    pub(super) verdict: Verdict,
    invariants: &'j [Invariant],
}

impl<'j> Judge<'j> {
    pub(super) fn new(invariants: &'j [Invariant]) -> Self {
        let checked = |one: &Invariant| Checked { name: one.name.clone(), broken: 0, counterexample: None };
        let verdict = Verdict { invariants: invariants.iter().map(checked).collect(), ..Verdict::default() };
        Self { verdict, invariants }
    }

    /// Looks at one ending.
    pub(super) fn look(&mut self, case: &str, input: &Value, ending: &Ending) {
        let faults = ending.faults.len();
        let verdict = &mut self.verdict;
        if verdict.endings.len() <= faults {
            verdict.endings.resize(faults + 1, 0);
        }
        verdict.endings[faults] += 1;
        *verdict.by_state.entry(ending.state.as_str()).or_default() += 1;
        if let Some(leak) = ending.leaks.first() {
            verdict.leaking += 1;
            shorter(&mut verdict.leak, case, leak.clone(), ending);
        }
        if self.invariants.is_empty() {
            return;
        }
        let seen = ending.seen(case);
        let known = Bindings::new().with("ending", &seen).with("input", input);
        for (invariant, checked) in self.invariants.iter().zip(&mut verdict.invariants) {
            let wrong = match invariant.check.eval_bool(&known) {
                Ok(true) => continue,
                Ok(false) => "it does not hold".to_owned(),
                Err(error) => format!("it has no value: {error}"),
            };
            checked.broken += 1;
            shorter(&mut checked.counterexample, case, wrong, ending);
        }
    }

    /// Goes through all runs of a stage. `go` is asked after each, and may stop it.
    pub(super) fn explore(&mut self, case: &str, stage: &Stage, bounds: Bounds, go: &mut dyn FnMut(Progress) -> Go) -> Go {
        let input = Value::Object(stage.input.clone());
        let mut left = bounds.runs;
        let mut goes = Go::On;
        for faults in 0..=bounds.faults {
            let mut see = |ending: Ending| {
                self.look(case, &input, &ending);
                goes = go(Progress { endings: self.verdict.explored() });
                goes
            };
            let explored = explore(stage, faults, left, &mut see);
            left -= explored.runs;
            self.verdict.known += explored.known;
            self.verdict.is_cut |= explored.is_cut || left == 0 && faults < bounds.faults;
            if goes == Go::Stop || left == 0 {
                break;
            }
        }
        goes
    }
}

fn shorter(known: &mut Option<Counterexample>, case: &str, wrong: String, ending: &Ending) {
    if known.as_ref().is_none_or(|known| weight(ending) < weight(&known.ending)) {
        *known = Some(Counterexample::new(case, wrong, ending));
    }
}

/// What of an expectation does not hold.
pub(super) fn unexpected(expect: &saga_config::saga::test::Expect, ending: &Ending) -> Vec<String> {
    let mut wrong = Vec::new();
    let state = ending.state.as_str();
    if let Some(expected) = expect.state.filter(|expected| *expected != state) {
        wrong.push(format!("it is expected to be {expected}, and is {state}"));
    }
    if let Some(expected) = expect.status.filter(|expected| *expected != ending.status) {
        wrong.push(format!("the caller is expected to get {expected}, and gets {}", ending.status));
    }
    if let Some(expected) = expect.body.as_ref().filter(|expected| Some(*expected) != ending.body.as_ref()) {
        let body = ending.body.as_ref().map_or_else(|| "nothing".to_owned(), Value::to_string);
        wrong.push(format!("the caller is expected to get {expected}, and gets {body}"));
    }
    debug_assert!(ending.state != SagaState::Running || ending.status == 0, "what runs has not answered");
    wrong
}
