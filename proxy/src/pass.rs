//! Pass-through: a request that nothing protects goes to its upstream and its answer comes back, both streamed.

use std::{
    borrow::Borrow,
    future::{poll_fn, ready},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use futures_util::future::Either;
use http::{Method, Request, Response, StatusCode, header};
use http_body::Body as _;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::{
    body::{Body, OnEnd, SMALL_BODY},
    headers::{IDEMPOTENCY_KEY, X_IDEMPOTENCY_KEY},
    idempotency::{exchange::Sender, marker::Dialect},
    metrics::Limit,
    problem::{Problem, ProblemName},
    server::{Place, Shared, tunnel},
    upstream::{Call, NotSent, SendError},
};

/// Sends a call and gives its answer, whatever it is; upgrades become tunnels. A client that hangs up cancels the call.
pub fn pass<U: Sender, S: Borrow<Shared>>(
    inner: U,
    mut call: Call,
    shared: S,
) -> impl Future<Output = Response<Body>> + use<U, S> {
    let upgrade = wants_upgrade(&call.request).then(|| hyper::upgrade::on(&mut call.request));
    let asked = Asked {
        is_connect: call.request.method() == Method::CONNECT,
        is_known_further_on: call.upstream.config().refrain && has_key(&call.request),
        patience: call.upstream.config().response_timeout,
        upload: Upload::watch(&mut call.request),
    };
    // The call has a place of its own from here on: this future is moved about, and is to be small.
    let sending = begin(inner, call);
    async move {
        let shared = shared.borrow();
        let sent = tokio::select! {
            biased;
            sent = sending => sent,
            () = asked.upload.silent_for(asked.patience) => return asked.timed_out(),
        };
        match sent {
            Ok(response) => asked.answered(response, upgrade, shared),
            Err(error) => asked.failed(error, shared),
        }
    }
}

/// Begins to send at once where that can be, as it can be everywhere but in front of a queue.
fn begin<U: Sender>(mut inner: U, call: Call) -> impl Future<Output = Result<Response<Body>, SendError>> + use<U> {
    match inner.poll_ready(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Ok(())) => Either::Left(inner.call(call)),
        Poll::Ready(Err(error)) => Either::Right(Either::Left(ready(Err(error)))),
        Poll::Pending => Either::Right(Either::Right(Box::pin(async move {
            poll_fn(|cx| inner.poll_ready(cx)).await?;
            inner.call(call).await
        }))),
    }
}

/// What is to be known of a request once it is sent.
struct Asked {
    is_connect: bool,
    /// Whether its answer is kept further on: a caller who is told not to ask again would lose it.
    is_known_further_on: bool,
    patience: Duration,
    upload: Upload,
}

impl Asked {
    fn lost(&self, name: ProblemName, detail: String) -> Response<Body> {
        let problem = Problem::new(name, detail);
        answer(if self.is_known_further_on { problem.known_further_on() } else { problem })
    }

    fn timed_out(&self) -> Response<Body> {
        self.lost(ProblemName::UpstreamTimeout, format!("the upstream did not answer within {:?}", self.patience))
    }

    fn failed(&self, error: SendError, shared: &Shared) -> Response<Body> {
        match error {
            SendError::NotSent(reason, _) => {
                if reason.is_overload() {
                    shared.metrics.refused_at(Limit::Upstream);
                }
                tracing::warn!(%reason, "a request was not sent");
                answer(not_sent(&reason))
            }
            SendError::Unknown(reason) => {
                tracing::warn!(%reason, "an upstream's answer was lost");
                self.lost(ProblemName::UpstreamFailed, "the service's answer was lost".to_owned())
            }
        }
    }

    fn answered(
        &self,
        mut response: Response<Body>,
        upgrade: Option<hyper::upgrade::OnUpgrade>,
        shared: &Shared,
    ) -> Response<Body> {
        let has_switched = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        match upgrade {
            None if has_switched => {
                tracing::warn!("an upstream switched protocols unasked");
                let detail = "the service switched to a protocol that nobody asked for";
                return answer(Problem::new(ProblemName::UpstreamFailed, detail));
            }
            Some(client) if has_switched || (self.is_connect && response.status().is_success()) => {
                let upstream = hyper::upgrade::on(&mut response);
                spawn_tunnel(client, upstream, shared.clone(), &shared.tasks);
            }
            Some(_) | None => {}
        }
        response
    }
}

fn spawn_tunnel(client: hyper::upgrade::OnUpgrade, upstream: hyper::upgrade::OnUpgrade, shared: Shared, tasks: &TaskTracker) {
    // The connection leaves HTTP, and whoever counted it there lets it go.
    let (place, _) = Place::take(&shared);
    tasks.spawn(async move {
        let _place = place;
        match tokio::try_join!(client, upstream) {
            Ok((client, upstream)) => tunnel(client, upstream, &shared).await,
            Err(error) => tracing::debug!(%error, "an upgrade did not come about"),
        }
    });
}

/// When a request last moved: the time for its answer begins anew with every piece that is sent, so that a long upload is not cut.
struct Upload {
    began: Instant,
    /// Milliseconds after `began`; absent for a body that is small or not there.
    moved: Option<Arc<AtomicU64>>,
}

impl Upload {
    fn watch(request: &mut Request<Body>) -> Self {
        let began = Instant::now();
        if request.body().size_hint().upper().is_some_and(|size| size <= SMALL_BODY) {
            return Self { began, moved: None };
        }
        let moved = Arc::<AtomicU64>::default();
        let body = std::mem::take(request.body_mut());
        *request.body_mut() = body.guarded(Box::new(Moving { began, moved: Arc::clone(&moved) }));
        Self { began, moved: Some(moved) }
    }

    async fn silent_for(&self, patience: Duration) {
        loop {
            let moved = self.moved.as_ref().map_or(0, |moved| moved.load(Ordering::Relaxed));
            let until = self.began + Duration::from_millis(moved) + patience;
            if until <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(until).await;
        }
    }
}

/// Notes when a body moves.
#[derive(Debug)]
struct Moving {
    began: Instant,
    moved: Arc<AtomicU64>,
}

impl OnEnd for Moving {
    fn moved(&mut self) {
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.moved.store(now, Ordering::Relaxed);
    }

    fn complete(&mut self) {
        self.moved();
    }
}

/// Whether a request asks to leave HTTP: `Upgrade` (RFC 9110, section 7.8) or CONNECT.
pub fn wants_upgrade(request: &Request<Body>) -> bool {
    request.method() == Method::CONNECT
        || (request.headers().contains_key(header::UPGRADE) && request.headers().contains_key(header::CONNECTION))
}

/// Whether a request carries a key, by the names that a Refrain looks for unless it is told others.
fn has_key(request: &Request<Body>) -> bool {
    [IDEMPOTENCY_KEY, X_IDEMPOTENCY_KEY].iter().any(|name| request.headers().contains_key(name))
}

/// The problem of a request that was not sent: whether at a bound of ours or because nobody answers there.
pub fn not_sent(reason: &NotSent) -> Problem {
    // Where the upstream is, and what the system said, is for the log.
    match reason.is_overload() {
        true => Problem::new(ProblemName::Overloaded, "too many requests to the service are under way; nothing was sent"),
        false => Problem::new(ProblemName::UpstreamNotReached, "the service cannot be reached; nothing was sent"),
    }
}

/// A problem as an answer outside the idempotency layer.
pub fn answer(problem: Problem) -> Response<Body> {
    problem.into_response(Dialect::Ietf).map(Body::full)
}
