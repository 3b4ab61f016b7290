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
//! [`services`] is what a team would write. The rest runs it, each part of it ([`member`]) as a process of its own
//! ([`process`]): a service ([`hosting`]; [`health`] asks one how it is) or a Refrain ([`sidecar`]). [`run`] opens and closes the shop that the command
//! line ([`cli`]) describes: it reserves addresses ([`address`], [`addresses`]), finds a place for the [`data`], makes
//! [`keys`], starts all processes ([`opening`]), keeps the [`table`] of them, and tells what is where ([`announcement`]).
//! [`chaos`] is what goes wrong on purpose.
//!
//! The rest looks at it from outside: [`client`] is what a customer's program would be, [`books`] checks that the services'
//! databases balance, and [`tour`] shows all of it.

pub mod address;
pub mod addresses;
pub mod announcement;
pub mod books;
pub mod chaos;
pub mod cli;
pub mod client;
pub mod data;
pub mod health;
pub mod hosting;
pub mod keys;
pub mod member;
pub mod opening;
pub mod process;
pub mod redis;
pub mod run;
pub mod services;
pub mod sidecar;
pub mod signals;
pub mod table;
pub mod tour;
