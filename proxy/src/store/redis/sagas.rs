//! Sagas in Redis: the scripts mirror [`crate::store::journal::rules`].
//!
//! The sagas are divided into partitions by their ids, and all keys of a partition have one hash tag. What goes across (what is due,
//! lists, counts) asks all partitions in one round trip and merges; each partition's answer is bounded. A partition is one atomic
//! step, all of them together are not.

use std::time::Duration;

use bytes::Bytes;
use redis::{Cmd, Value};
use saga_config::saga::DefinitionHash;

use self::decode::{DuePage, Row};
use super::{RedisStore, scripts::Script};
use crate::{
    ids::{Mailbox, Owner, SagaId},
    store::{
        StoreError,
        journal::{
            Append, Appended, Attached, Commanded, Create, Created, Due, Head, Journal, Leased, Listing, Loaded, MAX_PAGE,
            SagaHeld, SagaRenewal, rules,
        },
    },
    time::Timestamp,
};

mod decode;
mod encode;

pub(super) use self::decode::partitions;

impl RedisStore {
    /// One script on each partition, in one round trip, beginning with partition `first`.
    async fn run_on_partitions(&self, script: Script, first: u16, cmd: impl Fn(u16) -> Cmd) -> Result<Vec<Value>, StoreError> {
        let count = self.shared.partitions;
        let cmds: Vec<_> = (first..count).chain(0..first).map(cmd).collect();
        self.connection.run_many(script, &cmds).await
    }

    /// The answer of one script of many.
    fn one_of_many<T>(&self, answer: Value, decode: impl FnOnce(Value) -> Result<T, StoreError>) -> Result<T, StoreError> {
        match answer {
            Value::ServerError(error) => Err(self.connection.refused(&error)),
            answer => decode(answer),
        }
    }
}

impl Journal for RedisStore {
    async fn create(&self, create: Create) -> Result<Created, StoreError> {
        self.shared.health.admits_claims()?;
        rules::check_create(&create)?;
        encode::check_total(&create.entries)?;
        decode::created(self.run(Script::SagaCreate, encode::create(self.shared.partitions, &create)).await?)
    }

    async fn append(&self, append: Append) -> Result<Appended, StoreError> {
        rules::check_append(&append)?;
        encode::check_total(&append.entries)?;
        decode::appended(self.run(Script::SagaAppend, encode::append(self.shared.partitions, &append)).await?)
    }

    async fn extend_sagas(&self, renewals: Vec<SagaRenewal>) -> Result<Vec<SagaHeld>, StoreError> {
        let cmds: Vec<_> = renewals.iter().map(|renewal| encode::extend(self.shared.partitions, renewal)).collect();
        let answers = self.connection.run_many(Script::SagaExtend, &cmds).await?;
        let mut held = Vec::with_capacity(answers.len());
        for (answer, renewal) in answers.into_iter().zip(&renewals) {
            held.push(match self.one_of_many(answer, decode::held) {
                Ok(answer) => answer,
                // What cannot be read is not its driver's any more, and no reason to lose the others.
                Err(StoreError::Corrupt(reason)) => {
                    tracing::error!(saga = %renewal.token.id, reason, "a saga cannot be read");
                    SagaHeld::Lost
                }
                Err(error) if held.iter().any(|held| matches!(held, SagaHeld::Kept { .. })) => {
                    return Err(StoreError::AnswerLost(error.to_string()));
                }
                Err(error) => return Err(error),
            });
        }
        Ok(held)
    }

    async fn lease(&self, id: SagaId, owner: Owner, lease: Duration) -> Result<Leased, StoreError> {
        decode::leased(self.run(Script::SagaLease, encode::lease(self.shared.partitions, id, owner, lease)).await?)
    }

    async fn due(&self, limit: usize, seed: u64) -> Result<Due, StoreError> {
        let limit = limit.min(MAX_PAGE);
        let count = self.shared.partitions;
        let first = u16::try_from(seed % u64::from(count)).unwrap_or_default();
        let answers = self.run_on_partitions(Script::SagaDue, first, |partition| encode::due(partition, limit)).await?;
        let mut pages = Vec::with_capacity(answers.len());
        let mut failed = None;
        for answer in answers {
            match self.one_of_many(answer, decode::due) {
                Ok(page) => pages.push(page),
                // The sagas of the other partitions go on.
                Err(StoreError::Corrupt(reason)) => {
                    tracing::error!(reason, "a partition of the sagas cannot be read");
                    failed = Some(StoreError::Corrupt(reason));
                }
                Err(error) => return Err(error),
            }
        }
        match failed {
            Some(error) if pages.is_empty() => Err(error),
            Some(_) | None => Ok(merge_due(pages, limit)),
        }
    }

    async fn command(&self, id: SagaId, nonce: Owner, command: Bytes) -> Result<Commanded, StoreError> {
        rules::check_command(&command)?;
        decode::commanded(self.run(Script::SagaCommand, encode::command(self.shared.partitions, id, nonce, &command)).await?)
    }

    async fn commands(&self, id: SagaId) -> Result<Vec<Bytes>, StoreError> {
        decode::commands(self.run(Script::SagaCommands, encode::bare(Script::SagaCommands, self.shared.partitions, id)).await?)
    }

    async fn attach(&self, id: SagaId, mailbox: Option<Mailbox>) -> Result<Option<Attached>, StoreError> {
        decode::attached(self.run(Script::SagaAttach, encode::attach(self.shared.partitions, id, mailbox)).await?)
    }

    async fn load(&self, id: SagaId) -> Result<Option<Loaded>, StoreError> {
        decode::loaded(self.run(Script::SagaLoad, encode::bare(Script::SagaLoad, self.shared.partitions, id)).await?)
    }

    async fn list(&self, listing: Listing) -> Result<Vec<(SagaId, Head)>, StoreError> {
        let limit = listing.limit.min(MAX_PAGE);
        if limit == 0 {
            return Ok(Vec::new());
        }
        let cmd = |partition| encode::list(partition, &listing, limit);
        let mut rows: Vec<Row> = Vec::new();
        for answer in self.run_on_partitions(Script::SagaList, 0, cmd).await? {
            rows.append(&mut self.one_of_many(answer, decode::rows)?);
        }
        rows.sort_unstable_by_key(|row| std::cmp::Reverse((row.head.updated_at, row.id)));
        Ok(rows.into_iter().take(limit).map(|row| (row.id, row.head)).collect())
    }

    async fn count(&self) -> Result<[u64; 5], StoreError> {
        let mut total = [0_u64; 5];
        for answer in self.run_on_partitions(Script::SagaCount, 0, encode::count).await? {
            let counts = self.one_of_many(answer, decode::counts)?;
            for (total, count) in total.iter_mut().zip(counts) {
                *total = total.saturating_add(count);
            }
        }
        Ok(total)
    }

    async fn pin(&self, hash: DefinitionHash, definition: Bytes) -> Result<(), StoreError> {
        self.shared.health.admits_claims()?;
        rules::check_definition(&definition)?;
        decode::pinned(self.run(Script::SagaPin, encode::pin(hash, &definition)).await?)
    }

    async fn definition(&self, hash: DefinitionHash) -> Result<Option<Bytes>, StoreError> {
        decode::definition(self.run(Script::SagaDefinition, encode::definition(hash)).await?)
    }
}

/// The pages of all partitions as one. If there is more than `limit`, partition after partition: those that come first are not the
/// same for all replicas. What is taken is told with the longest due first.
fn merge_due(pages: Vec<DuePage>, limit: usize) -> Due {
    let now = pages.iter().map(|page| page.now).max().unwrap_or(Timestamp::ZERO);
    let mut next = pages.iter().filter_map(|page| page.next).min();
    let mut found: Vec<_> = pages.into_iter().flat_map(|page| page.ids).collect();
    if found.len() > limit {
        next = next.into_iter().chain(found.drain(limit..).map(|(at, _)| at)).min();
    }
    found.sort_by_key(|(at, _)| *at);
    Due { ids: found.into_iter().map(|(_, id)| id).collect(), next_in: next.map(|at| now.until(at)), now }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(now: u64, next: Option<u64>, ids: &[(u64, u8)]) -> DuePage {
        let at = Timestamp::from_unix_ms;
        let ids = ids.iter().map(|(due, id)| (at(*due), SagaId::from_bytes([*id; 16]))).collect();
        DuePage { now: at(now), next: next.map(at), ids }
    }

    fn told(due: &Due) -> (Vec<u8>, Option<u64>) {
        (due.ids.iter().map(|id| id.as_bytes()[0]).collect(), due.next_in.map(crate::time::whole_ms))
    }

    #[test]
    fn what_is_due_in_all_partitions_comes_the_longest_due_first_and_the_next_one_is_the_nearest() {
        let pages = vec![page(100, Some(500), &[(10, 1), (90, 2)]), page(101, Some(201), &[(20, 3)]), page(101, None, &[])];
        let due = merge_due(pages, 10);
        assert_eq!((told(&due), due.now), ((vec![1, 3, 2], Some(100)), Timestamp::from_unix_ms(101)));
        assert_eq!(told(&merge_due(vec![page(5, None, &[])], 10)), (Vec::new(), None));
    }

    #[test]
    fn a_page_that_is_full_takes_the_first_partitions_and_tells_that_more_is_due() {
        let pages = || vec![page(100, Some(500), &[(30, 1), (40, 2)]), page(100, Some(99), &[(10, 3), (20, 4)])];
        assert_eq!(told(&merge_due(pages(), 3)), (vec![3, 1, 2], Some(0)));
        let from_the_other = pages().into_iter().rev().collect();
        assert_eq!(told(&merge_due(from_the_other, 3)), (vec![3, 4, 1], Some(0)));
        assert_eq!(told(&merge_due(pages(), 0)), (Vec::new(), Some(0)));
    }
}
