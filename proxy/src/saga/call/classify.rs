//! What an answer to a call means (the table "Outcomes of one call"), as far as status and Refrain's own words say. Pure.
//!
//! What a step's `outcome` says of an answer is the machine's to judge. A Refrain's words are believed only where there is one.

use std::time::Duration;

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, StatusCode,
    header::{DATE, RETRY_AFTER},
};
use serde_json::{Map, Value};

use crate::{
    headers::{IDEMPOTENCY_ATTEMPT, IDEMPOTENCY_EXPIRES, REFRAIN_PROBLEM},
    idempotency::{
        marker::Status,
        view::{body_value, headers_value},
    },
    problem::ProblemName,
    saga::turn::{Answer, Finding, Reads, Reply},
    time::{Timestamp, parse_http_date},
};

/// The longest `Retry-After` that is followed; a longer one counts as this.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// What is known of an answer beside itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct About {
    /// Whether a Refrain answers, so that its words are believed.
    pub(super) from_refrain: bool,
    /// Whether the call was an undo.
    pub(super) is_undo: bool,
    /// What is read of it.
    pub(super) reads: Reads,
    /// By the wall clock, for HTTP dates.
    pub(super) now: Timestamp,
}

/// An answer.
#[derive(Clone, Debug)]
pub(super) struct Came {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: BodyRead,
}

/// The body of an answer.
#[derive(Clone, Debug)]
pub(super) enum BodyRead {
    /// All of it.
    Whole(Bytes),
    /// It is larger than what is read, or is made to be read while it is written.
    TooMuch,
    /// The process holds too many bytes already.
    NoRoom,
}

/// What an answer to a step's call, or its undo's, means.
pub(super) fn answer(about: About, came: &Came) -> Answer {
    if about.from_refrain
        && let Some(answer) = of_refrain(about, came)
    {
        return answer;
    }
    match &came.body {
        BodyRead::Whole(body) if about.reads.body => Answer::Replied(reply(about, came, body_value(&came.headers, body))),
        BodyRead::Whole(_) => Answer::Replied(reply(about, came, Value::Null)),
        // A Refrain gives it again.
        BodyRead::NoRoom if about.from_refrain => {
            Answer::NotYet { reason: "too many bodies are held at once to read the answer".to_owned(), retry_after: None }
        }
        // Known to be done, and the answer is lost: nothing is gained by doing it once more.
        BodyRead::TooMuch | BodyRead::NoRoom if came.status.is_success() => Answer::NotKept,
        BodyRead::TooMuch | BodyRead::NoRoom => Answer::Replied(reply(about, came, Value::Null)),
    }
}

/// What an answer to a probe means: a service in trouble, and a Refrain that has no answer, cannot tell.
pub(super) fn finding(about: About, came: &Came) -> Finding {
    let cannot_tell = |reason: String| Finding::CannotTell { reason };
    if about.from_refrain
        && let Some(said) = text(&came.headers, &REFRAIN_PROBLEM)
    {
        return cannot_tell(format!("a Refrain answered {}", shown(said)));
    }
    let in_trouble = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_EARLY, StatusCode::TOO_MANY_REQUESTS];
    match &came.body {
        _ if came.status.is_server_error() || in_trouble.contains(&came.status) => {
            cannot_tell(format!("the service answered {}", came.status.as_u16()))
        }
        BodyRead::Whole(body) => Finding::Replied(reply(about, came, body_value(&came.headers, body))),
        BodyRead::TooMuch => cannot_tell("its answer is too large".to_owned()),
        BodyRead::NoRoom => cannot_tell("too many bodies are held at once".to_owned()),
    }
}

/// What a Refrain says of its own accord; `None`: this is the service's answer.
fn of_refrain(about: About, came: &Came) -> Option<Answer> {
    if came.headers.contains_key(REFRAIN_PROBLEM) {
        return Some(of_problem(about, came));
    }
    let not_yet = |reason: &str| Some(Answer::NotYet { reason: reason.to_owned(), retry_after: retry_after(about.now, came) });
    match Status::said_by(&came.headers)? {
        // A saga of its own goes on.
        Status::Pending => not_yet(Status::Pending.as_str()),
        // The service's own 5xx is marked so as well, and stays what it is.
        Status::OutcomeUnknown if !came.status.is_server_error() => not_yet(ProblemName::OutcomeUnknown.as_str()),
        Status::NothingToUndo if about.is_undo => Some(Answer::NothingToUndo),
        Status::NothingToUndo => Some(wrong("nothing-to-undo, and it was no undo")),
        Status::Executed | Status::Replayed | Status::Joined | Status::Ignored | Status::Unprotected | Status::OutcomeUnknown => {
            None
        }
    }
}

fn of_problem(about: About, came: &Came) -> Answer {
    use ProblemName as Name;
    let said = text(&came.headers, &REFRAIN_PROBLEM).unwrap_or_default();
    let not_yet = || Answer::NotYet { reason: shown(said), retry_after: retry_after(about.now, came) };
    let unknown = || Answer::Unknown { reason: shown(said) };
    match said.parse() {
        Ok(
            Name::InFlight
            | Name::InProgress
            | Name::OutcomeUnknown
            | Name::Quarantined
            | Name::StoreLost
            | Name::Overloaded
            | Name::UpstreamNotReached
            | Name::AuthenticationUnavailable
            // Of the request itself nothing has gone on.
            | Name::HeaderTimeout
            | Name::BodyIncomplete,
        ) => not_yet(),
        Ok(Name::ResponseNotKept) => not_kept(about, came),
        Ok(Name::UntrustedPeer) => Answer::Untrusted,
        Ok(Name::StepCancelled) => Answer::Sealed,
        Ok(Name::UpstreamFailed | Name::UpstreamTimeout | Name::Internal) => unknown(),
        Ok(
            Name::KeyMissing
            | Name::KeyInvalid
            | Name::KeyReused
            | Name::DuplicatePayload
            | Name::TooLarge
            // A peer whose calls are trusted is asked for no token: one is asked for where the two do not know each other.
            | Name::TokenMissing
            | Name::TokenInvalid
            | Name::ClaimsRefused
            | Name::Denied
            | Name::InputInvalid
            | Name::NotFound
            | Name::MethodNotAllowed
            | Name::Malformed,
        ) => wrong(said),
        // A step that calls back another saga: that saga's own answer, and a definite no.
        Ok(Name::CallbackUnknown | Name::CallbackUsed | Name::CallbackOver) => Answer::Replied(reply(about, came, Value::Null)),
        // A newer Refrain: what its status says.
        Err(_) if says_later(came) => not_yet(),
        Err(_) if came.status.is_server_error() => unknown(),
        Err(_) => wrong(said),
    }
}

/// 408, 425, 429, and 503 with `Retry-After`.
fn says_later(came: &Came) -> bool {
    match came.status {
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS => true,
        StatusCode::SERVICE_UNAVAILABLE => came.headers.contains_key(RETRY_AFTER),
        _ => false,
    }
}

/// The service answered, with this status, and the body was not kept. Only a success is "done": a refusal is one without its body too.
fn not_kept(about: About, came: &Came) -> Answer {
    let BodyRead::Whole(body) = &came.body else { return wrong("response-not-kept, in a way that cannot be read") };
    let document: Value = serde_json::from_slice(body).unwrap_or_default();
    let status = document.get("original_status").and_then(Value::as_u64).and_then(|status| u16::try_from(status).ok());
    match status.and_then(|status| StatusCode::from_u16(status).ok()) {
        Some(status) if status.is_success() => Answer::NotKept,
        Some(status) => {
            let headers = of_the_record(&came.headers);
            Answer::Replied(reply(about, &Came { status, headers, body: BodyRead::TooMuch }, Value::Null))
        }
        None => wrong("response-not-kept, without the status that there was"),
    }
}

/// What a problem's answer says of the record, without what it says of itself.
fn of_the_record(headers: &HeaderMap) -> HeaderMap {
    let kept = [IDEMPOTENCY_ATTEMPT, IDEMPOTENCY_EXPIRES, DATE];
    kept.into_iter().filter_map(|name| headers.get(&name).cloned().map(|value| (name, value))).collect()
}

fn wrong(said: &str) -> Answer {
    Answer::Wrong { reason: format!("a Refrain answered {}", shown(said)) }
}

fn reply(about: About, came: &Came, body: Value) -> Reply {
    let headers = &came.headers;
    let mut response = Map::with_capacity(3);
    response.insert("status".to_owned(), came.status.as_u16().into());
    let shown = if about.reads.headers { headers_value(headers) } else { Value::Object(Map::new()) };
    response.insert("headers".to_owned(), shown);
    response.insert("body".to_owned(), body);
    Reply {
        status: came.status.as_u16(),
        response: Value::Object(response),
        retry_after: retry_after(about.now, came),
        only_send: about.from_refrain && text(headers, &IDEMPOTENCY_ATTEMPT) == Some("1"),
        remembered_for: about.from_refrain.then(|| remembered_for(about.now, headers)).flatten(),
    }
}

/// How long the record is kept, by the clock that wrote it where the answer is dated.
fn remembered_for(now: Timestamp, headers: &HeaderMap) -> Option<Duration> {
    let expires = date(headers, &IDEMPOTENCY_EXPIRES)?;
    Some(date(headers, &DATE).unwrap_or(now).until(expires))
}

/// `Retry-After` (RFC 9110, section 10.2.3): seconds, or a date.
fn retry_after(now: Timestamp, came: &Came) -> Option<Duration> {
    let said = text(&came.headers, &RETRY_AFTER)?.trim();
    let seconds = || said.bytes().all(|c| c.is_ascii_digit()).then(|| said.parse().unwrap_or(u64::MAX)).map(Duration::from_secs);
    let after = match date(&came.headers, &RETRY_AFTER) {
        Some(at) => date(&came.headers, &DATE).unwrap_or(now).until(at),
        None if said.is_empty() => return None,
        None => seconds()?,
    };
    Some(after.min(LONGEST_RETRY_AFTER))
}

fn date(headers: &HeaderMap, name: &HeaderName) -> Option<Timestamp> {
    parse_http_date(text(headers, name)?)
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// A peer's word, short enough for a journal.
fn shown(said: &str) -> String {
    said.chars().take(64).collect()
}

#[cfg(test)]
mod tests;
