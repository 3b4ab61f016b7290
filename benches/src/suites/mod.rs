//! What is measured.

pub(crate) mod pass;
pub(crate) mod sagas;
