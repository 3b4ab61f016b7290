//! First lines and headers.

use super::{OK, through, through_with};
use crate::support::{
    raw::{RawConnection, RawOrigin, beside},
    refrain::Refrain,
};

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
async fn an_answer_without_a_date_gets_one() {
    let (_, _, head, _) = through("GET / HTTP/1.1\r\nHost: a\r\n\r\n", OK).await;
    // RFC 9110, section 6.6.1.
    let date = httpdate::parse_http_date(head.value("date").unwrap()).unwrap();
    assert!(date.elapsed().unwrap().as_secs() < 60);
    assert_eq!(head.lines.len(), 2, "nothing else was added: {head:?}");
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
