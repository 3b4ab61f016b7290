//! What makes a request the same request.

use super::{order, pair};
use crate::support::client::Call;

#[tokio::test]
async fn another_request_under_a_used_key_is_refused_also_while_the_first_is_under_way() {
    let (origin, refrain) = pair("idempotency: {on_in_flight: {wait: 30s}}").await;
    let gate = origin.gate("/orders");
    let first = order(&refrain, "k").start();
    gate.started(1).await;
    let others = || {
        let post = |path: &str| Call::post(&refrain.url(path)).key("k");
        [
            ("body", post("/orders").json("{}")),
            ("path", post("/refunds").json(r#"{"item":"tea","count":1}"#)),
            ("query", post("/orders?dry").json(r#"{"item":"tea","count":1}"#)),
            ("method", Call::new("PATCH", &refrain.url("/orders")).key("k").json(r#"{"item":"tea","count":1}"#)),
        ]
    };
    for (what, request) in others() {
        let answer = request.send().await;
        assert_eq!((answer.status, answer.problem()), (422, "key-reused"), "{what}, in flight");
        assert_eq!(answer.json()["retry"], "new-key");
        assert_eq!(answer.json()["idempotency_key"], "k");
    }
    assert!(!first.is_answered());
    gate.open();
    assert_eq!(first.answer().await.status, 201);
    for (what, request) in others() {
        assert_eq!(request.send().await.problem(), "key-reused", "{what}, done");
    }
    assert_eq!(origin.requests().len(), 1);
}

#[tokio::test]
async fn json_is_the_same_in_any_order_of_members_and_with_any_space() {
    let (origin, refrain) = pair("").await;
    let post = |body: &'static str| Call::post(&refrain.url("/orders")).key("k").json(body).send();
    assert_eq!(post(r#"{"a":[1,2],"b":{"x":"A","y":null}}"#).await.how(), "executed");
    assert_eq!(post(" {\n \"b\": {\"y\": null, \"x\": \"\\u0041\"}, \"a\": [1, 2]}").await.how(), "replayed");
    assert_eq!(post(r#"{"a":[2,1],"b":{"x":"A","y":null}}"#).await.problem(), "key-reused", "a list has an order");
    let [sent] = &origin.requests()[..] else { panic!("one request was sent") };
    assert_eq!(sent.body, r#"{"a":[1,2],"b":{"x":"A","y":null}}"#, "and what is sent is what came");
}

#[tokio::test]
async fn numbers_keep_all_their_digits() {
    let (origin, refrain) = pair("").await;
    let amount =
        |key: &str, digits: &str| Call::post(&refrain.url("/orders")).key(key).json(format!("{{\"amount\":{digits}}}")).send();
    let pairs = [
        ("9007199254740993", "9007199254740992"),
        ("12345678901234567890123", "12345678901234567890124"),
        ("0.1", "0.10"),
        ("1", "1.0"),
    ];
    for (number, (one, other)) in pairs.into_iter().enumerate() {
        let key = number.to_string();
        assert_eq!(amount(&key, one).await.how(), "executed");
        assert_eq!(amount(&key, other).await.problem(), "key-reused", "{one} and {other}");
        assert_eq!(amount(&key, one).await.how(), "replayed");
    }
    assert_eq!(origin.effects(), 4);
}

#[tokio::test]
async fn what_the_route_leaves_out_does_not_count_and_what_it_names_does() {
    let rest = "
routes:
  - match: {prefix: /exclude}
    idempotency: {fingerprint: {exclude: [/sent_at, /meta/trace]}}
  - match: {prefix: /raw}
    idempotency: {fingerprint: {json: raw, headers: [x-version]}}
";
    let (_origin, refrain) = pair(rest).await;
    let post = |path: &str, body: &'static str| Call::post(&refrain.url(path)).key(path).json(body);
    assert_eq!(post("/exclude", r#"{"n":1,"sent_at":"10:00","meta":{"trace":"a","user":1}}"#).send().await.how(), "executed");
    assert_eq!(post("/exclude", r#"{"n":1,"sent_at":"10:01","meta":{"trace":"b","user":1}}"#).send().await.how(), "replayed");
    assert_eq!(post("/exclude", r#"{"n":1,"meta":{"user":1}}"#).send().await.how(), "replayed");
    assert_eq!(post("/exclude", r#"{"n":1,"meta":{"user":2}}"#).send().await.problem(), "key-reused");

    assert_eq!(post("/raw", r#"{"a":1,"b":2}"#).header("x-version", "1").send().await.how(), "executed");
    assert_eq!(post("/raw", r#"{"b":2,"a":1}"#).header("x-version", "1").send().await.problem(), "key-reused");
    assert_eq!(post("/raw", r#"{"a":1,"b":2}"#).header("x-version", "2").send().await.problem(), "key-reused");
    assert_eq!(post("/raw", r#"{"a":1,"b":2}"#).header("x-version", "1").send().await.how(), "replayed");
}

#[tokio::test]
async fn a_form_with_files_is_compared_and_forwarded_as_bytes() {
    let (origin, refrain) = pair("").await;
    let form = |last: u8| {
        let mut body = b"--b\r\ncontent-disposition: form-data; name=\"f\"; filename=\"x\"\r\n\r\n".to_vec();
        body.extend((0..=255).cycle().take(200_000));
        body.extend([last, b'\r', b'\n']);
        body.extend(b"--b--\r\n");
        body
    };
    let post = |last: u8| {
        let request = Call::post(&refrain.url("/files")).key("k").header("content-type", "multipart/form-data; boundary=b");
        request.body(form(last)).send()
    };
    assert_eq!(post(0).await.how(), "executed");
    assert_eq!(post(0).await.how(), "replayed");
    assert_eq!(post(1).await.problem(), "key-reused", "one byte differs");
    let [sent] = &origin.requests()[..] else { panic!("one request was sent") };
    assert!(sent.body == form(0), "{} bytes came", sent.body.len());
}

#[tokio::test]
async fn a_body_over_the_bound_is_refused_or_by_the_routes_word_not_protected() {
    let rest = "
idempotency: {max_request_body: 1KiB}
routes:
  - match: {prefix: /open}
    idempotency: {max_request_body: {size: 1KiB, over: unprotected}}
";
    let (origin, refrain) = pair(rest).await;
    let post = |path: &str, size: usize| Call::post(&refrain.url(path)).key(path).body(vec![b'x'; size]).send();
    let refused = post("/orders", 1025).await;
    assert_eq!((refused.status, refused.problem()), (413, "too-large"));
    assert_eq!(origin.requests().len(), 0);
    assert_eq!(post("/orders", 1024).await.how(), "executed", "the bound itself is protected, and the key was not used up");
    for effects in [2, 3] {
        let answer = post("/open", 300_000).await;
        assert_eq!((answer.status, answer.how(), origin.effects()), (201, "unprotected", effects));
    }
    assert_eq!(origin.requests_to("/open")[0].body.len(), 300_000);
    assert_eq!(post("/open", 3).await.how(), "executed");
}
