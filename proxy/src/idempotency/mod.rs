//! Keyed requests happen once.
pub mod canonical;
pub mod fingerprint;
pub mod key;
pub mod marker;
pub mod name;
pub mod pointer;
pub mod policy;
pub mod response;
pub mod seal;
pub mod verdict;
