//! The promises, kept against the real thing: one binary, one file per promise.
#![allow(clippy::unwrap_used, reason = "tests")]

mod admin;
mod at_rest;
mod authentication;
mod barrier;
mod barrier_model;
mod concurrent;
mod conformance;
mod counts;
mod crash;
mod http2;
mod limits;
mod model;
mod once;
mod operators;
mod pass_through;
mod peers;
mod presets;
mod routing;
mod saga;
mod side_by_side;
mod signals;
mod store_embedded;
mod store_loss;
mod store_redis;
mod streaming;
mod support;
mod upgrade;
mod upstreams;
