//! Refrain: a sidecar proxy that makes requests with an `Idempotency-Key` happen once, and runs sagas.
//!
//! ```text
//!            ┌──────────────────────── one thread per core ────────────────────────┐
//!  client ──▶│ server ▶ gateway ▶ router ▶ idempotency (layer ▶ exchange) ▶ upstream │──▶ service
//!            │                         └──────────── pass ───────────────▶        │
//!            └─────────────────────────────┬───────────────────────────────────────┘
//!                                          ▼ claim, complete, …
//!            control thread ─────────▶   store (memory | embedded | Redis)
//!            leases, owed writes, mailbox, admin, reload, drain
//! ```
//!
//! # Invariants
//!
//! - An exchange never sends without a claim that the store granted, unless the route says `on_store_loss: open`, and then it says
//!   so in the answer.
//! - A lapsed or given-up claim is *unknown*, never free: only the policy (`hold`, `resend`, `probe`) or an operator moves it on.
//! - The store judges owner, fence and lease, by its own clock; a proxy never judges its own lease but to send *less*.
//! - While the store is there, an answer leaves only after it is recorded.
//! - No call of a saga leaves before its intent is durable, and a driver that lost its lease performs nothing more ([`saga::machine`]).
//! - No request that needs a token passes without one that was verified, and none because something could not be asked. `claims`, and the
//!   header by which the service gets them, are of a verified token or not there ([`authentication`]).
//! - A client that hangs up cancels its own waiting and nothing else.
//! - What is not protected is streamed both ways; no body is held, and nothing about the message changes but what HTTP asks for.
//! - Every loop, queue, buffer and wait has a bound. No key, body or credential is in a log, a label or a page.
//!
//! # Where things are
//!
//! | file | what |
//! |---|---|
//! | [`cli`] | `run`, `ready`, `check`, `simulate`, `diagram`, `schema`, `records`, `sagas`: arguments in, exit code out |
//! | [`app`] | the wiring: control thread, one thread per core, drain, reload |
//! | [`mod@config`] | YAML, flags and environment to a validated [`config::Config`], every mistake at once |
//! | [`reload`] | when to read the configuration again |
//! | [`server`] | accept, HTTP/1 or HTTP/2, timeouts, bounds, tunnels |
//! | [`gateway`] | what answers a request: the stack, in request order |
//! | [`router`] | which route a request takes |
//! | [`peers`] | whose saga calls are believed |
//! | [`pass`] | pass-through and upgrades |
//! | [`idempotency`] | keyed requests happen once: key, fingerprint, claim, send, judge, record, replay |
//! | [`saga`] | steps across upstreams: machine, driver, recovery, the service that callers see; the same machine, simulated |
//! | [`upstream`] | connection pools per core, and what became of a send |
//! | [`store`] | the protocol of records, its rules, and the backends |
//! | [`admin`] | health, metrics, records, sagas, on a listener of its own |
//! | [`problem`] | every error that a caller can get (RFC 9457), in one table |
//! | [`authentication`] | who the caller is: tokens, their keys, and whether they were revoked |
//! | [`claims`] | the same, for expressions |
//! | [`body`] [`headers`] [`ids`] [`time`] [`metrics`] [`telemetry`] | what all of them use |
//!
//! Data flows one way: `cli → app → server → gateway → {saga, idempotency, pass} → upstream`, with `authentication` before the three
//! and `store` beside `saga` and `idempotency`. The pure parts of `saga`, `idempotency` and `store` know no socket, no clock and no runtime: time is an argument.

pub mod admin;
pub mod app;
pub mod authentication;
pub mod body;
pub mod claims;
pub mod cli;
pub mod config;
pub mod gateway;
pub mod headers;
pub mod idempotency;
pub mod ids;
pub mod metrics;
pub mod pass;
pub mod peers;
pub mod problem;
pub mod reload;
pub mod router;
pub mod saga;
pub mod server;
pub mod store;
pub mod telemetry;
pub mod time;
pub mod upstream;
