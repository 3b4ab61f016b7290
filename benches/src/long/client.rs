//! One client of the long run: a connection that is kept, and made again when it has ended.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

/// How long an answer may take. A machine that is busy with something else is slow, not wrong.
const MAX_WAIT: Duration = Duration::from_secs(30);

/// A connection to Refrain.
#[derive(Debug)]
pub(super) struct Client {
    address: SocketAddr,
    connection: Option<SendRequest<Full<Bytes>>>,
}

/// What a request was answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// A request as this module makes them.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    pub(super) method: http::Method,
    pub(super) path: String,
    pub(super) key: Option<String>,
    pub(super) body: Bytes,
}

impl Ask {
    /// `POST` of a JSON document of about so many bytes.
    pub(super) fn post(path: &str, key: Option<String>, bytes: usize) -> Self {
        let body = format!(r#"{{"note":"{}"}}"#, "y".repeat(bytes)).into();
        Self { method: http::Method::POST, path: path.to_owned(), key, body }
    }

    /// As it is on the wire.
    pub(super) fn wire(&self, address: SocketAddr) -> Vec<u8> {
        let key = self.key.as_ref().map(|key| format!("Idempotency-Key: {key}\r\n")).unwrap_or_default();
        let (method, path, length) = (&self.method, &self.path, self.body.len());
        let head = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n");
        let mut bytes = format!("{head}{key}Content-Length: {length}\r\n\r\n").into_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

impl Client {
    pub(super) fn new(address: SocketAddr) -> Self {
        Self { address, connection: None }
    }

    /// The whole answer, or in words why there is none.
    pub(super) async fn ask(&mut self, ask: &Ask) -> Result<Answer, String> {
        let answered = tokio::time::timeout(MAX_WAIT, self.exchange(ask)).await;
        let answered = answered.unwrap_or_else(|_| Err("no answer in time".to_owned()));
        if answered.is_err() {
            self.connection = None;
        }
        answered
    }

    async fn exchange(&mut self, ask: &Ask) -> Result<Answer, String> {
        let mut connection = match self.connection.take().filter(|connection| !connection.is_closed()) {
            Some(connection) => connection,
            None => connect(self.address).await?,
        };
        connection.ready().await.map_err(|error| error.to_string())?;
        let mut request = Request::builder().method(ask.method.clone()).uri(&ask.path);
        request = request.header("host", self.address.to_string()).header("content-type", "application/json");
        if let Some(key) = &ask.key {
            request = request.header("idempotency-key", key);
        }
        let request = request.body(Full::new(ask.body.clone())).map_err(|error| error.to_string())?;
        let response = connection.send_request(request).await.map_err(|error| error.to_string())?;
        let (head, body) = response.into_parts();
        let body = body.collect().await.map_err(|error| error.to_string())?.to_bytes();
        self.connection = Some(connection);
        Ok(Answer { status: head.status, headers: head.headers, body })
    }
}

async fn connect(address: SocketAddr) -> Result<SendRequest<Full<Bytes>>, String> {
    let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
    stream.set_nodelay(true).map_err(|error| error.to_string())?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    tokio::spawn(async move {
        // The sender hears of it.
        let _ended = connection.await;
    });
    Ok(sender)
}

/// Sends so many bytes of a request, and hangs up without reading an answer.
pub(super) async fn hang_up_after(address: SocketAddr, ask: &Ask, bytes: usize, pause: Duration) -> Result<(), String> {
    let send = async {
        let mut stream = TcpStream::connect(address).await?;
        let wire = ask.wire(address);
        stream.write_all(&wire[..bytes.min(wire.len())]).await?;
        tokio::time::sleep(pause).await;
        Ok::<_, std::io::Error>(())
    };
    tokio::time::timeout(MAX_WAIT, send).await.map_err(|_| "not sent in time".to_owned())?.map_err(|error| error.to_string())
}
