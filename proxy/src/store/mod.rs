//! The store: where claims are judged and responses are kept.
//!
//! One method is one atomic step and one round trip. The store, not the caller, judges owner, fence and lease, by its own clock.
//! Lost ownership is a value ([`Held::Lost`]), not an error. Every method may be repeated after a lost reply: it carries what tells
//! its own repeat (the owner nonce), and answers as it did the first time.
//!
//! # The record
//!
//! absent → in flight (owner, fence, lease, attempt) → done. In flight with a lapsed lease, or given up by its owner, is *unknown*:
//! nobody knows whether the upstream acted. An unknown record leaves that state only by a completion, a settled probe, an operator,
//! a renewal by its owner, a retake, a seal, or expiry. The rules are [`transition`]; the memory and the embedded store call it, and
//! the Redis scripts mirror it.

use std::{future::Future, sync::Arc, time::Duration};

use bytes::Bytes;

pub use self::undo::{Absence, FirstSend, OnStepUnknown, Undo, Undone};
use crate::{
    ids::{Fence, Fingerprint, HashKey, Mailbox, Owner, RecordName},
    time::Timestamp,
};

pub mod backend;
pub mod clock;
pub mod embedded;
pub mod faults;
pub mod journal;
pub mod memory;
pub mod redis;
pub mod reservation;
pub mod transition;
pub mod undo;
pub mod wakes;

/// What a claim asks for.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The record.
    pub name: RecordName,
    /// What the key is used with; another one is a [`Claimed::Mismatch`].
    pub fingerprint: Fingerprint,
    /// The caller's nonce. The same nonce again is the caller's own repeat.
    pub owner: Owner,
    /// How long the claim holds without renewal.
    pub lease: Duration,
    /// How long the record is kept.
    pub ttl: Duration,
    /// Where to send word when the record leaves "in flight"; `None`: the caller does not wait.
    pub mailbox: Option<Mailbox>,
    /// What to do with a record whose outcome is unknown.
    pub on_unknown: OnUnknown,
    /// What to do where there is no record.
    pub on_absent: OnAbsent,
    /// What a prober needs who does not have the request: an undo's. Kept while nobody knows the outcome; opaque to the store. Empty:
    /// nothing is kept.
    pub note: Bytes,
}

/// What a claim does where there is no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnAbsent {
    /// It begins one: [`Claimed::Fresh`].
    Begin,
    /// It seals the name: [`Claimed::Sealed`], or, where that is no proof that nothing was sent, [`Claimed::Unknown`]. With this the
    /// claim never begins and never retakes anything: where it would, it seals.
    Seal(Absence),
}

/// What a claim does with a record whose outcome is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnUnknown {
    /// Nothing: [`Claimed::Unknown`].
    Hold,
    /// Take it over: [`Claimed::Retake`].
    Resend,
    /// Become the prober, if there is none: [`Claimed::Probe`], under a probe lease of this length.
    Probe {
        /// How long the probe lease holds.
        lease: Duration,
    },
}

/// What the holder of a claim knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The fencing token of every later write.
    pub fence: Fence,
    /// The number of this send, from 1.
    pub attempt: u32,
}

/// The answer to a [`Claim`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// Nobody has started: the caller sends.
    Fresh(Grant),
    /// Somebody may have started and is gone; the policy says to send again. Attempt 1 means that earlier sends are disproved.
    Retake(Grant),
    /// Done: this is the record.
    Replay(Done),
    /// The key was used with something else.
    Mismatch,
    /// An undo, or a driver that asked what became of it, has forbidden this key.
    Sealed,
    /// Somebody is at it, and has the lease for this long.
    InFlight {
        /// The time left on the lease.
        left: Duration,
    },
    /// Nobody knows whether the upstream acted.
    Unknown {
        /// Whether somebody else is probing now.
        probing: bool,
    },
    /// The caller is the prober: it asks the service and then [settles](Store::settle).
    Probe {
        /// The fence of the record, which a probe does not change.
        fence: Fence,
        /// The attempt in doubt.
        attempt: u32,
        /// How long ago the send began, at the least.
        sent_ago: Duration,
    },
}

/// A finished record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// The response, as [`crate::idempotency::response`] encoded (and perhaps sealed) it. Opaque to the store. Empty for an undo with
    /// nothing to undo.
    pub response: Bytes,
    /// The fence under which it was written.
    pub fence: Fence,
    /// The attempt that it answers.
    pub attempt: u32,
    /// How long the record is still kept.
    pub ttl_left: Duration,
}

/// A claim in the hands of its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// The record.
    pub name: RecordName,
    /// The owner's nonce.
    pub owner: Owner,
    /// The fence of the claim.
    pub fence: Fence,
}

/// What a completion writes.
#[derive(Clone, Debug)]
pub struct Complete {
    /// The claim it completes.
    pub token: Token,
    /// The attempt it answers (kept with the record).
    pub attempt: u32,
    /// Needed where the record is gone and is restored.
    pub fingerprint: Fingerprint,
    /// How long the record is kept from now.
    pub ttl: Duration,
    /// The response. At most the policy's `max_stored_body` plus headers.
    pub response: Bytes,
}

/// The answer to a [`Complete`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Completed {
    /// It is kept now: written, or restored where the record was gone.
    Kept,
    /// The caller's own earlier completion had arrived.
    Already,
    /// Somebody else took the record over, or settled it with another response; nothing was changed. This is what it holds, if it
    /// is done.
    Fenced(Option<Done>),
}

/// One lease to renew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Renewal {
    /// The claim.
    pub token: Token,
    /// The new length, from now.
    pub lease: Duration,
    /// Whether the send has begun: if not, it will begin later than now, and the record must know (see [`Claimed::Probe`]).
    pub sent: bool,
}

/// Whether a claim is still its owner's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// The claim stands, and what was asked is done.
    Kept,
    /// Another owner has it, or it is done, or it is gone. Nothing was changed.
    Lost,
}

/// The end of a probe.
#[derive(Clone, Debug)]
pub struct Settle {
    /// The record.
    pub name: RecordName,
    /// The prober's nonce, as given to [`Claim::owner`].
    pub prober: Owner,
    /// The record's fence, as [`Claimed::Probe`] told it.
    pub fence: Fence,
    /// What the service said.
    pub verdict: ProbeVerdict,
}

/// What a probe found.
#[derive(Clone, Debug)]
pub enum ProbeVerdict {
    /// The upstream had acted: this is the response to keep.
    Done {
        /// As in [`Complete::response`].
        response: Bytes,
        /// As in [`Complete::ttl`].
        ttl: Duration,
    },
    /// The upstream had not acted: the prober becomes the owner, attempt 1.
    NotDone {
        /// As in [`Claim::lease`].
        lease: Duration,
        /// As in [`Claim::ttl`].
        ttl: Duration,
    },
    /// The upstream had not acted, and is not to act any more.
    Seal {
        /// As in [`Claim::ttl`].
        ttl: Duration,
    },
    /// Still nobody knows: the probe lease is given back.
    Undecided,
}

/// The answer to a [`Settle`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// The record is done: by this probe, or by a late completion that came first.
    Done(Done),
    /// The prober owns the record and may send.
    Retake(Grant),
    /// Nothing was done, and nothing will be: by this probe, or by an undo that came first.
    Sealed,
    /// The probe lease is free again.
    Freed,
    /// The probe lease was not the caller's any more. Nothing was changed.
    Lost,
}

/// What an operator says of an unknown record.
#[derive(Clone, Debug)]
pub enum Resolution {
    /// The upstream had acted: this is the response.
    Done {
        /// As in [`Complete::response`].
        response: Bytes,
        /// As in [`Complete::ttl`].
        ttl: Duration,
    },
    /// The upstream had not acted: the next request with this key is sent, as attempt 1.
    NotDone,
}

/// The answer to a [`Resolution`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolved {
    /// It is as the operator said.
    Applied,
    /// There is no such record.
    Absent,
    /// The record is in flight, done or sealed: only an unknown one can be resolved.
    NotUnknown,
}

/// Who holds a reservation, see [`Store::reserve`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reserved {
    /// The caller's record holds it (now, or already).
    Ours,
    /// Another record holds it.
    Theirs,
}

/// A record as an operator sees it. No key, no body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// Where the record stands.
    pub standing: Standing,
    /// The number of the last send.
    pub attempt: u32,
    /// The fence.
    pub fence: Fence,
    /// How long the record is still kept.
    pub ttl_left: Duration,
}

/// Where a record stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Somebody is at it.
    InFlight {
        /// The time left on the lease.
        left: Duration,
    },
    /// Nobody knows whether the upstream acted.
    Unknown,
    /// Done, with the response as it was stored.
    Done(Bytes),
    /// Sealed by an undo.
    Sealed,
}

/// Why the store did not answer. The variant says what the caller may assume.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum StoreError {
    /// Nothing was written: the operation never reached the store.
    #[error("the store was not reached: {0}")]
    NotReached(String),
    /// The operation may or may not have been applied: its answer was lost or late.
    #[error("the store's answer was lost: {0}")]
    AnswerLost(String),
    /// The store refused: it is full, read-only or wrongly set up. Nothing was written.
    #[error("the store refused: {0}")]
    Refused(String),
    /// What the store holds under this name cannot be read.
    #[error("the store holds a record that cannot be read: {0}")]
    Corrupt(String),
}

impl StoreError {
    /// Whether the operation may have been applied.
    pub const fn may_have_applied(&self) -> bool {
        matches!(self, Self::AnswerLost(_))
    }
}

/// How the store is, for `/readyz` and for rule 16 of the idempotency design.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// Whether operations are expected to succeed; the reason if not.
    pub ready: Result<(), String>,
    /// What survives what: "memory only", "fsync on every commit", "AOF everysec"…
    pub durability: String,
    /// What an operator should know and may want to change.
    pub warnings: Vec<String>,
    /// The monotonic time of the last recovery from an outage, if there was one.
    pub recovered_at: Option<std::time::Instant>,
    /// Since when acknowledged writes may have been lost (a failover, a restart without persistence), by the store's clock.
    pub writes_may_be_lost_since: Option<Timestamp>,
    /// What was acknowledged from this time on is not lost, as far as can be told, by the store's clock. `None`: nothing is known.
    pub remembers_since: Option<Timestamp>,
    /// Round trips made so far by all handles of this process.
    pub round_trips: u64,
}

/// A store of idempotency records.
///
/// Handles are cheap to clone and share what they must. [`Store::handle`] gives one with a connection of its own, for one core.
pub trait Store: Clone + Send + Sync + 'static {
    /// A handle with its own connection, for use by one core.
    #[must_use]
    fn handle(&self) -> Self;

    /// The key of all record names: created once in the store, the same for every process.
    fn hash_key(&self) -> impl Future<Output = Result<HashKey, StoreError>> + Send;

    /// Claims a record. If the process dies just after, the record is in flight until the lease lapses, then unknown.
    fn claim(&self, claim: Claim) -> impl Future<Output = Result<Claimed, StoreError>> + Send;

    /// Writes the response. If the process dies just after, every later claim replays it.
    /// Runs also when the store is out of memory, if the store can tell.
    fn complete(&self, complete: Complete) -> impl Future<Output = Result<Completed, StoreError>> + Send;

    /// Renews leases, all in one round trip; the answers are in the same order. A lapsed claim that nobody took is in flight again.
    fn extend(&self, renewals: Vec<Renewal>) -> impl Future<Output = Result<Vec<Held>, StoreError>> + Send;

    /// Gives a claim up after the send began: unknown now. Waiters are woken.
    fn doubt(&self, token: Token) -> impl Future<Output = Result<Held, StoreError>> + Send;

    /// Gives a claim up that sent nothing. First attempt: the record is gone. Later ones: unknown, for an earlier send stands.
    /// Without a fence (its claim's answer was lost), the owner alone is compared. Waiters are woken.
    fn release(
        &self,
        name: RecordName,
        owner: Owner,
        fence: Option<Fence>,
    ) -> impl Future<Output = Result<Held, StoreError>> + Send;

    /// The barrier: decides, on the records of a step and of its undo together, whether the undo is sent. If the process dies just
    /// after, a granted undo's own record is as after [`Store::claim`]; a sealed step stays sealed, and no later claim of it begins.
    fn undo(&self, undo: Undo) -> impl Future<Output = Result<Undone, StoreError>> + Send;

    /// Ends a probe.
    fn settle(&self, settle: Settle) -> impl Future<Output = Result<Settled, StoreError>> + Send;

    /// Reserves `name` (a payload) for the record `holder`; the first one has it until `ttl` ends or it is unreserved.
    fn reserve(
        &self,
        name: RecordName,
        holder: RecordName,
        ttl: Duration,
    ) -> impl Future<Output = Result<Reserved, StoreError>> + Send;

    /// Gives a reservation back, if `holder` has it.
    fn unreserve(&self, name: RecordName, holder: RecordName) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// An operator's word on an unknown record.
    fn resolve(&self, name: RecordName, resolution: Resolution) -> impl Future<Output = Result<Resolved, StoreError>> + Send;

    /// An operator deletes a record, whatever its state; `true` if there was one. Waiters are woken.
    fn forget(&self, name: RecordName) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// A record as it stands; `None` if there is none.
    fn inspect(&self, name: RecordName) -> impl Future<Output = Result<Option<Inspection>, StoreError>> + Send;

    /// How the store is, from what is known now; makes no round trip.
    fn health(&self) -> Arc<Health>;

    /// [`Health::recovered_at`] alone: asked for on the way of a request.
    fn recovered_at(&self) -> Option<std::time::Instant> {
        self.health().recovered_at
    }

    /// Ends background work and flushes; operations fail afterwards.
    fn close(&self) -> impl Future<Output = ()> + Send;
}
