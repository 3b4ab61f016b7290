//! The promises, kept against the real thing: one binary, one file per promise.
#![allow(clippy::unwrap_used, reason = "tests")]

mod conformance;
mod http2;
mod limits;
mod model;
mod pass_through;
mod side_by_side;
mod signals;
mod store_embedded;
mod store_redis;
mod streaming;
mod support;
mod upgrade;
mod upstreams;
