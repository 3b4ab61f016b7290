//! What the caller of an exchange gets, once: its answer, a recorded one, or a problem.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header::CACHE_CONTROL, response::Parts};
use tokio::sync::oneshot;

use super::{
    key::Key,
    marker::{self, Dialect, Status},
    response::{NotKept, Recorded},
};
use crate::{
    body::Body,
    headers::{IDEMPOTENCY_ATTEMPT, IDEMPOTENCY_EXPIRES, IDEMPOTENCY_REPLAYED},
    pass,
    problem::{Problem, ProblemName},
    store::Done,
    time::{http_date, wall_now},
    upstream::NotSent,
};

/// The caller of one exchange. The first answer counts; whoever comes later finds nobody.
#[derive(Debug)]
pub(super) struct Answerer {
    caller: Option<oneshot::Sender<Response<Body>>>,
    dialect: Dialect,
    key: Key,
}

impl Answerer {
    pub(super) const fn new(caller: oneshot::Sender<Response<Body>>, dialect: Dialect, key: Key) -> Self {
        Self { caller: Some(caller), dialect, key }
    }

    /// Resolves when the caller has hung up; at once if it has its answer.
    pub(super) async fn caller_gone(&mut self) {
        if let Some(caller) = &mut self.caller {
            caller.closed().await;
        }
    }

    /// The upstream's answer to this request, recorded.
    pub(super) fn executed(&mut self, mut parts: Parts, body: Body, attempt: u32, ttl: Duration) {
        parts.headers.insert(IDEMPOTENCY_EXPIRES, expires(ttl));
        self.upstreams(parts, body, Status::Executed, attempt);
    }

    /// The upstream's answer to this request.
    pub(super) fn upstreams(&mut self, mut parts: Parts, body: Body, status: Status, attempt: u32) {
        marker::mark(&mut parts.headers, status);
        // The marks of this route are not the service's to set.
        parts.headers.remove(IDEMPOTENCY_REPLAYED);
        parts.headers.insert(IDEMPOTENCY_ATTEMPT, attempt_number(attempt));
        self.answer(Response::from_parts(parts, body));
    }

    /// A recorded answer.
    pub(super) fn replay(&mut self, recorded: Recorded, done: &Done, status: Status) {
        let answer = match recorded {
            Recorded::Answer(answer) => answer,
            Recorded::Tombstone(tombstone) => {
                let why = match tombstone.reason {
                    NotKept::TooLarge => "it was larger than this route keeps",
                    NotKept::Stream => "it was a stream",
                };
                let detail = format!("the request was carried out and answered {}, but {why}", tombstone.status.as_u16());
                let problem = Problem::new(ProblemName::ResponseNotKept, detail).original_status(tombstone.status);
                return self.send_problem(problem);
            }
        };
        let (response, trailers) = answer.into_response();
        let mut response = response.map(|bytes| Body::with_trailers(bytes, trailers));
        let headers = response.headers_mut();
        marker::mark_replay(headers, self.dialect, status);
        headers.insert(IDEMPOTENCY_ATTEMPT, attempt_number(done.attempt));
        headers.insert(IDEMPOTENCY_EXPIRES, expires(done.ttl_left));
        self.answer(response);
    }

    /// There is nothing to undo: nothing was sent, and the step is cancelled.
    pub(super) fn nothing_to_undo(&mut self, done: &Done) {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        marker::mark(response.headers_mut(), Status::NothingToUndo);
        response.headers_mut().insert(IDEMPOTENCY_EXPIRES, expires(done.ttl_left));
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        self.answer(response);
    }

    /// Nobody knows whether the step was carried out that this undoes; the undo was not sent.
    pub(super) fn step_unknown(&mut self) {
        let detail = "nobody knows whether the step was carried out that this undoes; the undo was not sent";
        self.send_problem(Problem::new(ProblemName::OutcomeUnknown, detail));
    }

    /// Somebody else is at it, for this long as far as known.
    pub(super) fn in_flight(&mut self, left: Duration) {
        let problem = Problem::new(ProblemName::InFlight, "a request with this key is under way; ask again with the same key");
        self.send_problem(problem.retry_after(left.as_secs() + u64::from(left.subsec_nanos() > 0)));
    }

    /// Nothing was sent.
    pub(super) fn not_sent(&mut self, reason: &NotSent) {
        self.send_problem(pass::not_sent(reason));
    }

    /// This very request was sent, and nobody knows what became of it.
    pub(super) fn outcome_unknown_now(&mut self) {
        let detail = "the request was sent, and its answer was lost: nobody knows whether it was carried out";
        let problem = Problem::new(ProblemName::OutcomeUnknown, detail).key(&self.key);
        let mut response = problem.into_response(self.dialect).map(Body::full);
        *response.status_mut() = StatusCode::BAD_GATEWAY;
        marker::mark(response.headers_mut(), Status::OutcomeUnknown);
        self.answer(response);
    }

    /// A problem that needs no more words than its name has.
    pub(super) fn problem(&mut self, name: ProblemName) {
        self.send_problem(Problem::new(name, detail(name)));
    }

    fn send_problem(&mut self, problem: Problem) {
        let status = match problem.name() {
            ProblemName::InFlight | ProblemName::InProgress => Some(Status::Pending),
            ProblemName::OutcomeUnknown => Some(Status::OutcomeUnknown),
            ProblemName::ResponseNotKept => Some(Status::Replayed),
            _ => None,
        };
        let mut response = problem.key(&self.key).into_response(self.dialect).map(Body::full);
        if let Some(status) = status {
            marker::mark(response.headers_mut(), status);
        }
        self.answer(response);
    }

    fn answer(&mut self, response: Response<Body>) {
        if let Some(caller) = self.caller.take() {
            // A caller that has hung up will ask again, or not.
            let _gone = caller.send(response);
        }
    }
}

/// The answer where the store could not even be asked how records are named.
pub(super) fn store_lost(dialect: Dialect, key: Option<&Key>) -> Response<Body> {
    let problem = Problem::new(ProblemName::StoreLost, detail(ProblemName::StoreLost));
    key.map_or(problem.clone(), |key| problem.key(key)).into_response(dialect).map(Body::full)
}

/// An answer that is a problem, for a request that did not get as far as an exchange.
pub(super) fn problem(problem: Problem, dialect: Dialect) -> Response<Body> {
    problem.into_response(dialect).map(|bytes: Bytes| Body::full(bytes))
}

/// When the record ends, as an HTTP date (RFC 9110, section 5.6.7).
fn expires(in_: Duration) -> HeaderValue {
    http_date(wall_now().plus(in_))
}

/// Nearly always the first.
fn attempt_number(attempt: u32) -> HeaderValue {
    if attempt == 1 { HeaderValue::from_static("1") } else { HeaderValue::from(attempt) }
}

const fn detail(name: ProblemName) -> &'static str {
    match name {
        ProblemName::KeyReused => "this key was used with another request; use a new key for a new request",
        ProblemName::DuplicatePayload => "the same request was made under another key, which stands for it",
        ProblemName::InProgress => "the request was sent and is still being processed; ask again with the same key",
        ProblemName::OutcomeUnknown => {
            "an earlier attempt was sent and its answer was lost: nobody knows whether it was carried out; it is not sent again"
        }
        ProblemName::ResponseNotKept => "the request was carried out, but its recorded response cannot be read",
        ProblemName::StoreLost => "the store of records cannot be reached; nothing was sent",
        ProblemName::UpstreamNotReached => "the service cannot be reached; nothing was sent",
        ProblemName::StepCancelled => "an undo has cancelled this step",
        _ => "",
    }
}
