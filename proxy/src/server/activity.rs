//! What a client's connection is doing, and since when: the ground for its timeouts.
//!
//! hyper has one timer for "no complete head yet", which runs also while a kept-alive connection is idle. We tell the two apart.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

const IDLE: u8 = 0;
const HEAD: u8 = 1;
const BUSY: u8 = 2;

/// What a connection is doing.
#[derive(Debug)]
pub(crate) struct Activity {
    born: Instant,
    phase: AtomicU8,
    /// Milliseconds after `born`.
    since: AtomicU64,
    requests: AtomicU32,
    multiplexed: bool,
}

/// What a connection that has been looked at should get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// Look again at this time.
    Later(Instant),
    /// A head has been coming in for too long.
    SlowHead,
    /// It has been idle for too long.
    Idle,
}

impl Activity {
    /// A connection that has just been accepted: its first head is awaited.
    pub(crate) fn new(multiplexed: bool) -> Self {
        let phase = AtomicU8::new(if multiplexed { IDLE } else { HEAD });
        Self { born: Instant::now(), phase, since: AtomicU64::new(0), requests: AtomicU32::new(0), multiplexed }
    }

    /// Bytes came in.
    pub(crate) fn read(&self) {
        if !self.multiplexed && self.phase.load(Ordering::Relaxed) == IDLE {
            self.enter(HEAD);
        }
    }

    /// A request has begun; it is done, with its answer, when the guard is dropped.
    pub(crate) fn begin(self: &Arc<Self>) -> Busy {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.phase.store(BUSY, Ordering::Relaxed);
        Busy(Arc::clone(self))
    }

    fn end(&self) {
        if self.requests.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.enter(IDLE);
        }
    }

    /// What is due now.
    pub(crate) fn due(&self, header_timeout: Duration, idle_timeout: Duration) -> Due {
        let now = Instant::now();
        let since = self.born + Duration::from_millis(self.since.load(Ordering::Relaxed));
        let (bound, due) = match self.phase.load(Ordering::Relaxed) {
            HEAD => (header_timeout, Due::SlowHead),
            IDLE => (idle_timeout, Due::Idle),
            _ => return Due::Later(now + header_timeout.min(idle_timeout)),
        };
        if now < since + bound { Due::Later((since + bound).min(now + header_timeout.min(idle_timeout))) } else { due }
    }

    fn enter(&self, phase: u8) {
        let since = u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.since.store(since, Ordering::Relaxed);
        self.phase.store(phase, Ordering::Relaxed);
    }
}

/// A request under way on a connection.
#[derive(Debug)]
pub struct Busy(Arc<Activity>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.end();
    }
}
