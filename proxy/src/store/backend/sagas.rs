//! Sagas in the backend that the configuration names.

use std::time::Duration;

use bytes::Bytes;
use saga_config::saga::DefinitionHash;

use super::Backend;
use crate::{
    ids::{Mailbox, Owner, SagaId},
    store::{
        StoreError,
        journal::{
            Append, Appended, Attached, Commanded, Create, Created, Due, Head, Journal, Leased, Listing, Loaded, SagaHeld,
            SagaRenewal,
        },
    },
};

impl Journal for Backend {
    async fn create(&self, create: Create) -> Result<Created, StoreError> {
        each!(self, store => store.create(create).await)
    }

    async fn append(&self, append: Append) -> Result<Appended, StoreError> {
        each!(self, store => store.append(append).await)
    }

    async fn extend_sagas(&self, renewals: Vec<SagaRenewal>) -> Result<Vec<SagaHeld>, StoreError> {
        each!(self, store => store.extend_sagas(renewals).await)
    }

    async fn lease(&self, id: SagaId, owner: Owner, lease: Duration) -> Result<Leased, StoreError> {
        each!(self, store => store.lease(id, owner, lease).await)
    }

    async fn due(&self, limit: usize, seed: u64) -> Result<Due, StoreError> {
        each!(self, store => store.due(limit, seed).await)
    }

    async fn command(&self, id: SagaId, nonce: Owner, command: Bytes) -> Result<Commanded, StoreError> {
        each!(self, store => store.command(id, nonce, command).await)
    }

    async fn commands(&self, id: SagaId) -> Result<Vec<Bytes>, StoreError> {
        each!(self, store => store.commands(id).await)
    }

    async fn attach(&self, id: SagaId, mailbox: Option<Mailbox>) -> Result<Option<Attached>, StoreError> {
        each!(self, store => store.attach(id, mailbox).await)
    }

    async fn load(&self, id: SagaId) -> Result<Option<Loaded>, StoreError> {
        each!(self, store => store.load(id).await)
    }

    async fn list(&self, listing: Listing) -> Result<Vec<(SagaId, Head)>, StoreError> {
        each!(self, store => store.list(listing).await)
    }

    async fn count(&self) -> Result<[u64; 5], StoreError> {
        each!(self, store => store.count().await)
    }

    async fn pin(&self, hash: DefinitionHash, definition: Bytes) -> Result<(), StoreError> {
        each!(self, store => store.pin(hash, definition).await)
    }

    async fn definition(&self, hash: DefinitionHash) -> Result<Option<Bytes>, StoreError> {
        each!(self, store => store.definition(hash).await)
    }
}
