//! The file: how it is opened, what it holds, and how it is read.
//!
//! A record that is in flight or unknown is in `open`, by its name: a small table, so that the claims of one commit change few pages. One
//! that is settled is in `kept`, in the order of its end (see [`KeptKey`]), and `names` says where. `reservations` has an index of
//! their ends; `meta` has layout, hash key, life and clock. And there are the tables of the sagas, see [`sagas`].

use std::{
    fs::{DirBuilder, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

use redb::{
    Builder, Database, DatabaseError, ReadOnlyTable, ReadTransaction, ReadableDatabase, ReadableTable, ReadableTableMetadata,
    StorageError, TableDefinition, TableHandle, WriteTransaction,
};

use super::{
    codec::{self, CodecError, ExpiryKey, KeptKey, Life, meta},
    sagas,
};
use crate::{
    ids::{HashKey, RecordName},
    store::{clock::StoreClock, reservation::Reservation, transition::Record},
    time::Timestamp,
};

pub(super) const OPEN: TableDefinition<'_, &[u8; RecordName::LEN], &[u8]> = TableDefinition::new("open");
pub(super) const NAMES: TableDefinition<'_, &[u8; RecordName::LEN], &[u8; KeptKey::LEN]> = TableDefinition::new("names");
pub(super) const KEPT: TableDefinition<'_, &[u8; KeptKey::LEN], &[u8]> = TableDefinition::new("kept");
pub(super) const RESERVATIONS: TableDefinition<'_, &[u8; RecordName::LEN], &[u8]> = TableDefinition::new("reservations");
pub(super) const RESERVATION_ENDS: TableDefinition<'_, &[u8; ExpiryKey::LEN], ()> = TableDefinition::new("reservation-ends");
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");

/// The layout of the tables.
const LAYOUT: u32 = 2;
/// How much of the file the engine keeps in memory, in bytes; the operating system's page cache lies behind it.
const CACHE_BYTES: usize = 64 << 20;
/// A file is compacted at open only above this length, in bytes…
const COMPACT_ABOVE_BYTES: u64 = 64 << 20;
/// …with at most this many records and entries of journals, so that looking and moving take a bounded time…
const COMPACT_RECORDS: u64 = 20_000;
/// …and if it is more than this many times as long as what it holds.
const COMPACT_RATIO: u64 = 4;

/// Why the file could not be opened. Each says what to look at.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The path names a directory or another thing that is not a file.
    #[error("{} is not a regular file", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// The directory of the file could not be made.
    #[error("the directory {} cannot be created: {error}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// The reason.
        error: io::Error,
    },
    /// The file could not be created, read or written.
    #[error("{} cannot be opened: {error}", path.display())]
    Io {
        /// The path.
        path: PathBuf,
        /// The reason.
        error: io::Error,
    },
    /// The file is locked.
    #[error("another process has {} open (or this one has it open twice); an embedded store belongs to one process", path.display())]
    InUse {
        /// The path.
        path: PathBuf,
    },
    /// The file is something else.
    #[error("{} is not a store of this program: {reason}", path.display())]
    NotAStore {
        /// The path.
        path: PathBuf,
        /// What it is instead.
        reason: String,
    },
    /// The file was written by a later version.
    #[error("{} has layout {found}, and this program reads layout {LAYOUT}", path.display())]
    Layout {
        /// The path.
        path: PathBuf,
        /// The layout that it has.
        found: u32,
    },
    /// The file is damaged.
    #[error("{} is damaged: {reason}", path.display())]
    Damaged {
        /// The path.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
    /// The file was replaced by another store while this process ran.
    #[error("{} is not the file it was: its hash key is another", path.display())]
    Replaced {
        /// The path.
        path: PathBuf,
    },
    /// The writer's thread could not be started.
    #[error("no thread for the writer: {0}")]
    Thread(io::Error),
}

/// An opened file.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) db: Database,
    pub(super) hash_key: HashKey,
    pub(super) life: Life,
    /// The clock, set forward to what the file remembers.
    pub(super) clock: StoreClock,
    /// Since when nothing that was acknowledged is lost: as far as is known, since the file was made.
    pub(super) remembers_since: Timestamp,
    /// What an operator should know.
    pub(super) warnings: Vec<String>,
}

/// Opens the file, or creates it, and begins a new life. Blocks: after a crash the engine verifies the whole file.
pub(super) fn open(path: &Path, clock: StoreClock) -> Result<Opened, OpenError> {
    let warnings = prepare(path)?;
    let mut db = guarded(path, || {
        let report = |session: &mut redb::RepairSession| {
            tracing::warn!(progress = session.progress(), "the store was not closed cleanly; its file is being verified");
        };
        Builder::new().set_cache_size(CACHE_BYTES).set_repair_callback(report).create(path).map_err(|error| refused(path, error))
    })?;
    guarded(path, || {
        let is_new = check_layout(&db, path)?;
        if !is_new {
            compact_if_worth_it(&mut db, path).map_err(|error| damaged(path, error))?;
        }
        begin_life(&db, clock).map_err(|error| damaged(path, error))
    })
    .map(|(hash_key, life, clock, remembers_since)| Opened { db, hash_key, life, clock, remembers_since, warnings })
}

/// Opens the file again after a failure in this process. The life goes on, unless another process had the file in between.
pub(super) fn reopen(path: &Path, hash_key: HashKey, life: Life, now: Timestamp) -> Result<(Database, Life), OpenError> {
    guarded(path, || {
        let db = Builder::new().set_cache_size(CACHE_BYTES).open(path).map_err(|error| refused(path, error))?;
        check_layout(&db, path)?;
        let (found_key, found_life) = read_identity(&db).map_err(|error| damaged(path, error))?;
        if found_key != Some(hash_key) {
            return Err(OpenError::Replaced { path: path.to_owned() });
        }
        if found_life == life.number {
            return Ok((db, life));
        }
        let next = Life { number: found_life.max(life.number).saturating_add(1), since: now };
        write_life(&db, next).map_err(|error| damaged(path, error))?;
        Ok((db, next))
    })
}

/// Writes the clock along with a transaction's other work.
pub(super) fn persist_clock(txn: &WriteTransaction, now: Timestamp) -> Result<(), redb::Error> {
    let mut table = txn.open_table(META)?;
    table.insert(meta::CLOCK, now.as_unix_ms().to_be_bytes().as_slice())?;
    Ok(())
}

/// Writes that what was acknowledged before `since` may be lost.
pub(super) fn persist_loss(db: &Database, since: Timestamp) -> Result<(), redb::Error> {
    let txn = db.begin_write()?;
    txn.open_table(META)?.insert(meta::REMEMBERS_SINCE, since.as_unix_ms().to_be_bytes().as_slice())?;
    Ok(txn.commit()?)
}

/// Why a read failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error(transparent)]
    Codec(#[from] CodecError),
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// What the last commit left, readable from any thread without a lock.
pub(super) struct Snapshot {
    open: ReadOnlyTable<&'static [u8; RecordName::LEN], &'static [u8]>,
    names: ReadOnlyTable<&'static [u8; RecordName::LEN], &'static [u8; KeptKey::LEN]>,
    kept: ReadOnlyTable<&'static [u8; KeptKey::LEN], &'static [u8]>,
    /// For what is read more seldom.
    txn: ReadTransaction,
    life: Life,
}

impl Snapshot {
    pub(super) fn take(db: &Database, life: Life) -> Result<Self, redb::Error> {
        let txn = db.begin_read()?;
        Ok(Self { open: txn.open_table(OPEN)?, names: txn.open_table(NAMES)?, kept: txn.open_table(KEPT)?, txn, life })
    }

    /// The commit itself, and the life it is read in.
    pub(super) fn transaction(&self) -> (&ReadTransaction, Life) {
        (&self.txn, self.life)
    }

    /// The record, expired or not.
    pub(super) fn record(&self, name: RecordName) -> Result<Option<Record>, ReadError> {
        let kept;
        let open;
        let value = match ReadableTable::get(&self.names, name.as_bytes())? {
            Some(key) => {
                kept = ReadableTable::get(&self.kept, key.value())?.ok_or(CodecError::Empty)?;
                codec::split_kept(kept.value())?.1
            }
            None => {
                let Some(found) = ReadableTable::get(&self.open, name.as_bytes())? else { return Ok(None) };
                open = found;
                open.value()
            }
        };
        let (written_in, record) = codec::decode_record(value)?;
        Ok(Some(self.life.adopt(written_in, record)))
    }

    /// The reservation, expired or not.
    pub(super) fn reservation(&self, name: RecordName) -> Result<Option<Reservation>, ReadError> {
        let table = self.txn.open_table(RESERVATIONS)?;
        let Some(value) = ReadableTable::get(&table, name.as_bytes())? else { return Ok(None) };
        Ok(Some(codec::decode_reservation(value.value())?))
    }
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot").field("life", &self.life).finish_non_exhaustive()
    }
}

/// Checks the path, creates what is missing (directories 0700, the file 0600) and makes the names durable.
fn prepare(path: &Path) -> Result<Vec<String>, OpenError> {
    let io_error = |error| OpenError::Io { path: path.to_owned(), error };
    match std::fs::metadata(path) {
        Ok(found) if !found.is_file() => return Err(OpenError::NotAFile { path: path.to_owned() }),
        Ok(found) => {
            let mode = found.permissions().mode() & 0o777;
            let open_to_others = mode & 0o077 != 0;
            let warning = || format!("{} has mode {mode:03o}: others than its owner can reach stored replies", path.display());
            return Ok(open_to_others.then(warning).into_iter().collect());
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(io_error(error)),
    }
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    };
    let directory_error = |error| OpenError::Directory { path: parent.to_owned(), error };
    let missing: Vec<&Path> = parent.ancestors().take_while(|dir| !dir.as_os_str().is_empty() && !dir.exists()).collect();
    DirBuilder::new().recursive(true).mode(0o700).create(parent).map_err(directory_error)?;
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path).map_err(io_error)?;
    // A name is durable once the directory that holds it is synced.
    let holders = missing.iter().filter_map(|dir| dir.parent()).filter(|dir| !dir.as_os_str().is_empty());
    for dir in std::iter::once(parent).chain(holders) {
        File::open(dir).and_then(|dir| dir.sync_all()).map_err(directory_error)?;
    }
    Ok(Vec::new())
}

/// The engine may panic on a file that was damaged from outside: that is an error here.
fn guarded<T>(path: &Path, work: impl FnOnce() -> Result<T, OpenError>) -> Result<T, OpenError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        Err(OpenError::Damaged { path: path.to_owned(), reason: "the engine stumbled over its content".to_owned() })
    })
}

fn refused(path: &Path, error: DatabaseError) -> OpenError {
    let path = path.to_owned();
    match error {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => OpenError::InUse { path },
        DatabaseError::Storage(StorageError::Io(error)) if error.kind() == io::ErrorKind::InvalidData => {
            OpenError::NotAStore { path, reason: error.to_string() }
        }
        DatabaseError::Storage(StorageError::Io(error)) => OpenError::Io { path, error },
        error @ DatabaseError::UpgradeRequired(_) => OpenError::NotAStore { path, reason: error.to_string() },
        error => OpenError::Damaged { path, reason: error.to_string() },
    }
}

fn damaged(path: &Path, error: redb::Error) -> OpenError {
    let path = path.to_owned();
    match error {
        redb::Error::Io(error) => OpenError::Io { path, error },
        error => OpenError::Damaged { path, reason: error.to_string() },
    }
}

/// Whether the file is new; an error, if it is somebody else's or of another layout.
fn check_layout(db: &Database, path: &Path) -> Result<bool, OpenError> {
    let found = (|| {
        let txn = db.begin_read()?;
        let tables: Vec<String> = txn.list_tables()?.map(|table| table.name().to_owned()).collect();
        if !tables.iter().any(|name| name == META.name()) {
            return Ok((tables.is_empty(), None));
        }
        let layout = txn.open_table(META)?.get(meta::LAYOUT)?.and_then(|value| value.value().try_into().ok());
        Ok((false, layout.map(u32::from_be_bytes)))
    })()
    .map_err(|error| damaged(path, error))?;
    match found {
        (true, _) => Ok(true),
        (false, Some(LAYOUT)) => Ok(false),
        (false, Some(found)) => Err(OpenError::Layout { path: path.to_owned(), found }),
        (false, None) => {
            Err(OpenError::NotAStore { path: path.to_owned(), reason: "it is a database with other tables".to_owned() })
        }
    }
}

/// Space that expired records leave is used again, but the file keeps the length it once had. It is cut here, if that is worth it
/// and takes a bounded time.
fn compact_if_worth_it(db: &mut Database, path: &Path) -> Result<(), redb::Error> {
    let length = std::fs::metadata(path).map_err(redb::Error::Io)?.len();
    if length <= COMPACT_ABOVE_BYTES {
        return Ok(());
    }
    let txn = db.begin_read()?;
    let records = txn.open_table(OPEN)?.len()?.saturating_add(txn.open_table(KEPT)?.len()?);
    let entries = records.saturating_add(sagas::rows(&txn)?);
    // Compacting needs the database for itself.
    txn.close().map_err(redb::Error::from)?;
    if entries > COMPACT_RECORDS {
        return Ok(());
    }
    let txn = db.begin_write()?;
    let stats = txn.stats()?;
    txn.abort()?;
    if length / COMPACT_RATIO > stats.stored_bytes() {
        let compacted = db.compact()?;
        tracing::info!(length_bytes = length, stored_bytes = stats.stored_bytes(), compacted, "the store's file was compacted");
    }
    Ok(())
}

fn begin_life(db: &Database, clock: StoreClock) -> Result<(HashKey, Life, StoreClock, Timestamp), redb::Error> {
    let txn = db.begin_write()?;
    let begun = {
        txn.open_table(OPEN)?;
        txn.open_table(NAMES)?;
        txn.open_table(KEPT)?;
        txn.open_table(RESERVATIONS)?;
        txn.open_table(RESERVATION_ENDS)?;
        sagas::create_tables(&txn)?;
        let mut table = txn.open_table(META)?;
        let clock = match number(&table, meta::CLOCK)? {
            Some(ms) => clock.not_before(Timestamp::from_unix_ms(ms)),
            None => clock,
        };
        let hash_key = stored_hash_key(&table)?.unwrap_or_else(HashKey::random);
        let number = number(&table, meta::LIFE)?.unwrap_or(0).saturating_add(1);
        let life = Life { number, since: clock.now() };
        let since = self::number(&table, meta::REMEMBERS_SINCE)?.map_or(life.since, Timestamp::from_unix_ms);
        table.insert(meta::REMEMBERS_SINCE, since.as_unix_ms().to_be_bytes().as_slice())?;
        table.insert(meta::LAYOUT, LAYOUT.to_be_bytes().as_slice())?;
        table.insert(meta::HASH_KEY, hash_key.as_bytes().as_slice())?;
        table.insert(meta::LIFE, life.number.to_be_bytes().as_slice())?;
        table.insert(meta::CLOCK, life.since.as_unix_ms().to_be_bytes().as_slice())?;
        (hash_key, life, clock, since)
    };
    txn.commit()?;
    Ok(begun)
}

fn write_life(db: &Database, life: Life) -> Result<(), redb::Error> {
    let txn = db.begin_write()?;
    txn.open_table(META)?.insert(meta::LIFE, life.number.to_be_bytes().as_slice())?;
    Ok(txn.commit()?)
}

fn read_identity(db: &Database) -> Result<(Option<HashKey>, u64), redb::Error> {
    let table = db.begin_read()?.open_table(META)?;
    Ok((stored_hash_key(&table)?, number(&table, meta::LIFE)?.unwrap_or(0)))
}

/// `None` where there is none yet; a hash key of another length is damage, for a new one would forget every record.
fn stored_hash_key(table: &impl ReadableTable<&'static str, &'static [u8]>) -> Result<Option<HashKey>, redb::Error> {
    let Some(value) = table.get(meta::HASH_KEY)? else { return Ok(None) };
    let key = HashKey::from_slice(value.value());
    key.map(Some).ok_or_else(|| redb::Error::Corrupted("the hash key has the wrong length".to_owned()))
}

fn number(table: &impl ReadableTable<&'static str, &'static [u8]>, key: &str) -> Result<Option<u64>, redb::Error> {
    let Some(value) = table.get(key)? else { return Ok(None) };
    let bytes = value.value().try_into();
    bytes.map(|bytes| Some(u64::from_be_bytes(bytes))).map_err(|_| redb::Error::Corrupted(format!("{key} has the wrong length")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::store::embedded::tests::filled_and_emptied;

    #[test]
    fn a_file_much_longer_than_its_content_is_compacted_at_open() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store.redb");
        filled_and_emptied(&path);
        let before = std::fs::metadata(&path).unwrap().len();
        drop(open(&path, StoreClock::real()).unwrap());
        let after = std::fs::metadata(&path).unwrap().len();
        assert!(after < before / 4, "{before} bytes became {after}");
    }
}
