//! What a saga keeps in the store, as bytes: JSON, sealed where the store encrypts.
//!
//! A sealed text is bound to the saga and to its place: an entry to its number in the journal, an answer to the number of entries
//! that the journal had when it was given. So nothing can be moved to another saga or to another place, whichever driver wrote it
//! under whichever fence.

use std::sync::Arc;

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode,
    header::{CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING},
};
use saga_config::names::StepPath;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    entry::{Act, Entry},
    turn::FinalAnswer,
};
use crate::{
    idempotency::{
        response::{self, Answer, Recorded},
        seal::{self, Sealer},
    },
    ids::{Fence, SagaId},
    store::journal::MAX_ENTRY_BYTES,
};

/// Apart from the places of entries: the places of answers.
const ANSWERS: u64 = 1 << 63;
/// The place of commands: they have no number before they are journalled.
const COMMANDS: Fence = Fence(u64::MAX);

/// Of most entries.
const USUAL_BYTES: usize = 255;

/// Writes and reads what sagas keep.
#[derive(Clone, Debug)]
pub struct Codec {
    sealer: Arc<Sealer>,
}

/// What waits in the store for a saga's driver.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Command {
    /// Somebody called back.
    CalledBack {
        /// The step that waits for it.
        called_back: StepPath,
        /// What was sent.
        body: Value,
        /// Tells its own repeat.
        nonce: String,
    },
    /// An operator spoke.
    Operator {
        /// What is to happen.
        #[serde(flatten)]
        act: Act,
        /// Why, in the operator's words.
        reason: String,
        /// Tells its own repeat.
        nonce: String,
    },
}

/// More than the store takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{bytes} bytes, and at most {MAX_ENTRY_BYTES} can be kept")]
pub struct TooLarge {
    /// How many there are.
    pub bytes: usize,
}

/// Why something that a saga keeps cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It is sealed, and does not open.
    #[error(transparent)]
    Sealed(#[from] seal::OpenError),
    /// It is not what this version writes.
    #[error("it is not in a form that this version knows: {0}")]
    Form(String),
}

impl Unreadable {
    /// Whether it may be read by another process, or by this one with another configuration: nothing is wrong with the saga.
    pub const fn may_pass(&self) -> bool {
        matches!(self, Self::Sealed(seal::OpenError::NoSuchKey { .. }))
    }
}

impl Codec {
    /// Seals with `sealer`.
    pub const fn new(sealer: Arc<Sealer>) -> Self {
        Self { sealer }
    }

    /// An entry, as number `place` of its journal, from 0.
    ///
    /// # Errors
    ///
    /// It is too large.
    pub fn entry(&self, id: SagaId, place: u64, entry: &Entry) -> Result<Bytes, TooLarge> {
        self.json(id, Fence(place), entry)
    }

    /// Reads what [`Codec::entry`] wrote.
    ///
    /// # Errors
    ///
    /// See [`Unreadable`].
    pub fn read_entry(&self, id: SagaId, place: u64, stored: &Bytes) -> Result<Entry, Unreadable> {
        self.read_json(id, Fence(place), stored)
    }

    /// Reads a journal from its beginning.
    ///
    /// # Errors
    ///
    /// As [`Codec::read_entry`], with the number of the entry.
    pub fn read_journal(&self, id: SagaId, stored: &[Bytes]) -> Result<Vec<Entry>, (u64, Unreadable)> {
        let read = |(place, bytes)| self.read_entry(id, place, bytes).map_err(|error| (place, error));
        (0..).zip(stored).map(read).collect()
    }

    /// A command.
    ///
    /// # Errors
    ///
    /// It is too large.
    pub fn command(&self, id: SagaId, command: &Command) -> Result<Bytes, TooLarge> {
        self.json(id, COMMANDS, command)
    }

    /// Reads what [`Codec::command`] wrote.
    ///
    /// # Errors
    ///
    /// See [`Unreadable`].
    pub fn read_command(&self, id: SagaId, stored: &Bytes) -> Result<Command, Unreadable> {
        self.read_json(id, COMMANDS, stored)
    }

    /// An answer, given when the journal has `version` entries.
    ///
    /// # Errors
    ///
    /// It is too large.
    pub fn answer(&self, id: SagaId, version: u64, answer: &FinalAnswer) -> Result<Bytes, TooLarge> {
        let recorded = recorded(answer);
        bounded(self.sealer.seal(&id.as_record(), Fence(ANSWERS | version), |out| recorded.encode_into(out)))
    }

    /// Reads what [`Codec::answer`] wrote.
    ///
    /// # Errors
    ///
    /// See [`Unreadable`].
    pub fn read_answer(&self, id: SagaId, version: u64, stored: &Bytes) -> Result<Answer, Unreadable> {
        let opened = self.sealer.open(&id.as_record(), Fence(ANSWERS | version), stored)?;
        match Recorded::decode(&opened).map_err(|error| Unreadable::Form(error.to_string()))? {
            Recorded::Answer(answer) => Ok(answer),
            Recorded::Tombstone(_) => Err(Unreadable::Form("a saga's answer is always kept whole".to_owned())),
        }
    }

    fn json<T: Serialize>(&self, id: SagaId, place: Fence, value: &T) -> Result<Bytes, TooLarge> {
        bounded(self.sealer.seal(&id.as_record(), place, |out| {
            out.reserve(USUAL_BYTES);
            serde_json::to_writer(out, value).expect("names, texts and JSON values always have a JSON form, and a Vec takes all");
        }))
    }

    fn read_json<T: for<'de> Deserialize<'de>>(&self, id: SagaId, place: Fence, stored: &Bytes) -> Result<T, Unreadable> {
        let opened = self.sealer.open(&id.as_record(), place, stored)?;
        // The text names the place and what was expected, never a value's content beyond an unknown word of the form.
        serde_json::from_slice(&opened).map_err(|error| Unreadable::Form(error.to_string()))
    }
}

/// The caller's answer, as it is recorded and given. A header that HTTP does not take is left out.
pub fn recorded(answer: &FinalAnswer) -> Recorded {
    let mut headers = HeaderMap::new();
    for (name, value) in &answer.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value))
            && name != CONTENT_LENGTH
            && name != TRANSFER_ENCODING
        {
            headers.append(name, value);
        }
    }
    let kind = if answer.is_problem { "application/problem+json" } else { "application/json" };
    if answer.body.is_some() && !headers.contains_key(CONTENT_TYPE) {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    }
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let (mut parts, ()) = http::Response::new(()).into_parts();
    (parts.status, parts.headers) = (status, headers);
    let body = answer.body.clone().map(Bytes::from).unwrap_or_default();
    response::record(&parts, body, None, &[])
}

fn bounded(bytes: Bytes) -> Result<Bytes, TooLarge> {
    if bytes.len() <= MAX_ENTRY_BYTES { Ok(bytes) } else { Err(TooLarge { bytes: bytes.len() }) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::{idempotency::seal::EncryptionKey, saga::entry::What, time::Timestamp};

    fn codec() -> Codec {
        Codec::new(Arc::new(Sealer::new(&[EncryptionKey::new("a", [7; 32]).unwrap()]).unwrap()))
    }

    fn entry(reason: &str) -> Entry {
        Entry { at: Timestamp::from_unix_ms(5), what: What::Quarantined { reason: reason.to_owned() } }
    }

    #[test]
    fn an_entry_opens_in_its_own_place_of_its_own_journal_only() {
        let (codec, id) = (codec(), SagaId::random());
        let stored = codec.entry(id, 3, &entry("stuck")).unwrap();
        assert!(!stored.windows(5).any(|part| part == b"stuck"));
        assert_eq!(codec.read_entry(id, 3, &stored), Ok(entry("stuck")));
        for (id, place) in [(id, 4), (SagaId::random(), 3)] {
            assert!(matches!(codec.read_entry(id, place, &stored), Err(Unreadable::Sealed(_))));
        }
        let other = Codec::new(Arc::new(Sealer::new(&[EncryptionKey::new("b", [7; 32]).unwrap()]).unwrap()));
        assert!(other.read_entry(id, 3, &stored).unwrap_err().may_pass(), "another process may have the key");
    }

    #[test]
    fn an_answer_is_bound_to_the_length_of_its_journal() {
        let (codec, id) = (codec(), SagaId::random());
        let headers = vec![("x-a".to_owned(), "1".to_owned()), ("bad name".to_owned(), "1".to_owned())];
        let answer = FinalAnswer { status: 201, headers, body: Some("{}".to_owned()), is_problem: false };
        let stored = codec.answer(id, 4, &answer).unwrap();
        let read = codec.read_answer(id, 4, &stored).unwrap();
        assert_eq!((read.status.as_u16(), &read.body[..], read.headers.len()), (201, &b"{}"[..], 2));
        assert_eq!(read.headers["content-type"], "application/json");
        assert!(codec.read_answer(id, 5, &stored).is_err());
        assert!(codec.read_entry(id, 4, &stored).is_err());
    }

    #[test]
    fn commands_of_operators_and_callbacks_are_told_apart_and_those_that_waited_before_an_upgrade_are_read() {
        let (codec, id) = (codec(), SagaId::random());
        let nonce = || "n".to_owned();
        let body = serde_json::json!({"act": "pause", "reason": "mine"});
        for command in [
            Command::CalledBack { called_back: "confirm.3".parse().unwrap(), body, nonce: nonce() },
            Command::Operator { act: Act::Pause, reason: "why".to_owned(), nonce: nonce() },
            Command::Operator { act: Act::Skip { step: "pay".parse().unwrap() }, reason: "why".to_owned(), nonce: nonce() },
        ] {
            let stored = codec.command(id, &command).unwrap();
            assert_eq!(codec.read_command(id, &stored), Ok(command));
        }
        let plain = Codec::new(Arc::new(Sealer::new(&[]).unwrap()));
        let before = r#"{"act":"retry","step":"pay","run_again":true,"reason":"why","nonce":"n"}"#;
        let before = plain.sealer.seal(&id.as_record(), COMMANDS, |out| out.extend_from_slice(before.as_bytes()));
        let act = Act::Retry { step: Some("pay".parse().unwrap()), run_again: true };
        assert_eq!(plain.read_command(id, &before), Ok(Command::Operator { act, reason: "why".to_owned(), nonce: nonce() }));
    }

    #[test]
    fn what_is_too_large_is_said_so_and_what_is_no_entry_is_an_error() {
        let plain = Codec::new(Arc::new(Sealer::new(&[]).unwrap()));
        let id = SagaId::random();
        assert!(plain.entry(id, 0, &entry(&"x".repeat(MAX_ENTRY_BYTES))).is_err());
        assert!(matches!(plain.read_entry(id, 0, &Bytes::from_static(b"\0{}")), Err(Unreadable::Form(_))));
        assert!(!plain.read_entry(id, 0, &Bytes::new()).unwrap_err().may_pass());
    }
}
