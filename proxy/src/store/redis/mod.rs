//! The Redis store: many processes, one truth.
//!
//! Every operation is one Lua script (on one key, an undo's on two of one slot, a saga's on those of its partition), judged by Redis's
//! own clock; the scripts mirror [`super::transition`] and [`super::journal::rules`]. Each handle
//! has a connection of its own, opened on the runtime that first uses it. One task of the process
//! ([`RedisStore::run_background`]) listens for completions and watches what Redis says of itself.
//!
//! It never sends an operation again by itself, except where Redis did not know the script and therefore did not run it.
//!
//! ```no_run
//! # async fn example() -> Result<(), refrain::store::redis::OpenError> {
//! use refrain::store::{Store, redis::{RedisConfig, RedisStore}, wakes::Wakes};
//!
//! let store = RedisStore::open(&RedisConfig::new("redis://localhost"), Wakes::default()).await?;
//! tokio::spawn(store.clone().run_background()); // on the control thread
//! let of_this_core = store.handle();
//! # Ok(()) }
//! ```

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use redis::{Client, Value};
use tokio_util::sync::CancellationToken;

use self::{connection::Connection, fault::ConnectError, health::HealthState, scripts::Script};
use super::{
    Claim, Claimed, Complete, Completed, Health, Held, Inspection, OnAbsent, Renewal, Reserved, Resolution, Resolved, Settle,
    Settled, Store, StoreError, Token, Undo, Undone, wakes::Wakes,
};
use crate::ids::{Fence, HashKey, Owner, RecordName};

mod backoff;
mod connection;
mod decode;
mod encode;
mod facts;
mod fault;
mod health;
mod mailbox;
mod sagas;
mod scripts;
mod settings;

pub use self::{
    fault::OpenError,
    settings::{MAX_PARTITIONS, RedisConfig},
};

/// A handle on the Redis store. A clone shares the connection, [`Store::handle`] gives a new one.
#[derive(Clone)]
pub struct RedisStore {
    connection: Arc<Connection>,
    shared: Arc<Shared>,
}

/// What all handles of a process share.
struct Shared {
    client: Client,
    address: String,
    timeout: Duration,
    /// Into how many the sagas are divided.
    partitions: u16,
    wakes: Wakes,
    health: HealthState,
    hash_key: Mutex<Option<HashKey>>,
    has_background: AtomicBool,
    closed: AtomicBool,
    closing: CancellationToken,
}

impl RedisStore {
    /// Opens the store. A Redis that is not reached is no error: the store starts without it, [`Store::health`] says so, and each
    /// operation tries again.
    ///
    /// # Errors
    ///
    /// A Redis that is reached and will not do, or a URL that is none: see [`OpenError`].
    pub async fn open(config: &RedisConfig, wakes: Wakes) -> Result<Self, OpenError> {
        let (client, address) = config.client()?;
        let shared = Arc::new(Shared {
            health: HealthState::new(address.clone(), config.allow_eviction),
            client,
            address,
            timeout: config.timeout,
            partitions: config.saga_partitions,
            wakes,
            hash_key: Mutex::default(),
            has_background: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            closing: CancellationToken::new(),
        });
        // A connection of its own, for it lives on this runtime: the handle's is opened where it is used.
        match Connection::new(Arc::clone(&shared)).open().await {
            Err(ConnectError::Unusable(reason)) => return Err(reason),
            Err(ConnectError::Unreachable(_)) => {}
            Ok(()) => {
                if let Some(reason) = shared.health.eviction_refused() {
                    return Err(reason);
                }
            }
        }
        Ok(Self { connection: Arc::new(Connection::new(Arc::clone(&shared))), shared })
    }

    /// Listens to the mailbox of this process and keeps [`Store::health`] fresh, until the store is closed. It must run for waiters
    /// to be woken in time and for a changed Redis to be noticed. One such task serves all handles; a second one ends at once.
    pub async fn run_background(self) {
        if !self.shared.has_background.swap(true, Ordering::AcqRel) {
            mailbox::run(self.shared).await;
        }
    }

    async fn run(&self, script: Script, cmd: redis::Cmd) -> Result<Value, StoreError> {
        self.connection.run(script, cmd).await
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore").field("address", &self.shared.address).finish_non_exhaustive()
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Shared {
    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    fn known_hash_key(&self) -> Option<HashKey> {
        *self.hash_key.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn learn_hash_key(&self, key: HashKey) {
        let before = self.hash_key.lock().unwrap_or_else(PoisonError::into_inner).replace(key);
        if before.is_some_and(|before| before != key) {
            self.health.hash_key_changed();
        }
    }
}

impl Store for RedisStore {
    fn handle(&self) -> Self {
        Self { connection: Arc::new(Connection::new(Arc::clone(&self.shared))), shared: Arc::clone(&self.shared) }
    }

    async fn hash_key(&self) -> Result<HashKey, StoreError> {
        if let Some(key) = self.shared.known_hash_key() {
            return Ok(key);
        }
        let answer = self.run(Script::HashKey, encode::hash_key(HashKey::random())).await?;
        let key = decode::hash_key(&answer)?;
        self.shared.learn_hash_key(key);
        Ok(key)
    }

    async fn claim(&self, claim: Claim) -> Result<Claimed, StoreError> {
        self.shared.health.admits_claims()?;
        let memory = if claim.on_absent == OnAbsent::Begin { None } else { self.shared.health.memory() };
        decode::claimed(self.run(Script::Claim, encode::claim(&claim, memory.as_ref())).await?)
    }

    async fn undo(&self, undo: Undo) -> Result<Undone, StoreError> {
        self.shared.health.admits_claims()?;
        let memory = self.shared.health.memory();
        decode::undone(self.run(Script::Undo, encode::undo(&undo, memory.as_ref())).await?)
    }

    async fn complete(&self, complete: Complete) -> Result<Completed, StoreError> {
        decode::completed(self.run(Script::Complete, encode::complete(&complete)).await?)
    }

    async fn extend(&self, renewals: Vec<Renewal>) -> Result<Vec<Held>, StoreError> {
        let cmds: Vec<_> = renewals.iter().map(encode::extend).collect();
        let answers = self.connection.run_many(Script::Extend, &cmds).await?;
        let mut held = Vec::with_capacity(answers.len());
        for (answer, renewal) in answers.into_iter().zip(&renewals) {
            let answer = match answer {
                Value::ServerError(error) => Err(self.connection.refused(&error)),
                answer => decode::held(answer),
            };
            held.push(match answer {
                Ok(answer) => answer,
                // What cannot be read is not its owner's any more, and no reason to lose the others.
                Err(StoreError::Corrupt(reason)) => {
                    tracing::error!(record = renewal.token.name.short(), reason, "a record cannot be read");
                    Held::Lost
                }
                Err(error) if held.contains(&Held::Kept) => return Err(StoreError::AnswerLost(error.to_string())),
                Err(error) => return Err(error),
            });
        }
        Ok(held)
    }

    async fn doubt(&self, token: Token) -> Result<Held, StoreError> {
        decode::held(self.run(Script::Doubt, encode::doubt(&token)).await?)
    }

    async fn release(&self, name: RecordName, owner: Owner, fence: Option<Fence>) -> Result<Held, StoreError> {
        decode::held(self.run(Script::Release, encode::release(name, owner, fence)).await?)
    }

    async fn settle(&self, settle: Settle) -> Result<Settled, StoreError> {
        let answer = self.run(Script::Settle, encode::settle(&settle)).await?;
        decode::settled(answer, settle)
    }

    async fn reserve(&self, name: RecordName, holder: RecordName, ttl: Duration) -> Result<Reserved, StoreError> {
        self.shared.health.admits_claims()?;
        decode::reserved(self.run(Script::Reserve, encode::reserve(name, holder, ttl)).await?)
    }

    async fn unreserve(&self, name: RecordName, holder: RecordName) -> Result<(), StoreError> {
        decode::unreserved(self.run(Script::Unreserve, encode::unreserve(name, holder)).await?)
    }

    async fn resolve(&self, name: RecordName, resolution: Resolution) -> Result<Resolved, StoreError> {
        decode::resolved(self.run(Script::Resolve, encode::resolve(name, &resolution)).await?)
    }

    async fn forget(&self, name: RecordName) -> Result<bool, StoreError> {
        decode::forgotten(self.run(Script::Forget, encode::forget(name)).await?)
    }

    async fn inspect(&self, name: RecordName) -> Result<Option<Inspection>, StoreError> {
        decode::inspected(self.run(Script::Inspect, encode::inspect(name)).await?)
    }

    fn health(&self) -> Arc<Health> {
        Arc::new(self.shared.health.snapshot(self.shared.is_closed()))
    }

    async fn close(&self) {
        self.shared.closed.store(true, Ordering::Release);
        self.shared.closing.cancel();
        self.connection.close();
    }
}
