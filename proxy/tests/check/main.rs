//! What `refrain check` and `refrain schema` say, as users see it.
#![allow(clippy::unwrap_used, reason = "these are tests")]

mod broken;
mod files;
mod schema;
mod support;
