//! The backend that the configuration names: the one place where they are told apart.

use std::{sync::Arc, time::Duration};

use super::{
    Claim, Claimed, Complete, Completed, Health, Held, Inspection, Renewal, Reserved, Resolution, Resolved, Settle, Settled,
    Store, StoreError, Token, Undo, Undone,
    embedded::{self, EmbeddedStore},
    memory::MemoryStore,
    redis::{self, RedisConfig, RedisStore},
    wakes::Wakes,
};
use crate::{
    config::{StoreConfig, StoreUrl},
    ids::{Fence, HashKey, Owner, RecordName},
};

/// A store of one of the kinds there are.
#[derive(Clone, Debug)]
pub enum Backend {
    /// `memory:`
    Memory(MemoryStore),
    /// `embedded:`
    Embedded(EmbeddedStore),
    /// `redis:` and `rediss:`
    Redis(RedisStore),
}

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file.
    #[error(transparent)]
    Embedded(#[from] embedded::OpenError),
    /// The server.
    #[error(transparent)]
    Redis(#[from] redis::OpenError),
}

impl Backend {
    /// Opens what the configuration names.
    ///
    /// # Errors
    ///
    /// A file that cannot be used, or a server that is there and wrongly set up. A server that is not there is no error: it may come.
    pub async fn open(config: &StoreConfig, wakes: Wakes) -> Result<Self, OpenError> {
        Ok(match &config.url {
            StoreUrl::Memory => Self::Memory(MemoryStore::new(wakes)),
            StoreUrl::Embedded(path) => Self::Embedded(EmbeddedStore::open(path, wakes)?),
            StoreUrl::Redis(url) => {
                let mut settings = RedisConfig::new(url.expose());
                settings.timeout = config.timeout;
                settings.allow_eviction = config.allow_eviction;
                settings.saga_partitions = config.saga_partitions;
                Self::Redis(RedisStore::open(&settings, wakes).await?)
            }
        })
    }

    /// What the store has to do beside answering; ends with [`Store::close`].
    pub async fn run_background(self) {
        match self {
            Self::Memory(_) | Self::Embedded(_) => {}
            Self::Redis(store) => store.run_background().await,
        }
    }
}

macro_rules! each {
    ($self:ident, $store:ident => $what:expr) => {
        match $self {
            Backend::Memory($store) => $what,
            Backend::Embedded($store) => $what,
            Backend::Redis($store) => $what,
        }
    };
}

impl Store for Backend {
    fn handle(&self) -> Self {
        match self {
            Self::Memory(store) => Self::Memory(store.handle()),
            Self::Embedded(store) => Self::Embedded(store.handle()),
            Self::Redis(store) => Self::Redis(store.handle()),
        }
    }

    async fn hash_key(&self) -> Result<HashKey, StoreError> {
        each!(self, store => store.hash_key().await)
    }

    async fn claim(&self, claim: Claim) -> Result<Claimed, StoreError> {
        each!(self, store => store.claim(claim).await)
    }

    async fn complete(&self, complete: Complete) -> Result<Completed, StoreError> {
        each!(self, store => store.complete(complete).await)
    }

    async fn extend(&self, renewals: Vec<Renewal>) -> Result<Vec<Held>, StoreError> {
        each!(self, store => store.extend(renewals).await)
    }

    async fn doubt(&self, token: Token) -> Result<Held, StoreError> {
        each!(self, store => store.doubt(token).await)
    }

    async fn release(&self, name: RecordName, owner: Owner, fence: Option<Fence>) -> Result<Held, StoreError> {
        each!(self, store => store.release(name, owner, fence).await)
    }

    async fn undo(&self, undo: Undo) -> Result<Undone, StoreError> {
        each!(self, store => store.undo(undo).await)
    }

    async fn settle(&self, settle: Settle) -> Result<Settled, StoreError> {
        each!(self, store => store.settle(settle).await)
    }

    async fn reserve(&self, name: RecordName, holder: RecordName, ttl: Duration) -> Result<Reserved, StoreError> {
        each!(self, store => store.reserve(name, holder, ttl).await)
    }

    async fn unreserve(&self, name: RecordName, holder: RecordName) -> Result<(), StoreError> {
        each!(self, store => store.unreserve(name, holder).await)
    }

    async fn resolve(&self, name: RecordName, resolution: Resolution) -> Result<Resolved, StoreError> {
        each!(self, store => store.resolve(name, resolution).await)
    }

    async fn forget(&self, name: RecordName) -> Result<bool, StoreError> {
        each!(self, store => store.forget(name).await)
    }

    async fn inspect(&self, name: RecordName) -> Result<Option<Inspection>, StoreError> {
        each!(self, store => store.inspect(name).await)
    }

    fn health(&self) -> Arc<Health> {
        each!(self, store => store.health())
    }

    fn recovered_at(&self) -> Option<std::time::Instant> {
        each!(self, store => store.recovered_at())
    }

    async fn close(&self) {
        each!(self, store => store.close().await);
    }
}

mod sagas;
