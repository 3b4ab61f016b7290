//! One send: endpoint by endpoint as long as nothing was sent, then one connection, then the answer.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version, header, uri::PathAndQuery};
use http_body::Body as _;
use hyper::client::conn::{TrySendError, http2};

use super::{
    Call, InFlight, NotSent, SendError, Upstream,
    body::{Home, PooledBody},
    connect::Endpoint,
    connection::Connection,
    pool::{CorePool, Taken},
};
use crate::{
    body::{Body, SMALL_BODY},
    config::Protocol,
    headers,
};

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
        // Apart from the future, which would hold it several times over.
        Box::pin(send(Box::new(call)))
    }
}

async fn send(mut call: Box<Call>) -> Result<Response<Body>, SendError> {
    let Some(place) = call.upstream.admit(call.core) else {
        let upstream = call.upstream.config.name.to_string();
        return Err(SendError::NotSent(NotSent::TooManyInFlight { upstream }, Some(call)));
    };
    let upstream = Arc::clone(&call.upstream);
    let endpoints = upstream.endpoints.len();
    let first = upstream.next_turn();
    let (mut tried, mut stale) = (0, 0);
    loop {
        let at = (first + tried) % endpoints;
        tried += 1;
        let (Some(endpoint), Some(pool)) =
            (upstream.endpoints.get(at), upstream.pools.get(call.core).and_then(|pools| pools.get(at)))
        else {
            let reason = NotSent::Connect { endpoint: at.to_string(), reason: "this core has no pool for it".to_owned() };
            return Err(SendError::NotSent(reason, Some(call)));
        };
        match send_to(&mut call, endpoint, pool).await {
            Ok((response, home)) => return Ok(pooled(response, home, &upstream, place)),
            Err(Failed::Unknown(reason)) => return Err(SendError::Unknown(reason)),
            Err(Failed::Refused(reason)) => return Err(SendError::NotSent(reason, None)),
            Err(Failed::NotSent { stale: true, .. }) if stale < MAX_STALE => {
                // Where one has ended, others may have: an upstream that was restarted has closed them all.
                pool.reap();
                stale += 1;
                tried -= 1;
            }
            Err(Failed::NotSent { reason, stale }) if stale || tried == endpoints || !reason.is_endpoints_fault() => {
                return Err(SendError::NotSent(reason, Some(call)));
            }
            Err(Failed::NotSent { .. }) => {}
        }
    }
}

enum Failed {
    /// The call has its request still, or has it back. `stale`: from a connection that was used before and had ended.
    NotSent {
        reason: NotSent,
        stale: bool,
    },
    /// The upstream refused it whole, and the request is gone.
    Refused(NotSent),
    Unknown(String),
}

impl From<NotSent> for Failed {
    fn from(reason: NotSent) -> Self {
        Self::NotSent { reason, stale: false }
    }
}

type Answered = (Response<hyper::body::Incoming>, Option<Home>);

async fn send_to(call: &mut Call, endpoint: &Endpoint, pool: &CorePool) -> Result<Answered, Failed> {
    let use_http2 = match call.upstream.config.protocol {
        Protocol::Http1 => false,
        Protocol::Http2 => true,
        Protocol::Auto => headers::is_grpc(call.request.headers()),
    };
    if use_http2 {
        // Rarer, and the future is large.
        return Box::pin(send_http2(call, endpoint, pool)).await.map(|response| (response, None));
    }
    let (mut connection, is_reused) = open_http1(endpoint, pool).await?;
    let idle_timeout = call.upstream.config.idle_timeout;
    if call.gate.as_ref().is_some_and(|gate| !gate.open()) {
        pool.give_back(connection, idle_timeout);
        return Err(NotSent::GateClosed.into());
    }
    let outlasts = may_outlast_its_answer(&call.request);
    let before = for_http1(&mut call.request, endpoint);
    match connection.send(std::mem::take(&mut call.request)).await {
        Ok(response) => {
            if outlasts || response.status() == StatusCode::SWITCHING_PROTOCOLS {
                connection.detach();
            }
            Ok((response, Some(Home { pool: pool.clone(), connection, idle_for: idle_timeout })))
        }
        Err(error) => Err(failed(error, call, endpoint, before, is_reused)),
    }
}

async fn send_http2(call: &mut Call, endpoint: &Endpoint, pool: &CorePool) -> Result<Response<hyper::body::Incoming>, Failed> {
    let (mut sender, is_reused) = open_http2(endpoint, pool).await?;
    if call.gate.as_ref().is_some_and(|gate| !gate.open()) {
        return Err(NotSent::GateClosed.into());
    }
    let before = for_http2(&mut call.request, endpoint);
    match sender.try_send_request(std::mem::take(&mut call.request)).await {
        Ok(response) => Ok(response),
        Err(error) => {
            // The end of one stream is not the end of its connection.
            if !is_reset(error.error()) {
                pool.forget_http2();
            }
            Err(failed(error, call, endpoint, before, is_reused))
        }
    }
}

/// Whether a request may still be on its way when its answer comes, and must then go on even while nobody reads the answer: a client may
/// read only once it has sent everything. What the system's socket buffers hold, it has sent.
fn may_outlast_its_answer(request: &Request<Body>) -> bool {
    request.method() == Method::CONNECT || request.body().size_hint().upper().is_none_or(|size| size > SMALL_BODY)
}

/// A connection that is ready now, and whether it was used before.
async fn open_http1(endpoint: &Endpoint, pool: &CorePool) -> Result<(Connection, bool), NotSent> {
    let taken = match pool.try_take() {
        Some(taken) => taken,
        None => match tokio::time::timeout(endpoint.connect_timeout(), pool.take()).await {
            Ok(taken) => taken,
            Err(_) => return Err(NotSent::PoolBusy { endpoint: endpoint.authority.to_string() }),
        },
    };
    match taken {
        Taken::Reused(connection) => Ok((connection, true)),
        Taken::MayOpen(slot) => {
            // Opening is rare and its future large.
            let mut connection = Box::pin(endpoint.http1(slot)).await?;
            match connection.ready().await {
                Ok(()) => Ok((connection, false)),
                Err(error) => Err(not_taken(endpoint, &error)),
            }
        }
    }
}

async fn open_http2(endpoint: &Endpoint, pool: &CorePool) -> Result<(http2::SendRequest<Body>, bool), NotSent> {
    if let Some(mut sender) = pool.http2()
        && sender.ready().await.is_ok()
    {
        return Ok((sender, true));
    }
    let mut sender = Box::pin(endpoint.http2()).await?;
    sender.ready().await.map_err(|error| not_taken(endpoint, &error))?;
    pool.keep_http2(sender.clone());
    Ok((sender, false))
}

fn not_taken(endpoint: &Endpoint, error: &hyper::Error) -> NotSent {
    NotSent::NotTaken { endpoint: endpoint.authority.to_string(), reason: error.to_string() }
}

/// What a request said before it was made one for its endpoint, as far as that changed it.
struct Before {
    target: Option<Uri>,
    host: Option<Option<HeaderValue>>,
}

impl Before {
    fn restore(self, request: &mut Request<Body>) {
        if let Some(target) = self.target {
            *request.uri_mut() = target;
        }
        match self.host {
            Some(Some(host)) => {
                request.headers_mut().insert(header::HOST, host);
            }
            Some(None) => {
                request.headers_mut().remove(header::HOST);
            }
            None => {}
        }
    }
}

/// What a failed send proves. Only the library handing the message back, or REFUSED_STREAM, proves that nothing was done.
fn failed(
    mut error: TrySendError<Request<Body>>,
    call: &mut Call,
    endpoint: &Endpoint,
    before: Before,
    is_reused: bool,
) -> Failed {
    match error.take_message() {
        Some(mut request) => {
            before.restore(&mut request);
            call.request = request;
            Failed::NotSent { reason: not_taken(endpoint, error.error()), stale: is_reused }
        }
        None if is_refused_stream(error.error()) => Failed::Refused(not_taken(endpoint, error.error())),
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
    mut home: Option<Home>,
    upstream: &Upstream,
    place: InFlight,
) -> Response<Body> {
    if !upstream.config.refrain {
        headers::distrust_answer(response.headers_mut());
    }
    if let Some(home) = &mut home {
        let is_last = response.version() == Version::HTTP_10 || response.status() == StatusCode::SWITCHING_PROTOCOLS;
        home.idle_for = if is_last { Duration::ZERO } else { idle_for(response.headers(), home.idle_for) };
    }
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

fn for_http1(request: &mut Request<Body>, endpoint: &Endpoint) -> Before {
    let is_connect = request.method() == Method::CONNECT;
    let mut before = Before { target: None, host: None };
    if !request.headers().contains_key(header::HOST) {
        let host = request.uri().authority().map_or(endpoint.authority.as_str(), |authority| authority.as_str());
        if let Ok(host) = HeaderValue::from_str(host) {
            request.headers_mut().insert(header::HOST, host);
            before.host = Some(None);
        }
    }
    if !is_connect && (!endpoint.path_prefix.is_empty() || request.uri().authority().is_some()) {
        let target = Uri::from(target(request.uri(), &endpoint.path_prefix));
        before.target = Some(std::mem::replace(request.uri_mut(), target));
    }
    *request.version_mut() = Version::HTTP_11;
    before
}

fn for_http2(request: &mut Request<Body>, endpoint: &Endpoint) -> Before {
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
    let before = Before { target: Some(request.uri().clone()), host: Some(named) };
    if let Ok(uri) = Uri::from_parts(parts) {
        *request.uri_mut() = uri;
    }
    *request.version_mut() = Version::HTTP_2;
    before
}

fn target(uri: &Uri, prefix: &str) -> PathAndQuery {
    let own = uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    if prefix.is_empty() {
        return own;
    }
    PathAndQuery::try_from(format!("{prefix}{own}")).unwrap_or(own)
}
