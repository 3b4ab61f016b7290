//! A service on its socket, from the first connection to the last.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How long requests under way may take once the service was asked to stop.
const MAX_DRAIN: Duration = Duration::from_secs(5);

/// A running service. Dropped, it goes on until the runtime ends.
pub struct Serving {
    address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<io::Result<()>>,
}

impl Serving {
    /// Serves `router` on `listener`.
    ///
    /// # Errors
    /// When the listener has no address.
    pub fn start(listener: TcpListener, router: Router) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        let serve = axum::serve(listener, router).with_graceful_shutdown(stopped);
        let task = tokio::spawn(serve.into_future());
        Ok(Self { address, stop, task })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts nothing more and waits, at most five seconds, for the requests under way.
    pub async fn stop(self) {
        self.stop.cancel();
        let abort = self.task.abort_handle();
        if tokio::time::timeout(MAX_DRAIN, self.task).await.is_err() {
            tracing::warn!(address = %self.address, "requests were still under way and are cut off");
            abort.abort();
        }
    }
}
