//! How a driver calls: a request of a saga's machine goes out, and what came of it comes back.
//!
//! A caller never retries and never judges an answer by a step's `outcome`: it says what came back, and the machine decides.
//!
//! ```text
//! effect ─▶ request ─▶ breaker ─▶ own service: idempotency layer ─▶ upstream
//!                                  any other: ──────────────────▶ upstream ─▶ classify ─▶ answer
//! ```
//!
//! `request` and `classify` are pure: what goes out, and what an answer means by its status and by what a Refrain says of it.

pub mod breaker;
mod classify;
pub mod directory;
pub mod http_caller;
mod request;

use std::{future::Future, sync::Arc};

use saga_config::names::SagaName;

use super::turn::{Answer, CheckEffect, Finding, SendEffect};
use crate::{ids::SagaId, upstream::Gate};

/// Performs the machine's effects. Dropping a future gives the call up: whether it was carried out is unknown then.
pub trait Caller: Clone + Send + Sync + 'static {
    /// Sends a step's request, or its undo's. Ends within the effect's timeout.
    fn send(&self, saga: &CallContext, effect: SendEffect) -> impl Future<Output = Answer> + Send;

    /// Sends a probe's request. Ends within the effect's timeout.
    fn check(&self, saga: &CallContext, effect: CheckEffect) -> impl Future<Output = Finding> + Send;
}

/// What all calls of one saga carry.
#[derive(Clone, Debug)]
pub struct CallContext {
    /// The saga.
    pub id: SagaId,
    /// Its name.
    pub name: SagaName,
    /// The starter's trace (W3C Trace Context), the parent of every call's.
    pub traceparent: Option<String>,
    /// Asked right before the first byte of a call leaves ([`crate::upstream::Call::gate`]): whether the saga is its driver's for
    /// long enough. A call that passes the own layer has that layer's gate instead. `None`: nothing is asked.
    pub gate: Option<Arc<dyn Gate>>,
}
