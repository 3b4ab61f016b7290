//! What does not change while a saga is simulated: its definition, its input, what its services are and what they answer.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use saga_config::{
    names::{StepPath, UpstreamName},
    saga::{
        Effect, InDoubt, Later, Saga, UpstreamFact, UpstreamFacts,
        test::{Answers, Mock},
    },
};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{
    super::{
        entry::{Callbacks, Direction, Entry, Started, What, Which},
        machine::{FORMAT, Machine},
        state::{call_step, undo},
        turn::{Answer, Event, Finding, Reply, Upstreams},
    },
    candidates,
    services::Kind,
};
use crate::{ids::SagaId, time::Timestamp};

/// The id of simulated sagas. Delays are drawn from it, so that two simulations are the same.
pub(super) const ID: SagaId = SagaId::from_bytes([0x5a; 16]);
/// When simulated sagas begin: 2026-01-01.
pub(super) const BEGIN: Timestamp = Timestamp::from_unix_ms(1_767_225_600_000);
/// How long a request may still act, where nothing is known of the upstream: the configuration's default.
const MAX_EXECUTION: Duration = Duration::from_secs(5 * 60);
/// How long keys are remembered, where nothing is known of the upstream: the configuration's default.
const WINDOW: Duration = Duration::from_secs(24 * 60 * 60);

/// How long until a saga whose driver was lost is taken over: the configuration's default.
const LEASE: Duration = Duration::from_secs(15);

/// What a service is taken for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Participant {
    /// The upstream's name; `None`: the local one.
    pub upstream: Option<String>,
    /// What it is.
    #[serde(flatten)]
    pub kind: ParticipantKind,
    /// How long a request may still act after it was sent.
    #[serde(skip)]
    pub max_execution: Duration,
    /// Whether a configuration says so; otherwise it is the weakest that the definition can be meant for.
    pub is_configured: bool,
}

/// [`Kind`], with a name in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ParticipantKind {
    /// What it is.
    #[serde(rename = "is")]
    pub is: Kind,
}

/// What a simulated saga is played with.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) definition: Arc<Saga>,
    pub(super) input: Map<String, Value>,
    pub(super) participants: Vec<Participant>,
    /// What is known of answers: from the file, and made up.
    pub(super) answers: BTreeMap<StepPath, Answers>,
    /// Answers that were looked for with the machine's help, by the step's name.
    found: RefCell<BTreeMap<(StepPath, Asked), Option<Mock>>>,
    /// How long until a saga whose driver was lost is taken over.
    pub(super) lease: Duration,
    /// A rule of the machine that is switched off, to see that the exploration finds it out.
    #[cfg(test)]
    pub(super) trusts_any_refusal: bool,
}

/// What an answer is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Asked {
    Refused,
    Undone,
    UndoRefused,
    Found(Direction),
    NotFound(Direction),
    Polled,
    Approves,
    Declines,
}

impl Stage {
    pub(super) fn new(
        definition: Arc<Saga>,
        input: Map<String, Value>,
        answers: BTreeMap<StepPath, Answers>,
        participants: Vec<Participant>,
    ) -> Self {
        Self {
            definition,
            input,
            participants,
            answers,
            found: RefCell::default(),
            lease: LEASE,
            #[cfg(test)]
            trusts_any_refusal: false,
        }
    }

    /// A new saga, and the first entry of its journal.
    pub(super) fn start(&self, now: Timestamp) -> (Machine, Entry) {
        let definition = &self.definition;
        let started = Started {
            format: FORMAT,
            name: definition.name.clone(),
            version: definition.version,
            definition: definition.hash,
            incarnation: "51".repeat(16),
            input: self.input.clone(),
            deadline: definition.deadline.map(|deadline| now.plus(deadline)),
            callbacks: has_callbacks(definition)
                .then(|| Callbacks { base: "http://refrain.example/refrain/callbacks/".to_owned(), secret: "5a".repeat(32) }),
            traceparent: None,
        };
        let (machine, first) = Machine::start(ID, Arc::clone(definition), started, now);
        (self.fitted(machine), first)
    }

    /// The saga from its journal; `None`: it cannot be read, which is a fault of Refrain's own.
    pub(super) fn replay(&self, journal: &[Entry]) -> Option<Machine> {
        Machine::replay(ID, Arc::clone(&self.definition), journal).ok().map(|machine| self.fitted(machine))
    }

    #[cfg(not(test))]
    fn fitted(&self, machine: Machine) -> Machine {
        machine
    }

    #[cfg(test)]
    fn fitted(&self, machine: Machine) -> Machine {
        if self.trusts_any_refusal { machine.trusting_any_refusal() } else { machine }
    }

    /// What an upstream is.
    pub(super) fn kind(&self, upstream: Option<&str>) -> Kind {
        self.participant(upstream).map_or(Kind::Remembers(WINDOW), |participant| participant.kind.is)
    }

    fn participant(&self, upstream: Option<&str>) -> Option<&Participant> {
        self.participants.iter().find(|participant| participant.upstream.as_deref() == upstream)
    }

    /// What a step's service answers when it is done.
    pub(super) fn done(&self, step: &StepPath) -> Mock {
        let known = self.answers.get(&step.without_place()).and_then(|answers| answers.done.clone());
        known.unwrap_or_else(|| Mock { status: 200, headers: Vec::new(), body: json!({}) })
    }

    /// What a step's service answers to its call: that it is done or, where that comes later, that it is accepted.
    pub(super) fn accepted(&self, step: &StepPath) -> Mock {
        let later = self.definition.step(step.name()).and_then(|index| call_step(&self.definition[index])?.later.as_ref());
        let status = match later {
            None => return self.done(step),
            Some(Later::Poll(poll)) => poll.status,
            Some(Later::Callback(_)) => 200,
        };
        let known = self.answers.get(&step.without_place()).and_then(|answers| answers.accepted.clone());
        known.unwrap_or_else(|| Mock { status, headers: Vec::new(), body: json!({}) })
    }

    /// The last poll's answer, if it is a no: the file's, or one that is found.
    pub(super) fn polled_no(&self, machine: &Machine, of: &Which, now: Timestamp) -> Option<Mock> {
        self.given(of, |answers| answers.refused.clone()).or_else(|| {
            self.looked_for(of, Asked::Polled, || {
                let is_no = |what: &What| matches!(what, What::Refused { .. });
                let tried = candidates::refusals(&self.definition, of, &self.done(&of.step));
                tried.into_iter().find(|mock| self.comes_to(machine, checked(of, mock), now, &is_no))
            })
        })
    }

    /// What is called back, as a yes or as a no: the file's, or one that is found.
    pub(super) fn called_back(&self, machine: &Machine, of: &Which, is_yes: bool, now: Timestamp) -> Option<Value> {
        let known = self.answers.get(&of.step.without_place());
        let given = known.and_then(|answers| if is_yes { answers.approves.clone() } else { answers.declines.clone() });
        given.or_else(|| {
            let asked = if is_yes { Asked::Approves } else { Asked::Declines };
            let says = |what: &What| matches!(what, What::Done { fault, .. } if fault.is_none() == is_yes);
            let comes_to = |mock: &Mock| {
                let event = called_back(of, &mock.body);
                let turn = machine.clone().on(event, now, self);
                turn.entries.iter().any(|entry| says(&entry.what))
            };
            self.looked_for(of, asked, || candidates::called_back(&self.definition, of).into_iter().find(comes_to))
                .map(|mock| mock.body)
        })
    }

    /// A no of a step's service, as the step's `outcome` judges: the file's, or one that is found. `machine` has the call under way.
    pub(super) fn refusal(&self, machine: &Machine, of: &Which, now: Timestamp) -> Option<Mock> {
        let (asked, given) = match of.direction {
            Direction::Forward => (Asked::Refused, self.given(of, |answers| answers.refused.clone())),
            Direction::Undo => (Asked::UndoRefused, self.given(of, |answers| answers.undo_refused.clone())),
        };
        given.or_else(|| {
            self.looked_for(of, asked, || {
                let is_no = |what: &What| matches!(what, What::Refused { .. } | What::UndoFailed { .. });
                let tried = candidates::refusals(&self.definition, of, &self.done(&of.step));
                tried.into_iter().find(|mock| self.comes_to(machine, answered(of, mock), now, &is_no))
            })
        })
    }

    /// What a step's undo gets: the file's, or one that is found.
    pub(super) fn undone(&self, machine: &Machine, of: &Which, now: Timestamp) -> Option<Mock> {
        self.given(of, |answers| answers.undone.clone()).or_else(|| {
            self.looked_for(of, Asked::Undone, || {
                let is_yes = |what: &What| matches!(what, What::Undone { .. });
                let tried = candidates::undone(&self.definition, of);
                tried.into_iter().find(|mock| self.comes_to(machine, answered(of, mock), now, &is_yes))
            })
        })
    }

    /// What a probe gets, where the call was carried out and where it was not: the file's, or one that is found.
    pub(super) fn probed(&self, machine: &Machine, of: &Which, happened: bool, now: Timestamp) -> Option<Mock> {
        let given = self.given(of, |answers| if happened { answers.found.clone() } else { answers.not_found.clone() });
        given.filter(|_| of.direction == Direction::Forward).or_else(|| {
            let asked = if happened { Asked::Found(of.direction) } else { Asked::NotFound(of.direction) };
            self.looked_for(of, asked, || {
                let says = |what: &What| match what {
                    What::Done { fault, .. } => happened && fault.is_none(),
                    What::Undone { .. } => happened,
                    What::NotDone { .. } | What::Refused { .. } => !happened,
                    _ => false,
                };
                let tried = candidates::probed(&self.definition, of, happened, &self.done(&of.step));
                // "Not done" counts only some time after the send.
                let later = now.plus(Duration::from_secs(366 * 24 * 60 * 60));
                tried.into_iter().find(|mock| self.comes_to(machine, checked(of, mock), later, &says))
            })
        })
    }

    /// An answer that was found before.
    #[cfg(test)]
    pub(super) fn known(&self, step: &StepPath, asked: Asked) -> Option<Mock> {
        self.found.borrow().get(&(step.without_place(), asked)).cloned().flatten()
    }

    fn given(&self, of: &Which, which: impl Fn(&Answers) -> Option<Mock>) -> Option<Mock> {
        self.answers.get(&of.step.without_place()).and_then(which)
    }

    fn looked_for(&self, of: &Which, asked: Asked, look: impl FnOnce() -> Option<Mock>) -> Option<Mock> {
        let at = (of.step.without_place(), asked);
        if let Some(known) = self.found.borrow().get(&at) {
            return known.clone();
        }
        let found = look();
        self.found.borrow_mut().insert(at, found.clone());
        found
    }

    /// Whether an event makes the machine write such an entry of the call's step.
    fn comes_to(&self, machine: &Machine, event: Event, now: Timestamp, is: &dyn Fn(&What) -> bool) -> bool {
        let turn = machine.clone().on(event, now, self);
        turn.entries.first().is_some_and(|entry| is(&entry.what))
    }
}

fn answered(of: &Which, mock: &Mock) -> Event {
    Event::Answered { of: of.clone(), answer: Answer::Replied(reply(mock, false)) }
}

fn checked(of: &Which, mock: &Mock) -> Event {
    Event::Checked { of: of.clone(), finding: Finding::Replied(reply(mock, false)) }
}

fn has_callbacks(definition: &Saga) -> bool {
    let calls = definition.steps.iter().filter_map(call_step);
    calls.filter_map(|call| call.later.as_ref()).any(|later| matches!(later, Later::Callback(_)))
}

/// Somebody calls back.
pub(super) fn called_back(of: &Which, body: &Value) -> Event {
    Event::CalledBack { step: of.step.clone(), body: body.clone(), nonce: "a callback".to_owned() }
}

/// An answer, as the machine gets it.
pub(super) fn reply(mock: &Mock, only_send: bool) -> Reply {
    Reply { status: mock.status, response: mock.response(), retry_after: None, only_send, remembered_for: None }
}

impl Upstreams for Stage {
    fn max_execution(&self, upstream: Option<&str>) -> Duration {
        self.participant(upstream).map_or(MAX_EXECUTION, |participant| participant.max_execution)
    }

    fn idempotency_window(&self, upstream: Option<&str>) -> Option<Duration> {
        match self.kind(upstream) {
            Kind::Remembers(window) => Some(window),
            Kind::Refrain | Kind::Ledger => None,
        }
    }

    fn origins(&self, upstream: Option<&str>) -> Vec<String> {
        vec![format!("http://{}.example", upstream.unwrap_or("local"))]
    }

    fn secret(&self, name: &str) -> Option<String> {
        Some(format!("the secret {name}"))
    }
}

/// What the definition's upstreams are: as `facts` says, and where it says nothing, the weakest that the definition can be meant for.
pub(super) fn participants(definition: &Saga, facts: Option<&dyn UpstreamFacts>) -> Vec<Participant> {
    let mut names: BTreeSet<Option<&UpstreamName>> = BTreeSet::new();
    for step in &definition.steps {
        names.extend(call_step(step).map(|call| call.call.target.upstream()));
        names.extend(undo(step).map(|undo| undo.call.target.upstream()));
    }
    let participant = |name: Option<&UpstreamName>| {
        let upstream = name.map(|name| name.as_str().to_owned());
        match facts.and_then(|facts| facts.find(name)) {
            Some(fact) => Participant {
                upstream,
                kind: ParticipantKind { is: configured(fact) },
                max_execution: fact.max_execution,
                is_configured: true,
            },
            None => Participant {
                upstream,
                kind: ParticipantKind { is: weakest(definition, name) },
                max_execution: longest(definition, name),
                is_configured: false,
            },
        }
    };
    names.into_iter().map(participant).collect()
}

const fn configured(fact: UpstreamFact) -> Kind {
    match (fact.has_refrain, fact.idempotency_window) {
        (true, _) => Kind::Refrain,
        (false, Some(window)) => Kind::Remembers(window),
        (false, None) => Kind::Ledger,
    }
}

/// Where a probe's "not done" counts some time after the send, nothing that was sent acts later than that.
fn longest(definition: &Saga, upstream: Option<&UpstreamName>) -> Duration {
    let calls = definition.steps.iter().filter_map(call_step);
    let legs = calls.flat_map(|call| {
        let undo = call.compensate.as_ref().map(|undo| (undo.call.target.upstream(), &undo.in_doubt));
        [Some((call.call.target.upstream(), &call.in_doubt)), undo].into_iter().flatten()
    });
    let after = legs.filter(|(name, _)| *name == upstream).filter_map(|(_, in_doubt)| match in_doubt {
        InDoubt::Check(check) => Some(check.after),
        InDoubt::Resend | InDoubt::Compensate | InDoubt::Barrier | InDoubt::Manual => None,
    });
    after.min().unwrap_or(MAX_EXECUTION).min(MAX_EXECUTION)
}

/// The local service has its Refrain. Another has one only where a step relies on it; it remembers keys where a step that must happen
/// once is sent to it again.
fn weakest(definition: &Saga, upstream: Option<&UpstreamName>) -> Kind {
    if upstream.is_none() {
        return Kind::Refrain;
    }
    let calls = definition.steps.iter().filter_map(call_step);
    let legs = calls.flat_map(|call| {
        let forward = (call.call.target.upstream(), call.effect, &call.in_doubt);
        let undo = call.compensate.as_ref().map(|undo| (undo.call.target.upstream(), undo.effect, &undo.in_doubt));
        [Some(forward), undo].into_iter().flatten()
    });
    let mut kind = Kind::Ledger;
    for (name, effect, in_doubt) in legs {
        match in_doubt {
            _ if name != upstream => {}
            InDoubt::Barrier => return Kind::Refrain,
            InDoubt::Resend if effect == Effect::Once => kind = Kind::Remembers(WINDOW),
            InDoubt::Resend | InDoubt::Check(_) | InDoubt::Compensate | InDoubt::Manual => {}
        }
    }
    kind
}
