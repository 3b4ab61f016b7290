//! An example shop: two services that hold no code against repeated requests, each behind a Refrain of its own.
//!
//! ```text
//! client ── Refrain 127.0.0.1:8080 ── orders  (orders.db)
//!                └─ refrain.db
//! client ── Refrain 127.0.0.1:8081 ── billing (billing.db)
//!                └─ refrain.db
//! ```
//!
//! [`services`] is what a team would write. The rest starts it: [`run`] puts the services and their sidecars
//! ([`sidecar`]) up and down again, at the addresses ([`address`]) that the command line ([`cli`]) names, and tells
//! what is where ([`announcement`]).

pub mod address;
pub mod announcement;
pub mod books;
pub mod cli;
pub mod client;
pub mod run;
pub mod services;
pub mod sidecar;
pub mod tour;
