//! The promises of the shop's services, and of the shop as a whole.
#![allow(clippy::unwrap_used)]

mod billing;
mod orders;
mod plain;
mod shop;
mod support;
