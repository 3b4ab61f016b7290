//! How a saga whose driver is gone, or whose time has come, is taken over.

use std::{panic::AssertUnwindSafe, time::Duration};

use bytes::Bytes;
use tokio::time::Instant;

use super::{Engine, InHand};
use crate::{
    ids::{Owner, SagaId},
    metrics::StoreOperation,
    saga::{
        appender::Write,
        call::Caller,
        definitions::NoDefinition,
        driver::{Going, as_event, read_command},
        machine::{Machine, ReplayError},
        plan::Plan,
        turn::Event,
    },
    store::{
        Store, StoreError,
        journal::{Granted, Head, Journal, Leased, Loaded, SagaState, SagaToken},
    },
};

/// How long a saga is left alone that this process cannot read, and another may.
const LEFT_ALONE: Duration = Duration::from_secs(30);

/// What became of an adoption.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::saga) enum Adopted {
    /// It was driven here, until it was given up or handed on.
    Driven,
    /// Somebody else has it, or it has ended, or it is not due.
    NotOurs,
    /// The store did not answer, or too many are driven here.
    NotNow,
}

/// Why a journal could not be folded.
enum NotFolded {
    /// The store did not answer.
    Store(StoreError),
    /// This process cannot read it, and another may.
    NotHere(String),
    /// Nobody can.
    Broken(String),
}

impl<S: Store + Journal, C: Caller> Engine<S, C> {
    /// Takes a saga that is due, and drives it until it is handed on. One that cannot be driven is quarantined, and stops no other
    /// (invariant 14). `leased` is called when the store has answered.
    pub(in crate::saga) async fn adopt(&self, id: SagaId, leased: impl FnOnce()) -> Adopted {
        let Some(place) = self.place() else { return Adopted::NotNow };
        let plan = self.plan.load_full();
        let owner = Owner::random();
        let asked = Instant::now();
        let mut answer = self.context.store.lease(id, owner, plan.lease).await;
        if answer.as_ref().is_err_and(StoreError::may_have_applied) {
            // The same owner again is its own repeat.
            answer = self.context.store.lease(id, owner, plan.lease).await;
        }
        leased();
        let loaded = match answer {
            Ok(Leased::Granted(loaded)) => loaded,
            Ok(Leased::NotDue(_) | Leased::Gone) => return Adopted::NotOurs,
            Err(error) => {
                self.context.metrics.store_failed(StoreOperation::Lease);
                tracing::warn!(saga = %id, %error, "a saga could not be taken over");
                return Adopted::NotNow;
            }
        };
        self.context.metrics.sagas.adopted.inc();
        self.drive(SagaToken { id, owner, fence: loaded.head.fence }, *loaded, asked, &plan).await;
        drop(place);
        Adopted::Driven
    }

    async fn drive(&self, token: SagaToken, loaded: Loaded, asked: Instant, plan: &Plan) {
        let Loaded { head, entries, commands, now } = loaded;
        let granted = Granted { fence: head.fence, version: head.version, now, commands: false };
        let in_hand = InHand { token, granted, asked, lease: plan.lease, state: head.state, paused: head.paused };
        let mut appender = self.appender(in_hand);
        let machine = match self.fold(token.id, &head, &entries, plan).await {
            Ok(machine) => machine,
            Err(NotFolded::Store(error)) => {
                // The lease lapses, and the saga is due again.
                tracing::warn!(saga = %token.id, %error, "a saga's definition could not be had");
                return;
            }
            Err(NotFolded::NotHere(reason)) => {
                self.context.metrics.sagas.unreadable.inc();
                tracing::error!(saga = %token.id, name = head.birth.name, reason, "a saga cannot be read here: left alone for a while");
                appender.park(LEFT_ALONE).await;
                return;
            }
            Err(NotFolded::Broken(reason)) => {
                self.context.metrics.sagas.unreadable.inc();
                tracing::error!(saga = %token.id, name = head.birth.name, reason, "a saga waits for an operator: it cannot be driven");
                let now = appender.time.now();
                let written = appender.quarantine(now, &reason, commands.len()).await;
                if written == Write::Kept && head.state != SagaState::Quarantined {
                    self.context.metrics.sagas.became(SagaState::Quarantined);
                }
                return;
            }
        };
        let taken = commands.len();
        let commands = commands.iter().filter_map(|stored| read_command(&appender, stored)).map(as_event);
        let events = std::iter::once(Event::Taken).chain(commands).collect();
        let mut driver = self.driver(machine, appender);
        if driver.turn(events, taken).await == Going::On {
            driver.run().await;
        }
    }

    async fn fold(&self, id: SagaId, head: &Head, stored: &[Bytes], plan: &Plan) -> Result<Machine, NotFolded> {
        let definition = self.common.definitions.get(head.birth.definition, plan, &self.context.store).await;
        let definition = definition.map_err(|error| match error {
            NoDefinition::Store(error) => NotFolded::Store(error),
            NoDefinition::Missing(_) => NotFolded::Broken(error.to_string()),
            NoDefinition::Unreadable { .. } => NotFolded::NotHere(error.to_string()),
        })?;
        let entries = self.codec.read_journal(id, stored).map_err(|(place, error)| {
            let reason = format!("entry {place} of its journal cannot be read: {error}");
            if error.may_pass() { NotFolded::NotHere(reason) } else { NotFolded::Broken(reason) }
        })?;
        let replayed = std::panic::catch_unwind(AssertUnwindSafe(|| Machine::replay(id, definition, &entries)));
        let replayed =
            replayed.map_err(|_panic| NotFolded::Broken("a fault of Refrain's own in reading its journal".to_owned()))?;
        replayed.map_err(|error| match error {
            // A newer version may be beside this one.
            ReplayError::Format(_) => NotFolded::NotHere(error.to_string()),
            ReplayError::NoStart | ReplayError::OtherDefinition | ReplayError::Unfit { .. } => {
                NotFolded::Broken(format!("its journal does not fit its definition: {error}"))
            }
        })
    }
}
