//! Bodies, their framing and their ends.

use std::time::Duration;

use super::{OK, through};
use crate::support::{
    raw::{RawConnection, RawOrigin, beside},
    refrain::Refrain,
};

#[tokio::test]
async fn a_body_keeps_its_framing() {
    let sized = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
    let (seen, body, ..) = through(sized, OK).await;
    assert_eq!((seen.value("content-length"), seen.value("transfer-encoding"), body), (Some("5"), None, b"hello".to_vec()));

    let empty = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
    let (seen, ..) = through(empty, OK).await;
    assert_eq!((seen.value("content-length"), seen.value("transfer-encoding")), (Some("0"), None));

    let chunked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n1\r\n!\r\n0\r\n\r\n";
    let answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nwell\r\n0\r\n\r\n";
    let (seen, body, head, answered) = through(chunked, answer).await;
    assert_eq!(
        (seen.value("content-length"), seen.value("transfer-encoding"), body),
        (None, Some("chunked"), b"hello!".to_vec())
    );
    assert_eq!((head.value("content-length"), head.value("transfer-encoding")), (None, Some("chunked")));
    assert_eq!(answered, b"well");
}

#[tokio::test]
async fn a_body_that_ends_with_the_connection_arrives_whole() {
    let origin = RawOrigin::start().await;
    let refrain = beside(&origin.url(), "").await;
    let mut client = RawConnection::to(refrain.address()).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let (mut upstream, _) = origin.accept_request().await;
    upstream.send("HTTP/1.0 200 OK\r\n\r\nall there is").await;
    drop(upstream);
    let (head, body) = client.response().await;
    assert_eq!((head.value("transfer-encoding"), body), (Some("chunked"), b"all there is".to_vec()));
}

#[tokio::test]
async fn trailers_pass_both_ways() {
    let origin = RawOrigin::start().await;
    let refrain = beside(&origin.url(), "").await;
    let mut client = RawConnection::to(refrain.address()).await;
    let request = "POST / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n\
                   2\r\nhi\r\n0\r\nX-Sum: 7\r\n\r\n";
    client.send(request).await;
    let (mut upstream, seen) = origin.accept_request().await;
    assert_eq!((seen.value("te"), seen.value("trailer")), (Some("trailers"), Some("X-Sum")));
    let (body, trailers) = upstream.chunks().await;
    assert_eq!((body, trailers.join("\n").to_lowercase()), (b"hi".to_vec(), "x-sum: 7".to_owned()));
    upstream.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Took, X-More\r\n\r\n").await;
    upstream.send("2\r\nok\r\n0\r\nX-Took: 3\r\nX-More: 4\r\n\r\n").await;
    assert_eq!(client.head().await.value("trailer"), Some("X-Took, X-More"));
    let (body, mut trailers) = client.chunks().await;
    trailers.sort();
    assert_eq!((body, trailers.join("\n").to_lowercase()), (b"ok".to_vec(), "x-more: 4\nx-took: 3".to_owned()));
}

#[tokio::test]
async fn answers_without_a_body_leave_the_connection_in_step() {
    let origin = RawOrigin::start().await;
    let refrain = beside(&origin.url(), "").await;
    let mut client = RawConnection::to(refrain.address()).await;
    let mut upstream = None;
    // Method, answer, and the framing the client must see: (content-length, transfer-encoding).
    let cases = [
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", (Some("5"), None)),
        ("HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", (None, None)),
        ("GET", "HTTP/1.1 204 No Content\r\n\r\n", (None, None)),
        ("DELETE", "HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n", (None, None)),
        ("GET", "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\nContent-Length: 5\r\n\r\n", (None, None)),
        ("GET", "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n", (None, None)),
        ("GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", (Some("0"), None)),
    ];
    for (method, answer, framing) in cases {
        client.send(format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        let connection = match &mut upstream {
            None => upstream.insert(origin.accept().await),
            Some(connection) => connection,
        };
        connection.head().await;
        connection.send(answer).await;
        let head = client.head().await;
        assert!(answer.starts_with(&head.start), "{method} {answer:?}: {head:?}");
        let seen = (head.value("content-length"), head.value("transfer-encoding").filter(|_| method != "HEAD"));
        assert_eq!(seen, framing, "{method} {answer:?}");
        assert_eq!(client.unread(), b"", "{method} {answer:?}");
    }
}

#[tokio::test]
async fn a_client_that_asks_before_it_sends_its_body_is_told_to_go_on_once() {
    let origin = RawOrigin::start().await;
    let refrain = beside(&origin.url(), "").await;
    let mut client = RawConnection::to(refrain.address()).await;
    client.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n").await;
    let (mut upstream, seen) = origin.accept_request().await;
    upstream.send("HTTP/1.1 100 Continue\r\n\r\n").await;
    assert_eq!(client.head().await.start, "HTTP/1.1 100 Continue");
    client.send("body").await;
    assert_eq!(upstream.body(&seen).await, b"body");
    upstream.send(OK).await;
    let (head, body) = client.response().await;
    assert_eq!((head.status(), body), (200, b"ok".to_vec()));
}

#[tokio::test]
async fn an_answer_before_the_end_of_its_request_comes_at_once_and_the_rest_still_arrives() {
    let origin = RawOrigin::start().await;
    let refrain = beside(&origin.url(), "").await;
    let mut client = RawConnection::to(refrain.address()).await;
    client.send("POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\none").await;
    let (mut upstream, seen) = origin.accept_request().await;
    upstream.send(OK).await;
    let (head, body) = client.response().await;
    assert_eq!((head.status(), body), (200, b"ok".to_vec()));
    client.send("two").await;
    assert_eq!(upstream.body(&seen).await, b"onetwo");
}

#[tokio::test]
async fn a_request_never_waits_behind_another_ones_unfinished_upload() {
    let origin = RawOrigin::start().await;
    let refrain = beside(&origin.url(), "").await;
    let mut slow = RawConnection::to(refrain.address()).await;
    slow.send("POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\none").await;
    let (mut uploading, _) = origin.accept_request().await;
    uploading.send(OK).await;
    slow.response().await;

    let mut client = RawConnection::to(refrain.address()).await;
    client.send("GET /other HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let (mut upstream, seen) = origin.accept_request().await;
    assert_eq!(seen.start, "GET /other HTTP/1.1");
    upstream.send(OK).await;
    assert_eq!(client.response().await.0.status(), 200);
}

#[tokio::test]
async fn a_slow_upload_is_not_cut_by_the_time_an_answer_may_take() {
    let origin = RawOrigin::start().await;
    let config = format!("upstreams: {{app: {{url: \"{}\", local: true, response_timeout: 200ms}}}}", origin.url());
    let refrain = Refrain::start(&format!("store: {{url: \"memory:\"}}\n{config}\n")).await;
    let mut client = RawConnection::to(refrain.address()).await;
    client.send("POST /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    let (mut upstream, _) = origin.accept_request().await;
    for _ in 0..5 {
        // The time that passes is what is tested.
        tokio::time::sleep(Duration::from_millis(100)).await;
        client.send("2\r\nhi\r\n").await;
        assert_eq!(upstream.chunk().await, b"hi");
    }
    upstream.send(OK).await;
    assert_eq!(client.response().await.0.status(), 200);

    // One that has stopped is cut.
    let mut client = RawConnection::to(refrain.address()).await;
    client.send("POST /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n").await;
    let (mut upstream, _) = origin.accept_request().await;
    assert_eq!(upstream.chunk().await, b"hi");
    let head = client.head().await;
    assert_eq!((head.status(), head.value("refrain-problem")), (504, Some("upstream-timeout")));
    assert_eq!(upstream.rest().await, b"");
}

#[tokio::test]
async fn an_answer_that_breaks_off_does_not_look_whole() {
    let origin = RawOrigin::start().await;
    let refrain = beside(&origin.url(), "").await;
    for (answer, said) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", b"half".to_vec()),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", b"4\r\nhalf\r\n".to_vec()),
    ] {
        let mut client = RawConnection::to(refrain.address()).await;
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let (mut upstream, _) = origin.accept_request().await;
        upstream.send(answer).await;
        assert_eq!(client.head().await.status(), 200);
        assert_eq!(client.bytes(said.len()).await, said);
        drop(upstream);
        client.closed().await;
    }
}

#[tokio::test]
async fn a_length_beside_chunks_is_not_passed_on() {
    for request in [
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 50\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    ] {
        let (seen, body, ..) = through(request, OK).await;
        assert_eq!(
            (seen.value("content-length"), seen.value("transfer-encoding"), body),
            (None, Some("chunked"), b"hi".to_vec())
        );
    }
}
