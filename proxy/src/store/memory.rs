//! The store in memory: the reference of the protocol, and good for runs that may forget.
//!
//! Nothing survives the process. Memory is bounded by [`Limits`]: a claim, a reservation or a saga that would need a new entry
//! beyond them is refused, while every write by the owner of a claim or a saga is taken, so the bound can be passed by what is open.
//! Expired entries are dropped in small bites, a few at each write, within a second of their end.

use std::{
    collections::{HashMap, hash_map::Entry},
    hash::BuildHasherDefault,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use self::expiry::{Ending, Expiry, Kind};
use super::{
    Claim, Claimed, Complete, Completed, Health, Held, Inspection, Renewal, Reserved, Resolution, Resolved, Settle, Settled,
    Store, StoreError, Token, Undo, Undone,
    clock::StoreClock,
    reservation::{self, Reservation},
    transition::{self, Record, State, Step, Write},
    wakes::Wakes,
};
use crate::{
    ids::{Fence, HashKey, NameHasher, Owner, RecordName},
    time::Timestamp,
};

mod expiry;
mod sagas;
#[cfg(test)]
mod tests;

/// How many independent locks there are. Names are keyed hashes, so their first byte spreads them evenly.
const SHARDS: usize = 16;
/// How many expired entries a write drops at most.
const BITE: usize = 8;
/// How many expired entries a refused write drops at most, before it is refused.
const LARGE_BITE: usize = 256;
/// What an entry costs besides its response: the record, its place in the map and in the expiry index, in bytes.
const ENTRY_BYTES: u64 = 320;

/// How much a [`MemoryStore`] keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Records, reservations, sagas and definitions together.
    pub entries: usize,
    /// Bytes of all entries: what is stored and 320 bytes for each entry (and 32 for each entry of a journal).
    pub bytes: u64,
}

impl Default for Limits {
    /// A million entries and 1 GiB.
    fn default() -> Self {
        Self { entries: 1_000_000, bytes: 1 << 30 }
    }
}

/// A store in the memory of this process. Clones share it.
#[derive(Clone, Debug)]
pub struct MemoryStore {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    shards: [Mutex<Shard>; SHARDS],
    sagas: Mutex<sagas::Sagas>,
    limits: Limits,
    usage: Usage,
    clock: StoreClock,
    /// All that was before is forgotten.
    began: Timestamp,
    wakes: Wakes,
    hash_key: HashKey,
    round_trips: AtomicU64,
    closed: AtomicBool,
}

#[derive(Debug, Default)]
struct Usage {
    entries: AtomicUsize,
    bytes: AtomicU64,
}

type Names<T> = HashMap<RecordName, Kept<T>, BuildHasherDefault<NameHasher>>;

#[derive(Debug, Default)]
struct Shard {
    records: Names<Box<Record>>,
    reservations: Names<Reservation>,
    expiry: Expiry,
}

/// What is kept, and its slot in the index of what ends when.
#[derive(Debug)]
struct Kept<T> {
    it: T,
    slot: usize,
}

impl MemoryStore {
    /// An empty store with the default limits and the real clock.
    pub fn new(wakes: Wakes) -> Self {
        Self::with(wakes, StoreClock::real(), Limits::default())
    }

    /// An empty store with this clock and these limits.
    pub fn with(wakes: Wakes, clock: StoreClock, limits: Limits) -> Self {
        let inner = Inner {
            shards: Default::default(),
            sagas: Mutex::default(),
            limits,
            usage: Usage::default(),
            began: clock.now(),
            clock,
            wakes,
            hash_key: HashKey::random(),
            round_trips: AtomicU64::new(0),
            closed: AtomicBool::new(false),
        };
        Self { inner: Arc::new(inner) }
    }

    /// The entries kept now, expired ones that were not dropped yet included.
    pub fn entries(&self) -> usize {
        self.inner.usage.entries.load(Ordering::Relaxed)
    }

    /// The bytes of these entries, as [`Limits::bytes`] counts them.
    pub fn bytes(&self) -> u64 {
        self.inner.usage.bytes.load(Ordering::Relaxed)
    }

    fn begin(&self) -> Result<Timestamp, StoreError> {
        if self.inner.closed.load(Ordering::Acquire) {
            return Err(StoreError::NotReached("it is closed".to_owned()));
        }
        self.inner.round_trips.fetch_add(1, Ordering::Relaxed);
        Ok(self.inner.clock.now())
    }

    fn shard(&self, name: RecordName) -> MutexGuard<'_, Shard> {
        let index = usize::from(name.as_bytes()[0]) % SHARDS;
        self.inner.shards[index].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One transition under the shard's lock, then the wake-ups.
    fn step<T>(&self, name: RecordName, now: Timestamp, rule: impl FnOnce(Option<&Record>) -> Step<T>) -> T {
        let Step { outcome, wake, .. } = {
            let mut shard = self.shard(name);
            shard.drop_expired(now, BITE, &self.inner.usage);
            let mut step = rule(shard.live(name, now));
            shard.apply(name, std::mem::replace(&mut step.write, Write::Nothing), &self.inner.usage);
            step
        };
        if !wake.is_empty() {
            self.inner.wakes.wake(name);
        }
        outcome
    }

    fn room(&self, shard: &mut Shard, now: Timestamp) -> Result<(), StoreError> {
        if self.is_full() {
            shard.drop_expired(now, LARGE_BITE, &self.inner.usage);
        }
        self.refusal().map_or(Ok(()), Err)
    }

    fn is_full(&self) -> bool {
        let limits = self.inner.limits;
        self.entries() >= limits.entries || self.bytes() >= limits.bytes
    }

    /// Why a new entry is refused now, if it is.
    fn refusal(&self) -> Option<StoreError> {
        let limits = self.inner.limits;
        if self.entries() >= limits.entries {
            return Some(StoreError::Refused(format!(
                "it holds {} entries, and {} is the limit",
                self.entries(),
                limits.entries
            )));
        }
        if self.bytes() >= limits.bytes {
            return Some(StoreError::Refused(format!("it holds {} bytes, and {} is the limit", self.bytes(), limits.bytes)));
        }
        None
    }
}

impl Store for MemoryStore {
    fn handle(&self) -> Self {
        self.clone()
    }

    async fn hash_key(&self) -> Result<HashKey, StoreError> {
        if self.inner.closed.load(Ordering::Acquire) {
            return Err(StoreError::NotReached("it is closed".to_owned()));
        }
        Ok(self.inner.hash_key)
    }

    async fn claim(&self, claim: Claim) -> Result<Claimed, StoreError> {
        let now = self.begin()?;
        let mut shard = self.shard(claim.name);
        shard.drop_expired(now, BITE, &self.inner.usage);
        if shard.live(claim.name, now).is_none() {
            self.room(&mut shard, now)?;
        }
        let Step { outcome, write, wake } = transition::claim(shard.live(claim.name, now), &claim, self.inner.began, now);
        shard.apply(claim.name, write, &self.inner.usage);
        drop(shard);
        if !wake.is_empty() {
            self.inner.wakes.wake(claim.name);
        }
        Ok(outcome)
    }

    async fn complete(&self, complete: Complete) -> Result<Completed, StoreError> {
        let now = self.begin()?;
        Ok(self.step(complete.token.name, now, |record| transition::complete(record, &complete, now)))
    }

    async fn extend(&self, renewals: Vec<Renewal>) -> Result<Vec<Held>, StoreError> {
        let now = self.begin()?;
        let renew = |renewal: &Renewal| self.step(renewal.token.name, now, |record| transition::extend(record, renewal, now));
        Ok(renewals.iter().map(renew).collect())
    }

    async fn doubt(&self, token: Token) -> Result<Held, StoreError> {
        let now = self.begin()?;
        Ok(self.step(token.name, now, |record| transition::doubt(record, &token, now)))
    }

    async fn release(&self, name: RecordName, owner: Owner, fence: Option<Fence>) -> Result<Held, StoreError> {
        let now = self.begin()?;
        Ok(self.step(name, now, |record| transition::release(record, owner, fence, now)))
    }

    async fn undo(&self, undo: Undo) -> Result<Undone, StoreError> {
        let now = self.begin()?;
        let (step, own) = (undo.step, undo.claim.name);
        let (outcome, wake) = {
            // Neighbours share their first bytes, and so their shard: one lock for both.
            let mut shard = self.shard(own);
            shard.drop_expired(now, BITE, &self.inner.usage);
            if shard.live(own, now).is_none() {
                self.room(&mut shard, now)?;
            }
            let both = transition::undo(shard.live(step, now), shard.live(own, now), &undo, self.inner.began, now);
            shard.apply(step, both.step, &self.inner.usage);
            shard.apply(own, both.own, &self.inner.usage);
            (both.outcome, both.wake)
        };
        if !wake.is_empty() {
            self.inner.wakes.wake(step);
        }
        Ok(outcome)
    }

    async fn settle(&self, settle: Settle) -> Result<Settled, StoreError> {
        let now = self.begin()?;
        Ok(self.step(settle.name, now, |record| transition::settle(record, &settle, now)))
    }

    async fn reserve(&self, name: RecordName, holder: RecordName, ttl: Duration) -> Result<Reserved, StoreError> {
        let now = self.begin()?;
        let mut shard = self.shard(name);
        shard.drop_expired(now, BITE, &self.inner.usage);
        let current = shard.reservation(name);
        let (answer, write) = reservation::reserve(current, holder, ttl, now);
        if let Some(reservation) = write {
            self.room(&mut shard, now)?;
            shard.put_reservation(name, reservation, &self.inner.usage);
        }
        Ok(answer)
    }

    async fn unreserve(&self, name: RecordName, holder: RecordName) -> Result<(), StoreError> {
        self.begin()?;
        let mut shard = self.shard(name);
        if reservation::is_held_by(shard.reservation(name), holder) {
            shard.delete_reservation(name, &self.inner.usage);
        }
        Ok(())
    }

    async fn resolve(&self, name: RecordName, resolution: Resolution) -> Result<Resolved, StoreError> {
        let now = self.begin()?;
        Ok(self.step(name, now, |record| transition::resolve(record, &resolution, now)))
    }

    async fn forget(&self, name: RecordName) -> Result<bool, StoreError> {
        let now = self.begin()?;
        Ok(self.step(name, now, transition::forget))
    }

    async fn inspect(&self, name: RecordName) -> Result<Option<Inspection>, StoreError> {
        let now = self.begin()?;
        Ok(self.shard(name).live(name, now).map(|record| transition::inspect(record, now)))
    }

    fn health(&self) -> Arc<Health> {
        let closed = self.inner.closed.load(Ordering::Acquire);
        Arc::new(Health {
            ready: if closed { Err("it is closed".to_owned()) } else { Ok(()) },
            durability: "memory only: a restart forgets every key".to_owned(),
            warnings: Vec::new(),
            recovered_at: None,
            writes_may_be_lost_since: None,
            remembers_since: Some(self.inner.began),
            round_trips: self.inner.round_trips.load(Ordering::Relaxed),
        })
    }

    fn recovered_at(&self) -> Option<std::time::Instant> {
        None
    }

    async fn close(&self) {
        self.inner.closed.store(true, Ordering::Release);
    }
}

impl Shard {
    fn live(&self, name: RecordName, now: Timestamp) -> Option<&Record> {
        self.records.get(&name).and_then(|kept| kept.it.live(now))
    }

    fn reservation(&self, name: RecordName) -> Option<Reservation> {
        self.reservations.get(&name).map(|kept| kept.it)
    }

    fn apply(&mut self, name: RecordName, write: Write, usage: &Usage) {
        match write {
            Write::Nothing => {}
            Write::Put(record) => self.put(name, record, usage),
            Write::Delete => self.delete(name, usage),
        }
    }

    fn put(&mut self, name: RecordName, record: Box<Record>, usage: &Usage) {
        let (ends, ending) = (record.expires_at, (Kind::Record, name));
        let moved = match self.records.entry(name) {
            Entry::Vacant(vacant) => {
                usage.add(cost(&record));
                vacant.insert(Kept { it: record, slot: self.expiry.insert(ends, ending) });
                None
            }
            Entry::Occupied(occupied) => {
                let kept = occupied.into_mut();
                usage.change(cost(&kept.it), cost(&record));
                let ended = std::mem::replace(&mut kept.it, record).expires_at;
                match Expiry::is_same_bucket(ended, ends) {
                    true => None,
                    false => {
                        let slot = std::mem::replace(&mut kept.slot, self.expiry.insert(ends, ending));
                        self.expiry.remove(ended, slot).map(|moved| (moved, slot))
                    }
                }
            }
        };
        self.has_moved(moved);
    }

    fn delete(&mut self, name: RecordName, usage: &Usage) {
        if let Some(Kept { it: record, slot }) = self.records.remove(&name) {
            usage.take(cost(&record));
            let moved = self.expiry.remove(record.expires_at, slot);
            self.has_moved(moved.map(|moved| (moved, slot)));
        }
    }

    fn put_reservation(&mut self, name: RecordName, reservation: Reservation, usage: &Usage) {
        self.delete_reservation(name, usage);
        usage.add(ENTRY_BYTES);
        let slot = self.expiry.insert(reservation.expires_at, (Kind::Reservation, name));
        self.reservations.insert(name, Kept { it: reservation, slot });
    }

    fn delete_reservation(&mut self, name: RecordName, usage: &Usage) {
        if let Some(Kept { it: reservation, slot }) = self.reservations.remove(&name) {
            usage.take(ENTRY_BYTES);
            let moved = self.expiry.remove(reservation.expires_at, slot);
            self.has_moved(moved.map(|moved| (moved, slot)));
        }
    }

    /// Notes an entry's new slot in the index.
    fn has_moved(&mut self, moved: Option<(Ending, usize)>) {
        let slot_of = match moved {
            None => return,
            Some(((Kind::Record, name), slot)) => (self.records.get_mut(&name).map(|kept| &mut kept.slot), slot),
            Some(((Kind::Reservation, name), slot)) => (self.reservations.get_mut(&name).map(|kept| &mut kept.slot), slot),
        };
        if let (Some(noted), slot) = slot_of {
            *noted = slot;
        }
    }

    fn drop_expired(&mut self, now: Timestamp, at_most: usize, usage: &Usage) {
        for _ in 0..at_most {
            match self.expiry.first_by(now) {
                Some((Kind::Record, name)) if self.live(name, now).is_none() => self.delete(name, usage),
                Some((Kind::Reservation, name)) if self.reservation(name).is_none_or(|it| it.expires_at <= now) => {
                    self.delete_reservation(name, usage);
                }
                Some(_) | None => return,
            }
        }
    }
}

impl Usage {
    fn add(&self, bytes: u64) {
        self.entries.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// What took `before` bytes takes `after` now.
    fn change(&self, before: u64, after: u64) {
        if after >= before {
            self.bytes.fetch_add(after - before, Ordering::Relaxed);
        } else {
            self.bytes.fetch_sub(before - after, Ordering::Relaxed);
        }
    }

    fn take(&self, bytes: u64) {
        self.entries.fetch_sub(1, Ordering::Relaxed);
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

fn cost(record: &Record) -> u64 {
    let kept = match &record.state {
        State::Done(response) => response.len(),
        State::Open(open) => open.note.len(),
        State::Sealed => 0,
    };
    ENTRY_BYTES.saturating_add(u64::try_from(kept).unwrap_or(u64::MAX))
}
