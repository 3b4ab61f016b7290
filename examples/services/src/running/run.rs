//! The shop from start to stop.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::cli::Shop;
use crate::running::address::AddressError;
use crate::running::addresses::Addresses;
use crate::running::announcement;
use crate::running::chaos::Killer;
use crate::running::data::{Data, DataError};
use crate::running::keys::{KeyError, Keys};
use crate::running::member::Member;
use crate::running::opening::{Open, OpeningError, Stock};
use crate::running::process::{Event, ProcessError};
use crate::running::redis::{RedisUrl, SharedError};
use crate::running::signals::Signals;
use crate::running::table::beside;

/// Why the shop did not open, or closed before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum ShopError {
    /// Several sidecars cannot share a file.
    #[error(
        "--replicas {0} needs --redis URL: the sidecars of one service have to see each other's records, and a file is for one \
         process"
    )]
    Alone(u8),
    /// An address cannot be used.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// There is no place for the data.
    #[error(transparent)]
    Data(#[from] DataError),
    /// There are no keys.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// The Redis given cannot be used.
    #[error(transparent)]
    Redis(#[from] SharedError),
    /// The file of `--state` cannot be written.
    #[error("cannot write {}: choose another file with --state FILE", path.display())]
    State {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The system refuses something basic.
    #[error("cannot listen for signals")]
    Signals(#[source] io::Error),
    /// A process does not start.
    #[error(transparent)]
    Opening(#[from] OpeningError),
    /// A process does not keep running.
    #[error(transparent)]
    Process(#[from] ProcessError),
}

/// Runs the shop until SIGINT or SIGTERM. A second signal cuts the stopping short and kills the processes.
///
/// # Errors
/// When the shop cannot be opened, or when a process cannot be kept running. Everything is stopped then.
pub async fn until_stopped(shop: Shop) -> Result<(), ShopError> {
    let mut signals = Signals::new().map_err(ShopError::Signals)?;
    if shop.replicas > 1 && shop.redis.is_none() {
        return Err(ShopError::Alone(shop.replicas));
    }
    // Reserved first: the commonest mistake shall be told before anything is written.
    let addresses = Addresses::reserve(&shop)?;
    let data = Data::open(shop.data.clone())?;
    let outcome = with(&shop, addresses, &data, &mut signals).await;
    data.remove().await;
    outcome
}

async fn with(shop: &Shop, addresses: Addresses, data: &Data, signals: &mut Signals) -> Result<(), ShopError> {
    let keys = Keys::open(&data.folder("keys")?)?;
    if let Some(redis) = &shop.redis {
        redis.check(keys.are_new()).await?;
    }
    let state = StateFile::new(shop.state.clone())?;
    let chaos = shop.chaos.then(|| shop.chaos_seed.unwrap_or_else(rand::random));
    let stock = Stock { data, keys: &keys, redis: shop.redis.as_ref(), chaos };
    let open = tokio::select! {
        open = Open::start(addresses, stock) => open,
        () = signals.next() => return Ok(()),
    };
    let mut open = open?;
    state.write(&open)?;
    announcement::opened(&open.table, if data.is_temporary() { " (removed at the end; --data DIR keeps it)" } else { "" });
    if let Some(seed) = chaos {
        announcement::chaos(seed);
    }
    let outcome = tokio::select! {
        error = watch(&mut open, &state, chaos.map(Killer::new)) => Err(error.into()),
        () = signals.next() => Ok(()),
    };
    let redis = shop.redis.as_ref().filter(|_| data.is_temporary());
    tokio::select! {
        () = close(open, redis) => outcome,
        () = signals.next() => outcome,
    }
}

/// Tells what happens, until a process is given up.
async fn watch(open: &mut Open, state: &StateFile, mut killer: Option<Killer>) -> ProcessError {
    let mut next_kill = next_kill(killer.as_mut());
    loop {
        let (member, event) = tokio::select! {
            event = open.next() => match event {
                Ok(event) => event,
                Err(error) => return error,
            },
            () = sleep_until(next_kill) => {
                if let Some(killer) = &mut killer {
                    kill_one(open, killer);
                }
                next_kill = self::next_kill(killer.as_mut());
                continue;
            }
        };
        tell(open, member, &event);
        if let Err(error) = state.write(open) {
            tracing::warn!(%error, "the state is not written");
        }
    }
}

fn tell(open: &mut Open, member: Member, event: &Event) {
    match *event {
        Event::Ended(status) => {
            open.table.set(member, None);
            announcement::ended(member, status);
        }
        Event::Runs(pid) => {
            open.table.set_again(member, pid);
            announcement::runs_again(member, pid);
        }
    }
}

fn next_kill(killer: Option<&mut Killer>) -> Instant {
    const NEVER: Duration = Duration::from_secs(60 * 60 * 24);
    Instant::now() + killer.map_or(NEVER, Killer::pause)
}

fn kill_one(open: &Open, killer: &mut Killer) {
    if let Some((member, pid)) = killer.choose(&open.table.running()) {
        announcement::killed(member, pid);
        open.kill(member);
    }
}

/// Stops the processes; `redis` is emptied, as the folder that belongs to it is removed.
async fn close(open: Open, redis: Option<&RedisUrl>) {
    open.stop().await;
    if let Some(redis) = redis
        && let Err(error) = redis.empty().await
    {
        tracing::warn!(%error, "what the sidecars kept is still there");
    }
}

/// The file of `--state`, if there is one. Dropped, it is removed: nothing runs any more.
struct StateFile(Option<PathBuf>);

impl StateFile {
    /// One that is there is of an earlier shop, and goes.
    fn new(path: Option<PathBuf>) -> Result<Self, ShopError> {
        if let Some(path) = &path {
            // Tried now rather than when everything runs.
            let beside = beside(path);
            let written = std::fs::write(&beside, "").and_then(|()| std::fs::remove_file(&beside));
            let removed = written.and_then(|()| match std::fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            });
            removed.map_err(|source| ShopError::State { path: path.clone(), source })?;
        }
        Ok(Self(path))
    }

    fn write(&self, open: &Open) -> Result<(), ShopError> {
        let Some(path) = &self.0 else { return Ok(()) };
        open.table.write(path).map_err(|source| ShopError::State { path: path.clone(), source })
    }
}

impl Drop for StateFile {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            // It need not be there.
            let _removed = std::fs::remove_file(path);
        }
    }
}
