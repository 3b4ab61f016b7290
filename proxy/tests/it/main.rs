//! The tests of the proxy as a whole, in one binary: a file per promise.
#![allow(clippy::unwrap_used)]

mod conformance;
mod side_by_side;
mod store_embedded;
//! The promises, kept against the real thing: one binary, one file per promise.
#![allow(clippy::unwrap_used, reason = "tests")]

mod store_redis;
mod support;
