//! Refrain: a sidecar proxy that makes keyed requests happen once.
pub mod body;
pub mod headers;
pub mod idempotency;
pub mod ids;
pub mod problem;
pub mod store;
pub mod time;
pub mod upstream;
pub mod config;
