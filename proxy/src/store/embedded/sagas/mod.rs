//! Sagas in the file.
//!
//! What only reads never waits for the writer. A lease is written by it; the journal that comes with it is read afterwards from what
//! was committed, for nobody but the new driver can add to it. Since the file has one process, a saga that an earlier life left with
//! its driver is due at once, while timers keep their time; opening the file rewrites nothing, see [`codec::DueKey`].

use std::time::Duration;

use bytes::Bytes;
use saga_config::saga::DefinitionHash;

pub(super) use self::write::Tables;
use super::{
    EmbeddedStore,
    batch::{ApplyError, Batch},
    file::{ReadError, Snapshot},
};
use crate::{
    ids::{Mailbox, Owner, SagaId},
    store::{
        StoreError,
        journal::{
            Append, Appended, Attached, Commanded, Create, Created, Due, Head, Journal, Leased, Listing, Loaded, Next, SagaHeld,
            SagaRenewal,
            rules::{self, Saga, Step, Taken},
        },
    },
    time::Timestamp,
};

mod codec;
mod read;
mod write;

pub(super) use self::write::{create_tables, rows};

impl EmbeddedStore {
    /// Reads from the last commit.
    fn look<T>(&self, read: impl FnOnce(&Snapshot, Timestamp) -> Result<T, ReadError>) -> Result<T, StoreError> {
        self.count_trip();
        self.read(|snapshot, now| read(snapshot, now).map(Some))?.ok_or_else(|| self.shared.unavailable())
    }

    /// The rule on what the last commit left, if it writes nothing.
    fn answered<T>(&self, id: SagaId, rule: impl FnOnce(Option<&Saga>, Timestamp) -> Step<T>) -> Result<Option<T>, StoreError> {
        self.count_trip();
        self.read(|snapshot, now| {
            let step = rule(snapshot.sagas().saga(id)?.as_ref(), now);
            Ok(step.put.is_none().then_some(step.outcome))
        })
    }

    /// One transition in the writer; the time is that of the transition.
    async fn written<T, F>(&self, id: SagaId, bytes: usize, rule: F) -> Result<(T, Timestamp), StoreError>
    where
        T: Send + 'static,
        F: FnOnce(Option<&Saga>, Timestamp) -> Step<T> + Send + 'static,
    {
        let step = move |batch: &mut Batch<'_>| Ok((batch.sagas()?.step(id, rule)?, batch.now));
        self.queue.run(bytes, step).await
    }

    /// What a new driver gets beside its lease.
    fn journal_of(&self, id: SagaId, taken: &Saga, now: Timestamp) -> Result<Loaded, StoreError> {
        let loaded = self.read(|snapshot, _| {
            let sagas = snapshot.sagas();
            let Some(row) = sagas.row(id)?.filter(|row| row.saga.fence == taken.fence) else { return Ok(None) };
            let (entries, commands) = (sagas.journal(id, &row)?, sagas.commands(id, &row.saga)?);
            Ok(Some(Loaded { head: taken.head(), entries, commands, now }))
        });
        match loaded {
            Ok(Some(loaded)) => Ok(loaded),
            Ok(None) => Err(StoreError::AnswerLost("the lease has lapsed already, and another has it".to_owned())),
            Err(error @ (StoreError::Corrupt(_) | StoreError::AnswerLost(_))) => Err(error),
            // The lease itself is written.
            Err(StoreError::NotReached(reason) | StoreError::Refused(reason)) => Err(StoreError::AnswerLost(reason)),
        }
    }
}

impl Journal for EmbeddedStore {
    async fn create(&self, mut create: Create) -> Result<Created, StoreError> {
        rules::check_create(&create)?;
        // Every waiter is in this process and is woken anyway: registering it would cost a commit.
        create.mailbox = None;
        if let Some(answer) = self.answered(create.id, |saga, now| rules::create(saga, &create, now))? {
            return Ok(answer);
        }
        let (id, bytes) = (create.id, size(&create.entries, &create.next));
        Ok(self.written(id, bytes, move |saga, now| rules::create(saga, &create, now)).await?.0)
    }

    async fn append(&self, append: Append) -> Result<Appended, StoreError> {
        self.count_trip();
        rules::check_append(&append)?;
        let (id, bytes) = (append.token.id, size(&append.entries, &append.next));
        Ok(self.written(id, bytes, move |saga, now| rules::append(saga, &append, now)).await?.0)
    }

    async fn extend_sagas(&self, renewals: Vec<SagaRenewal>) -> Result<Vec<SagaHeld>, StoreError> {
        self.count_trip();
        let bytes = renewals.len().saturating_mul(size_of::<SagaRenewal>());
        let renew = move |batch: &mut Batch<'_>| {
            let sagas = batch.sagas()?;
            let each = renewals.iter().map(|renewal| {
                let id = renewal.token.id;
                match sagas.step(id, |saga, now| rules::extend(saga, renewal, now)) {
                    // One unreadable saga must not cost the others their leases; its driver finds out at its next append.
                    Err(ApplyError::Unreadable(error)) => {
                        tracing::error!(saga = %id, %error, "a lease could not be renewed");
                        Ok(SagaHeld::Lost)
                    }
                    held => held,
                }
            });
            each.collect()
        };
        self.queue.run(bytes, renew).await
    }

    async fn lease(&self, id: SagaId, owner: Owner, lease: Duration) -> Result<Leased, StoreError> {
        let (taken, now) = match self.answered(id, |saga, now| rules::lease(saga, owner, lease, now))? {
            Some(taken) => (taken, Timestamp::ZERO),
            None => self.written(id, 0, move |saga, now| rules::lease(saga, owner, lease, now)).await?,
        };
        Ok(match taken {
            Taken::Granted(saga) => Leased::Granted(Box::new(self.journal_of(id, &saga, now)?)),
            Taken::NotDue(left) => Leased::NotDue(left),
            Taken::Gone => Leased::Gone,
        })
    }

    async fn due(&self, limit: usize, _seed: u64) -> Result<Due, StoreError> {
        self.look(|snapshot, now| snapshot.sagas().due(limit, now))
    }

    async fn command(&self, id: SagaId, nonce: Owner, command: Bytes) -> Result<Commanded, StoreError> {
        rules::check_command(&command)?;
        if let Some(answer) = self.answered(id, |saga, now| rules::command(saga, nonce, &command, now))? {
            return Ok(answer);
        }
        Ok(self.written(id, command.len(), move |saga, now| rules::command(saga, nonce, &command, now)).await?.0)
    }

    async fn commands(&self, id: SagaId) -> Result<Vec<Bytes>, StoreError> {
        self.look(|snapshot, now| {
            let sagas = snapshot.sagas();
            let saga = sagas.saga(id)?;
            saga.as_ref().and_then(|saga| saga.live(now)).map_or(Ok(Vec::new()), |saga| sagas.commands(id, saga))
        })
    }

    async fn attach(&self, id: SagaId, _mailbox: Option<Mailbox>) -> Result<Option<Attached>, StoreError> {
        // As for `create`: nobody is registered.
        self.look(|snapshot, now| Ok(rules::attach(snapshot.sagas().saga(id)?.as_ref(), None, now).outcome))
    }

    async fn load(&self, id: SagaId) -> Result<Option<Loaded>, StoreError> {
        self.look(|snapshot, now| {
            let sagas = snapshot.sagas();
            let Some(row) = sagas.row(id)?.filter(|row| row.saga.live(now).is_some()) else { return Ok(None) };
            let (entries, commands) = (sagas.journal(id, &row)?, sagas.commands(id, &row.saga)?);
            Ok(Some(Loaded { head: row.saga.head(), entries, commands, now }))
        })
    }

    async fn list(&self, listing: Listing) -> Result<Vec<(SagaId, Head)>, StoreError> {
        self.look(|snapshot, now| snapshot.sagas().list(&listing, now))
    }

    async fn count(&self) -> Result<[u64; 5], StoreError> {
        self.look(|snapshot, _| snapshot.sagas().counts())
    }

    async fn pin(&self, hash: DefinitionHash, definition: Bytes) -> Result<(), StoreError> {
        rules::check_definition(&definition)?;
        if self.look(|snapshot, _| snapshot.sagas().definition(hash))?.is_some() {
            return Ok(());
        }
        self.queue.run(definition.len(), move |batch| batch.sagas()?.pin(hash, &definition)).await
    }

    async fn definition(&self, hash: DefinitionHash) -> Result<Option<Bytes>, StoreError> {
        self.look(|snapshot, _| snapshot.sagas().definition(hash))
    }
}

/// How many bytes a write carries.
fn size(entries: &[Bytes], next: &Next) -> usize {
    let answer = match next {
        Next::Rest { answer: Some(answer) } | Next::End { answer, .. } => answer.len(),
        Next::Rest { answer: None } | Next::Run { .. } | Next::Park { .. } => 0,
    };
    entries.iter().map(Bytes::len).fold(answer, usize::saturating_add)
}

#[cfg(test)]
mod tests;
