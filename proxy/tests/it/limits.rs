//! Nothing grows without bound: what is over a limit is told so, and others do not feel it.

use std::time::Duration;

use tokio::time::Instant;

use crate::support::{
    client::Call,
    origin::Origin,
    raw::{Head, RawConnection, RawOrigin, beside},
};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

fn problem(head: &Head) -> (u16, Option<&str>) {
    (head.status(), head.value("refrain-problem"))
}

#[tokio::test]
async fn a_head_over_its_limit_is_refused_and_the_connection_closed() {
    let origin = RawOrigin::start().await;
    let refrain = beside(&origin.url(), "limits: {header_bytes: 10KiB, headers: 5}\n").await;
    let long = format!("GET / HTTP/1.1\r\nHost: a\r\nX-Long: {}\r\n\r\n", "v".repeat(20 * 1024));
    let endless = format!("GET / HTTP/1.1\r\nHost: a\r\nX-Endless: {}", "v".repeat(20 * 1024));
    let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X-One: 1\r\n".repeat(5));
    let target = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "v".repeat(20 * 1024));
    for request in [long, endless, many, target] {
        let mut client = RawConnection::to(refrain.address()).await;
        client.send(&request).await;
        let head = client.head().await;
        assert_eq!(head.status(), 431, "{:?}", &request[..40]);
        client.rest().await;
        assert!(!origin.has_caller());
    }
}

#[tokio::test]
async fn a_small_limit_for_heads_is_kept_too() {
    let origin = RawOrigin::start().await;
    let refrain = beside(&origin.url(), "limits: {header_bytes: 1KiB}\n").await;
    let mut client = RawConnection::to(refrain.address()).await;
    client.send(format!("GET / HTTP/1.1\r\nHost: a\r\nX-Long: {}\r\n\r\n", "v".repeat(1024))).await;
    assert_eq!(client.head().await.status(), 431);
    let mut client = RawConnection::to(refrain.address()).await;
    client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\n{}", "v".repeat(5000))).await;
    let (mut upstream, seen) = origin.accept_request().await;
    assert_eq!(upstream.body(&seen).await.len(), 5000, "the limit is for heads");
}

#[tokio::test]
async fn a_head_may_have_a_hundred_lines_unless_told_otherwise() {
    let origin = RawOrigin::start().await;
    let refrain = beside(&origin.url(), "").await;
    let mut client = RawConnection::to(refrain.address()).await;
    client.send(format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X-One: 1\r\n".repeat(99))).await;
    let (_upstream, seen) = origin.accept_request().await;
    assert_eq!(seen.values("x-one").len(), 99);
    let mut client = RawConnection::to(refrain.address()).await;
    client.send(format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X-One: 1\r\n".repeat(100))).await;
    assert_eq!(client.head().await.status(), 431);
}

#[tokio::test]
async fn a_head_within_its_limits_passes() {
    let origin = RawOrigin::start().await;
    let refrain = beside(&origin.url(), "limits: {header_bytes: 10KiB, headers: 5}\n").await;
    let mut client = RawConnection::to(refrain.address()).await;
    client
        .send(format!("GET / HTTP/1.1\r\nHost: a\r\nX-Long: {}\r\n{}\r\n", "v".repeat(9 * 1024), "X-One: 1\r\n".repeat(3)))
        .await;
    let (_upstream, seen) = origin.accept_request().await;
    assert_eq!(seen.values("x-one").len(), 3);
}

#[tokio::test]
async fn a_head_that_drips_is_told_so_and_closed() {
    let origin = RawOrigin::start().await;
    let refrain = beside(&origin.url(), "limits: {header_timeout: 300ms}\n").await;
    for beginning in ["G", "P", "PRI * HTTP/2.0\r\n", "GET / HTTP/1.1\r\nHost: a\r\n"] {
        let began = Instant::now();
        let mut client = RawConnection::to(refrain.address()).await;
        client.send(beginning).await;
        // A byte now and then does not buy more time.
        let drip = async {
            for _ in 0..100 {
                tokio::time::sleep(Duration::from_millis(50)).await;
                if beginning.starts_with("GET /") {
                    client.send("x").await;
                }
                if client.has_more().await {
                    return;
                }
            }
        };
        drip.await;
        let head = client.head().await;
        assert_eq!(problem(&head), (408, Some("header-timeout")), "{beginning:?}");
        assert_eq!(head.value("connection"), Some("close"));
        let body = client.body(&head).await;
        assert!(serde_json::from_slice::<serde_json::Value>(&body).unwrap()["status"] == 408);
        client.closed().await;
        assert!((Duration::from_millis(300)..Duration::from_secs(3)).contains(&began.elapsed()), "{:?}", began.elapsed());
    }
    assert!(!origin.has_caller());
}

#[tokio::test]
async fn a_slow_head_on_a_kept_connection_is_bounded_too() {
    let origin = RawOrigin::start().await;
    let refrain = beside(&origin.url(), "limits: {header_timeout: 300ms}\n").await;
    let mut client = RawConnection::to(refrain.address()).await;
    client.send(GET).await;
    let (mut upstream, _) = origin.accept_request().await;
    upstream.send(OK).await;
    client.response().await;
    client.send("GET /again HTTP/1.1\r\n").await;
    assert_eq!(problem(&client.head().await), (408, Some("header-timeout")));
}

#[tokio::test]
async fn an_idle_connection_may_wait_longer_than_a_head() {
    let origin = RawOrigin::start().await;
    let refrain = beside(&origin.url(), "limits: {header_timeout: 200ms, idle_timeout: 10s}\n").await;
    let mut client = RawConnection::to(refrain.address()).await;
    client.send(GET).await;
    let (mut upstream, _) = origin.accept_request().await;
    upstream.send(OK).await;
    client.response().await;
    // The time that passes is what is tested.
    tokio::time::sleep(Duration::from_millis(600)).await;
    client.send(GET).await;
    upstream.head().await;
    upstream.send(OK).await;
    assert_eq!(client.response().await.0.status(), 200);
}

#[tokio::test]
async fn a_connection_that_idles_for_too_long_is_closed_without_a_word() {
    let origin = RawOrigin::start().await;
    let refrain = beside(&origin.url(), "limits: {idle_timeout: 300ms}\n").await;
    let mut client = RawConnection::to(refrain.address()).await;
    client.send(GET).await;
    let (mut upstream, _) = origin.accept_request().await;
    upstream.send(OK).await;
    client.response().await;
    let began = Instant::now();
    client.closed().await;
    assert!((Duration::from_millis(250)..Duration::from_secs(3)).contains(&began.elapsed()), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_request_under_way_is_not_idle() {
    let origin = RawOrigin::start().await;
    let refrain = beside(&origin.url(), "limits: {idle_timeout: 200ms, header_timeout: 200ms}\n").await;
    let mut client = RawConnection::to(refrain.address()).await;
    client.send(GET).await;
    let (mut upstream, _) = origin.accept_request().await;
    tokio::time::sleep(Duration::from_millis(700)).await;
    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n").await;
    client.head().await;
    tokio::time::sleep(Duration::from_millis(700)).await;
    upstream.send("ok").await;
    assert_eq!(client.bytes(2).await, b"ok");
}

#[tokio::test]
async fn a_connection_too_many_is_told_so_and_closed() {
    let origin = RawOrigin::start().await;
    let refrain = beside(&origin.url(), "limits: {connections: 2}\n").await;
    let (mut one, two) = (RawConnection::to(refrain.address()).await, RawConnection::to(refrain.address()).await);
    refrain.until_metric("refrain_connections", 2.0).await;
    let mut three = RawConnection::to(refrain.address()).await;
    three.send(GET).await;
    let (head, body) = three.response().await;
    assert_eq!(problem(&head), (503, Some("overloaded")));
    assert_eq!((head.value("retry-after"), head.value("connection")), (Some("1"), Some("close")));
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&body).unwrap()["retryable"], true);
    three.closed().await;
    refrain.until_metric("refrain_overloaded_total{limit=\"connections\"}", 1.0).await;

    // Those that are in are served, and a place that is given back is given out.
    one.send(GET).await;
    let (mut upstream, _) = origin.accept_request().await;
    upstream.send(OK).await;
    assert_eq!(one.response().await.0.status(), 200);
    drop(two);
    refrain.until_admin("/metrics", |metrics| metrics.text().contains("refrain_connections 1\n")).await;
    let mut four = RawConnection::to(refrain.address()).await;
    four.send(GET).await;
    upstream.head().await;
    upstream.send(OK).await;
    assert_eq!(four.response().await.0.status(), 200);
}

#[tokio::test]
async fn a_request_too_many_is_told_to_come_back() {
    let origin = Origin::start();
    let gate = origin.gate("/slow");
    let refrain = beside(&origin.url(), "limits: {in_flight: 2}\n").await;
    let slow = [Call::get(&refrain.url("/slow")).start(), Call::get(&refrain.url("/slow")).start()];
    gate.started(2).await;
    let refused = Call::get(&refrain.url("/other")).send().await;
    assert_eq!(
        (refused.status, refused.header("refrain-problem"), refused.header("retry-after")),
        (503, Some("overloaded"), Some("1"))
    );
    assert_eq!(refrain.metric("refrain_requests_in_flight").await, 2.0);
    gate.open();
    for slow in slow {
        assert_eq!(slow.answer().await.status, 201);
    }
    assert_eq!(Call::get(&refrain.url("/other")).send().await.status, 201);
    assert_eq!(origin.count("/other"), 1);
}

#[tokio::test]
async fn bodies_that_would_take_too_much_memory_are_told_to_come_back() {
    let origin = Origin::start();
    let gate = origin.gate("/slow");
    let refrain = beside(&origin.url(), "limits: {buffered: 100KiB}\n").await;
    let first = Call::post(&refrain.url("/slow")).key("first").body("x".repeat(70 * 1024)).start();
    gate.started(1).await;
    let refused = Call::post(&refrain.url("/orders")).key("second").body("x".repeat(40 * 1024)).send().await;
    assert_eq!(
        (refused.status, refused.header("refrain-problem"), refused.header("retry-after")),
        (503, Some("overloaded"), Some("1"))
    );
    // What needs no memory is not held up.
    let unkeyed = Call::post(&refrain.url("/orders")).body("x".repeat(400 * 1024)).send().await;
    assert_eq!(unkeyed.status, 201);
    gate.open();
    assert_eq!(first.answer().await.status, 201);
    let again = Call::post(&refrain.url("/orders")).key("second").body("x".repeat(40 * 1024)).send().await;
    assert_eq!((again.status, again.header("idempotency-status")), (201, Some("executed")));
    refrain.until_admin("/metrics", |metrics| metrics.text().contains("refrain_buffered_bytes 0\n")).await;
}

#[tokio::test]
async fn a_client_that_reads_nothing_holds_nobody_up() {
    let origin = RawOrigin::start().await;
    let refrain = beside(&origin.url(), "").await;
    let mut stuck = RawConnection::with_small_buffers(refrain.address()).await;
    stuck.send(GET).await;
    let (mut flooding, _) = origin.accept_request().await;
    flooding.send("HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n").await;
    flooding.send_until_it_stalls(&[0; 64 * 1024], Duration::from_millis(200)).await;

    let mut client = RawConnection::to(refrain.address()).await;
    client.send(GET).await;
    let (mut upstream, _) = origin.accept_request().await;
    for _ in 0..20 {
        upstream.send(OK).await;
        assert_eq!(client.response().await.0.status(), 200);
        client.send(GET).await;
        upstream.head().await;
    }
}

#[tokio::test]
async fn garbage_is_a_400_and_no_more() {
    let origin = RawOrigin::start().await;
    let refrain = beside(&origin.url(), "").await;
    let tls = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".as_slice();
    for garbage in [b"\x00\x01\x02\x03\r\n\r\n".as_slice(), b"hello\r\n\r\n", tls, b"\r\n\r\n\r\n\x7f\r\n\r\n"] {
        let mut client = RawConnection::to(refrain.address()).await;
        client.send(garbage).await;
        assert_eq!(client.head().await.status(), 400, "{garbage:?}");
        client.rest().await;
    }
    let mut client = RawConnection::to(refrain.address()).await;
    client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff").await;
    client.rest().await;
    assert!(!origin.has_caller());
    assert_eq!(refrain.admin("/livez").await.status, 200);
}

#[tokio::test]
async fn a_client_that_hangs_up_before_it_asked_leaves_nothing() {
    let origin = RawOrigin::start().await;
    let refrain = beside(&origin.url(), "").await;
    for beginning in ["", "P", "GET / HT", "POST / HTTP/1.1\r\nHost: a\r\n"] {
        let mut client = RawConnection::to(refrain.address()).await;
        client.send(beginning).await;
        refrain.until_metric("refrain_connections", 1.0).await;
        drop(client);
        refrain.until_admin("/metrics", |metrics| metrics.text().contains("refrain_connections 0\n")).await;
    }
    assert!(!origin.has_caller());
}

#[tokio::test]
async fn an_http2_connection_whose_client_is_gone_is_closed() {
    let origin = RawOrigin::start().await;
    let refrain = beside(&origin.url(), "limits: {idle_timeout: 300ms}\n").await;
    let mut client = RawConnection::to(refrain.address()).await;
    // The preface, empty settings, and never an answer to anything.
    client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00").await;
    assert!(!client.rest().await.is_empty(), "it says goodbye");
}
