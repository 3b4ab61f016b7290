//! saga

pub mod diagnostic;
pub mod schema;
pub mod units;
pub mod yaml;
