//! What becomes of the service's answer.

use bytes::Bytes;
use http::HeaderMap;

use super::{order, pair};
use crate::support::{client::Call, origin::Reply};

/// Every byte there is, in an order in which no text has them.
fn every_byte() -> Bytes {
    (0..=255).rev().chain(0..=255).collect()
}

#[tokio::test]
async fn an_answer_is_replayed_byte_for_byte_and_the_service_is_asked_once() {
    let (origin, refrain) = pair("").await;
    let reply = Reply::status(201)
        .header("content-type", "application/octet-stream")
        .header("content-encoding", "gzip")
        .header("x-several", "one")
        .header("x-several", "two, three")
        .header("x-bytes", b"\xff\xfe caf\xe9")
        .header("location", "/orders/1")
        .body(every_byte());
    origin.on("/orders", reply);
    let request = Call::post(&refrain.url("/orders?full=%20yes")).key("\"k-1\"").body(every_byte());
    let first = request.clone().send().await;
    let second = request.send().await;

    for (answer, how) in [(&first, "executed"), (&second, "replayed")] {
        assert_eq!((answer.status, answer.how()), (201, how));
        assert_eq!(answer.body, every_byte());
        assert_eq!(answer.all("x-several"), [&b"one"[..], b"two, three"]);
        assert_eq!(answer.all("x-bytes"), [b"\xff\xfe caf\xe9"]);
        assert_eq!(answer.all("content-encoding"), [b"gzip"], "still as compressed as its body");
        assert_eq!(answer.all("content-type"), [b"application/octet-stream"]);
        assert_eq!(answer.all("location"), [b"/orders/1"]);
        assert_eq!(answer.header("content-length"), Some("512"));
        assert_eq!(answer.header("idempotency-attempt"), Some("1"));
    }
    assert_eq!((first.header("idempotency-replayed"), second.header("idempotency-replayed")), (None, Some("true")));
    assert!(second.all("cache-control").contains(&&b"no-store"[..]), "nobody on the way may keep a replay");

    let [sent] = &origin.requests()[..] else { panic!("{} requests came through", origin.requests().len()) };
    assert_eq!(
        (sent.query.as_str(), sent.header("idempotency-key")),
        ("full=%20yes", Some("\"k-1\"")),
        "the key is forwarded as it came"
    );
    assert_eq!(sent.body, every_byte());
}

#[tokio::test]
async fn what_is_about_one_message_is_not_replayed() {
    let (origin, refrain) = pair("").await;
    const LONG_AGO: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    let of_one_message = [
        ("date", LONG_AGO),
        ("set-cookie", "session=secret"),
        ("age", "3"),
        ("via", "1.1 cache"),
        ("alt-svc", "h3=\":443\""),
        ("server-timing", "db;dur=5"),
        ("x-request-id", "r-1"),
        ("ratelimit-remaining", "7"),
    ];
    let reply = of_one_message.iter().fold(Reply::status(200), |reply, (name, value)| reply.header(name, value));
    origin.on("/orders", reply.header("etag", "\"v1\""));
    let first = order(&refrain, "k").send().await;
    let second = order(&refrain, "k").send().await;
    for (name, value) in of_one_message {
        assert_eq!(first.header(name), Some(value), "the first caller gets all of it");
        assert_ne!(second.header(name), Some(value), "{name}");
    }
    assert_eq!(second.header("etag"), Some("\"v1\""));
    let date = httpdate::parse_http_date(second.header("date").unwrap()).unwrap();
    let expires = httpdate::parse_http_date(second.header("idempotency-expires").unwrap()).unwrap();
    let left = expires.duration_since(date).unwrap().as_secs();
    assert!((24 * 3600 - 60..=24 * 3600).contains(&left), "the record ends a day after it was made, not {left} s");
}

#[tokio::test]
async fn cookies_are_replayed_only_where_the_route_says_so() {
    let (origin, refrain) = pair("idempotency: {drop_headers: [x-secret]}").await;
    origin.on("/orders", Reply::status(200).header("set-cookie", "a=1").header("set-cookie", "b=2").header("x-secret", "s"));
    order(&refrain, "k").send().await;
    let replayed = order(&refrain, "k").send().await;
    assert_eq!(replayed.how(), "replayed");
    assert_eq!(replayed.all("set-cookie"), [b"a=1", b"b=2"]);
    assert_eq!(replayed.header("x-secret"), None);
}

#[tokio::test]
async fn trailers_are_replayed_too() {
    let (origin, refrain) = pair("").await;
    origin.on("/orders", Reply::status(200).body("the body").trailer("x-checksum", "abc"));
    for how in ["executed", "replayed"] {
        let answer = order(&refrain, "k").header("te", "trailers").send().await;
        assert_eq!((answer.how(), answer.text()), (how, "the body"));
        assert_eq!(answer.trailers, [("x-checksum".to_owned(), b"abc".to_vec())]);
    }
}

#[tokio::test]
async fn an_answer_that_is_an_outcome_is_kept_whatever_its_status() {
    let (origin, refrain) = pair("").await;
    for status in [200, 201, 204, 303, 400, 404, 409, 422, 500] {
        let path = format!("/{status}");
        origin.on(&path, Reply::status(status));
        let request = || Call::post(&refrain.url(&path)).key(&path).body("x");
        let (first, second) = (request().send().await, request().send().await);
        assert_eq!((first.status, first.how()), (status, "executed"));
        assert_eq!((second.status, second.how()), (status, "replayed"));
        assert_eq!(first.body, second.body);
        assert_eq!(origin.count(&path), 1, "{status}");
    }
}

#[tokio::test]
async fn an_answer_that_says_that_nothing_was_done_frees_the_key() {
    let (origin, refrain) = pair("").await;
    for status in [401, 403, 407, 408, 425, 429, 503] {
        let path = format!("/{status}");
        let refusal = Reply::status(status).without_effect().header("retry-after", "7");
        origin.on(&path, refusal);
        let request = || Call::post(&refrain.url(&path)).key(&path).body("x");
        let refused = request().send().await;
        assert_eq!((refused.status, refused.header("retry-after")), (status, Some("7")));
        origin.on(&path, Reply::status(201));
        let done = request().send().await;
        assert_eq!((done.status, done.how(), done.header("idempotency-attempt")), (201, "executed", Some("1")));
        assert_eq!(request().send().await.how(), "replayed");
        assert_eq!(origin.count(&path), 2, "{status}");
    }
}

#[tokio::test]
async fn a_server_error_that_says_nothing_is_passed_on_as_an_unknown_outcome_and_the_request_is_never_sent_again() {
    let (origin, refrain) = pair("").await;
    for status in [502, 503, 504, 599] {
        let path = format!("/{status}");
        origin.on(&path, Reply::status(status).body("the service's own words"));
        let request = || Call::post(&refrain.url(&path)).key(&path).body("x");
        let first = request().send().await;
        assert_eq!((first.status, first.how(), first.problem()), (status, "outcome-unknown", ""));
        assert_eq!(first.text(), "the service's own words");
        let second = request().send().await;
        assert_eq!((second.status, second.how(), second.problem()), (409, "outcome-unknown", "outcome-unknown"));
        assert!(second.header("retry-after").is_some());
        assert_eq!(origin.count(&path), 1, "{status}");
    }
}

#[tokio::test]
async fn which_statuses_are_kept_is_the_routes_to_say() {
    let (origin, refrain) = pair("idempotency: {store: {statuses: [2xx, 502], release: [404]}}").await;
    let send = |path: &'static str| Call::post(&refrain.url(path)).key(path).body("x").send();
    for (path, status, second) in
        [("/a", 502, (502, "replayed")), ("/b", 404, (404, "executed")), ("/c", 500, (409, "outcome-unknown"))]
    {
        origin.on(path, Reply::status(status));
        assert_eq!(send(path).await.status, status);
        let again = send(path).await;
        assert_eq!((again.status, again.how()), second, "{path}");
    }
}

#[tokio::test]
async fn an_answer_that_is_too_large_flows_to_its_caller_and_its_request_never_runs_again() {
    let (origin, refrain) = pair("idempotency: {max_stored_body: 1KiB}").await;
    origin.on("/orders", Reply::status(201).body(vec![b'x'; 1024]));
    order(&refrain, "fits").send().await;
    let fits = order(&refrain, "fits").send().await;
    assert_eq!((fits.how(), fits.body.len()), ("replayed", 1024), "the bound itself is kept");

    let body: Bytes = (0..300_000_u32).flat_map(u32::to_be_bytes).collect();
    origin.on("/orders", Reply::status(201).body(body.clone()));
    let first = order(&refrain, "k").send().await;
    assert_eq!((first.status, first.how()), (201, "executed"));
    assert!(first.body == body, "{} bytes came", first.body.len());
    let second = order(&refrain, "k").send().await;
    assert_eq!((second.status, second.how(), second.problem()), (409, "replayed", "response-not-kept"));
    assert_eq!((second.json()["original_status"].clone(), second.json()["retry"].clone()), (201.into(), "never".into()));
    assert_eq!(origin.effects_of("k"), 1);
}

#[tokio::test]
async fn an_answer_of_unknown_length_flows_once_it_is_too_large_to_keep() {
    let (origin, refrain) = pair("idempotency: {max_stored_body: 1KiB}").await;
    let (reply, feed) = Reply::feed("application/octet-stream");
    origin.on("/orders", reply);
    feed.send(Bytes::from(vec![1; 2048])).unwrap();
    let mut first = order(&refrain, "k").open().await;
    let mut came = 0;
    while came < 2048 {
        came += first.next().await.unwrap().len();
    }
    // While it still flows, its request is known to have run.
    let during = order(&refrain, "k").send().await;
    assert_eq!((during.status, during.problem()), (409, "response-not-kept"));
    feed.send(Bytes::from_static(b"the end")).unwrap();
    drop(feed);
    assert_eq!(first.next().await.unwrap(), "the end");
    assert!(first.ends_well().await);
    assert_eq!(origin.effects(), 1);
}

#[tokio::test]
async fn a_stream_flows_at_once_and_its_request_never_runs_again() {
    let (origin, refrain) = pair("").await;
    let (reply, feed) = Reply::feed("text/event-stream; charset=utf-8");
    origin.on("/orders", reply);
    let pending = tokio::spawn(order(&refrain, "k").open());
    feed.send(Bytes::from_static(b"data: 1\n\n")).unwrap();
    let mut first = pending.await.unwrap();
    assert_eq!((first.status, first.header("idempotency-status")), (200, Some("executed")));
    assert_eq!(first.next().await.unwrap(), "data: 1\n\n", "before the stream has ended");
    let during = order(&refrain, "k").send().await;
    assert_eq!(
        (during.status, during.problem(), during.json()["original_status"].clone()),
        (409, "response-not-kept", 200.into())
    );
    feed.send(Bytes::from_static(b"data: 2\n\n")).unwrap();
    assert_eq!(first.next().await.unwrap(), "data: 2\n\n");
    drop(feed);
    assert!(first.ends_well().await);
    assert_eq!(order(&refrain, "k").send().await.problem(), "response-not-kept");
    assert_eq!(origin.effects(), 1);
}

#[tokio::test]
async fn an_answer_whose_body_breaks_off_is_never_taken_for_one() {
    let (origin, refrain) = pair("").await;
    origin.on("/orders", Reply::break_off("half of this is missing", 11));
    let first = order(&refrain, "k").send().await;
    assert_eq!((first.status, first.how(), first.problem()), (502, "outcome-unknown", "outcome-unknown"));
    origin.on("/orders", Reply::status(201));
    let second = order(&refrain, "k").send().await;
    assert_eq!((second.status, second.problem()), (409, "outcome-unknown"));
    assert_eq!(origin.effects(), 1);
}

#[tokio::test]
async fn a_service_cannot_speak_in_the_proxys_name() {
    let (origin, refrain) = pair("").await;
    let claims = [("refrain-problem", "in-flight"), ("idempotency-status", "replayed"), ("idempotency-replayed", "true")];
    origin.on("/orders", claims.iter().fold(Reply::status(200), |reply, (name, value)| reply.header(name, value)));
    let answer = order(&refrain, "k").send().await;
    assert_eq!((answer.status, answer.how(), answer.problem()), (200, "executed", ""));
    assert_eq!(answer.header("idempotency-replayed"), None);
}

#[tokio::test]
async fn a_request_that_cannot_be_sent_frees_its_key() {
    let (origin, refrain) = pair("").await;
    origin.close().await;
    let refused = order(&refrain, "k").send().await;
    assert_eq!((refused.status, refused.problem()), (503, "upstream-not-reached"));
    assert!(refused.header("retry-after").is_some());
    origin.reopen().await;
    let done = order(&refrain, "k").send().await;
    assert_eq!((done.status, done.how(), done.header("idempotency-attempt")), (201, "executed", Some("1")));
    assert_eq!(origin.effects(), 1);
}

#[tokio::test]
async fn keyed_requests_reach_the_service_as_they_are() {
    let (origin, refrain) = pair("").await;
    let request = order(&refrain, "k").header("authorization", "Bearer t").header("x-two", "1").header("x-two", "2");
    request.header("connection", "x-hop").header("x-hop", "1").send().await;
    let [sent] = &origin.requests()[..] else { panic!("one request was sent") };
    let named = |headers: &HeaderMap, name: &str| headers.get_all(name).iter().cloned().collect::<Vec<_>>();
    assert_eq!(sent.header("authorization"), Some("Bearer t"));
    assert_eq!(named(&sent.headers, "x-two"), ["1", "2"]);
    assert_eq!(sent.header("host"), Some(refrain.address().to_string().as_str()));
    assert_eq!(sent.header("x-hop"), None, "what belongs to one connection stays there");
}
