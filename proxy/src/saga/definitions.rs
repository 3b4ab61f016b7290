//! Definitions by their hash (invariant 13): those in force, those that sagas of other versions run by, and which of them the store
//! keeps.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use saga_config::saga::{DefinitionHash, Saga};

use super::plan::Plan;
use crate::store::{StoreError, journal::Journal};

/// The most definitions that are remembered beside those in force.
const MAX_REMEMBERED: usize = 1000;

/// Definitions that this process has met. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Definitions(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    read: HashMap<DefinitionHash, Arc<Saga>>,
    pinned: HashSet<DefinitionHash>,
}

/// Why a definition cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum NoDefinition {
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store does not keep it.
    #[error("the store does not keep the definition {0}")]
    Missing(DefinitionHash),
    /// This version cannot read it: written by a newer one?
    #[error("the definition {hash} cannot be read by this version: {reason}")]
    Unreadable {
        /// Which.
        hash: DefinitionHash,
        /// Why.
        reason: String,
    },
}

impl Definitions {
    /// A definition: the one in force, one that was met before, or the store's.
    ///
    /// # Errors
    ///
    /// See [`NoDefinition`].
    pub async fn get<S: Journal>(&self, hash: DefinitionHash, plan: &Plan, store: &S) -> Result<Arc<Saga>, NoDefinition> {
        let known = plan.definition(hash).cloned().or_else(|| self.lock().read.get(&hash).cloned());
        if let Some(saga) = known {
            return Ok(saga);
        }
        let text = store.definition(hash).await?.ok_or(NoDefinition::Missing(hash))?;
        let unreadable = |reason: String| NoDefinition::Unreadable { hash, reason };
        let text = std::str::from_utf8(&text).map_err(|error| unreadable(error.to_string()))?;
        let saga = Arc::new(Saga::from_canonical(text).map_err(|error| unreadable(error.to_string()))?);
        if saga.hash != hash {
            return Err(unreadable(format!("what is kept under it hashes to {}", saga.hash)));
        }
        let mut known = self.lock();
        if known.read.len() >= MAX_REMEMBERED {
            known.read.clear();
        }
        known.read.insert(hash, Arc::clone(&saga));
        Ok(saga)
    }

    /// Sees to it that the store keeps a definition, before the first saga runs by it. One round trip, once in a process's life.
    ///
    /// # Errors
    ///
    /// The store did not take it.
    pub async fn pin<S: Journal>(&self, saga: &Saga, store: &S) -> Result<(), StoreError> {
        if self.lock().pinned.contains(&saga.hash) {
            return Ok(());
        }
        store.pin(saga.hash, Bytes::copy_from_slice(saga.canonical.as_bytes())).await?;
        let mut known = self.lock();
        if known.pinned.len() >= MAX_REMEMBERED {
            known.pinned.clear();
        }
        known.pinned.insert(saga.hash);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
