#![allow(clippy::unwrap_used)]
use redb::Database;

use super::*;

/// A store's file that is long and holds little.
pub(super) fn filled_and_emptied(path: &Path) {
    drop(file::open(path, StoreClock::real()).unwrap());
    let db = Database::open(path).unwrap();
    let block = vec![7_u8; 1 << 20];
    let key = |n: u8| [n; RecordName::LEN];
    let fill = db.begin_write().unwrap();
    for n in 0..100 {
        fill.open_table(file::RECORDS).unwrap().insert(&key(n), block.as_slice()).unwrap();
    }
    fill.commit().unwrap();
    let empty = db.begin_write().unwrap();
    for n in 0..99 {
        empty.open_table(file::RECORDS).unwrap().remove(&key(n)).unwrap();
    }
    empty.commit().unwrap();
}
