//! The client side: accept, detect HTTP/1 or HTTP/2, bound everything, drain.

mod activity;
mod connection;
mod io;
pub mod listener;
mod watch;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::{Request, Response};
use hyper::body::Incoming;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::activity::Activity;
pub use self::activity::Busy;
pub(crate) use self::connection::tunnel;
use crate::{
    body::Body,
    config::Limits,
    headers,
    metrics::{Limit, Metrics},
};

/// How long to wait before accepting again when the process has run out of descriptors.
const OUT_OF_DESCRIPTORS_PAUSE: Duration = Duration::from_millis(100);

/// Who is at the other end of a connection.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The client's address.
    pub address: SocketAddr,
    /// The address it came to.
    pub local: SocketAddr,
    /// The client's address, as upstreams are told it.
    pub line: http::HeaderValue,
}

/// What answers requests.
pub trait Handler: Clone + Send + 'static {
    /// Answers one request. Never fails: errors are answers. `busy` is held until the answer's last byte is on its way.
    fn handle(self, request: Request<Incoming>, peer: Peer, busy: Busy) -> impl Future<Output = Response<Body>> + Send;
}

/// What all connections of a process share.
#[derive(Clone, Debug)]
pub struct Shared {
    /// The bounds.
    pub limits: Limits,
    /// Open client connections.
    pub connections: Arc<AtomicUsize>,
    /// Cancelled when the drain begins.
    pub drain: CancellationToken,
    /// Cancelled when the drain is over: what is left is cut.
    pub cut: CancellationToken,
    /// Every connection's task.
    pub tasks: TaskTracker,
    /// Where refusals are counted.
    pub metrics: Metrics,
}

/// Accepts connections on one core until the drain begins; then takes what the kernel has queued, and stops.
pub async fn serve<H: Handler>(listener: TcpListener, handler: H, shared: Shared) {
    loop {
        let accepted = tokio::select! {
            biased;
            () = shared.drain.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((tcp, address)) => admit(tcp, address, &handler, &shared),
            Err(error) => pause_after(&error, &shared).await,
        }
    }
    // The runtime may not have heard of what the kernel has queued: the kernel is asked.
    let Ok(listener) = listener.into_std() else { return };
    for _ in 0..listener::BACKLOG {
        let Ok((tcp, address)) = listener.accept() else { return };
        if let Ok(tcp) = tcp.set_nonblocking(true).and_then(|()| TcpStream::from_std(tcp)) {
            admit(tcp, address, &handler, &shared);
        }
    }
}

/// A connection that is gone already costs nothing; without descriptors, accepting at once would only spin.
async fn pause_after(error: &std::io::Error, shared: &Shared) {
    tracing::warn!(%error, "a connection could not be accepted");
    let is_connections_own = matches!(
        error.kind(),
        std::io::ErrorKind::ConnectionAborted | std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::Interrupted
    );
    if !is_connections_own {
        tokio::select! {
            () = tokio::time::sleep(OUT_OF_DESCRIPTORS_PAUSE) => {}
            () = shared.drain.cancelled() => {}
        }
    }
}

fn admit<H: Handler>(tcp: TcpStream, address: SocketAddr, handler: &H, shared: &Shared) {
    let (place, before) = Place::take(shared);
    let local = tcp.local_addr().unwrap_or(address);
    if before >= shared.limits.connections {
        shared.metrics.refused_at(Limit::Connections);
        shared.tasks.spawn(async move {
            connection::refuse(tcp, connection::TOO_MANY_CONNECTIONS).await;
            drop(place);
        });
        return;
    }
    let peer = Peer { address, local, line: headers::peer_line(address.ip()) };
    let (handler, shared) = (handler.clone(), shared.clone());
    shared.tasks.clone().spawn(async move {
        connection::serve(tcp, peer, handler, &shared).await;
        drop(place);
    });
}

/// A place among the open connections; given back on drop.
#[derive(Debug)]
pub(crate) struct Place(Arc<AtomicUsize>);

impl Place {
    /// One more, and how many there were before.
    pub(crate) fn take(shared: &Shared) -> (Self, usize) {
        let before = shared.connections.fetch_add(1, Ordering::Relaxed);
        (Self(Arc::clone(&shared.connections)), before)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
