//! One write transaction and what is done in it: operations, each seeing those before it, and the sweeping of what has expired.

use redb::{ReadableTable, Table, WriteTransaction};

use super::{
    codec::{self, CodecError, ExpiryKey, Kind, Life},
    file::{EXPIRY, RECORDS, RESERVATIONS},
    sagas,
};
use crate::{
    ids::RecordName,
    store::{
        StoreError, Undo, Undone,
        reservation::Reservation,
        transition::{self, Record, State, Step, Write},
    },
    time::Timestamp,
};

/// Why an operation was not applied.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApplyError {
    /// This operation alone cannot be done.
    #[error(transparent)]
    Unreadable(#[from] CodecError),
    /// The transaction is lost, with all that is in it.
    #[error(transparent)]
    Broken(#[from] Box<redb::Error>),
}

impl From<redb::StorageError> for ApplyError {
    fn from(error: redb::StorageError) -> Self {
        Self::Broken(Box::new(error.into()))
    }
}

impl From<redb::TableError> for ApplyError {
    fn from(error: redb::TableError) -> Self {
        Self::Broken(Box::new(error.into()))
    }
}

/// The answer to an operation, or a broken transaction.
pub(super) fn answer<T>(applied: Result<T, ApplyError>) -> Result<Result<T, StoreError>, Box<redb::Error>> {
    match applied {
        Ok(outcome) => Ok(Ok(outcome)),
        Err(ApplyError::Unreadable(error)) => Ok(Err(StoreError::Corrupt(error.to_string()))),
        Err(ApplyError::Broken(error)) => Err(error),
    }
}

/// Whether a written step ends somebody's waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wake {
    /// The record stays in flight, or begins to be.
    Nobody,
    /// The record leaves "in flight", or the probe of it ends.
    Waiters,
}

/// The tables of one write transaction.
pub(super) struct Batch<'txn> {
    records: Table<'txn, &'static [u8; RecordName::LEN], &'static [u8]>,
    reservations: Table<'txn, &'static [u8; RecordName::LEN], &'static [u8]>,
    expiry: Table<'txn, &'static [u8; ExpiryKey::LEN], ()>,
    txn: &'txn WriteTransaction,
    /// Opened when a saga is first touched: most batches have none.
    sagas: Option<sagas::Tables<'txn>>,
    /// The time of every operation in the batch.
    pub(super) now: Timestamp,
    life: Life,
    effects: Effects,
}

/// What a batch has done.
#[derive(Debug, Default)]
pub(super) struct Effects {
    /// Whether there is anything to commit.
    pub(super) written: bool,
    /// Whom to wake after the commit.
    pub(super) wake: Vec<RecordName>,
    /// How many expired entries were deleted.
    pub(super) swept: u64,
}

impl<'txn> Batch<'txn> {
    pub(super) fn begin(txn: &'txn WriteTransaction, life: Life, now: Timestamp) -> Result<Self, redb::TableError> {
        Ok(Self {
            records: txn.open_table(RECORDS)?,
            reservations: txn.open_table(RESERVATIONS)?,
            expiry: txn.open_table(EXPIRY)?,
            txn,
            sagas: None,
            now,
            life,
            effects: Effects::default(),
        })
    }

    /// Closes the tables, so that the transaction can be committed.
    pub(super) fn finish(self) -> Effects {
        let mut effects = self.effects;
        if let Some(sagas) = self.sagas.map(sagas::Tables::finish) {
            effects.written |= sagas.written;
            effects.wake.extend(sagas.wake);
            effects.swept += sagas.swept;
        }
        effects
    }

    /// The tables of sagas.
    pub(super) fn sagas(&mut self) -> Result<&mut sagas::Tables<'txn>, ApplyError> {
        let opened = match self.sagas.take() {
            Some(opened) => opened,
            None => sagas::Tables::open(self.txn, self.life, self.now)?,
        };
        Ok(self.sagas.insert(opened))
    }

    /// One transition of one record.
    pub(super) fn step<T>(
        &mut self,
        name: RecordName,
        wake: Wake,
        rule: impl FnOnce(Option<&Record>, Timestamp) -> Step<T>,
    ) -> Result<T, ApplyError> {
        let stored = self.record(name)?;
        let step = rule(stored.as_ref().and_then(|record| record.live(self.now)), self.now);
        let indexed = stored.map(|record| record.expires_at);
        match step.write {
            Write::Nothing => return Ok(step.outcome),
            Write::Put(record) => self.put(name, &record, indexed)?,
            Write::Delete => self.delete(name, indexed)?,
        }
        if wake == Wake::Waiters {
            self.effects.wake.push(name);
        }
        Ok(step.outcome)
    }

    /// [`transition::undo`]: one transition of two records.
    pub(super) fn undo(&mut self, undo: &Undo, remembers_since: Timestamp) -> Result<Undone, ApplyError> {
        let names = [undo.step, undo.claim.name];
        let stored = [self.record(names[0])?, self.record(names[1])?];
        let [step, own] = [0, 1].map(|at| stored[at].as_ref().and_then(|record| record.live(self.now)));
        let both = transition::undo(step, own, undo, remembers_since, self.now);
        // Waiters are not registered here: whoever waits for the step is woken when it is sealed.
        if matches!(&both.step, Write::Put(record) if record.state == State::Sealed) {
            self.effects.wake.push(undo.step);
        }
        for (at, write) in [both.step, both.own].into_iter().enumerate() {
            let indexed = stored[at].as_ref().map(|record| record.expires_at);
            match write {
                Write::Nothing => {}
                Write::Put(record) => self.put(names[at], &record, indexed)?,
                Write::Delete => self.delete(names[at], indexed)?,
            }
        }
        Ok(both.outcome)
    }

    /// Deletes a record, even one that cannot be read; `false` if there is none.
    pub(super) fn forget(&mut self, name: RecordName) -> Result<bool, ApplyError> {
        let was_live = match self.record(name) {
            Ok(None) => return Ok(false),
            Ok(Some(record)) => {
                self.delete(name, Some(record.expires_at))?;
                record.live(self.now).is_some()
            }
            // Its index entry stays, and the sweeper drops it when it is due.
            Err(ApplyError::Unreadable(_)) => {
                self.delete(name, None)?;
                true
            }
            Err(broken) => return Err(broken),
        };
        self.effects.wake.push(name);
        Ok(was_live)
    }

    /// The reservation, expired or not.
    pub(super) fn reservation(&self, name: RecordName) -> Result<Option<Reservation>, ApplyError> {
        let Some(value) = self.reservations.get(name.as_bytes())? else { return Ok(None) };
        Ok(Some(codec::decode_reservation(value.value())?))
    }

    pub(super) fn put_reservation(&mut self, name: RecordName, reservation: &Reservation) -> Result<(), ApplyError> {
        let replaced = self.reservation(name)?.map(|old| old.expires_at);
        self.effects.written = true;
        self.reservations.insert(name.as_bytes(), codec::encode_reservation(reservation)?.as_slice())?;
        self.index(name, Kind::Reservation, replaced, Some(reservation.expires_at))
    }

    pub(super) fn delete_reservation(&mut self, name: RecordName, expires_at: Timestamp) -> Result<(), ApplyError> {
        self.effects.written = true;
        self.reservations.remove(name.as_bytes())?;
        self.index(name, Kind::Reservation, Some(expires_at), None)
    }

    /// Deletes up to `at_most` expired entries, and as many ended sagas and entries of their journals; whether there may be more.
    pub(super) fn sweep(&mut self, at_most: usize) -> Result<bool, ApplyError> {
        let end = codec::bucket(self.now).to_be_bytes();
        let mut bound = [0; ExpiryKey::LEN];
        bound[..end.len()].copy_from_slice(&end);
        let entries = self.expiry.range::<&[u8; ExpiryKey::LEN]>(..&bound)?.take(at_most);
        let due: Vec<[u8; ExpiryKey::LEN]> = entries.map(|entry| entry.map(|(key, _)| *key.value())).collect::<Result<_, _>>()?;
        for key in &due {
            self.effects.written = true;
            self.expiry.remove(key)?;
            if let Some(key) = ExpiryKey::from_bytes(key) {
                self.sweep_entry(key)?;
            }
        }
        Ok(self.sagas()?.sweep(at_most)? || due.len() == at_most)
    }

    fn sweep_entry(&mut self, key: ExpiryKey) -> Result<(), ApplyError> {
        let table = match key.kind {
            Kind::Record => &mut self.records,
            Kind::Reservation => &mut self.reservations,
        };
        let expires_at = match (table.get(key.name.as_bytes())?, key.kind) {
            (None, _) => return Ok(()),
            (Some(value), Kind::Record) => codec::decode_record_expiry(value.value()),
            (Some(value), Kind::Reservation) => {
                codec::decode_reservation(value.value()).map(|reservation| reservation.expires_at)
            }
        };
        match expires_at {
            // The entry of an earlier, unreadable value under this name; the value has one of its own.
            Ok(at) if at > self.now => return Ok(()),
            Ok(_) => {}
            Err(error) => tracing::error!(record = key.name.short(), %error, "an unreadable value is deleted at its end"),
        }
        table.remove(key.name.as_bytes())?;
        self.effects.swept += 1;
        Ok(())
    }

    /// The record as it is in this life, expired or not.
    fn record(&self, name: RecordName) -> Result<Option<Record>, ApplyError> {
        let Some(value) = self.records.get(name.as_bytes())? else { return Ok(None) };
        let (written_in, record) = codec::decode_record(value.value())?;
        Ok(Some(self.life.adopt(written_in, record)))
    }

    fn put(&mut self, name: RecordName, record: &Record, indexed: Option<Timestamp>) -> Result<(), ApplyError> {
        let value = codec::encode_record(self.life.number, record)?;
        self.effects.written = true;
        self.records.insert(name.as_bytes(), value.as_slice())?;
        self.index(name, Kind::Record, indexed, Some(record.expires_at))
    }

    fn delete(&mut self, name: RecordName, indexed: Option<Timestamp>) -> Result<(), ApplyError> {
        self.effects.written = true;
        self.records.remove(name.as_bytes())?;
        self.index(name, Kind::Record, indexed, None)
    }

    /// Moves the entry of the expiry index, if its bucket is another one.
    fn index(&mut self, name: RecordName, kind: Kind, old: Option<Timestamp>, new: Option<Timestamp>) -> Result<(), ApplyError> {
        let [old, new] = [old, new].map(|at| at.map(|at| ExpiryKey::new(at, kind, name)));
        if old == new {
            return Ok(());
        }
        if let Some(old) = old {
            self.expiry.remove(&old.to_bytes())?;
        }
        if let Some(new) = new {
            self.expiry.insert(&new.to_bytes(), ())?;
        }
        Ok(())
    }
}
