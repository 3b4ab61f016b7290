//! Connections that leave HTTP: WebSockets and other upgrades become tunnels.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::{net::TcpListener, time::Instant};
use tokio_tungstenite::{
    accept_async, connect_async,
    tungstenite::{Message, client::IntoClientRequest as _},
};

use crate::support::{
    raw::{RawConnection, RawOrigin, beside},
    refrain::Signal,
    within,
};

const ASK: &str = "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: echo/1\r\nX-Mine: 1\r\n\r\n";
const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo/1\r\nX-Yours: 1\r\n\r\n";

/// A WebSocket service that says everything back.
async fn echo() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut socket = accept_async(tcp).await.unwrap();
                while let Some(Ok(message)) = socket.next().await {
                    if (message.is_text() || message.is_binary()) && socket.send(message).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    url
}

#[tokio::test]
async fn a_websocket_passes_both_ways_and_ends_well() {
    let refrain = beside(&echo().await, "").await;
    let url = refrain.url("/chat?room=1").replace("http://", "ws://");
    let (mut socket, answer) = within("a WebSocket", connect_async(url)).await.unwrap();
    assert_eq!(answer.status(), 101);
    for message in [Message::text("hello"), Message::binary(vec![7; 1 << 20]), Message::text("")] {
        socket.send(message.clone()).await.unwrap();
        assert_eq!(within("an echo", socket.next()).await.unwrap().unwrap(), message);
    }
    socket.close(None).await.unwrap();
    assert!(within("the goodbye", socket.next()).await.unwrap().unwrap().is_close());
}

#[tokio::test]
async fn a_websocket_with_a_key_is_marked_as_unprotected() {
    let refrain = beside(&echo().await, "idempotency: {methods: [GET, POST]}\n").await;
    let mut request = refrain.url("/chat").replace("http://", "ws://").into_client_request().unwrap();
    request.headers_mut().insert("idempotency-key", "k".parse().unwrap());
    let (mut socket, answer) = within("a WebSocket", connect_async(request)).await.unwrap();
    assert_eq!(answer.headers().get("idempotency-status").unwrap(), "unprotected");
    socket.send(Message::text("hello")).await.unwrap();
    assert_eq!(within("an echo", socket.next()).await.unwrap().unwrap(), Message::text("hello"));
}

/// A tunnel through a Refrain: the client's end and the origin's.
async fn tunnel(origin: &RawOrigin, address: std::net::SocketAddr) -> (RawConnection, RawConnection) {
    let mut client = RawConnection::to(address).await;
    client.send(ASK).await;
    let (mut upstream, _) = origin.accept_request().await;
    upstream.send(SWITCH).await;
    assert_eq!(client.head().await.status(), 101);
    (client, upstream)
}

#[tokio::test]
async fn any_protocol_can_be_switched_to() {
    let origin = RawOrigin::start().await;
    let refrain = beside(&origin.url(), "").await;
    let mut client = RawConnection::to(refrain.address()).await;
    // What is said before the switch is agreed to, on either side, belongs to the tunnel.
    client.send(format!("{ASK}early")).await;
    let (mut upstream, seen) = origin.accept_request().await;
    assert_eq!((seen.value("upgrade"), seen.value("x-mine")), (Some("echo/1"), Some("1")));
    assert_eq!(seen.value("connection").map(str::to_lowercase).as_deref(), Some("upgrade"));
    upstream.send(format!("{SWITCH}first")).await;
    let head = client.head().await;
    assert_eq!((head.status(), head.value("upgrade"), head.value("x-yours")), (101, Some("echo/1"), Some("1")));
    assert_eq!(head.value("connection").map(str::to_lowercase).as_deref(), Some("upgrade"));
    assert_eq!(client.bytes(5).await, b"first");
    assert_eq!(upstream.bytes(5).await, b"early");
    client.send(b"\x00\r\n\r\n\xff").await;
    assert_eq!(upstream.bytes(6).await, b"\x00\r\n\r\n\xff");
}

#[tokio::test]
async fn a_tunnel_ends_one_way_at_a_time() {
    let origin = RawOrigin::start().await;
    let refrain = beside(&origin.url(), "").await;
    let (mut client, mut upstream) = tunnel(&origin, refrain.address()).await;
    client.send("last words").await;
    client.finish().await;
    assert_eq!(upstream.rest().await, b"last words");
    upstream.send("an answer").await;
    drop(upstream);
    assert_eq!(client.rest().await, b"an answer");
}

#[tokio::test]
async fn an_upgrade_that_is_declined_is_an_ordinary_answer() {
    let origin = RawOrigin::start().await;
    let refrain = beside(&origin.url(), "").await;
    let mut client = RawConnection::to(refrain.address()).await;
    client.send(ASK).await;
    let (mut upstream, _) = origin.accept_request().await;
    upstream.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno").await;
    let (head, body) = client.response().await;
    assert_eq!((head.status(), body), (403, b"no".to_vec()));
    client.send("GET /next HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(upstream.head().await.start, "GET /next HTTP/1.1");
}

#[tokio::test]
async fn a_quiet_tunnel_is_not_taken_for_an_idle_connection() {
    let origin = RawOrigin::start().await;
    let refrain = beside(&origin.url(), "limits: {idle_timeout: 200ms, header_timeout: 200ms}\n").await;
    let (mut client, mut upstream) = tunnel(&origin, refrain.address()).await;
    // The time that passes is what is tested.
    tokio::time::sleep(Duration::from_millis(800)).await;
    client.send("still here").await;
    assert_eq!(upstream.bytes(10).await, b"still here");
}

#[tokio::test]
async fn a_tunnel_counts_as_a_connection() {
    let origin = RawOrigin::start().await;
    let refrain = beside(&origin.url(), "limits: {connections: 1}\n").await;
    let ends = tunnel(&origin, refrain.address()).await;
    let mut other = RawConnection::to(refrain.address()).await;
    assert_eq!(other.head().await.status(), 503, "a place is taken as long as the tunnel is");
    drop(ends);
    refrain.until_admin("/metrics", |metrics| metrics.text().contains("refrain_connections 0\n")).await;
}

#[tokio::test]
async fn a_tunnel_may_end_by_itself_in_a_drain() {
    let origin = RawOrigin::start().await;
    let mut refrain = beside(&origin.url(), "").await;
    let (mut client, mut upstream) = tunnel(&origin, refrain.address()).await;
    refrain.signal(Signal::Term);
    refrain.until_admin("/readyz", |answer| answer.status == 503).await;
    client.send("go on").await;
    assert_eq!(upstream.bytes(5).await, b"go on");
    drop((client, upstream));
    assert_eq!(refrain.wait_exit().await.code(), Some(0));
}

#[tokio::test]
async fn a_tunnel_is_cut_at_the_drains_deadline() {
    let origin = RawOrigin::start().await;
    let mut refrain = beside(&origin.url(), "limits: {drain: 300ms}\n").await;
    let (mut client, mut upstream) = tunnel(&origin, refrain.address()).await;
    let began = Instant::now();
    refrain.signal(Signal::Term);
    client.closed().await;
    upstream.closed().await;
    assert!(began.elapsed() >= Duration::from_millis(250), "{:?}", began.elapsed());
    assert_eq!(refrain.wait_exit().await.code(), Some(0));
}
