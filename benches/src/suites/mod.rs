//! What is measured.

pub(crate) mod curves;
pub(crate) mod engine;
pub(crate) mod flames;
pub(crate) mod footprint;
pub(crate) mod keyed;
pub(crate) mod pass;
pub(crate) mod sagas;
