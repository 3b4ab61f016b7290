//! The promises, kept against the real thing: one binary, one file per promise.
#![allow(clippy::unwrap_used, reason = "tests")]

mod conformance;
mod model;
mod side_by_side;
mod store_embedded;
mod store_redis;
mod support;
