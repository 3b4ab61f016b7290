//! Keyed requests happen once.
//!
//! Data flows one way: [`intake`] reads a request ([`mod@key`], [`mod@fingerprint`], under a [`policy`]); [`layer`] names its record
//! ([`name`]);
//! [`exchange`] claims it, sends it, judges the answer ([`verdict`]), records it ([`response`], [`seal`]) and answers;
//! [`lease`] and [`heartbeat`] keep claims alive, [`backlog`] makes the writes that could not be made in time, [`probe`] asks a
//! service what nobody knows.
//!
//! This module never looks at a clock on the wall to judge a lease (the store does), never sends without a claim unless the policy
//! says so, and never answers with an unrecorded response while the store is there.

mod answer;
pub mod backlog;
pub mod barrier;
pub mod canonical;
pub mod context;
mod detached;
pub mod exchange;
pub mod fingerprint;
pub mod heartbeat;
pub mod intake;
pub mod key;
pub mod layer;
pub mod lease;
pub mod marker;
pub mod name;
pub mod note;
pub mod pointer;
pub mod policy;
pub mod probe;
pub mod response;
pub mod seal;
pub mod term;
pub mod verdict;
pub mod view;
