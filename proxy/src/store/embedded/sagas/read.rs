//! What the last commit holds of sagas.

use std::iter::Peekable;

use bytes::Bytes;
use redb::{ReadOnlyTable, ReadTransaction, ReadableTable, TableError};
use saga_config::saga::DefinitionHash;

use super::{
    super::{
        codec::Life,
        file::{ReadError, Snapshot},
    },
    codec::{self, DueKey, ListKey, PartKey, Row},
    write::{COMMANDS, COUNTS, DEFINITIONS, DRIVEN, DUE, JOURNAL, LISTS, STILL},
};
use crate::{
    ids::{Fence, SagaId},
    store::journal::{Due, Head, Listing, MAX_PAGE, SagaState, rules::Saga},
    time::Timestamp,
};

impl From<TableError> for ReadError {
    fn from(error: TableError) -> Self {
        Self::Storage(match error {
            TableError::Storage(error) => error,
            other => redb::StorageError::Corrupted(other.to_string()),
        })
    }
}

impl Snapshot {
    /// What it holds of sagas.
    pub(super) fn sagas(&self) -> Sagas<'_> {
        let (txn, life) = self.transaction();
        Sagas { txn, life }
    }
}

/// What a snapshot holds of sagas.
pub(super) struct Sagas<'a> {
    txn: &'a ReadTransaction,
    life: Life,
}

impl Sagas<'_> {
    /// The saga as it is in this life, also where it has outlived its retention.
    pub(super) fn saga(&self, id: SagaId) -> Result<Option<Saga>, ReadError> {
        Ok(self.row(id)?.map(|row| row.saga))
    }

    /// The saga with the end of its journal.
    pub(super) fn row(&self, id: SagaId) -> Result<Option<Row>, ReadError> {
        match self.read_row(&self.txn.open_table(DRIVEN)?, id)? {
            Some(row) => Ok(Some(row)),
            None => self.read_row(&self.txn.open_table(STILL)?, id),
        }
    }

    /// The saga's journal.
    pub(super) fn journal(&self, id: SagaId, row: &Row) -> Result<Vec<Bytes>, ReadError> {
        let mut journal = match row.elsewhere() {
            0 => Vec::new(),
            elsewhere => self.parts(&self.txn.open_table(JOURNAL)?, id, row.saga.born, 0, elsewhere)?,
        };
        journal.extend(row.tail()?);
        let found: u64 = journal.len().try_into().unwrap_or(u64::MAX);
        if found != row.saga.version {
            let reason = format!("the journal of {id} has {found} entries, and its head says {}", row.saga.version);
            return Err(redb::StorageError::Corrupted(reason).into());
        }
        Ok(journal)
    }

    /// The commands that wait for the saga.
    pub(super) fn commands(&self, id: SagaId, saga: &Saga) -> Result<Vec<Bytes>, ReadError> {
        if saga.waiting.is_empty() {
            return Ok(Vec::new());
        }
        let waiting: u64 = saga.waiting.len().try_into().unwrap_or(u64::MAX);
        let end = saga.commands_taken.saturating_add(waiting);
        self.parts(&self.txn.open_table(COMMANDS)?, id, saga.born, saga.commands_taken, end)
    }

    /// What is due.
    pub(super) fn due(&self, limit: usize, now: Timestamp) -> Result<Due, ReadError> {
        let limit = limit.min(MAX_PAGE);
        let due = self.txn.open_table(DUE)?;
        let this = self.life.number;
        let mut found = Vec::new();
        // One more, to tell when it is due. Leases of earlier lives, which have lapsed; timers.
        let apart = [(0, DueKey::first_of(this), self.life.since), (DueKey::PARKED, [0xFF; DueKey::LEN], NEVER)];
        for (from, to, at_most) in apart {
            for key in due.range::<&[u8; DueKey::LEN]>(&DueKey::first_of(from)..&to)?.take(limit + 1) {
                let (at, id) = DueKey::from_bytes(key?.0.value());
                found.push((at.min(at_most), id));
            }
        }
        // Leases of this one. Its entries may come before the lease's end.
        let driven = self.txn.open_table(DRIVEN)?;
        let (mut lapsed, mut held) = (0, 0);
        for key in due.range::<&[u8; DueKey::LEN]>(&DueKey::first_of(this)..&DueKey::first_of(this + 1))? {
            let (at, id) = DueKey::from_bytes(key?.0.value());
            if lapsed > limit || held > limit && at > now {
                break;
            }
            let at = match self.read_row(&driven, id) {
                Ok(row) => row.and_then(|row| row.saga.hold.due_at()).map_or(at, |until| until.max(at)),
                // It is asked for, and whoever asks is told.
                Err(ReadError::Codec(_)) => at,
                Err(error) => return Err(error),
            };
            *(if at <= now { &mut lapsed } else { &mut held }) += 1;
            found.push((at, id));
        }
        found.sort_unstable();
        let page = found.iter().take_while(|(at, _)| *at <= now).take(limit).map(|(_, id)| *id);
        let ids: Vec<SagaId> = page.collect();
        let next_in = found.get(ids.len()).map(|(at, _)| now.until(*at));
        Ok(Due { ids, next_in, now })
    }

    /// One page of sagas.
    pub(super) fn list(&self, listing: &Listing, now: Timestamp) -> Result<Vec<(SagaId, Head)>, ReadError> {
        let lists = self.txn.open_table(LISTS)?;
        let (at, id) = listing.before.unwrap_or((NEVER, SagaId::from_bytes([0xFF; SagaId::LEN])));
        let mut newest = Vec::new();
        for state in SagaState::ALL.into_iter().filter(|state| listing.states.is_empty() || listing.states.contains(state)) {
            let prefix = ListKey::prefix(listing.name.as_deref(), state);
            let first = ListKey::to_bytes(prefix.clone(), Timestamp::ZERO, SagaId::from_bytes([0; SagaId::LEN]));
            let end = ListKey::to_bytes(prefix, at, id);
            let keys = lists.range::<&[u8]>(first.as_slice()..end.as_slice())?.rev();
            let keys = keys.map(|key| Ok::<_, ReadError>(ListKey::from_bytes(key?.0.value())));
            newest.push(keys.filter_map(Result::transpose).peekable());
        }
        let (limit, mut page) = (listing.limit.min(MAX_PAGE), Vec::new());
        while page.len() < limit
            && let Some((_, id)) = next_newest(&mut newest)?
        {
            match self.saga(id) {
                Ok(saga) => page.extend(saga.as_ref().and_then(|saga| saga.live(now)).map(|saga| (id, saga.listed()))),
                Err(ReadError::Codec(error)) => tracing::error!(saga = %id, %error, "an unreadable saga is left out of a list"),
                Err(error) => return Err(error),
            }
        }
        Ok(page)
    }

    /// How many there are in each state.
    pub(super) fn counts(&self) -> Result<[u64; SagaState::ALL.len()], ReadError> {
        let table = self.txn.open_table(COUNTS)?;
        let mut counts = [0; SagaState::ALL.len()];
        for (count, state) in counts.iter_mut().zip(SagaState::ALL) {
            *count = ReadableTable::get(&table, codec::state_number(state))?.map_or(0, |count| count.value());
        }
        Ok(counts)
    }

    /// A definition.
    pub(super) fn definition(&self, hash: DefinitionHash) -> Result<Option<Bytes>, ReadError> {
        let table = self.txn.open_table(DEFINITIONS)?;
        Ok(ReadableTable::get(&table, hash.as_bytes())?.map(|value| Bytes::copy_from_slice(value.value())))
    }

    fn read_row(
        &self,
        table: &ReadOnlyTable<&'static [u8; SagaId::LEN], &'static [u8]>,
        id: SagaId,
    ) -> Result<Option<Row>, ReadError> {
        let Some(value) = ReadableTable::get(table, id.as_bytes())? else { return Ok(None) };
        let mut row = Row::decode(value.value())?;
        row.saga = self.life.adopt_saga(row.life, row.saga);
        Ok(Some(row))
    }

    /// Entries or commands, from number `from` to before `to`.
    fn parts(
        &self,
        table: &impl ReadableTable<&'static [u8; PartKey::LEN], &'static [u8]>,
        id: SagaId,
        born: Fence,
        from: u64,
        to: u64,
    ) -> Result<Vec<Bytes>, ReadError> {
        let [from, to] = [from, to].map(|number| PartKey::to_bytes(id, born, number));
        let parts = table.range::<&[u8; PartKey::LEN]>(&from..&to)?;
        parts.map(|part| Ok(Bytes::copy_from_slice(part?.1.value()))).collect()
    }
}

/// Later than every time.
const NEVER: Timestamp = Timestamp::from_unix_ms(u64::MAX);

/// The newest of what several lists, each the newest first, have next.
fn next_newest<T: Copy + Ord>(
    lists: &mut [Peekable<impl Iterator<Item = Result<T, ReadError>>>],
) -> Result<Option<T>, ReadError> {
    let mut newest: Option<(usize, T)> = None;
    for (number, list) in lists.iter_mut().enumerate() {
        match list.peek() {
            Some(Ok(next)) if newest.is_none_or(|(_, newest)| *next > newest) => newest = Some((number, *next)),
            Some(Ok(_)) | None => {}
            Some(Err(_)) => return list.next().transpose(),
        }
    }
    newest.map_or(Ok(None), |(number, _)| lists[number].next().transpose())
}
