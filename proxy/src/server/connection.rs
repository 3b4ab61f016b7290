//! One client connection from its first byte to its last.

use std::{convert::Infallible, future::poll_fn, pin::pin, sync::Arc, task::Poll, time::Duration};

use futures_util::FutureExt as _;
use http::{Request, Response};
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::{Service, service_fn},
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{io::AsyncWriteExt as _, net::TcpStream, time::Instant};

use super::{
    Activity, Handler, Peer, Shared,
    activity::Due,
    io::{ClientIo, Spoken, detect, no_front},
    watch::{Event, Watch},
};
use crate::{body::Body, idempotency::marker::Dialect, problem::ProblemName};

/// The least that hyper buffers of a connection, in bytes.
const SMALLEST_BUFFER: usize = 8192;
/// The header lines that hyper takes without being told.
const HYPERS_HEADERS: usize = 100;
/// Streams that one HTTP/2 connection may have open.
const MAX_STREAMS: u32 = 256;
/// How long an idle HTTP/2 client gets to answer a goodbye. One that does not is gone.
const GOODBYE: Duration = Duration::from_secs(1);
/// How long a client that is accepted as a drain begins gets to say something.
const LAST_CHANCE: Duration = Duration::from_millis(100);
/// How long a refused client gets to read its refusal.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(1);

/// An answer where there is no HTTP library to write it: status line, problem name, title.
#[derive(Clone, Copy)]
pub(super) struct Refusal {
    status: &'static str,
    problem: ProblemName,
    title: &'static str,
}

pub(super) const TOO_MANY_CONNECTIONS: Refusal =
    Refusal { status: "503 Service Unavailable", problem: ProblemName::Overloaded, title: "Too many connections are open" };
const SLOW_HEAD: Refusal = Refusal {
    status: "408 Request Timeout",
    problem: ProblemName::HeaderTimeout,
    title: "The request's head did not arrive in time",
};

impl Refusal {
    fn bytes(self) -> Vec<u8> {
        let Self { status, problem, title } = self;
        let code = &status[..3];
        let body = format!(
            r#"{{"type":"{}","title":"{title}","status":{code},"retryable":true,"retry":"same-key"}}"#,
            problem.page(Dialect::Ietf)
        );
        format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/problem+json\r\nrefrain-problem: {problem}\r\nretry-after: 1\r\n\
             connection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    }
}

/// Tells a client why it is not served, and closes.
pub(super) async fn refuse(mut tcp: TcpStream, refusal: Refusal) {
    let told = async {
        tcp.write_all(&refusal.bytes()).await?;
        tcp.shutdown().await?;
        // Closing with unread bytes would reset the connection, and the answer with it.
        let mut scratch = [0; 1024];
        while tokio::io::AsyncReadExt::read(&mut tcp, &mut scratch).await? > 0 {}
        std::io::Result::Ok(())
    };
    // A client that does not listen loses nothing.
    let _told = tokio::time::timeout(REFUSAL_TIMEOUT, told).await;
}

pub(super) async fn serve<H: Handler>(mut tcp: TcpStream, peer: Peer, handler: H, shared: &Shared) {
    if tcp.set_nodelay(true).is_err() {
        return;
    }
    let mut front = no_front();
    let detected = tokio::select! {
        biased;
        spoken = tokio::time::timeout(shared.limits.header_timeout, detect(&mut tcp, &mut front)) => Some(spoken),
        () = shared.drain.cancelled() => None,
    };
    let spoken = match detected {
        Some(spoken) => spoken,
        // What it has sent already is answered; who has nothing to say is not waited for.
        None => match tokio::time::timeout(LAST_CHANCE, detect(&mut tcp, &mut front)).await {
            Ok(spoken) => Ok(spoken),
            Err(_) => return,
        },
    };
    match spoken {
        Ok(Ok(Spoken::Http1)) => serve_http1(tcp, front, peer, handler, shared).await,
        Ok(Ok(Spoken::Http2)) => serve_http2(tcp, front, peer, handler, shared).await,
        Ok(Ok(Spoken::Nothing) | Err(_)) => {}
        Err(_) => refuse(tcp, SLOW_HEAD).await,
    }
}

type Front = ([u8; 24], usize, usize);

/// Hands a connection's requests to `handler`, each noted in `activity` until its answer is gone.
fn service<H: Handler>(
    handler: H,
    peer: Peer,
    activity: Arc<Activity>,
) -> impl Service<Request<Incoming>, Response = Response<Body>, Error = Infallible, Future: Send> {
    service_fn(move |request| handler.clone().handle(request, peer.clone(), activity.begin()).map(Ok))
}

async fn serve_http1<H: Handler>(tcp: TcpStream, front: Front, peer: Peer, handler: H, shared: &Shared) {
    let activity = Arc::new(Activity::new(false));
    let io = ClientIo::new(tcp, front, Arc::clone(&activity));
    let limits = &shared.limits;
    let service = service(handler, peer, Arc::clone(&activity));
    let header_bytes = usize::try_from(limits.header_bytes.get()).unwrap_or(usize::MAX);
    let mut builder = http1::Builder::new();
    builder
        .preserve_header_case(true)
        .writev(false)
        .header_read_timeout(None)
        .max_header_size(header_bytes)
        .max_buf_size(header_bytes.max(SMALLEST_BUFFER))
        .timer(TokioTimer::new());
    if limits.headers != HYPERS_HEADERS {
        // Any other number costs an allocation for each request.
        builder.max_headers(limits.headers);
    }
    let mut connection = pin!(Some(builder.serve_connection(io, service).with_upgrades()));
    let look_at = Instant::now() + limits.header_timeout.min(limits.idle_timeout);
    let mut watch = pin!(Watch::new(&shared.drain, &shared.cut, look_at));
    loop {
        let Some(mut running) = connection.as_mut().as_pin_mut() else { return };
        // First of all, what has been sent already is read: a connection on which nothing was read, hyper closes in a drain.
        let event = poll_fn(|cx| match running.as_mut().poll(cx) {
            Poll::Ready(_ended) => Poll::Ready(None),
            Poll::Pending => watch.as_mut().poll(cx).map(Some),
        });
        match event.await {
            // How a connection ends, its requests have seen.
            None | Some(Event::Cut) => return,
            Some(Event::Drain) => running.as_mut().graceful_shutdown(),
            Some(Event::Look) => match activity.due(limits.header_timeout, limits.idle_timeout) {
                Due::Later(at) => watch.as_mut().look_at(at),
                Due::Idle => {
                    running.as_mut().graceful_shutdown();
                    watch.as_mut().look_at(Instant::now() + limits.idle_timeout);
                }
                Due::SlowHead => break,
            },
        }
    }
    // No answer is under way while a head comes in, so the connection is ours to answer on.
    let parts = connection.as_mut().get_mut().take().and_then(|running| running.into_parts());
    if let Some(parts) = parts {
        refuse(parts.io.into_tcp(), SLOW_HEAD).await;
    }
}

async fn serve_http2<H: Handler>(tcp: TcpStream, front: Front, peer: Peer, handler: H, shared: &Shared) {
    let activity = Arc::new(Activity::new(true));
    let io = ClientIo::new(tcp, front, Arc::clone(&activity));
    let limits = &shared.limits;
    let service = service(handler, peer, Arc::clone(&activity));
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .adaptive_window(true)
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(u32::try_from(limits.header_bytes.get()).unwrap_or(u32::MAX))
        .serve_connection(io, service);
    let mut connection = pin!(connection);
    let mut told = false;
    let mut watch = pin!(Watch::new(&shared.drain, &shared.cut, Instant::now() + limits.idle_timeout));
    loop {
        let event = poll_fn(|cx| match connection.as_mut().poll(cx) {
            Poll::Ready(_ended) => Poll::Ready(None),
            Poll::Pending => watch.as_mut().poll(cx).map(Some),
        });
        let idle_timeout = if told { GOODBYE } else { limits.idle_timeout };
        match event.await {
            None | Some(Event::Cut) => return,
            Some(Event::Look) => match activity.due(limits.header_timeout, idle_timeout) {
                Due::Later(at) => {
                    watch.as_mut().look_at(at);
                    continue;
                }
                Due::Idle | Due::SlowHead if told => return,
                Due::Idle | Due::SlowHead => {}
            },
            Some(Event::Drain) => {}
        }
        told = true;
        connection.as_mut().graceful_shutdown();
        watch.as_mut().look_at(Instant::now() + GOODBYE);
    }
}

/// An upgraded connection (WebSocket, CONNECT): bytes both ways until both ends are done, or the drain is over.
pub(crate) async fn tunnel(client: hyper::upgrade::Upgraded, upstream: hyper::upgrade::Upgraded, shared: &Shared) {
    let (mut client, mut upstream) = (TokioIo::new(client), TokioIo::new(upstream));
    tokio::select! {
        _ended = tokio::io::copy_bidirectional(&mut client, &mut upstream) => {}
        () = shared.cut.cancelled() => {}
    }
}
