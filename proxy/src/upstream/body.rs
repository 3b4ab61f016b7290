//! The body of an upstream's answer: what reads it drives its connection, which goes back to the pool when it has ended.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;

use super::{InFlight, connection::Connection, pool::CorePool};

/// The body of an upstream's answer.
#[derive(Debug)]
pub struct PooledBody {
    incoming: Incoming,
    /// What the body still takes; nothing, if all of it is here.
    taking: Option<Box<Taking>>,
    /// How it broke off: said one turn later.
    broken: Option<hyper::Error>,
}

/// What a body takes until it has ended.
#[derive(Debug)]
struct Taking {
    home: Option<Home>,
    _place: InFlight,
}

/// A connection, and where it goes when the body has ended. Dropped with a body that has not: the connection is closed.
#[derive(Debug)]
pub(super) struct Home {
    pub(super) pool: CorePool,
    pub(super) connection: Connection,
    /// Zero: it is not used again.
    pub(super) idle_for: Duration,
}

impl PooledBody {
    pub(super) fn new(incoming: Incoming, mut home: Option<Home>, place: InFlight) -> Self {
        // A body that came with its head is all here already, and the connection free for the next request.
        let is_here = incoming.is_end_stream() || home.as_mut().is_some_and(|home| home.connection.is_ready());
        let mut body = Self { incoming, taking: Some(Box::new(Taking { home, _place: place })), broken: None };
        if is_here {
            body.go_home();
        }
        body
    }

    fn go_home(&mut self) {
        if let Some(Home { pool, connection, idle_for }) = self.taking.take().and_then(|taking| taking.home) {
            pool.give_back(connection, idle_for);
        }
    }
}

impl HttpBody for PooledBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = self.get_mut();
        if let Some(error) = this.broken.take() {
            return Poll::Ready(Some(Err(error)));
        }
        let polled = match this.taking.as_mut().and_then(|taking| taking.home.as_mut()) {
            Some(home) => home.connection.poll_body(&mut this.incoming, cx),
            None => Pin::new(&mut this.incoming).poll_frame(cx),
        };
        if let Poll::Ready(Some(Err(error))) = polled {
            // What came before goes to the client first: an error drops what has not been written.
            this.broken = Some(error);
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if matches!(polled, Poll::Ready(None)) || (matches!(polled, Poll::Ready(Some(Ok(_)))) && this.incoming.is_end_stream()) {
            this.go_home();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
