//! The promises, kept against the real thing: one binary, one file per promise.
#![allow(clippy::unwrap_used, reason = "tests")]

mod store_redis;
mod support;
