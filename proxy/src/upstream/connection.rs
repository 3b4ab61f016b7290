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
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
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
    driver: Option<Driven>,
}

/// A driver, and how it wakes whoever drives it.
struct Driven {
    driver: Driver,
    bell: Arc<Bell>,
    waker: Waker,
}

/// Wakes whoever drives a connection, unless it is the very one whose doing the wake is of: a request or a piece of a body that is handed
/// over wakes the other side, which is the same task here, and drives the connection anyway before it waits.
#[derive(Default)]
struct Bell {
    muted: AtomicBool,
    /// Whom to wake. The lock is never contended: one task at a time drives a connection.
    drives: Mutex<Option<Waker>>,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.muted.load(Ordering::Relaxed)
            && let Some(waker) = &*self.drives()
        {
            waker.wake_by_ref();
        }
    }
}

impl Bell {
    fn drives(&self) -> MutexGuard<'_, Option<Waker>> {
        self.drives.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Driven {
    fn poll(&mut self, cx: &Context<'_>) -> Poll<()> {
        let mut drives = self.bell.drives();
        if !drives.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            *drives = Some(cx.waker().clone());
        }
        drop(drives);
        self.driver.as_mut().poll(&mut Context::from_waker(&self.waker))
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("is_closed", &self.sender.is_closed()).finish_non_exhaustive()
    }
}

impl Connection {
    pub(super) fn new(sender: http1::SendRequest<Body>, driver: impl Future<Output = ()> + Send + Sync + 'static) -> Self {
        let bell = Arc::<Bell>::default();
        let waker = Waker::from(Arc::clone(&bell));
        Self { sender, driver: Some(Driven { driver: Box::pin(driver), bell, waker }) }
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
        let sent = muted(driver, || sender.try_send_request(request));
        let mut sent = pin!(unconstrained(sent));
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
            let there = muted(&self.driver, || Pin::new(&mut *incoming).poll_frame(&mut Context::from_waker(Waker::noop())));
            if there.is_ready() {
                return there;
            }
        }
        drive_then(&mut self.driver, cx, |cx| Pin::new(&mut *incoming).poll_frame(cx))
    }

    /// Gives the connection a task of its own, so that it goes on whether or not somebody waits for it.
    pub(super) fn detach(&mut self) {
        if let Some(driven) = self.driver.take() {
            tokio::spawn(driven.driver);
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

    /// Nobody waits for it any more: whoever drove it last is not woken for it.
    pub(super) fn rest(&mut self) {
        if let Some(Driven { bell, .. }) = &self.driver {
            *bell.drives() = None;
        }
    }

    /// Sees whether it has ended while it was idle.
    pub(super) fn look(&mut self) {
        drive(&mut self.driver, &Context::from_waker(Waker::noop()));
    }

    /// Drives it until the exchange on it is over, both ways, at most for so long. `true`: it takes another.
    pub(super) async fn finish(&mut self, within: Duration) -> bool {
        matches!(tokio::time::timeout(within, self.ready()).await, Ok(Ok(())))
    }
}

fn drive(driver: &mut Option<Driven>, cx: &Context<'_>) {
    if driver.as_mut().is_some_and(|driven| driven.poll(cx).is_ready()) {
        *driver = None;
    }
}

/// Does what would wake the driver, by one who drives it before he waits.
fn muted<T>(driver: &Option<Driven>, handing_over: impl FnOnce() -> T) -> T {
    let Some(Driven { bell, .. }) = driver else { return handing_over() };
    bell.muted.store(true, Ordering::Relaxed);
    let done = handing_over();
    bell.muted.store(false, Ordering::Relaxed);
    done
}

/// Drives a connection, then sees what came of it. Only the driver can change that, and it is driven here: nobody needs to be woken for
/// it, unless the connection has a task of its own.
fn drive_then<T>(driver: &mut Option<Driven>, cx: &mut Context<'_>, look: impl FnOnce(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
    drive(driver, cx);
    match driver {
        Some(_) => muted(driver, || look(&mut Context::from_waker(Waker::noop()))),
        None => look(cx),
    }
}
