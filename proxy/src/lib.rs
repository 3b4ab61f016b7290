//! Refrain: a sidecar proxy that makes keyed requests happen once.
pub mod body;
pub mod config;
pub mod headers;
pub mod idempotency;
pub mod ids;
pub mod metrics;
pub mod problem;
pub mod router;
pub mod store;
pub mod time;
pub mod upstream;
