//! A service that counts what it was asked, acts in a ledger, and answers, breaks off or keeps silent as a test wants.

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub(crate) use super::gate::Gate;
use super::server::{Body, Server};

/// Where probes ask what has been applied: `GET /lookup?reference=…`, answered with a JSON list.
pub(crate) const LOOKUP: &str = "/lookup";

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: String,
    /// Without the query.
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Seen {
    /// The value of a header's first line; none if it is not there or is no text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    fn reference(&self) -> Option<String> {
        serde_json::from_slice::<Value>(&self.body).ok()?.get("reference")?.as_str().map(str::to_owned)
    }
}

/// What is done with requests to a path.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    acts: bool,
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
    trailers: Option<HeaderMap>,
    then: Then,
}

#[derive(Clone, Debug)]
enum Then {
    Answer,
    /// The connection is reset before any answer.
    Reset,
    /// The head goes out, with the length of the whole body, and this much of the body; then the connection ends.
    BreakOff(usize),
    Silence,
    /// The body is what the test feeds. For one request.
    Feed(Arc<Mutex<Option<mpsc::UnboundedReceiver<Bytes>>>>),
}

impl Reply {
    /// 200 and a body that says which effect this was: `{"number":1}` and so on.
    pub(crate) fn numbered() -> Self {
        Self::status(201)
    }

    /// A status; with an empty body set, the number of the effect is the body.
    pub(crate) fn status(status: u16) -> Self {
        let status = StatusCode::from_u16(status).unwrap();
        Self { acts: true, status, headers: HeaderMap::new(), body: Bytes::new(), trailers: None, then: Then::Answer }
    }

    /// The service does nothing: no line in its ledger.
    pub(crate) fn without_effect(self) -> Self {
        Self { acts: false, ..self }
    }

    /// One more header line.
    pub(crate) fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.append(HeaderName::try_from(name).unwrap(), HeaderValue::from_bytes(value.as_ref()).unwrap());
        self
    }

    pub(crate) fn body(self, body: impl Into<Bytes>) -> Self {
        Self { body: body.into(), ..self }
    }

    /// A line after the body. The head names it in `Trailer`.
    pub(crate) fn trailer(mut self, name: &str, value: &str) -> Self {
        self.headers.append("trailer", HeaderValue::from_str(name).unwrap());
        let trailers = self.trailers.get_or_insert_default();
        trailers.append(HeaderName::try_from(name).unwrap(), HeaderValue::from_str(value).unwrap());
        self
    }

    /// Acts, and resets the connection instead of answering.
    pub(crate) fn reset() -> Self {
        Self { then: Then::Reset, ..Self::status(200) }
    }

    /// Acts, sends the head and the first `bytes` of `body`, and ends the connection.
    pub(crate) fn break_off(body: impl Into<Bytes>, bytes: usize) -> Self {
        Self { then: Then::BreakOff(bytes), ..Self::status(200).body(body) }
    }

    /// Acts, and never answers.
    pub(crate) fn silence() -> Self {
        Self { then: Then::Silence, ..Self::status(200) }
    }

    /// Acts, and answers with a body of unknown length that the test feeds. It ends when the sender is dropped. For one request.
    pub(crate) fn feed(content_type: &str) -> (Self, mpsc::UnboundedSender<Bytes>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let then = Then::Feed(Arc::new(Mutex::new(Some(receiver))));
        (Self { then, ..Self::status(200) }.header("content-type", content_type), sender)
    }
}

/// The service. Ends when dropped.
pub(crate) struct Origin {
    server: Server,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    seen: Mutex<Vec<Seen>>,
    ledger: Mutex<Vec<Seen>>,
    replies: Mutex<HashMap<String, Reply>>,
    gates: Mutex<HashMap<String, Held>>,
}

/// Where requests to a path are held, once they are read.
#[derive(Clone)]
struct Held {
    gate: Gate,
    /// Whether the service acts before it holds.
    acts_first: bool,
}

impl Origin {
    /// A service that answers every path with [`Reply::numbered`].
    pub(crate) fn start() -> Self {
        let state = Arc::<State>::default();
        let for_server = Arc::clone(&state);
        let server = Server::start(move |request, cut| handle(request, Arc::clone(&for_server), cut));
        Self { server, state }
    }

    pub(crate) fn url(&self) -> String {
        self.server.url()
    }

    /// What requests to this path (without its query) get from now on.
    pub(crate) fn on(&self, path: &str, reply: Reply) {
        lock(&self.state.replies).insert(path.to_owned(), reply);
    }

    /// Holds requests to this path after the service has acted, until the gate opens. Replaces an earlier gate.
    pub(crate) fn gate(&self, path: &str) -> Gate {
        self.set_gate(path, true)
    }

    /// Holds requests to this path before the service acts.
    pub(crate) fn gate_before_effect(&self, path: &str) -> Gate {
        self.set_gate(path, false)
    }

    fn set_gate(&self, path: &str, acts_first: bool) -> Gate {
        let gate = Gate::closed();
        lock(&self.state.gates).insert(path.to_owned(), Held { gate: gate.clone(), acts_first });
        gate
    }

    /// Every request so far, in the order of arrival.
    pub(crate) fn requests(&self) -> Vec<Seen> {
        lock(&self.state.seen).clone()
    }

    /// The requests to one path.
    pub(crate) fn requests_to(&self, path: &str) -> Vec<Seen> {
        self.requests().into_iter().filter(|seen| seen.path == path).collect()
    }

    /// How many requests came to a path.
    pub(crate) fn count(&self, path: &str) -> usize {
        self.requests_to(path).len()
    }

    /// How often the service has acted.
    pub(crate) fn effects(&self) -> usize {
        lock(&self.state.ledger).len()
    }

    /// How often it has acted on a key, as it was forwarded but without quotes.
    pub(crate) fn effects_of(&self, key: &str) -> usize {
        lock(&self.state.ledger).iter().filter(|seen| key_of(seen).as_deref() == Some(key)).count()
    }

    /// Refuses connections and resets those there are, until [`Self::reopen`]. The port stays its own.
    pub(crate) async fn close(&self) {
        self.server.close().await;
    }

    /// Listens again, on the same port.
    pub(crate) async fn reopen(&self) {
        self.server.reopen().await;
    }
}

async fn handle(request: Request<Incoming>, state: Arc<State>, cut: CancellationToken) -> Result<Response<Body>, std::io::Error> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(std::io::Error::other)?.to_bytes();
    let seen = Seen {
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: parts.headers,
        body,
    };
    lock(&state.seen).push(seen.clone());
    let held = lock(&state.gates).get(&seen.path).cloned();
    if seen.path == LOOKUP && !lock(&state.replies).contains_key(LOOKUP) {
        pass(held).await;
        return Ok(look_up(&state, &seen));
    }
    let reply = lock(&state.replies).get(&seen.path).cloned().unwrap_or_else(Reply::numbered);
    let number = match held {
        Some(held) if !held.acts_first => {
            pass(Some(held)).await;
            act(&state, &reply, seen)
        }
        held => {
            let number = act(&state, &reply, seen);
            pass(held).await;
            number
        }
    };
    answer(reply, number, &cut).await
}

/// Writes a line into the ledger, if the service acts; gives the number of lines.
fn act(state: &State, reply: &Reply, seen: Seen) -> usize {
    let mut ledger = lock(&state.ledger);
    if reply.acts {
        ledger.push(seen);
    }
    ledger.len()
}

async fn pass(held: Option<Held>) {
    if let Some(held) = held {
        held.gate.pass().await;
    }
}

async fn answer(reply: Reply, number: usize, cut: &CancellationToken) -> Result<Response<Body>, std::io::Error> {
    let Reply { status, headers, body, trailers, then, .. } = reply;
    let whole = if body.is_empty() && status != StatusCode::NO_CONTENT {
        Bytes::from(json!({ "number": number }).to_string())
    } else {
        body
    };
    let mut response = Response::new(Full::new(whole.clone()).map_err(never).boxed_unsync());
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    match then {
        Then::Answer => {
            if let Some(trailers) = trailers {
                let frames = [Ok(Frame::data(whole)), Ok(Frame::trailers(trailers))];
                *response.body_mut() = StreamBody::new(futures_util::stream::iter(frames)).boxed_unsync();
            }
        }
        Then::Reset => {
            cut.cancel();
            std::future::pending::<()>().await;
        }
        Then::Silence => std::future::pending::<()>().await,
        Then::BreakOff(bytes) => {
            response.headers_mut().insert("content-length", whole.len().into());
            let frames = [Ok(Frame::data(whole.slice(..bytes))), Err(std::io::Error::other("broken off"))];
            *response.body_mut() = StreamBody::new(futures_util::stream::iter(frames)).boxed_unsync();
        }
        Then::Feed(receiver) => {
            let receiver = lock(&receiver).take().ok_or_else(|| std::io::Error::other("a feed is for one request"))?;
            let frames = futures_util::stream::unfold(receiver, |mut receiver| async move {
                receiver.recv().await.map(|bytes| (bytes, receiver))
            });
            *response.body_mut() = StreamBody::new(frames.map(|bytes| Ok(Frame::data(bytes)))).boxed_unsync();
        }
    }
    Ok(response)
}

/// What has been applied under a reference: the member `reference` of a JSON body, or the key.
fn look_up(state: &State, seen: &Seen) -> Response<Body> {
    let asked = form_urlencoded::parse(seen.query.as_bytes()).find(|(name, _)| name == "reference");
    let asked = asked.map(|(_, value)| value.into_owned()).unwrap_or_default();
    let ledger = lock(&state.ledger);
    let applied = ledger
        .iter()
        .enumerate()
        .filter(|(_, entry)| entry.reference().as_ref() == Some(&asked) || key_of(entry).as_ref() == Some(&asked));
    let applied: Vec<_> = applied.map(|(index, entry)| json!({ "number": index + 1, "path": entry.path })).collect();
    let body = Full::new(Bytes::from(Value::from(applied).to_string()));
    let mut response = Response::new(body.map_err(never).boxed_unsync());
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/json"));
    response
}

fn key_of(seen: &Seen) -> Option<String> {
    let key = seen.header("idempotency-key").or_else(|| seen.header("x-idempotency-key"))?;
    Some(key.trim_matches('"').to_owned())
}

fn never(error: Infallible) -> std::io::Error {
    match error {}
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
