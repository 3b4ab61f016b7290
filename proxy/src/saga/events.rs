//! A saga's status as it changes: server-sent events (WHATWG HTML, section 9.2), for who asks the status resource for
//! `text/event-stream`.
//!
//! One event for each change that is seen, with the whole status as its data and the journal's length as its id: who comes back with
//! `Last-Event-ID` is told what it has not seen. Changes that come together are one event. The stream ends with the event `final`, when
//! the saga has ended or waits for an operator; with the process's drain; and after a while, so that none is for ever: a client comes
//! back by itself. It works on every replica: what is driven here is told at once, what is driven elsewhere within a second.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Response, StatusCode,
    header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, VARY},
};
use tokio::{sync::mpsc, time::Instant};

use super::{call::Caller, engine::Engine};
use crate::{
    body::Body,
    ids::SagaId,
    metrics::{Limit, StoreOperation},
    problem::{Problem, ProblemName},
    store::{
        Store,
        journal::{Attached, Journal, Loaded, SagaState},
    },
};

/// Streams of one process, at the most.
pub const MAX_STREAMS: usize = 1000;
/// The longest time between two looks at a saga that is driven elsewhere.
const LONGEST_LOOK: Duration = Duration::from_secs(1);
/// How long a stream is silent at the most: a comment goes then, so that nobody between takes it for dead.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How long a client may leave its events unread.
const SLOWEST_CLIENT: Duration = Duration::from_secs(30);
/// The longest stream.
const LONGEST_STREAM: Duration = Duration::from_secs(15 * 60);
/// Events that wait for a client. Later ones say all that earlier ones said.
const QUEUE: usize = 2;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const EVENT_STREAM: &str = "text/event-stream";

/// The streams that are open. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Streams(Arc<AtomicUsize>);

impl Streams {
    /// Whether anybody listens.
    pub(super) fn is_any(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }

    fn open(&self) -> Option<Open> {
        let before = self.0.fetch_add(1, Ordering::Relaxed);
        let open = Open(self.clone());
        (before < MAX_STREAMS).then_some(open)
    }
}

/// A stream that is open; given back on drop.
#[derive(Debug)]
struct Open(Streams);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whether a client asks for events rather than for the status as it is (RFC 9110, section 12.5.1).
pub(super) fn are_wanted(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(ACCEPT).iter().filter_map(|line| line.to_str().ok());
    let mut wished = (0.0, 0.0);
    for range in lines.flat_map(|line| line.split(',')) {
        let mut parts = range.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default();
        let quality = parts.find_map(|part| {
            let (name, value) = part.split_once('=')?;
            name.trim().eq_ignore_ascii_case("q").then(|| value.trim().parse::<f32>().unwrap_or(0.0))
        });
        let quality = quality.unwrap_or(1.0);
        if kind.eq_ignore_ascii_case(EVENT_STREAM) {
            wished.0 = quality;
        } else if kind.eq_ignore_ascii_case("application/json") {
            wished.1 = quality;
        }
    }
    wished.0 > 0.0 && wished.0 >= wished.1
}

/// What was seen last, by the client's own word.
fn last_seen(headers: &HeaderMap) -> Option<u64> {
    headers.get(LAST_EVENT_ID)?.to_str().ok()?.trim().parse().ok()
}

/// Whether a stream ends with this state.
const fn is_final(state: SagaState) -> bool {
    state.is_end() || matches!(state, SagaState::Quarantined)
}

/// What became of telling a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Yes,
    /// It knew.
    Already,
    /// It is gone, or does not read.
    Nobody,
}

impl<S: Store + Journal, C: Caller> Engine<S, C> {
    /// The answer to who wants events of a saga that may be seen. `loaded`: how it stands.
    pub(super) fn stream(&self, id: SagaId, headers: &HeaderMap, loaded: Loaded) -> Result<Response<Body>, Problem> {
        let seen = last_seen(headers);
        if loaded.head.state.is_end() && seen == Some(loaded.head.version) {
            // Nothing will ever come: a client does not come back for it then.
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::NO_CONTENT;
            response.headers_mut().insert(VARY, HeaderValue::from_static("accept"));
            return Ok(response);
        }
        let Some(open) = self.common.streams.open() else {
            self.context.metrics.refused_at(Limit::Streams);
            return Err(Problem::new(ProblemName::Overloaded, format!("{MAX_STREAMS} streams of events are open already")));
        };
        let (tell, told) = mpsc::channel(QUEUE);
        let stream = Stream { engine: self.clone(), id, tell, seen, _open: open };
        self.shared.tasks.spawn(async move {
            stream.engine.context.metrics.sagas.streams.inc();
            let metrics = stream.engine.context.metrics.clone();
            stream.run(loaded).await;
            metrics.sagas.streams.dec();
        });
        let mut response = Response::new(Body::queue(told));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(EVENT_STREAM));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(VARY, HeaderValue::from_static("accept"));
        Ok(response)
    }
}

/// One stream. Dropped anywhere, its client comes back with what it saw last.
struct Stream<S, C> {
    engine: Engine<S, C>,
    id: SagaId,
    tell: mpsc::Sender<Bytes>,
    /// The version that the client has seen.
    seen: Option<u64>,
    _open: Open,
}

impl<S: Store + Journal, C: Caller> Stream<S, C> {
    async fn run(mut self, loaded: Loaded) {
        // Before the saga is looked at again, so that no change slips between the look and the waiting.
        let mut ends = self.engine.context.wakes.listen(self.id.as_record());
        let mut changes = self.engine.context.wakes.listen(self.id.as_changes());
        let over = Instant::now() + LONGEST_STREAM;
        let mut beat = Instant::now() + HEARTBEAT;
        let mut news = Some(loaded);
        // Bounded by `over`.
        loop {
            if let Some(loaded) = news.take() {
                match self.show(&loaded).await {
                    Told::Yes if is_final(loaded.head.state) => return,
                    Told::Yes => beat = Instant::now() + HEARTBEAT,
                    // Also of one that waits for an operator: what comes then is news.
                    Told::Already => {}
                    Told::Nobody => return,
                }
            }
            let look = Instant::now() + LONGEST_LOOK.mul_f64(0.75 + rand::random::<f64>() / 4.0);
            tokio::select! {
                biased;
                () = self.engine.shared.drain.cancelled() => return,
                () = self.tell.closed() => return,
                () = ends.woken() => {}
                () = changes.woken() => {}
                () = tokio::time::sleep_until(look.min(beat).min(over)) => {}
            }
            if Instant::now() >= over {
                return;
            }
            if Instant::now() >= beat {
                if self.say(Bytes::from_static(b":\n\n")).await != Told::Yes {
                    return;
                }
                beat = Instant::now() + HEARTBEAT;
            }
            match self.look().await {
                Looked::Same => {}
                Looked::Changed(loaded) => news = Some(*loaded),
                Looked::Gone => return,
            }
        }
    }

    /// Tells how the saga stands, unless the client has seen it.
    async fn show(&mut self, loaded: &Loaded) -> Told {
        let Loaded { head, entries, .. } = loaded;
        if self.seen == Some(head.version) {
            return Told::Already;
        }
        let data = self.engine.shown(self.id, head, entries).await;
        let name = if is_final(head.state) { "final" } else { "change" };
        let event = format!("id: {}\nevent: {name}\ndata: {data}\n\n", head.version);
        self.seen = Some(head.version);
        self.say(Bytes::from(event)).await
    }

    async fn say(&self, event: Bytes) -> Told {
        match tokio::time::timeout(SLOWEST_CLIENT, self.tell.send(event)).await {
            Ok(Ok(())) => Told::Yes,
            Ok(Err(_)) | Err(_) => Told::Nobody,
        }
    }

    async fn look(&self) -> Looked {
        let context = &self.engine.context;
        let head = match context.store.attach(self.id, Some(context.wakes.mailbox())).await {
            Ok(Some(Attached { head, .. })) => head,
            Ok(None) => return Looked::Gone,
            Err(error) => {
                context.metrics.store_failed(StoreOperation::Attach);
                tracing::debug!(saga = %self.id, %error, "the store did not say how a saga stands, for a stream");
                return Looked::Same;
            }
        };
        if Some(head.version) == self.seen {
            return Looked::Same;
        }
        match context.store.load(self.id).await {
            Ok(Some(loaded)) => Looked::Changed(Box::new(loaded)),
            Ok(None) => Looked::Gone,
            Err(error) => {
                tracing::debug!(saga = %self.id, %error, "the store did not say how a saga stands, for a stream");
                Looked::Same
            }
        }
    }
}

/// What a look at a saga found.
enum Looked {
    Same,
    Changed(Box<Loaded>),
    Gone,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_for_who_asks_for_them() {
        let wanted = |accept: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, HeaderValue::from_static(accept));
            are_wanted(&headers)
        };
        for accept in ["text/event-stream", "Text/Event-Stream;q=0.5, */*;q=0.1", "application/json;q=0.5, text/event-stream"] {
            assert!(wanted(accept), "{accept}");
        }
        for accept in ["*/*", "application/json", "text/event-stream;q=0", "application/json, text/event-stream;q=0.9", "text/*"]
        {
            assert!(!wanted(accept), "{accept}");
        }
        assert!(!are_wanted(&HeaderMap::new()));
    }

    #[test]
    fn what_is_open_is_counted_and_bounded() {
        let streams = Streams::default();
        let open: Vec<_> = (0..MAX_STREAMS).filter_map(|_| streams.open()).collect();
        assert_eq!(open.len(), MAX_STREAMS);
        assert!(streams.open().is_none());
        drop(open);
        assert!(!streams.is_any(), "also the one that was refused");
    }
}
