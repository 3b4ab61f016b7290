//! What an answer says of itself: how it came to be, and in whose customs.

use http::{HeaderMap, HeaderName, HeaderValue, header::CACHE_CONTROL};

use crate::headers::{IDEMPOTENCY_REPLAYED, IDEMPOTENCY_STATUS};

const STRIPE_REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
const IDEMPOT_JS_REPLAYED: HeaderName = HeaderName::from_static("x-idempotent-replayed");

/// Whose customs the answers follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Dialect {
    /// draft-ietf-httpapi-idempotency-key-header-07, with our markers.
    #[default]
    Ietf,
    /// As Stripe's API answers.
    Stripe,
    /// As the idempot-js middleware answers.
    IdempotJs,
}

impl Dialect {
    /// The header that marks a replay beside our own, with the value `true`.
    pub const fn replay_marker(self) -> Option<HeaderName> {
        match self {
            Self::Ietf => None,
            Self::Stripe => Some(STRIPE_REPLAYED),
            Self::IdempotJs => Some(IDEMPOT_JS_REPLAYED),
        }
    }
}

/// How an answer of a protected route came to be: the value of `Idempotency-Status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// The upstream acted on this request.
    Executed,
    /// The answer was recorded before this request came.
    Replayed,
    /// The request was a duplicate of a running one, and this is the running one's answer.
    Joined,
    /// The request has a key, but its method takes none.
    Ignored,
    /// The request went through without protection.
    Unprotected,
    /// The work goes on; this is not its answer.
    Pending,
    /// Nobody knows whether the upstream acted.
    OutcomeUnknown,
    /// The request undoes what never ran and never will: it was not sent.
    NothingToUndo,
}

impl Status {
    /// Every one of them, in order.
    pub const ALL: [Self; 8] = [
        Self::Executed,
        Self::Replayed,
        Self::Joined,
        Self::Ignored,
        Self::Unprotected,
        Self::Pending,
        Self::OutcomeUnknown,
        Self::NothingToUndo,
    ];

    /// As in the header.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Executed => "executed",
            Self::Replayed => "replayed",
            Self::Joined => "joined",
            Self::Ignored => "ignored",
            Self::Unprotected => "unprotected",
            Self::Pending => "pending",
            Self::OutcomeUnknown => "outcome-unknown",
            Self::NothingToUndo => "nothing-to-undo",
        }
    }

    /// What a header says, if it is one of these.
    pub fn said_by(headers: &HeaderMap) -> Option<Self> {
        let said = headers.get(IDEMPOTENCY_STATUS)?;
        Self::ALL.into_iter().find(|status| said == status.as_str())
    }

    /// Whether a header says this.
    pub fn is_said_by(self, headers: &HeaderMap) -> bool {
        headers.get(IDEMPOTENCY_STATUS).is_some_and(|value| value == self.as_str())
    }
}

/// Says how an answer came to be.
pub fn mark(headers: &mut HeaderMap, status: Status) {
    headers.insert(IDEMPOTENCY_STATUS, HeaderValue::from_static(status.as_str()));
}

/// Says that an answer is a recorded one, in the dialect's words too, and that nobody on the way may keep it.
/// `status`: [`Status::Replayed`] or [`Status::Joined`].
pub fn mark_replay(headers: &mut HeaderMap, dialect: Dialect, status: Status) {
    const TRUE: HeaderValue = HeaderValue::from_static("true");
    mark(headers, status);
    headers.insert(IDEMPOTENCY_REPLAYED, TRUE);
    if let Some(marker) = dialect.replay_marker() {
        headers.insert(marker, TRUE);
    }
    // Added, not set: what the service said stands beside it, and the strictest directive wins.
    headers.append(CACHE_CONTROL, HeaderValue::from_static("no-store"));
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_replay_is_marked_in_the_words_of_its_dialect() {
        for (dialect, marker) in [
            (Dialect::Ietf, None),
            (Dialect::Stripe, Some("idempotent-replayed")),
            (Dialect::IdempotJs, Some("x-idempotent-replayed")),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("private"));
            mark_replay(&mut headers, dialect, Status::Replayed);
            assert_eq!(headers.get("idempotency-status").unwrap(), "replayed");
            assert_eq!(headers.get("idempotency-replayed").unwrap(), "true");
            assert_eq!(headers.get_all(CACHE_CONTROL).iter().collect::<Vec<_>>(), ["private", "no-store"]);
            for name in ["idempotent-replayed", "x-idempotent-replayed"] {
                assert_eq!(headers.contains_key(name), marker == Some(name));
            }
        }
    }

    #[test]
    fn a_status_is_read_as_it_is_written() {
        let mut headers = HeaderMap::new();
        mark(&mut headers, Status::Pending);
        mark(&mut headers, Status::OutcomeUnknown);
        assert!(Status::OutcomeUnknown.is_said_by(&headers) && !Status::Pending.is_said_by(&headers));
    }
}
