//! The upstream of every measurement: as cheap as can be, since it shares the machine. One thread per core, each with its own listener;
//! heads are found by `httparse`, answers are constants.
//!
//! - `GET /.counts`: how often each path was asked for, without queries, as JSON.
//! - `/bytes/N`: N bytes.
//! - anything else: 200 and 1 KiB of JSON.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;

use crate::ask;
use crate::error::Error;
use crate::process::{Process, Ready};
use crate::settings::Settings;

mod h2c;

/// How much is read at once, and the longest head.
const READ_BYTES: usize = 64 * 1024;

/// How many paths are told apart, per thread; the others count as one.
const MAX_PATHS: usize = 1024;

/// The most bytes one answer has.
const MAX_ANSWER_BYTES: u64 = 1 << 30;

/// What every path but those of this module answers: 1 KiB.
pub(crate) fn document() -> String {
    format!(r#"{{"id":"o-1","status":"paid","amount":4200,"note":"{}"}}"#, "x".repeat(1024 - 52))
}

/// The counters of all threads. Each thread has its own lock, which nobody else wants while a measurement runs.
type Counters = Arc<Vec<Mutex<HashMap<String, u64>>>>;

/// An origin in a process of its own.
#[derive(Debug)]
pub(crate) struct Origin {
    /// Killed when it is dropped.
    _process: Process,
    /// HTTP/1.1.
    pub(crate) address: SocketAddr,
    /// HTTP/2 with prior knowledge.
    pub(crate) h2c: SocketAddr,
}

impl Origin {
    /// Starts one.
    pub(crate) async fn start(settings: &Settings) -> Result<Self, Error> {
        let (address, h2c) = (settings.address()?, settings.address()?);
        let this = std::env::current_exe().map_err(Error::io("find this program"))?;
        let mut command = Command::new(this);
        command.arg("origin").arg(address.to_string()).arg(h2c.to_string());
        command.arg("--threads").arg(settings.origin_threads.to_string());
        let process = Process::start(settings, "origin", command, Ready::Answers(address, "/.counts")).await?;
        Ok(Self { _process: process, address, h2c })
    }

    /// How often each path was asked for, over HTTP/1.1.
    pub(crate) async fn counts(&self) -> Result<HashMap<String, u64>, Error> {
        let answer = ask::get(self.address, "/.counts").await?;
        serde_json::from_str(&answer.body).map_err(|error| Error::program("origin", error.to_string()))
    }
}

/// Serves until the process is stopped.
///
/// # Errors
/// When an address cannot be listened on.
pub(crate) fn serve(address: SocketAddr, h2c: SocketAddr, threads: usize) -> Result<(), Error> {
    let counters: Counters = Arc::new((0..threads).map(|_| Mutex::default()).collect());
    let document: Arc<[u8]> = answer(&document().into_bytes()).into();
    let serving = (0..threads).map(|id| {
        let (counters, document) = (Arc::clone(&counters), Arc::clone(&document));
        let (plain, h2c) = (listen(address)?, listen(h2c)?);
        Ok(thread::spawn(move || on_core(id, plain, h2c, &counters, &document)))
    });
    let serving: Vec<_> = serving.collect::<Result<_, Error>>()?;
    for thread in serving {
        thread.join().map_err(|_| Error::program("origin", "a thread has panicked"))??;
    }
    Ok(())
}

/// A listener of one's own at an address that others share.
pub(crate) fn listen(address: SocketAddr) -> Result<std::net::TcpListener, Error> {
    let open = || {
        let socket = socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(true)?;
        socket.bind(&address.into())?;
        socket.listen(4096)?;
        socket.set_nonblocking(true)?;
        Ok(socket.into())
    };
    open().map_err(Error::io(format!("listen on {address}")))
}

fn on_core(
    id: usize,
    plain: std::net::TcpListener,
    h2c: std::net::TcpListener,
    counters: &Counters,
    document: &Arc<[u8]>,
) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::io("start"))?;
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let plain = TcpListener::from_std(plain).map_err(Error::io("listen"))?;
        tokio::task::spawn_local(h2c::serve(h2c));
        loop {
            let (stream, _) = plain.accept().await.map_err(Error::io("accept"))?;
            let connection = Connection { counters: Arc::clone(counters), id, document: Arc::clone(document) };
            tokio::task::spawn_local(async move {
                // A client that hangs up is no mistake of the origin's.
                let _ended = connection.serve(stream).await;
            });
        }
    })
}

/// The whole answer with this body.
fn answer(body: &[u8]) -> Vec<u8> {
    let mut bytes = head(body.len() as u64).into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

fn head(length: u64) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n")
}

struct Connection {
    counters: Counters,
    id: usize,
    document: Arc<[u8]>,
}

/// What is known of a request.
struct Request {
    path: String,
    head_bytes: usize,
    body: Body,
    is_last: bool,
}

#[derive(Clone, Copy)]
enum Body {
    Sized(u64),
    Chunked,
}

impl Connection {
    async fn serve(&self, mut stream: TcpStream) -> std::io::Result<()> {
        stream.set_nodelay(true)?;
        let mut buffer = vec![0; READ_BYTES];
        let mut filled = 0;
        loop {
            let request = loop {
                match parse(&buffer[..filled])? {
                    Some(request) => break request,
                    None if filled == buffer.len() => return Err(std::io::Error::other("the head is too long")),
                    None => {}
                }
                let read = stream.read(&mut buffer[filled..]).await?;
                if read == 0 {
                    return Ok(());
                }
                filled += read;
            };
            consume(&mut buffer, &mut filled, request.head_bytes);
            match request.body {
                Body::Sized(length) => skip(&mut stream, &mut buffer, &mut filled, length).await?,
                Body::Chunked => skip_chunks(&mut stream, &mut buffer, &mut filled).await?,
            }
            self.answer(&mut stream, &request.path).await?;
            if request.is_last {
                return Ok(());
            }
        }
    }

    async fn answer(&self, stream: &mut TcpStream, path: &str) -> std::io::Result<()> {
        if path == "/.counts" {
            return stream.write_all(&answer(self.counts().to_string().as_bytes())).await;
        }
        self.count(path);
        let Some(length) = path.strip_prefix("/bytes/").and_then(|length| length.parse::<u64>().ok()) else {
            return stream.write_all(&self.document).await;
        };
        static FILLING: [u8; READ_BYTES] = [b'x'; READ_BYTES];
        let mut left = length.min(MAX_ANSWER_BYTES);
        let mut first = head(left).into_bytes();
        let with_head = left.min(READ_BYTES as u64 / 2);
        first.resize(first.len() + usize::try_from(with_head).unwrap_or(0), b'x');
        stream.write_all(&first).await?;
        left -= with_head;
        while left > 0 {
            let now = usize::try_from(left).unwrap_or(READ_BYTES).min(READ_BYTES);
            stream.write_all(&FILLING[..now]).await?;
            left -= now as u64;
        }
        Ok(())
    }

    fn count(&self, path: &str) {
        let mut counts = self.counters[self.id].lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(path) {
            *count += 1;
        } else {
            let path = if counts.len() < MAX_PATHS { path } else { "(others)" };
            *counts.entry(path.to_owned()).or_default() += 1;
        }
    }

    fn counts(&self) -> serde_json::Value {
        let mut sum: HashMap<String, u64> = HashMap::new();
        for counts in self.counters.iter() {
            for (path, count) in counts.lock().unwrap_or_else(PoisonError::into_inner).iter() {
                *sum.entry(path.clone()).or_default() += count;
            }
        }
        serde_json::json!(sum)
    }
}

/// `None`: not all of the head is there yet.
fn parse(bytes: &[u8]) -> std::io::Result<Option<Request>> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(head_bytes) = request.parse(bytes).map_err(std::io::Error::other)? else { return Ok(None) };
    let (mut body, mut is_last) = (Body::Sized(0), false);
    for header in request.headers.iter() {
        if header.name.eq_ignore_ascii_case("content-length") {
            let length = std::str::from_utf8(header.value).ok().and_then(|value| value.parse().ok());
            body = Body::Sized(length.ok_or_else(|| std::io::Error::other("the length is no number"))?);
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            body = Body::Chunked;
        } else if header.name.eq_ignore_ascii_case("connection") {
            is_last = header.value.eq_ignore_ascii_case(b"close");
        }
    }
    // Counted without its query, in which some send what tells each request apart.
    let path = request.path.unwrap_or("/").split('?').next().unwrap_or("/").to_owned();
    Ok(Some(Request { path, head_bytes, body, is_last }))
}

fn consume(buffer: &mut [u8], filled: &mut usize, bytes: usize) {
    buffer.copy_within(bytes..*filled, 0);
    *filled -= bytes;
}

async fn skip(stream: &mut TcpStream, buffer: &mut [u8], filled: &mut usize, length: u64) -> std::io::Result<()> {
    let mut left = length;
    loop {
        let here = usize::try_from(left).unwrap_or(usize::MAX).min(*filled);
        consume(buffer, filled, here);
        left -= here as u64;
        if left == 0 {
            return Ok(());
        }
        more(stream, buffer, filled).await?;
    }
}

/// To the end of the last chunk; trailers are not expected.
async fn skip_chunks(stream: &mut TcpStream, buffer: &mut [u8], filled: &mut usize) -> std::io::Result<()> {
    loop {
        match httparse::parse_chunk_size(&buffer[..*filled]) {
            Ok(httparse::Status::Complete((line, size))) => {
                consume(buffer, filled, line);
                skip(stream, buffer, filled, size + 2).await?;
                if size == 0 {
                    return Ok(());
                }
            }
            Ok(httparse::Status::Partial) => more(stream, buffer, filled).await?,
            Err(_) => return Err(std::io::Error::other("not a chunk")),
        }
    }
}

async fn more(stream: &mut TcpStream, buffer: &mut [u8], filled: &mut usize) -> std::io::Result<()> {
    let read = stream.read(&mut buffer[*filled..]).await?;
    if read == 0 {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    *filled += read;
    Ok(())
}
