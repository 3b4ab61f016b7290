//! What passes through arrives as it was sent, but for what belongs to one connection and what names the hop.

mod bodies;
mod exchanges;
mod heads;

use crate::support::raw::{Head, RawConnection, RawOrigin, beside};

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
