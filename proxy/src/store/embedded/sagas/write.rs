//! What a write transaction does with sagas.

use bytes::Bytes;
use redb::{ReadableTable, ReadableTableMetadata, Table, TableDefinition, TableError, WriteTransaction};
use saga_config::saga::DefinitionHash;

use super::{
    super::{
        batch::{ApplyError, Effects},
        codec::Life,
    },
    codec::{self, DueKey, ExpiryKey, GarbageKey, Indexed, PartKey},
};
use crate::{
    ids::SagaId,
    store::journal::{
        SagaState,
        rules::{Saga, Step},
    },
    time::Timestamp,
};

pub(super) const SAGAS: TableDefinition<'_, &[u8; SagaId::LEN], &[u8]> = TableDefinition::new("sagas");
pub(super) const JOURNAL: TableDefinition<'_, &[u8; PartKey::LEN], &[u8]> = TableDefinition::new("saga-journal");
pub(super) const COMMANDS: TableDefinition<'_, &[u8; PartKey::LEN], &[u8]> = TableDefinition::new("saga-commands");
pub(super) const DUE: TableDefinition<'_, &[u8; DueKey::LEN], ()> = TableDefinition::new("saga-due");
pub(super) const LISTS: TableDefinition<'_, &[u8], ()> = TableDefinition::new("saga-lists");
pub(super) const COUNTS: TableDefinition<'_, u8, u64> = TableDefinition::new("saga-counts");
pub(super) const DEFINITIONS: TableDefinition<'_, &[u8; 32], &[u8]> = TableDefinition::new("saga-definitions");
const EXPIRY: TableDefinition<'_, &[u8; ExpiryKey::LEN], ()> = TableDefinition::new("saga-expiry");
const GARBAGE: TableDefinition<'_, &[u8; GarbageKey::LEN], ()> = TableDefinition::new("saga-garbage");

/// Creates what is not there yet.
pub(in super::super) fn create_tables(txn: &WriteTransaction) -> Result<(), redb::Error> {
    Tables::open(txn, Life { number: 0, since: Timestamp::ZERO }, Timestamp::ZERO)?;
    Ok(())
}

/// How many entries all journals have.
pub(in super::super) fn journal_entries(txn: &redb::ReadTransaction) -> Result<u64, redb::Error> {
    match txn.open_table(JOURNAL) {
        Ok(journal) => Ok(journal.len()?),
        Err(TableError::TableDoesNotExist(_)) => Ok(0),
        Err(error) => Err(error.into()),
    }
}

/// The tables of sagas in one write transaction.
///
/// Each operation reads all that it needs before it writes anything, so that what it cannot read harms no other in the transaction.
pub(in super::super) struct Tables<'txn> {
    sagas: Table<'txn, &'static [u8; SagaId::LEN], &'static [u8]>,
    journal: Table<'txn, &'static [u8; PartKey::LEN], &'static [u8]>,
    commands: Table<'txn, &'static [u8; PartKey::LEN], &'static [u8]>,
    due: Table<'txn, &'static [u8; DueKey::LEN], ()>,
    lists: Table<'txn, &'static [u8], ()>,
    counts: Table<'txn, u8, u64>,
    definitions: Table<'txn, &'static [u8; 32], &'static [u8]>,
    expiry: Table<'txn, &'static [u8; ExpiryKey::LEN], ()>,
    garbage: Table<'txn, &'static [u8; GarbageKey::LEN], ()>,
    life: Life,
    now: Timestamp,
    effects: Effects,
}

impl<'txn> Tables<'txn> {
    pub(in super::super) fn open(txn: &'txn WriteTransaction, life: Life, now: Timestamp) -> Result<Self, TableError> {
        Ok(Self {
            sagas: txn.open_table(SAGAS)?,
            journal: txn.open_table(JOURNAL)?,
            commands: txn.open_table(COMMANDS)?,
            due: txn.open_table(DUE)?,
            lists: txn.open_table(LISTS)?,
            counts: txn.open_table(COUNTS)?,
            definitions: txn.open_table(DEFINITIONS)?,
            expiry: txn.open_table(EXPIRY)?,
            garbage: txn.open_table(GARBAGE)?,
            life,
            now,
            effects: Effects::default(),
        })
    }

    pub(in super::super) fn finish(self) -> Effects {
        self.effects
    }

    /// One transition of one saga.
    pub(super) fn step<T>(
        &mut self,
        id: SagaId,
        rule: impl FnOnce(Option<&Saga>, Timestamp) -> Step<T>,
    ) -> Result<T, ApplyError> {
        let stored = self.stored(id)?;
        let adopted = stored.as_ref().map(|(life, saga)| self.life.adopt_saga(*life, saga.clone()));
        let Step { outcome, put, entries, command, commands_taken, wake: _ } = rule(adopted.as_ref(), self.now);
        let Some(saga) = put else { return Ok(outcome) };
        let value = codec::encode(self.life.number, &saga)?;
        self.effects.written = true;
        let before = match stored {
            Some((life, gone)) if gone.born != saga.born => {
                self.remove(id, life, &gone)?;
                None
            }
            before => before,
        };
        self.put_parts(id, before.as_ref().map(|(_, before)| before), &saga, (&entries, command, commands_taken))?;
        self.sagas.insert(id.as_bytes(), value.as_slice())?;
        let (was, old) = before.map(|(life, before)| (before.state, Indexed::of(id, life, &before))).unzip();
        self.index(old.as_ref(), Some(&Indexed::of(id, self.life.number, &saga)))?;
        self.recount(was, Some(saga.state))?;
        // All who wait are in this process, and none is registered.
        if was.is_some_and(|was| was != saga.state) && (saga.state.is_end() || saga.state == SagaState::Quarantined) {
            self.effects.wake.push(id.as_record());
        }
        Ok(outcome)
    }

    pub(super) fn pin(&mut self, hash: DefinitionHash, definition: &Bytes) -> Result<(), ApplyError> {
        if self.definitions.get(hash.as_bytes())?.is_none() {
            self.effects.written = true;
            self.definitions.insert(hash.as_bytes(), definition.as_ref())?;
        }
        Ok(())
    }

    /// Deletes up to `at_most` ended sagas and as many entries of journals; whether there may be more.
    pub(in super::super) fn sweep(&mut self, at_most: usize) -> Result<bool, ApplyError> {
        let end = ExpiryKey::to_bytes(self.now, SagaId::from_bytes([0xFF; SagaId::LEN]));
        let keys = self.expiry.range::<&[u8; ExpiryKey::LEN]>(..=&end)?.take(at_most);
        let keys: Vec<[u8; ExpiryKey::LEN]> = keys.map(|entry| entry.map(|(key, _)| *key.value())).collect::<Result<_, _>>()?;
        for key in &keys {
            self.sweep_saga(key)?;
        }
        Ok(self.sweep_journals(at_most)? || keys.len() == at_most)
    }

    fn sweep_saga(&mut self, key: &[u8; ExpiryKey::LEN]) -> Result<(), ApplyError> {
        self.effects.written = true;
        self.expiry.remove(key)?;
        let (_, id) = ExpiryKey::from_bytes(key);
        match self.stored(id) {
            Ok(Some((life, saga))) if saga.live(self.now).is_none() => {
                self.remove(id, life, &saga)?;
                self.sagas.remove(id.as_bytes())?;
                self.effects.swept += 1;
                Ok(())
            }
            Ok(_) => Ok(()),
            // It stays, for whoever can read it; its journal cannot be told from another's.
            Err(ApplyError::Unreadable(error)) => {
                tracing::error!(saga = %id, %error, "an unreadable saga is not deleted at its end");
                Ok(())
            }
            Err(broken) => Err(broken),
        }
    }

    /// Deletes up to `at_most` entries of journals whose sagas are gone; whether there may be more.
    fn sweep_journals(&mut self, at_most: usize) -> Result<bool, ApplyError> {
        let mut left = at_most;
        while left > 0 {
            let Some(key) = self.garbage.first()?.map(|(key, _)| *key.value()) else { return Ok(false) };
            let (id, born) = GarbageKey::from_bytes(&key);
            let [first, last] = [0, u64::MAX].map(|number| PartKey::to_bytes(id, born, number));
            let entries = self.journal.range::<&[u8; PartKey::LEN]>(&first..=&last)?.take(left);
            let entries: Vec<_> = entries.map(|entry| entry.map(|(key, _)| *key.value())).collect::<Result<_, _>>()?;
            self.effects.written = true;
            for entry in &entries {
                self.journal.remove(entry)?;
            }
            if entries.len() < left {
                self.garbage.remove(&key)?;
            }
            // One more than the entries, so that many short journals have a bound as well.
            left = left.saturating_sub(entries.len() + 1);
        }
        Ok(true)
    }

    /// The saga as it was written, and the life it was written in.
    fn stored(&self, id: SagaId) -> Result<Option<(u64, Saga)>, ApplyError> {
        let Some(value) = self.sagas.get(id.as_bytes())? else { return Ok(None) };
        Ok(Some(codec::decode(value.value())?))
    }

    fn put_parts(
        &mut self,
        id: SagaId,
        before: Option<&Saga>,
        saga: &Saga,
        (entries, command, commands_taken): (&[Bytes], Option<Bytes>, usize),
    ) -> Result<(), ApplyError> {
        let (mut version, mut oldest) = before.map_or((0, 0), |before| (before.version, before.commands_taken));
        for entry in entries {
            self.journal.insert(&PartKey::to_bytes(id, saga.born, version), entry.as_ref())?;
            version += 1;
        }
        for _ in 0..commands_taken {
            self.commands.remove(&PartKey::to_bytes(id, saga.born, oldest))?;
            oldest += 1;
        }
        if let Some(command) = command {
            let newest = last_command(saga);
            self.commands.insert(&PartKey::to_bytes(id, saga.born, newest), command.as_ref())?;
        }
        Ok(())
    }

    /// Takes a saga that is gone out of the indexes, and leaves its journal to the sweeper. Its value is the caller's.
    fn remove(&mut self, id: SagaId, life: u64, saga: &Saga) -> Result<(), ApplyError> {
        self.index(Some(&Indexed::of(id, life, saga)), None)?;
        self.recount(Some(saga.state), None)?;
        self.garbage.insert(&GarbageKey::to_bytes(id, saga.born), ())?;
        Ok(())
    }

    fn index(&mut self, old: Option<&Indexed>, new: Option<&Indexed>) -> Result<(), ApplyError> {
        let [due_old, due_new] = [old, new].map(|indexed| indexed.and_then(|indexed| indexed.due.as_ref()));
        replace(&mut self.due, due_old, due_new, due_old == due_new)?;
        let [expiry_old, expiry_new] = [old, new].map(|indexed| indexed.and_then(|indexed| indexed.expiry.as_ref()));
        replace(&mut self.expiry, expiry_old, expiry_new, expiry_old == expiry_new)?;
        for list in 0..2 {
            let [old, new] = [old, new].map(|indexed| indexed.map(|indexed| indexed.lists[list].as_slice()));
            replace(&mut self.lists, old, new, old == new)?;
        }
        Ok(())
    }

    fn recount(&mut self, old: Option<SagaState>, new: Option<SagaState>) -> Result<(), ApplyError> {
        if old == new {
            return Ok(());
        }
        for (state, up) in [(old, false), (new, true)] {
            if let Some(state) = state {
                let key = codec::state_number(state);
                let count = self.counts.get(key)?.map_or(0, |count| count.value());
                self.counts.insert(key, if up { count.saturating_add(1) } else { count.saturating_sub(1) })?;
            }
        }
        Ok(())
    }
}

/// Moves an index entry, if its key is another one.
fn replace<K: redb::Key + 'static>(
    index: &mut Table<'_, K, ()>,
    old: Option<K::SelfType<'_>>,
    new: Option<K::SelfType<'_>>,
    same: bool,
) -> Result<(), redb::StorageError> {
    if same {
        return Ok(());
    }
    if let Some(old) = old {
        index.remove(old)?;
    }
    if let Some(new) = new {
        index.insert(new, ())?;
    }
    Ok(())
}

/// The number of the newest command.
fn last_command(saga: &Saga) -> u64 {
    let waiting: u64 = saga.waiting.len().try_into().unwrap_or(u64::MAX);
    saga.commands_taken.saturating_add(waiting).saturating_sub(1)
}
