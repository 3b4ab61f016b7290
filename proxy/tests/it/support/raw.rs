//! HTTP/1.1 as bytes: a client and an origin that say exactly what a test writes, and show exactly what came.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpSocket, TcpStream},
};

use super::{refrain::Refrain, within};

/// A Refrain of one core beside the service at `url`, with its records in memory; `more` is what else its file says.
pub(crate) async fn beside(url: &str, more: &str) -> Refrain {
    Refrain::start(&format!(
        "workers: 1\nstore: {{url: \"memory:\"}}\nupstreams: {{app: {{url: \"{url}\", local: true}}}}\n{more}"
    ))
    .await
}

/// A listener whose connections the test answers itself.
pub(crate) struct RawOrigin {
    listener: TcpListener,
}

impl RawOrigin {
    pub(crate) async fn start() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").await.unwrap() }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// The next connection.
    pub(crate) async fn accept(&self) -> RawConnection {
        let (tcp, _) = within("a connection to the origin", self.listener.accept()).await.unwrap();
        RawConnection::over(tcp)
    }

    /// The next connection, and the head of its first request.
    pub(crate) async fn accept_request(&self) -> (RawConnection, Head) {
        let mut connection = self.accept().await;
        let head = connection.head().await;
        (connection, head)
    }

    /// Whether a connection waits to be accepted.
    pub(crate) fn has_caller(&self) -> bool {
        futures_util::FutureExt::now_or_never(self.listener.accept()).is_some()
    }
}

/// One connection, as bytes.
pub(crate) struct RawConnection {
    tcp: TcpStream,
    read: Vec<u8>,
}

impl RawConnection {
    pub(crate) async fn to(address: SocketAddr) -> Self {
        Self::over(within("a connection", TcpStream::connect(address)).await.unwrap())
    }

    /// One whose kernel buffers little of what it is sent.
    pub(crate) async fn with_small_buffers(address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(16 * 1024).unwrap();
        Self::over(within("a connection", socket.connect(address)).await.unwrap())
    }

    fn over(tcp: TcpStream) -> Self {
        tcp.set_nodelay(true).unwrap();
        Self { tcp, read: Vec::new() }
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        within("room to write", self.tcp.write_all(bytes.as_ref())).await.unwrap();
    }

    /// Sends as long as the other side takes it within `patience`; gives how many bytes it took.
    pub(crate) async fn send_until_it_stalls(&mut self, chunk: &[u8], patience: Duration) -> usize {
        let mut sent = 0;
        while let Ok(written) = tokio::time::timeout(patience, self.tcp.write(chunk)).await {
            sent += written.unwrap();
        }
        sent
    }

    /// The next head: up to and with its empty line.
    pub(crate) async fn head(&mut self) -> Head {
        let end = loop {
            if let Some(at) = find(&self.read, b"\r\n\r\n") {
                break at;
            }
            assert!(self.more().await > 0, "closed within a head: {:?}", String::from_utf8_lossy(&self.read));
        };
        let head: Vec<u8> = self.read.drain(..end + 4).collect();
        Head::parse(&head[..end])
    }

    /// The next `count` bytes.
    pub(crate) async fn bytes(&mut self, count: usize) -> Vec<u8> {
        while self.read.len() < count {
            assert!(self.more().await > 0, "closed after {} of {count} bytes", self.read.len());
        }
        self.read.drain(..count).collect()
    }

    /// Reads `count` bytes and keeps none.
    pub(crate) async fn skip(&mut self, mut count: usize) {
        let have = self.read.len().min(count);
        self.read.drain(..have);
        count -= have;
        let mut scratch = vec![0; 256 * 1024];
        while count > 0 {
            let room = scratch.len().min(count);
            let read = within("bytes", self.tcp.read(&mut scratch[..room])).await.unwrap();
            assert!(read > 0, "closed with {count} bytes to come");
            count -= read;
        }
    }

    /// A message's body, framed as its head says: `Content-Length`, chunks, or none.
    pub(crate) async fn body(&mut self, head: &Head) -> Vec<u8> {
        if head.value("transfer-encoding").is_some() {
            let (body, trailers) = self.chunks().await;
            assert_eq!(trailers, Vec::<String>::new());
            return body;
        }
        let length = head.value("content-length").map_or(0, |length| length.parse().unwrap());
        self.bytes(length).await
    }

    /// A chunked body: its bytes, and its trailers as written.
    pub(crate) async fn chunks(&mut self) -> (Vec<u8>, Vec<String>) {
        let mut body = Vec::new();
        loop {
            let chunk = self.chunk().await;
            if chunk.is_empty() {
                break;
            }
            body.extend(chunk);
        }
        let mut trailers = Vec::new();
        loop {
            let line = self.line().await;
            if line.is_empty() {
                return (body, trailers);
            }
            trailers.push(line);
        }
    }

    /// One chunk; the last one is empty, and its trailers are still to be read.
    pub(crate) async fn chunk(&mut self) -> Vec<u8> {
        let size = self.line().await;
        let size = usize::from_str_radix(size.split(';').next().unwrap(), 16).unwrap_or_else(|_| panic!("no chunk: {size:?}"));
        if size == 0 {
            return Vec::new();
        }
        let chunk = self.bytes(size).await;
        assert_eq!(self.bytes(2).await, b"\r\n");
        chunk
    }

    /// A whole response with its body.
    pub(crate) async fn response(&mut self) -> (Head, Vec<u8>) {
        let head = self.head().await;
        let body = self.body(&head).await;
        (head, body)
    }

    /// A request without surprises, and its whole response.
    pub(crate) async fn exchange(&mut self, request: impl AsRef<[u8]>) -> (Head, Vec<u8>) {
        self.send(request).await;
        self.response().await
    }

    /// Everything until the other side closes.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        while self.more().await > 0 {}
        std::mem::take(&mut self.read)
    }

    /// Waits until the other side has closed or reset the connection; nothing may come before.
    pub(crate) async fn closed(&mut self) {
        let left = self.rest().await;
        assert_eq!(String::from_utf8_lossy(&left), "", "more came before the close");
    }

    /// Closes the connection with a reset.
    pub(crate) fn reset(self) {
        socket2::SockRef::from(&self.tcp).set_linger(Some(Duration::ZERO)).unwrap();
    }

    /// No more will be sent; the other direction stays open.
    pub(crate) async fn finish(&mut self) {
        self.tcp.shutdown().await.unwrap();
    }

    /// Whether bytes, or the end, have come.
    pub(crate) async fn has_more(&mut self) -> bool {
        !self.read.is_empty() || futures_util::FutureExt::now_or_never(self.tcp.read_buf(&mut self.read)).is_some()
    }

    /// What was read and not yet looked at.
    pub(crate) fn unread(&self) -> &[u8] {
        &self.read
    }

    async fn line(&mut self) -> String {
        loop {
            if let Some(at) = find(&self.read, b"\r\n") {
                let line: Vec<u8> = self.read.drain(..at + 2).collect();
                return String::from_utf8(line[..at].to_vec()).unwrap();
            }
            assert!(self.more().await > 0, "closed within a line: {:?}", String::from_utf8_lossy(&self.read));
        }
    }

    /// Reads what there is; 0 at the end, however it comes.
    async fn more(&mut self) -> usize {
        within("bytes", self.tcp.read_buf(&mut self.read)).await.unwrap_or(0)
    }
}

/// A message's first line and header lines, as written.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) start: String,
    pub(crate) lines: Vec<String>,
}

impl Head {
    fn parse(bytes: &[u8]) -> Self {
        let mut lines = bytes.split(|byte| *byte == b'\n').map(|line| {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            // One character for each byte, so that nothing is lost.
            line.iter().map(|byte| char::from(*byte)).collect::<String>()
        });
        Self { start: lines.next().unwrap(), lines: lines.collect() }
    }

    pub(crate) fn status(&self) -> u16 {
        self.start.split(' ').nth(1).unwrap().parse().unwrap()
    }

    /// The values of a header, whatever its case, in order.
    pub(crate) fn values(&self, name: &str) -> Vec<&str> {
        let named = |line: &&String| line.split_once(':').is_some_and(|(n, _)| n.eq_ignore_ascii_case(name));
        self.lines.iter().filter(named).filter_map(|line| line.split_once(':')).map(|(_, value)| value.trim()).collect()
    }

    /// The one value of a header; `None` where it is absent.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        let values = self.values(name);
        assert!(values.len() <= 1, "{name} more than once: {values:?}");
        values.first().copied()
    }

    /// Whether this very line is there.
    pub(crate) fn has(&self, line: &str) -> bool {
        self.lines.iter().any(|has| has == line)
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}
