//! Bodies flow: nothing is collected, nothing runs ahead of its reader, and who hangs up is let go.

use std::time::Duration;

use crate::support::{
    raw::{RawConnection, RawOrigin, beside},
    refrain::Refrain,
};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const LARGE: usize = 200 << 20;
/// What a body of any size may add to the process's memory.
const MAY_GROW: usize = 24 << 20;
/// What all socket buffers on the way may hold.
const BUFFERED_ON_THE_WAY: usize = 32 << 20;
/// Without progress for this long, a writer counts as stalled.
const STALLED_FOR: Duration = Duration::from_millis(500);

/// The most memory the process has had resident so far, in bytes.
fn peak(refrain: &Refrain) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", refrain.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

async fn flood(to: &mut RawConnection, bytes: usize) {
    let chunk = vec![b'x'; 1 << 20];
    for _ in 0..bytes / chunk.len() {
        to.send(&chunk).await;
    }
}

#[tokio::test]
async fn a_large_answer_takes_no_more_memory_than_a_small_one() {
    let origin = RawOrigin::start().await;
    let refrain = beside(&origin.url(), "").await;
    let mut client = RawConnection::to(refrain.address()).await;
    let mut before = None;
    for size in [1 << 20, LARGE] {
        client.send(GET).await;
        let (mut upstream, _) = origin.accept_request().await;
        before = before.or_else(|| (size == LARGE).then(|| peak(&refrain)));
        upstream.send(format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {size}\r\n\r\n")).await;
        let reading = async {
            client.head().await;
            client.skip(size).await;
        };
        tokio::join!(flood(&mut upstream, size), reading);
    }
    let grown = peak(&refrain) - before.unwrap();
    assert!(grown < MAY_GROW, "grown by {grown} bytes");
}

#[tokio::test]
async fn a_large_upload_takes_no_more_memory_than_a_small_one() {
    let origin = RawOrigin::start().await;
    let refrain = beside(&origin.url(), "").await;
    let mut client = RawConnection::to(refrain.address()).await;
    let mut upstream = None;
    let mut before = 0;
    for size in [1 << 20, LARGE] {
        client.send(format!("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n")).await;
        let upstream = match &mut upstream {
            None => upstream.insert(origin.accept().await),
            Some(upstream) => upstream,
        };
        upstream.head().await;
        before = peak(&refrain);
        tokio::join!(flood(&mut client, size), upstream.skip(size));
        upstream.send(OK).await;
        assert_eq!(client.response().await.1, b"ok");
    }
    let grown = peak(&refrain) - before;
    assert!(grown < MAY_GROW, "grown by {grown} bytes");
}

#[tokio::test]
async fn an_origin_cannot_run_ahead_of_a_client_that_does_not_read() {
    let origin = RawOrigin::start().await;
    let refrain = beside(&origin.url(), "").await;
    let mut client = RawConnection::with_small_buffers(refrain.address()).await;
    client.send(GET).await;
    let (mut upstream, _) = origin.accept_request().await;
    let before = peak(&refrain);
    upstream.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n")).await;
    let ahead = upstream.send_until_it_stalls(&[b'x'; 64 * 1024], STALLED_FOR).await;
    assert!(ahead < BUFFERED_ON_THE_WAY, "{ahead} bytes ahead");
    assert!(peak(&refrain) - before < MAY_GROW);
    // It goes on when the client does.
    client.head().await;
    tokio::join!(flood(&mut upstream, 16 << 20), client.skip(ahead + (16 << 20)));
}

#[tokio::test]
async fn a_client_cannot_run_ahead_of_an_origin_that_does_not_read() {
    let origin = RawOrigin::start().await;
    let refrain = beside(&origin.url(), "").await;
    let mut client = RawConnection::to(refrain.address()).await;
    client.send(format!("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {LARGE}\r\n\r\n")).await;
    let (mut upstream, _) = origin.accept_request().await;
    let before = peak(&refrain);
    let ahead = client.send_until_it_stalls(&[b'x'; 64 * 1024], STALLED_FOR).await;
    assert!(ahead < BUFFERED_ON_THE_WAY, "{ahead} bytes ahead");
    assert!(peak(&refrain) - before < MAY_GROW);
    tokio::join!(flood(&mut client, 16 << 20), upstream.skip(ahead + (16 << 20)));
}

#[tokio::test]
async fn every_piece_of_an_answer_comes_when_it_is_said() {
    let origin = RawOrigin::start().await;
    let refrain = beside(&origin.url(), "").await;
    let mut client = RawConnection::to(refrain.address()).await;
    client.send("GET /events HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n").await;
    let (mut upstream, _) = origin.accept_request().await;
    upstream.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    assert_eq!(client.head().await.value("content-type"), Some("text/event-stream"));
    for number in 0..10 {
        let event = format!("data: {number}\n\n");
        upstream.send(format!("{:x}\r\n{event}\r\n", event.len())).await;
        assert_eq!(client.chunk().await, event.as_bytes());
    }
    upstream.send("0\r\n\r\n").await;
    assert_eq!(client.chunk().await, b"");
}

#[tokio::test]
async fn every_piece_of_an_upload_arrives_when_it_is_said() {
    let origin = RawOrigin::start().await;
    let refrain = beside(&origin.url(), "").await;
    let mut client = RawConnection::to(refrain.address()).await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    let (mut upstream, _) = origin.accept_request().await;
    // And both ways at once: the answer flows before the request has ended.
    upstream.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    client.head().await;
    for number in 0..10 {
        client.send(format!("2\r\n>{number}\r\n")).await;
        assert_eq!(upstream.chunk().await, format!(">{number}").as_bytes());
        upstream.send(format!("2\r\n<{number}\r\n")).await;
        assert_eq!(client.chunk().await, format!("<{number}").as_bytes());
    }
}

#[tokio::test]
async fn a_client_that_hangs_up_lets_its_unprotected_call_go() {
    let origin = RawOrigin::start().await;
    let refrain = beside(&origin.url(), "").await;
    for answered in
        ["", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbeginning", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"]
    {
        for with_a_reset in [true, false] {
            let mut client = RawConnection::to(refrain.address()).await;
            client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi").await;
            let (mut upstream, seen) = origin.accept_request().await;
            upstream.body(&seen).await;
            upstream.send(answered).await;
            if !answered.is_empty() {
                client.head().await;
            }
            if with_a_reset {
                client.reset()
            } else {
                drop(client)
            }
            upstream.closed().await;
        }
    }
    refrain.until_admin("/metrics", |metrics| metrics.text().contains("refrain_requests_in_flight 0\n")).await;
}

#[tokio::test]
async fn an_upload_that_breaks_off_does_not_look_whole() {
    let origin = RawOrigin::start().await;
    let refrain = beside(&origin.url(), "").await;
    for beginning in [
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    ] {
        let mut client = RawConnection::to(refrain.address()).await;
        client.send(beginning).await;
        let (mut upstream, seen) = origin.accept_request().await;
        let said = if seen.value("content-length").is_some() { upstream.bytes(4).await } else { upstream.chunk().await };
        assert_eq!(said, b"half");
        drop(client);
        upstream.closed().await;
    }
}
