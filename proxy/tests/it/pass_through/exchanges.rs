//! Requests and answers as a whole: which follows which, and what is none.

use super::{OK, through};
use crate::support::{
    client::Call,
    raw::{RawConnection, RawOrigin, beside},
    refrain::Refrain,
};

#[tokio::test]
async fn interim_answers_are_not_taken_for_the_answer() {
    let interim = "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n";
    let (_, _, head, body) = through("GET / HTTP/1.1\r\nHost: a\r\n\r\n", &format!("{interim}{OK}")).await;
    assert_eq!((head.status(), body), (200, b"ok".to_vec()));
}

#[tokio::test]
async fn a_client_of_http_1_0_gets_an_answer_it_can_read() {
    let origin = RawOrigin::start().await;
    let refrain = beside(&origin.url(), "").await;
    let mut client = RawConnection::to(refrain.address()).await;
    client.send("GET / HTTP/1.0\r\n\r\n").await;
    let (mut upstream, seen) = origin.accept_request().await;
    assert_eq!(seen.start, "GET / HTTP/1.1");
    assert_eq!(seen.value("host"), Some(origin.address().to_string().as_str()), "HTTP/1.1 needs a host");
    upstream.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nall\r\n0\r\n\r\n").await;
    let head = client.head().await;
    assert_eq!((head.status(), head.value("transfer-encoding")), (200, None));
    assert_eq!(client.rest().await, b"all");
}

#[tokio::test]
async fn a_client_of_http_1_0_can_keep_its_connection() {
    let origin = RawOrigin::start().await;
    let refrain = beside(&origin.url(), "").await;
    let mut client = RawConnection::to(refrain.address()).await;
    client.send("GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n").await;
    let (mut upstream, _) = origin.accept_request().await;
    upstream.send(OK).await;
    let (head, _) = client.response().await;
    assert_eq!(head.value("connection"), Some("keep-alive"));
    client.send("GET /again HTTP/1.0\r\nHost: a\r\n\r\n").await;
    assert_eq!(upstream.head().await.start, "GET /again HTTP/1.1");
    upstream.send(OK).await;
    client.response().await;
    client.closed().await;
}

#[tokio::test]
async fn a_client_that_says_close_is_answered_and_closed() {
    let origin = RawOrigin::start().await;
    let refrain = beside(&origin.url(), "").await;
    let mut client = RawConnection::to(refrain.address()).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    let (mut upstream, _) = origin.accept_request().await;
    upstream.send(OK).await;
    let (head, _) = client.response().await;
    assert_eq!(head.value("connection"), Some("close"));
    client.closed().await;
    // The client's wish is not the upstream's: its connection is used again.
    let mut other = RawConnection::to(refrain.address()).await;
    other.send("GET /other HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(upstream.head().await.start, "GET /other HTTP/1.1");
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let origin = RawOrigin::start().await;
    let refrain = beside(&origin.url(), "").await;
    let mut client = RawConnection::to(refrain.address()).await;
    client.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhiGET /3 HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let mut upstream = origin.accept().await;
    for number in 1..=3 {
        let seen = upstream.head().await;
        assert!(seen.start.contains(&format!(" /{number} ")), "{seen:?}");
        upstream.body(&seen).await;
        upstream.send(format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{number}")).await;
    }
    for number in 1..=3 {
        assert_eq!(client.response().await.1, number.to_string().into_bytes());
    }
}

#[tokio::test]
async fn an_answer_that_is_lost_or_is_none_is_a_502() {
    let origin = RawOrigin::start().await;
    let refrain = beside(&origin.url(), "").await;
    let answers = [
        "",
        "HTTP/1.1 200",
        "nonsense\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
        // A switch that nobody asked for.
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: other\r\n\r\n",
    ];
    for answer in answers {
        let mut client = RawConnection::to(refrain.address()).await;
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").await;
        let (mut upstream, _) = origin.accept_request().await;
        upstream.send(answer).await;
        drop(upstream);
        let (head, body) = client.response().await;
        assert_eq!((head.status(), head.value("refrain-problem")), (502, Some("upstream-failed")), "{answer:?}");
        assert_eq!(head.value("content-type"), Some("application/problem+json"));
        let problem: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!((&problem["status"], &problem["retry"]), (&502.into(), &"never".into()), "{answer:?}");
    }
}

#[tokio::test]
async fn what_two_readers_would_read_differently_is_refused() {
    let origin = RawOrigin::start().await;
    let refrain = beside(&origin.url(), "").await;
    let requests = [
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX-Folded: 1\r\n 2\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n",
        "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX-Nul: \x00\r\n\r\n",
        "GET / HTTP/3.1\r\nHost: a\r\n\r\n",
    ];
    for request in requests {
        let mut client = RawConnection::to(refrain.address()).await;
        client.send(request).await;
        let head = client.head().await;
        assert_eq!(head.status(), 400, "{request:?}");
        assert!(!origin.has_caller(), "{request:?}");
    }
}

#[tokio::test]
async fn many_clients_at_once_each_get_their_own_answer() {
    use wiremock::{Mock, MockServer, Request, ResponseTemplate, matchers::method};

    let service = MockServer::start().await;
    let echo = |request: &Request| ResponseTemplate::new(200).set_body_bytes(request.body.clone());
    Mock::given(method("PUT")).respond_with(echo).mount(&service).await;
    let refrain = beside(&service.uri(), "").await;
    let pending: Vec<_> = (0..64_usize)
        .map(|client| {
            let said = format!("{client}/").repeat(1 + client * 100);
            (said.clone(), Call::new("PUT", &refrain.url("/echo")).body(said).start())
        })
        .collect();
    for (said, answer) in pending {
        let answer = answer.answer().await;
        assert_eq!((answer.status, answer.body.as_ref()), (200, said.as_bytes()));
    }
}

#[tokio::test]
async fn a_caller_with_a_key_is_told_to_ask_again_where_a_refrain_further_on_keeps_the_answer() {
    let origin = RawOrigin::start().await;
    // As at an edge: what keys promise is said beside the service.
    let edge = Refrain::start(&format!(
        "workers: 1\nstore: {{url: \"memory:\"}}\nidempotency: off\nupstreams:\n  \
         app: {{url: \"{url}\", local: true, refrain: true, response_timeout: 200ms}}\n  plain: {{url: \"{url}\", response_timeout: 200ms}}\n\
         routes: [{{match: {{prefix: /plain/}}, upstream: plain}}]",
        url = origin.url()
    ))
    .await;
    let cases = [
        ("/", "Idempotency-Key: k\r\n", "same-key"),
        ("/", "X-Idempotency-Key: k\r\n", "same-key"),
        ("/", "", "never"),
        ("/plain/", "Idempotency-Key: k\r\n", "never"),
    ];
    for ((path, key, retry), breaks_off) in cases.into_iter().flat_map(|case| [(case, true), (case, false)]) {
        let mut client = RawConnection::to(edge.address()).await;
        client.send(&format!("POST {path} HTTP/1.1\r\nHost: a\r\n{key}Content-Length: 0\r\n\r\n")).await;
        let (upstream, _) = origin.accept_request().await;
        let _waits = (!breaks_off).then_some(upstream);
        let (head, body) = client.response().await;
        let expected = if breaks_off { (502, "upstream-failed") } else { (504, "upstream-timeout") };
        assert_eq!((head.status(), head.value("refrain-problem").unwrap()), expected, "{path} {key:?}");
        let problem: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(problem["retry"], retry, "{path} {key:?}");
        assert_eq!(problem["retryable"], retry == "same-key", "{path} {key:?}");
        assert_eq!(head.value("retry-after").is_some(), retry == "same-key", "{path} {key:?}");
    }
}
