//! The names under which records are stored: keyed hashes that tell nothing of the key, the caller or the payload.
//!
//! Every part is preceded by its length, and every kind of name by a tag of its own. So no two different lists of parts are the same
//! bytes, whatever delimiters the parts contain.

use std::fmt;

use http::{HeaderMap, header::AUTHORIZATION};

use super::key::Key;
use crate::ids::{Fingerprint, HashKey, RecordName, SagaId};

/// Whose keys are apart from whose: the value for one request. `Debug` hides what tells one caller from another.
#[derive(Clone, PartialEq, Eq)]
pub enum ScopeValue {
    /// All callers share their keys.
    Global,
    /// The caller showed no credentials; all such callers share their keys.
    Anonymous,
    /// The hash of the `Authorization` header.
    Credentials([u8; 32]),
    /// The verified issuer and subject of a token.
    Subject {
        /// Who says so.
        issuer: String,
        /// Who it is.
        subject: String,
    },
    /// What the route's own expression gave.
    Text(String),
}

impl fmt::Debug for ScopeValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Global => "Global",
            Self::Anonymous => "Anonymous",
            Self::Credentials(_) => "Credentials(hidden)",
            Self::Subject { .. } => "Subject(hidden)",
            Self::Text(_) => "Text(hidden)",
        })
    }
}

/// The scope of a request by its `Authorization` header: the hash of all its lines.
pub fn authorization_scope(headers: &HeaderMap) -> ScopeValue {
    if !headers.contains_key(AUTHORIZATION) {
        return ScopeValue::Anonymous;
    }
    let mut parts = Parts::plain();
    for line in headers.get_all(AUTHORIZATION) {
        parts.add(line.as_bytes());
    }
    ScopeValue::Credentials(parts.finish())
}

/// The name of the record of a client's request. `upstream` is the upstream's configured name.
pub fn record_name(hash_key: &HashKey, scope: &ScopeValue, upstream: &str, key: &Key) -> RecordName {
    let mut parts = Parts::keyed(hash_key, b"refrain record v1");
    parts.add_scope(scope);
    parts.add(upstream.as_bytes());
    parts.add(key.as_str().as_bytes());
    RecordName::from_bytes(parts.finish())
}

/// The name under which a payload is reserved, so that it does not run again under another key.
pub fn payload_name(hash_key: &HashKey, scope: &ScopeValue, upstream: &str, payload: &Fingerprint) -> RecordName {
    let mut parts = Parts::keyed(hash_key, b"refrain payload v1");
    parts.add_scope(scope);
    parts.add(upstream.as_bytes());
    parts.add(payload.as_bytes());
    RecordName::from_bytes(parts.finish())
}

/// The name of the record of a trusted saga call. Saga calls have a scope of their own that no client's request can reach. All of
/// one saga are in one neighbourhood (see [`RecordName::neighbourhood`]), so that a step and its undo are decided on together.
pub fn step_name(hash_key: &HashKey, saga: &str, upstream: &str, step_key: &Key) -> RecordName {
    let mut parts = Parts::keyed(hash_key, b"refrain step v1");
    parts.add(upstream.as_bytes());
    parts.add(step_key.as_str().as_bytes());
    let mut name = parts.finish();
    let mut parts = Parts::keyed(hash_key, b"refrain neighbourhood v1");
    parts.add(saga.as_bytes());
    let (neighbourhood, _) = name.split_at_mut(RecordName::NEIGHBOURHOOD);
    neighbourhood.copy_from_slice(&parts.finish()[..RecordName::NEIGHBOURHOOD]);
    RecordName::from_bytes(name)
}

/// The id of the saga that a key starts.
pub fn saga_id(hash_key: &HashKey, scope: &ScopeValue, saga: &str, key: &Key) -> SagaId {
    let mut parts = Parts::keyed(hash_key, b"refrain saga v1");
    parts.add_scope(scope);
    parts.add(saga.as_bytes());
    parts.add(key.as_str().as_bytes());
    let hash = parts.finish();
    let (id, _) = hash.split_first_chunk().expect("a hash is longer than an id");
    SagaId::from_bytes(*id)
}

/// Who started a saga: what tells its starter's scope from others.
pub fn saga_starter(hash_key: &HashKey, scope: &ScopeValue) -> Fingerprint {
    let mut parts = Parts::keyed(hash_key, b"refrain saga starter v1");
    parts.add_scope(scope);
    Fingerprint::from_bytes(parts.finish())
}

/// How many bytes of parts are expected: a name's, or those of a request but for its body.
const EXPECTED: usize = 256;

/// A hash over parts, each preceded by its length. They are hashed together: to hash a few bytes costs as much as 64.
pub(super) struct Parts {
    key: Option<[u8; 32]>,
    gathered: Vec<u8>,
}

impl Parts {
    /// Begins a hash without a key.
    fn plain() -> Self {
        Self { key: None, gathered: Vec::with_capacity(EXPECTED) }
    }

    /// Begins a keyed hash of one kind.
    pub(super) fn keyed(hash_key: &HashKey, kind: &[u8]) -> Self {
        let mut parts = Self { key: Some(*hash_key.as_bytes()), ..Self::plain() };
        parts.add(kind);
        parts
    }

    /// Adds a part.
    pub(super) fn add(&mut self, part: &[u8]) {
        self.add_count(part.len());
        self.gathered.extend_from_slice(part);
    }

    /// Adds a number of things that follow.
    pub(super) fn add_count(&mut self, count: usize) {
        // `usize` is at most 64 bits wide on every target there is.
        self.gathered.extend_from_slice(&(count as u64).to_le_bytes());
    }

    fn add_scope(&mut self, scope: &ScopeValue) {
        match scope {
            ScopeValue::Global => self.add(b"global"),
            ScopeValue::Anonymous => self.add(b"anonymous"),
            ScopeValue::Credentials(hash) => {
                self.add(b"credentials");
                self.add(hash);
            }
            ScopeValue::Subject { issuer, subject } => {
                self.add(b"subject");
                self.add(issuer.as_bytes());
                self.add(subject.as_bytes());
            }
            ScopeValue::Text(text) => {
                self.add(b"text");
                self.add(text.as_bytes());
            }
        }
    }

    /// The hash.
    pub(super) fn finish(self) -> [u8; 32] {
        let hash = match &self.key {
            Some(key) => blake3::keyed_hash(key, &self.gathered),
            None => blake3::hash(&self.gathered),
        };
        *hash.as_bytes()
    }

    /// The hash with one more part, which may be large and is not copied.
    pub(super) fn finish_with(mut self, last: &[u8]) -> [u8; 32] {
        self.add_count(last.len());
        let mut hasher = self.key.as_ref().map_or_else(blake3::Hasher::new, blake3::Hasher::new_keyed);
        *hasher.update(&self.gathered).update(last).finalize().as_bytes()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::HashSet;

    use http::HeaderValue;

    use super::*;
    use crate::idempotency::key::KeyForm;

    const HASH_KEY: HashKey = HashKey::from_bytes([7; 32]);

    fn key(text: &str) -> Key {
        Key::from_text(text, &KeyForm::default()).unwrap()
    }

    fn text(scope: &str) -> ScopeValue {
        ScopeValue::Text(scope.into())
    }

    #[test]
    fn delimiters_inside_a_part_do_not_make_two_names_one() {
        let names = [
            record_name(&HASH_KEY, &text("a:b"), "u", &key("c")),
            record_name(&HASH_KEY, &text("a"), "b:u", &key("c")),
            record_name(&HASH_KEY, &text("a"), "u", &key("b:c")),
            record_name(&HASH_KEY, &text("a"), "ub", &key(":c")),
            record_name(&HASH_KEY, &text("a:b:u"), "", &key("c")),
            record_name(&HASH_KEY, &ScopeValue::Subject { issuer: "a".into(), subject: "b".into() }, "u", &key("c")),
            record_name(&HASH_KEY, &ScopeValue::Subject { issuer: "ab".into(), subject: String::new() }, "u", &key("c")),
        ];
        assert_eq!(names.iter().collect::<HashSet<_>>().len(), names.len());
    }

    #[test]
    fn the_kinds_of_names_and_scopes_never_meet() {
        let names = [
            record_name(&HASH_KEY, &ScopeValue::Global, "u", &key("k")),
            record_name(&HASH_KEY, &ScopeValue::Anonymous, "u", &key("k")),
            record_name(&HASH_KEY, &text("global"), "u", &key("k")),
            record_name(&HASH_KEY, &text("saga"), "u", &key("k")),
            step_name(&HASH_KEY, "s", "u", &key("k")),
            step_name(&HASH_KEY, "t", "u", &key("k")),
            step_name(&HASH_KEY, "s", "v", &key("k")),
            payload_name(&HASH_KEY, &ScopeValue::Global, "u", &Fingerprint::from_bytes([b'k'; 32])),
            record_name(&HASH_KEY, &ScopeValue::Global, "u", &key(&"k".repeat(32))),
            record_name(&HashKey::from_bytes([8; 32]), &ScopeValue::Global, "u", &key("k")),
        ];
        assert_eq!(names.iter().collect::<HashSet<_>>().len(), names.len());
    }

    #[test]
    fn two_callers_with_the_same_key_have_two_records() {
        let scope = |credentials: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, HeaderValue::from_static(credentials));
            authorization_scope(&headers)
        };
        let name = |scope: &ScopeValue| record_name(&HASH_KEY, scope, "u", &key("k"));
        assert_ne!(name(&scope("Bearer a")), name(&scope("Bearer b")));
        assert_eq!(name(&scope("Bearer a")), name(&scope("Bearer a")));
        assert_ne!(name(&scope("")), name(&authorization_scope(&HeaderMap::new())));
        assert_eq!(authorization_scope(&HeaderMap::new()), ScopeValue::Anonymous);
    }

    #[test]
    fn the_steps_of_a_saga_are_neighbours_and_those_of_another_are_not() {
        let near = |saga, text| step_name(&HASH_KEY, saga, "u", &key(text)).neighbourhood().to_vec();
        assert_eq!(near("s", "step"), near("s", "undo"));
        assert_ne!(near("s", "step"), near("t", "step"));
    }

    #[test]
    fn a_last_part_counts_as_any_other() {
        for length in [0, 1, 1000, 5000] {
            let (last, mut all) = (vec![b'x'; length], Parts::keyed(&HASH_KEY, b"k"));
            all.add(&last);
            assert_eq!(Parts::keyed(&HASH_KEY, b"k").finish_with(&last), all.finish());
        }
    }

    /// A record written by an earlier version must be found by this one.
    #[test]
    fn names_are_the_same_in_every_version() {
        let names = [
            record_name(&HASH_KEY, &text("s"), "orders", &key("k")),
            record_name(&HASH_KEY, &ScopeValue::Global, "orders", &key("k")),
            step_name(&HASH_KEY, "s", "orders", &key("k")),
            payload_name(&HASH_KEY, &ScopeValue::Global, "orders", &Fingerprint::from_bytes([1; 32])),
        ];
        assert_eq!(
            names.map(|name| name.to_string()),
            [
                "be321838ab70bb99eb60f46aa7d787a61e8ec5f272fa3f49196860c1691b7aee",
                "a2ac15da6a3e11ca65269ee82a3f29211048b2148b9fc373534f54c906fbfb8f",
                "cddc6986e3f725401b8da2375c6fa3a1cbac6e41ead30083bc55bb3cdd92a259",
                "195615f82875fcf335d9903c4d60bd6f001b73e92d4f8a0d6be5fec9c95954e2",
            ]
        );
    }

    #[test]
    fn a_scope_is_never_shown_by_accident() {
        assert!(!format!("{:?}", text("alice")).contains("alice"));
    }
}
