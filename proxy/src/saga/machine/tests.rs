//! The machine's promises.
//!
//! [`build`] makes definitions, [`world`] plays services that keep books, with all that can go wrong, and a driver that crashes;
//! [`explore`] goes through every choice of a small world, [`random`] through some of large ones.

#![allow(clippy::unwrap_used)]

mod build;
mod constructs;
mod coverage;
mod doubts;
mod explore;
mod explore_constructs;
mod hand;
mod journal;
mod journal_constructs;
mod later;
mod long;
mod nest;
mod operators;
mod random;
mod random_constructs;
mod scenarios;
mod world;
