//! A table of a write transaction that is opened when it is first touched. To open one costs a lookup, and most batches touch few.

use redb::{Key, Table, TableDefinition, TableError, Value, WriteTransaction};

pub(super) struct Lazy<'txn, K: Key + 'static, V: Value + 'static> {
    txn: &'txn WriteTransaction,
    definition: TableDefinition<'static, K, V>,
    table: Option<Table<'txn, K, V>>,
}

impl<'txn, K: Key + 'static, V: Value + 'static> Lazy<'txn, K, V> {
    pub(super) fn new(txn: &'txn WriteTransaction, definition: TableDefinition<'static, K, V>) -> Self {
        Self { txn, definition, table: None }
    }

    pub(super) fn open(&mut self) -> Result<&mut Table<'txn, K, V>, TableError> {
        let opened = match self.table.take() {
            Some(opened) => opened,
            None => self.txn.open_table(self.definition)?,
        };
        Ok(self.table.insert(opened))
    }
}
