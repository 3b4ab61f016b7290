//! The promises of each of the shop's services alone, on SQLite and on PostgreSQL.
#![allow(clippy::unwrap_used)]

#[macro_use]
mod support;

mod billing;
mod database;
mod orders;
mod plain;
