//! One send: endpoint by endpoint as long as nothing was sent, then one connection, then the answer.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri, Version, header, uri::PathAndQuery};
use hyper::client::conn::{TrySendError, http1};

use super::{
    Call, InFlight, NotSent, SendError, Upstream,
    body::{Home, PooledBody},
    connect::Endpoint,
    pool::{CorePool, Taken},
};
use crate::{body::Body, config::Protocol, headers};

/// How many connections in a row may turn out to have ended before a send gives up.
const MAX_STALE: u32 = 8;
/// A connection that an upstream means to keep for n seconds is used for one second less: a request must not cross its closing.
const CLOSING_MARGIN: Duration = Duration::from_secs(1);

/// The service that sends: `Call` in, the upstream's answer or a [`SendError`] out. Cancelling it ends the exchange with the upstream.
#[derive(Clone, Copy, Debug, Default)]
pub struct Send;

impl tower::Service<Call> for Send {
    type Response = Response<Body>;
    type Error = SendError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, SendError>> + std::marker::Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call) -> Self::Future {
        Box::pin(send(call))
    }
}

async fn send(mut call: Call) -> Result<Response<Body>, SendError> {
    let Some(mut place) = call.upstream.admit() else {
        let upstream = call.upstream.config.name.to_string();
        return Err(SendError::NotSent(NotSent::TooManyInFlight { upstream }, Some(Box::new(call))));
    };
    let endpoints = call.upstream.endpoints.len();
    let first = call.upstream.next_turn();
    let (mut tried, mut stale) = (0, 0);
    loop {
        let at = (first + tried) % endpoints;
        tried += 1;
        match send_to(call, at, place).await {
            Err(Failed::Stale(_, back, place_back)) if stale < MAX_STALE => {
                (call, place) = (*back, place_back);
                stale += 1;
                tried -= 1;
            }
            Err(Failed::Stale(reason, back, _)) => return Err(SendError::NotSent(reason, Some(back))),
            Err(Failed::NotSent(reason, Some((back, _)))) if tried == endpoints || !reason.is_endpoints_fault() => {
                return Err(SendError::NotSent(reason, Some(back)));
            }
            Err(Failed::NotSent(_, Some((back, place_back)))) => (call, place) = (*back, place_back),
            Err(Failed::NotSent(reason, None)) => return Err(SendError::NotSent(reason, None)),
            Err(Failed::Unknown(reason)) => return Err(SendError::Unknown(reason)),
            Ok(response) => return Ok(response),
        }
    }
}

enum Failed {
    /// A connection that was used before had ended, and the HTTP library gave the call back.
    Stale(NotSent, Box<Call>, InFlight),
    /// With the call, where the HTTP library gave it back.
    NotSent(NotSent, Option<(Box<Call>, InFlight)>),
    Unknown(String),
}

async fn send_to(mut call: Call, at: usize, place: InFlight) -> Result<Response<Body>, Failed> {
    let upstream = std::sync::Arc::clone(&call.upstream);
    let (Some(endpoint), Some(pool)) =
        (upstream.endpoints.get(at), upstream.pools.get(call.core).and_then(|pools| pools.get(at)))
    else {
        let reason = NotSent::Connect { endpoint: at.to_string(), reason: "this core has no pool for it".to_owned() };
        return Err(Failed::NotSent(reason, Some((Box::new(call), place))));
    };
    let use_http2 = match upstream.config.protocol {
        Protocol::Http1 => false,
        Protocol::Http2 => true,
        Protocol::Auto => headers::is_grpc(call.request.headers()),
    };
    let ready = if use_http2 { open_http2(endpoint, pool).await } else { open_http1(endpoint, pool).await };
    let (sender, is_reused) = match ready {
        Ok(ready) => ready,
        Err(reason) => return Err(Failed::NotSent(reason, Some((Box::new(call), place)))),
    };
    if call.gate.as_ref().is_some_and(|gate| !gate.open()) {
        if let Sender::Http1(sender) = sender {
            pool.give_back(sender, upstream.config.idle_timeout);
        }
        return Err(Failed::NotSent(NotSent::GateClosed, Some((Box::new(call), place))));
    }
    let host = call.request.headers().get(header::HOST).cloned();
    let target = call.request.uri().clone();
    let request = std::mem::take(&mut call.request);
    let (sent, home) = match sender {
        Sender::Http1(mut sender) => {
            let sent = sender.try_send_request(for_http1(request, endpoint)).await;
            (sent, Some((pool.clone(), sender)))
        }
        Sender::Http2(mut sender) => (sender.try_send_request(for_http2(request, endpoint)).await, None),
    };
    match sent {
        Ok(response) => Ok(pooled(response, home, &upstream, place)),
        Err(error) => {
            // The end of one stream is not the end of its connection.
            if use_http2 && !is_reset(error.error()) {
                pool.forget_http2();
            }
            match failed(error, call, endpoint, place, target, host) {
                Failed::NotSent(reason, Some((back, place))) if is_reused => Err(Failed::Stale(reason, back, place)),
                failed => Err(failed),
            }
        }
    }
}

enum Sender {
    Http1(http1::SendRequest<Body>),
    Http2(hyper::client::conn::http2::SendRequest<Body>),
}

/// A connection that is ready now, and whether it was used before.
async fn open_http1(endpoint: &Endpoint, pool: &CorePool) -> Result<(Sender, bool), NotSent> {
    loop {
        match tokio::time::timeout(endpoint.connect_timeout(), pool.take()).await {
            Err(_) => return Err(NotSent::PoolBusy { endpoint: endpoint.authority.to_string() }),
            // One that has closed in the meantime, or is still busy with an upload that was answered early, is dropped: the next
            // one, or a new one, is taken.
            Ok(Taken::Reused(sender)) => {
                if !sender.is_ready() {
                    tokio::task::yield_now().await;
                }
                if sender.is_ready() {
                    return Ok((Sender::Http1(sender), true));
                }
            }
            Ok(Taken::MayOpen(slot)) => {
                // Opening is rare and its future large.
                let mut sender = Box::pin(endpoint.http1(slot)).await?;
                return match sender.ready().await {
                    Ok(()) => Ok((Sender::Http1(sender), false)),
                    Err(error) => Err(not_taken(endpoint, &error)),
                };
            }
        }
    }
}

async fn open_http2(endpoint: &Endpoint, pool: &CorePool) -> Result<(Sender, bool), NotSent> {
    if let Some(mut sender) = pool.http2()
        && sender.ready().await.is_ok()
    {
        return Ok((Sender::Http2(sender), true));
    }
    let mut sender = Box::pin(endpoint.http2()).await?;
    sender.ready().await.map_err(|error| not_taken(endpoint, &error))?;
    pool.keep_http2(sender.clone());
    Ok((Sender::Http2(sender), false))
}

fn not_taken(endpoint: &Endpoint, error: &hyper::Error) -> NotSent {
    NotSent::NotTaken { endpoint: endpoint.authority.to_string(), reason: error.to_string() }
}

/// What a failed send proves. Only the library handing the message back, or REFUSED_STREAM, proves that nothing was done.
fn failed(
    mut error: TrySendError<Request<Body>>,
    call: Call,
    endpoint: &Endpoint,
    place: InFlight,
    target: Uri,
    host: Option<HeaderValue>,
) -> Failed {
    match error.take_message() {
        Some(mut request) => {
            *request.uri_mut() = target;
            if let Some(host) = host {
                request.headers_mut().insert(header::HOST, host);
            }
            let reason = not_taken(endpoint, error.error());
            Failed::NotSent(reason, Some((Box::new(Call { request, ..call }), place)))
        }
        None if is_refused_stream(error.error()) => Failed::NotSent(not_taken(endpoint, error.error()), None),
        None => Failed::Unknown(chain(error.error())),
    }
}

/// REFUSED_STREAM: the upstream says that it has not processed the request (RFC 9113, section 8.7).
fn is_refused_stream(error: &hyper::Error) -> bool {
    http2_error(error).is_some_and(|error| error.is_remote() && error.reason() == Some(h2::Reason::REFUSED_STREAM))
}

/// RST_STREAM (RFC 9113, section 6.4).
fn is_reset(error: &hyper::Error) -> bool {
    http2_error(error).is_some_and(h2::Error::is_reset)
}

fn http2_error(error: &hyper::Error) -> Option<&h2::Error> {
    std::iter::successors(std::error::Error::source(error), |cause| cause.source()).find_map(|cause| cause.downcast_ref())
}

/// An error and its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    std::iter::successors(error.source(), |cause| cause.source())
        .fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

fn pooled(
    mut response: Response<hyper::body::Incoming>,
    home: Option<(CorePool, http1::SendRequest<Body>)>,
    upstream: &Upstream,
    place: InFlight,
) -> Response<Body> {
    if !upstream.config.refrain {
        headers::distrust_answer(response.headers_mut());
    }
    let idle_timeout = upstream.config.idle_timeout;
    let home = home
        .map(|(pool, sender)| Home { pool, sender, idle_for: idle_for(response.headers(), idle_timeout) })
        .filter(|_| response.version() != Version::HTTP_10 && response.status() != StatusCode::SWITCHING_PROTOCOLS);
    response.map(|incoming| Body::from(PooledBody::new(incoming, home, place)))
}

/// How long the connection may be idle: our bound, or a second less than the upstream's (`Keep-Alive: timeout=5`).
fn idle_for(headers: &HeaderMap, ours: Duration) -> Duration {
    let theirs = headers.get("keep-alive").and_then(|value| value.to_str().ok()).and_then(|value| {
        let timeout = value.split(',').find_map(|part| part.trim().strip_prefix("timeout="))?;
        timeout.parse().ok().map(Duration::from_secs)
    });
    theirs.map_or(ours, |theirs| ours.min(theirs.saturating_sub(CLOSING_MARGIN)))
}

fn for_http1(mut request: Request<Body>, endpoint: &Endpoint) -> Request<Body> {
    let is_connect = request.method() == http::Method::CONNECT;
    if !request.headers().contains_key(header::HOST) {
        let host = request.uri().authority().map_or(endpoint.authority.as_str(), |authority| authority.as_str());
        if let Ok(host) = HeaderValue::from_str(host) {
            request.headers_mut().insert(header::HOST, host);
        }
    }
    if !is_connect && (!endpoint.path_prefix.is_empty() || request.uri().authority().is_some()) {
        *request.uri_mut() = Uri::from(target(request.uri(), &endpoint.path_prefix));
    }
    *request.version_mut() = Version::HTTP_11;
    request
}

fn for_http2(mut request: Request<Body>, endpoint: &Endpoint) -> Request<Body> {
    let named = request.headers_mut().remove(header::HOST);
    let authority = named
        .as_ref()
        .and_then(|host| http::uri::Authority::try_from(host.as_bytes()).ok())
        .or_else(|| request.uri().authority().cloned())
        .unwrap_or_else(|| endpoint.authority.clone());
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(endpoint.scheme.clone());
    parts.authority = Some(authority);
    parts.path_and_query = Some(target(request.uri(), &endpoint.path_prefix));
    if let Ok(uri) = Uri::from_parts(parts) {
        *request.uri_mut() = uri;
    }
    *request.version_mut() = Version::HTTP_2;
    request
}

fn target(uri: &Uri, prefix: &str) -> PathAndQuery {
    let own = uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    if prefix.is_empty() {
        return own;
    }
    PathAndQuery::try_from(format!("{prefix}{own}")).unwrap_or(own)
}
