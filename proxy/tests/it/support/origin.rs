//! A service that counts what it was asked, acts in a ledger, and answers, breaks off or keeps silent as a test wants.
//!
//! It has a thread and a runtime of its own, so that a test may block.

use std::{
    collections::HashMap,
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::Duration,
};

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{mpsc, watch},
};
use tokio_util::sync::CancellationToken;

use super::within;

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

/// Holds the requests to a path, once they are read.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    arrived: Arc<watch::Sender<usize>>,
    open: Arc<watch::Sender<bool>>,
    /// Whether the service acts before it holds.
    acts_first: bool,
}

impl Gate {
    /// Waits until `count` requests in all have reached the gate.
    pub(crate) async fn started(&self, count: usize) {
        let mut arrived = self.arrived.subscribe();
        let what = format!("{count} requests at the gate");
        within(&what, arrived.wait_for(|number| *number >= count)).await.unwrap();
    }

    /// Lets everything through, from now on.
    pub(crate) fn open(&self) {
        self.open.send_replace(true);
    }
}

/// The service. Ends when dropped.
pub(crate) struct Origin {
    address: SocketAddr,
    state: Arc<State>,
    up: watch::Sender<bool>,
    is_up: watch::Receiver<bool>,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct State {
    seen: Mutex<Vec<Seen>>,
    ledger: Mutex<Vec<Seen>>,
    replies: Mutex<HashMap<String, Reply>>,
    gates: Mutex<HashMap<String, Gate>>,
}

impl Origin {
    /// A service that answers every path with [`Reply::numbered`].
    pub(crate) fn start() -> Self {
        let state = Arc::<State>::default();
        let stop = CancellationToken::new();
        let (up, wanted) = watch::channel(true);
        let (is, is_up) = watch::channel(true);
        let (tell, told) = std::sync::mpsc::channel();
        let (for_thread, until) = (Arc::clone(&state), stop.clone());
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = bound("127.0.0.1:0".parse().unwrap()).listen(1024).unwrap();
                tell.send(listener.local_addr().unwrap()).unwrap();
                until.run_until_cancelled(run(listener, for_thread, wanted, is)).await;
            });
        });
        let address = told.recv_timeout(Duration::from_secs(20)).unwrap();
        Self { address, state, up, is_up, stop, thread: Some(thread) }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
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
        let gate = Gate { arrived: Arc::new(watch::Sender::new(0)), open: Arc::new(watch::Sender::new(false)), acts_first };
        lock(&self.state.gates).insert(path.to_owned(), gate.clone());
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
        self.switch(false).await;
        // A process that another test is starting has the listener too, until it becomes another program.
        within("connections to be refused", async { while TcpStream::connect(self.address).await.is_ok() {} }).await;
    }

    /// Listens again, on the same port.
    pub(crate) async fn reopen(&self) {
        self.switch(true).await;
    }

    async fn switch(&self, on: bool) {
        self.up.send_replace(on);
        let mut is_up = self.is_up.clone();
        within("the origin to open or close", is_up.wait_for(|is| *is == on)).await.unwrap();
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            if !std::thread::panicking() {
                ended.unwrap();
            }
        }
    }
}

/// A socket that has its port and does not listen.
fn bound(address: SocketAddr) -> TcpSocket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.set_reuseport(true).unwrap();
    socket.bind(address).unwrap();
    socket
}

async fn run(first: TcpListener, state: Arc<State>, mut wanted: watch::Receiver<bool>, is: watch::Sender<bool>) {
    let address = first.local_addr().unwrap();
    let mut listener = first;
    loop {
        let cut = CancellationToken::new();
        tokio::select! {
            () = accept(&listener, &state, &cut) => {}
            changed = wanted.wait_for(|up| !up) => if changed.is_err() { return },
        }
        // Before the listener goes, so that nobody else gets the port.
        let silent = bound(address);
        drop(listener);
        cut.cancel();
        is.send_replace(false);
        if wanted.wait_for(|up| *up).await.is_err() {
            return;
        }
        listener = silent.listen(1024).unwrap();
        is.send_replace(true);
    }
}

async fn accept(listener: &TcpListener, state: &Arc<State>, cut: &CancellationToken) {
    while let Ok((tcp, _)) = listener.accept().await {
        tokio::spawn(serve(tcp, Arc::clone(state), cut.child_token()));
    }
}

/// Serves one connection until its end, or until `cut`: then it is reset.
async fn serve(tcp: TcpStream, state: Arc<State>, cut: CancellationToken) {
    let tcp = tcp.into_std().unwrap();
    let same = tcp.try_clone().unwrap();
    let tcp = TcpStream::from_std(tcp).unwrap();
    tcp.set_nodelay(true).unwrap();
    let service = service_fn(|request| handle(request, Arc::clone(&state), cut.clone()));
    let connection = http1::Builder::new().serve_connection(TokioIo::new(tcp), service);
    tokio::select! {
        // How it ended, the client knows.
        _ended = connection => {}
        () = cut.cancelled() => {
            // No time to linger: the close is a reset.
            socket2::SockRef::from(&same).set_linger(Some(Duration::ZERO)).unwrap();
        }
    }
}

type Body = UnsyncBoxBody<Bytes, std::io::Error>;

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
    let gate = lock(&state.gates).get(&seen.path).cloned();
    if seen.path == LOOKUP && !lock(&state.replies).contains_key(LOOKUP) {
        pass(gate).await;
        return Ok(look_up(&state, &seen));
    }
    let reply = lock(&state.replies).get(&seen.path).cloned().unwrap_or_else(Reply::numbered);
    let number = match gate {
        Some(gate) if !gate.acts_first => {
            pass(Some(gate)).await;
            act(&state, &reply, seen)
        }
        gate => {
            let number = act(&state, &reply, seen);
            pass(gate).await;
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

async fn pass(gate: Option<Gate>) {
    if let Some(gate) = gate {
        gate.arrived.send_modify(|number| *number += 1);
        let mut open = gate.open.subscribe();
        open.wait_for(|open| *open).await.unwrap();
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
