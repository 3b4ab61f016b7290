//! The few requests that the harness sends by itself: readiness, counts, the preparation of a measurement.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::error::Error;

/// How long one may take.
const MAX_WAIT: Duration = Duration::from_secs(10);

/// The largest answer that is read, in bytes.
const MAX_BYTES: u64 = 4 * 1024 * 1024;

/// What a request was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// After the head, as it came.
    pub(crate) body: String,
}

/// `GET`, on a connection of its own.
///
/// # Errors
/// When there is no whole answer within ten seconds.
pub(crate) async fn get(address: SocketAddr, path: &str) -> Result<Answer, Error> {
    send(address, &format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")).await
}

/// `POST` of a JSON document, on a connection of its own. `headers` are whole lines, each with its end.
///
/// # Errors
/// When there is no whole answer within ten seconds.
pub(crate) async fn post(address: SocketAddr, path: &str, headers: &str, body: &str) -> Result<Answer, Error> {
    let length = body.len();
    let head = format!("POST {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Type: application/json\r\n");
    send(address, &format!("{head}{headers}Content-Length: {length}\r\n\r\n{body}")).await
}

async fn send(address: SocketAddr, request: &str) -> Result<Answer, Error> {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut bytes = Vec::new();
        stream.take(MAX_BYTES).read_to_end(&mut bytes).await?;
        Ok::<_, std::io::Error>(bytes)
    };
    let doing = || format!("ask {address}");
    let answered = tokio::time::timeout(MAX_WAIT, exchange).await;
    let bytes = answered.map_err(|_| Error::program(doing(), "no answer in time"))?.map_err(Error::io(doing()))?;
    let text = String::from_utf8_lossy(&bytes);
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(|| Error::program(doing(), "no answer"))?;
    let status = head.split_whitespace().nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| Error::program(doing(), format!("not HTTP: {head}")))?;
    Ok(Answer { status, body: body.to_owned() })
}
