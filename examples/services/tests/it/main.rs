//! The promises of the shop as a whole.
#![allow(clippy::unwrap_used)]

mod shop;
mod support;
