//! What `refrain check`, `refrain schema` and `refrain diagram` say, as users see it.
#![allow(clippy::unwrap_used, reason = "these are tests")]

mod broken;
mod diagram;
mod files;
mod schema;
mod support;
