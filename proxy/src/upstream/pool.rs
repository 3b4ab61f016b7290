//! The connections of one core to one endpoint.
//!
//! Idle HTTP/1 connections are a stack: the most recently used one is the likeliest to live. HTTP/2 needs one connection, shared by
//! all streams. The lock is never contended: only one core uses a pool; it is there because the types must be `Send`.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use hyper::client::conn::http2;
use tokio::{sync::Notify, time::Instant};

use super::connection::Connection;
use crate::body::Body;

/// The connections of one core to one endpoint.
#[derive(Clone, Debug)]
pub(super) struct CorePool(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    state: Mutex<State>,
    freed: Notify,
    max_open: usize,
    max_idle: usize,
}

#[derive(Debug, Default)]
struct State {
    idle: Vec<Idle>,
    open: usize,
    http2: Option<http2::SendRequest<Body>>,
}

#[derive(Debug)]
struct Idle {
    connection: Connection,
    until: Instant,
}

/// What [`CorePool::take`] found.
pub(super) enum Taken {
    /// A connection that was used before.
    Reused(Connection),
    /// The right to open one.
    MayOpen(Slot),
}

impl CorePool {
    pub(super) fn new(max_open: usize, max_idle: usize) -> Self {
        Self(Arc::new(Inner { state: Mutex::default(), freed: Notify::new(), max_open, max_idle }))
    }

    /// (open, idle).
    pub(super) fn counts(&self) -> (usize, usize) {
        let state = self.lock();
        (state.open, state.idle.len())
    }

    /// An idle connection, or the right to open one; waits while neither is to be had. Cancel-safe.
    pub(super) async fn take(&self) -> Taken {
        loop {
            let freed = self.0.freed.notified();
            tokio::pin!(freed);
            freed.as_mut().enable();
            if let Some(taken) = self.try_take() {
                return taken;
            }
            freed.await;
        }
    }

    /// An idle connection, or the right to open one, if one is to be had now.
    pub(super) fn try_take(&self) -> Option<Taken> {
        // What is dropped closes its connection, and gives its slot back: not under the lock.
        while let Some(idle) = { self.lock().idle.pop() } {
            if !idle.connection.is_closed() && idle.until > Instant::now() {
                return Some(Taken::Reused(idle.connection));
            }
        }
        let mut state = self.lock();
        (state.open < self.0.max_open).then(|| {
            state.open += 1;
            Taken::MayOpen(Slot(self.clone()))
        })
    }

    /// Takes a connection back whose answer has been read. It is dropped, and so closed, if there are idle ones enough.
    pub(super) fn give_back(&self, mut connection: Connection, idle_for: Duration) {
        if idle_for.is_zero() {
            return;
        }
        if connection.is_ready() {
            self.keep(connection, idle_for);
            return;
        }
        if connection.is_closed() {
            return;
        }
        // It was answered before its request had been sent whole: nobody else may wait behind that.
        let pool = self.clone();
        tokio::spawn(async move {
            if connection.finish(idle_for).await {
                pool.keep(connection, idle_for);
            }
        });
    }

    fn keep(&self, mut connection: Connection, idle_for: Duration) {
        connection.rest();
        let idle = Idle { connection, until: Instant::now() + idle_for };
        let mut state = self.lock();
        let too_many = if state.idle.len() < self.0.max_idle {
            state.idle.push(idle);
            None
        } else {
            Some(idle)
        };
        drop(state);
        drop(too_many);
        self.0.freed.notify_one();
    }

    /// Closes what has been idle for too long, and lets go of what the upstream has closed.
    pub(super) fn reap(&self) {
        let now = Instant::now();
        let mut idle = std::mem::take(&mut self.lock().idle);
        idle.retain_mut(|idle| {
            idle.connection.look();
            idle.until > now && !idle.connection.is_closed()
        });
        // Nothing was given back meanwhile: only this core uses the pool, and it was here.
        self.lock().idle.append(&mut idle);
    }

    /// The HTTP/2 connection, if it is there and lives.
    pub(super) fn http2(&self) -> Option<http2::SendRequest<Body>> {
        self.lock().http2.clone().filter(|sender| !sender.is_closed())
    }

    /// The HTTP/2 connection has failed.
    pub(super) fn forget_http2(&self) {
        self.lock().http2 = None;
    }

    pub(super) fn keep_http2(&self, sender: http2::SendRequest<Body>) {
        self.lock().http2 = Some(sender);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of the connections that may be open; given back when the connection ends.
#[derive(Debug)]
pub(super) struct Slot(CorePool);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.lock().open -= 1;
        self.0.0.freed.notify_one();
    }
}
