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
//! and effects to perform. The driver appends first and performs then.

pub mod call;
pub mod entry;
pub mod turn;
