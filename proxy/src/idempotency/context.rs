//! What all exchanges of one core share.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, response::Parts};

use super::{
    backlog::Backlog,
    barrier::Barrier,
    lease::Leases,
    response::{DecodeError, Recorded, record_into},
    seal::{self, Sealer},
};
use crate::{
    body::Budget,
    ids::{Fence, RecordName},
    metrics::Metrics,
    store::{Done, Store, Token, wakes::Wakes},
    time::{Timestamp, monotonic_now, wall_now},
};

/// How many unknown records a process remembers for its operators.
const MAX_UNKNOWNS: usize = 10_000;

/// What all exchanges of one core share.
#[derive(Debug)]
pub struct Context<S> {
    /// This core's handle.
    pub store: S,
    /// Who waits for what.
    pub wakes: Wakes,
    /// The claims held.
    pub leases: Leases,
    /// Writes owed.
    pub backlog: Backlog,
    /// Seals what is stored, if there is a key.
    pub sealer: Arc<Sealer>,
    /// Bytes of bodies that may be held.
    pub budget: Budget,
    /// Counters.
    pub metrics: Metrics,
    /// Records whose outcome is unknown.
    pub unknowns: Unknowns,
    /// What undos know of the routes of steps.
    pub barrier: Barrier,
}

/// Why a recorded response cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It is sealed, and does not open.
    #[error(transparent)]
    Seal(#[from] seal::OpenError),
    /// It is not a response as this version writes them.
    #[error(transparent)]
    Decode(#[from] DecodeError),
}

impl<S: Store> Context<S> {
    /// A recorded response.
    ///
    /// # Errors
    ///
    /// See [`OpenError`].
    pub fn open(&self, name: RecordName, done: &Done) -> Result<Recorded, OpenError> {
        let opened = self.sealer.open(&name, done.fence, &done.response)?;
        Ok(Recorded::decode(&opened)?)
    }

    /// What is stored of a response.
    pub fn seal(&self, name: RecordName, fence: Fence, recorded: &Recorded) -> Bytes {
        self.sealer.seal(&name, fence, |out| recorded.encode_into(out))
    }

    /// What is stored of an answer: see [`record_into`].
    pub fn seal_answer(
        &self,
        token: &Token,
        parts: &Parts,
        body: &[u8],
        trailers: Option<&HeaderMap>,
        drop: &[HeaderName],
    ) -> Bytes {
        // About 32 bytes for a line; what is longer costs a second allocation.
        let size = body.len() + 32 * (1 + parts.headers.len());
        let write = |out: &mut Vec<u8>| record_into(out, parts, body, trailers, drop);
        self.sealer.seal_sized(&token.name, token.fence, size, write)
    }

    /// What is stored of a step's note. The record's fence is not known yet; no response is written under fence 0.
    pub fn seal_note(&self, name: RecordName, note: &[u8]) -> Bytes {
        self.sealer.seal(&name, Fence(0), |out| out.extend_from_slice(note))
    }

    /// A step's note.
    ///
    /// # Errors
    ///
    /// See [`OpenError`].
    pub fn open_note(&self, name: RecordName, note: &Bytes) -> Result<Bytes, seal::OpenError> {
        self.sealer.open(&name, Fence(0), note)
    }

    /// Whether the store has come back from an outage within the last `lease`.
    pub fn is_just_back(&self, lease: Duration) -> bool {
        let recovered_at = self.store.recovered_at();
        recovered_at.is_some_and(|at| monotonic_now().saturating_duration_since(at) < lease)
    }
}

/// Records whose outcome is unknown, as far as this process has seen; bounded.
#[derive(Clone, Debug, Default)]
pub struct Unknowns(Arc<Open>);

#[derive(Debug, Default)]
struct Open {
    /// How many there are; so that nobody takes the lock to find none.
    count: AtomicUsize,
    all: Mutex<HashMap<RecordName, Timestamp>>,
}

impl Unknowns {
    /// This record's outcome is unknown.
    pub fn seen(&self, name: RecordName) {
        let mut open = self.lock();
        if open.len() < MAX_UNKNOWNS {
            open.entry(name).or_insert_with(wall_now);
        }
        self.0.count.store(open.len(), Ordering::Relaxed);
    }

    /// It is not any more.
    pub fn resolved(&self, name: RecordName) {
        if self.is_empty() {
            return;
        }
        let mut open = self.lock();
        open.remove(&name);
        self.0.count.store(open.len(), Ordering::Relaxed);
    }

    /// All of them, with when they were first seen; the oldest first.
    pub fn list(&self) -> Vec<(RecordName, Timestamp)> {
        let mut all: Vec<_> = self.lock().iter().map(|(name, since)| (*name, *since)).collect();
        all.sort_by_key(|(_, since)| *since);
        all
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.count.load(Ordering::Relaxed)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<RecordName, Timestamp>> {
        self.0.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
