//! Sagas through the real program: `create-order` and others, with a shop that counts what is done to it.

mod fsyncs;
mod kills;
mod order;
mod writes;
mod zombies;
