//! How records lie in the file.
//!
//! A value is a version byte, then postcard: of the *life* it was written in and the [`Record`], or of a [`Reservation`]. In version 2 a
//! record's note follows, to the value's end; what has no note is written as version 1. A life is
//! one opening of the file by one process. What an earlier life left in flight is unknown now, see [`Life::adopt`]; so opening the
//! file rewrites nothing, however many records are in flight. Decoding never panics. A new layout takes a new version byte, and
//! the old one stays readable.

use bytes::Bytes;
use postcard::{take_from_bytes, to_extend};
use serde::{Deserialize, Serialize};

use crate::{
    ids::{Fence, Fingerprint, Owner, RecordName},
    store::{
        reservation::Reservation,
        transition::{Record, State},
    },
    time::Timestamp,
};

/// The layout of all that has no note.
pub(super) const VERSION: u8 = 1;
/// The layout of an open record with a note.
const WITH_NOTE: u8 = 2;

/// The name of the encoded hash key, life and clock in the meta table.
pub(super) mod meta {
    /// The layout of the whole file: four bytes, big-endian.
    pub(in super::super) const LAYOUT: &str = "layout";
    /// The hash key of record names: 32 bytes.
    pub(in super::super) const HASH_KEY: &str = "hash-key";
    /// The number of the last life: eight bytes, big-endian.
    pub(in super::super) const LIFE: &str = "life";
    /// The store's clock, at most a few seconds old: milliseconds, eight bytes, big-endian.
    pub(in super::super) const CLOCK: &str = "clock";
    /// Since when nothing that was acknowledged is lost: milliseconds, eight bytes, big-endian.
    pub(in super::super) const REMEMBERS_SINCE: &str = "remembers-since";
}

/// One opening of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Life {
    /// Its number; grows by one with every opening.
    pub(super) number: u64,
    /// When it began, by the store's clock.
    pub(super) since: Timestamp,
}

impl Life {
    /// A record of an earlier life, as it is now: its owner, its prober and its waiters are gone, because the file has one process.
    pub(super) fn adopt(&self, written_in: u64, mut record: Record) -> Record {
        if written_in != self.number
            && let State::Open(open) = &mut record.state
        {
            open.lease_until = open.lease_until.min(self.since);
            open.sent_by = open.sent_by.min(self.since);
            open.probe = None;
            open.mailboxes.clear();
        }
        record
    }
}

/// Why stored bytes could not be read (or, never seen, written).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum CodecError {
    #[error("the value is empty")]
    Empty,
    #[error("the value has layout {0}, and this program reads layouts {VERSION} and {WITH_NOTE}")]
    Version(u8),
    #[error("the value is malformed: {0}")]
    Malformed(postcard::Error),
    #[error("the value has {0} bytes too many")]
    Trailing(usize),
}

/// A record's value, written in life `life`.
pub(super) fn encode_record(life: u64, record: &Record) -> Result<Vec<u8>, CodecError> {
    encode_record_after(&[], life, record)
}

fn encode_record_after(prefix: &[u8], life: u64, record: &Record) -> Result<Vec<u8>, CodecError> {
    let (note, room): (&[u8], _) = match &record.state {
        State::Done(response) => (&[], 128 + response.len()),
        State::Open(open) => (&open.note, 256 + open.note.len()),
        State::Sealed => (&[], 256),
    };
    let mut value = Vec::with_capacity(prefix.len() + room);
    value.extend_from_slice(prefix);
    value.push(if note.is_empty() { VERSION } else { WITH_NOTE });
    let mut value = to_extend(&(life, record), value).map_err(CodecError::Malformed)?;
    value.extend_from_slice(note);
    Ok(value)
}

/// The life a record was written in, and the record as it was written.
pub(super) fn decode_record(value: &[u8]) -> Result<(u64, Record), CodecError> {
    let ((life, mut record), rest): ((u64, Record), &[u8]) = take_from_bytes(of_record(value)?).map_err(CodecError::Malformed)?;
    match &mut record.state {
        State::Open(open) if value.first() == Some(&WITH_NOTE) => open.note = Bytes::copy_from_slice(rest),
        _ if rest.is_empty() => {}
        _ => return Err(CodecError::Trailing(rest.len())),
    }
    Ok((life, record))
}

/// When a record ends, read without its response.
pub(super) fn decode_record_expiry(value: &[u8]) -> Result<Timestamp, CodecError> {
    // The fields before the state, in the order of `Record`.
    type Head = (u64, Fingerprint, Owner, Fence, u32, Timestamp);
    let head: (Head, &[u8]) = take_from_bytes(of_record(value)?).map_err(CodecError::Malformed)?;
    Ok(head.0.5)
}

/// A reservation's value.
pub(super) fn encode_reservation(reservation: &Reservation) -> Result<Vec<u8>, CodecError> {
    encode(VERSION, reservation, 64)
}

/// A reservation.
pub(super) fn decode_reservation(value: &[u8]) -> Result<Reservation, CodecError> {
    decode(value)
}

fn encode<T: Serialize>(version: u8, content: &T, room: usize) -> Result<Vec<u8>, CodecError> {
    let mut value = Vec::with_capacity(room);
    value.push(version);
    to_extend(content, value).map_err(CodecError::Malformed)
}

fn decode<'a, T: Deserialize<'a>>(value: &'a [u8]) -> Result<T, CodecError> {
    let (content, rest) = take_from_bytes(versioned(value)?).map_err(CodecError::Malformed)?;
    if rest.is_empty() { Ok(content) } else { Err(CodecError::Trailing(rest.len())) }
}

/// A record's content, of either version.
fn of_record(value: &[u8]) -> Result<&[u8], CodecError> {
    match value.split_first() {
        Some((&WITH_NOTE, rest)) => Ok(rest),
        _ => versioned(value),
    }
}

fn versioned(value: &[u8]) -> Result<&[u8], CodecError> {
    match value.split_first() {
        Some((&VERSION, rest)) => Ok(rest),
        Some((&other, _)) => Err(CodecError::Version(other)),
        None => Err(CodecError::Empty),
    }
}

/// The key of a settled record: the bucket of the end of its retention, then what no other has: the life it was written in and its
/// number therein. So what expires together lies together, and what is written together as well: a batch adds to few pages, and the
/// sweeper empties whole ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KeptKey([u8; Self::LEN]);

impl KeptKey {
    /// The number of its bytes.
    pub(super) const LEN: usize = 8 + 8 + 8;

    pub(super) fn new(expires_at: Timestamp, life: u64, number: u64) -> Self {
        let mut bytes = Self::first_of(bucket(expires_at)).0;
        bytes[8..16].copy_from_slice(&life.to_be_bytes());
        bytes[16..].copy_from_slice(&number.to_be_bytes());
        Self(bytes)
    }

    /// Before every key of this bucket, and after every one of those before it.
    pub(super) fn first_of(bucket: u64) -> Self {
        let mut bytes = [0; Self::LEN];
        bytes[..8].copy_from_slice(&bucket.to_be_bytes());
        Self(bytes)
    }

    pub(super) const fn from_bytes(bytes: &[u8; Self::LEN]) -> Self {
        Self(*bytes)
    }

    pub(super) const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    /// Whether a record that ends then lies in this key's bucket.
    pub(super) fn is_of(&self, expires_at: Timestamp) -> bool {
        self.0.starts_with(&bucket(expires_at).to_be_bytes())
    }
}

/// A settled record's value: its name, then as every record's.
pub(super) fn encode_kept(life: u64, name: RecordName, record: &Record) -> Result<Vec<u8>, CodecError> {
    encode_record_after(name.as_bytes(), life, record)
}

/// The name in a settled record's value, and the rest of it.
pub(super) fn split_kept(value: &[u8]) -> Result<(RecordName, &[u8]), CodecError> {
    let (name, rest) = value.split_at_checked(RecordName::LEN).ok_or(CodecError::Empty)?;
    Ok((RecordName::from_slice(name).ok_or(CodecError::Empty)?, rest))
}

/// A key of the index of reservations: the bucket of the expiry time, the name. Its bytes sort by bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ExpiryKey;

impl ExpiryKey {
    /// The number of its bytes.
    pub(super) const LEN: usize = 8 + RecordName::LEN;

    pub(super) fn to_bytes(expires_at: Timestamp, name: RecordName) -> [u8; Self::LEN] {
        let mut bytes = Self::first_of(bucket(expires_at));
        bytes[8..].copy_from_slice(name.as_bytes());
        bytes
    }

    /// Before every key of this bucket, and after every one of those before it.
    pub(super) fn first_of(bucket: u64) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..8].copy_from_slice(&bucket.to_be_bytes());
        bytes
    }

    pub(super) fn name(bytes: &[u8; Self::LEN]) -> RecordName {
        let mut name = [0; RecordName::LEN];
        name.copy_from_slice(&bytes[8..]);
        RecordName::from_bytes(name)
    }
}

/// The bucket of a time: 16.4 s wide. What expires goes once its bucket is over.
pub(super) fn bucket(at: Timestamp) -> u64 {
    at.as_unix_ms() >> 14
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::fmt::Write;

    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::{
        ids::Mailbox,
        store::transition::{Open, ProbeLease},
    };

    fn record(state: State) -> Record {
        Record {
            fingerprint: Fingerprint::from_bytes([0x11; 32]),
            owner: Owner::from_bytes([0x22; 16]),
            fence: Fence(1_700_000_000_000_000),
            attempt: 3,
            expires_at: Timestamp::from_unix_ms(1_700_000_086_400),
            state,
        }
    }

    fn open() -> Open {
        Open {
            lease_until: Timestamp::from_unix_ms(1_700_000_003_000),
            lease_ms: 3000,
            sent_by: Timestamp::from_unix_ms(1_700_000_002_000),
            mailboxes: vec![Mailbox::from_bytes([0x33; 16])],
            probe: Some(ProbeLease { prober: Owner::from_bytes([0x44; 16]), until: Timestamp::from_unix_ms(1_700_000_009_000) }),
            note: Bytes::new(),
        }
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").unwrap();
            text
        })
    }

    /// These strings are what files in the field hold: a change here is a new [`VERSION`], and the old one must stay readable.
    #[test]
    fn the_layouts_of_versions_1_and_2_stay_as_they_are() {
        let head = format!("0107{}{}8080f9c0c1c482030380f39affbc31", "11".repeat(32), "22".repeat(16));
        let done = record(State::Done(Bytes::from_static(b"\x00\xffok")));
        assert_eq!(hex(&encode_record(7, &done).unwrap()), format!("{head}010400ff6f6b"));
        assert_eq!(hex(&encode_record(7, &record(State::Sealed)).unwrap()), format!("{head}02"));
        let (mailbox, prober) = ("33".repeat(16), "44".repeat(16));
        let flight = format!("{head}00b8e795ffbc31b817d0df95ffbc3101{mailbox}01{prober}a89696ffbc31");
        assert_eq!(hex(&encode_record(7, &record(State::Open(open()))).unwrap()), flight);
        let noted = record(State::Open(Open { note: Bytes::from_static(b"ask"), ..open() }));
        assert_eq!(hex(&encode_record(7, &noted).unwrap()), format!("02{}61736b", &flight[2..]));
        let holder = RecordName::from_bytes([0x55; 32]);
        let reservation = Reservation { holder, expires_at: Timestamp::from_unix_ms(1_700_000_086_400) };
        assert_eq!(hex(&encode_reservation(&reservation).unwrap()), format!("01{}80f39affbc31", "55".repeat(32)));
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        let noted = Open { note: Bytes::from_static(b"\x01ask"), ..open() };
        for state in [State::Open(open()), State::Open(noted), State::Done(Bytes::from(vec![0xAB; 1 << 20])), State::Sealed] {
            let record = record(state);
            let value = encode_record(u64::MAX, &record).unwrap();
            assert_eq!(decode_record_expiry(&value).unwrap(), record.expires_at);
            assert_eq!(decode_record(&value).unwrap(), (u64::MAX, record));
        }
    }

    #[test]
    fn what_an_earlier_life_left_in_flight_is_unknown() {
        let life = Life { number: 8, since: Timestamp::from_unix_ms(1_700_000_001_000) };
        let State::Open(adopted) = life.adopt(7, record(State::Open(open()))).state else { panic!("not open") };
        assert_eq!((adopted.left(life.since), adopted.probe, adopted.mailboxes.len()), (None, None, 0));
        assert_eq!(adopted.sent_by, life.since);
        assert_eq!(life.adopt(8, record(State::Open(open()))), record(State::Open(open())));
    }

    #[test]
    fn keys_sort_by_time_and_keep_their_content() {
        let name = RecordName::from_bytes([7; 32]);
        let [early, late] = [20, 40].map(|bits| Timestamp::from_unix_ms(1 << bits));
        assert!(ExpiryKey::to_bytes(early, name) < ExpiryKey::to_bytes(late, name));
        assert_eq!(ExpiryKey::name(&ExpiryKey::to_bytes(early, name)), name);
        let [first, last] = [KeptKey::new(early, 2, 1), KeptKey::new(late, 1, 0)];
        assert!(first.as_bytes() < last.as_bytes() && KeptKey::new(early, 1, 9).as_bytes() < first.as_bytes());
        assert!(KeptKey::first_of(bucket(late)).as_bytes() <= last.as_bytes());
        assert!(first.is_of(early) && !first.is_of(late));
        let value = encode_kept(3, name, &record(State::Sealed)).unwrap();
        let (found, rest) = split_kept(&value).unwrap();
        assert_eq!((found, decode_record(rest).unwrap()), (name, (3, record(State::Sealed))));
        assert_eq!(split_kept(&value[..31]).unwrap_err(), CodecError::Empty);
    }

    #[test]
    fn an_unknown_layout_is_named() {
        assert_eq!(decode_record(&[3, 0]).unwrap_err(), CodecError::Version(3));
        assert_eq!(decode_record(&[]).unwrap_err(), CodecError::Empty);
        let mut long = encode_record(1, &record(State::Sealed)).unwrap();
        long.push(0);
        assert_eq!(decode_record(&long).unwrap_err(), CodecError::Trailing(1));
        long[0] = WITH_NOTE;
        assert_eq!(decode_record(&long).unwrap_err(), CodecError::Trailing(1), "only an open record has a note");
    }

    proptest! {
        #[test]
        fn decoding_arbitrary_bytes_never_panics(mut value in proptest::collection::vec(any::<u8>(), 0..300), versioned in any::<bool>()) {
            if versioned && !value.is_empty() {
                value[0] = VERSION + value[0] % 2;
            }
            let _ = (decode_record(&value), decode_record_expiry(&value), decode_reservation(&value));
        }

        #[test]
        fn decoding_damaged_records_never_panics(at in 0_usize..200, bits in any::<u8>(), cut in 0_usize..200) {
            let mut value = encode_record(7, &record(State::Open(open()))).unwrap();
            let len = value.len();
            value[at % len] ^= bits;
            value.truncate(len.saturating_sub(cut % len));
            let _ = (decode_record(&value), decode_record_expiry(&value), decode_reservation(&value));
        }
    }
}
