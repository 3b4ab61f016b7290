//! Message bodies as they pass through.
//!
//! A body is streamed frame by frame and never copied; only protected exchanges hold one whole, and then within
//! [`Budget`] bounds.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::{sync::mpsc, time::Instant};

use crate::upstream::PooledBody;

/// Bodies up to this size count as sent with their head: the system's socket buffers hold as much.
pub const SMALL_BODY: u64 = 16 * 1024;

/// A body on its way: a request's or a response's.
#[derive(Debug, Default)]
pub struct Body {
    kind: Kind,
    guard: Option<Box<dyn OnEnd>>,
    share: Option<Share>,
}

#[derive(Debug, Default)]
enum Kind {
    #[default]
    Empty,
    Full(Bytes, Option<HeaderMap>),
    Client(Incoming),
    Upstream(PooledBody),
    Queue(mpsc::Receiver<Bytes>),
    Resumed {
        front: VecDeque<Bytes>,
        rest: Box<Body>,
    },
}

/// What is dropped when a body has ended or is given up, and hears how that was.
pub trait OnEnd: Send + Sync + std::fmt::Debug {
    /// A piece of the body went by.
    fn moved(&mut self) {}

    /// The body came to its end.
    fn complete(&mut self);
}

impl Body {
    /// No body.
    pub const fn empty() -> Self {
        Self { kind: Kind::Empty, guard: None, share: None }
    }

    /// These bytes.
    pub const fn full(bytes: Bytes) -> Self {
        Self::with_trailers(bytes, None)
    }

    /// These bytes, then these trailers.
    pub const fn with_trailers(bytes: Bytes, trailers: Option<HeaderMap>) -> Self {
        Self { kind: Kind::Full(bytes, trailers), guard: None, share: None }
    }

    /// What is put into a queue, as it comes, until its other end is dropped.
    pub const fn queue(pieces: mpsc::Receiver<Bytes>) -> Self {
        Self { kind: Kind::Queue(pieces), guard: None, share: None }
    }

    /// `front` first, then `rest`: a body that was read in part.
    pub fn resumed(front: VecDeque<Bytes>, rest: Self) -> Self {
        Self { kind: Kind::Resumed { front, rest: Box::new(rest) }, guard: None, share: None }
    }

    /// The same body, with something that lives until its end.
    #[must_use]
    pub fn guarded(mut self, guard: Box<dyn OnEnd>) -> Self {
        self.guard = Some(guard);
        self
    }

    /// The same body, with what it takes of the budget until it is gone.
    #[must_use]
    pub fn holding(mut self, share: Share) -> Self {
        self.share = Some(share);
        self
    }

    fn poll_inner(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut self.kind {
            Kind::Empty => Poll::Ready(None),
            Kind::Full(bytes, trailers) => Poll::Ready(if bytes.is_empty() {
                trailers.take().map(|trailers| Ok(Frame::trailers(trailers)))
            } else {
                Some(Ok(Frame::data(std::mem::take(bytes))))
            }),
            Kind::Client(incoming) => Pin::new(incoming).poll_frame(cx),
            Kind::Upstream(pooled) => Pin::new(pooled).poll_frame(cx),
            Kind::Queue(pieces) => pieces.poll_recv(cx).map(|piece| piece.map(|piece| Ok(Frame::data(piece)))),
            Kind::Resumed { front, rest } => match front.pop_front() {
                Some(chunk) => Poll::Ready(Some(Ok(Frame::data(chunk)))),
                None => Pin::new(rest.as_mut()).poll_frame(cx),
            },
        }
    }

    fn ended(&mut self) {
        if let Some(mut guard) = self.guard.take() {
            guard.complete();
        }
    }
}

impl From<Incoming> for Body {
    fn from(incoming: Incoming) -> Self {
        Self { kind: Kind::Client(incoming), guard: None, share: None }
    }
}

impl From<PooledBody> for Body {
    fn from(pooled: PooledBody) -> Self {
        Self { kind: Kind::Upstream(pooled), guard: None, share: None }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = self.poll_inner(cx);
        if let (Poll::Ready(Some(Ok(_))), Some(guard)) = (&polled, &mut self.guard) {
            guard.moved();
        }
        if matches!(polled, Poll::Ready(None)) || (matches!(polled, Poll::Ready(Some(Ok(_)))) && self.is_end_stream()) {
            self.ended();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Empty => true,
            Kind::Full(bytes, trailers) => bytes.is_empty() && trailers.is_none(),
            Kind::Client(incoming) => incoming.is_end_stream(),
            Kind::Upstream(pooled) => pooled.is_end_stream(),
            Kind::Queue(_) => false,
            Kind::Resumed { front, rest } => front.is_empty() && rest.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Empty => SizeHint::with_exact(0),
            Kind::Full(bytes, None) => SizeHint::with_exact(bytes.len() as u64),
            // A body of exact length is framed by it, and then has no room for trailers (RFC 9112, section 7.1.2).
            Kind::Full(bytes, Some(_)) => {
                let mut hint = SizeHint::new();
                hint.set_lower(bytes.len() as u64);
                hint
            }
            Kind::Client(incoming) => incoming.size_hint(),
            Kind::Upstream(pooled) => pooled.size_hint(),
            Kind::Queue(_) => SizeHint::default(),
            Kind::Resumed { front, rest } => {
                let held = front.iter().map(|chunk| chunk.len() as u64).sum::<u64>();
                let rest = rest.size_hint();
                let mut hint = SizeHint::new();
                hint.set_lower(rest.lower().saturating_add(held));
                if let Some(upper) = rest.upper() {
                    hint.set_upper(upper.saturating_add(held));
                }
                hint
            }
        }
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        if self.guard.is_some() && self.is_end_stream() {
            self.ended();
        }
    }
}

/// How many bytes of bodies all protected exchanges of the process may hold together (`limits.buffered`).
#[derive(Clone, Debug)]
pub struct Budget {
    used: Arc<AtomicU64>,
    limit: u64,
}

impl Budget {
    /// A budget of `limit` bytes.
    pub fn new(limit: u64) -> Self {
        Self { used: Arc::default(), limit }
    }

    /// Nothing yet, to be grown.
    pub fn empty(&self) -> Share {
        Share { budget: self.clone(), bytes: 0 }
    }

    /// The bytes held now.
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }
}

/// A part of a [`Budget`]; given back on drop.
#[derive(Debug)]
pub struct Share {
    budget: Budget,
    bytes: u64,
}

impl Share {
    /// Takes `more` bytes; `false`, and nothing taken, if the budget has not got them.
    #[must_use]
    pub fn grow(&mut self, more: u64) -> bool {
        let limit = self.budget.limit;
        let grown = self
            .budget
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| used.checked_add(more).filter(|used| *used <= limit));
        self.bytes += if grown.is_ok() { more } else { 0 };
        grown.is_ok()
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// What became of reading a body to its end.
#[derive(Debug)]
pub enum Collected {
    /// All of it. The share is held as long as the bytes are.
    Whole {
        /// The bytes.
        bytes: Bytes,
        /// The trailers.
        trailers: Option<HeaderMap>,
        /// What it takes of the budget.
        share: Share,
    },
    /// It is larger than the cap: what was read, and the rest, as one body again.
    Over(Body),
    /// The process holds too many bytes already: what was read, and the rest.
    NoBudget(Body),
    /// It broke off.
    Broken(hyper::Error),
    /// It did not end in time.
    TimedOut,
}

/// Reads a body to its end, holding at most `cap` bytes, until `deadline` if there is one.
pub async fn collect(mut body: Body, cap: u64, budget: &Budget, deadline: Option<Instant>) -> Collected {
    let mut share = budget.empty();
    let announced = body.size_hint().lower();
    if announced > cap {
        return Collected::Over(body);
    }
    if !share.grow(announced) {
        return Collected::NoBudget(body);
    }
    let mut front = VecDeque::new();
    let mut trailers = None;
    let mut held: u64 = 0;
    loop {
        // What is here already needs no timer.
        let polled = std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut body).poll_frame(cx))).await;
        let next = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx));
        let frame = match (polled, deadline) {
            (Poll::Ready(frame), _) => frame,
            (Poll::Pending, None) => next.await,
            (Poll::Pending, Some(deadline)) => match tokio::time::timeout_at(deadline, next).await {
                Ok(frame) => frame,
                Err(_) => return Collected::TimedOut,
            },
        };
        match frame {
            None => break,
            Some(Err(error)) => return Collected::Broken(error),
            Some(Ok(frame)) => match frame.into_data() {
                Err(frame) => trailers = frame.into_trailers().ok(),
                Ok(chunk) => {
                    held += chunk.len() as u64;
                    front.push_back(chunk);
                    if held > cap {
                        return Collected::Over(Body::resumed(front, body));
                    }
                    if held > share.bytes {
                        let more = held - share.bytes;
                        if !share.grow(more) {
                            return Collected::NoBudget(Body::resumed(front, body));
                        }
                    }
                }
            },
        }
    }
    Collected::Whole { bytes: join(front, held), trailers, share }
}

fn join(mut chunks: VecDeque<Bytes>, total: u64) -> Bytes {
    match chunks.len() {
        0 => Bytes::new(),
        1 => chunks.pop_front().unwrap_or_default(),
        _ => {
            let mut joined = BytesMut::with_capacity(usize::try_from(total).unwrap_or_default());
            chunks.iter().for_each(|chunk| joined.extend_from_slice(chunk));
            joined.freeze()
        }
    }
}
