//! The writer: one thread that owns the database.
//!
//! It takes what is queued, applies it all in one transaction, syncs once, and answers all (group commit). In idle time, and a
//! little with every batch, it deletes what has expired. An I/O error poisons the engine's handle, so the writer then opens the
//! file again, with growing pauses; meanwhile every operation is answered at once.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::Ordering,
        mpsc::{Receiver, RecvTimeoutError, TryRecvError},
    },
    time::{Duration, Instant},
};

use redb::{Database, Durability};

use super::{
    Shared,
    batch::{ApplyError, Batch, Effects, Numbers, OpenPass},
    codec::{Life, bucket},
    file::{self, Snapshot},
    queue::{Message, Queued, closed},
    reply::{Batons, Round},
};
use crate::{
    store::StoreError,
    time::{Timestamp, monotonic_now},
};

/// The most operations in one transaction.
const BATCH_OPERATIONS: usize = 1024;
/// The most KiB in one transaction, but for the last operation.
const BATCH_KIB: usize = 16 << 10;
/// How many expired entries go with a batch at least; with a large batch twice as many as it has operations, so that the deleting
/// keeps up with the writing.
const SWEEP_WITH_BATCH: usize = 64;
/// How many expired entries go in one transaction when nothing else is to do.
const SWEEP_IDLE: usize = 256;
/// How often an idle writer looks whether something has expired.
const IDLE: Duration = Duration::from_secs(1);
/// How long a woken caller has to wake the others of its thread.
const BATONS_WITHIN: Duration = Duration::from_millis(1);
/// How old the clock in the file may become.
const CLOCK_EVERY: Duration = Duration::from_secs(1);
/// The pauses between attempts to open the file again.
const REOPEN_FIRST: Duration = Duration::from_millis(100);
const REOPEN_LAST: Duration = Duration::from_secs(10);
/// After this long without a failure the next pause is the first again.
const STEADY: Duration = Duration::from_secs(30);

pub(super) struct Writer {
    shared: Arc<Shared>,
    inbox: Receiver<Message>,
    /// Taken from the inbox, not yet looked at.
    next: Option<Message>,
    state: State,
    life: Life,
    numbers: Numbers,
    sweeping: Sweeping,
    batons: Batons,
    clock_persisted: Timestamp,
    /// The last pause before the file was opened again, and when it came back.
    pause: Duration,
    came_back_at: Option<Instant>,
}

enum State {
    Open(Box<Database>),
    Down { retry_at: Instant },
}

/// How far what has expired has been swept.
#[derive(Clone, Copy, Default)]
struct Sweeping {
    /// Every bucket before this one is swept, unless `more`.
    before: u64,
    more: bool,
    open: OpenPass,
}

impl Sweeping {
    fn is_due(self, now: Timestamp) -> bool {
        self.more || bucket(now) > self.before
    }
}

/// What became of a transaction.
enum Failure {
    /// It was not committed.
    NotWritten(String),
    /// Its commit failed: nobody knows.
    Unknown(String),
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, inbox: Receiver<Message>, db: Database, life: Life) -> Self {
        Self {
            shared,
            inbox,
            next: None,
            state: State::Open(Box::new(db)),
            life,
            numbers: Numbers::default(),
            sweeping: Sweeping::default(),
            batons: Batons::default(),
            clock_persisted: life.since,
            pause: Duration::ZERO,
            came_back_at: None,
        }
    }

    /// Runs until it is told to close, or until every handle is gone.
    pub(super) fn run(mut self) {
        loop {
            let message = match self.next.take() {
                Some(message) => Ok(message),
                None => self.inbox.recv_timeout(self.patience()),
            };
            match message {
                Ok(Message::Work(first)) => {
                    let batch = self.drain(first);
                    self.serve(batch);
                }
                Ok(Message::Suspect(reason)) => self.fail(reason),
                Ok(Message::Close(done)) => {
                    self.shut();
                    // The receiver may have stopped waiting.
                    let _gone = done.send(());
                    return;
                }
                Err(RecvTimeoutError::Timeout) if self.batons.are_out() => self.batons.call_in(),
                Err(RecvTimeoutError::Timeout) => self.idle(),
                Err(RecvTimeoutError::Disconnected) => return self.shut(),
            }
        }
    }

    fn patience(&self) -> Duration {
        match &self.state {
            _ if self.batons.are_out() => BATONS_WITHIN,
            State::Down { retry_at } => retry_at.saturating_duration_since(monotonic_now()),
            State::Open(_) if self.sweeping.is_due(self.shared.clock.now()) => Duration::ZERO,
            State::Open(_) => IDLE,
        }
    }

    /// What is queued now, up to the bounds of a batch.
    fn drain(&mut self, first: Queued) -> Vec<Queued> {
        let mut kib = first.room.num_permits();
        let mut batch = vec![first];
        while batch.len() < BATCH_OPERATIONS && kib < BATCH_KIB {
            match self.inbox.try_recv() {
                Ok(Message::Work(queued)) => {
                    kib += queued.room.num_permits();
                    batch.push(queued);
                }
                Ok(other) => {
                    self.next = Some(other);
                    break;
                }
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
            }
        }
        batch
    }

    fn serve(&mut self, mut batch: Vec<Queued>) {
        let sweep = SWEEP_WITH_BATCH.max(2 * batch.len());
        let answer = self.transact(&mut batch, sweep);
        self.batons.call_in();
        let mut round = Round::default();
        for Queued { job, room } in batch {
            job.answer(answer.clone(), &mut round);
            drop(room);
        }
        self.batons.wake(round);
    }

    fn idle(&mut self) {
        match &self.state {
            State::Down { retry_at } if monotonic_now() >= *retry_at => self.reopen(),
            State::Down { .. } => {}
            State::Open(_) if self.sweeping.is_due(self.shared.clock.now()) => {
                // Nobody waits for it, and a failure is in the health already.
                let _swept = self.transact(&mut [], SWEEP_IDLE);
            }
            State::Open(_) => {}
        }
    }

    /// One transaction: the jobs, then a bounded sweep. After it, readers see it and waiters are woken.
    fn transact(&mut self, jobs: &mut [Queued], sweep: usize) -> Result<(), StoreError> {
        let State::Open(db) = &self.state else { return Err(self.shared.unavailable()) };
        let now = self.shared.clock.now();
        let plan = Plan {
            now,
            life: self.life,
            numbers: &self.numbers,
            sweep: if self.sweeping.is_due(now) { Some((sweep, self.sweeping.open)) } else { None },
            clock: self.clock_persisted.until(now) >= CLOCK_EVERY,
        };
        let done = catch_unwind(AssertUnwindSafe(|| write(db, &plan, jobs)))
            .unwrap_or_else(|_| Err(Failure::Unknown("the engine panicked".to_owned())));
        match done {
            Ok(Done { effects, swept }) => {
                let clock = plan.clock;
                if let Some((more, open)) = swept {
                    self.sweeping = Sweeping { before: bucket(now), more, open };
                }
                if effects.written {
                    if clock {
                        self.clock_persisted = now;
                    }
                    self.publish(&effects);
                }
                Ok(())
            }
            Err(Failure::NotWritten(reason)) => {
                self.fail(reason.clone());
                Err(StoreError::Refused(reason))
            }
            Err(Failure::Unknown(reason)) => {
                // The kernel may have dropped pages that it could not write, and still show them until the next start.
                self.shared.writes_may_be_lost(now);
                self.fail(reason.clone());
                Err(StoreError::AnswerLost(reason))
            }
        }
    }

    fn publish(&mut self, effects: &Effects) {
        self.shared.counters.commits.fetch_add(1, Ordering::Relaxed);
        self.shared.counters.swept.fetch_add(effects.swept, Ordering::Relaxed);
        let State::Open(db) = &self.state else { return };
        match Snapshot::take(db, self.life) {
            Ok(snapshot) => self.shared.snapshot.store(Some(Arc::new(snapshot))),
            // What was committed stays; readers must not see the state before it.
            Err(error) => self.fail(error.to_string()),
        }
        for name in &effects.wake {
            self.shared.wakes.wake(*name);
        }
    }

    /// Gives up the database; it is opened again after a pause.
    fn fail(&mut self, reason: String) {
        let State::Open(db) = std::mem::replace(&mut self.state, State::Down { retry_at: monotonic_now() }) else { return };
        if self.came_back_at.is_none_or(|at| monotonic_now().saturating_duration_since(at) >= STEADY) {
            self.pause = Duration::ZERO;
        }
        self.pause_before_reopening();
        tracing::error!(path = %self.shared.path.display(), reason, "the store failed; its file will be opened again");
        self.shared.snapshot.store(None);
        self.shared.went_down(reason);
        close(*db);
    }

    fn pause_before_reopening(&mut self) {
        self.pause = self.pause.saturating_mul(2).clamp(REOPEN_FIRST, REOPEN_LAST);
        self.state = State::Down { retry_at: monotonic_now() + self.pause };
    }

    fn reopen(&mut self) {
        let now = self.shared.clock.now();
        let reopened = file::reopen(&self.shared.path, self.shared.hash_key, self.life, now).and_then(|(db, life)| {
            let snapshot = Snapshot::take(&db, life).map_err(|error| self.shared.damaged(&error))?;
            Ok((db, life, snapshot))
        });
        match reopened {
            Ok((db, life, snapshot)) => {
                if life != self.life {
                    self.shared.writes_may_be_lost(now);
                }
                if let Some(since) = self.shared.unpersisted_loss(now)
                    && let Err(error) = file::persist_loss(&db, since)
                {
                    tracing::warn!(%error, "that writes may be lost was not written down");
                }
                self.life = life;
                self.state = State::Open(Box::new(db));
                self.sweeping = Sweeping::default();
                self.shared.snapshot.store(Some(Arc::new(snapshot)));
                self.came_back_at = Some(monotonic_now());
                self.shared.came_back();
                self.shared.wakes.wake_all();
                tracing::info!(path = %self.shared.path.display(), "the store is back");
            }
            Err(error) => {
                tracing::warn!(%error, "the store could not be opened again yet");
                self.shared.went_down(error.to_string());
                self.pause_before_reopening();
            }
        }
    }

    /// Writes the clock, closes the file, and tells those who came too late.
    fn shut(&mut self) {
        let now = self.shared.clock.now();
        self.shared.snapshot.store(None);
        self.shared.went_closed();
        if let State::Open(db) = std::mem::replace(&mut self.state, State::Down { retry_at: monotonic_now() }) {
            if let Err(error) = write_clock(&db, now) {
                tracing::warn!(%error, "the store's clock was not written at its close");
            }
            close(*db);
        }
        self.batons.call_in();
        let mut round = Round::default();
        while let Some(Message::Work(late)) = self.next.take().or_else(|| self.inbox.try_recv().ok()) {
            late.job.answer(Err(closed()), &mut round);
        }
        self.batons.wake(round);
        self.batons.call_in();
    }
}

/// What a transaction is to do besides its jobs.
struct Plan<'a> {
    now: Timestamp,
    life: Life,
    numbers: &'a Numbers,
    /// How many expired entries to delete at most, and how far the last sweep came.
    sweep: Option<(usize, OpenPass)>,
    /// Whether to write the clock.
    clock: bool,
}

struct Done {
    effects: Effects,
    /// Whether more may have expired, and how far the sweep came.
    swept: Option<(bool, OpenPass)>,
}

fn write(db: &Database, plan: &Plan<'_>, jobs: &mut [Queued]) -> Result<Done, Failure> {
    let mut txn = db.begin_write().map_err(not_written)?;
    txn.set_durability(Durability::Immediate).map_err(not_written)?;
    let mut batch = Batch::begin(&txn, plan.life, plan.numbers, plan.now).map_err(not_written)?;
    for queued in jobs {
        queued.job.apply(&mut batch).map_err(not_written)?;
    }
    let mut swept = None;
    if let Some((at_most, mut open)) = plan.sweep {
        let more = batch.sweep(at_most, &mut open).map_err(not_written::<ApplyError>)?;
        swept = Some((more, open));
    }
    let effects = batch.finish();
    if effects.written {
        if plan.clock {
            file::persist_clock(&txn, plan.now).map_err(not_written)?;
        }
        txn.commit().map_err(|error| Failure::Unknown(error.to_string()))?;
    } else {
        txn.abort().map_err(not_written)?;
    }
    Ok(Done { effects, swept })
}

fn not_written<E: ToString>(error: E) -> Failure {
    Failure::NotWritten(error.to_string())
}

fn write_clock(db: &Database, now: Timestamp) -> Result<(), redb::Error> {
    let txn = db.begin_write()?;
    file::persist_clock(&txn, now)?;
    Ok(txn.commit()?)
}

/// Closes the database. What it acknowledged is synced already, so an error here costs no more than a longer next opening.
fn close(db: Database) {
    match catch_unwind(AssertUnwindSafe(|| db.close())) {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "the store's file was not closed cleanly"),
        Err(_) => tracing::warn!("the store's file was not closed cleanly: the engine panicked"),
    }
}
