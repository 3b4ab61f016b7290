//! Who callers are, in numbers.

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder},
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

/// The counters of authentication.
#[derive(Clone, Debug, Default)]
pub struct Authentication {
    requests: Family<ResultLabel, Counter>,
    fetches: Family<FetchLabel, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabel {
    result: AuthenticationResult,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FetchLabel {
    result: KeyFetch,
}

/// What a request's token was found to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AuthenticationResult {
    /// It counts.
    Verified,
    /// There is none where there must be one.
    Missing,
    /// It does not count.
    Invalid,
    /// It does not count any more.
    Revoked,
    /// It counts, and its claims are not what the route wants.
    Forbidden,
    /// Nobody can say.
    Unavailable,
}

/// What became of reading keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyFetch {
    /// They are here.
    Fetched,
    /// They could not be had.
    Failed,
}

label_values!(AuthenticationResult {
    Verified => "verified",
    Missing => "missing",
    Invalid => "invalid",
    Revoked => "revoked",
    Forbidden => "forbidden",
    Unavailable => "unavailable",
});
label_values!(KeyFetch {
    Fetched => "fetched",
    Failed => "failed",
});

impl Authentication {
    pub(super) fn register(&self, at: &mut Registry) {
        let requests = self.requests.clone();
        at.register("authentications", "Requests with a token, or that needed one, by what it was found to be", requests);
        at.register("key_fetches", "Readings of the keys that tokens are verified with", self.fetches.clone());
    }

    /// Counts a request.
    pub fn authenticated(&self, result: AuthenticationResult) {
        self.requests.get_or_create(&ResultLabel { result }).inc();
    }

    /// Counts a reading of keys.
    pub fn fetched(&self, result: KeyFetch) {
        self.fetches.get_or_create(&FetchLabel { result }).inc();
    }

    /// How many readings of keys ended so.
    pub fn fetches(&self, result: KeyFetch) -> u64 {
        self.fetches.get_or_create(&FetchLabel { result }).get()
    }
}
