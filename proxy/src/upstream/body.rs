//! The body of an upstream's answer: when it has ended, its connection goes back to the pool.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::{body::Incoming, client::conn::http1};

use super::{InFlight, pool::CorePool};
use crate::body::Body;

/// The body of an upstream's answer.
#[derive(Debug)]
pub struct PooledBody {
    incoming: Incoming,
    home: Option<Home>,
    place: Option<InFlight>,
}

/// Where the connection goes when the body has ended. Dropped with a body that has not: the connection is closed.
#[derive(Debug)]
pub(super) struct Home {
    pub(super) pool: CorePool,
    pub(super) sender: http1::SendRequest<Body>,
    pub(super) idle_for: Duration,
}

impl PooledBody {
    pub(super) fn new(incoming: Incoming, home: Option<Home>, place: InFlight) -> Self {
        let mut body = Self { incoming, home, place: Some(place) };
        if body.incoming.is_end_stream() {
            body.go_home();
        }
        body
    }

    fn go_home(&mut self) {
        if let Some(Home { pool, sender, idle_for }) = self.home.take() {
            pool.give_back(sender, idle_for);
        }
        self.place = None;
    }
}

impl HttpBody for PooledBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.incoming).poll_frame(cx);
        if matches!(polled, Poll::Ready(None)) || (matches!(polled, Poll::Ready(Some(Ok(_)))) && self.incoming.is_end_stream()) {
            self.go_home();
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
