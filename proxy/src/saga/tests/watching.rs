//! Promises of the status resource's events.

use http::{Request, Response, StatusCode};
use http_body_util::BodyExt as _;

use super::*;
use crate::{
    body::Body,
    idempotency::policy::Policy,
    saga::{events::MAX_STREAMS, service::Starting},
};

/// A stream, as a client reads it.
struct Events {
    response: Response<Body>,
    read: String,
}

#[derive(Debug, PartialEq)]
struct Event {
    id: u64,
    name: String,
    data: Value,
}

impl Process {
    async fn begun_by_ann(&self, saga: &Arc<Saga>) -> SagaId {
        let request = Request::post("/orders/7/")
            .header("content-type", "application/json")
            .header("authorization", "Bearer ann")
            .header("prefer", "respond-async")
            .body(Body::full(Bytes::from_static(br#"{"n": 1}"#)));
        let policy = Arc::new(Policy::of_triggers());
        let starting = Starting { request: request.unwrap(), saga: Arc::clone(saga), policy };
        let pending = self.engine.answer(starting).await;
        assert_eq!(pending.status(), StatusCode::ACCEPTED);
        assert_eq!(pending.headers()["vary"], "prefer");
        let location = pending.headers()["location"].to_str().unwrap();
        SagaId::from_hex(location.rsplit('/').next().unwrap()).unwrap()
    }

    async fn ask_for_events(&self, id: SagaId, authorization: &str, last: Option<u64>) -> Response<Body> {
        let mut request = Request::get(format!("/refrain/sagas/{id}"))
            .header("authorization", authorization)
            .header("accept", "text/event-stream");
        if let Some(last) = last {
            request = request.header("last-event-id", last.to_string());
        }
        let request = request.body(Body::empty()).unwrap();
        self.engine.status(id, &request, |_| Arc::new(Policy::of_triggers())).await
    }

    async fn events(&self, id: SagaId, last: Option<u64>) -> Events {
        let response = self.ask_for_events(id, "Bearer ann", last).await;
        assert_eq!(
            (response.status(), &response.headers()["content-type"]),
            (StatusCode::OK, &"text/event-stream".parse().unwrap())
        );
        assert_eq!(response.headers()["vary"], "accept");
        Events { response, read: String::new() }
    }
}

impl Events {
    /// The next piece of the stream, without its blank line; `None`: it has ended.
    async fn piece(&mut self) -> Option<String> {
        loop {
            if let Some((piece, rest)) = self.read.split_once("\n\n") {
                let (piece, rest) = (piece.to_owned(), rest.to_owned());
                self.read = rest;
                return Some(piece);
            }
            let data = self.response.body_mut().frame().await?.unwrap().into_data().unwrap();
            self.read.push_str(std::str::from_utf8(&data).unwrap());
        }
    }

    async fn next(&mut self) -> Option<Event> {
        let piece = self.piece().await?;
        let field = |name: &str| piece.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).unwrap();
        let data = serde_json::from_str(field("data")).unwrap();
        Some(Event { id: field("id").parse().unwrap(), name: field("event").to_owned(), data })
    }

    /// The first event of which this is true.
    async fn until(&mut self, is_it: impl Fn(&Event) -> bool) -> Event {
        loop {
            let event = self.next().await.expect("it comes before the end");
            if is_it(&event) {
                return event;
            }
        }
    }
}

fn gated() -> (Arc<Notify>, Script) {
    let gate = Arc::new(Notify::new());
    (Arc::clone(&gate), Script::default().on("two", vec![Deed::Gate(gate, ok())]))
}

#[tokio::test]
async fn who_watches_is_told_of_changes_and_at_last_of_the_end() {
    let (gate, script) = gated();
    let (process, saga) = alone(script, ORDER);
    let id = process.begun_by_ann(&saga).await;
    let mut events = process.events(id, None).await;
    let before = events.until(|event| event.data["steps"][1]["state"] == "sending").await;
    assert_eq!((before.name.as_str(), &before.data["state"]), ("change", &json!("running")));
    gate.notify_one();
    let last = events.until(|event| event.name == "final").await;
    assert_eq!((&last.data["state"], &last.data["response"]["status"]), (&json!("completed"), &json!(201)));
    assert_eq!(last.id, process.head(id).await.version);
    assert!(before.id < last.id);
    assert_eq!(events.next().await, None);
    assert!(!last.data.to_string().contains("\"output\""));
}

#[tokio::test]
async fn who_comes_back_is_told_what_it_has_not_seen_and_is_not_kept_waiting_for_what_never_comes() {
    let (gate, script) = gated();
    let (process, saga) = alone(script, ORDER);
    let id = process.begun_by_ann(&saga).await;
    let seen = process.events(id, None).await.until(|event| event.data["steps"][1]["state"] == "sending").await;
    let mut again = process.events(id, Some(seen.id)).await;
    gate.notify_one();
    let next = again.next().await.unwrap();
    assert!(next.id > seen.id, "not what it has seen");
    let last = if next.name == "final" { next } else { again.until(|event| event.name == "final").await };
    let ended = process.ask_for_events(id, "Bearer ann", Some(last.id)).await;
    assert_eq!(ended.status(), StatusCode::NO_CONTENT, "an EventSource does not come back then");
    let mut late = process.events(id, Some(1)).await;
    assert_eq!(late.next().await.unwrap(), last);
}

#[tokio::test(start_paused = true)]
async fn a_saga_that_another_replica_drives_is_watched_here() {
    let (gate, script) = gated();
    let (process, saga) = alone(script, ORDER);
    // It shares the store, and hears of nothing else.
    let other = super::process(&process.store, Wakes::default(), Script::default(), &[Arc::clone(&saga)], LEASE);
    let id = process.begun_by_ann(&saga).await;
    process.script.until_called("two", 1).await;
    let mut events = other.events(id, None).await;
    assert_eq!(events.next().await.unwrap().data["steps"][1]["state"], "sending");
    gate.notify_one();
    assert_eq!(events.until(|event| event.name == "final").await.data["state"], "completed");
}

#[tokio::test]
async fn only_the_starter_watches() {
    let (_gate, script) = gated();
    let (process, saga) = alone(script, ORDER);
    let id = process.begun_by_ann(&saga).await;
    let refused = process.ask_for_events(id, "Bearer eve", None).await;
    assert_eq!((refused.status(), &refused.headers()["refrain-problem"]), (StatusCode::NOT_FOUND, &"not-found".parse().unwrap()));
    assert_eq!(process.engine.context.metrics.sagas.streams.get(), 0);
}

#[tokio::test]
async fn a_saga_that_waits_for_an_operator_ends_the_stream_and_who_comes_back_waits_for_news() {
    let wrong = Deed::Answer(Answer::Wrong { reason: "no".to_owned() });
    let (process, saga) = alone(Script::default().on("one", vec![wrong]), ORDER);
    let id = process.begun_by_ann(&saga).await;
    let last = process.events(id, None).await.until(|event| event.name == "final").await;
    assert_eq!(last.data["state"], "quarantined");
    let mut again = process.events(id, Some(last.id)).await;
    tokio::select! {
        biased;
        early = again.next() => panic!("{early:?}"),
        () = process.store.begun(process.store.calls() + 1) => {}
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_stream_has_a_heartbeat_and_ends_with_the_drain() {
    let (_gate, script) = gated();
    let (process, saga) = alone(script, ORDER);
    let id = process.begun_by_ann(&saga).await;
    process.script.until_called("two", 1).await;
    let mut events = process.events(id, None).await;
    while events.piece().await.unwrap() != ":" {}
    process.engine.shared.drain.cancel();
    while events.piece().await.is_some() {}
}

#[tokio::test(start_paused = true)]
async fn there_is_a_bound_for_streams_and_those_whose_client_is_gone_do_not_count() {
    let (_gate, script) = gated();
    let (process, saga) = alone(script, ORDER);
    let id = process.begun_by_ann(&saga).await;
    process.script.until_called("two", 1).await;
    let mut open = Vec::new();
    for _ in 0..MAX_STREAMS {
        open.push(process.events(id, None).await);
    }
    let refused = process.ask_for_events(id, "Bearer ann", None).await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.headers()["refrain-problem"], "overloaded");
    drop(open);
    while process.engine.common.streams.is_any() {
        tokio::task::yield_now().await;
    }
    process.events(id, None).await;
}
