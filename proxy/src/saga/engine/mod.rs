//! What runs the sagas of one core: begins new ones (`begin`), adopts those whose driver is gone (`adopt`), and gives each a
//! driver.

mod adopt;
mod begin;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio::time::Instant;

pub(super) use self::{
    adopt::Adopted,
    begin::{Begun, NewSaga, NotBegun},
};
use super::{
    appender::Appender,
    call::{CallContext, Caller},
    clock::LastHeard,
    codec::Codec,
    definitions::Definitions,
    driver::{Calls, Driver},
    events::Streams,
    leases::SagaLeases,
    machine::Machine,
    plan::Plan,
};
use crate::{
    idempotency::context::Context,
    server::Shared,
    store::{
        Store,
        journal::{Granted, Journal, SagaState, SagaToken},
    },
};

/// Sagas that one process drives at once, at the most.
const MAX_DRIVEN: usize = 10_000;

/// What all sagas of one process share. Cloning it is cheap.
#[derive(Clone, Debug, Default)]
pub struct Common {
    /// The sagas that this process drives.
    pub leases: SagaLeases,
    /// What the store said last of its time.
    pub heard: LastHeard,
    /// Definitions by their hash.
    pub definitions: Definitions,
    /// The streams of events that are open.
    pub streams: Streams,
    driven: Arc<AtomicUsize>,
}

/// What runs the sagas of one core. Cloning it is cheap.
pub struct Engine<S, C> {
    pub(super) context: Arc<Context<S>>,
    pub(super) plan: Arc<ArcSwap<Plan>>,
    pub(super) common: Common,
    pub(super) shared: Shared,
    pub(super) codec: Codec,
    caller: C,
}

impl<S, C: Clone> Clone for Engine<S, C> {
    fn clone(&self) -> Self {
        Self {
            context: Arc::clone(&self.context),
            plan: Arc::clone(&self.plan),
            common: self.common.clone(),
            shared: self.shared.clone(),
            codec: self.codec.clone(),
            caller: self.caller.clone(),
        }
    }
}

impl<S, C> fmt::Debug for Engine<S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("common", &self.common).finish_non_exhaustive()
    }
}

/// A saga as it came into this process's hands.
struct InHand {
    token: SagaToken,
    granted: Granted,
    /// When it was asked for.
    asked: Instant,
    lease: Duration,
    state: SagaState,
    paused: bool,
}

impl<S: Store + Journal, C: Caller> Engine<S, C> {
    /// The engine of one core.
    pub fn new(context: Arc<Context<S>>, plan: Arc<ArcSwap<Plan>>, common: Common, shared: Shared, caller: C) -> Self {
        let codec = Codec::new(Arc::clone(&context.sealer));
        Self { context, plan, common, shared, codec, caller }
    }

    /// A place among the sagas that are driven, if there is one.
    fn place(&self) -> Option<Place> {
        let before = self.common.driven.fetch_add(1, Ordering::Relaxed);
        let place = Place(Arc::clone(&self.common.driven));
        (before < MAX_DRIVEN).then_some(place)
    }

    fn appender(&self, in_hand: InHand) -> Appender<S> {
        let InHand { token, granted, asked, lease, state, paused } = in_hand;
        self.common.heard.heard(granted.now);
        Appender {
            store: self.context.store.clone(),
            codec: self.codec.clone(),
            metrics: self.context.metrics.clone(),
            lease: self.common.leases.hold(token, lease, asked),
            time: self.common.heard.clock(),
            version: granted.version,
            state,
            paused,
        }
    }

    fn driver(&self, machine: Machine, appender: Appender<S>) -> Driver<S, C> {
        let context = CallContext {
            id: appender.id(),
            name: machine.definition().name.clone(),
            traceparent: machine.started().traceparent.clone(),
            gate: Some(appender.lease.gate()),
        };
        let calls = Calls::new(self.caller.clone(), context);
        Driver { engine: self.clone(), machine, appender, calls, tick: None, starter: None, draining: false }
    }
}

/// A place among the sagas that are driven; given back on drop.
#[derive(Debug)]
struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
