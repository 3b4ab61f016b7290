//! Sagas through the real program: `create-order` and others, with a shop that counts what is done to it.

mod beginnings;
mod counts;
mod doubt;
mod fsyncs;
mod kills;
mod later;
mod operators;
mod order;
mod outages;
mod soak;
mod waiting;
mod writes;
mod zombies;
