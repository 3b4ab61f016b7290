//! The shop as processes: what `cargo run -p shop` opens, keeps open and closes.
//!
//! Each part of the shop ([`member`]) is a process of its own ([`process`]): a service ([`hosting`]; [`health`] asks one how it is) or a
//! Refrain ([`sidecar`]). [`run`] is the shop from start to stop: it reserves addresses ([`address`], [`addresses`]), finds a place for the
//! [`data`], makes [`keys`], looks at the [`redis`] it was given, starts all processes ([`opening`]), keeps the [`table`] of them, tells what is
//! where ([`announcement`]) and listens for [`signals`]. [`chaos`] is what goes wrong on purpose.

pub mod address;
pub mod addresses;
pub mod announcement;
pub mod chaos;
pub mod data;
pub mod health;
pub mod hosting;
pub mod keys;
pub mod member;
pub mod opening;
pub mod process;
pub mod redis;
pub mod run;
pub mod sidecar;
pub mod signals;
pub mod table;
