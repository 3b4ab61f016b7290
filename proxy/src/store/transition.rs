//! The rules of the idempotency record, as pure functions: `(record?, operation, now) → (outcome, write, wake)`.
//!
//! The memory store and the embedded store call these; the Redis scripts mirror them and are tested against them. The caller holds
//! whatever makes the step atomic, applies [`Step::write`], and wakes [`Step::wake`]. An expired record must be passed as `None`
//! (see [`Record::live`]).

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

pub use self::undo::{Both, undo};
use super::{
    Claim, Claimed, Complete, Completed, Done, Grant, Held, Inspection, OnAbsent, OnUnknown, ProbeVerdict, Renewal, Resolution,
    Resolved, Settle, Settled, Standing, Token,
};
use crate::{
    ids::{Fence, Fingerprint, Mailbox, Owner},
    time::{Timestamp, whole_ms},
};

mod undo;

/// How many processes can wait for one record; word to further ones is not sent, and their timers find out.
pub const MAX_MAILBOXES: usize = 64;

/// A record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// What the key was first used with.
    pub fingerprint: Fingerprint,
    /// The last owner.
    pub owner: Owner,
    /// The last fence.
    pub fence: Fence,
    /// The number of the last send; 0 where all sends are disproved, or there was none.
    pub attempt: u32,
    /// When the record ends.
    pub expires_at: Timestamp,
    /// Where it stands.
    pub state: State,
}

/// Where a record stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// In flight, or, with a lapsed lease, unknown.
    Open(Open),
    /// Done: the response.
    Done(Bytes),
    /// Forbidden. Attempt 0: nothing was done under this key; otherwise something may have been.
    Sealed,
}

/// The state of a claim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open {
    /// In flight before this time, unknown from it on.
    pub lease_until: Timestamp,
    /// The length of the lease in milliseconds: no lease ends later than now plus this (a clock that stepped back).
    pub lease_ms: u64,
    /// The send began at this time at the latest.
    pub sent_by: Timestamp,
    /// Who wants word.
    pub mailboxes: Vec<Mailbox>,
    /// Who asks the service, and until when.
    pub probe: Option<ProbeLease>,
    /// [`Claim::note`].
    #[serde(skip)]
    pub note: Bytes,
}

/// The lease of a prober.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeLease {
    /// The prober's nonce.
    pub prober: Owner,
    /// It holds before this time.
    pub until: Timestamp,
}

/// What to do with the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Leave it.
    Nothing,
    /// Store this one.
    Put(Box<Record>),
    /// Delete it.
    Delete,
}

/// One transition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step<T> {
    /// The answer to the caller.
    pub outcome: T,
    /// What to write.
    pub write: Write,
    /// Whom to wake, after the write.
    pub wake: Vec<Mailbox>,
}

impl<T> Step<T> {
    fn nothing(outcome: T) -> Self {
        Self { outcome, write: Write::Nothing, wake: Vec::new() }
    }

    fn put(outcome: T, record: Record) -> Self {
        Self { outcome, write: Write::Put(Box::new(record)), wake: Vec::new() }
    }

    fn waking(mut self, mailboxes: &[Mailbox]) -> Self {
        self.wake = mailboxes.to_vec();
        self
    }
}

impl Record {
    /// This record, if it has not expired.
    pub fn live(&self, now: Timestamp) -> Option<&Self> {
        (self.expires_at > now).then_some(self)
    }

    fn done(&self, response: &Bytes, now: Timestamp) -> Done {
        Done { response: response.clone(), fence: self.fence, attempt: self.attempt, ttl_left: now.until(self.expires_at) }
    }

    fn as_done(&self, now: Timestamp) -> Option<Done> {
        match &self.state {
            State::Done(response) => Some(self.done(response, now)),
            State::Open(_) | State::Sealed => None,
        }
    }

    fn is_owned_by(&self, owner: Owner, fence: Fence) -> bool {
        self.owner == owner && self.fence == fence
    }

    /// The next fence: it grows even if the clock does not.
    fn next_fence(&self, now: Timestamp) -> Fence {
        Fence(now.as_unix_us().max(self.fence.0.saturating_add(1)))
    }

    const fn grant(&self) -> Grant {
        Grant { fence: self.fence, attempt: self.attempt }
    }

    fn with(&self, open: Open) -> Self {
        Self { state: State::Open(open), ..self.clone() }
    }

    /// This record, forbidden from now on. `attempt` 0: nothing was done.
    fn sealed(&self, attempt: u32, ttl: Duration, now: Timestamp) -> Self {
        Self { state: State::Sealed, attempt, expires_at: self.expires_at.max(now.plus(ttl)), ..self.clone() }
    }

    /// A record that forbids a name under which there is none.
    fn seal(owner: Owner, attempt: u32, ttl: Duration, now: Timestamp) -> Self {
        Self {
            fingerprint: Fingerprint::from_bytes([0; Fingerprint::LEN]),
            owner,
            fence: Fence(now.as_unix_us()),
            attempt,
            expires_at: now.plus(ttl),
            state: State::Sealed,
        }
    }

    fn mailboxes(&self) -> &[Mailbox] {
        match &self.state {
            State::Open(open) => &open.mailboxes,
            State::Done(_) | State::Sealed => &[],
        }
    }
}

impl Open {
    fn begin(now: Timestamp, lease: Duration, mailboxes: Vec<Mailbox>) -> Self {
        let until = now.plus(lease);
        Self { lease_until: until, lease_ms: whole_ms(lease), sent_by: until, mailboxes, probe: None, note: Bytes::new() }
    }

    /// The time left on the lease; `None` if it has lapsed.
    pub fn left(&self, now: Timestamp) -> Option<Duration> {
        let left = now.until(self.lease_until).min(Duration::from_millis(self.lease_ms));
        (!left.is_zero()).then_some(left)
    }

    /// Cuts a lease that the clock's step made too long. Without it, a lease that reaches far ahead would never lapse.
    fn cut(&mut self, now: Timestamp) {
        self.lease_until = self.lease_until.min(now.plus(Duration::from_millis(self.lease_ms)));
    }

    fn register(&mut self, mailbox: Option<Mailbox>) {
        if let Some(mailbox) = mailbox
            && self.mailboxes.len() < MAX_MAILBOXES
            && !self.mailboxes.contains(&mailbox)
        {
            self.mailboxes.push(mailbox);
        }
    }

    fn is_probed_by_another(&self, nonce: Owner, now: Timestamp) -> bool {
        self.probe.as_ref().is_some_and(|probe| probe.until > now && probe.prober != nonce)
    }

    fn lapse(&mut self, now: Timestamp) {
        self.lease_until = self.lease_until.min(now);
    }
}

/// [`super::Store::claim`]. `remembers_since`: see [`super::Health::remembers_since`].
pub fn claim(record: Option<&Record>, claim: &Claim, remembers_since: Timestamp, now: Timestamp) -> Step<Claimed> {
    let Some(record) = record else { return claim_absent(claim, remembers_since, now) };
    match &record.state {
        // Who asks what became of it is not told that nothing did.
        State::Sealed if record.attempt > 0 && claim.on_absent != OnAbsent::Begin => {
            Step::nothing(Claimed::Unknown { probing: false })
        }
        State::Sealed => Step::nothing(Claimed::Sealed),
        _ if record.fingerprint != claim.fingerprint => Step::nothing(Claimed::Mismatch),
        State::Done(response) => Step::nothing(Claimed::Replay(record.done(response, now))),
        // Attempt 0: an operator has disproved this owner's send, and its claim with it.
        State::Open(open) if record.owner == claim.owner && record.attempt > 0 => {
            let again = Open { note: claim.note.clone(), ..Open::begin(now, claim.lease, open.mailboxes.clone()) };
            Step::put(Claimed::Fresh(record.grant()), record.with(again))
        }
        State::Open(open) => match open.left(now) {
            Some(left) => {
                let mut waiting = open.clone();
                waiting.cut(now);
                waiting.register(claim.mailbox);
                write_if_changed(Claimed::InFlight { left }, record, waiting)
            }
            None => claim_unknown(record, open, claim, now),
        },
    }
}

fn claim_absent(claim: &Claim, remembers_since: Timestamp, now: Timestamp) -> Step<Claimed> {
    let absence = match claim.on_absent {
        OnAbsent::Begin => {
            let record = Record {
                fingerprint: claim.fingerprint,
                owner: claim.owner,
                fence: Fence(now.as_unix_us()),
                attempt: 1,
                expires_at: now.plus(claim.ttl),
                state: State::Open(Open { note: claim.note.clone(), ..Open::begin(now, claim.lease, Vec::new()) }),
            };
            return Step::put(Claimed::Fresh(record.grant()), record);
        }
        OnAbsent::Seal(absence) => absence,
    };
    if absence.is_proof(remembers_since, now) {
        Step::put(Claimed::Sealed, Record::seal(claim.owner, 0, claim.ttl, now))
    } else {
        Step::put(Claimed::Unknown { probing: false }, Record::seal(claim.owner, 1, claim.ttl, now))
    }
}

fn claim_unknown(record: &Record, open: &Open, claim: &Claim, now: Timestamp) -> Step<Claimed> {
    let only_asks = claim.on_absent != OnAbsent::Begin;
    let retake = || {
        let mut taken = take(record, claim.owner, record.attempt.saturating_add(1), claim.lease, claim.ttl, now);
        if let State::Open(open) = &mut taken.state {
            open.note = claim.note.clone();
        }
        Step::put(Claimed::Retake(taken.grant()), taken)
    };
    match record.attempt {
        0 if only_asks => return Step::put(Claimed::Sealed, record.sealed(0, claim.ttl, now)).waking(&open.mailboxes),
        0 => return retake(),
        _ => {}
    }
    let probing = open.is_probed_by_another(claim.owner, now);
    match claim.on_unknown {
        OnUnknown::Resend if !only_asks => retake(),
        OnUnknown::Probe { lease } if !probing => {
            let probe = ProbeLease { prober: claim.owner, until: now.plus(lease) };
            let sent_ago = open.sent_by.until(now);
            let outcome = Claimed::Probe { fence: record.fence, attempt: record.attempt, sent_ago };
            Step::put(outcome, record.with(Open { probe: Some(probe), ..open.clone() }))
        }
        OnUnknown::Hold | OnUnknown::Resend | OnUnknown::Probe { .. } => {
            let mut waiting = open.clone();
            waiting.register(claim.mailbox);
            write_if_changed(Claimed::Unknown { probing }, record, waiting)
        }
    }
}

/// The record under a new owner.
fn take(record: &Record, owner: Owner, attempt: u32, lease: Duration, ttl: Duration, now: Timestamp) -> Record {
    let note = match &record.state {
        State::Open(open) => open.note.clone(),
        State::Done(_) | State::Sealed => Bytes::new(),
    };
    Record {
        owner,
        fence: record.next_fence(now),
        attempt,
        expires_at: now.plus(ttl),
        state: State::Open(Open { note, ..Open::begin(now, lease, record.mailboxes().to_vec()) }),
        ..record.clone()
    }
}

fn write_if_changed<T>(outcome: T, record: &Record, open: Open) -> Step<T> {
    let changed = record.with(open);
    if changed == *record { Step::nothing(outcome) } else { Step::put(outcome, changed) }
}

/// [`super::Store::complete`].
pub fn complete(record: Option<&Record>, complete: &Complete, now: Timestamp) -> Step<Completed> {
    let Token { owner, fence, .. } = complete.token;
    let done = Record {
        fingerprint: complete.fingerprint,
        owner,
        fence,
        attempt: complete.attempt,
        expires_at: now.plus(complete.ttl),
        state: State::Done(complete.response.clone()),
    };
    match record {
        None => Step::put(Completed::Kept, done),
        Some(record) if !record.is_owned_by(owner, fence) => Step::nothing(Completed::Fenced(record.as_done(now))),
        Some(record) => match &record.state {
            State::Done(stored) if *stored == complete.response => Step::nothing(Completed::Already),
            // A probe or an operator settled it first: its caller gets what every replay gives.
            State::Done(_) => Step::nothing(Completed::Fenced(record.as_done(now))),
            State::Sealed => Step::nothing(Completed::Fenced(None)),
            State::Open(open) => Step::put(Completed::Kept, done).waking(&open.mailboxes),
        },
    }
}

/// [`super::Store::extend`], for one lease.
pub fn extend(record: Option<&Record>, renewal: &Renewal, now: Timestamp) -> Step<Held> {
    match owned_open(record, renewal.token.owner, Some(renewal.token.fence)) {
        Some((record, open)) if record.attempt > 0 => {
            let until = now.plus(renewal.lease);
            let sent_by = if renewal.sent { open.sent_by } else { until };
            let renewed = Open { lease_until: until, lease_ms: whole_ms(renewal.lease), sent_by, ..open.clone() };
            Step::put(Held::Kept, record.with(renewed))
        }
        _ => Step::nothing(Held::Lost),
    }
}

/// [`super::Store::doubt`].
pub fn doubt(record: Option<&Record>, token: &Token, now: Timestamp) -> Step<Held> {
    match owned_open(record, token.owner, Some(token.fence)) {
        Some((record, open)) => {
            let mut lapsed = open.clone();
            lapsed.lapse(now);
            lapsed.sent_by = lapsed.sent_by.min(now);
            let wake = std::mem::take(&mut lapsed.mailboxes);
            Step::put(Held::Kept, record.with(lapsed)).waking(&wake)
        }
        None => Step::nothing(Held::Lost),
    }
}

/// [`super::Store::release`].
pub fn release(record: Option<&Record>, owner: Owner, fence: Option<Fence>, now: Timestamp) -> Step<Held> {
    if let Some((record, open)) = owned_open(record, owner, fence) {
        let mut lapsed = open.clone();
        lapsed.lapse(now);
        let wake = std::mem::take(&mut lapsed.mailboxes);
        let step = if record.attempt <= 1 {
            Step { outcome: Held::Kept, write: Write::Delete, wake: Vec::new() }
        } else {
            Step::put(Held::Kept, record.with(lapsed))
        };
        return step.waking(&wake);
    }
    // A prober whose claim's answer was lost: the record is not its own, the probe lease is.
    match record {
        Some(record @ Record { state: State::Open(open), .. }) if fence.is_none() && is_prober(open, owner) => {
            Step::put(Held::Kept, record.with(Open { probe: None, mailboxes: Vec::new(), ..open.clone() }))
                .waking(&open.mailboxes)
        }
        _ => Step::nothing(Held::Lost),
    }
}

/// [`super::Store::settle`].
pub fn settle(record: Option<&Record>, settle: &Settle, now: Timestamp) -> Step<Settled> {
    let Some(record) = record else { return Step::nothing(Settled::Lost) };
    let open = match &record.state {
        State::Done(response) => return Step::nothing(Settled::Done(record.done(response, now))),
        State::Sealed if record.attempt == 0 => return Step::nothing(Settled::Sealed),
        State::Sealed => return Step::nothing(Settled::Lost),
        State::Open(open) => open,
    };
    let is_mine = is_prober(open, settle.prober) && record.fence == settle.fence;
    if !is_mine || open.left(now).is_some() {
        return Step::nothing(Settled::Lost);
    }
    match &settle.verdict {
        ProbeVerdict::Done { response, ttl } => {
            let done = Record { state: State::Done(response.clone()), expires_at: now.plus(*ttl), ..record.clone() };
            Step::put(Settled::Done(done.done(response, now)), done).waking(&open.mailboxes)
        }
        ProbeVerdict::NotDone { lease, ttl } => {
            let taken = take(record, settle.prober, 1, *lease, *ttl, now);
            Step::put(Settled::Retake(taken.grant()), taken)
        }
        ProbeVerdict::Seal { ttl } => Step::put(Settled::Sealed, record.sealed(0, *ttl, now)).waking(&open.mailboxes),
        ProbeVerdict::Undecided => {
            let freed = Open { probe: None, mailboxes: Vec::new(), ..open.clone() };
            Step::put(Settled::Freed, record.with(freed)).waking(&open.mailboxes)
        }
    }
}

/// [`super::Store::resolve`].
pub fn resolve(record: Option<&Record>, resolution: &Resolution, now: Timestamp) -> Step<Resolved> {
    let Some(record) = record else { return Step::nothing(Resolved::Absent) };
    let open = match &record.state {
        State::Open(open) if open.left(now).is_none() => open,
        State::Open(_) | State::Done(_) | State::Sealed => return Step::nothing(Resolved::NotUnknown),
    };
    let resolved = match resolution {
        Resolution::Done { response, ttl } => {
            Record { state: State::Done(response.clone()), expires_at: now.plus(*ttl), ..record.clone() }
        }
        Resolution::NotDone => {
            let disproved = Open { probe: None, mailboxes: Vec::new(), ..open.clone() };
            Record { attempt: 0, ..record.with(disproved) }
        }
    };
    Step::put(Resolved::Applied, resolved).waking(&open.mailboxes)
}

/// [`super::Store::forget`].
pub fn forget(record: Option<&Record>) -> Step<bool> {
    match record {
        None => Step::nothing(false),
        Some(record) => Step { outcome: true, write: Write::Delete, wake: record.mailboxes().to_vec() },
    }
}

/// [`super::Store::inspect`].
pub fn inspect(record: &Record, now: Timestamp) -> Inspection {
    let standing = match &record.state {
        State::Sealed => Standing::Sealed,
        State::Done(response) => Standing::Done(response.clone()),
        State::Open(open) => open.left(now).map_or(Standing::Unknown, |left| Standing::InFlight { left }),
    };
    Inspection { standing, attempt: record.attempt, fence: record.fence, ttl_left: now.until(record.expires_at) }
}

fn owned_open(record: Option<&Record>, owner: Owner, fence: Option<Fence>) -> Option<(&Record, &Open)> {
    let record = record?;
    match &record.state {
        State::Open(open) if record.owner == owner && fence.is_none_or(|fence| fence == record.fence) => Some((record, open)),
        _ => None,
    }
}

fn is_prober(open: &Open, nonce: Owner) -> bool {
    open.probe.as_ref().is_some_and(|probe| probe.prober == nonce)
}
