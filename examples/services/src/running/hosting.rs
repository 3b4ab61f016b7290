//! A service as a process of its own: `shop service NAME`. So containers run it, and so the shop does.

use std::io;
use std::net::SocketAddr;

use tokio::net::TcpListener;

use crate::cli::ServiceArgs;
use crate::running::chaos::Chaos;
use crate::running::signals::Signals;
use crate::services::database::OpenError;
use crate::services::serving::Serving;

/// Why a service does not run.
#[derive(Debug, thiserror::Error)]
pub enum HostingError {
    /// Its database cannot be used.
    #[error("cannot open the database of {service}")]
    Database {
        /// The service.
        service: &'static str,
        /// Why.
        source: OpenError,
    },
    /// It cannot listen.
    #[error("cannot listen on {address}: choose another address with --listen ADDR")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The system refuses something basic.
    #[error("cannot listen for signals")]
    Signals(#[source] io::Error),
}

/// Serves until SIGTERM or SIGINT; then answers what is under way.
///
/// # Errors
/// When its database cannot be opened, or its address cannot be listened on.
pub async fn until_stopped(args: ServiceArgs) -> Result<(), HostingError> {
    let service = args.name;
    // Before anything that takes its time: a signal that comes early is not lost.
    let mut signals = Signals::new().map_err(HostingError::Signals)?;
    let opened = tokio::select! {
        opened = service.open(&args.database) => opened,
        () = signals.next() => return Ok(()),
    };
    let mut router = opened.map_err(|source| HostingError::Database { service: service.name(), source })?;
    if let Some(seed) = args.chaos_seed {
        router = Chaos::new(seed).around(router);
    }
    let address = args.listen.unwrap_or(service.address());
    let listener = TcpListener::bind(address).await.map_err(|source| HostingError::Listen { address, source })?;
    let serving = Serving::start(listener, router).map_err(|source| HostingError::Listen { address, source })?;
    tracing::info!(service = service.name(), address = %serving.address(), "listening");
    signals.next().await;
    serving.stop().await;
    tracing::info!(service = service.name(), "stopped");
    Ok(())
}
