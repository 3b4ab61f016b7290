//! Promises of the routes that start sagas, and of the status resource.

use http::{Request, Response, StatusCode};
use http_body_util::BodyExt as _;

use super::*;
use crate::{
    body::Body,
    idempotency::policy::Policy,
    saga::service::Starting,
    store::faults::{Fault, Operation},
};

fn request(key: Option<&str>, body: &str) -> Request<Body> {
    let mut request =
        Request::post("/orders/7/").header("content-type", "application/json").header("authorization", "Bearer ann");
    if let Some(key) = key {
        request = request.header("idempotency-key", key);
    }
    request.body(Body::full(Bytes::from(body.to_owned()))).unwrap()
}

impl Process {
    async fn start(&self, saga: &Arc<Saga>, request: Request<Body>) -> Response<Body> {
        let policy = Arc::new(Policy::of_triggers());
        self.engine.answer(Starting { request, saga: Arc::clone(saga), policy }).await
    }

    async fn status(&self, path: &str, authorization: &str) -> (StatusCode, Value) {
        let uri: http::Uri = path.parse().unwrap();
        let id = crate::saga::status::asked_for(&self.engine.plan.load(), &http::Method::GET, &uri).unwrap();
        let request = Request::get(uri).header("authorization", authorization).body(Body::empty()).unwrap();
        let response = self.engine.status(id, &request, |_| Arc::new(Policy::of_triggers())).await;
        (response.status(), body(response).await)
    }
}

async fn body(response: Response<Body>) -> Value {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    serde_json::from_slice(&bytes).unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned()))
}

fn header<'a>(response: &'a Response<Body>, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

#[tokio::test]
async fn a_request_starts_a_saga_and_its_repeat_gets_the_same_answer() {
    let (process, saga) = alone(Script::default(), ORDER);
    let first = process.start(&saga, request(Some("k1"), r#"{"n": 1}"#)).await;
    assert_eq!((first.status(), header(&first, "idempotency-status")), (StatusCode::CREATED, "executed"));
    assert_eq!(header(&first, "content-type"), "application/json");
    assert!(first.headers().contains_key("idempotency-expires"));
    let again = process.start(&saga, request(Some("k1"), r#"{"n": 1}"#)).await;
    assert_eq!((again.status(), header(&again, "idempotency-status")), (StatusCode::CREATED, "replayed"));
    assert_eq!(header(&again, "idempotency-replayed"), "true");
    assert_eq!(body(first).await, body(again).await);
    assert_eq!(process.script.called(), ["one", "two", "three"]);
    let other = process.start(&saga, request(Some("k1"), r#"{"n": 2}"#)).await;
    assert_eq!((other.status(), header(&other, "refrain-problem")), (StatusCode::UNPROCESSABLE_ENTITY, "key-reused"));
    let invalid = process.start(&saga, request(Some("k1"), r#"{"n": 0}"#)).await;
    assert_eq!(header(&invalid, "refrain-problem"), "key-reused", "422 for another payload, also where it is no input");
}

#[tokio::test]
async fn without_a_key_every_request_is_a_saga_of_its_own_where_that_is_allowed() {
    let (process, saga) = alone(Script::default(), ORDER);
    for _ in 0..2 {
        assert_eq!(process.start(&saga, request(None, r#"{"n": 1}"#)).await.status(), StatusCode::CREATED);
    }
    assert_eq!(process.script.called().len(), 6);
    let (process, saga) = alone(Script::default(), &ORDER.replace("idempotency: optional", "idempotency: required"));
    let missing = process.start(&saga, request(None, r#"{"n": 1}"#)).await;
    assert_eq!((missing.status(), header(&missing, "refrain-problem")), (StatusCode::BAD_REQUEST, "key-missing"));
    assert_eq!(process.store.calls(), 0);
}

#[tokio::test]
async fn what_is_no_input_is_told_and_nothing_is_written() {
    let (process, saga) = alone(Script::default(), ORDER);
    for (sent, status, problem, told) in [
        (r#"{"n": "1"}"#, 422, "input-invalid", "input `n`: it must be a whole number, and is a string"),
        (r#"{"n": 0}"#, 422, "input-invalid", "input `n`: `self > 0` does not hold"),
        (r#"{}"#, 422, "input-invalid", "input `n`: "),
        (r#"{"n": 1"#, 400, "malformed", "the request's body is not JSON: "),
    ] {
        for key in [None, Some("k2")] {
            let response = process.start(&saga, request(key, sent)).await;
            assert_eq!((response.status().as_u16(), header(&response, "refrain-problem")), (status, problem), "{sent}");
            let detail = body(response).await["detail"].as_str().unwrap().to_owned();
            assert!(detail.starts_with(told), "{detail}");
        }
    }
    assert!(!process.store.operations().contains(&Operation::Create));
    assert_eq!(process.start(&saga, request(Some("k2"), r#"{"n": 1}"#)).await.status(), StatusCode::CREATED, "the key is free");
}

#[tokio::test]
async fn a_caller_that_has_waited_long_enough_is_told_where_to_look_and_the_answer_comes_later() {
    let gate = Arc::new(Notify::new());
    let (process, saga) = alone(Script::default().on("two", vec![Deed::Gate(Arc::clone(&gate), ok())]), ORDER);
    let mut asynchronous = request(Some("k3"), r#"{"n": 1}"#);
    asynchronous.headers_mut().insert("prefer", "respond-async".parse().unwrap());
    let pending = process.start(&saga, asynchronous).await;
    assert_eq!((pending.status(), header(&pending, "idempotency-status")), (StatusCode::ACCEPTED, "pending"));
    assert_eq!(header(&pending, "preference-applied"), "respond-async");
    assert!(pending.headers().contains_key("retry-after"));
    let location = header(&pending, "location").to_owned();

    process.script.until_called("two", 1).await;
    let (status, shown) = process.status(&location, "Bearer ann").await;
    assert_eq!((status, &shown["state"]), (StatusCode::OK, &json!("running")));
    assert_eq!(shown["steps"][0], json!({"step": "one", "state": "done", "undo": "planned", "starts": 1}));
    assert_eq!(shown["steps"][1]["state"], "sending");
    assert!(!shown.to_string().contains("\"output\""));
    let (status, _) = process.status(&location, "Bearer eve").await;
    assert_eq!(status, StatusCode::NOT_FOUND, "only the starter is told");

    let joining = process.start(&saga, request(Some("k3"), r#"{"n": 1}"#));
    let open = async {
        process.store.begun(process.store.calls() + 1).await;
        gate.notify_one();
    };
    let (joined, ()) = tokio::join!(joining, open);
    assert_eq!((joined.status(), header(&joined, "idempotency-status")), (StatusCode::CREATED, "joined"));
    let (_, shown) = process.status(&location, "Bearer ann").await;
    assert_eq!((&shown["state"], &shown["response"]["status"]), (&json!("completed"), &json!(201)));
    assert_eq!(shown["response"]["body"], json!({"id": "7"}));
    assert_eq!(process.script.called(), ["one", "two", "three"]);
}

#[tokio::test]
async fn a_caller_that_hangs_up_cancels_only_its_own_waiting() {
    let gate = Arc::new(Notify::new());
    let (process, saga) = alone(Script::default().on("one", vec![Deed::Gate(Arc::clone(&gate), ok())]), ORDER);
    let mut waiting = Box::pin(process.start(&saga, request(Some("k4"), r#"{"n": 1}"#)));
    tokio::select! {
        _early = &mut waiting => panic!("it waits"),
        () = process.script.until_called("one", 1) => {}
    }
    drop(waiting);
    gate.notify_one();
    let again = process.start(&saga, request(Some("k4"), r#"{"n": 1}"#)).await;
    assert_eq!(again.status(), StatusCode::CREATED);
    assert_eq!(process.script.called(), ["one", "two", "three"]);
}

#[tokio::test]
async fn a_caller_that_hangs_up_while_its_saga_begins_does_not_leave_it_without_a_driver() {
    let (process, saga) = alone(Script::default(), ORDER);
    let hold = crate::store::faults::Gate::default();
    // hash_key, pin, create
    process.store.fail(3, Fault::DelayAnswer(hold.clone()));
    let mut waiting = Box::pin(process.start(&saga, request(Some("k5"), r#"{"n": 1}"#)));
    tokio::select! {
        _early = &mut waiting => panic!("it waits"),
        () = process.store.begun(3) => {}
    }
    drop(waiting);
    hold.open();
    process.script.until_called("three", 1).await;
}

#[tokio::test]
async fn a_quarantined_saga_answers_and_that_answer_is_not_its_last() {
    let wrong = Deed::Answer(Answer::Wrong { reason: "no".to_owned() });
    let (process, saga) = alone(Script::default().on("one", vec![wrong.clone()]), ORDER);
    for _ in 0..2 {
        let response = process.start(&saga, request(Some("k6"), r#"{"n": 1}"#)).await;
        assert_eq!((response.status().as_u16(), header(&response, "refrain-problem")), (500, "quarantined"));
        assert_eq!(header(&response, "idempotency-status"), "pending");
    }
    let own = ORDER.replace("response:\n", "response:\n  quarantined: {status: 503, problem: {title: We look into it}}\n");
    let (process, saga) = alone(Script::default().on("one", vec![wrong]), &own);
    for _ in 0..2 {
        let response = process.start(&saga, request(Some("k6"), r#"{"n": 1}"#)).await;
        assert_eq!((response.status().as_u16(), header(&response, "idempotency-status")), (503, "pending"));
        assert_eq!(body(response).await["title"], "We look into it");
    }
}

#[tokio::test]
async fn without_its_store_nothing_is_started_and_a_lost_answer_is_never_a_second_saga() {
    let (process, saga) = alone(Script::default(), ORDER);
    process.store.break_down(Fault::NotReached);
    let response = process.start(&saga, request(Some("k7"), r#"{"n": 1}"#)).await;
    assert_eq!((response.status().as_u16(), header(&response, "refrain-problem")), (503, "store-lost"));
    process.store.heal();
    // The create is applied each time, and its answer lost each time.
    let (process, saga) = alone(Script::default(), ORDER);
    (3..=5).for_each(|n| process.store.fail(n, Fault::AnswerLost));
    let response = process.start(&saga, request(Some("k7"), r#"{"n": 1}"#)).await;
    assert_eq!(header(&response, "refrain-problem"), "store-lost");
    let mut asynchronous = request(Some("k7"), r#"{"n": 1}"#);
    asynchronous.headers_mut().insert("prefer", "respond-async".parse().unwrap());
    assert_eq!(process.start(&saga, asynchronous).await.status(), StatusCode::ACCEPTED, "it is there, and waits for a driver");
    assert_eq!(process.script.called(), Vec::<String>::new());
    let (process, saga) = alone(Script::default(), ORDER);
    (3..=5).for_each(|n| process.store.fail(n, Fault::AnswerLost));
    let response = process.start(&saga, request(None, r#"{"n": 1}"#)).await;
    assert_eq!(header(&response, "refrain-problem"), "outcome-unknown", "without a key it must not be tried again blindly");
}
