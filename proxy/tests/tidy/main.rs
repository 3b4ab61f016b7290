//! The rules that a compiler does not hold: who may use whom, how long a file is, which parts read no clock; and that what the
//! documentation shows and links to is right.

#![allow(clippy::unwrap_used)]

mod arrows;
mod code;
mod commands;
mod documents;
mod files;
mod links;
mod samples;
mod tree;
