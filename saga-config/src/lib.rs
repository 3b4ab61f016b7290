//! saga

pub mod diagnostic;
pub mod units;
