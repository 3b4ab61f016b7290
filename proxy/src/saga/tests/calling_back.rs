//! Promises of callbacks: taken on every replica, durable before they are answered, and once.

use http::{Method, Request, Response};
use http_body_util::BodyExt as _;
use saga_config::{
    expr::{Expression, Names},
    saga::{Action, Callback, Later},
    template::ValueTemplate,
};

use super::*;
use crate::{
    body::Body,
    saga::{callback::Address, callbacks::called, codec::Command, operate::Operations, recovery},
    store::{
        faults::{Fault, Operation},
        journal::Commanded,
    },
};

const PUBLIC: &str = "https://shop.example/";

/// The second of three steps is called back, within this.
fn confirmed(within: Duration) -> Arc<Saga> {
    let mut definition = Saga::clone(&saga(ORDER));
    let names = Names::new(&["input", "steps", "saga", "step", "callback"]);
    let Action::Call(two) = &mut definition.steps[1].action else { panic!() };
    let failure = Some(Expression::compile("callback.body.answer == 'no'", &names).unwrap());
    two.later = Some(Later::Callback(Callback { within, failure }));
    two.output = vec![("by".parse().unwrap(), ValueTemplate::parse(&json!("${callback.body.by}"), &names).unwrap())];
    Arc::new(definition)
}

/// A process that can be called back, before a store that may be another's too.
fn reachable(store: &Store, wakes: Wakes, script: Script, saga: &Arc<Saga>) -> Process {
    let definitions = [Arc::clone(saga)];
    let process = process(store, wakes, script, &definitions, LEASE);
    let config = SagasConfig { definitions: definitions.to_vec(), lease: LEASE, ..SagasConfig::default() };
    let public = PUBLIC.parse().unwrap();
    process.engine.plan.store(Arc::new(Plan::new(&config, Some(&public), None, Arc::new(NoUpstreams))));
    process
}

/// One that drives what is due.
fn driving(script: Script, within: Duration) -> (Process, Arc<Saga>, CancellationToken) {
    let (saga, wakes) = (confirmed(within), Wakes::default());
    let store = Faulty::new(MemoryStore::new(wakes.clone()));
    let process = reachable(&store, wakes, script, &saga);
    let stop = recover(&process);
    (process, saga, stop)
}

fn recover(process: &Process) -> CancellationToken {
    let (hand, handed) = recovery::queue();
    let (engine, stop) = (&process.engine, CancellationToken::new());
    let (context, plan, common) = (Arc::clone(&engine.context), Arc::clone(&engine.plan), engine.common.clone());
    tokio::spawn(recovery::run(context, plan, common, vec![hand], stop.clone()));
    tokio::spawn(recovery::take_over(engine.clone(), handed));
    stop
}

impl Process {
    /// A saga that waits to be called back, and where.
    async fn waiting(&self, saga: &Arc<Saga>) -> (SagaId, String) {
        let id = SagaId::random();
        self.begin(id, saga).await.unwrap();
        while !kinds(&self.journal(id).await).iter().any(|kind| kind.starts_with("Accepted")) {
            tokio::task::yield_now().await;
        }
        let What::Started(started) = &self.journal(id).await[0].what else { panic!() };
        let url = started.callbacks.as_ref().unwrap().url(id, "two", 1);
        (id, url.strip_prefix("https://shop.example").unwrap().to_owned())
    }

    async fn send(&self, method: Method, path: &str, body: impl Into<Bytes>) -> Response<Body> {
        let called = called(&self.engine.plan.load(), path).unwrap();
        let request = Request::builder().method(method).uri(path).body(Body::full(body.into())).unwrap();
        self.engine.called_back(called, request).await
    }

    /// Status, and which problem.
    async fn call_back(&self, path: &str, body: &str) -> (u16, String) {
        told(&self.send(Method::POST, path, body.to_owned()).await)
    }
}

fn told(response: &Response<Body>) -> (u16, String) {
    let problem = response.headers().get("refrain-problem").map_or("", |name| name.to_str().unwrap());
    (response.status().as_u16(), problem.to_owned())
}

fn is(status: u16, problem: &str) -> (u16, String) {
    (status, problem.to_owned())
}

const YES: &str = r#"{"answer": "yes", "by": "ann"}"#;
const NO: &str = r#"{"answer": "no", "by": "eve"}"#;
const HALF_AN_HOUR: Duration = Duration::from_secs(1800);

#[tokio::test(start_paused = true)]
async fn a_callback_ends_its_step_and_counts_once() {
    let (process, saga, stop) = driving(Script::default(), HALF_AN_HOUR);
    let (id, path) = process.waiting(&saga).await;
    assert_eq!(process.call_back(&path, YES).await, is(204, ""));
    let journaled_or_waiting = process.store.inner().load(id).await.unwrap().unwrap();
    assert!(
        !journaled_or_waiting.commands.is_empty() || journaled_or_waiting.head.version > 4,
        "it was durable before the answer"
    );
    assert_eq!(process.call_back(&path, YES).await, is(204, ""), "its repeat");
    assert_eq!(process.call_back(&path, NO).await, is(409, "callback-used"));
    process.until_state(id, SagaState::Completed).await;
    assert_eq!(process.script.called(), ["one", "two", "three"]);
    assert_eq!(process.call_back(&path, YES).await, is(204, ""), "its repeat, after the end");
    assert_eq!(process.call_back(&path, NO).await, is(409, "callback-used"));
    let commands = process.store.operations().iter().filter(|operation| **operation == Operation::Command).count();
    assert_eq!(commands, 1, "only what is new is written");
    stop.cancel();
}

#[tokio::test(start_paused = true)]
async fn a_callback_that_says_no_turns_the_saga_back() {
    let (process, saga, stop) = driving(Script::default(), HALF_AN_HOUR);
    let (id, path) = process.waiting(&saga).await;
    assert_eq!(process.call_back(&path, NO).await, is(204, ""));
    process.until_state(id, SagaState::Compensated).await;
    assert_eq!(process.script.called(), ["one", "two", "undo two", "undo one"]);
    stop.cancel();
}

#[tokio::test(start_paused = true)]
async fn any_replica_takes_a_callback() {
    let (saga, wakes) = (confirmed(HALF_AN_HOUR), Wakes::default());
    let store = Faulty::new(MemoryStore::new(wakes.clone()));
    let first = reachable(&store, wakes.clone(), Script::default(), &saga);
    let (id, path) = first.waiting(&saga).await;
    let second = reachable(&store, wakes, Script::default(), &saga);
    assert_eq!(second.call_back(&path, YES).await, is(204, ""));
    assert_eq!(first.call_back(&path, NO).await, is(409, "callback-used"), "also before anybody has taken it up");
    let stop = recover(&second);
    second.until_state(id, SagaState::Completed).await;
    stop.cancel();
}

#[tokio::test(start_paused = true)]
async fn of_two_that_come_at_once_one_is_told_that_it_counts() {
    for _ in 0..20 {
        let (process, saga, stop) = driving(Script::default(), HALF_AN_HOUR);
        let (id, path) = process.waiting(&saga).await;
        let (yes, no) = tokio::join!(process.call_back(&path, YES), process.call_back(&path, NO));
        let end = if yes.0 == 204 { SagaState::Completed } else { SagaState::Compensated };
        assert_eq!([yes.0, no.0].iter().filter(|status| **status == 204).count(), 1, "{yes:?} {no:?}");
        assert!([&yes, &no].contains(&&is(409, "callback-used")), "{yes:?} {no:?}");
        process.until_state(id, end).await;
        stop.cancel();
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_no_callback_is_told_so_and_changes_nothing() {
    let (process, saga, stop) = driving(Script::default(), HALF_AN_HOUR);
    let (id, path) = process.waiting(&saga).await;
    let (front, token) = path.rsplit_once('/').unwrap();
    let other = format!("{front}/{}", token.chars().rev().collect::<String>());
    let before = process.head(id).await.version;
    assert_eq!(process.call_back(&other, YES).await, is(404, "callback-unknown"));
    assert_eq!(
        process.call_back(&format!("/refrain/callbacks/{}/{token}", SagaId::random()), YES).await,
        is(404, "callback-unknown")
    );
    assert_eq!(process.call_back(&format!("{path}/x"), YES).await, is(404, "callback-unknown"));
    for body in ["", "yes", "{"] {
        assert_eq!(process.call_back(&path, body).await, is(400, "malformed"), "{body}");
    }
    let large = format!("\"{}\"", "x".repeat(64 * 1024));
    assert_eq!(process.call_back(&path, &large).await, is(413, "too-large"));
    let got = process.send(Method::GET, &path, "").await;
    assert_eq!((told(&got), got.headers()["allow"].to_str().unwrap()), (is(405, "method-not-allowed"), "POST"));
    let text = got.into_body().collect().await.unwrap().to_bytes();
    assert!(!String::from_utf8_lossy(&text).contains(token), "no answer repeats the token");
    assert_eq!(process.head(id).await.version, before);
    assert!(process.store.inner().commands(id).await.unwrap().is_empty());
    stop.cancel();
}

#[tokio::test(start_paused = true)]
async fn a_callback_that_comes_too_late_is_told_so() {
    let (process, saga, stop) = driving(Script::default(), Duration::from_secs(1));
    let (id, path) = process.waiting(&saga).await;
    process.until_state(id, SagaState::Compensated).await;
    assert_eq!(process.call_back(&path, YES).await, is(410, "callback-over"));
    assert_eq!(process.script.called(), ["one", "two", "undo two", "undo one"]);
    stop.cancel();
}

#[tokio::test(start_paused = true)]
async fn a_callback_that_waits_in_the_store_is_read_before_its_time_is_over() {
    // Shorter than the lease: its driver keeps it, and nobody tells the driver that something waits.
    let (saga, wakes) = (confirmed(Duration::from_secs(1)), Wakes::default());
    let store = Faulty::new(MemoryStore::new(wakes.clone()));
    let process = reachable(&store, wakes, Script::default(), &saga);
    let (id, path) = process.waiting(&saga).await;
    let address = Address::parse(path.strip_prefix("/refrain/callbacks/").unwrap()).unwrap();
    let body = serde_json::from_str(YES).unwrap();
    let nonce = address.nonce(YES.as_bytes());
    let command = Command::CalledBack { called_back: "two".parse().unwrap(), body, nonce: nonce.to_string() };
    let command = process.engine.codec.command(id, &command).unwrap();
    assert_eq!(process.store.inner().command(id, nonce, command).await.unwrap(), Commanded::Queued);
    process.until_state(id, SagaState::Completed).await;
    assert_eq!(process.call_back(&path, YES).await, is(204, ""));
}

#[tokio::test(start_paused = true)]
async fn a_driver_here_hears_of_a_callback_at_once() {
    let (saga, wakes) = (confirmed(Duration::from_secs(1)), Wakes::default());
    let store = Faulty::new(MemoryStore::new(wakes.clone()));
    let process = reachable(&store, wakes, Script::default(), &saga);
    let (id, path) = process.waiting(&saga).await;
    let before = tokio::time::Instant::now();
    assert_eq!(process.call_back(&path, YES).await, is(204, ""));
    process.until_state(id, SagaState::Completed).await;
    assert!(before.elapsed() < Duration::from_millis(500), "{:?}", before.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_callback_that_the_store_did_not_take_can_be_repeated() {
    let (saga, wakes) = (confirmed(HALF_AN_HOUR), Wakes::default());
    let store = Faulty::new(MemoryStore::new(wakes.clone()));
    let process = reachable(&store, wakes, Script::default(), &saga);
    let (id, path) = process.waiting(&saga).await;
    process.store.break_down(Fault::NotReached);
    assert_eq!(process.call_back(&path, YES).await, is(503, "store-lost"));
    process.store.heal();
    // The answers of both tries are lost, and the first was applied.
    let next = process.store.calls();
    (2..=3).for_each(|n| process.store.fail(next + n, Fault::AnswerLost));
    assert_eq!(process.call_back(&path, YES).await, is(503, "store-lost"));
    assert_eq!(process.call_back(&path, YES).await, is(204, ""));
    assert_eq!(process.store.inner().commands(id).await.unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_secret_of_callbacks_and_what_they_bring_is_shown_to_nobody() {
    let (process, saga, stop) = driving(Script::default(), HALF_AN_HOUR);
    let (id, path) = process.waiting(&saga).await;
    process.call_back(&path, YES).await;
    process.until_state(id, SagaState::Completed).await;
    let What::Started(started) = &process.journal(id).await[0].what else { panic!() };
    let secret = &started.callbacks.as_ref().unwrap().secret;
    assert_eq!(secret.len(), 64);
    let engine = &process.engine;
    let (sealer, plan) = (Arc::clone(&engine.context.sealer), Arc::clone(&engine.plan));
    let operations = Operations::new(process.store.clone(), sealer, plan, &engine.common);
    let shown = serde_json::to_string(&operations.show(id).await.unwrap()).unwrap();
    assert!(shown.contains("called_back") && !shown.contains(secret) && !shown.contains("\"ann\""), "{shown}");
    assert!(!format!("{:?}", process.journal(id).await).contains(secret));
    stop.cancel();
}

#[tokio::test]
async fn without_an_address_no_saga_begins_that_waits_to_be_called_back() {
    let (saga, wakes) = (confirmed(HALF_AN_HOUR), Wakes::default());
    let store = Faulty::new(MemoryStore::new(wakes.clone()));
    let process = process(&store, wakes, Script::default(), &[Arc::clone(&saga)], LEASE);
    assert!(matches!(process.begin(SagaId::random(), &saga).await, Err(NotBegun::Fault)));
    assert_eq!(called(&process.engine.plan.load(), "/refrain/sagas/x"), None);
    let nobody = crate::saga::plan::Plan::new(&SagasConfig::default(), None, None, Arc::new(NoUpstreams));
    assert_eq!(called(&nobody, "/refrain/callbacks/x/y"), None, "without sagas it is an ordinary path");
}
