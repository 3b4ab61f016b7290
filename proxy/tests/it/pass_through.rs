//! What passes through arrives as it was sent, but for what belongs to one connection and what names the hop.

use crate::support::{
    client::Call,
    raw::{Head, RawConnection, RawOrigin, beside},
    refrain::Refrain,
};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Sends a request; gives what the origin saw of it, and what became of its answer.
async fn through(request: &str, answer: &str) -> (Head, Vec<u8>, Head, Vec<u8>) {
    through_with("", request, answer).await
}

async fn through_with(config: &str, request: &str, answer: &str) -> (Head, Vec<u8>, Head, Vec<u8>) {
    let origin = RawOrigin::start().await;
    let refrain = beside(&origin.url(), config).await;
    let mut client = RawConnection::to(refrain.address()).await;
    client.send(request).await;
    let (mut upstream, seen) = origin.accept_request().await;
    let seen_body = upstream.body(&seen).await;
    upstream.send(answer).await;
    let (head, body) = client.response().await;
    (seen, seen_body, head, body)
}

#[tokio::test]
async fn a_request_arrives_as_it_was_written() {
    let request = "GET /a%2Fb//c/./d?x=%20+&y=;&z HTTP/1.1\r\nHost: Shop.Example:81\r\nX-CaseD: one\r\nACCEPT: text/*\r\n\
                   X-CaseD: two\r\nx-cased: thr\t ee\r\nX-Empty:\r\nauthorization: Bearer a.b.c\r\n\r\n";
    let (seen, ..) = through(request, OK).await;
    assert_eq!(seen.start, "GET /a%2Fb//c/./d?x=%20+&y=;&z HTTP/1.1");
    for line in ["Host: Shop.Example:81", "ACCEPT: text/*", "authorization: Bearer a.b.c"] {
        assert!(seen.has(line), "{line} in {seen:?}");
    }
    let cased: Vec<_> = seen.lines.iter().filter(|line| line.to_lowercase().starts_with("x-cased")).collect();
    assert_eq!(cased, ["X-CaseD: one", "X-CaseD: two", "x-cased: thr\t ee"]);
    assert_eq!(seen.value("x-empty"), Some(""));
    assert_eq!(seen.values("content-length"), Vec::<&str>::new());
    assert_eq!(seen.values("transfer-encoding"), Vec::<&str>::new());
}

#[tokio::test]
async fn bytes_that_are_no_utf8_arrive_in_headers_both_ways() {
    let origin = RawOrigin::start().await;
    let refrain = beside(&origin.url(), "").await;
    let mut client = RawConnection::to(refrain.address()).await;
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\nX-Latin: caf\xe9\r\n\r\n").await;
    let (mut upstream, seen) = origin.accept_request().await;
    assert!(seen.has("X-Latin: caf\u{e9}"), "{seen:?}");
    upstream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Latin: th\xe9\r\n\r\n").await;
    assert!(client.head().await.has("X-Latin: th\u{e9}"));
}

#[tokio::test]
async fn an_answer_arrives_as_it_was_written() {
    let answer = "HTTP/1.1 299 Fine Enough\r\nSet-Cookie: a=1\r\nX-OwN: 1\r\nset-cookie: b=2\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT\r\n\
                  Server: old/1\r\nSet-Cookie: c=3\r\nContent-Length: 3\r\n\r\n\x00\r\n";
    let (_, _, head, body) = through("GET / HTTP/1.1\r\nHost: a\r\n\r\n", answer).await;
    assert_eq!(head.start, "HTTP/1.1 299 Fine Enough");
    let cookies: Vec<_> = head.lines.iter().filter(|line| line.to_lowercase().starts_with("set-cookie")).collect();
    assert_eq!(cookies, ["Set-Cookie: a=1", "set-cookie: b=2", "Set-Cookie: c=3"]);
    let others = ["X-OwN: 1", "Date: Mon, 01 Jan 2024 00:00:00 GMT", "Server: old/1", "Content-Length: 3"];
    assert!(others.iter().all(|line| head.has(line)), "{head:?}");
    assert_eq!(head.lines.len(), 7, "nothing was added: {head:?}");
    assert_eq!(body, b"\x00\r\n");
}

#[tokio::test]
async fn an_answer_without_a_date_gets_none() {
    let (_, _, head, _) = through("GET / HTTP/1.1\r\nHost: a\r\n\r\n", OK).await;
    assert_eq!(head.lines, ["Content-Length: 2"]);
}

#[tokio::test]
async fn every_method_passes() {
    let origin = RawOrigin::start().await;
    let refrain = beside(&origin.url(), "").await;
    let mut client = RawConnection::to(refrain.address()).await;
    let methods = ["GET", "PUT", "POST", "PATCH", "DELETE", "OPTIONS", "TRACE", "PURGE", "M-SEARCH", "get"];
    client.send(format!("{} / HTTP/1.1\r\nHost: a\r\n\r\n", methods[0])).await;
    let (mut upstream, seen) = origin.accept_request().await;
    assert_eq!(seen.start, "GET / HTTP/1.1");
    upstream.send(OK).await;
    assert_eq!(client.response().await.1, b"ok");
    for method in &methods[1..] {
        client.send(format!("{method} /{method} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        assert_eq!(upstream.head().await.start, format!("{method} /{method} HTTP/1.1"));
        upstream.send(OK).await;
        assert_eq!(client.response().await.1, b"ok", "{method}");
    }
}

#[tokio::test]
async fn what_belongs_to_one_connection_stays_there() {
    let request = "POST / HTTP/1.1\r\nHost: a\r\nConnection: X-Hop, Keep-Alive\r\nconnection: x-other, host, content-length\r\nX-Hop: 1\r\n\
                   X-Other: 1\r\nKeep-Alive: timeout=9\r\nProxy-Connection: keep-alive\r\nProxy-Authorization: Basic eA==\r\nTE: gzip\r\n\
                   Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nX-Stays: 1\r\nContent-Length: 2\r\n\r\nhi";
    let answer = "HTTP/1.1 200 OK\r\nConnection: x-hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nProxy-Authenticate: Basic\r\nX-Stays: 1\r\n\
                  Content-Length: 2\r\n\r\nok";
    let (seen, seen_body, head, _) = through(request, answer).await;
    let gone = ["connection", "x-hop", "x-other", "keep-alive", "proxy-connection", "proxy-authorization", "te", "upgrade"];
    for name in gone {
        assert_eq!(seen.values(name), Vec::<&str>::new(), "{name} at the origin");
    }
    assert_eq!((seen.value("host"), seen.value("content-length"), seen_body), (Some("a"), Some("2"), b"hi".to_vec()));
    assert!(seen.has("X-Stays: 1"));
    for name in ["connection", "x-hop", "keep-alive", "proxy-authenticate"] {
        assert_eq!(head.values(name), Vec::<&str>::new(), "{name} at the client");
    }
    assert!(head.has("X-Stays: 1"));
}

#[tokio::test]
async fn the_origin_hears_for_whom_it_works() {
    let (seen, ..) = through("GET / HTTP/1.1\r\nHost: shop.example:81\r\n\r\n", OK).await;
    let told: Vec<_> = ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"].map(|name| seen.value(name).unwrap()).into();
    assert_eq!(told, ["127.0.0.1", "http", "shop.example:81"]);
    assert_eq!((seen.value("forwarded"), seen.value("via")), (None, None));
}

#[tokio::test]
async fn earlier_hops_are_kept() {
    let request = "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.1\r\nX-Forwarded-For: 192.0.2.2\r\n\
                   X-Forwarded-Proto: https\r\nX-Forwarded-Host: b\r\nForwarded: for=192.0.2.1\r\nVia: 1.0 edge\r\n\r\n";
    let answer = "HTTP/1.1 200 OK\r\nVia: 1.1 inner\r\nContent-Length: 2\r\n\r\nok";
    let config = "forwarded: {x_forwarded: true, forwarded: true, via: true}\n";
    let (seen, _, head, _) = through_with(config, request, answer).await;
    assert_eq!(seen.value("x-forwarded-for"), Some("192.0.2.1, 192.0.2.2, 127.0.0.1"));
    assert_eq!((seen.value("x-forwarded-proto"), seen.value("x-forwarded-host")), (Some("https"), Some("b")));
    assert_eq!(seen.value("forwarded"), Some("for=192.0.2.1, for=127.0.0.1;host=a;proto=http"));
    assert_eq!(seen.value("via"), Some("1.0 edge, 1.1 refrain"));
    assert_eq!(head.value("via"), Some("1.1 inner, 1.1 refrain"));
}

#[tokio::test]
async fn the_origin_hears_nothing_of_the_way_if_told_so() {
    let (seen, ..) = through_with("forwarded: {x_forwarded: false}\n", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", OK).await;
    assert_eq!(seen.lines, ["Host: a"]);
}

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
    assert_eq!((seen.value("content-length"), seen.value("transfer-encoding"), body), (None, Some("chunked"), b"hello!".to_vec()));
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
        ("GET", "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\nContent-Length: 5\r\n\r\n", (Some("5"), None)),
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
    client.send("POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n").await;
    let (mut upstream, seen) = origin.accept_request().await;
    for byte in ["b", "o", "d", "y"] {
        // The time that passes is what is tested.
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        client.send(byte).await;
    }
    assert_eq!(upstream.body(&seen).await, b"body");
    upstream.send(OK).await;
    assert_eq!(client.response().await.0.status(), 200);
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
async fn only_a_refrain_can_say_that_a_problem_is_refrains() {
    let answer = "HTTP/1.1 409 Conflict\r\nRefrain-Problem: in-flight\r\nX-A: 1\r\nContent-Length: 0\r\n\r\n";
    let (_, _, head, _) = through("GET / HTTP/1.1\r\nHost: a\r\n\r\n", answer).await;
    assert_eq!((head.status(), head.value("refrain-problem"), head.value("x-a")), (409, None, Some("1")));

    let origin = RawOrigin::start().await;
    let config = format!("upstreams: {{app: {{url: \"{}\", local: true, refrain: true}}}}", origin.url());
    let refrain = Refrain::start(&format!("store: {{url: \"memory:\"}}\n{config}\n")).await;
    let mut client = RawConnection::to(refrain.address()).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let (mut upstream, _) = origin.accept_request().await;
    upstream.send(answer).await;
    assert_eq!(client.head().await.value("refrain-problem"), Some("in-flight"));
}

#[tokio::test]
async fn strangers_cannot_speak_of_sagas() {
    let request = "GET / HTTP/1.1\r\nHost: a\r\nSaga-Id: 1\r\nSAGA-STEP: pay\r\nSaga-Whatever: 1\r\nX-Saga: stays\r\n\r\n";
    let (seen, ..) = through(request, OK).await;
    assert!(seen.lines.iter().all(|line| !line.to_lowercase().starts_with("saga-")), "{seen:?}");
    assert!(seen.has("X-Saga: stays"));

    let origin = RawOrigin::start().await;
    let refrain = beside(&origin.url(), "").await;
    let mut client = RawConnection::to(refrain.address()).await;
    let step = "POST / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 10.0.0.1\r\nSaga-Step-Key: a/b/1\r\nContent-Length: 0\r\n\r\n";
    let (head, _) = client.exchange(step).await;
    assert_eq!((head.status(), head.value("refrain-problem")), (403, Some("untrusted-peer")));
    assert!(!origin.has_caller());
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
async fn a_length_beside_chunks_is_not_passed_on() {
    for request in [
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 50\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    ] {
        let (seen, body, ..) = through(request, OK).await;
        assert_eq!((seen.value("content-length"), seen.value("transfer-encoding"), body), (None, Some("chunked"), b"hi".to_vec()));
    }
}

#[tokio::test]
async fn a_target_with_a_host_counts_more_than_the_host_header() {
    let (seen, ..) = through("GET http://asked.example:82/path?q HTTP/1.1\r\nHost: other.example\r\n\r\n", OK).await;
    assert_eq!(seen.start, "GET /path?q HTTP/1.1");
    assert_eq!(seen.value("host"), Some("asked.example:82"));
    assert_eq!(seen.value("x-forwarded-host"), Some("asked.example:82"));
}

#[tokio::test]
async fn an_upstreams_path_stands_before_every_requests() {
    let origin = RawOrigin::start().await;
    let refrain = beside(&format!("{}/base", origin.url()), "").await;
    let mut client = RawConnection::to(refrain.address()).await;
    client.send("GET /a%2F?b HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let (_upstream, seen) = origin.accept_request().await;
    assert_eq!(seen.start, "GET /base/a%2F?b HTTP/1.1");
}

#[tokio::test]
async fn the_target_asterisk_passes() {
    let (seen, ..) = through("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", OK).await;
    assert_eq!(seen.start, "OPTIONS * HTTP/1.1");
}

#[tokio::test]
async fn large_heads_pass_both_ways() {
    let large = "v".repeat(40 * 1024);
    let request = format!("GET /{} HTTP/1.1\r\nHost: a\r\nX-Large: {large}\r\n\r\n", "p".repeat(8 * 1024));
    let answer = format!("HTTP/1.1 200 OK\r\nX-Large: {large}\r\nX-Larger: {large}{large}\r\nContent-Length: 2\r\n\r\nok");
    let (seen, _, head, _) = through(&request, &answer).await;
    assert_eq!(seen.value("x-large"), Some(large.as_str()));
    assert_eq!(head.value("x-larger").unwrap().len(), 80 * 1024);
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
