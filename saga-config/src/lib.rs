//! What Refrain's files are made of: YAML in, proven sagas out.
//!
//! [`names`] are what the files call things, [`expr`] is the language inside `${…}`.

pub mod expr;
pub mod names;
