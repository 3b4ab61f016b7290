//! The shop's services, as any team would write them: plain HTTP over plain SQL.
//!
//! Nothing in here knows that requests may arrive twice, or what stands in front.

pub mod api;
pub mod auth;
pub mod billing;
pub mod caller;
pub mod clock;
pub mod database;
pub mod notifications;
pub mod orders;
pub mod serving;
pub mod text;
pub mod users;
pub mod values;
