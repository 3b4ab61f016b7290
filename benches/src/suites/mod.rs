//! What is measured.

pub(crate) mod pass;
