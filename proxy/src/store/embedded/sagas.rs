//! Sagas are not kept here yet.

use std::time::Duration;

use bytes::Bytes;
use saga_config::saga::DefinitionHash;

use super::EmbeddedStore;
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

fn absent<T>() -> Result<T, StoreError> {
    Err(StoreError::Refused("sagas are not there yet".to_owned()))
}

impl Journal for EmbeddedStore {
    async fn create(&self, _: Create) -> Result<Created, StoreError> {
        absent()
    }

    async fn append(&self, _: Append) -> Result<Appended, StoreError> {
        absent()
    }

    async fn extend_sagas(&self, _: Vec<SagaRenewal>) -> Result<Vec<SagaHeld>, StoreError> {
        absent()
    }

    async fn lease(&self, _: SagaId, _: Owner, _: Duration) -> Result<Leased, StoreError> {
        absent()
    }

    async fn due(&self, _: usize, _: u64) -> Result<Due, StoreError> {
        absent()
    }

    async fn command(&self, _: SagaId, _: Owner, _: Bytes) -> Result<Commanded, StoreError> {
        absent()
    }

    async fn commands(&self, _: SagaId) -> Result<Vec<Bytes>, StoreError> {
        absent()
    }

    async fn attach(&self, _: SagaId, _: Option<Mailbox>) -> Result<Option<Attached>, StoreError> {
        absent()
    }

    async fn load(&self, _: SagaId) -> Result<Option<Loaded>, StoreError> {
        absent()
    }

    async fn list(&self, _: Listing) -> Result<Vec<(SagaId, Head)>, StoreError> {
        absent()
    }

    async fn count(&self) -> Result<[u64; 5], StoreError> {
        absent()
    }

    async fn pin(&self, _: DefinitionHash, _: Bytes) -> Result<(), StoreError> {
        absent()
    }

    async fn definition(&self, _: DefinitionHash) -> Result<Option<Bytes>, StoreError> {
        absent()
    }
}
