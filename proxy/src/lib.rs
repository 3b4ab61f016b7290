//! Refrain: a sidecar proxy that makes keyed requests happen once.
pub mod body;
pub mod ids;
pub mod store;
pub mod time;
pub mod upstream;
pub mod config;
