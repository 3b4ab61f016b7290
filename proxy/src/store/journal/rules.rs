//! The rules of the journal, as pure functions: `(saga?, operation, now) → (outcome, write, wake)`.
//!
//! As with [`crate::store::transition`], the stores in this process call these and the Redis scripts mirror them. The caller holds
//! whatever makes the step atomic, applies the [`Step`] as a whole, and then wakes. It passes a saga also where that has outlived
//! its retention: every rule takes it for absent, but a new one under its id gets a higher fence. Journals and commands lie beside
//! the [`Saga`]; a step says what is added to them and taken from them.

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{
    Answer, Append, Appended, Attached, Birth, Commanded, Create, Created, Granted, Head, MAX_COMMANDS, MAX_JOURNAL_ENTRIES,
    Next, SagaHeld, SagaRenewal, SagaState,
};
use crate::{
    ids::{Fence, Mailbox, Owner},
    store::transition::MAX_MAILBOXES,
    time::{Timestamp, whole_ms},
};

mod checks;

pub use self::checks::{check_append, check_command, check_create, check_definition};

/// A saga, as it is stored: its head and what the rules compare.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saga {
    /// What does not change.
    pub birth: Birth,
    /// Where it stands.
    pub state: SagaState,
    /// Whether an operator has paused it.
    pub paused: bool,
    /// How many entries its journal has.
    pub version: u64,
    /// The fence under which it was created: tells it from an earlier saga of the same id.
    pub born: Fence,
    /// The last fence.
    pub fence: Fence,
    /// The last driver.
    pub owner: Owner,
    /// The nonce of the last append.
    pub last_append: Option<Owner>,
    /// When it was created or appended to. Leases and commands do not count.
    pub updated_at: Timestamp,
    /// In whose hands it is.
    pub hold: Hold,
    /// What callers get.
    pub answer: Option<Answer>,
    /// Who wants word of its end or quarantine.
    pub mailboxes: Vec<Mailbox>,
    /// The nonces of the commands that wait, the oldest first.
    pub waiting: Vec<Owner>,
    /// How many commands were taken before those.
    pub commands_taken: u64,
}

/// In whose hands a saga is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Hold {
    /// The owner has it before this time; from then on anyone may take it.
    Driven {
        /// The lease's end.
        until: Timestamp,
        /// The lease's length in milliseconds: none ends later than now plus this (a clock that stepped back).
        lease_ms: u64,
    },
    /// Nobody has it, and anyone may take it from this time on.
    Parked {
        /// The next timer.
        due_at: Timestamp,
    },
    /// Nobody has it until a command comes.
    Resting,
    /// It has ended.
    Ended {
        /// Until when it is kept.
        expires_at: Timestamp,
    },
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step<T> {
    /// The answer to the caller.
    pub outcome: T,
    /// What to write; `None`: nothing at all, and then all that follows is empty.
    pub put: Option<Box<Saga>>,
    /// What to add at the end of the journal.
    pub entries: Vec<Bytes>,
    /// What to add at the end of the commands.
    pub command: Option<Bytes>,
    /// How many of the commands to delete: the oldest, before one is added.
    pub commands_taken: usize,
    /// Whom to wake, after the write.
    pub wake: Vec<Mailbox>,
}

impl<T> Step<T> {
    fn nothing(outcome: T) -> Self {
        Self { outcome, put: None, entries: Vec::new(), command: None, commands_taken: 0, wake: Vec::new() }
    }

    fn put(outcome: T, saga: Saga) -> Self {
        Self { put: Some(Box::new(saga)), ..Self::nothing(outcome) }
    }

    fn put_if_changed(outcome: T, before: &Saga, saga: Saga) -> Self {
        if saga == *before { Self::nothing(outcome) } else { Self::put(outcome, saga) }
    }
}

/// What a lease comes to. The store adds the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// The caller drives it now.
    Granted(Box<Saga>),
    /// As in [`super::Leased::NotDue`].
    NotDue(Option<Duration>),
    /// As in [`super::Leased::Gone`].
    Gone,
}

impl Hold {
    fn driven(now: Timestamp, lease: Duration) -> Self {
        Self::Driven { until: now.plus(lease), lease_ms: whole_ms(lease) }
    }

    const fn is_driven(&self) -> bool {
        matches!(self, Self::Driven { .. })
    }

    /// A lease that the clock's step made too long, cut. Without it, a lease that reaches far ahead would never lapse.
    fn cut(self, now: Timestamp) -> Self {
        match self {
            Self::Driven { until, lease_ms } => {
                Self::Driven { until: until.min(now.plus(Duration::from_millis(lease_ms))), lease_ms }
            }
            Self::Parked { .. } | Self::Resting | Self::Ended { .. } => self,
        }
    }

    /// When it is due; `None`: it is not.
    pub const fn due_at(&self) -> Option<Timestamp> {
        match *self {
            Self::Driven { until, .. } => Some(until),
            Self::Parked { due_at } => Some(due_at),
            Self::Resting | Self::Ended { .. } => None,
        }
    }

    /// Until when it is kept; `None`: it is open, and does not expire.
    pub const fn expires_at(&self) -> Option<Timestamp> {
        match *self {
            Self::Ended { expires_at } => Some(expires_at),
            Self::Driven { .. } | Self::Parked { .. } | Self::Resting => None,
        }
    }
}

impl Saga {
    /// This saga, unless it has ended and outlived its retention.
    pub fn live(&self, now: Timestamp) -> Option<&Self> {
        self.hold.expires_at().is_none_or(|at| at > now).then_some(self)
    }

    /// Its head.
    pub fn head(&self) -> Head {
        Head {
            birth: self.birth.clone(),
            state: self.state,
            paused: self.paused,
            version: self.version,
            fence: self.fence,
            updated_at: self.updated_at,
            due_at: self.hold.due_at(),
            answer: self.answer.clone(),
        }
    }

    /// Its head as lists show it: without the answer.
    pub fn listed(&self) -> Head {
        Head { answer: None, ..self.head() }
    }

    fn granted(&self, now: Timestamp) -> Granted {
        Granted { fence: self.fence, version: self.version, now, commands: !self.waiting.is_empty() }
    }

    fn is_owned_by(&self, owner: Owner, fence: Fence) -> bool {
        self.owner == owner && self.fence == fence
    }

    fn next_fence(&self, now: Timestamp) -> Fence {
        Fence(now.as_unix_us().max(self.fence.0.saturating_add(1)))
    }

    /// What a driver said that comes next, and the state it said it with.
    fn turn(&mut self, state: SagaState, next: &Next, now: Timestamp) {
        self.state = state;
        self.updated_at = now;
        let fence = self.fence;
        let answer = |bytes: &Bytes| Answer { bytes: bytes.clone(), fence };
        self.hold = match next {
            Next::Run { lease } => Hold::driven(now, *lease),
            // A command that the driver has not seen must not wait for a timer, or for ever.
            Next::Park { .. } | Next::Rest { .. } if !self.waiting.is_empty() => Hold::Parked { due_at: now },
            Next::Park { due_in } => Hold::Parked { due_at: now.plus(*due_in) },
            Next::Rest { .. } => Hold::Resting,
            // A millisecond at the least: a later saga of this id, whose fence is the time, is then told apart from this one.
            Next::End { retention, .. } => Hold::Ended { expires_at: now.plus((*retention).max(Duration::from_millis(1))) },
        };
        self.answer = match next {
            Next::End { answer: bytes, .. } => Some(answer(bytes)),
            _ if state != SagaState::Quarantined => None,
            Next::Rest { answer: bytes } => bytes.as_ref().map(answer),
            Next::Run { .. } | Next::Park { .. } => self.answer.take(),
        };
    }

    fn register(&mut self, mailbox: Option<Mailbox>) {
        if let Some(mailbox) = mailbox
            && matches!(self.state, SagaState::Running | SagaState::Compensating)
            && self.mailboxes.len() < MAX_MAILBOXES
            && !self.mailboxes.contains(&mailbox)
        {
            self.mailboxes.push(mailbox);
        }
    }
}

/// [`super::Journal::create`].
pub fn create(stored: Option<&Saga>, create: &Create, now: Timestamp) -> Step<Created> {
    let Some(saga) = stored.and_then(|saga| saga.live(now)) else {
        let fence = stored.map_or(Fence(now.as_unix_us()), |gone| gone.next_fence(now));
        return begin(create, fence, now);
    };
    if saga.birth.fingerprint != create.birth.fingerprint || saga.birth.name != create.birth.name {
        return Step::nothing(Created::Mismatch);
    }
    if saga.owner == create.owner {
        return Step::nothing(Created::Fresh(saga.granted(now)));
    }
    let head = Box::new(saga.head());
    if saga.state.is_end() {
        return Step::nothing(Created::Ended(head));
    }
    let mut attached = saga.clone();
    attached.register(create.mailbox);
    Step::put_if_changed(Created::Running(head), saga, attached)
}

fn begin(create: &Create, fence: Fence, now: Timestamp) -> Step<Created> {
    let mut saga = Saga {
        birth: Birth { created_at: now, ..create.birth.clone() },
        state: create.state,
        paused: false,
        version: len(&create.entries),
        born: fence,
        fence,
        owner: create.owner,
        last_append: None,
        updated_at: now,
        hold: Hold::Resting,
        answer: None,
        mailboxes: Vec::new(),
        waiting: Vec::new(),
        commands_taken: 0,
    };
    saga.turn(create.state, &create.next, now);
    Step { entries: create.entries.clone(), ..Step::put(Created::Fresh(saga.granted(now)), saga) }
}

/// [`super::Journal::append`].
pub fn append(stored: Option<&Saga>, append: &Append, now: Timestamp) -> Step<Appended> {
    let Some(saga) = stored.and_then(|saga| saga.live(now)) else { return Step::nothing(Appended::Lost) };
    if !saga.is_owned_by(append.token.owner, append.token.fence) {
        return Step::nothing(Appended::Lost);
    }
    if saga.last_append == Some(append.nonce) {
        return Step::nothing(Appended::Kept(saga.granted(now)));
    }
    if !saga.hold.is_driven() || saga.version != append.expected {
        return Step::nothing(Appended::Lost);
    }
    let version = saga.version.saturating_add(len(&append.entries));
    if version > MAX_JOURNAL_ENTRIES && matches!(append.next, Next::Run { .. } | Next::Park { .. }) {
        return Step::nothing(Appended::Full);
    }
    let mut saga = saga.clone();
    let was = saga.state;
    let ends = append.state.is_end();
    let commands_taken = if ends { saga.waiting.len() } else { append.commands_taken.min(saga.waiting.len()) };
    saga.waiting.drain(..commands_taken);
    saga.commands_taken = saga.commands_taken.saturating_add(commands_taken.try_into().unwrap_or(u64::MAX));
    saga.version = version;
    saga.paused = append.paused;
    saga.last_append = Some(append.nonce);
    saga.turn(append.state, &append.next, now);
    let word = append.state != was && (ends || append.state == SagaState::Quarantined);
    let wake = if word { std::mem::take(&mut saga.mailboxes) } else { Vec::new() };
    let outcome = Appended::Kept(saga.granted(now));
    Step { entries: append.entries.clone(), commands_taken, wake, ..Step::put(outcome, saga) }
}

/// [`super::Journal::extend_sagas`], for one of them.
pub fn extend(stored: Option<&Saga>, renewal: &SagaRenewal, now: Timestamp) -> Step<SagaHeld> {
    let (owner, fence) = (renewal.token.owner, renewal.token.fence);
    match stored.and_then(|saga| saga.live(now)) {
        Some(saga) if saga.is_owned_by(owner, fence) && saga.hold.is_driven() => {
            let held = SagaHeld::Kept { commands: !saga.waiting.is_empty() };
            Step::put_if_changed(held, saga, Saga { hold: Hold::driven(now, renewal.lease), ..saga.clone() })
        }
        Some(_) | None => Step::nothing(SagaHeld::Lost),
    }
}

/// [`super::Journal::lease`].
pub fn lease(stored: Option<&Saga>, owner: Owner, lease: Duration, now: Timestamp) -> Step<Taken> {
    let Some(saga) = stored.and_then(|saga| saga.live(now)) else { return Step::nothing(Taken::Gone) };
    let hold = saga.hold.cut(now);
    let taken = match hold {
        Hold::Ended { .. } => return Step::nothing(Taken::Gone),
        Hold::Driven { .. } if saga.owner == owner => Saga { hold: Hold::driven(now, lease), ..saga.clone() },
        Hold::Driven { until: due_at, .. } | Hold::Parked { due_at } if due_at <= now => {
            Saga { owner, fence: saga.next_fence(now), last_append: None, hold: Hold::driven(now, lease), ..saga.clone() }
        }
        Hold::Driven { .. } | Hold::Parked { .. } | Hold::Resting => {
            let not_due = Taken::NotDue(hold.due_at().map(|at| now.until(at)));
            return Step::put_if_changed(not_due, saga, Saga { hold, ..saga.clone() });
        }
    };
    Step::put(Taken::Granted(Box::new(taken.clone())), taken)
}

/// [`super::Journal::command`].
pub fn command(stored: Option<&Saga>, nonce: Owner, command: &Bytes, now: Timestamp) -> Step<Commanded> {
    let Some(saga) = stored.and_then(|saga| saga.live(now)) else { return Step::nothing(Commanded::Absent) };
    if saga.state.is_end() {
        return Step::nothing(Commanded::Ended);
    }
    if saga.waiting.contains(&nonce) {
        return Step::nothing(Commanded::Queued);
    }
    if saga.waiting.len() >= MAX_COMMANDS {
        return Step::nothing(Commanded::Full);
    }
    let mut saga = saga.clone();
    saga.waiting.push(nonce);
    saga.hold = match saga.hold {
        // Its driver hears of it, or its lease lapses.
        Hold::Driven { .. } | Hold::Ended { .. } => saga.hold,
        Hold::Parked { due_at } => Hold::Parked { due_at: due_at.min(now) },
        Hold::Resting => Hold::Parked { due_at: now },
    };
    Step { command: Some(command.clone()), ..Step::put(Commanded::Queued, saga) }
}

/// [`super::Journal::attach`].
pub fn attach(stored: Option<&Saga>, mailbox: Option<Mailbox>, now: Timestamp) -> Step<Option<Attached>> {
    let Some(saga) = stored.and_then(|saga| saga.live(now)) else { return Step::nothing(None) };
    let mut attached = saga.clone();
    attached.register(mailbox);
    Step::put_if_changed(Some(Attached { head: saga.head(), now }), saga, attached)
}

fn len(entries: &[Bytes]) -> u64 {
    entries.len().try_into().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
