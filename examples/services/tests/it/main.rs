//! The promises of the shop as a program.
#![allow(clippy::unwrap_used)]

mod alone;
mod mistakes;
#[path = "../ledger/redis.rs"]
mod redis;
mod shop;
mod support;
