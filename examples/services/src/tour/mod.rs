//! The guided tour: a shop of its own, what a customer does there, and what must hold whatever happens.
//!
//! Every step says what was sent and what came, and checks it. The tour ends well only if everything was as it must be.

mod kill;
mod narrator;
mod opened;
mod state;
mod steps;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use tempfile::TempDir;
use tokio::signal::unix::{SignalKind, signal};

use crate::books::UnreadableBooks;
use crate::client::ClientError;
use narrator::Narrator;
pub use opened::{Opened, OpeningError};
pub use state::{Refrain, Restarts, Service, State, StateError};

/// Why the tour did not end well.
#[derive(Debug, thiserror::Error)]
pub enum TourError {
    /// There is no shop to show.
    #[error("the tour's shop does not open")]
    Opening(#[from] OpeningError),
    /// The shop does not say what runs where.
    #[error(transparent)]
    State(#[from] StateError),
    /// The shop answered nothing, or not what it must.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The books cannot be read.
    #[error(transparent)]
    Books(#[from] UnreadableBooks),
    /// A database cannot be held.
    #[error("cannot hold billing's database")]
    Holding(#[from] sqlx::Error),
    /// The system refuses something basic.
    #[error("cannot {what}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What the system says.
        source: io::Error,
    },
    /// Something is not as it must be.
    #[error("not as it must be: {0}")]
    Wrong(String),
    /// Somebody stopped it.
    #[error("the tour was interrupted")]
    Interrupted,
}

/// Opens a shop in a temporary folder, on free ports, and shows it. The folder is removed at the end, unless something
/// was wrong: then it is kept, and named.
///
/// # Errors
/// When anything was not as it must be.
pub async fn guided() -> Result<(), TourError> {
    let refused = |what| move |source| TourError::System { what, source };
    let folder = tempfile::Builder::new().prefix("shop-tour-").tempdir().map_err(refused("create a temporary folder"))?;
    let program = std::env::current_exe().map_err(refused("find this program"))?;
    let mut interrupts = signal(SignalKind::interrupt()).map_err(refused("listen for signals"))?;
    let mut terminations = signal(SignalKind::terminate()).map_err(refused("listen for signals"))?;
    let mut narrator = Narrator::default();
    let outcome = tokio::select! {
        outcome = shown(&program, &folder, &mut narrator) => outcome,
        _ = interrupts.recv() => Err(TourError::Interrupted),
        _ = terminations.recv() => Err(TourError::Interrupted),
    };
    if !matches!(outcome, Ok(()) | Err(TourError::Interrupted)) {
        let kept = folder.keep();
        narrator.ends(&format!("Something is wrong. Databases and logs are kept in {}", kept.display()));
    }
    outcome
}

async fn shown(program: &Path, folder: &TempDir, narrator: &mut Narrator) -> Result<(), TourError> {
    narrator.ends("Opening a shop: five services, a Refrain beside each, and one as the edge in front of them.");
    let mut shop = Opened::start(program, folder.path(), SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), &[] as &[&str]).await?;
    let totals = steps::show(&mut shop, narrator).await?;
    shop.close().await.map_err(|source| TourError::System { what: "close the shop", source })?;
    narrator.ends(&format!("The tour is over: {} steps, and everything was as it must be. {totals}", narrator.steps()));
    Ok(())
}
