//! Reservations in a write transaction. Most have none: their tables are opened when they are first touched.

use redb::{ReadableTable, Table, TableError, WriteTransaction};

use super::{
    batch::ApplyError,
    codec::{self, ExpiryKey},
    file::{RESERVATION_ENDS, RESERVATIONS},
};
use crate::{ids::RecordName, store::reservation::Reservation, time::Timestamp};

/// The tables of reservations. The index has exactly one entry for each.
pub(super) struct Reservations<'txn> {
    by_name: Table<'txn, &'static [u8; RecordName::LEN], &'static [u8]>,
    ends: Table<'txn, &'static [u8; ExpiryKey::LEN], ()>,
}

impl<'txn> Reservations<'txn> {
    pub(super) fn open(txn: &'txn WriteTransaction) -> Result<Self, TableError> {
        Ok(Self { by_name: txn.open_table(RESERVATIONS)?, ends: txn.open_table(RESERVATION_ENDS)? })
    }

    /// The reservation, expired or not.
    pub(super) fn get(&self, name: RecordName) -> Result<Option<Reservation>, ApplyError> {
        let Some(value) = self.by_name.get(name.as_bytes())? else { return Ok(None) };
        Ok(Some(codec::decode_reservation(value.value())?))
    }

    pub(super) fn put(&mut self, name: RecordName, reservation: &Reservation) -> Result<(), ApplyError> {
        if let Some(replaced) = self.get(name)? {
            self.ends.remove(&ExpiryKey::to_bytes(replaced.expires_at, name))?;
        }
        self.by_name.insert(name.as_bytes(), codec::encode_reservation(reservation)?.as_slice())?;
        self.ends.insert(&ExpiryKey::to_bytes(reservation.expires_at, name), ())?;
        Ok(())
    }

    pub(super) fn delete(&mut self, name: RecordName, expires_at: Timestamp) -> Result<(), ApplyError> {
        self.by_name.remove(name.as_bytes())?;
        self.ends.remove(&ExpiryKey::to_bytes(expires_at, name))?;
        Ok(())
    }

    /// Deletes up to `at_most` that have expired; how many there were.
    pub(super) fn sweep(&mut self, at_most: usize, now: Timestamp) -> Result<usize, ApplyError> {
        let end = ExpiryKey::first_of(codec::bucket(now));
        let due = self.ends.range::<&[u8; ExpiryKey::LEN]>(..&end)?.take(at_most);
        let due: Vec<[u8; ExpiryKey::LEN]> = due.map(|entry| entry.map(|(key, _)| *key.value())).collect::<Result<_, _>>()?;
        for key in &due {
            self.ends.remove(key)?;
            self.by_name.remove(ExpiryKey::name(key).as_bytes())?;
        }
        Ok(due.len())
    }
}
