//! How sagas lie in the file.
//!
//! A saga's value is a version byte, then postcard of the life it was written in and the [`Saga`]. Entries, commands and definitions
//! are their bytes and nothing else. Numbers in keys are big-endian, so that keys sort as what they say.

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
const VERSION: u8 = 1;

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

/// A saga's value, written in life `life`.
pub(super) fn encode(life: u64, saga: &Saga) -> Result<Vec<u8>, CodecError> {
    let room = 512 + saga.answer.as_ref().map_or(0, |answer| answer.bytes.len());
    let mut value = Vec::with_capacity(room);
    value.push(VERSION);
    to_extend(&(life, saga), value).map_err(CodecError::Malformed)
}

/// The life a saga was written in, and the saga as it was written.
pub(super) fn decode(value: &[u8]) -> Result<(u64, Saga), CodecError> {
    let content = match value.split_first() {
        Some((&VERSION, content)) => content,
        Some((&other, _)) => return Err(CodecError::Version(other)),
        None => return Err(CodecError::Empty),
    };
    let (saga, rest) = take_from_bytes(content).map_err(CodecError::Malformed)?;
    if rest.is_empty() { Ok(saga) } else { Err(CodecError::Trailing(rest.len())) }
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

/// The keys under which the indexes have a saga.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Indexed {
    pub(super) due: Option<[u8; DueKey::LEN]>,
    pub(super) expiry: Option<[u8; ExpiryKey::LEN]>,
    pub(super) lists: [Vec<u8>; 2],
}

impl Indexed {
    /// Of a saga as it was written in life `life`.
    pub(super) fn of(id: SagaId, life: u64, saga: &Saga) -> Self {
        let list = |name| ListKey::to_bytes(ListKey::prefix(name, saga.state), saga.updated_at, id);
        let due = match saga.hold {
            Hold::Driven { until, .. } => Some(DueKey::to_bytes(life, until, id)),
            Hold::Parked { due_at } => Some(DueKey::to_bytes(DueKey::PARKED, due_at, id)),
            Hold::Resting | Hold::Ended { .. } => None,
        };
        let expiry = saga.hold.expires_at().map(|at| ExpiryKey::to_bytes(at, id));
        Self { due, expiry, lists: [list(None), list(Some(&saga.birth.name))] }
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
