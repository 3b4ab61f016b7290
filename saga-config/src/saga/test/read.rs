//! From the mirror of `test` to what it says.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{
    super::{Action, Effect, Saga, findings::Findings, ordered::Ordered},
    Answers, Case, ENDING, Expect, FAULT, Invariant, Mock, Start, Test,
    raw::{RawAnswers, RawCase, RawExpect, RawInvariant, RawMock, RawRequest, RawState, RawTest},
};
use crate::{
    diagnostic::{Diagnostic, did_you_mean, quoted},
    expr::{Expression, Key, Names, Reference, Segment},
    names::StepPath,
    template::Template,
    yaml::Pointer,
};

/// What `raw` says of `saga`. What is wrong with it is reported.
pub(in super::super) fn test(raw: Option<&RawTest>, saga: &Saga, findings: &mut Findings) -> Option<Test> {
    let raw = raw?;
    let at = Pointer::root().child("test");
    let mut reader = Reader { saga, findings };
    let mut cases: Vec<Case> = Vec::new();
    for (index, case) in raw.cases.iter().enumerate() {
        let at = at.child("cases").child(index);
        let case = reader.case(case, index, &at);
        if cases.iter().any(|known| known.name == case.name) {
            reader.findings.error("duplicate-case", &at, "another case has this name", "give every case a name of its own");
        }
        cases.push(case);
    }
    let invariants = raw.invariants.iter().enumerate();
    let invariants = invariants.filter_map(|(index, one)| reader.invariant(one, &at.child("invariants").child(index))).collect();
    Some(Test { cases, invariants })
}

struct Reader<'r> {
    saga: &'r Saga,
    findings: &'r mut Findings,
}

impl Reader<'_> {
    fn case(&mut self, raw: &RawCase, index: usize, at: &Pointer) -> Case {
        let start = match (&raw.input, &raw.request) {
            (Some(_), Some(_)) => {
                let message = "a case has an `input` or a `request`, not both";
                self.findings.error("exclusive-keys", &at.child("request"), message, "leave one out");
                None
            }
            (Some(input), None) => Some(Start::Input(self.input(input, &at.child("input")))),
            (None, Some(request)) => Some(self.request(request)),
            (None, None) => None,
        };
        Case {
            name: raw.name.clone().unwrap_or_else(|| format!("case {}", index + 1)),
            start,
            answers: self.answers(raw.answers.as_ref(), &at.child("answers")),
            expect: raw.expect.as_ref().map(expect),
        }
    }

    fn input(&mut self, input: &Ordered<Value>, at: &Pointer) -> Map<String, Value> {
        let known: Vec<&str> = self.saga.input.iter().map(|input| input.name.as_str()).collect();
        for (name, _) in &input.0 {
            if !known.contains(&name.as_str()) {
                self.no_such("unknown-input", "input", name, &known, &at.child(name));
            }
        }
        input.0.iter().cloned().collect()
    }

    fn request(&self, raw: &RawRequest) -> Start {
        let map = |map: &Option<Ordered<Value>>| map.iter().flat_map(|map| map.0.iter().cloned()).collect::<Map<_, _>>();
        let path = raw.path.as_deref().unwrap_or(&self.saga.trigger.path);
        let request = json!({
            "method": self.saga.trigger.method.as_str(),
            "path": path,
            "query": map(&raw.query),
            "headers": headers(raw.headers.as_ref()).into_iter().map(|(name, value)| (name, Value::from(value))).collect::<Map<_, _>>(),
            "body": raw.body.clone().unwrap_or(Value::Null),
        });
        Start::Request { request, claims: Value::Object(map(&raw.claims)) }
    }

    fn answers(&mut self, raw: Option<&Ordered<RawAnswers>>, at: &Pointer) -> BTreeMap<StepPath, Answers> {
        let mut answers = BTreeMap::new();
        for (name, raw) in raw.iter().flat_map(|raw| &raw.0) {
            let at = at.child(name);
            let calls = |step: &&super::super::Step| matches!(step.action, Action::Call(_));
            match self.saga.step(name).map(|index| &self.saga[index]) {
                Some(step) if calls(&step) => drop(answers.insert(step.id.clone(), self::answers(raw))),
                Some(_) => {
                    let message = format!("the step {} calls nobody", quoted(name));
                    self.findings.error("means-nothing", &at, message, "leave it out");
                }
                None => {
                    let known: Vec<&str> = self.saga.steps.iter().filter(calls).map(|step| step.id.as_str()).collect();
                    self.no_such("unknown-step", "step", name, &known, &at);
                }
            }
        }
        answers
    }

    fn invariant(&mut self, raw: &RawInvariant, at: &Pointer) -> Option<Invariant> {
        let text = raw.check.as_deref()?;
        let at = at.child("check");
        let template = match Template::parse(text, &Names::new(&["ending", "input"])) {
            Ok(template) => template,
            Err(error) => {
                self.findings.template_error(&at, 0, error);
                return None;
            }
        };
        let Some(check) = template.whole().cloned() else {
            let message = "this has to be one expression, `${…}`, and nothing else";
            self.findings.error("not-an-expression", &at, message, "put everything into one ${…}");
            return None;
        };
        self.check(&check, &at);
        let name = raw.name.clone().unwrap_or_else(|| check.source().to_owned());
        Some(Invariant { name, check })
    }

    /// Whether an invariant reads only what there is.
    fn check(&mut self, check: &Expression, at: &Pointer) {
        for reference in check.references() {
            let Some((what, name, known)) = self.mistake(reference) else { continue };
            let help = match did_you_mean(&name, known.iter().copied()) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("there are {}", known.join(", ")),
            };
            let start = reference.offset_bytes().map_or(0, |found| found + 2);
            let end = start + reference.to_string().len();
            let place = self.findings.place_within(at, start..end);
            let message = format!("there is no {what} {}", quoted(&name));
            self.findings.add(Diagnostic::error("unknown-field", place, message).with_help(help));
        }
    }

    /// What a path names that is not there, and what is.
    fn mistake(&self, reference: &Reference) -> Option<(&'static str, String, Vec<&str>)> {
        let fields: Vec<&str> = reference.segments().iter().map_while(field).collect();
        let (what, name, known) = match (reference.root(), fields.as_slice()) {
            ("input", [name, ..]) => ("input", *name, self.saga.input.iter().map(|input| input.name.as_str()).collect()),
            ("ending", ["effects", step, ..]) => ("step with an effect", *step, self.with_effects().collect()),
            ("ending", ["fault", name, ..]) => ("field of `ending.fault`", *name, FAULT.to_vec()),
            ("ending", [name, ..]) => ("field of `ending`", *name, ENDING.to_vec()),
            _ => return None,
        };
        let known: Vec<&str> = known;
        (!known.contains(&name)).then(|| (what, name.to_owned(), known))
    }

    fn with_effects(&self) -> impl Iterator<Item = &str> {
        let has_effect = |step: &&super::super::Step| matches!(&step.action, Action::Call(call) if call.effect != Effect::None);
        self.saga.steps.iter().filter(has_effect).map(|step| step.id.as_str())
    }

    fn no_such(&mut self, code: &'static str, what: &str, name: &str, known: &[&str], at: &Pointer) {
        let help = match did_you_mean(name, known.iter().copied()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None if known.is_empty() => "leave it out".to_owned(),
            None => format!("there are {}", known.join(", ")),
        };
        let place = self.findings.key_place(at);
        self.findings.add(Diagnostic::error(code, place, format!("there is no {what} {}", quoted(name))).with_help(help));
    }
}

fn field(segment: &Segment) -> Option<&str> {
    match &segment.key {
        Key::Field(name) => Some(name),
        Key::Index(_) => None,
    }
}

fn answers(raw: &RawAnswers) -> Answers {
    let is_done_said = raw.status.is_some() || raw.headers.is_some() || raw.body.is_some();
    Answers {
        done: is_done_said.then(|| made(raw.status, raw.headers.as_ref(), raw.body.as_ref())),
        refused: raw.refused.as_ref().map(mock),
        accepted: raw.accepted.as_ref().map(mock),
        found: raw.found.as_ref().map(mock),
        not_found: raw.not_found.as_ref().map(mock),
        undone: raw.undone.as_ref().map(mock),
        undo_refused: raw.undo_refused.as_ref().map(mock),
        approves: raw.approves.clone(),
        declines: raw.declines.clone(),
    }
}

fn mock(raw: &RawMock) -> Mock {
    made(raw.status, raw.headers.as_ref(), raw.body.as_ref())
}

fn made(status: Option<u16>, written: Option<&Ordered<String>>, body: Option<&Value>) -> Mock {
    Mock { status: status.unwrap_or(200), headers: headers(written), body: body.cloned().unwrap_or(Value::Null) }
}

fn headers(written: Option<&Ordered<String>>) -> Vec<(String, String)> {
    written.iter().flat_map(|map| &map.0).map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect()
}

fn expect(raw: &RawExpect) -> Expect {
    let state = raw.state.map(|state| match state {
        RawState::Completed => "completed",
        RawState::Compensated => "compensated",
        RawState::Quarantined => "quarantined",
    });
    Expect { state, status: raw.status, body: raw.body.clone() }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use crate::{diagnostic::Source, saga::Saga};

    const SAGA: &str = "saga: s\nversion: 1\ntrigger: {route: POST /s/}\ninput: {n: {from: \"${request.body.n}\"}}\nsteps:\n  - {id: pay, call: svc POST /a, compensate: none}\n  - {id: sum, set: {x: 1}}\n";

    fn mistakes(test: &str) -> Vec<String> {
        let text = format!("{SAGA}{test}");
        Saga::load(&Source::new("s.yaml", text), None).unwrap_err().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_is_said_for_tests_does_not_tell_definitions_apart() {
        let hash = |text: String| Saga::load(&Source::new("s.yaml", text), None).unwrap().saga.hash;
        let test =
            "test: {cases: [{name: a, answers: {pay: {status: 201}}}], invariants: [{check: \"${ending.status < 600}\"}]}\n";
        assert_eq!(hash(SAGA.to_owned()), hash(format!("{SAGA}{test}")));
        let loaded = Saga::load(&Source::new("s.yaml", format!("{SAGA}{test}")), None).unwrap().test.unwrap();
        assert_eq!((loaded.cases.len(), loaded.invariants.len()), (1, 1));
        assert_eq!(loaded.cases[0].answers.values().next().unwrap().done.as_ref().unwrap().status, 201);
    }

    #[test]
    fn names_that_are_not_there_are_told_where_they_stand() {
        let found = mistakes(
            "test:\n  cases:\n    - {name: a, input: {m: 1}, answers: {pai: {}, sum: {}}}\n    - {name: a, input: {}, request: {}}\n  invariants:\n    - check: \"${ending.effects.pai == 'kept' && ending.stat == 1 && ending.fault.where == ''}\"\n    - check: ending.status\n",
        );
        assert_eq!(
            found,
            [
                "s.yaml:4:9: warning: nothing reads the input `n` (leave it out, or say what must hold of it with `check`)",
                "s.yaml:10:25: error: there is no input `m` (there are n)",
                "s.yaml:10:42: error: there is no step `pai` (did you mean `pay`?)",
                "s.yaml:10:56: error: the step `sum` calls nobody (leave it out)",
                "s.yaml:11:7: error: another case has this name (give every case a name of its own)",
                "s.yaml:11:37: error: a case has an `input` or a `request`, not both (leave one out)",
                "s.yaml:13:17: error: there is no step with an effect `pai` (did you mean `pay`?)",
                "s.yaml:13:49: error: there is no field of `ending` `stat` (did you mean `state`?)",
                "s.yaml:13:69: error: there is no field of `ending.fault` `where` (there are step, undo, outcome)",
                "s.yaml:14:14: error: this has to be one expression, `${…}`, and nothing else (put everything into one ${…})",
            ]
        );
    }
}
