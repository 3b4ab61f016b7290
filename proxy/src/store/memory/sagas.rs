//! Sagas in memory. One lock for all of them: their indexes go across.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::{MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use saga_config::saga::DefinitionHash;

use super::{BITE, ENTRY_BYTES, LARGE_BITE, MemoryStore, Usage};
use crate::{
    ids::{Mailbox, Owner, SagaId},
    store::{
        StoreError,
        journal::{
            Append, Appended, Attached, Commanded, Create, Created, Due, Head, Journal, Leased, Listing, Loaded, MAX_PAGE,
            SagaHeld, SagaRenewal, SagaState,
            rules::{self, Saga, Step, Taken},
        },
    },
    time::Timestamp,
};

/// What an entry of a journal costs besides its bytes: the handle of them.
const PART_BYTES: u64 = 32;
/// Later than every saga's change.
const LAST: Timestamp = Timestamp::from_unix_ms(u64::MAX);

/// All sagas and definitions.
#[derive(Debug, Default)]
pub(super) struct Sagas {
    sagas: HashMap<SagaId, Entry>,
    due: BTreeSet<(Timestamp, SagaId)>,
    expiry: BTreeSet<(Timestamp, SagaId)>,
    by_state: BTreeSet<(SagaState, Timestamp, SagaId)>,
    by_name: BTreeSet<(String, SagaState, Timestamp, SagaId)>,
    counts: [u64; SagaState::ALL.len()],
    definitions: HashMap<DefinitionHash, Bytes>,
}

#[derive(Debug)]
struct Entry {
    saga: Saga,
    journal: Vec<Bytes>,
    commands: VecDeque<Bytes>,
    /// What journal and commands cost.
    bytes: u64,
}

impl MemoryStore {
    fn sagas(&self) -> MutexGuard<'_, Sagas> {
        self.inner.sagas.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One transition under the lock, then the wake-ups.
    fn saga_step<T>(&self, id: SagaId, now: Timestamp, rule: impl FnOnce(Option<&Saga>) -> Step<T>) -> T {
        let (outcome, wake) = {
            let mut sagas = self.sagas();
            sagas.drop_expired(now, BITE, &self.inner.usage);
            sagas.step(id, rule, &self.inner.usage)
        };
        self.wake_saga(id, &wake);
        outcome
    }

    fn wake_saga(&self, id: SagaId, mailboxes: &[Mailbox]) {
        if !mailboxes.is_empty() {
            self.inner.wakes.wake(id.as_record());
        }
    }

    fn saga_room(&self, sagas: &mut Sagas, now: Timestamp) -> Result<(), StoreError> {
        if self.is_full() {
            sagas.drop_expired(now, LARGE_BITE, &self.inner.usage);
        }
        self.refusal().map_or(Ok(()), Err)
    }
}

impl Journal for MemoryStore {
    async fn create(&self, create: Create) -> Result<Created, StoreError> {
        let now = self.begin()?;
        rules::check_create(&create)?;
        let mut sagas = self.sagas();
        sagas.drop_expired(now, BITE, &self.inner.usage);
        if sagas.live(create.id, now).is_none() {
            self.saga_room(&mut sagas, now)?;
        }
        Ok(sagas.step(create.id, |saga| rules::create(saga, &create, now), &self.inner.usage).0)
    }

    async fn append(&self, append: Append) -> Result<Appended, StoreError> {
        let now = self.begin()?;
        rules::check_append(&append)?;
        Ok(self.saga_step(append.token.id, now, |saga| rules::append(saga, &append, now)))
    }

    async fn extend_sagas(&self, renewals: Vec<SagaRenewal>) -> Result<Vec<SagaHeld>, StoreError> {
        let now = self.begin()?;
        let renew = |renewal: &SagaRenewal| self.saga_step(renewal.token.id, now, |saga| rules::extend(saga, renewal, now));
        Ok(renewals.iter().map(renew).collect())
    }

    async fn lease(&self, id: SagaId, owner: Owner, lease: Duration) -> Result<Leased, StoreError> {
        let now = self.begin()?;
        let mut sagas = self.sagas();
        let (taken, _) = sagas.step(id, |saga| rules::lease(saga, owner, lease, now), &self.inner.usage);
        Ok(match taken {
            Taken::Granted(_) => sagas.loaded(id, now).map_or(Leased::Gone, |loaded| Leased::Granted(Box::new(loaded))),
            Taken::NotDue(left) => Leased::NotDue(left),
            Taken::Gone => Leased::Gone,
        })
    }

    async fn due(&self, limit: usize, _seed: u64) -> Result<Due, StoreError> {
        let now = self.begin()?;
        let sagas = self.sagas();
        let ids = sagas.due.iter().take_while(|(at, _)| *at <= now).take(limit.min(MAX_PAGE)).map(|(_, id)| *id);
        let ids: Vec<SagaId> = ids.collect();
        let next_in = sagas.due.iter().nth(ids.len()).map(|(at, _)| now.until(*at));
        Ok(Due { ids, next_in, now })
    }

    async fn command(&self, id: SagaId, nonce: Owner, command: Bytes) -> Result<Commanded, StoreError> {
        let now = self.begin()?;
        rules::check_command(&command)?;
        Ok(self.saga_step(id, now, |saga| rules::command(saga, nonce, &command, now)))
    }

    async fn commands(&self, id: SagaId) -> Result<Vec<Bytes>, StoreError> {
        let now = self.begin()?;
        let sagas = self.sagas();
        Ok(sagas.live(id, now).map(|entry| entry.commands.iter().cloned().collect()).unwrap_or_default())
    }

    async fn attach(&self, id: SagaId, mailbox: Option<Mailbox>) -> Result<Option<Attached>, StoreError> {
        let now = self.begin()?;
        Ok(self.saga_step(id, now, |saga| rules::attach(saga, mailbox, now)))
    }

    async fn load(&self, id: SagaId) -> Result<Option<Loaded>, StoreError> {
        let now = self.begin()?;
        Ok(self.sagas().loaded(id, now))
    }

    async fn list(&self, listing: Listing) -> Result<Vec<(SagaId, Head)>, StoreError> {
        let now = self.begin()?;
        let mut sagas = self.sagas();
        sagas.drop_expired(now, LARGE_BITE, &self.inner.usage);
        Ok(sagas.list(&listing, now))
    }

    async fn count(&self) -> Result<[u64; 5], StoreError> {
        let now = self.begin()?;
        let mut sagas = self.sagas();
        sagas.drop_expired(now, LARGE_BITE, &self.inner.usage);
        Ok(sagas.counts)
    }

    async fn pin(&self, hash: DefinitionHash, definition: Bytes) -> Result<(), StoreError> {
        let now = self.begin()?;
        rules::check_definition(&definition)?;
        let mut sagas = self.sagas();
        if !sagas.definitions.contains_key(&hash) {
            self.saga_room(&mut sagas, now)?;
            self.inner.usage.add(ENTRY_BYTES.saturating_add(size(&definition)));
            sagas.definitions.insert(hash, definition);
        }
        Ok(())
    }

    async fn definition(&self, hash: DefinitionHash) -> Result<Option<Bytes>, StoreError> {
        self.begin()?;
        Ok(self.sagas().definitions.get(&hash).cloned())
    }
}

impl Sagas {
    fn live(&self, id: SagaId, now: Timestamp) -> Option<&Entry> {
        self.sagas.get(&id).filter(|entry| entry.saga.live(now).is_some())
    }

    fn loaded(&self, id: SagaId, now: Timestamp) -> Option<Loaded> {
        let Entry { saga, journal, commands, .. } = self.live(id, now)?;
        Some(Loaded { head: saga.head(), entries: journal.clone(), commands: commands.iter().cloned().collect(), now })
    }

    fn step<T>(&mut self, id: SagaId, rule: impl FnOnce(Option<&Saga>) -> Step<T>, usage: &Usage) -> (T, Vec<Mailbox>) {
        let Step { outcome, put, entries, command, commands_taken, wake } = rule(self.sagas.get(&id).map(|entry| &entry.saga));
        if let Some(saga) = put {
            let mut entry = match self.remove(id, usage) {
                Some(before) if before.saga.born == saga.born => Entry { saga: *saga, ..before },
                // An earlier saga of this id, which has outlived its retention.
                Some(_) | None => Entry { saga: *saga, journal: Vec::new(), commands: VecDeque::new(), bytes: 0 },
            };
            entry.bytes += entries.iter().chain(&command).map(part).sum::<u64>();
            entry.journal.extend(entries);
            let taken = entry.commands.drain(..commands_taken.min(entry.commands.len()));
            entry.bytes -= taken.map(|command| part(&command)).sum::<u64>();
            entry.commands.extend(command);
            self.insert(id, entry, usage);
        }
        (outcome, wake)
    }

    fn insert(&mut self, id: SagaId, entry: Entry, usage: &Usage) {
        let saga = &entry.saga;
        usage.add(cost(&entry));
        self.due.extend(saga.hold.due_at().map(|at| (at, id)));
        self.expiry.extend(saga.hold.expires_at().map(|at| (at, id)));
        self.by_state.insert((saga.state, saga.updated_at, id));
        self.by_name.insert((saga.birth.name.clone(), saga.state, saga.updated_at, id));
        self.counts[saga.state as usize] += 1;
        self.sagas.insert(id, entry);
    }

    fn remove(&mut self, id: SagaId, usage: &Usage) -> Option<Entry> {
        let entry = self.sagas.remove(&id)?;
        let saga = &entry.saga;
        usage.take(cost(&entry));
        if let Some(at) = saga.hold.due_at() {
            self.due.remove(&(at, id));
        }
        if let Some(at) = saga.hold.expires_at() {
            self.expiry.remove(&(at, id));
        }
        self.by_state.remove(&(saga.state, saga.updated_at, id));
        self.by_name.remove(&(saga.birth.name.clone(), saga.state, saga.updated_at, id));
        self.counts[saga.state as usize] -= 1;
        Some(entry)
    }

    fn drop_expired(&mut self, now: Timestamp, at_most: usize, usage: &Usage) {
        for _ in 0..at_most {
            match self.expiry.first().copied() {
                Some((at, id)) if at <= now => drop(self.remove(id, usage)),
                Some(_) | None => return,
            }
        }
    }

    /// For each state the newest ones, as many as the page may have; then the newest of these.
    fn list(&self, listing: &Listing, now: Timestamp) -> Vec<(SagaId, Head)> {
        let limit = listing.limit.min(MAX_PAGE);
        let before = listing.before.unwrap_or((LAST, SagaId::from_bytes([0xFF; SagaId::LEN])));
        let states = SagaState::ALL.into_iter().filter(|state| listing.states.is_empty() || listing.states.contains(state));
        let mut found: Vec<(Timestamp, SagaId)> =
            states.flat_map(|state| self.newest(state, listing, before, limit, now)).collect();
        found.sort_unstable_by(|one, other| other.cmp(one));
        let heads = found.into_iter().take(limit).filter_map(|(_, id)| Some((id, self.sagas.get(&id)?.saga.listed())));
        heads.collect()
    }

    fn newest(
        &self,
        state: SagaState,
        listing: &Listing,
        (at, id): (Timestamp, SagaId),
        limit: usize,
        now: Timestamp,
    ) -> Vec<(Timestamp, SagaId)> {
        let first = (Timestamp::ZERO, SagaId::from_bytes([0; SagaId::LEN]));
        let is_live = |found: &(Timestamp, SagaId)| self.live(found.1, now).is_some();
        match &listing.name {
            None => {
                let range = self.by_state.range((state, first.0, first.1)..(state, at, id)).rev();
                range.map(|(_, at, id)| (*at, *id)).filter(is_live).take(limit).collect()
            }
            Some(name) => {
                let range = (name.clone(), state, first.0, first.1)..(name.clone(), state, at, id);
                self.by_name.range(range).rev().map(|(.., at, id)| (*at, *id)).filter(is_live).take(limit).collect()
            }
        }
    }
}

fn size(bytes: &Bytes) -> u64 {
    bytes.len().try_into().unwrap_or(u64::MAX)
}

fn part(bytes: &Bytes) -> u64 {
    PART_BYTES.saturating_add(size(bytes))
}

fn cost(entry: &Entry) -> u64 {
    let answer = entry.saga.answer.as_ref().map_or(0, |answer| size(&answer.bytes));
    ENTRY_BYTES.saturating_add(entry.bytes).saturating_add(answer)
}
