//! What a step leaves with its record for an undo that has to ask what became of it: by then the step's request is gone.
//!
//! The probe's `when` is decided and its path is rendered when the step is claimed. Of the request only what `done` and `response`
//! name is kept, and never its credentials. A step whose note would be too large leaves none, and cannot be asked for by an undo.

use http::{HeaderMap, HeaderValue};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    barrier::ProbeId,
    policy::Probe,
    probe::{Question, expressions_of_answer},
};

/// The largest note, in bytes.
const MAX_BYTES: usize = 16 * 1024;
/// The version written and read.
const VERSION: u8 = 1;
/// Members of `request`.
const MEMBERS: [&str; 5] = ["method", "path", "query", "headers", "body"];
/// Headers that are never kept.
const CREDENTIALS: [&str; 3] = ["authorization", "cookie", "proxy-authorization"];

/// A note, as it is stored.
#[derive(Debug, Serialize, Deserialize)]
pub struct Note {
    version: u8,
    /// Which probe to ask.
    pub probe: ProbeId,
    target: String,
    request: Value,
}

/// Why a note cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum NoteError {
    /// It is not a note.
    #[error("the note is not one: {0}")]
    Malformed(#[from] serde_json::Error),
    /// A later version wrote it.
    #[error("the note has version {0}, and this program reads version {VERSION}")]
    Version(u8),
    /// What it says to ask for is no path.
    #[error("the note's path: {0}")]
    Target(#[from] http::uri::InvalidUri),
}

/// The note of a step that would be asked for so; `None`: it is too large.
///
/// `headers`: those of the request itself. What is marked as sensitive there is a secret, and is not kept.
pub fn write(probe: &Probe, question: &Question, headers: &HeaderMap) -> Option<Vec<u8>> {
    let note = Note {
        version: VERSION,
        probe: ProbeId::of(probe),
        target: question.target.to_string(),
        request: needed(probe, &question.request, headers),
    };
    let bytes = serde_json::to_vec(&note).ok()?;
    (bytes.len() <= MAX_BYTES).then_some(bytes)
}

/// Reads a note.
///
/// # Errors
///
/// See [`NoteError`].
pub fn read(bytes: &[u8]) -> Result<Note, NoteError> {
    let note: Note = serde_json::from_slice(bytes)?;
    if note.version == VERSION { Ok(note) } else { Err(NoteError::Version(note.version)) }
}

impl Note {
    /// What to ask, for the step with this key.
    ///
    /// # Errors
    ///
    /// The path is none.
    pub fn question(self, key: &str) -> Result<Question, NoteError> {
        Ok(Question { target: self.target.parse()?, request: self.request, key: Value::String(key.to_owned()) })
    }
}

/// The part of a request that the judgement of the answer needs.
fn needed(probe: &Probe, request: &Value, sent: &HeaderMap) -> Value {
    let Value::Object(request) = request else { return Value::Null };
    let is_needed = |member: &str| expressions_of_answer(probe).any(|expression| expression.touches(&["request", member]));
    let mut kept: serde_json::Map<String, Value> = MEMBERS
        .into_iter()
        .filter(|member| is_needed(member))
        .filter_map(|member| Some((member.to_owned(), request.get(member)?.clone())))
        .collect();
    if let Some(Value::Object(headers)) = kept.get_mut("headers") {
        let is_secret = |name: &str| sent.get_all(name).iter().any(HeaderValue::is_sensitive);
        headers.retain(|name, _| !CREDENTIALS.contains(&name.as_str()) && !is_secret(name));
    }
    Value::Object(kept)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use saga_config::{
        expr::{Expression, Names},
        template::CallTarget,
    };
    use serde_json::json;

    use super::*;

    fn probe(done: &str) -> Probe {
        let names = Names::new(&["key", "request", "response"]);
        Probe {
            when: None,
            call: CallTarget::parse("GET /orders/?reference=${key}", &names).unwrap(),
            after: Duration::from_secs(1),
            done: Expression::compile(done, &names).unwrap(),
            response: None,
            timeout: Duration::from_secs(1),
        }
    }

    fn question(body: &Value) -> Question {
        let headers = json!({"authorization": "Bearer secret", "x-tenant": "a"});
        let request = json!({"method": "POST", "path": "/orders/", "query": {}, "headers": headers, "body": body});
        Question { target: "/orders/?reference=k".parse().unwrap(), request, key: json!("k") }
    }

    #[test]
    fn a_note_keeps_of_the_request_what_the_answer_is_judged_by_and_no_credentials() {
        for (done, kept) in [
            ("size(response.body) > 0", json!({})),
            ("response.body.total == request.body.total", json!({"body": {"total": 7}})),
            ("response.body.tenant == request.headers['x-tenant']", json!({"headers": {"x-tenant": "a"}})),
        ] {
            let probe = probe(done);
            let note = read(&write(&probe, &question(&json!({"total": 7})), &HeaderMap::new()).unwrap()).unwrap();
            assert_eq!(note.probe, ProbeId::of(&probe));
            assert_eq!(note.request, kept, "{done}");
            let again = note.question("k").unwrap();
            assert_eq!((again.target.to_string().as_str(), again.key), ("/orders/?reference=k", json!("k")));
        }
    }

    #[test]
    fn a_note_keeps_no_header_that_was_marked_as_a_secret() {
        let mut tenant = HeaderValue::from_static("a");
        tenant.set_sensitive(true);
        let sent = HeaderMap::from_iter([(http::HeaderName::from_static("x-tenant"), tenant)]);
        let probe = probe("response.body.tenant == request.headers['x-tenant']");
        let note = read(&write(&probe, &question(&Value::Null), &sent).unwrap()).unwrap();
        assert_eq!(note.request, json!({"headers": {}}));
    }

    #[test]
    fn a_note_that_would_be_large_is_not_left_and_what_is_none_is_told() {
        let large = question(&json!("x".repeat(MAX_BYTES)));
        assert!(write(&probe("request.body == response.body"), &large, &HeaderMap::new()).is_none());
        assert!(write(&probe("size(response.body) > 0"), &large, &HeaderMap::new()).is_some(), "the body is not needed");
        assert!(matches!(read(b"{}"), Err(NoteError::Malformed(_))));
        let text = String::from_utf8(write(&probe("true"), &question(&Value::Null), &HeaderMap::new()).unwrap()).unwrap();
        let newer = text.replace("\"version\":1", "\"version\":2");
        assert!(matches!(read(newer.as_bytes()), Err(NoteError::Version(2))));
        let wrong = read(text.replace("/orders/?", "no path ").as_bytes()).unwrap();
        assert!(matches!(wrong.question("k"), Err(NoteError::Target(_))));
    }
}
