//! Sagas: steps across upstreams, undone where they cannot all be done.
//!
//! ```text
//! request ─▶ service ─▶ engine ─▶ driver ⇄ machine (pure)
//!                         ▲         │  ▲
//!            recovery ────┘         ▼  └── journal (store)
//!            (due sagas)           call ─▶ own layer, or upstream
//! ```
//!
//! `machine` decides, and knows no socket, clock or store: it folds a journal into a state, and turns an event into entries to append
//! and effects to perform. The driver appends first and performs then. `simulate` has the same machine meet every fault, in memory.
//! `callbacks` and `events` are what others see of a saga besides its answer: where they call back, and its status as it changes.

mod appender;
mod backoff;
pub mod call;
pub mod callback;
pub mod callbacks;
pub mod clock;
pub mod codec;
pub mod definitions;
mod driver;
pub mod engine;
pub mod entry;
pub mod events;
pub mod input;
mod judge;
pub mod leases;
pub mod machine;
pub mod operate;
pub mod plan;
pub mod prefer;
pub mod recovery;
mod render;
pub mod service;
pub mod simulate;
mod state;
pub mod status;
pub mod triggers;
pub mod turn;

#[cfg(test)]
mod tests;
