//! Writes one saga's entries under its lease: fenced, versioned, and repeated after a lost answer.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::{
    clock::StoreTime,
    codec::{Codec, TooLarge},
    entry::{Entry, What},
    leases::SagaLease,
};
use crate::{
    ids::{Owner, SagaId},
    metrics::{Metrics, StoreOperation},
    store::{
        StoreError,
        journal::{Append, Appended, Granted, Journal, MAX_ENTRIES_AT_ONCE, Next, SagaState},
    },
    time::Timestamp,
};

const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// How long a write is tried at the least, whatever the lease: what a call has answered is not given up lightly, and the fence
/// judges a write that comes late.
const PATIENCE: Duration = Duration::from_secs(60);

/// Writes one saga's entries.
#[derive(Debug)]
pub(super) struct Appender<S> {
    pub(super) store: S,
    pub(super) codec: Codec,
    pub(super) metrics: Metrics,
    pub(super) lease: SagaLease,
    pub(super) time: StoreTime,
    /// How many entries the journal has.
    pub(super) version: u64,
    /// Where the saga stands by its journal.
    pub(super) state: SagaState,
    /// Whether it is paused by its journal.
    pub(super) paused: bool,
}

/// What is written in one turn.
#[derive(Debug)]
pub(super) struct Turned {
    pub(super) entries: Vec<Bytes>,
    pub(super) state: SagaState,
    pub(super) paused: bool,
    pub(super) commands_taken: usize,
    pub(super) next: Next,
}

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Write {
    /// It is durable.
    Kept,
    /// The saga is not ours any more, or the store was away for too long: nothing more is to be done with it here.
    Gone,
    /// The journal takes no more.
    Full,
}

impl<S: Journal> Appender<S> {
    pub(super) fn id(&self) -> SagaId {
        self.lease.token().id
    }

    /// Entries as they are stored, at the places that come next.
    pub(super) fn encode(&self, entries: &[Entry]) -> Result<Vec<Bytes>, TooLarge> {
        let places = self.version..;
        places.zip(entries).map(|(place, entry)| self.codec.entry(self.id(), place, entry)).collect()
    }

    /// Writes a turn: at once, or, where it has more entries than the store takes at once, in parts.
    pub(super) async fn write(&mut self, mut turned: Turned) -> Write {
        while turned.entries.len() > MAX_ENTRIES_AT_ONCE {
            let rest = turned.entries.split_off(MAX_ENTRIES_AT_ONCE);
            let part = Turned {
                entries: std::mem::replace(&mut turned.entries, rest),
                state: self.state,
                paused: self.paused,
                commands_taken: 0,
                next: self.run(),
            };
            match self.append(part).await {
                Write::Kept => {}
                other => return other,
            }
        }
        self.append(turned).await
    }

    /// The driver goes on, and the lease is renewed.
    pub(super) fn run(&self) -> Next {
        Next::Run { lease: self.lease.length() }
    }

    /// The saga waits for an operator. What it waits for is the reason.
    pub(super) async fn quarantine(&mut self, now: Timestamp, reason: &str, commands_taken: usize) -> Write {
        let entry = Entry { at: now, what: What::Quarantined { reason: reason.chars().take(2000).collect() } };
        let Ok(entries) = self.encode(&[entry]) else { return Write::Gone };
        let next = Next::Rest { answer: None };
        self.write(Turned { entries, state: SagaState::Quarantined, paused: self.paused, commands_taken, next }).await
    }

    /// Hands the saga back: anyone may take it then.
    pub(super) async fn park(&mut self, due_in: Duration) -> Write {
        let (state, paused) = (self.state, self.paused);
        self.write(Turned { entries: Vec::new(), state, paused, commands_taken: 0, next: Next::Park { due_in } }).await
    }

    /// One append, tried with one nonce until the store has answered. Dropped here, it may or may not be written: whoever has the
    /// saga next reads the journal.
    async fn append(&mut self, turned: Turned) -> Write {
        let Turned { entries, state, paused, commands_taken, next } = turned;
        let (token, expected, nonce) = (self.lease.token(), self.version, Owner::random());
        let append = Append { token, expected, nonce, entries, state, paused, commands_taken, next };
        let give_up = Instant::now() + PATIENCE.max(self.lease.length() * 10);
        let mut pause = FIRST_PAUSE;
        let mut asked = Instant::now();
        let mut may_be_written = false;
        loop {
            // The lease may have been renewed by the first write that had no answer, and by none since.
            asked = if may_be_written { asked } else { Instant::now() };
            let answer = tokio::select! {
                biased;
                () = self.lease.lost() => return Write::Gone,
                answer = self.store.append(append.clone()) => answer,
            };
            match answer {
                Ok(Appended::Kept(granted)) => {
                    (self.state, self.paused) = (append.state, append.paused);
                    self.granted(&granted, asked);
                    return Write::Kept;
                }
                Ok(Appended::Lost) => {
                    self.lease.lose();
                    return Write::Gone;
                }
                Ok(Appended::Full) => return Write::Full,
                Err(error) => {
                    may_be_written |= error.may_have_applied();
                    self.failed(&error, pause);
                }
            }
            if Instant::now() + pause >= give_up {
                tracing::error!(saga = %self.id(), "a saga's entries could not be written; whoever takes it next finds what it did");
                return Write::Gone;
            }
            tokio::select! {
                () = tokio::time::sleep(pause.mul_f64(0.5 + rand::random::<f64>() / 2.0)) => {}
                () = self.lease.lost() => return Write::Gone,
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn granted(&mut self, granted: &Granted, asked: Instant) {
        self.version = granted.version;
        self.time.heard(granted.now);
        self.lease.renewed(asked);
        self.lease.told(granted.commands);
    }

    fn failed(&self, error: &StoreError, pause: Duration) {
        self.metrics.store_failed(StoreOperation::Append);
        tracing::warn!(saga = %self.id(), %error, ?pause, "a saga's entries are written again");
    }
}
