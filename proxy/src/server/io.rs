//! A client's connection as hyper reads and writes it: what was read to detect the protocol comes first again, and reads are noted.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::{io::AsyncReadExt as _, net::TcpStream};

use super::activity::Activity;

/// The first bytes of an HTTP/2 connection with prior knowledge (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A client's connection.
#[derive(Debug)]
pub(crate) struct ClientIo {
    tcp: TokioIo<TcpStream>,
    front: ([u8; PREFACE.len()], usize, usize),
    activity: Arc<Activity>,
}

/// What a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spoken {
    Http1,
    Http2,
    /// It closed before it said anything.
    Nothing,
}

/// Reads just enough to tell HTTP/2's preface from anything else. Not bounded in time: the caller does that.
pub(crate) async fn detect(tcp: &mut TcpStream, front: &mut ([u8; PREFACE.len()], usize, usize)) -> io::Result<Spoken> {
    let (bytes, _, filled) = front;
    loop {
        let read = match bytes.get_mut(*filled..) {
            Some(rest) => tcp.read(rest).await?,
            None => 0,
        };
        *filled += read;
        let seen = &bytes[..*filled];
        match (read, PREFACE.starts_with(seen), *filled == PREFACE.len()) {
            (_, false, _) => return Ok(Spoken::Http1),
            (_, true, true) => return Ok(Spoken::Http2),
            (0, true, false) if seen.is_empty() => return Ok(Spoken::Nothing),
            (0, true, false) => return Ok(Spoken::Http1),
            (_, true, false) => {}
        }
    }
}

/// An empty front, for [`detect`].
pub(crate) const fn no_front() -> ([u8; PREFACE.len()], usize, usize) {
    ([0; PREFACE.len()], 0, 0)
}

impl ClientIo {
    pub(crate) fn new(tcp: TcpStream, front: ([u8; PREFACE.len()], usize, usize), activity: Arc<Activity>) -> Self {
        Self { tcp: TokioIo::new(tcp), front, activity }
    }

    pub(crate) fn into_tcp(self) -> TcpStream {
        self.tcp.into_inner()
    }
}

impl Read for ClientIo {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, mut buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let (bytes, from, to) = &mut self.front;
        if from < to {
            let count = (*to - *from).min(buf.remaining());
            buf.put_slice(&bytes[*from..*from + count]);
            *from += count;
            return Poll::Ready(Ok(()));
        }
        let polled = Pin::new(&mut self.tcp).poll_read(cx, buf);
        if matches!(polled, Poll::Ready(Ok(()))) {
            self.activity.read();
        }
        polled
    }
}

impl Write for ClientIo {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write_vectored(cx, bufs)
    }
}
