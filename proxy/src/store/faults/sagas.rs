//! A store of sagas whose calls fail on request.

use std::time::Duration;

use bytes::Bytes;
use saga_config::saga::DefinitionHash;

use super::{Faulty, Operation};
use crate::{
    ids::{Mailbox, Owner, SagaId},
    store::{
        Store, StoreError,
        journal::{
            Append, Appended, Attached, Commanded, Create, Created, Due, Head, Journal, Leased, Listing, Loaded, SagaHeld,
            SagaRenewal,
        },
    },
};

impl<S: Store + Journal> Journal for Faulty<S> {
    async fn create(&self, create: Create) -> Result<Created, StoreError> {
        self.call(Operation::Create, self.store.create(create)).await
    }

    async fn append(&self, append: Append) -> Result<Appended, StoreError> {
        self.call(Operation::Append, self.store.append(append)).await
    }

    async fn extend_sagas(&self, renewals: Vec<SagaRenewal>) -> Result<Vec<SagaHeld>, StoreError> {
        self.call(Operation::ExtendSagas, self.store.extend_sagas(renewals)).await
    }

    async fn lease(&self, id: SagaId, owner: Owner, lease: Duration) -> Result<Leased, StoreError> {
        self.call(Operation::Lease, self.store.lease(id, owner, lease)).await
    }

    async fn due(&self, limit: usize, seed: u64) -> Result<Due, StoreError> {
        self.call(Operation::Due, self.store.due(limit, seed)).await
    }

    async fn command(&self, id: SagaId, nonce: Owner, command: Bytes) -> Result<Commanded, StoreError> {
        self.call(Operation::Command, self.store.command(id, nonce, command)).await
    }

    async fn commands(&self, id: SagaId) -> Result<Vec<Bytes>, StoreError> {
        self.call(Operation::Commands, self.store.commands(id)).await
    }

    async fn attach(&self, id: SagaId, mailbox: Option<Mailbox>) -> Result<Option<Attached>, StoreError> {
        self.call(Operation::Attach, self.store.attach(id, mailbox)).await
    }

    async fn load(&self, id: SagaId) -> Result<Option<Loaded>, StoreError> {
        self.call(Operation::Load, self.store.load(id)).await
    }

    async fn list(&self, listing: Listing) -> Result<Vec<(SagaId, Head)>, StoreError> {
        self.call(Operation::List, self.store.list(listing)).await
    }

    async fn count(&self) -> Result<[u64; 5], StoreError> {
        self.call(Operation::Count, self.store.count()).await
    }

    async fn pin(&self, hash: DefinitionHash, definition: Bytes) -> Result<(), StoreError> {
        self.call(Operation::Pin, self.store.pin(hash, definition)).await
    }

    async fn definition(&self, hash: DefinitionHash) -> Result<Option<Bytes>, StoreError> {
        self.call(Operation::Definition, self.store.definition(hash)).await
    }
}
