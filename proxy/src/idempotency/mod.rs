//! Keyed requests happen once.
pub mod policy;
