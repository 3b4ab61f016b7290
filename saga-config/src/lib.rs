//! What Refrain's files are made of: YAML in, proven sagas out.
//!
//! [`yaml`] reads a file into a tree that knows its places, [`schema`] holds it against what may stand there, and [`diagnostic`]
//! says what is wrong, where, and what would be right. [`units`] are durations and sizes, [`names`] are what the files call
//! things, [`expr`] is the language inside `${…}`, [`template`] is text with `${…}` in it, and [`saga`] is what a saga's file comes
//! to; [`diagram`] draws one.

pub mod diagnostic;
pub mod diagram;
pub mod expr;
pub mod names;
pub mod saga;
pub mod schema;
pub mod template;
pub mod units;
pub mod yaml;
