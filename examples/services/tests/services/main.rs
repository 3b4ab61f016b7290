//! The promises of each of the shop's services alone, on SQLite and on PostgreSQL.
#![allow(clippy::unwrap_used)]

#[macro_use]
mod support;

mod auth;
mod billing;
mod database;
mod notifications;
mod orders;
mod plain;
mod secrets;
mod users;
