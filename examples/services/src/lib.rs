//! An example shop: five services that hold no code against repeated requests and none for sagas, each behind a Refrain
//! of its own, and one more Refrain as the edge.
//!
//! ```text
//!                     ┌─ Refrain ── users ─────────┐
//! client ── the edge ─┼─ Refrain ── orders         │ sidecars call each other's services
//!                     └─ Refrain ── billing        │ through the Refrain beside them
//!                        Refrain ── auth           │
//!                        Refrain ── notifications ─┘
//! ```
//!
//! [`services`] is what a team would write, and all that it would: it uses nothing else of this crate. The rest is there to show it:
//! [`running`] opens it as processes, as the command line ([`cli`]) says; [`client`] is what a customer's program would be, [`books`] checks
//! that the services' databases balance, and [`tour`] shows all of it.

pub mod books;
pub mod cli;
pub mod client;
pub mod running;
pub mod services;
pub mod tour;
