//! The store of sagas: heads, journals, and what is due.
//!
//! A saga is a *head* (state, version, owner, fence, …) and a *journal*, a list of entries that only grows. Entries, definitions and
//! final answers are opaque bytes here. As in [`super::Store`], one method is one atomic step and one round trip, the store judges
//! owner, fence and version by its own clock, lost ownership is a value, and every method may be repeated after a lost reply.
//!
//! **Lease expiry is a due time.** An open saga that is not quarantined is always in the due index: its score is the lease's end
//! while a driver has it, and its next retry or timeout while it is parked. So timers, retries and recovery are one path: ask for
//! what is [due](Journal::due), [lease](Journal::lease) it, fold its journal, go on. A saga that is asked for something by an
//! operator ([`Journal::command`]) becomes due at once.
//!
//! An open saga never expires. Retention starts at its end.
//!
//! The rules are [`rules`]; the memory and the embedded store call them, and the Redis scripts mirror them. What is beyond the bounds
//! below, or would leave an open saga in nobody's hands, is [refused](StoreError::Refused) before anything is written.

use std::{future::Future, time::Duration};

use bytes::Bytes;
use saga_config::saga::DefinitionHash;
use serde::{Deserialize, Serialize};

use super::StoreError;
use crate::{
    ids::{Fence, Fingerprint, Mailbox, Owner, SagaId},
    time::Timestamp,
};

#[cfg(test)]
pub(in crate::store) mod fixture;
pub mod rules;

/// The largest entry, command and definition, and the largest final answer, in bytes.
pub const MAX_ENTRY_BYTES: usize = 4 * 1024 * 1024;
/// The most entries of one append.
pub const MAX_ENTRIES_AT_ONCE: usize = 256;
/// The most entries of one journal.
pub const MAX_JOURNAL_ENTRIES: u64 = 100_000;
/// The most commands that wait for one saga's driver.
pub const MAX_COMMANDS: usize = 64;
/// The most sagas of one page.
pub const MAX_PAGE: usize = 1000;

/// Where a saga stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SagaState {
    /// It goes forward.
    Running,
    /// It undoes what it did.
    Compensating,
    /// Every step is done. The end.
    Completed,
    /// Nothing known or possibly applied remains. The end.
    Compensated,
    /// It waits for an operator. Not an end: it is open, and does not expire.
    Quarantined,
}

impl SagaState {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Running, Self::Compensating, Self::Completed, Self::Compensated, Self::Quarantined];

    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Compensating => "compensating",
            Self::Completed => "completed",
            Self::Compensated => "compensated",
            Self::Quarantined => "quarantined",
        }
    }

    /// Whether this is an end.
    pub const fn is_end(self) -> bool {
        matches!(self, Self::Completed | Self::Compensated)
    }
}

impl std::str::FromStr for SagaState {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|state| state.as_str() == text).ok_or(())
    }
}

/// What does not change in a saga's life, and what lists show.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Birth {
    /// The saga's name.
    pub name: String,
    /// The definition's version, for people.
    pub version: u32,
    /// Which definition it runs by, for ever.
    pub definition: DefinitionHash,
    /// What its key was used with.
    pub fingerprint: Fingerprint,
    /// Who may see its status: a keyed hash of the starter's scope.
    pub starter: Fingerprint,
    /// When it was created, by the store's clock. What a caller says here is not looked at.
    pub created_at: Timestamp,
}

/// The head of a saga.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// What does not change.
    pub birth: Birth,
    /// Where it stands.
    pub state: SagaState,
    /// Whether an operator has paused it. Only for lists: what counts is in the journal.
    pub paused: bool,
    /// How many entries its journal has.
    pub version: u64,
    /// The last fence.
    pub fence: Fence,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// When it is due: the lease's end or the next timer. `None`: ended, or quarantined.
    pub due_at: Option<Timestamp>,
    /// What the caller gets: final where the state is an end, preliminary where it is quarantined.
    pub answer: Option<Answer>,
}

/// What the caller gets, as the engine encoded (and perhaps sealed) it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The bytes. Opaque to the store.
    pub bytes: Bytes,
    /// The fence under which they were written.
    pub fence: Fence,
}

/// What a driver does with a saga after an append (or a create).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// It goes on: the lease is renewed.
    Run {
        /// From now.
        lease: Duration,
    },
    /// It gives the saga up until a time. Anyone may lease it then.
    Park {
        /// From now; zero: at once.
        due_in: Duration,
    },
    /// It gives the saga up until a command comes. For [`SagaState::Quarantined`] and for paused sagas.
    Rest {
        /// What callers get until then, where the saga is quarantined.
        answer: Option<Bytes>,
    },
    /// The saga has ended.
    End {
        /// What callers get from now on.
        answer: Bytes,
        /// How long that is kept, from now.
        retention: Duration,
    },
}

/// A saga's start.
#[derive(Clone, Debug)]
pub struct Create {
    /// Its id.
    pub id: SagaId,
    /// What does not change.
    pub birth: Birth,
    /// The driver's nonce. The same nonce again is the driver's own repeat.
    pub owner: Owner,
    /// Its first entries.
    pub entries: Vec<Bytes>,
    /// Where it stands after them.
    pub state: SagaState,
    /// What comes then.
    pub next: Next,
    /// Where to send word of its end (or quarantine), should it be there already; `None`: the caller does not wait.
    pub mailbox: Option<Mailbox>,
}

/// The answer to a [`Create`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Created {
    /// It is the caller's: it was created now, or by the caller's own earlier try.
    Fresh(Granted),
    /// It is there already and has not ended; the mailbox is registered.
    Running(Box<Head>),
    /// It is there already and has ended: its head with the final answer.
    Ended(Box<Head>),
    /// The key was used with something else, or under another saga.
    Mismatch,
}

/// What a driver knows after a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Granted {
    /// The fence of every later write.
    pub fence: Fence,
    /// How many entries the journal has.
    pub version: u64,
    /// The store's time.
    pub now: Timestamp,
    /// Whether commands wait: see [`Journal::commands`].
    pub commands: bool,
}

/// A saga in the hands of its driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SagaToken {
    /// The saga.
    pub id: SagaId,
    /// The driver's nonce.
    pub owner: Owner,
    /// The fence of the lease.
    pub fence: Fence,
}

/// More entries.
#[derive(Clone, Debug)]
pub struct Append {
    /// The lease under which they are written.
    pub token: SagaToken,
    /// How many entries the driver has read or written: the append is refused if there are others.
    pub expected: u64,
    /// Tells the driver's own repeat.
    pub nonce: Owner,
    /// The entries. May be empty: only `next` is applied then.
    pub entries: Vec<Bytes>,
    /// Where the saga stands after them.
    pub state: SagaState,
    /// Whether it is paused after them.
    pub paused: bool,
    /// How many of the waiting commands these entries take up: the oldest.
    pub commands_taken: usize,
    /// What comes then.
    pub next: Next,
}

/// The answer to an [`Append`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// They are written, now or by the driver's own earlier try.
    Kept(Granted),
    /// The saga is not the caller's any more, or its journal is another. Nothing was changed.
    Lost,
    /// The journal may have [`MAX_JOURNAL_ENTRIES`] entries at most. Nothing was changed. Not said to an append that ends or rests.
    Full,
}

/// The answer to [`Journal::lease`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leased {
    /// The caller drives it now.
    Granted(Box<Loaded>),
    /// It is not due: somebody has it, or it is parked. Due in this long, if it is ever.
    NotDue(Option<Duration>),
    /// There is no such saga, or it has ended.
    Gone,
}

/// A saga with all that is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// Its head.
    pub head: Head,
    /// Its journal.
    pub entries: Vec<Bytes>,
    /// The commands that wait, the oldest first.
    pub commands: Vec<Bytes>,
    /// The store's time.
    pub now: Timestamp,
}

/// One saga's lease to renew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SagaRenewal {
    /// The lease.
    pub token: SagaToken,
    /// The new length, from now.
    pub lease: Duration,
}

/// Whether a saga is still its driver's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SagaHeld {
    /// It is, and the lease is renewed.
    Kept {
        /// Whether commands wait.
        commands: bool,
    },
    /// It is not. Nothing was changed.
    Lost,
}

/// What is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// Sagas to lease, the longest due first (in each partition).
    pub ids: Vec<SagaId>,
    /// How long until the next one is due, if the page was not full; `None`: nothing is.
    pub next_in: Option<Duration>,
    /// The store's time.
    pub now: Timestamp,
}

/// Which sagas to list: the newest change first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Only these; empty: all states.
    pub states: Vec<SagaState>,
    /// Only sagas of this name.
    pub name: Option<String>,
    /// Only what last changed before this, or then and with a smaller id: the last one of the page before.
    pub before: Option<(Timestamp, SagaId)>,
    /// At most this many, and [`MAX_PAGE`].
    pub limit: usize,
}

/// The answer to [`Journal::command`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Commanded {
    /// It waits for the driver (or waits already: the nonce was seen), and the saga is due at once if nobody drives it.
    Queued,
    /// There is no such saga.
    Absent,
    /// It has ended.
    Ended,
    /// [`MAX_COMMANDS`] wait already.
    Full,
}

/// The answer to [`Journal::attach`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attached {
    /// The head as it is now. If the saga is running or compensating, the mailbox is registered.
    pub head: Head,
    /// The store's time.
    pub now: Timestamp,
}

/// A store of sagas.
pub trait Journal: Clone + Send + Sync + 'static {
    /// Creates a saga, unless it is there. Nothing is written if it is.
    fn create(&self, create: Create) -> impl Future<Output = Result<Created, StoreError>> + Send;

    /// Appends entries under the lease, fenced and versioned. Runs also when the store is out of memory, if the store can tell.
    /// A state change to an end or to quarantine wakes those who wait.
    fn append(&self, append: Append) -> impl Future<Output = Result<Appended, StoreError>> + Send;

    /// Renews leases, all in one round trip; the answers are in the same order.
    fn extend_sagas(&self, renewals: Vec<SagaRenewal>) -> impl Future<Output = Result<Vec<SagaHeld>, StoreError>> + Send;

    /// Takes a saga that is due, under a new fence. The same owner again is its own repeat.
    fn lease(&self, id: SagaId, owner: Owner, lease: Duration) -> impl Future<Output = Result<Leased, StoreError>> + Send;

    /// What is due now, at most `limit` (and [`MAX_PAGE`]). `seed` says where to begin where the store has partitions, so that
    /// replicas do not all ask for the same.
    fn due(&self, limit: usize, seed: u64) -> impl Future<Output = Result<Due, StoreError>> + Send;

    /// An operator's (or a service's) command for the saga's driver. `nonce` tells the caller's own repeat.
    fn command(&self, id: SagaId, nonce: Owner, command: Bytes) -> impl Future<Output = Result<Commanded, StoreError>> + Send;

    /// The commands that wait, the oldest first.
    fn commands(&self, id: SagaId) -> impl Future<Output = Result<Vec<Bytes>, StoreError>> + Send;

    /// The head of a saga; registers `mailbox` if it runs. `None`: there is no such saga.
    fn attach(&self, id: SagaId, mailbox: Option<Mailbox>) -> impl Future<Output = Result<Option<Attached>, StoreError>> + Send;

    /// A saga as it stands, without a lease. `None`: there is no such saga.
    fn load(&self, id: SagaId) -> impl Future<Output = Result<Option<Loaded>, StoreError>> + Send;

    /// Sagas, the newest change first: a create or an append, not a lease or a command. Their answers are left out: see
    /// [`Journal::attach`].
    fn list(&self, listing: Listing) -> impl Future<Output = Result<Vec<(SagaId, Head)>, StoreError>> + Send;

    /// How many sagas are in each state, in the order of [`SagaState::ALL`]. Those that have ended may count for a while after
    /// their retention.
    fn count(&self) -> impl Future<Output = Result<[u64; 5], StoreError>> + Send;

    /// Keeps a definition for good. Repeating it changes nothing.
    fn pin(&self, hash: DefinitionHash, definition: Bytes) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// A kept definition.
    fn definition(&self, hash: DefinitionHash) -> impl Future<Output = Result<Option<Bytes>, StoreError>> + Send;
}
