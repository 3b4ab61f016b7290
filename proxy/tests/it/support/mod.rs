//! What the tests stand on.

pub(crate) mod pipe;
pub(crate) mod redis;
