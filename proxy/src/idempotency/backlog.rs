//! Writes that could not be made when they were due: the store was away, or the task that owed them died.
//!
//! The control thread makes them, again and again with growing pauses, until the store answers or the record would have expired.
//! The fence judges: a write that comes too late changes nothing.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{sync::mpsc, time::Instant};

use super::lease::Lease;
use crate::{
    ids::{Fence, Owner, RecordName},
    store::{Complete, Store, StoreError, Token},
};

/// Bytes of responses that may wait for the store.
pub const MAX_WAITING_BYTES: u64 = 64 * 1024 * 1024;
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// A write that is still owed.
#[derive(Debug)]
pub enum Deferred {
    /// A response that the client has had, or will have.
    Complete {
        /// What to write.
        complete: Box<Complete>,
        /// Renewed until it is written.
        lease: Lease,
    },
    /// A claim that sent nothing is given up.
    Release {
        /// The record.
        name: RecordName,
        /// The owner's nonce.
        owner: Owner,
        /// Absent where the claim's answer was lost.
        fence: Option<Fence>,
    },
    /// A claim whose send began is given up.
    Doubt(Token),
    /// A payload's reservation is given back.
    Unreserve {
        /// The reservation.
        name: RecordName,
        /// Its holder.
        holder: RecordName,
    },
}

impl Deferred {
    /// To release a claim that is known to be ours.
    pub const fn release(token: Token) -> Self {
        Self::Release { name: token.name, owner: token.owner, fence: Some(token.fence) }
    }

    /// To release a claim whose answer was lost.
    pub const fn release_unseen(name: RecordName, owner: Owner) -> Self {
        Self::Release { name, owner, fence: None }
    }

    fn bytes(&self) -> u64 {
        match self {
            Self::Complete { complete, .. } => complete.response.len() as u64,
            Self::Release { .. } | Self::Doubt(_) | Self::Unreserve { .. } => 0,
        }
    }

    /// How long it is worth trying.
    fn worth(&self, longest: Duration) -> Duration {
        match self {
            Self::Complete { complete, .. } => complete.ttl,
            Self::Release { .. } | Self::Doubt(_) | Self::Unreserve { .. } => longest,
        }
    }
}

/// Where owed writes are put.
#[derive(Clone, Debug)]
pub struct Backlog {
    sender: mpsc::Sender<Deferred>,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    waiting: AtomicUsize,
    bytes: AtomicU64,
    dropped: AtomicU64,
}

/// Where the control thread takes them.
#[derive(Debug)]
pub struct Owed {
    receiver: mpsc::Receiver<Deferred>,
    counts: Arc<Counts>,
}

impl Backlog {
    /// A backlog of at most `entries` writes.
    pub fn new(entries: usize) -> (Self, Owed) {
        let (sender, receiver) = mpsc::channel(entries.max(1));
        let counts = Arc::<Counts>::default();
        (Self { sender, counts: Arc::clone(&counts) }, Owed { receiver, counts })
    }

    /// Owes a write. Never waits. If there is no room, the write is not made: the record is left to its lease, and becomes unknown.
    pub fn push(&self, deferred: Deferred) {
        let bytes = deferred.bytes();
        let fits = self.counts.bytes.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes) <= MAX_WAITING_BYTES;
        self.counts.waiting.fetch_add(1, Ordering::Relaxed);
        let refused = match fits {
            true => self.sender.try_send(deferred).err().map(mpsc::error::TrySendError::into_inner),
            false => Some(deferred),
        };
        if let Some(refused) = refused {
            self.counts.leave(bytes);
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
            tracing::error!(?bytes, "a write to the store was given up: too many wait; its record becomes unknown");
            // A lease gives itself up on drop, which would come back here.
            if let Deferred::Complete { lease, .. } = refused {
                lease.finish();
            }
        }
    }

    /// Writes that wait now.
    pub fn waiting(&self) -> usize {
        self.counts.waiting.load(Ordering::Relaxed)
    }
}

impl Counts {
    fn leave(&self, bytes: u64) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Owed {
    /// The next write that is owed; `None` when nobody can owe one any more.
    pub async fn next(&mut self) -> Option<Deferred> {
        self.receiver.recv().await
    }

    /// Makes owed writes until nobody can owe one any more, and all are made or given up.
    /// `longest` bounds how long a release or a doubt is tried: past it, the lease has lapsed long since.
    pub async fn work<S: Store>(mut self, store: S, longest: Duration) {
        let mut under_way = tokio::task::JoinSet::new();
        loop {
            tokio::select! {
                next = self.next(), if under_way.len() < 256 => match next {
                    None => break,
                    Some(deferred) => {
                        let (store, counts) = (store.clone(), Arc::clone(&self.counts));
                        under_way.spawn(async move {
                            let bytes = deferred.bytes();
                            make(&store, deferred, longest).await;
                            counts.leave(bytes);
                        });
                    }
                },
                Some(_ended) = under_way.join_next(), if !under_way.is_empty() => {}
            }
        }
        while under_way.join_next().await.is_some() {}
    }
}

async fn make<S: Store>(store: &S, deferred: Deferred, longest: Duration) {
    let until = Instant::now() + deferred.worth(longest);
    let mut pause = FIRST_PAUSE;
    let mut failures = 0_u32;
    loop {
        match attempt(store, &deferred).await {
            Ok(()) => break,
            Err(error) if Instant::now() + pause >= until => {
                tracing::error!(%error, failures, "a write to the store was given up: its time is over");
                break;
            }
            Err(error) => {
                failures += 1;
                tracing::debug!(%error, failures, "a write to the store is tried again");
            }
        }
        tokio::time::sleep(pause.mul_f64(0.5 + rand::random::<f64>() / 2.0)).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    match deferred {
        // A claim whose answer was lost may have been applied after the first release: once more, a lease later.
        Deferred::Release { name, owner, fence: None } => {
            tokio::time::sleep(longest.min(LONGEST_PAUSE)).await;
            let _second = store.release(name, owner, None).await;
        }
        Deferred::Complete { lease, .. } => lease.finish(),
        Deferred::Release { .. } | Deferred::Doubt(_) | Deferred::Unreserve { .. } => {}
    }
}

async fn attempt<S: Store>(store: &S, deferred: &Deferred) -> Result<(), StoreError> {
    match deferred {
        Deferred::Complete { complete, .. } => store.complete(Complete::clone(complete)).await.map(drop),
        Deferred::Release { name, owner, fence } => store.release(*name, *owner, *fence).await.map(drop),
        Deferred::Doubt(token) => store.doubt(*token).await.map(drop),
        Deferred::Unreserve { name, holder } => store.unreserve(*name, *holder).await,
    }
}
