//! One write transaction and what is done in it: operations, each seeing those before it, and the sweeping of what has expired.

use std::{
    ops::Bound,
    sync::atomic::{AtomicU64, Ordering},
};

use redb::{ReadableTable, Table, WriteTransaction};

use super::{
    codec::{self, CodecError, KeptKey, Life},
    file::{KEPT, NAMES, OPEN},
    reservations::Reservations,
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
///
/// A name is in `open` or in `names`, never in both.
pub(super) struct Batch<'txn> {
    open: Table<'txn, &'static [u8; RecordName::LEN], &'static [u8]>,
    names: Table<'txn, &'static [u8; RecordName::LEN], &'static [u8; KeptKey::LEN]>,
    kept: Table<'txn, &'static [u8; KeptKey::LEN], &'static [u8]>,
    txn: &'txn WriteTransaction,
    /// Opened when the first is touched: most batches have none.
    reservations: Option<Reservations<'txn>>,
    sagas: Option<sagas::Tables<'txn>>,
    /// The time of every operation in the batch.
    pub(super) now: Timestamp,
    life: Life,
    numbers: &'txn Numbers,
    effects: Effects,
}

/// Gives every settled record of this life a number of its own. One that was given is not given again, not even where its transaction
/// failed: it may be in the file.
#[derive(Debug, Default)]
pub(super) struct Numbers(AtomicU64);

impl Numbers {
    fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

/// Where a record lies.
#[derive(Clone, Copy, Debug)]
enum Place {
    Open,
    Kept(KeptKey),
}

/// How far the table of open records has been looked through for what has expired. They are few, and have no index: every look begins
/// anew some time after the last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct OpenPass {
    /// The last one looked at.
    after: Option<RecordName>,
    /// The period for which it is done.
    done: u64,
}

impl OpenPass {
    /// The number of the period of a time: 17 minutes long.
    fn period(now: Timestamp) -> u64 {
        codec::bucket(now) >> 6
    }

    pub(super) fn is_due(self, now: Timestamp) -> bool {
        Self::period(now) > self.done
    }
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
    pub(super) fn begin(
        txn: &'txn WriteTransaction,
        life: Life,
        numbers: &'txn Numbers,
        now: Timestamp,
    ) -> Result<Self, redb::TableError> {
        Ok(Self {
            open: txn.open_table(OPEN)?,
            names: txn.open_table(NAMES)?,
            kept: txn.open_table(KEPT)?,
            txn,
            reservations: None,
            sagas: None,
            now,
            life,
            numbers,
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
        let (place, stored) = self.record(name)?.unzip();
        let step = rule(stored.as_ref().and_then(|record| record.live(self.now)), self.now);
        match step.write {
            Write::Nothing => return Ok(step.outcome),
            Write::Put(record) => self.put(name, &record, place)?,
            Write::Delete => self.delete(name, place)?,
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
        let [step, own] = [0, 1].map(|at| stored[at].as_ref().and_then(|(_, record)| record.live(self.now)));
        let both = transition::undo(step, own, undo, remembers_since, self.now);
        // Waiters are not registered here: whoever waits for the step is woken when it is sealed.
        if matches!(&both.step, Write::Put(record) if record.state == State::Sealed) {
            self.effects.wake.push(undo.step);
        }
        for (at, write) in [both.step, both.own].into_iter().enumerate() {
            let place = stored[at].as_ref().map(|(place, _)| *place);
            match write {
                Write::Nothing => {}
                Write::Put(record) => self.put(names[at], &record, place)?,
                Write::Delete => self.delete(names[at], place)?,
            }
        }
        Ok(both.outcome)
    }

    /// Deletes a record, even one that cannot be read; `false` if there is none.
    pub(super) fn forget(&mut self, name: RecordName) -> Result<bool, ApplyError> {
        let was_live = match self.record(name) {
            Ok(None) => return Ok(false),
            Ok(Some((_, record))) => record.live(self.now).is_some(),
            Err(ApplyError::Unreadable(_)) => true,
            Err(broken) => return Err(broken),
        };
        let place = self.place(name)?;
        self.delete(name, place)?;
        self.effects.wake.push(name);
        Ok(was_live)
    }

    /// The reservation, expired or not.
    pub(super) fn reservation(&mut self, name: RecordName) -> Result<Option<Reservation>, ApplyError> {
        self.reservations()?.get(name)
    }

    pub(super) fn put_reservation(&mut self, name: RecordName, reservation: &Reservation) -> Result<(), ApplyError> {
        self.effects.written = true;
        self.reservations()?.put(name, reservation)
    }

    pub(super) fn delete_reservation(&mut self, name: RecordName, expires_at: Timestamp) -> Result<(), ApplyError> {
        self.effects.written = true;
        self.reservations()?.delete(name, expires_at)
    }

    /// Deletes up to `at_most` each of settled records, open records, reservations, sagas and entries of their journals that have
    /// expired; whether there may be more.
    pub(super) fn sweep(&mut self, at_most: usize, pass: &mut OpenPass) -> Result<bool, ApplyError> {
        let kept = self.sweep_kept(at_most)?;
        let open = if pass.is_due(self.now) { self.sweep_open(at_most, pass)? } else { 0 };
        let now = self.now;
        let reserved = self.reservations()?.sweep(at_most, now)?;
        self.effects.written |= reserved > 0;
        self.effects.swept += u64::try_from(reserved).unwrap_or(u64::MAX);
        Ok(self.sagas()?.sweep(at_most)? || kept.max(open).max(reserved) == at_most)
    }

    /// How many settled records were deleted.
    fn sweep_kept(&mut self, at_most: usize) -> Result<usize, ApplyError> {
        let end = KeptKey::first_of(codec::bucket(self.now));
        let mut due = Vec::new();
        for entry in self.kept.range::<&[u8; KeptKey::LEN]>(..end.as_bytes())?.take(at_most) {
            let (key, value) = entry?;
            due.push((*key.value(), codec::split_kept(value.value()).map(|(name, _)| name)));
        }
        for (key, name) in &due {
            match name {
                Ok(name) => drop(self.names.remove(name.as_bytes())?),
                Err(error) => tracing::error!(%error, "an unreadable value is deleted at its end"),
            }
            self.kept.remove(key)?;
            self.effects.written = true;
            self.effects.swept += 1;
        }
        Ok(due.len())
    }

    /// How many open records were looked at.
    fn sweep_open(&mut self, at_most: usize, pass: &mut OpenPass) -> Result<usize, ApplyError> {
        let from = pass.after.as_ref().map_or(Bound::Unbounded, |name| Bound::Excluded(name.as_bytes()));
        let (mut looked_at, mut expired) = (0, Vec::new());
        for entry in self.open.range::<&[u8; RecordName::LEN]>((from, Bound::Unbounded))?.take(at_most) {
            let (key, value) = entry?;
            looked_at += 1;
            let name = RecordName::from_bytes(*key.value());
            pass.after = Some(name);
            match codec::decode_record_expiry(value.value()) {
                Ok(at) if at > self.now => {}
                Ok(_) => expired.push(name),
                Err(error) => tracing::error!(record = name.short(), %error, "an unreadable record stays until it is forgotten"),
            }
        }
        if looked_at < at_most {
            *pass = OpenPass { after: None, done: OpenPass::period(self.now) };
        }
        for name in expired {
            self.open.remove(name.as_bytes())?;
            self.effects.written = true;
            self.effects.swept += 1;
        }
        Ok(looked_at)
    }

    fn reservations(&mut self) -> Result<&mut Reservations<'txn>, ApplyError> {
        let opened = match self.reservations.take() {
            Some(opened) => opened,
            None => Reservations::open(self.txn)?,
        };
        Ok(self.reservations.insert(opened))
    }

    fn place(&self, name: RecordName) -> Result<Option<Place>, ApplyError> {
        if self.open.get(name.as_bytes())?.is_some() {
            return Ok(Some(Place::Open));
        }
        Ok(self.names.get(name.as_bytes())?.map(|key| Place::Kept(KeptKey::from_bytes(key.value()))))
    }

    /// The record as it is in this life, expired or not.
    fn record(&self, name: RecordName) -> Result<Option<(Place, Record)>, ApplyError> {
        if let Some(value) = self.open.get(name.as_bytes())? {
            let (written_in, record) = codec::decode_record(value.value())?;
            return Ok(Some((Place::Open, self.life.adopt(written_in, record))));
        }
        let Some(key) = self.names.get(name.as_bytes())? else { return Ok(None) };
        let Some(value) = self.kept.get(key.value())? else { return Err(CodecError::Empty.into()) };
        let (written_in, record) = codec::decode_record(codec::split_kept(value.value())?.1)?;
        Ok(Some((Place::Kept(KeptKey::from_bytes(key.value())), self.life.adopt(written_in, record))))
    }

    fn put(&mut self, name: RecordName, record: &Record, place: Option<Place>) -> Result<(), ApplyError> {
        let life = self.life.number;
        if let State::Open(_) = record.state {
            let value = codec::encode_record(life, record)?;
            if let Some(Place::Kept(_)) = place {
                self.delete(name, place)?;
            }
            self.open.insert(name.as_bytes(), value.as_slice())?;
        } else {
            let value = codec::encode_kept(life, name, record)?;
            let key = match place {
                Some(Place::Kept(key)) if key.is_of(record.expires_at) => key,
                elsewhere => {
                    self.delete(name, elsewhere)?;
                    let key = KeptKey::new(record.expires_at, life, self.numbers.next());
                    self.names.insert(name.as_bytes(), key.as_bytes())?;
                    key
                }
            };
            self.kept.insert(key.as_bytes(), value.as_slice())?;
        }
        self.effects.written = true;
        Ok(())
    }

    fn delete(&mut self, name: RecordName, place: Option<Place>) -> Result<(), ApplyError> {
        match place {
            None => return Ok(()),
            Some(Place::Open) => drop(self.open.remove(name.as_bytes())?),
            Some(Place::Kept(key)) => {
                self.names.remove(name.as_bytes())?;
                self.kept.remove(key.as_bytes())?;
            }
        }
        self.effects.written = true;
        Ok(())
    }
}
