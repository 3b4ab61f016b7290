pub(crate) mod client;
pub(crate) mod program;
pub(crate) mod service;
