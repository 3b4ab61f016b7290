//! What Refrain's files are made of: YAML in, proven sagas out.
//!
//! [`names`] are what the files call things, [`expr`] is the language inside `${…}`, [`template`] is text with
//! `${…}` in it.

pub mod expr;
pub mod names;
pub mod template;
