//! Refrain: a sidecar proxy that makes keyed requests happen once.
pub mod ids;
pub mod store;
pub mod time;
