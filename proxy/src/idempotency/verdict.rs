//! What an answer of the upstream means for the record. A pure function of the answer and the route's policy.
//!
//! The question is never whether the answer is good, but whether the upstream acted: an answer is kept if it is the outcome, the key
//! is free again if the upstream said that it did nothing, and everything else is unknown.

use std::str::FromStr;

use http::{
    HeaderMap, StatusCode,
    header::{CONTENT_TYPE, RETRY_AFTER},
};

use super::marker::Status;
use crate::{headers::REFRAIN_PROBLEM, problem::ProblemName};

/// What becomes of the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The answer is the outcome: it is recorded and replayed.
    Keep,
    /// The upstream did nothing: the key is free again.
    Release,
    /// Nobody knows whether the upstream acted. The caller gets the answer, the record does not.
    Unknown,
}

/// Who calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallKind {
    /// A client: the route's statuses count.
    Client,
    /// A trusted saga call: fixed rules count, whatever the route says, for the saga's driver relies on them.
    Step,
}

/// Judges an answer. `from_refrain`: the upstream is declared to have a Refrain, so its `Refrain-Problem` is believed.
pub fn judge(statuses: &StatusPolicy, kind: CallKind, from_refrain: bool, status: StatusCode, headers: &HeaderMap) -> Verdict {
    // Whoever says so: that the work goes on is not its outcome, and recording it would hide the outcome for good.
    if Status::Pending.is_said_by(headers) {
        return Verdict::Unknown;
    }
    if let Some(verdict) = problem(headers).filter(|_| from_refrain).and_then(judge_problem) {
        return verdict;
    }
    let has_retry_after = headers.contains_key(RETRY_AFTER);
    match kind {
        CallKind::Client => statuses.judge(status, has_retry_after),
        CallKind::Step => judge_step(status, has_retry_after),
    }
}

/// Whether a body is made to be read while it is written, so that it cannot be waited for and kept: server-sent events, JSON lines
/// and sequences, gRPC, and parts that replace each other.
pub fn is_stream(headers: &HeaderMap) -> bool {
    const TYPES: [&[u8]; 8] = [
        b"text/event-stream",
        b"application/x-ndjson",
        b"application/ndjson",
        b"application/jsonl",
        b"application/x-jsonlines",
        b"application/stream+json",
        b"application/json-seq",
        b"multipart/x-mixed-replace",
    ];
    headers.get_all(CONTENT_TYPE).iter().any(|line| {
        let essence = line.as_bytes().split(|c| *c == b';').next().unwrap_or_default().trim_ascii();
        TYPES.iter().any(|known| essence.eq_ignore_ascii_case(known)) || is_grpc(essence)
    })
}

/// `application/grpc`, `application/grpc+proto`, `application/grpc-web`…
fn is_grpc(essence: &[u8]) -> bool {
    const GRPC: &[u8] = b"application/grpc";
    let (Some(head), rest) = (essence.get(..GRPC.len()), essence.get(GRPC.len()..).unwrap_or_default()) else { return false };
    head.eq_ignore_ascii_case(GRPC) && matches!(rest, [] | [b'+' | b'-', ..])
}

fn problem(headers: &HeaderMap) -> Option<ProblemName> {
    headers.get(REFRAIN_PROBLEM)?.to_str().ok()?.parse().ok()
}

/// What another Refrain's own answer means here; `None`: what its status means.
fn judge_problem(name: ProblemName) -> Option<Verdict> {
    use ProblemName as Name;
    match name {
        Name::InFlight | Name::InProgress | Name::OutcomeUnknown | Name::Quarantined => Some(Verdict::Unknown),
        Name::StoreLost | Name::Overloaded | Name::UpstreamNotReached | Name::AuthenticationUnavailable => Some(Verdict::Release),
        // Another token may come with the same key: what the service was never asked is not its answer.
        Name::TokenMissing | Name::TokenInvalid | Name::ClaimsRefused => Some(Verdict::Release),
        Name::KeyMissing
        | Name::KeyInvalid
        | Name::KeyReused
        | Name::DuplicatePayload
        | Name::ResponseNotKept
        | Name::TooLarge
        | Name::StepCancelled
        | Name::UntrustedPeer
        | Name::Denied
        | Name::InputInvalid
        | Name::NotFound
        | Name::Malformed
        | Name::HeaderTimeout
        | Name::BodyIncomplete
        | Name::UpstreamFailed
        | Name::UpstreamTimeout
        | Name::MethodNotAllowed
        | Name::CallbackUnknown
        | Name::CallbackUsed
        | Name::CallbackOver
        | Name::Internal => None,
    }
}

fn judge_step(status: StatusCode, has_retry_after: bool) -> Verdict {
    if status.is_server_error() && !(status == StatusCode::SERVICE_UNAVAILABLE && has_retry_after) {
        return Verdict::Unknown;
    }
    StatusPolicy::default().judge(status, has_retry_after)
}

/// Which answers are kept, which say that nothing was done; everything else is unknown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusPolicy {
    /// Kept and replayed.
    pub store: Vec<StatusPattern>,
    /// The upstream did nothing: the key is free again. Looked at first.
    pub release: Vec<StatusPattern>,
}

impl Default for StatusPolicy {
    /// 2xx, 3xx, 4xx and 500 are kept; 401, 403, 407, 408, 425, 429 and 503 with `Retry-After` say that nothing was done.
    fn default() -> Self {
        use StatusCode as Code;
        let did_nothing = [
            Code::UNAUTHORIZED,
            Code::FORBIDDEN,
            Code::PROXY_AUTHENTICATION_REQUIRED,
            Code::REQUEST_TIMEOUT,
            Code::TOO_EARLY,
            Code::TOO_MANY_REQUESTS,
        ];
        let mut release: Vec<_> = did_nothing.into_iter().map(StatusPattern::Exactly).collect();
        release.push(StatusPattern::WithRetryAfter(Code::SERVICE_UNAVAILABLE));
        let outcomes = [2, 3, 4].into_iter().map(StatusPattern::Class);
        Self { store: outcomes.chain([StatusPattern::Exactly(Code::INTERNAL_SERVER_ERROR)]).collect(), release }
    }
}

impl StatusPolicy {
    fn judge(&self, status: StatusCode, has_retry_after: bool) -> Verdict {
        let matches = |patterns: &[StatusPattern]| patterns.iter().any(|pattern| pattern.matches(status, has_retry_after));
        if matches(&self.release) {
            Verdict::Release
        } else if matches(&self.store) {
            Verdict::Keep
        } else {
            Verdict::Unknown
        }
    }
}

/// A set of statuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusPattern {
    /// `2xx`: the hundreds digit.
    Class(u16),
    /// `500`.
    Exactly(StatusCode),
    /// `503+retry-after`: the status, and the answer carries `Retry-After`.
    WithRetryAfter(StatusCode),
}

impl StatusPattern {
    /// Whether an answer is in the set.
    pub fn matches(self, status: StatusCode, has_retry_after: bool) -> bool {
        match self {
            Self::Class(hundreds) => status.as_u16() / 100 == hundreds,
            Self::Exactly(exactly) => status == exactly,
            Self::WithRetryAfter(exactly) => status == exactly && has_retry_after,
        }
    }
}

/// Not the text of a [`StatusPattern`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a set of statuses is written like `404`, `2xx` or `503+retry-after`, from 200 to 599")]
pub struct StatusPatternError;

impl FromStr for StatusPattern {
    type Err = StatusPatternError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let exactly = |text: &str| {
            let code = StatusCode::from_bytes(text.as_bytes()).ok()?;
            (200..600).contains(&code.as_u16()).then_some(code)
        };
        let pattern = match (text.as_bytes(), text.strip_suffix("+retry-after")) {
            ([digit @ b'2'..=b'5', b'x', b'x'], _) => Some(Self::Class(u16::from(digit - b'0'))),
            (_, Some(status)) => exactly(status).map(Self::WithRetryAfter),
            (_, None) => exactly(text).map(Self::Exactly),
        };
        pattern.ok_or(StatusPatternError)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use http::HeaderValue;

    use super::{
        CallKind::{Client, Step},
        Verdict::{Keep, Release, Unknown},
        *,
    };

    const RETRY: (&str, &str) = ("retry-after", "1");

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        lines.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect()
    }

    fn by_default(kind: CallKind, from_refrain: bool, status: u16, lines: &[(&'static str, &'static str)]) -> Verdict {
        judge(&StatusPolicy::default(), kind, from_refrain, StatusCode::from_u16(status).unwrap(), &headers(lines))
    }

    #[test]
    fn a_status_says_whether_the_upstream_acted() {
        for (status, lines, client, step) in [
            (200, &[][..], Keep, Keep),
            (201, &[], Keep, Keep),
            (202, &[], Keep, Keep),
            (204, &[], Keep, Keep),
            (303, &[], Keep, Keep),
            (400, &[], Keep, Keep),
            (401, &[], Release, Release),
            (402, &[], Keep, Keep),
            (403, &[], Release, Release),
            (404, &[], Keep, Keep),
            (407, &[], Release, Release),
            (408, &[], Release, Release),
            (409, &[], Keep, Keep),
            (409, &[RETRY], Keep, Keep),
            (413, &[], Keep, Keep),
            (422, &[], Keep, Keep),
            (425, &[], Release, Release),
            (429, &[], Release, Release),
            (429, &[RETRY], Release, Release),
            (500, &[], Keep, Unknown),
            (500, &[RETRY], Keep, Unknown),
            (501, &[], Unknown, Unknown),
            (502, &[], Unknown, Unknown),
            (502, &[RETRY], Unknown, Unknown),
            (503, &[], Unknown, Unknown),
            (503, &[RETRY], Release, Release),
            (504, &[], Unknown, Unknown),
            (599, &[], Unknown, Unknown),
            (101, &[], Unknown, Unknown),
            (700, &[], Unknown, Unknown),
        ] {
            for from_refrain in [false, true] {
                assert_eq!(by_default(Client, from_refrain, status, lines), client, "client {status} {lines:?}");
                assert_eq!(by_default(Step, from_refrain, status, lines), step, "step {status} {lines:?}");
            }
        }
    }

    #[test]
    fn an_inner_refrains_problem_is_believed_only_where_it_is_declared() {
        // An outer proxy must not store an inner one's 409.
        for (problem, status, declared, plain) in [
            ("in-flight", 409, Unknown, Keep),
            ("in-progress", 504, Unknown, Unknown),
            ("outcome-unknown", 409, Unknown, Keep),
            ("store-lost", 503, Release, Unknown),
            ("overloaded", 503, Release, Unknown),
            ("upstream-not-reached", 502, Release, Unknown),
            ("key-missing", 400, Keep, Keep),
            ("key-invalid", 400, Keep, Keep),
            ("key-reused", 422, Keep, Keep),
            ("duplicate-payload", 409, Keep, Keep),
            ("response-not-kept", 409, Keep, Keep),
            ("too-large", 413, Keep, Keep),
            ("step-cancelled", 409, Keep, Keep),
            ("untrusted-peer", 403, Release, Release),
            ("denied", 403, Release, Release),
            ("quarantined", 500, Unknown, Keep),
            ("not-found", 404, Keep, Keep),
            ("upstream-failed", 502, Unknown, Unknown),
            ("upstream-timeout", 504, Unknown, Unknown),
            ("internal", 500, Keep, Keep),
            ("something-newer", 409, Keep, Keep),
        ] {
            let lines = [("refrain-problem", problem)];
            assert_eq!(by_default(Client, true, status, &lines), declared, "{problem}");
            assert_eq!(by_default(Client, false, status, &lines), plain, "{problem}, plain");
            let step = if status == 500 { Unknown } else { declared };
            assert_eq!(by_default(Step, true, status, &lines), step, "{problem}, step");
        }
    }

    #[test]
    fn an_answer_that_is_not_final_is_never_kept() {
        for status in [202, 200, 500] {
            for kind in [Client, Step] {
                for from_refrain in [true, false] {
                    assert_eq!(by_default(kind, from_refrain, status, &[("idempotency-status", "pending")]), Unknown);
                }
            }
        }
        assert_eq!(
            by_default(Client, true, 500, &[("idempotency-status", "pending"), ("refrain-problem", "quarantined")]),
            Unknown
        );
        assert_eq!(by_default(Client, true, 202, &[("idempotency-status", "executed")]), Keep);
    }

    #[test]
    fn a_route_may_say_otherwise_for_clients_but_not_for_steps() {
        let policy = StatusPolicy {
            store: vec![StatusPattern::Class(2), StatusPattern::Class(5)],
            release: vec!["502".parse().unwrap(), "504+retry-after".parse().unwrap()],
        };
        let judged =
            |kind, status: u16, lines: &[_]| judge(&policy, kind, false, StatusCode::from_u16(status).unwrap(), &headers(lines));
        assert_eq!(judged(Client, 502, &[]), Release, "release is looked at first");
        assert_eq!(judged(Client, 503, &[]), Keep);
        assert_eq!(judged(Client, 504, &[]), Keep);
        assert_eq!(judged(Client, 504, &[RETRY]), Release);
        assert_eq!(judged(Client, 404, &[]), Unknown);
        assert_eq!(judged(Step, 502, &[]), Unknown);
        assert_eq!(judged(Step, 503, &[]), Unknown);
        assert_eq!(judged(Step, 404, &[]), Keep);
    }

    #[test]
    fn statuses_are_written_in_three_ways() {
        assert_eq!("2xx".parse(), Ok(StatusPattern::Class(2)));
        assert_eq!("500".parse(), Ok(StatusPattern::Exactly(StatusCode::INTERNAL_SERVER_ERROR)));
        assert_eq!("503+retry-after".parse(), Ok(StatusPattern::WithRetryAfter(StatusCode::SERVICE_UNAVAILABLE)));
        for wrong in ["", "1xx", "6xx", "20x", "xx", "199", "600", "+retry-after", "5xx+retry-after", "503+", "0500", "2XX", "é"]
        {
            assert_eq!(wrong.parse::<StatusPattern>(), Err(StatusPatternError), "{wrong}");
        }
    }

    #[test]
    fn streams_are_told_by_their_content_type() {
        for stream in [
            "text/event-stream",
            "Text/Event-Stream; charset=utf-8",
            "application/x-ndjson",
            "application/jsonl",
            "application/stream+json",
            "application/json-seq",
            "application/grpc",
            "application/grpc+proto",
            "application/grpc-web+proto",
            "multipart/x-mixed-replace; boundary=x",
        ] {
            assert!(is_stream(&headers(&[("content-type", stream)])), "{stream}");
        }
        for whole in [
            "",
            "application/json",
            "application/grpcish",
            "application/gr",
            "text/plain; x=text/event-stream",
            "multipart/mixed",
        ] {
            assert!(!is_stream(&headers(&[("content-type", whole)])), "{whole}");
        }
        assert!(!is_stream(&HeaderMap::new()));
    }
}
