//! What may happen to a connection from outside: its drain, its cut, its next look.
//!
//! A connection's task wakes several times for every request, and these happen once in a connection's life. So they wake through a flag,
//! and as long as nobody has raised it, none of them is asked.

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// The drain begins. Said once.
    Drain,
    /// The drain is over.
    Cut,
    /// It is time to look what the connection does: [`Watch::look_at`] says when next.
    Look,
}

pin_project_lite::pin_project! {
    /// Waits for what may happen to a connection.
    pub(super) struct Watch<'a> {
        #[pin]
        drain: Option<WaitForCancellationFuture<'a>>,
        #[pin]
        cut: WaitForCancellationFuture<'a>,
        #[pin]
        look: Sleep,
        flag: Arc<Flag>,
        waker: Waker,
    }
}

/// Raised by what has happened, and wakes the connection's task.
#[derive(Debug)]
struct Flag {
    raised: AtomicBool,
    task: Mutex<Option<Waker>>,
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.raised.store(true, Ordering::Release);
        if let Some(task) = &*self.task.lock().unwrap_or_else(PoisonError::into_inner) {
            task.wake_by_ref();
        }
    }
}

impl<'a> Watch<'a> {
    pub(super) fn new(drain: &'a CancellationToken, cut: &'a CancellationToken, look_at: Instant) -> Self {
        let flag = Arc::new(Flag { raised: AtomicBool::new(true), task: Mutex::default() });
        let waker = Waker::from(Arc::clone(&flag));
        Self { drain: Some(drain.cancelled()), cut: cut.cancelled(), look: sleep_until(look_at), flag, waker }
    }

    /// Sets the time of the next look.
    pub(super) fn look_at(self: Pin<&mut Self>, at: Instant) {
        let this = self.project();
        this.look.reset(at);
        this.flag.raised.store(true, Ordering::Release);
    }

    /// What has happened, if anything. To be polled by one task all its life.
    pub(super) fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Event> {
        if !self.flag.raised.load(Ordering::Acquire) {
            return Poll::Pending;
        }
        let mut this = self.project();
        *this.flag.task.lock().unwrap_or_else(PoisonError::into_inner) = Some(cx.waker().clone());
        this.flag.raised.store(false, Ordering::Release);
        let cx = &mut Context::from_waker(this.waker);
        let event = if this.drain.as_mut().as_pin_mut().is_some_and(|drain| drain.poll(cx).is_ready()) {
            this.drain.set(None);
            Event::Drain
        } else if this.cut.poll(cx).is_ready() {
            Event::Cut
        } else if this.look.poll(cx).is_ready() {
            Event::Look
        } else {
            return Poll::Pending;
        };
        // What else has happened is seen next time.
        this.flag.raised.store(true, Ordering::Release);
        Poll::Ready(event)
    }
}
