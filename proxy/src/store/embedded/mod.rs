//! The durable store of one process: one file, one writer, an fsync for every commit.
//!
//! An operation that writes is queued for the writer, which commits what is queued in one transaction and answers after the sync.
//! What can be answered from the last commit (a replay, a mismatch, a duplicate in flight) never waits for the writer: it is read
//! on the caller's thread from a snapshot, without a lock. Such a read may block on the disk, for the few pages of one record that
//! are in no cache.
//!
//! The file belongs to one process. So at open everything in flight is unknown at once, and waiters, all in this process, are woken
//! without being registered. The clock starts at the wall clock or the last time in the file, whichever is later, and advances with
//! the monotonic clock. Space of expired records is used again; a file that is mostly empty is compacted at open, if that is quick.
//!
//! Limits: an opening after a crash verifies the whole file, which takes time in proportion to its length. The size of the file is
//! bounded by the disk alone; a full disk refuses claims, and completions wait in their owners' hands.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;

pub use self::file::OpenError;
use self::{
    batch::Wake,
    file::{Opened, ReadError, Snapshot},
    queue::{Queue, closed},
    writer::Writer,
};
use super::{
    Claim, Claimed, Complete, Completed, Health, Held, Inspection, OnAbsent, ProbeVerdict, Renewal, Reserved, Resolution,
    Resolved, Settle, Settled, Store, StoreError, Token, Undo, Undone,
    clock::StoreClock,
    reservation,
    transition::{self, Step, Write},
    wakes::Wakes,
};
use crate::{
    ids::{Fence, HashKey, Owner, RecordName},
    time::{Timestamp, monotonic_now},
};

mod batch;
mod codec;
mod file;
mod queue;
mod reply;
mod reservations;
mod sagas;
mod table;
mod writer;

/// A store in a file. Clones share it.
///
/// Dropping the last clone ends the writer soon after; only [`Store::close`] tells when the file is free.
#[derive(Clone, Debug)]
pub struct EmbeddedStore {
    shared: Arc<Shared>,
    queue: Queue,
}

/// What the store has done since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EmbeddedStats {
    /// Transactions committed, each with one sync.
    pub commits: u64,
    /// Operations answered from the snapshot, without the writer.
    pub reads: u64,
    /// Expired entries deleted.
    pub swept: u64,
}

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    clock: StoreClock,
    /// Unix milliseconds, see [`Health::remembers_since`].
    remembers_since_ms: AtomicU64,
    wakes: Wakes,
    hash_key: HashKey,
    warnings: Vec<String>,
    /// What the last commit left; `None` while the file is not open.
    snapshot: ArcSwapOption<Snapshot>,
    condition: Mutex<Condition>,
    /// Whether a reader has reported the failure in force.
    suspected: AtomicBool,
    counters: Counters,
    writer: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug, Default)]
struct Counters {
    round_trips: AtomicU64,
    reads: AtomicU64,
    commits: AtomicU64,
    swept: AtomicU64,
}

#[derive(Debug, Default)]
struct Condition {
    /// Why the file is not open.
    down: Option<String>,
    closed: bool,
    recovered_at: Option<Instant>,
    writes_may_be_lost_since: Option<Timestamp>,
}

impl EmbeddedStore {
    /// Opens the store in the file at `path`, or creates it, with its directories (mode 0700; the file 0600).
    ///
    /// Blocks on the disk: call it before serving.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(path: &Path, wakes: Wakes) -> Result<Self, OpenError> {
        Self::open_with(path, wakes, StoreClock::real())
    }

    /// [`EmbeddedStore::open`] with this clock.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open_with(path: &Path, wakes: Wakes, clock: StoreClock) -> Result<Self, OpenError> {
        Self::start(path, wakes, file::open(path, clock)?)
    }

    fn start(path: &Path, wakes: Wakes, opened: Opened) -> Result<Self, OpenError> {
        let Opened { db, hash_key, life, clock, remembers_since, warnings } = opened;
        let snapshot =
            Snapshot::take(&db, life).map_err(|error| OpenError::Damaged { path: path.to_owned(), reason: error.to_string() })?;
        let shared = Arc::new(Shared {
            path: path.to_owned(),
            clock,
            remembers_since_ms: AtomicU64::new(remembers_since.as_unix_ms()),
            wakes,
            hash_key,
            warnings,
            snapshot: ArcSwapOption::from_pointee(snapshot),
            condition: Mutex::default(),
            suspected: AtomicBool::new(false),
            counters: Counters::default(),
            writer: Mutex::default(),
        });
        let (queue, inbox) = Queue::new();
        let writer = Writer::new(Arc::clone(&shared), inbox, db, life);
        let thread = std::thread::Builder::new().name("refrain-store".to_owned());
        let thread = thread.spawn(move || writer.run()).map_err(OpenError::Thread)?;
        *shared.writer.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
        Ok(Self { shared, queue })
    }

    /// What the store has done so far.
    pub fn stats(&self) -> EmbeddedStats {
        let Counters { reads, commits, swept, .. } = &self.shared.counters;
        let [reads, commits, swept] = [reads, commits, swept].map(|counter| counter.load(Ordering::Relaxed));
        EmbeddedStats { commits, reads, swept }
    }

    fn count_trip(&self) {
        self.shared.counters.round_trips.fetch_add(1, Ordering::Relaxed);
    }

    /// Reads from the last commit. `None`: it needs the writer.
    fn read<T>(&self, read: impl FnOnce(&Snapshot, Timestamp) -> Result<Option<T>, ReadError>) -> Result<Option<T>, StoreError> {
        let snapshot = self.shared.snapshot.load();
        let Some(snapshot) = snapshot.as_deref() else { return Err(self.shared.unavailable()) };
        match read(snapshot, self.shared.clock.now()) {
            Ok(None) => Ok(None),
            Ok(answer) => {
                self.shared.counters.reads.fetch_add(1, Ordering::Relaxed);
                Ok(answer)
            }
            Err(ReadError::Codec(error)) => Err(StoreError::Corrupt(error.to_string())),
            Err(ReadError::Storage(redb::StorageError::Corrupted(reason))) => Err(StoreError::Corrupt(reason)),
            Err(ReadError::Storage(redb::StorageError::DatabaseClosed)) => Err(self.shared.unavailable()),
            Err(ReadError::Storage(error)) => {
                if !self.shared.suspected.swap(true, Ordering::AcqRel) {
                    self.queue.suspect(error.to_string());
                }
                Err(StoreError::NotReached(error.to_string()))
            }
        }
    }

    /// One transition in the writer.
    async fn step<T, F>(&self, name: RecordName, wake: Wake, bytes: usize, rule: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(Option<&transition::Record>, Timestamp) -> Step<T> + Send + 'static,
    {
        self.count_trip();
        self.queue.run(bytes, move |batch| batch.step(name, wake, rule)).await
    }
}

impl Store for EmbeddedStore {
    fn handle(&self) -> Self {
        self.clone()
    }

    async fn hash_key(&self) -> Result<HashKey, StoreError> {
        // Read at the start: no trip to anywhere.
        if self.shared.condition().closed { Err(closed()) } else { Ok(self.shared.hash_key) }
    }

    async fn claim(&self, mut claim: Claim) -> Result<Claimed, StoreError> {
        // Every waiter is in this process and is woken anyway: registering it would cost a commit.
        claim.mailbox = None;
        let since = self.shared.remembers_since();
        let answered = self.read(|snapshot, now| {
            let record = snapshot.record(claim.name)?;
            let step = transition::claim(record.as_ref().and_then(|record| record.live(now)), &claim, since, now);
            Ok((step.write == Write::Nothing).then_some(step.outcome))
        })?;
        if let Some(outcome) = answered {
            self.count_trip();
            return Ok(outcome);
        }
        // A claim that seals ends the waiting of others.
        let wake = if claim.on_absent == OnAbsent::Begin { Wake::Nobody } else { Wake::Waiters };
        let bytes = claim.note.len();
        self.step(claim.name, wake, bytes, move |record, now| transition::claim(record, &claim, since, now)).await
    }

    async fn undo(&self, mut undo: Undo) -> Result<Undone, StoreError> {
        undo.claim.mailbox = None;
        self.count_trip();
        let since = self.shared.remembers_since();
        let answered = self.read(|snapshot, now| {
            let (step, own) = (snapshot.record(undo.step)?, snapshot.record(undo.claim.name)?);
            let [step, own] = [&step, &own].map(|record| record.as_ref().and_then(|record| record.live(now)));
            let both = transition::undo(step, own, &undo, since, now);
            Ok((both.step == Write::Nothing && both.own == Write::Nothing).then_some(both.outcome))
        })?;
        match answered {
            Some(outcome) => Ok(outcome),
            None => self.queue.run(0, move |batch| batch.undo(&undo, since)).await,
        }
    }

    async fn complete(&self, complete: Complete) -> Result<Completed, StoreError> {
        let (name, bytes) = (complete.token.name, complete.response.len());
        self.step(name, Wake::Waiters, bytes, move |record, now| transition::complete(record, &complete, now)).await
    }

    async fn extend(&self, renewals: Vec<Renewal>) -> Result<Vec<Held>, StoreError> {
        self.count_trip();
        let bytes = renewals.len().saturating_mul(size_of::<Renewal>());
        let renew = move |batch: &mut batch::Batch<'_>| {
            let each = renewals.iter().map(|renewal| {
                let rule = |record: Option<&_>, now| transition::extend(record, renewal, now);
                match batch.step(renewal.token.name, Wake::Nobody, rule) {
                    // One unreadable record must not cost the others their leases; its owner finds out at its completion.
                    Err(batch::ApplyError::Unreadable(error)) => {
                        tracing::error!(record = renewal.token.name.short(), %error, "a lease could not be renewed");
                        Ok(Held::Lost)
                    }
                    held => held,
                }
            });
            each.collect()
        };
        self.queue.run(bytes, renew).await
    }

    async fn doubt(&self, token: Token) -> Result<Held, StoreError> {
        self.step(token.name, Wake::Waiters, 0, move |record, now| transition::doubt(record, &token, now)).await
    }

    async fn release(&self, name: RecordName, owner: Owner, fence: Option<Fence>) -> Result<Held, StoreError> {
        self.step(name, Wake::Waiters, 0, move |record, now| transition::release(record, owner, fence, now)).await
    }

    async fn settle(&self, settle: Settle) -> Result<Settled, StoreError> {
        let bytes = match &settle.verdict {
            ProbeVerdict::Done { response, .. } => response.len(),
            ProbeVerdict::NotDone { .. } | ProbeVerdict::Seal { .. } | ProbeVerdict::Undecided => 0,
        };
        self.step(settle.name, Wake::Waiters, bytes, move |record, now| transition::settle(record, &settle, now)).await
    }

    async fn reserve(&self, name: RecordName, holder: RecordName, ttl: Duration) -> Result<Reserved, StoreError> {
        self.count_trip();
        let answered = self.read(|snapshot, now| {
            let (answer, write) = reservation::reserve(snapshot.reservation(name)?, holder, ttl, now);
            Ok(write.is_none().then_some(answer))
        })?;
        if let Some(answer) = answered {
            return Ok(answer);
        }
        let reserve = move |batch: &mut batch::Batch<'_>| {
            let (answer, write) = reservation::reserve(batch.reservation(name)?, holder, ttl, batch.now);
            if let Some(reservation) = write {
                batch.put_reservation(name, &reservation)?;
            }
            Ok(answer)
        };
        self.queue.run(0, reserve).await
    }

    async fn unreserve(&self, name: RecordName, holder: RecordName) -> Result<(), StoreError> {
        self.count_trip();
        let unreserve = move |batch: &mut batch::Batch<'_>| match batch.reservation(name)? {
            Some(current) if current.holder == holder => batch.delete_reservation(name, current.expires_at),
            Some(_) | None => Ok(()),
        };
        self.queue.run(0, unreserve).await
    }

    async fn resolve(&self, name: RecordName, resolution: Resolution) -> Result<Resolved, StoreError> {
        let bytes = match &resolution {
            Resolution::Done { response, .. } => response.len(),
            Resolution::NotDone => 0,
        };
        self.step(name, Wake::Waiters, bytes, move |record, now| transition::resolve(record, &resolution, now)).await
    }

    async fn forget(&self, name: RecordName) -> Result<bool, StoreError> {
        self.count_trip();
        self.queue.run(0, move |batch| batch.forget(name)).await
    }

    async fn inspect(&self, name: RecordName) -> Result<Option<Inspection>, StoreError> {
        self.count_trip();
        let inspection = self.read(|snapshot, now| {
            let record = snapshot.record(name)?;
            Ok(Some(record.as_ref().and_then(|record| record.live(now)).map(|record| transition::inspect(record, now))))
        })?;
        Ok(inspection.flatten())
    }

    fn health(&self) -> Arc<Health> {
        let condition = self.shared.condition();
        let ready = match &condition.down {
            _ if condition.closed => Err("it is closed".to_owned()),
            Some(reason) => Err(reason.clone()),
            None => Ok(()),
        };
        Arc::new(Health {
            ready,
            durability: "fsync on every commit".to_owned(),
            warnings: self.shared.warnings.clone(),
            recovered_at: condition.recovered_at,
            writes_may_be_lost_since: condition.writes_may_be_lost_since,
            remembers_since: Some(self.shared.remembers_since()),
            round_trips: self.shared.counters.round_trips.load(Ordering::Relaxed),
        })
    }

    /// Waits, for ten seconds at most, until what was queued is done and the file is free.
    async fn close(&self) {
        if !self.queue.close().await {
            tracing::error!("the store's writer did not end in time; what it has acknowledged is on disk");
            return;
        }
        // Its last act was to say that it ends, so joining it takes no time.
        let writer = self.shared.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writer) = writer
            && writer.join().is_err()
        {
            tracing::error!("the store's writer had panicked");
        }
    }
}

impl Shared {
    fn condition(&self) -> MutexGuard<'_, Condition> {
        self.condition.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why there is no answer now: it is closed, or its file is being opened again.
    fn unavailable(&self) -> StoreError {
        let condition = self.condition();
        match &condition.down {
            Some(reason) if !condition.closed => StoreError::NotReached(reason.clone()),
            Some(_) | None => closed(),
        }
    }

    fn went_down(&self, reason: String) {
        self.condition().down = Some(reason);
    }

    fn came_back(&self) {
        let mut condition = self.condition();
        condition.down = None;
        condition.recovered_at = Some(monotonic_now());
        self.suspected.store(false, Ordering::Release);
    }

    fn went_closed(&self) {
        self.condition().closed = true;
    }

    fn writes_may_be_lost(&self, since: Timestamp) {
        self.condition().writes_may_be_lost_since.get_or_insert(since);
        self.remembers_since_ms.fetch_max(since.as_unix_ms(), Ordering::AcqRel);
    }

    fn remembers_since(&self) -> Timestamp {
        Timestamp::from_unix_ms(self.remembers_since_ms.load(Ordering::Acquire))
    }

    /// What the file is to say of losses, if there were any: that up to now, when it is opened again, they may have been.
    fn unpersisted_loss(&self, now: Timestamp) -> Option<Timestamp> {
        self.condition().writes_may_be_lost_since?;
        self.remembers_since_ms.fetch_max(now.as_unix_ms(), Ordering::AcqRel);
        Some(now)
    }

    fn damaged(&self, error: &redb::Error) -> OpenError {
        OpenError::Damaged { path: self.path.clone(), reason: error.to_string() }
    }
}

#[cfg(test)]
mod tests;
