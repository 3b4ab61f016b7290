//! The tests of the proxy as a whole, in one binary: a file per promise.
#![allow(clippy::unwrap_used)]

mod conformance;
mod model;
mod side_by_side;
mod store_embedded;
