//! A client: one connection for each request, bytes as bytes, and every wait bounded.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{net::TcpStream, task::JoinHandle};

use super::within;

/// A request in the making.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    method: Method,
    uri: Uri,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Bytes,
}

/// An answer, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Lines in order of arrival; those of one name together, under lower-case names.
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) body: Bytes,
    pub(crate) trailers: Vec<(String, Vec<u8>)>,
}

/// An answer whose head has come.
#[derive(Debug)]
pub(crate) struct Flowing {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    body: Incoming,
    _connection: Connection,
}

/// A request under way.
#[derive(Debug)]
pub(crate) struct Pending(JoinHandle<Answer>);

impl Call {
    pub(crate) fn new(method: &str, url: &str) -> Self {
        let (method, uri) = (method.parse().unwrap(), url.parse().unwrap());
        Self { method, uri, headers: Vec::new(), body: Bytes::new() }
    }

    pub(crate) fn get(url: &str) -> Self {
        Self::new("GET", url)
    }

    pub(crate) fn post(url: &str) -> Self {
        Self::new("POST", url)
    }

    /// One more header line.
    pub(crate) fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.parse().unwrap(), HeaderValue::from_bytes(value.as_ref()).unwrap()));
        self
    }

    /// An `Idempotency-Key`, as it is.
    pub(crate) fn key(self, key: &str) -> Self {
        self.header("idempotency-key", key)
    }

    pub(crate) fn body(self, body: impl Into<Bytes>) -> Self {
        Self { body: body.into(), ..self }
    }

    /// A JSON body, as it is, and its type.
    pub(crate) fn json(self, body: impl Into<Bytes>) -> Self {
        self.header("content-type", "application/json").body(body)
    }

    /// Sends it on a new connection and gives the whole answer.
    pub(crate) async fn send(self) -> Answer {
        let Flowing { status, headers, body, _connection } = self.open().await;
        let collected = within("the body of an answer", body.collect()).await.unwrap();
        let trailers = collected.trailers().map(lines).unwrap_or_default();
        Answer { status, headers, body: collected.to_bytes(), trailers }
    }

    /// Sends it on a new connection and gives the answer's head.
    pub(crate) async fn open(self) -> Flowing {
        let what = format!("an answer to {} {}", self.method, self.uri);
        within(&what, self.try_open()).await.unwrap_or_else(|error| panic!("{what}: {error}"))
    }

    /// As [`Self::open`], where there may be no answer.
    pub(crate) async fn try_open(self) -> Result<Flowing, Box<dyn std::error::Error + Send + Sync>> {
        let authority = self.uri.authority().unwrap().clone();
        let tcp = TcpStream::connect(authority.as_str()).await?;
        tcp.set_nodelay(true)?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(tcp)).await?;
        let connection = Connection(tokio::spawn(async move {
            // How it ended, the request says.
            let _ended = connection.await;
        }));
        let mut request = http::Request::new(Full::new(self.body));
        *request.method_mut() = self.method;
        *request.uri_mut() = self.uri.path_and_query().map_or("/", |path| path.as_str()).parse()?;
        if !self.headers.iter().any(|(name, _)| name == "host") {
            request.headers_mut().insert("host", HeaderValue::from_str(authority.as_str())?);
        }
        for (name, value) in self.headers {
            request.headers_mut().append(name, value);
        }
        let response = sender.send_request(request).await?;
        let (parts, body) = response.into_parts();
        Ok(Flowing { status: parts.status.as_u16(), headers: lines(&parts.headers), body, _connection: connection })
    }

    /// As [`Self::send`], where there may be no answer, or none that is whole.
    pub(crate) async fn try_send(self) -> Result<Answer, Box<dyn std::error::Error + Send + Sync>> {
        let Flowing { status, headers, body, _connection } = self.try_open().await?;
        let collected = body.collect().await?;
        let trailers = collected.trailers().map(lines).unwrap_or_default();
        Ok(Answer { status, headers, body: collected.to_bytes(), trailers })
    }

    /// Sends it; the answer can be waited for, or not.
    pub(crate) fn start(self) -> Pending {
        Pending(tokio::spawn(self.send()))
    }
}

impl Pending {
    pub(crate) async fn answer(self) -> Answer {
        self.0.await.unwrap()
    }

    /// Whether the answer is here.
    pub(crate) fn is_answered(&self) -> bool {
        self.0.is_finished()
    }

    /// Closes the connection, now.
    pub(crate) async fn hang_up(self) {
        self.0.abort();
        assert!(self.0.await.unwrap_err().is_cancelled(), "the answer came before the client hung up");
    }
}

impl Flowing {
    /// The next piece of the body; none at its end.
    pub(crate) async fn next(&mut self) -> Option<Bytes> {
        let frame = within("a piece of a body", self.body.frame()).await?.unwrap();
        Some(frame.into_data().unwrap())
    }

    /// Whether the body ends as it should.
    pub(crate) async fn ends_well(mut self) -> bool {
        within("the end of a body", async {
            while let Some(frame) = self.body.frame().await {
                if frame.is_err() {
                    return false;
                }
            }
            true
        })
        .await
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        value(&self.headers, name)
    }
}

impl Answer {
    /// The first line of a header; none if there is none or it is no text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        value(&self.headers, name)
    }

    /// All lines of a header, in order.
    pub(crate) fn all(&self, name: &str) -> Vec<&[u8]> {
        self.headers.iter().filter(|(line, _)| line == name).map(|(_, value)| value.as_slice()).collect()
    }

    /// `Idempotency-Status`, or nothing.
    pub(crate) fn how(&self) -> &str {
        self.header("idempotency-status").unwrap_or_default()
    }

    /// `Refrain-Problem`, or nothing.
    pub(crate) fn problem(&self) -> &str {
        self.header("refrain-problem").unwrap_or_default()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

fn value<'a>(headers: &'a [(String, Vec<u8>)], name: &str) -> Option<&'a str> {
    let (_, value) = headers.iter().find(|(line, _)| line == name)?;
    std::str::from_utf8(value).ok()
}

fn lines(headers: &http::HeaderMap) -> Vec<(String, Vec<u8>)> {
    headers.iter().map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect()
}

/// A connection; closed when dropped.
#[derive(Debug)]
struct Connection(JoinHandle<()>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}
