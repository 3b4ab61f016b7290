//! What a write transaction does with sagas.

use bytes::Bytes;
use redb::{Key, ReadableTable, ReadableTableMetadata, Table, TableDefinition, TableError, WriteTransaction};
use saga_config::saga::DefinitionHash;

use super::{
    super::{
        batch::{ApplyError, Effects},
        codec::Life,
        table::Lazy,
    },
    codec::{self, DueAt, DueKey, ExpiryKey, GarbageKey, Indexed, PartKey, Row, Spill},
};
use crate::{
    ids::SagaId,
    store::journal::{
        SagaState,
        rules::{Hold, Saga, Step},
    },
    time::Timestamp,
};

/// Those that somebody drives: few, so that the appends of one commit change few pages.
pub(super) const DRIVEN: TableDefinition<'_, &[u8; SagaId::LEN], &[u8]> = TableDefinition::new("saga-driven");
/// All others: parked, resting or ended.
pub(super) const STILL: TableDefinition<'_, &[u8; SagaId::LEN], &[u8]> = TableDefinition::new("saga-still");
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
    let mut tables = Tables::open(txn, Life { number: 0, since: Timestamp::ZERO }, Timestamp::ZERO)?;
    tables.still.open()?;
    tables.journal.open()?;
    tables.commands.open()?;
    tables.definitions.open()?;
    tables.expiry.open()?;
    tables.garbage.open()?;
    Ok(())
}

/// How many sagas there are, and entries of journals that lie apart from them.
pub(in super::super) fn rows(txn: &redb::ReadTransaction) -> Result<u64, redb::Error> {
    let sagas = txn.open_table(DRIVEN)?.len()?.saturating_add(txn.open_table(STILL)?.len()?);
    Ok(sagas.saturating_add(txn.open_table(JOURNAL)?.len()?))
}

/// The tables of sagas in one write transaction.
///
/// Each operation reads all that it needs before it writes anything, so that what it cannot read harms no other in the transaction.
/// A saga is in `driven` or in `still`, never in both.
pub(in super::super) struct Tables<'txn> {
    driven: Table<'txn, &'static [u8; SagaId::LEN], &'static [u8]>,
    due: Table<'txn, &'static [u8; DueKey::LEN], ()>,
    lists: Table<'txn, &'static [u8], ()>,
    counts: Table<'txn, u8, u64>,
    still: Lazy<'txn, &'static [u8; SagaId::LEN], &'static [u8]>,
    journal: Lazy<'txn, &'static [u8; PartKey::LEN], &'static [u8]>,
    commands: Lazy<'txn, &'static [u8; PartKey::LEN], &'static [u8]>,
    definitions: Lazy<'txn, &'static [u8; 32], &'static [u8]>,
    expiry: Lazy<'txn, &'static [u8; ExpiryKey::LEN], ()>,
    garbage: Lazy<'txn, &'static [u8; GarbageKey::LEN], ()>,
    life: Life,
    now: Timestamp,
    effects: Effects,
}

/// Where a saga lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Driven,
    Still,
}

impl Place {
    const fn of(saga: &Saga) -> Self {
        match saga.hold {
            Hold::Driven { .. } => Self::Driven,
            Hold::Parked { .. } | Hold::Resting | Hold::Ended { .. } => Self::Still,
        }
    }
}

impl<'txn> Tables<'txn> {
    pub(in super::super) fn open(txn: &'txn WriteTransaction, life: Life, now: Timestamp) -> Result<Self, TableError> {
        Ok(Self {
            driven: txn.open_table(DRIVEN)?,
            due: txn.open_table(DUE)?,
            lists: txn.open_table(LISTS)?,
            counts: txn.open_table(COUNTS)?,
            still: Lazy::new(txn, STILL),
            journal: Lazy::new(txn, JOURNAL),
            commands: Lazy::new(txn, COMMANDS),
            definitions: Lazy::new(txn, DEFINITIONS),
            expiry: Lazy::new(txn, EXPIRY),
            garbage: Lazy::new(txn, GARBAGE),
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
        let adopted = stored.as_ref().map(|(_, row)| self.life.adopt_saga(row.life, row.saga.clone()));
        let Step { outcome, put, entries, command, commands_taken, wake: _ } = rule(adopted.as_ref(), self.now);
        let Some(saga) = put else { return Ok(outcome) };
        let same = stored.as_ref().filter(|(_, row)| row.saga.born == saga.born);
        let before = same.map(|(_, row)| row);
        let (mut row, spill) = Row::after(before, self.life.number, *saga, &entries)?;
        row.due = DueAt::of(&row.saga, row.life, before.and_then(|before| before.due), self.now);
        let value = row.encode()?;

        self.effects.written = true;
        if let (Some((_, gone)), None) = (&stored, same) {
            self.forget(id, gone)?;
        }
        let place = Place::of(&row.saga);
        if let Some((from, _)) = stored.as_ref().filter(|(from, _)| *from != place) {
            self.remove_row(id, *from)?;
        }
        match place {
            Place::Driven => drop(self.driven.insert(id.as_bytes(), value.as_slice())?),
            Place::Still => drop(self.still.open()?.insert(id.as_bytes(), value.as_slice())?),
        }
        if let Some(Spill { first, entries }) = spill {
            let journal = self.journal.open()?;
            for (number, entry) in (first..).zip(&entries) {
                journal.insert(&PartKey::to_bytes(id, row.saga.born, number), entry.as_ref())?;
            }
        }
        self.put_commands(id, before.map_or(0, |before| before.saga.commands_taken), &row.saga, (command, commands_taken))?;
        self.index(id, before, Some(&row))?;
        let (was, saga) = (before.map(|before| before.saga.state), &row.saga);
        self.recount(was, Some(saga.state))?;
        // All who wait are in this process, and none is registered.
        if was.is_some_and(|was| was != saga.state) && (saga.state.is_end() || saga.state == SagaState::Quarantined) {
            self.effects.wake.push(id.as_record());
        }
        Ok(outcome)
    }

    pub(super) fn pin(&mut self, hash: DefinitionHash, definition: &Bytes) -> Result<(), ApplyError> {
        let definitions = self.definitions.open()?;
        if definitions.get(hash.as_bytes())?.is_none() {
            definitions.insert(hash.as_bytes(), definition.as_ref())?;
            self.effects.written = true;
        }
        Ok(())
    }

    /// Deletes up to `at_most` ended sagas and as many entries of journals; whether there may be more.
    pub(in super::super) fn sweep(&mut self, at_most: usize) -> Result<bool, ApplyError> {
        let end = ExpiryKey::to_bytes(self.now, SagaId::from_bytes([0xFF; SagaId::LEN]));
        let keys = self.expiry.open()?.range::<&[u8; ExpiryKey::LEN]>(..=&end)?.take(at_most);
        let keys: Vec<[u8; ExpiryKey::LEN]> = keys.map(|entry| entry.map(|(key, _)| *key.value())).collect::<Result<_, _>>()?;
        for key in &keys {
            self.sweep_saga(key)?;
        }
        Ok(self.sweep_journals(at_most)? || keys.len() == at_most)
    }

    fn sweep_saga(&mut self, key: &[u8; ExpiryKey::LEN]) -> Result<(), ApplyError> {
        self.effects.written = true;
        self.expiry.open()?.remove(key)?;
        let (_, id) = ExpiryKey::from_bytes(key);
        match self.stored(id) {
            Ok(Some((place, row))) if row.saga.live(self.now).is_none() => {
                self.forget(id, &row)?;
                self.remove_row(id, place)?;
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
        let (garbage, journal) = (self.garbage.open()?, self.journal.open()?);
        let mut left = at_most;
        while left > 0 {
            let Some(key) = garbage.first()?.map(|(key, _)| *key.value()) else { return Ok(false) };
            let (id, born) = GarbageKey::from_bytes(&key);
            let [first, last] = [0, u64::MAX].map(|number| PartKey::to_bytes(id, born, number));
            let entries = journal.range::<&[u8; PartKey::LEN]>(&first..=&last)?.take(left);
            let entries: Vec<_> = entries.map(|entry| entry.map(|(key, _)| *key.value())).collect::<Result<_, _>>()?;
            self.effects.written = true;
            for entry in &entries {
                journal.remove(entry)?;
            }
            if entries.len() < left {
                garbage.remove(&key)?;
            }
            // One more than the entries, so that many short journals have a bound as well.
            left = left.saturating_sub(entries.len() + 1);
        }
        Ok(true)
    }

    /// The saga as it was written.
    fn stored(&mut self, id: SagaId) -> Result<Option<(Place, Row)>, ApplyError> {
        if let Some(value) = self.driven.get(id.as_bytes())? {
            return Ok(Some((Place::Driven, Row::decode(value.value())?)));
        }
        let Some(value) = self.still.open()?.get(id.as_bytes())? else { return Ok(None) };
        Ok(Some((Place::Still, Row::decode(value.value())?)))
    }

    fn put_commands(
        &mut self,
        id: SagaId,
        mut oldest: u64,
        saga: &Saga,
        (command, taken): (Option<Bytes>, usize),
    ) -> Result<(), ApplyError> {
        if command.is_none() && taken == 0 {
            return Ok(());
        }
        let commands = self.commands.open()?;
        for _ in 0..taken {
            commands.remove(&PartKey::to_bytes(id, saga.born, oldest))?;
            oldest += 1;
        }
        if let Some(command) = command {
            commands.insert(&PartKey::to_bytes(id, saga.born, last_command(saga)), command.as_ref())?;
        }
        Ok(())
    }

    fn remove_row(&mut self, id: SagaId, place: Place) -> Result<(), ApplyError> {
        match place {
            Place::Driven => drop(self.driven.remove(id.as_bytes())?),
            Place::Still => drop(self.still.open()?.remove(id.as_bytes())?),
        }
        Ok(())
    }

    /// Takes a saga that is gone out of the indexes, and leaves its journal to the sweeper. Its row is the caller's.
    fn forget(&mut self, id: SagaId, row: &Row) -> Result<(), ApplyError> {
        self.index(id, Some(row), None)?;
        self.recount(Some(row.saga.state), None)?;
        if row.elsewhere() > 0 {
            self.garbage.open()?.insert(&GarbageKey::to_bytes(id, row.saga.born), ())?;
        }
        Ok(())
    }

    fn index(&mut self, id: SagaId, old: Option<&Row>, new: Option<&Row>) -> Result<(), ApplyError> {
        let [due_old, due_new] = [old, new].map(|row| row.and_then(|row| row.due));
        if due_old != due_new {
            let [old, new] = [due_old, due_new].map(|due| due.map(|due| due.key(id)));
            replace(&mut self.due, old.as_ref(), new.as_ref())?;
        }
        let [old, new] = [old, new].map(|row| row.map(|row| Indexed::of(id, &row.saga)));
        let [expiry_old, expiry_new] = [&old, &new].map(|indexed| indexed.as_ref().and_then(|indexed| indexed.expiry.as_ref()));
        if expiry_old != expiry_new {
            replace(self.expiry.open()?, expiry_old, expiry_new)?;
        }
        for list in 0..2 {
            let [old, new] = [&old, &new].map(|indexed| indexed.as_ref().map(|indexed| indexed.lists[list].as_slice()));
            if old != new {
                replace(&mut self.lists, old, new)?;
            }
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

/// Moves an index entry.
fn replace<K: Key + 'static>(
    index: &mut Table<'_, K, ()>,
    old: Option<K::SelfType<'_>>,
    new: Option<K::SelfType<'_>>,
) -> Result<(), redb::StorageError> {
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
