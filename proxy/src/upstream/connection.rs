//! One HTTP/1 connection to an upstream, driven by whoever uses it.
//!
//! The HTTP library makes two things of a connection: one that takes requests, and a future that reads and writes. As a task of its own
//! that future would cost every request two hand-overs between tasks, so it is polled by the request's own task, and later by whoever
//! reads the answer's body. Nobody polls it while it is idle: that it has ended meanwhile is found when it is used again, before
//! anything is written, or when the pool is looked through.

use std::{
    fmt,
    future::poll_fn,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body as _, Frame};
use hyper::{
    body::Incoming,
    client::conn::{TrySendError, http1},
};
use tokio::task::coop::unconstrained;

use crate::body::Body;

/// Reads and writes until the connection has ended. Dropping it closes the connection.
type Driver = Pin<Box<dyn Future<Output = ()> + Send + Sync>>;

/// One HTTP/1 connection to an upstream.
pub(super) struct Connection {
    sender: http1::SendRequest<Body>,
    /// `None`: it has ended, or has a task of its own.
    driver: Option<Driver>,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("is_closed", &self.sender.is_closed()).finish_non_exhaustive()
    }
}

impl Connection {
    pub(super) fn new(sender: http1::SendRequest<Body>, driver: impl Future<Output = ()> + Send + Sync + 'static) -> Self {
        Self { sender, driver: Some(Box::pin(driver)) }
    }

    /// Waits until it takes a request: the handshake's end.
    pub(super) async fn ready(&mut self) -> hyper::Result<()> {
        let Self { sender, driver } = self;
        let mut ready = pin!(unconstrained(sender.ready()));
        poll_fn(|cx| drive_then(driver, cx, |cx| ready.as_mut().poll(cx))).await
    }

    /// Sends a request and waits for its answer's head. Dropped before that, it leaves a connection that can only be dropped.
    pub(super) async fn send(&mut self, request: Request<Body>) -> Result<Response<Incoming>, TrySendError<Request<Body>>> {
        let Self { sender, driver } = self;
        let mut sent = pin!(unconstrained(sender.try_send_request(request)));
        poll_fn(|cx| drive_then(driver, cx, |cx| sent.as_mut().poll(cx))).await
    }

    /// The next piece of the body of the answer that this connection has given.
    pub(super) fn poll_body(
        &mut self,
        incoming: &mut Incoming,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        if self.driver.is_some() {
            // What has been read comes first: the connection reads on only when that has been taken.
            let there = Pin::new(&mut *incoming).poll_frame(&mut Context::from_waker(Waker::noop()));
            if there.is_ready() {
                return there;
            }
        }
        drive_then(&mut self.driver, cx, |cx| Pin::new(&mut *incoming).poll_frame(cx))
    }

    /// Gives the connection a task of its own, so that it goes on whether or not somebody waits for it.
    pub(super) fn detach(&mut self) {
        if let Some(driver) = self.driver.take() {
            tokio::spawn(driver);
        }
    }

    /// Whether the exchange on it is over, both ways, and it takes another.
    pub(super) fn is_ready(&mut self) -> bool {
        if !self.sender.is_ready() {
            self.look();
        }
        self.sender.is_ready()
    }

    /// Whether it has ended, as far as was seen when it was last driven.
    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Sees whether it has ended while it was idle.
    pub(super) fn look(&mut self) {
        drive(&mut self.driver, &mut Context::from_waker(Waker::noop()));
    }

    /// Drives it until the exchange on it is over, both ways, at most for so long. `true`: it takes another.
    pub(super) async fn finish(&mut self, within: Duration) -> bool {
        matches!(tokio::time::timeout(within, self.ready()).await, Ok(Ok(())))
    }
}

fn drive(driver: &mut Option<Driver>, cx: &mut Context<'_>) {
    if driver.as_mut().is_some_and(|driver| driver.as_mut().poll(cx).is_ready()) {
        *driver = None;
    }
}

/// Drives a connection, then sees what came of it. Only the driver can change that, and it is driven here: nobody needs to be woken for
/// it, unless the connection has a task of its own.
fn drive_then<T>(driver: &mut Option<Driver>, cx: &mut Context<'_>, look: impl FnOnce(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
    drive(driver, cx);
    match driver {
        Some(_) => look(&mut Context::from_waker(Waker::noop())),
        None => look(cx),
    }
}
