//! What answers a request that starts a saga: it names the saga, begins it or attaches to it, and waits for its end within bounds.
//!
//! A saga's record is its own idempotency record. The same key attaches to the running saga, or replays its answer; nothing is
//! written before the inputs are as they must be. A caller that hangs up cancels its own waiting and nothing else.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    HeaderValue, Request, Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE, LOCATION, RETRY_AFTER},
};
use saga_config::{
    expr::Bindings,
    saga::{Input, Saga},
};
use serde_json::{Map, Value, json};
use tokio::{sync::oneshot, time::Instant};

use super::{
    call::Caller,
    codec,
    driver::Settled,
    engine::{Begun, Engine, NewSaga, NotBegun},
    input::{self, Asked},
    prefer::{Kind, Patience},
};
use crate::{
    body::{Body, Share},
    headers::{IDEMPOTENCY_ATTEMPT, IDEMPOTENCY_EXPIRES, TRACEPARENT},
    idempotency::{
        intake::{self, NotRead, Read},
        key::Key,
        marker::{self, Dialect, Status},
        name,
        policy::Policy,
        response::{Answer, Recorded},
        verdict::CallKind,
        view::RequestView,
    },
    ids::{Fingerprint, SagaId},
    metrics::StoreOperation,
    problem::{Problem, ProblemName},
    store::{
        Store, StoreError,
        journal::{Attached, Head, Journal, SagaState},
        wakes::Listener,
    },
    time::{Timestamp, http_date},
};

/// Inputs of bodies from this size on are evaluated on another thread, so that a core's other connections do not wait.
const LARGE_BODY: usize = 128 * 1024;
/// The longest time between two looks at a saga that is driven elsewhere, should the word of its end be lost.
const LONGEST_LOOK: Duration = Duration::from_secs(1);
/// The longest `Retry-After` of a saga that goes on, in seconds.
const LONGEST_RETRY_AFTER: u64 = 10;

/// A request that starts a saga.
#[derive(Debug)]
pub struct Starting {
    /// The request.
    pub request: Request<Body>,
    /// The saga.
    pub saga: Arc<Saga>,
    /// Whose key, scope, fingerprint and body cap apply. What it says of waiting, doubt, retention and statuses does not.
    pub policy: Arc<Policy>,
}

/// What a request is, once it is read.
struct Named {
    id: SagaId,
    /// `None`: the saga has a generated id, and cannot be asked for again by a key.
    key: Option<Key>,
    fingerprint: Fingerprint,
    starter: Fingerprint,
    bytes: Bytes,
    /// What the body takes of the budget.
    share: Share,
}

impl<S: Store + Journal, C: Caller> Engine<S, C> {
    /// Starts a saga, or attaches to it. Errors are answers.
    pub async fn answer(&self, starting: Starting) -> Response<Body> {
        let dialect = starting.policy.dialect;
        match self.start(starting).await {
            Ok(response) => response,
            Err(problem) => problem.into_response(dialect).map(Body::full),
        }
    }

    async fn start(&self, starting: Starting) -> Result<Response<Body>, Problem> {
        let Starting { mut request, saga, policy } = starting;
        let patience = Patience::of(request.headers(), saga.response.pending_after);
        let named = self.name(&mut request, &saga, &policy).await?;
        let asking = Asking {
            id: named.id,
            saga: Arc::clone(&saga),
            key: named.key,
            dialect: policy.dialect,
            until: Instant::now() + patience.wait,
            patience,
        };
        // Before the saga is asked for, so that no end slips between the question and the waiting.
        let listener = self.context.wakes.listen(named.id.as_record());
        let traceparent = request.headers().get(TRACEPARENT).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let input = match inputs(&saga, request, named.bytes).await {
            Ok(input) => input,
            // Whoever says nothing of themselves is told nothing of what they may have started.
            Err(problem) if matches!(problem.name(), ProblemName::TokenMissing | ProblemName::TokenInvalid) => {
                return Err(problem);
            }
            Err(problem) => return self.refused(asking, named.fingerprint, listener, problem).await,
        };
        drop(named.share);
        let (fingerprint, starter) = (named.fingerprint, named.starter);
        let new = NewSaga { id: named.id, saga, input, fingerprint, starter, traceparent };
        // It goes on if this is dropped: a client that hangs up cancels only its own waiting.
        match self.begin(new).await {
            Ok(Begun::Here(settled)) => Ok(self.wait(asking, listener, Some(settled), Status::Executed).await),
            Ok(Begun::Running(head)) => self.running(asking, *head, listener).await,
            Ok(Begun::Ended(head)) => Ok(self.replay(&asking, &head, Status::Replayed)),
            Ok(Begun::Mismatch) => Err(asking.reused()),
            Err(error) => Err(asking.not_begun(&error)),
        }
    }

    /// Reads the request and names its saga.
    async fn name(&self, request: &mut Request<Body>, saga: &Saga, policy: &Arc<Policy>) -> Result<Named, Problem> {
        let key = intake::find_key(request, policy)?;
        if key.is_none() && policy.key.from.is_none() && saga.trigger.key_required {
            return Err(intake::key_missing(policy));
        }
        let hash_key = self.context.store.hash_key().await.map_err(|error| {
            self.context.metrics.store_failed(StoreOperation::HashKey);
            tracing::warn!(%error, "the store did not tell the key of its record names");
            store_lost(key.as_ref(), "nothing was started")
        })?;
        let Read { bytes, share, .. } = match intake::read(request, policy, CallKind::Client, &self.context).await {
            Ok(read) => read,
            Err(NotRead::Refused(problem)) => return Err(problem),
            // A saga never runs unprotected.
            Err(NotRead::TooLarge) => return Err(Problem::new(ProblemName::TooLarge, intake::too_large(policy))),
        };
        let view = RequestView::new(request, &bytes);
        let key = match key {
            Some(key) => Some(key),
            None => view.key(policy).map_err(|error| intake::key_invalid(&error, None))?,
        };
        if key.is_none() && saga.trigger.key_required {
            return Err(intake::no_key(request.headers(), policy, &view));
        }
        let scope = intake::scope(request.headers(), policy, CallKind::Client, &view)?;
        let by_key = |key: &Key| name::saga_id(&hash_key, &scope, saga.name.as_str(), key);
        let fingerprint = intake::fingerprint(hash_key, request, policy, &bytes).await;
        Ok(Named {
            id: key.as_ref().map_or_else(SagaId::random, by_key),
            key,
            fingerprint,
            starter: name::saga_starter(&hash_key, &scope),
            bytes,
            share,
        })
    }

    /// The request is not one that starts this saga, as it is defined now. It may have started it as it was defined then.
    async fn refused(
        &self,
        asking: Asking,
        fingerprint: Fingerprint,
        listener: Listener,
        problem: Problem,
    ) -> Result<Response<Body>, Problem> {
        let Some(key) = &asking.key else { return Err(problem) };
        let mailbox = Some(self.context.wakes.mailbox());
        let attached = self.context.store.attach(asking.id, mailbox).await.map_err(|error| {
            self.attach_failed(asking.id, &error);
            store_lost(Some(key), "nothing was started")
        })?;
        match attached {
            None => Err(problem.key(key)),
            Some(Attached { head, .. }) if head.birth.fingerprint != fingerprint => Err(asking.reused()),
            Some(Attached { head, .. }) if head.state.is_end() => Ok(self.replay(&asking, &head, Status::Replayed)),
            Some(Attached { head, .. }) => self.running(asking, head, listener).await,
        }
    }

    async fn running(&self, asking: Asking, head: Head, listener: Listener) -> Result<Response<Body>, Problem> {
        if head.state == SagaState::Quarantined {
            return Ok(self.replay(&asking, &head, Status::Pending));
        }
        Ok(self.wait(asking, listener, None, Status::Joined).await)
    }

    /// Waits for the saga's end, or until the caller has waited long enough. `here`: it is driven here, and tells its end itself.
    async fn wait(
        &self,
        asking: Asking,
        mut listener: Listener,
        mut here: Option<oneshot::Receiver<Settled>>,
        how: Status,
    ) -> Response<Body> {
        // Bounded by `until`.
        loop {
            // A driver here ends what is under way before it hands the saga on: its answer may still come.
            let is_drained = here.is_none() && self.shared.drain.is_cancelled();
            if is_drained || Instant::now() >= asking.until {
                return self.pending(&asking);
            }
            let look = LONGEST_LOOK.mul_f64(0.75 + rand::random::<f64>() / 4.0);
            let look = if here.is_some() { asking.until } else { asking.until.min(Instant::now() + look) };
            tokio::select! {
                settled = end_of(&mut here), if here.is_some() => match settled {
                    Some(settled) => return self.settled(&asking, settled),
                    // Its driver handed it on.
                    None => here = None,
                },
                () = listener.woken(), if here.is_none() => {}
                () = tokio::time::sleep_until(look) => {}
                () = self.shared.drain.cancelled(), if here.is_none() => {}
            }
            if here.is_some() {
                continue;
            }
            match self.context.store.attach(asking.id, Some(self.context.wakes.mailbox())).await {
                Ok(Some(Attached { head, .. })) if head.state.is_end() => return self.replay(&asking, &head, how),
                Ok(Some(Attached { head, .. })) if head.state == SagaState::Quarantined => {
                    return self.replay(&asking, &head, Status::Pending);
                }
                Ok(Some(_)) => {}
                Ok(None) => {
                    tracing::error!(saga = %asking.id, "the store does not know a saga any more that somebody waits for");
                    let problem =
                        Problem::new(ProblemName::OutcomeUnknown, "the store has lost the saga: nobody knows how it ended");
                    return problem.into_response(asking.dialect).map(Body::full);
                }
                Err(error) => self.attach_failed(asking.id, &error),
            }
        }
    }

    /// The answer of a saga that ended here, while its starter waited.
    fn settled(&self, asking: &Asking, settled: Settled) -> Response<Body> {
        let Settled { state, answer } = settled;
        let Some(answer) = answer else { return asking.quarantined() };
        match codec::recorded(&answer) {
            Recorded::Answer(answer) if state == SagaState::Quarantined => asking.preliminary(answer),
            Recorded::Answer(answer) => {
                let ended_at = self.common.heard.clock().now();
                asking.last(answer, Status::Executed, ended_at.plus(self.plan.load().retention))
            }
            Recorded::Tombstone(_) => asking.unreadable(),
        }
    }

    /// The answer that the store keeps.
    fn replay(&self, asking: &Asking, head: &Head, how: Status) -> Response<Body> {
        let Some(kept) = &head.answer else { return asking.quarantined() };
        match self.codec.read_answer(asking.id, head.version, &kept.bytes) {
            Ok(answer) if head.state == SagaState::Quarantined => asking.preliminary(answer),
            Ok(answer) => asking.last(answer, how, head.updated_at.plus(self.plan.load().retention)),
            Err(error) => {
                tracing::error!(saga = %asking.id, %error, "a saga's answer cannot be read");
                asking.unreadable()
            }
        }
    }

    /// The saga goes on; this is not its answer.
    fn pending(&self, asking: &Asking) -> Response<Body> {
        let location = self.plan.load().location(asking.id);
        let shown = json!({"saga": asking.saga.name.as_str(), "id": asking.id.to_string(), "status": location});
        let mut response = Response::new(Body::full(Bytes::from(shown.to_string())));
        *response.status_mut() = StatusCode::ACCEPTED;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        let seconds = asking.saga.response.pending_after.as_secs().clamp(1, LONGEST_RETRY_AFTER);
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        if let Ok(location) = HeaderValue::try_from(location) {
            headers.insert(LOCATION, location);
        }
        asking.patience.tell(Kind::Pending, headers);
        marker::mark(headers, Status::Pending);
        response
    }

    fn attach_failed(&self, id: SagaId, error: &StoreError) {
        self.context.metrics.store_failed(StoreOperation::Attach);
        tracing::warn!(saga = %id, %error, "the store did not say how a saga stands");
    }
}

/// Somebody who wants a saga's answer.
struct Asking {
    id: SagaId,
    saga: Arc<Saga>,
    key: Option<Key>,
    dialect: Dialect,
    patience: Patience,
    until: Instant,
}

impl Asking {
    /// The answer of a saga that has ended, which is kept until `expires`.
    fn last(&self, answer: Answer, how: Status, expires: Timestamp) -> Response<Body> {
        let mut response = response(answer);
        let headers = response.headers_mut();
        match how {
            Status::Replayed | Status::Joined => marker::mark_replay(headers, self.dialect, how),
            _ => marker::mark(headers, how),
        }
        // Of the only run: what it says is what became of it.
        headers.insert(IDEMPOTENCY_ATTEMPT, HeaderValue::from(1_u32));
        headers.insert(IDEMPOTENCY_EXPIRES, http_date(expires));
        self.patience.tell(Kind::Own, headers);
        response
    }

    /// The answer of a saga that waits for an operator: not its last word.
    fn preliminary(&self, answer: Answer) -> Response<Body> {
        let mut response = response(answer);
        marker::mark(response.headers_mut(), Status::Pending);
        self.patience.tell(Kind::Own, response.headers_mut());
        response.headers_mut().append(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }

    /// The same, where the saga has no words for it.
    fn quarantined(&self) -> Response<Body> {
        let problem =
            Problem::new(ProblemName::Quarantined, "the saga waits for an operator; its answer comes with the same key");
        let mut response = self.with_key(problem).into_response(self.dialect).map(Body::full);
        marker::mark(response.headers_mut(), Status::Pending);
        response
    }

    fn unreadable(&self) -> Response<Body> {
        let problem = Problem::new(ProblemName::ResponseNotKept, "the saga has ended, but its recorded answer cannot be read");
        self.with_key(problem).into_response(self.dialect).map(Body::full)
    }

    fn reused(&self) -> Problem {
        self.with_key(Problem::new(
            ProblemName::KeyReused,
            "this key was used with another request; use a new key for a new request",
        ))
    }

    fn not_begun(&self, error: &NotBegun) -> Problem {
        match error {
            NotBegun::TooLarge(error) => {
                self.with_key(Problem::new(ProblemName::TooLarge, format!("the saga's input would have {error}")))
            }
            NotBegun::Busy => {
                self.with_key(Problem::new(ProblemName::Overloaded, "too many sagas are under way; nothing was started"))
            }
            NotBegun::Fault => Problem::new(ProblemName::Internal, "the saga could not be started"),
            NotBegun::Store(error) if !error.may_have_applied() => store_lost(self.key.as_ref(), "nothing was started"),
            NotBegun::Store(_) => match &self.key {
                Some(key) => store_lost(Some(key), "the saga may have been started; ask again with the same key"),
                None => Problem::new(
                    ProblemName::OutcomeUnknown,
                    "the store's answer was lost, and the request has no key: nobody knows whether the saga was started",
                ),
            },
        }
    }

    fn with_key(&self, problem: Problem) -> Problem {
        match &self.key {
            Some(key) => problem.key(key),
            None => problem,
        }
    }
}

fn store_lost(key: Option<&Key>, then: &str) -> Problem {
    let problem = Problem::new(ProblemName::StoreLost, format!("the store of sagas cannot be reached; {then}"));
    match key {
        Some(key) => problem.key(key),
        None => problem,
    }
}

fn response(answer: Answer) -> Response<Body> {
    let (response, trailers) = answer.into_response();
    response.map(|bytes| Body::with_trailers(bytes, trailers))
}

/// How the saga ended here; `None`: it was handed on.
async fn end_of(here: &mut Option<oneshot::Receiver<Settled>>) -> Option<Settled> {
    match here {
        Some(settled) => settled.await.ok(),
        None => None,
    }
}

/// The inputs of a request whose body is `bytes`; for large bodies computed on another thread.
async fn inputs(saga: &Arc<Saga>, request: Request<Body>, bytes: Bytes) -> Result<Map<String, Value>, Problem> {
    let (parts, _body) = request.into_parts();
    let request = Request::from_parts(parts, ());
    if bytes.len() < LARGE_BODY {
        return inputs_here(saga, &request, &bytes);
    }
    let saga = Arc::clone(saga);
    let computed = tokio::task::spawn_blocking(move || inputs_here(&saga, &request, &bytes)).await;
    computed.unwrap_or_else(|_| Err(Problem::new(ProblemName::Internal, "the saga's inputs could not be computed")))
}

fn inputs_here(saga: &Saga, request: &Request<()>, bytes: &Bytes) -> Result<Map<String, Value>, Problem> {
    let asked = Asked::new(&saga.input, request, bytes).map_err(|detail| Problem::new(ProblemName::Malformed, detail))?;
    let view = asked.view();
    input::evaluate(&saga.input, &Bindings::over(&asked)).map_err(|error| {
        let wrong = saga.input.iter().find(|input| input.name.as_str() == error.input);
        let reads_claims = |input: &Input| input.from.expressions().iter().any(|from| from.touches(&["claims"]));
        if !view.has_claims() && wrong.is_some_and(reads_claims) {
            return intake::caller_unknown(request.headers());
        }
        let hint = match bytes.is_empty() || crate::idempotency::view::is_json(request.headers()) {
            true => "",
            false => " (the body is not JSON by its Content-Type)",
        };
        Problem::new(ProblemName::InputInvalid, format!("{error}{hint}"))
    })
}
