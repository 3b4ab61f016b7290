//! How sagas lie in the file.
//!
//! A saga's value is a version byte, postcard of [`Row`], and the last entries of its journal (see [`Row::tail`]). Earlier entries,
//! commands and definitions are rows of their own: their bytes and nothing else. Numbers in keys are big-endian, so that keys sort as
//! what they say.

use std::time::Duration;

use bytes::Bytes;
use postcard::{take_from_bytes, to_extend};

use super::super::codec::{CodecError, Life};
use crate::{
    ids::{Fence, SagaId},
    store::journal::{
        SagaState,
        rules::{Hold, Saga},
    },
    time::Timestamp,
};

/// The layout written now.
const VERSION: u8 = 2;
/// How many bytes of a journal lie with its saga at most. A page holds a few such sagas, and an append writes one row.
const MAX_TAIL: usize = 2048;

/// A saga as it lies in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// The life it was written in.
    pub(super) life: u64,
    /// Under which key the due index has it: not later than it is due.
    pub(super) due: Option<DueAt>,
    /// How many entries of its journal are in the tail: the last ones.
    pub(super) in_tail: u64,
    pub(super) saga: Saga,
    /// These entries, each after its length in four bytes, big-endian.
    tail: Vec<u8>,
}

/// What precedes the tail.
type Head<S> = (u64, Option<(u64, Timestamp)>, u64, S);

impl Row {
    /// A saga whose journal is `before`'s and `entries`. With it what is to be written as rows of the journal, beginning with the
    /// number of the first, where the tail has become too long.
    pub(super) fn after(
        before: Option<&Self>,
        life: u64,
        saga: Saga,
        entries: &[Bytes],
    ) -> Result<(Self, Option<Spill>), CodecError> {
        let mut row = Self { life, due: None, in_tail: 0, saga, tail: Vec::new() };
        let start = before.map_or(0, |before| before.saga.version);
        let added = entries.iter().fold(0, |sum, entry| entry.len().saturating_add(4).saturating_add(sum));
        if before.map_or(0, |before| before.tail.len()).saturating_add(added) > MAX_TAIL {
            let mut spill = before.map_or(Ok(Vec::new()), Self::tail)?;
            let first = start.saturating_sub(before.map_or(0, |before| before.in_tail));
            spill.extend_from_slice(entries);
            return Ok((row, Some(Spill { first, entries: spill })));
        }
        if let Some(before) = before {
            row.in_tail = before.in_tail;
            row.tail.clone_from(&before.tail);
        }
        for entry in entries {
            row.in_tail += 1;
            row.tail.extend_from_slice(&u32::try_from(entry.len()).unwrap_or(u32::MAX).to_be_bytes());
            row.tail.extend_from_slice(entry);
        }
        Ok((row, None))
    }

    /// The number of the first entry in the tail: how many lie elsewhere.
    pub(super) fn elsewhere(&self) -> u64 {
        self.saga.version.saturating_sub(self.in_tail)
    }

    /// The last entries of the journal.
    pub(super) fn tail(&self) -> Result<Vec<Bytes>, CodecError> {
        let (mut entries, mut rest) = (Vec::new(), self.tail.as_slice());
        while let Some((length, after)) = rest.split_first_chunk() {
            let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
            let (entry, after) = after.split_at_checked(length).ok_or(CodecError::Trailing(after.len()))?;
            entries.push(Bytes::copy_from_slice(entry));
            rest = after;
        }
        if rest.is_empty() { Ok(entries) } else { Err(CodecError::Trailing(rest.len())) }
    }

    pub(super) fn encode(&self) -> Result<Vec<u8>, CodecError> {
        let room = 512 + self.tail.len() + self.saga.answer.as_ref().map_or(0, |answer| answer.bytes.len());
        let mut value = Vec::with_capacity(room);
        value.push(VERSION);
        let due = self.due.map(|due| (due.life, due.at));
        let head: Head<&Saga> = (self.life, due, self.in_tail, &self.saga);
        let mut value = to_extend(&head, value).map_err(CodecError::Malformed)?;
        value.extend_from_slice(&self.tail);
        Ok(value)
    }

    pub(super) fn decode(value: &[u8]) -> Result<Self, CodecError> {
        let content = match value.split_first() {
            Some((&VERSION, content)) => content,
            Some((&other, _)) => return Err(CodecError::Version(other)),
            None => return Err(CodecError::Empty),
        };
        let (head, tail): (Head<Saga>, &[u8]) = take_from_bytes(content).map_err(CodecError::Malformed)?;
        let (life, due, in_tail, saga) = head;
        Ok(Self { life, due: due.map(|(life, at)| DueAt { life, at }), in_tail, saga, tail: tail.to_vec() })
    }
}

/// Entries for rows of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Spill {
    /// The number of the first.
    pub(super) first: u64,
    pub(super) entries: Vec<Bytes>,
}

/// Where the due index has a saga.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DueAt {
    /// The life of the driver, or [`DueKey::PARKED`].
    life: u64,
    at: Timestamp,
}

impl DueAt {
    /// Where it belongs. An entry that has it earlier stays for as long as half the lease is left before it: so most appends leave the
    /// index alone, and an entry's time comes before a renewal only where the driver has stopped.
    pub(super) fn of(saga: &Saga, life: u64, before: Option<Self>, now: Timestamp) -> Option<Self> {
        match saga.hold {
            Hold::Driven { until, lease_ms } => match before {
                Some(before)
                    if before.life == life
                        && before.at <= until
                        && now.until(before.at) >= Duration::from_millis(lease_ms / 2) =>
                {
                    Some(before)
                }
                _ => Some(Self { life, at: until }),
            },
            Hold::Parked { due_at } => Some(Self { life: DueKey::PARKED, at: due_at }),
            Hold::Resting | Hold::Ended { .. } => None,
        }
    }

    pub(super) fn key(self, id: SagaId) -> [u8; DueKey::LEN] {
        DueKey::to_bytes(self.life, self.at, id)
    }
}

impl Life {
    /// A saga of an earlier life, as it is now: its driver and its waiters are gone, because the file has one process. Timers stay.
    pub(super) fn adopt_saga(&self, written_in: u64, mut saga: Saga) -> Saga {
        if written_in != self.number {
            if let Hold::Driven { until, .. } = &mut saga.hold {
                *until = (*until).min(self.since);
            }
            saga.mailboxes.clear();
        }
        saga
    }
}

/// The key of an entry or a command: the saga's id, the fence of its creation, the number from 0. So a new saga under the id of one
/// that is being swept has a journal of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PartKey;

impl PartKey {
    pub(super) const LEN: usize = GarbageKey::LEN + 8;

    pub(super) fn to_bytes(id: SagaId, born: Fence, number: u64) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..GarbageKey::LEN].copy_from_slice(&GarbageKey::to_bytes(id, born));
        bytes[GarbageKey::LEN..].copy_from_slice(&number.to_be_bytes());
        bytes
    }
}

/// A journal whose saga is gone: the id, the fence of its creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct GarbageKey;

impl GarbageKey {
    pub(super) const LEN: usize = SagaId::LEN + 8;

    pub(super) fn to_bytes(id: SagaId, born: Fence) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..SagaId::LEN].copy_from_slice(id.as_bytes());
        bytes[SagaId::LEN..].copy_from_slice(&born.0.to_be_bytes());
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8; Self::LEN]) -> (SagaId, Fence) {
        let (id, born) = split::<{ SagaId::LEN }, 8>(bytes);
        (SagaId::from_bytes(id), Fence(u64::from_be_bytes(born)))
    }
}

/// A key of the index of the ended: the end of the retention, the id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ExpiryKey;

impl ExpiryKey {
    pub(super) const LEN: usize = 8 + SagaId::LEN;

    pub(super) fn to_bytes(at: Timestamp, id: SagaId) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..8].copy_from_slice(&at.as_unix_ms().to_be_bytes());
        bytes[8..].copy_from_slice(id.as_bytes());
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8; Self::LEN]) -> (Timestamp, SagaId) {
        let (at, id) = split::<8, { SagaId::LEN }>(bytes);
        (Timestamp::from_unix_ms(u64::from_be_bytes(at)), SagaId::from_bytes(id))
    }
}

/// A key of the due index: the life of the driver, or [`DueKey::PARKED`], the time, the id.
///
/// Leases of an earlier life have lapsed, whatever their time; they stand apart, so that none needs to be moved at open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DueKey;

impl DueKey {
    pub(super) const LEN: usize = 8 + ExpiryKey::LEN;
    /// In the place of the life: nobody drives it. No life has this number.
    pub(super) const PARKED: u64 = u64::MAX;

    pub(super) fn to_bytes(life: u64, at: Timestamp, id: SagaId) -> [u8; Self::LEN] {
        let mut bytes = Self::first_of(life);
        bytes[8..].copy_from_slice(&ExpiryKey::to_bytes(at, id));
        bytes
    }

    /// Before every key of this life, and after every one of those before it.
    pub(super) fn first_of(life: u64) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..8].copy_from_slice(&life.to_be_bytes());
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8; Self::LEN]) -> (Timestamp, SagaId) {
        let (_, rest) = split::<8, { ExpiryKey::LEN }>(bytes);
        ExpiryKey::from_bytes(&rest)
    }
}

/// A key of the lists: what it lists (all of a state, or those of a name), the time of the last change, the id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ListKey;

impl ListKey {
    /// What all keys of one list begin with.
    pub(super) fn prefix(name: Option<&str>, state: SagaState) -> Vec<u8> {
        let mut key = match name {
            None => vec![0],
            Some(name) => {
                let length = u32::try_from(name.len()).unwrap_or(u32::MAX);
                [&[1], length.to_be_bytes().as_slice(), name.as_bytes()].concat()
            }
        };
        key.push(state_number(state));
        key
    }

    pub(super) fn to_bytes(mut prefix: Vec<u8>, at: Timestamp, id: SagaId) -> Vec<u8> {
        prefix.extend(ExpiryKey::to_bytes(at, id));
        prefix
    }

    /// `None`: these are not the bytes of a key.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<(Timestamp, SagaId)> {
        bytes.last_chunk().map(ExpiryKey::from_bytes)
    }
}

/// The number of a state in keys.
pub(super) const fn state_number(state: SagaState) -> u8 {
    match state {
        SagaState::Running => 0,
        SagaState::Compensating => 1,
        SagaState::Completed => 2,
        SagaState::Compensated => 3,
        SagaState::Quarantined => 4,
    }
}

/// The keys under which the other indexes have a saga.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Indexed {
    pub(super) expiry: Option<[u8; ExpiryKey::LEN]>,
    pub(super) lists: [Vec<u8>; 2],
}

impl Indexed {
    pub(super) fn of(id: SagaId, saga: &Saga) -> Self {
        let list = |name| ListKey::to_bytes(ListKey::prefix(name, saga.state), saga.updated_at, id);
        let expiry = saga.hold.expires_at().map(|at| ExpiryKey::to_bytes(at, id));
        Self { expiry, lists: [list(None), list(Some(&saga.birth.name))] }
    }
}

/// The first `A` bytes and the last `B`.
fn split<const A: usize, const B: usize>(bytes: &[u8]) -> ([u8; A], [u8; B]) {
    let (mut first, mut last) = ([0; A], [0; B]);
    first.copy_from_slice(&bytes[..A]);
    last.copy_from_slice(&bytes[A..]);
    (first, last)
}

#[cfg(test)]
mod tests;
