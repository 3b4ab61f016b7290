//! Definitions for tests.

use std::{sync::Arc, time::Duration};

use saga_config::{
    expr::{Expression, Names},
    saga::{
        Action, Auth, Call, CallStep, Check, CheckResponse, DefinitionHash, Effect, Frozen, Group, GroupIndex, InDoubt,
        OnExhausted, OnFailure, Outcome, Position, Precedence, Responses, Retry, Saga, Step, StepIndex, Trigger, Undo,
    },
    template::{CallTarget, ValueTemplate},
};
use serde_json::{Map, Value, json};

use crate::{ids::SagaId, saga::entry::Started, time::Timestamp};

/// When sagas begin.
pub(super) const BEGIN: Timestamp = Timestamp::from_unix_ms(1_000_000_000);
/// How long a request acts after it was sent.
pub(super) const MAX_EXECUTION: Duration = Duration::from_secs(10);

pub(super) const RETRY: Retry =
    Retry { max: Some(3), within: None, initial: Duration::from_millis(200), max_delay: Duration::from_secs(10) };
const UNDO_RETRY: Retry = Retry {
    max: None,
    within: Some(Duration::from_secs(24 * 3600)),
    initial: Duration::from_secs(1),
    max_delay: Duration::from_secs(300),
};

fn names() -> Names {
    Names::new(&["input", "steps", "saga", "step", "response", "failure", "callback", "self", "t"])
}

pub(super) fn says(source: &str) -> Expression {
    Expression::compile(source, &names()).unwrap()
}

pub(super) fn value(value: Value) -> ValueTemplate {
    ValueTemplate::parse(&value, &names()).unwrap()
}

pub(super) fn target(text: &str) -> CallTarget {
    CallTarget::parse(text, &names()).unwrap()
}

pub(super) fn call(text: &str) -> Call {
    Call {
        target: target(text),
        headers: Vec::new(),
        auth: Auth::None,
        body: Some(value(json!({"reference": "${step.key}"}))),
        timeout: Duration::from_secs(5),
        retry: RETRY,
        outcome: Outcome::default(),
    }
}

/// A probe by the reference.
pub(super) fn check(path: &str) -> InDoubt {
    InDoubt::Check(Box::new(Check {
        target: target(&format!("svc GET {path}?reference=${{step.key}}")),
        headers: Vec::new(),
        auth: Auth::None,
        after: MAX_EXECUTION,
        timeout: Duration::from_secs(5),
        done: says("size(response.body) > 0"),
        response: Some(CheckResponse { status: value(json!(201)), body: value(json!("${response.body[0]}")) }),
    }))
}

/// A step of a definition.
#[derive(Clone)]
pub(super) struct StepOf {
    pub(super) id: &'static str,
    after: Option<Vec<&'static str>>,
    group: Option<usize>,
    pub(super) when: Option<&'static str>,
    set: Option<Value>,
    pub(super) position: Position,
    pub(super) on_failure: OnFailure,
    pub(super) call: CallStep,
}

/// A step that is called, happens once, and is undone by a request that is frozen with the intent.
pub(super) fn step(id: &'static str) -> StepOf {
    let undo = Undo {
        call: Call { retry: UNDO_RETRY, ..call(&format!("svc DELETE /{id}")) },
        effect: Effect::Once,
        in_doubt: InDoubt::Resend,
        in_doubt_is_own: false,
        frozen: Frozen::WithIntent,
        on_exhausted: OnExhausted::Quarantine,
    };
    let call = CallStep {
        call: call(&format!("svc POST /{id}")),
        effect: Effect::Once,
        in_doubt: InDoubt::Resend,
        in_doubt_is_own: false,
        later: None,
        output: vec![("id".parse().unwrap(), value(json!("${response.body.id}")))],
        compensate: Some(undo),
    };
    StepOf {
        id,
        after: None,
        group: None,
        when: None,
        set: None,
        position: Position::Before,
        on_failure: OnFailure::Compensate,
        call,
    }
}

impl StepOf {
    pub(super) fn action(&self) -> Action {
        match &self.set {
            None => Action::Call(Box::new(self.call.clone())),
            Some(Value::Object(values)) => {
                Action::Set(values.iter().map(|(name, template)| (name.parse().unwrap(), value(template.clone()))).collect())
            }
            Some(_) => panic!("a map of values"),
        }
    }

    pub(super) fn after(mut self, steps: &[&'static str]) -> Self {
        self.after = Some(steps.to_vec());
        self
    }

    pub(super) fn member_of(mut self, group: usize) -> Self {
        self.group = Some(group);
        self
    }

    pub(super) fn when(mut self, source: &'static str) -> Self {
        self.when = Some(source);
        self
    }

    pub(super) fn set(mut self, values: Value) -> Self {
        self.set = Some(values);
        self
    }

    pub(super) fn in_doubt(mut self, in_doubt: InDoubt) -> Self {
        self.call.in_doubt = in_doubt;
        self
    }

    pub(super) fn checked(self) -> Self {
        let path = format!("/{}", self.id);
        let mut step = self.in_doubt(check(&path));
        if let Some(undo) = &mut step.call.compensate {
            undo.in_doubt = check(&format!("{path}/undone"));
        }
        step
    }

    /// Its undo uses its answer.
    pub(super) fn undo_from_answer(mut self) -> Self {
        let id = self.id;
        let undo = self.call.compensate.as_mut().unwrap();
        undo.call.target = target(&format!("svc DELETE /{id}/${{steps['{id}'].id}}"));
        undo.frozen = Frozen::WithAnswer;
        self
    }

    pub(super) fn without_undo(mut self) -> Self {
        self.call.compensate = None;
        self
    }

    pub(super) fn without_output(mut self) -> Self {
        self.call.output.clear();
        self
    }

    pub(super) fn reads(mut self) -> Self {
        self.call.effect = Effect::None;
        self.call.compensate = None;
        self
    }

    pub(super) fn pivot(mut self) -> Self {
        self.position = Position::Pivot;
        self.call.compensate = None;
        self
    }

    pub(super) fn past_pivot(mut self) -> Self {
        self.position = Position::After;
        self.call.compensate = None;
        self
    }

    pub(super) fn checked_after_pivot(self) -> Self {
        self.checked().past_pivot()
    }

    pub(super) fn continues(mut self) -> Self {
        self.on_failure = OnFailure::Continue;
        self
    }

    pub(super) fn outcome(mut self, outcome: Outcome) -> Self {
        self.call.call.outcome = outcome;
        self
    }

    pub(super) fn retry(mut self, retry: Retry) -> Self {
        self.call.call.retry = retry;
        self
    }

    pub(super) fn undo(mut self, change: impl FnOnce(&mut Undo)) -> Self {
        change(self.call.compensate.as_mut().unwrap());
        self
    }

    pub(super) fn change(mut self, change: impl FnOnce(&mut CallStep)) -> Self {
        change(&mut self.call);
        self
    }
}

/// A saga of these steps: a list, where they do not say otherwise.
pub(super) fn saga(steps: Vec<StepOf>) -> Saga {
    let ids: Vec<&str> = steps.iter().map(|step| step.id).collect();
    let index = |id: &str| StepIndex(ids.iter().position(|known| *known == id).unwrap());
    let group_count = steps.iter().filter_map(|step| step.group).max().map_or(0, |last| last + 1);
    let members = |group: usize| {
        steps.iter().enumerate().filter(move |(_, step)| step.group == Some(group)).map(|(i, _)| StepIndex(i)).collect()
    };
    let groups: Vec<Group> = (0..group_count)
        .map(|group| Group { id: format!("group{group}").parse().unwrap(), members: members(group), max: 8, cancel_others: true })
        .collect();
    let built = steps.iter().enumerate().map(|(i, step)| Step {
        id: step.id.parse().unwrap(),
        after: match &step.after {
            Some(after) => after.iter().map(|id| index(id)).collect(),
            None => i.checked_sub(1).map(StepIndex).into_iter().collect(),
        },
        within: None,
        group: step.group.map(GroupIndex),
        in_loop: None,
        frame: None,
        when: step.when.map(says),
        action: step.action(),
        position: step.position,
        on_failure: step.on_failure,
    });
    Saga { groups, ..definition(built.collect()) }
}

/// A saga of these steps, with nothing else to it.
pub(super) fn definition(steps: Vec<Step>) -> Saga {
    Saga {
        name: "test".parse().unwrap(),
        version: 1,
        description: None,
        trigger: Trigger { method: http::Method::POST, path: "/test".to_owned(), by_name: false, key_required: true },
        input: Vec::new(),
        sensitive: false,
        deadline: None,
        steps,
        groups: Vec::new(),
        loops: Vec::new(),
        frames: Vec::new(),
        secrets: Vec::new(),
        max_parallel: 8,
        response: Responses { completed: None, compensated: None, quarantined: None, pending_after: Duration::from_secs(10) },
        hash: DefinitionHash::from_bytes([1; 32]),
        canonical: "{}".into(),
        precedence: Precedence::default(),
    }
}

pub(super) const ID: SagaId = SagaId::from_bytes([7; 16]);

pub(super) fn started(definition: &Saga) -> Started {
    Started {
        format: 1,
        name: definition.name.clone(),
        version: definition.version,
        definition: definition.hash,
        incarnation: "000102030405060708090a0b0c0d0e0f".to_owned(),
        input: Map::from_iter([
            ("yes".to_owned(), json!(true)),
            ("no".to_owned(), json!(false)),
            ("two".to_owned(), json!([{"n": 0}, {"n": 1}])),
        ]),
        deadline: definition.deadline.map(|deadline| BEGIN.plus(deadline)),
        callbacks: None,
        traceparent: None,
    }
}

pub(super) fn shared(definition: Saga) -> Arc<Saga> {
    Arc::new(definition)
}
