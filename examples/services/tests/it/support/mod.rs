pub(crate) mod client;
pub(crate) mod program;
