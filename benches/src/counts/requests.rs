//! What is sent while instructions are counted: one request after the other on one connection, each in one write.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::error::Error;

/// How long one may take, under valgrind.
const MAX_WAIT: Duration = Duration::from_secs(60);

/// The longest answer that is read, in bytes.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// What requests are like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// `POST` of 1 KiB, without a key.
    Plain,
    /// Each under a key of its own.
    First,
    /// All under one key.
    Replay,
    /// Each starts a saga of five steps, and waits for its end.
    Saga,
}

/// A connection that is kept.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    address: SocketAddr,
    buffer: Vec<u8>,
}

impl Connection {
    /// Opens it.
    pub(super) async fn open(address: SocketAddr) -> Result<Self, Error> {
        let stream = TcpStream::connect(address).await.map_err(Error::io(format!("connect to {address}")))?;
        stream.set_nodelay(true).map_err(Error::io("set an option"))?;
        Ok(Self { stream, address, buffer: vec![0; MAX_ANSWER_BYTES] })
    }

    /// Sends the request of this number, and reads its answer.
    ///
    /// # Errors
    /// When it is not answered 200, or not as a request of this shape has to be.
    pub(super) async fn ask(&mut self, shape: Shape, number: u32) -> Result<(), Error> {
        let bytes = request(self.address, shape, number);
        let answer = tokio::time::timeout(MAX_WAIT, self.exchange(bytes.as_bytes())).await;
        let head = answer.map_err(|_| Error::program("refrain", "no answer in time"))?.map_err(Error::io("ask refrain"))?;
        let said = match shape {
            Shape::Plain | Shape::Saga => "",
            Shape::First => "idempotency-status: executed",
            Shape::Replay if number == 0 => "idempotency-status: executed",
            Shape::Replay => "idempotency-status: replayed",
        };
        match head.starts_with("http/1.1 200") && head.contains(said) {
            true => Ok(()),
            false => Err(Error::program("refrain", format!("{shape:?} was answered: {head}"))),
        }
    }

    /// The answer's head, in lower case.
    async fn exchange(&mut self, bytes: &[u8]) -> std::io::Result<String> {
        self.stream.write_all(bytes).await?;
        let (mut filled, mut answer) = (0, None);
        loop {
            let read = self.stream.read(&mut self.buffer[filled..]).await?;
            if read == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            filled += read;
            if answer.is_none() {
                answer = head(&self.buffer[..filled])?;
            }
            match &answer {
                Some((head, whole)) if *whole == filled => return Ok(head.clone()),
                Some((_, whole)) if *whole > MAX_ANSWER_BYTES || *whole < filled => {
                    return Err(std::io::Error::other("the answer has another length than is expected"));
                }
                _ => {}
            }
        }
    }
}

/// The head in lower case, and the length of the whole answer. `None`: it is not there yet.
fn head(bytes: &[u8]) -> std::io::Result<Option<(String, usize)>> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
    let length =
        head.lines().find_map(|line| line.strip_prefix("content-length:")).and_then(|length| length.trim().parse::<usize>().ok());
    let length = length.ok_or_else(|| std::io::Error::other(format!("the answer has no length: {head}")))?;
    Ok(Some((head, end + 4 + length)))
}

/// Of the same length, whatever its number is.
fn request(address: SocketAddr, shape: Shape, number: u32) -> String {
    let (path, key, body) = match shape {
        Shape::Plain => ("/orders/", String::new(), document(0)),
        Shape::First => ("/orders/", format!("Idempotency-Key: key-{number:08}\r\n"), document(number)),
        Shape::Replay => ("/orders/", "Idempotency-Key: key-00000000\r\n".to_owned(), document(0)),
        Shape::Saga => ("/five/", format!("Idempotency-Key: key-{number:08}\r\n"), format!(r#"{{"order":"order-{number:08}"}}"#)),
    };
    let length = body.len();
    let head = format!("POST {path} HTTP/1.1\r\nHost: {address}\r\nAccept: */*\r\nContent-Type: application/json\r\n");
    format!("{head}{key}Content-Length: {length}\r\n\r\n{body}")
}

/// 1 KiB of JSON.
fn document(number: u32) -> String {
    let start = format!(r#"{{"order":"order-{number:08}","lines":[{{"sku":"a-1","count":2}}],"note":""#);
    let filling = "x".repeat(1024 - start.len() - 2);
    format!("{start}{filling}\"}}")
}
