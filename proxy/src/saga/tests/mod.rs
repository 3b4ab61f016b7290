//! Promises of what drives sagas: engine, driver, recovery, service and status, before a scripted caller.
#![allow(clippy::unwrap_used)]

mod calling_back;
mod driving;
pub(super) mod recovering;
mod serving;
mod watching;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use arc_swap::ArcSwap;
use bytes::Bytes;
use saga_config::{diagnostic::Source, saga::Saga};
use serde_json::{Map, Value, json};
use tokio::sync::Notify;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    call::{CallContext, Caller},
    driver::Settled,
    engine::{Begun, Common, Engine, NewSaga, NotBegun},
    entry::{Direction, Entry, What},
    plan::Plan,
    turn::{Answer, CheckEffect, Finding, Reply, SendEffect, Upstreams},
};
use crate::{
    body::Budget,
    config::{Limits, SagasConfig},
    idempotency::{
        backlog::Backlog,
        barrier::Barrier,
        context::{Context, Unknowns},
        lease::Leases,
        seal::{EncryptionKey, Sealer},
    },
    ids::{Fingerprint, SagaId},
    metrics::Metrics,
    server::Shared,
    store::{
        faults::Faulty,
        journal::{Attached, Head, Journal, SagaState},
        memory::MemoryStore,
        wakes::Wakes,
    },
};

/// Three steps, each with an undo.
const ORDER: &str = r#"
saga: order
version: 1
trigger: {route: "POST /orders/{id}/", idempotency: optional}
input:
  n: {from: "${request.body.n}", type: int, check: "${self > 0}"}
defaults: {retry: {max: 3, initial: 1ms, max_delay: 2ms}, compensation: {retry: {max: 3, initial: 1ms, max_delay: 2ms}}}
steps:
  - {id: one, call: POST /one, body: {n: "${input.n}"}, output: {id: "${response.body.id}"}, compensate: {call: "DELETE /one/${steps.one.id}", effect: idempotent}}
  - {id: two, call: POST /two, compensate: {call: DELETE /two, effect: idempotent}}
  - {id: three, call: POST /three, compensate: {call: DELETE /three, effect: idempotent}}
response:
  completed: {status: 201, body: {id: "${steps.one.id}"}}
  pending: {after: 5s}
"#;

fn saga(text: &str) -> Arc<Saga> {
    let loaded = Saga::load(&Source::new("saga.yaml", text), None);
    Arc::new(
        loaded.unwrap_or_else(|found| panic!("{}", found.iter().map(|one| one.to_string()).collect::<Vec<_>>().join("\n"))).saga,
    )
}

/// What is done at a step's call.
#[derive(Clone)]
enum Deed {
    Answer(Answer),
    /// It tells that it was called, and waits to go on.
    Gate(Arc<Notify>, Answer),
    Panic,
}

/// Answers in place of the deeds.
pub(super) type Hook = Box<dyn Fn(SendEffect) -> futures_util::future::BoxFuture<'static, Answer> + Send + Sync>;

/// A caller that does as it is told, and remembers what it was asked.
#[derive(Clone, Default)]
pub(super) struct Script(Arc<Scripted>);

#[derive(Default)]
struct Scripted {
    hook: Option<Hook>,
    /// By step and direction (`one`, `undo one`): in turn, the last for ever. Without any: a 200.
    deeds: Mutex<HashMap<String, Vec<Deed>>>,
    /// What was called: name, key.
    called: Mutex<Vec<(String, String)>>,
    news: Notify,
}

impl Script {
    /// One that answers as `hook` does.
    pub(super) fn hooked(hook: Hook) -> Self {
        Self(Arc::new(Scripted { hook: Some(hook), ..Scripted::default() }))
    }

    fn on(self, name: &str, deeds: Vec<Deed>) -> Self {
        self.0.deeds.lock().unwrap().insert(name.to_owned(), deeds);
        self
    }

    fn called(&self) -> Vec<String> {
        self.0.called.lock().unwrap().iter().map(|(name, _)| name.clone()).collect()
    }

    fn keys_of(&self, name: &str) -> Vec<String> {
        let called = self.0.called.lock().unwrap();
        called.iter().filter(|(called, _)| called == name).map(|(_, key)| key.clone()).collect()
    }

    /// Resolves when `name` has been called `times`.
    async fn until_called(&self, name: &str, times: usize) {
        loop {
            let news = self.0.news.notified();
            if self.called().iter().filter(|called| *called == name).count() >= times {
                return;
            }
            news.await;
        }
    }
}

impl Caller for Script {
    async fn send(&self, _: &CallContext, effect: SendEffect) -> Answer {
        if let Some(hook) = &self.0.hook {
            return hook(effect).await;
        }
        let undo = if effect.of.direction == Direction::Undo { "undo " } else { "" };
        let name = format!("{undo}{}", effect.of.step);
        let deed = {
            let mut deeds = self.0.deeds.lock().unwrap();
            match deeds.get_mut(&name) {
                Some(deeds) if deeds.len() > 1 => deeds.remove(0),
                Some(deeds) => deeds[0].clone(),
                None => Deed::Answer(ok()),
            }
        };
        self.0.called.lock().unwrap().push((name, effect.key));
        self.0.news.notify_waiters();
        match deed {
            Deed::Answer(answer) => answer,
            Deed::Gate(gate, answer) => {
                gate.notified().await;
                answer
            }
            Deed::Panic => panic!("as scripted"),
        }
    }

    async fn check(&self, _: &CallContext, _: CheckEffect) -> Finding {
        Finding::CannotTell { reason: "not scripted".to_owned() }
    }
}

fn ok() -> Answer {
    status(200)
}

fn status(status: u16) -> Answer {
    let response = json!({"status": status, "headers": {}, "body": {"id": "7"}});
    Answer::Replied(Reply { status, response, retry_after: None, only_send: true, remembered_for: None })
}

#[derive(Debug)]
struct NoUpstreams;

impl Upstreams for NoUpstreams {
    fn max_execution(&self, _: Option<&str>) -> Duration {
        Duration::from_millis(1)
    }

    fn idempotency_window(&self, _: Option<&str>) -> Option<Duration> {
        None
    }

    fn origins(&self, _: Option<&str>) -> Vec<String> {
        Vec::new()
    }

    fn secret(&self, _name: &str) -> Option<String> {
        None
    }
}

pub(super) type Store = Faulty<MemoryStore>;

/// A process: an engine before a store that may be another's too.
pub(super) struct Process {
    pub(super) engine: Engine<Store, Script>,
    pub(super) store: Store,
    script: Script,
}

const LEASE: Duration = Duration::from_secs(2);

pub(super) fn process(store: &Store, wakes: Wakes, script: Script, definitions: &[Arc<Saga>], lease: Duration) -> Process {
    let metrics = Metrics::new();
    let (backlog, owed) = Backlog::new(8);
    drop(owed);
    let context = Context {
        store: store.clone(),
        wakes,
        leases: Leases::new(backlog.clone(), metrics.clone()),
        backlog,
        sealer: Arc::new(Sealer::new(&[EncryptionKey::new("a", [7; 32]).unwrap()]).unwrap()),
        budget: Budget::new(10_000_000),
        metrics: metrics.clone(),
        unknowns: Unknowns::default(),
        barrier: Barrier::default(),
    };
    let config = SagasConfig { definitions: definitions.to_vec(), lease, ..SagasConfig::default() };
    let plan = Arc::new(ArcSwap::from_pointee(Plan::new(&config, None, None, Arc::new(NoUpstreams))));
    let shared = Shared {
        limits: limits(),
        connections: Arc::default(),
        drain: CancellationToken::new(),
        cut: CancellationToken::new(),
        tasks: TaskTracker::new(),
        metrics,
    };
    let engine = Engine::new(Arc::new(context), plan, Common::default(), shared, script.clone());
    Process { engine, store: store.clone(), script }
}

fn limits() -> Limits {
    let bytes = |bytes| saga_config::units::ByteCount::new(bytes).unwrap();
    let second = Duration::from_secs(1);
    Limits {
        header_bytes: bytes(65_536),
        headers: 100,
        connections: 10,
        in_flight: 10,
        buffered: bytes(1_000_000),
        header_timeout: second,
        idle_timeout: second,
        drain: second,
    }
}

/// A process of its own, before a store of its own.
fn alone(script: Script, text: &str) -> (Process, Arc<Saga>) {
    let (saga, wakes) = (saga(text), Wakes::default());
    let store = Faulty::new(MemoryStore::new(wakes.clone()));
    (process(&store, wakes, script, &[Arc::clone(&saga)], LEASE), saga)
}

impl Process {
    pub(super) async fn begin(&self, id: SagaId, saga: &Arc<Saga>) -> Result<Begun, NotBegun> {
        let input: Map<String, Value> = [("n".to_owned(), json!(1))].into_iter().collect();
        let mark = Fingerprint::from_bytes([1; 32]);
        let saga = Arc::clone(saga);
        self.engine.begin(NewSaga { id, saga, input, fingerprint: mark, starter: mark, traceparent: None }).await
    }

    /// Begins a saga with this input.
    pub(super) async fn begin_with(&self, id: SagaId, saga: &Arc<Saga>, input: Map<String, Value>) {
        let mark = Fingerprint::from_bytes([1; 32]);
        let saga = Arc::clone(saga);
        let new = NewSaga { id, saga, input, fingerprint: mark, starter: mark, traceparent: None };
        assert!(matches!(self.engine.begin(new).await, Ok(Begun::Here(_))));
    }

    /// Begins a saga and waits for its end.
    async fn run(&self, saga: &Arc<Saga>) -> (SagaId, Settled) {
        let id = SagaId::random();
        match self.begin(id, saga).await.unwrap() {
            Begun::Here(settled) => (id, settled.await.unwrap()),
            other => panic!("{other:?}"),
        }
    }

    async fn head(&self, id: SagaId) -> Head {
        let Attached { head, .. } = self.store.inner().attach(id, None).await.unwrap().unwrap();
        head
    }

    pub(super) async fn journal(&self, id: SagaId) -> Vec<Entry> {
        let loaded = self.store.inner().load(id).await.unwrap().unwrap();
        self.engine.codec.read_journal(id, &loaded.entries).unwrap()
    }

    /// Resolves when every task is done.
    async fn idle(&self) {
        self.engine.shared.tasks.close();
        self.engine.shared.tasks.wait().await;
    }

    pub(super) async fn until_state(&self, id: SagaId, state: SagaState) {
        let mut listener = self.engine.context.wakes.listen(id.as_record());
        loop {
            let mailbox = Some(self.engine.context.wakes.mailbox());
            let head = self.store.inner().attach(id, mailbox).await.unwrap().unwrap().head;
            if head.state == state {
                return;
            }
            listener.woken().await;
        }
    }
}

fn kinds(entries: &[Entry]) -> Vec<String> {
    let kind = |entry: &Entry| match &entry.what {
        What::Started(_) => "started".to_owned(),
        What::Sending { of, .. } if of.direction == Direction::Undo => format!("undoing {}", of.step),
        What::Sending { of, .. } => format!("sending {}", of.step),
        What::Done { step, .. } => format!("done {step}"),
        What::Refused { step, .. } => format!("refused {step}"),
        What::Undone { step, .. } => format!("undone {step}"),
        What::Doubted { of, .. } => format!("doubted {}", of.step),
        What::Compensating { .. } => "compensating".to_owned(),
        What::Quarantined { .. } => "quarantined".to_owned(),
        What::Ended { completed: true } => "completed".to_owned(),
        What::Ended { completed: false } => "compensated".to_owned(),
        What::Operator { act, .. } => format!("operator {act:?}"),
        other => format!("{other:?}"),
    };
    entries.iter().map(kind).collect()
}

/// An empty answer's bytes, for what is stored by hand.
fn bytes(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}
