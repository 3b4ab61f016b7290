//! How a saga begins: its start and its first intents are one write.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use bytes::Bytes;
use saga_config::saga::{Action, Later, Saga};
use serde_json::{Map, Value};
use tokio::{sync::oneshot, time::Instant};

use super::{Engine, InHand, Place};
use crate::{
    ids::{Fingerprint, Owner, SagaId},
    metrics::StoreOperation,
    saga::{
        call::Caller,
        codec::TooLarge,
        driver::{Driver, Going, Settled},
        entry::{Callbacks, Entry, Started},
        machine::Machine,
        plan::Plan,
        turn::{Event, Then, Turn},
    },
    store::{
        Store, StoreError,
        journal::{Birth, Create, Created, Head, Journal, MAX_ENTRIES_AT_ONCE, Next, SagaState, SagaToken},
    },
    time::Timestamp,
};

/// How often a create is tried.
const MAX_TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_millis(20);

/// A saga to begin.
#[derive(Debug)]
pub(in crate::saga) struct NewSaga {
    pub(in crate::saga) id: SagaId,
    pub(in crate::saga) saga: Arc<Saga>,
    pub(in crate::saga) input: Map<String, Value>,
    pub(in crate::saga) fingerprint: Fingerprint,
    pub(in crate::saga) starter: Fingerprint,
    pub(in crate::saga) traceparent: Option<String>,
}

/// What came of beginning a saga.
#[derive(Debug)]
pub(in crate::saga) enum Begun {
    /// It was begun, and has a driver here; it tells how the saga ended, if it ends here.
    Here(oneshot::Receiver<Settled>),
    /// It is there already, and open.
    Running(Box<Head>),
    /// It is there already, and has ended.
    Ended(Box<Head>),
    /// The key was used with something else.
    Mismatch,
}

/// Why a saga was not begun.
#[derive(Debug)]
pub(in crate::saga) enum NotBegun {
    /// Its input is larger than the store keeps.
    TooLarge(TooLarge),
    /// As many sagas as may be are driven here.
    Busy,
    /// The machine met a fault.
    Fault,
    /// The store did not answer. It may have been begun, where [`StoreError::may_have_applied`].
    Store(StoreError),
}

/// A saga that was begun, and is to be driven.
struct Drive<S, C> {
    driver: Driver<S, C>,
    place: Place,
    /// Its first turn.
    turn: Turn,
    first: First,
}

/// How much of the first turn is written.
enum First {
    /// All of it. Whether the saga is not this driver's any more then.
    Written { gives_up: bool },
    /// Only the start.
    StartOnly,
}

/// The first write.
struct Draft {
    entries: Vec<Bytes>,
    state: SagaState,
    next: Next,
    /// Whether the first turn is in it.
    is_whole: bool,
}

impl<S: Store + Journal, C: Caller> Engine<S, C> {
    /// Begins a saga, unless it is there. Its start and its first intents are written in one round trip, and then it is driven here,
    /// apart from whoever asked for it: if this is dropped it goes on. If the process dies just after, it is due when the lease lapses.
    pub(in crate::saga) async fn begin(&self, new: NewSaga) -> Result<Begun, NotBegun> {
        let (tell, told) = oneshot::channel();
        let engine = self.clone();
        // Boxed, so that the task is not moved about with all that a driver holds.
        self.shared.tasks.spawn(Box::pin(async move {
            let (begun, drive) = match engine.create_and_drive(new).await {
                Ok((begun, drive)) => (Ok(begun), drive),
                Err(error) => (Err(error), None),
            };
            // Whoever has hung up asks again, or not.
            let _gone = tell.send(begun);
            if let Some(Drive { mut driver, place, turn, first }) = drive {
                let going = match first {
                    First::Written { gives_up } => driver.performed(turn, SagaState::Running, gives_up),
                    First::StartOnly => driver.perform(turn, 0).await,
                };
                if going == Going::On {
                    driver.run().await;
                }
                drop(place);
            }
        }));
        told.await.map_err(|_gone| NotBegun::Fault)?
    }

    async fn create_and_drive(&self, new: NewSaga) -> Result<(Begun, Option<Drive<S, C>>), NotBegun> {
        let place = self.place().ok_or(NotBegun::Busy)?;
        let plan = self.plan.load_full();
        let NewSaga { id, saga, input, fingerprint, starter, traceparent } = new;
        self.common.definitions.pin(&saga, &self.context.store).await.map_err(NotBegun::Store)?;
        let now = self.common.heard.clock().now();
        let birth = Birth {
            name: saga.name.as_str().to_owned(),
            version: saga.version,
            definition: saga.hash,
            fingerprint,
            starter,
            created_at: now,
        };
        let callbacks = match waits_for_callbacks(&saga) {
            false => None,
            true => Some(Callbacks {
                base: plan.callbacks().ok_or(NotBegun::Fault)?,
                secret: format!("{}{}", Owner::random(), Owner::random()),
            }),
        };
        let started = Started {
            format: 1,
            name: saga.name.clone(),
            version: saga.version,
            definition: saga.hash,
            incarnation: Owner::random().to_string(),
            input,
            deadline: saga.deadline.map(|deadline| now.plus(deadline)),
            callbacks,
            traceparent,
        };
        let (machine, first, turn) = start(id, saga, started, now, &plan).ok_or(NotBegun::Fault)?;
        let Draft { entries, state, next, is_whole } = self.draft(id, &first, &turn, now, &plan).map_err(NotBegun::TooLarge)?;
        let gives_up = !matches!(next, Next::Run { .. });
        let (owner, mailbox) = (Owner::random(), Some(self.context.wakes.mailbox()));
        let create = Create { id, birth, owner, entries, state, next, mailbox };
        let (created, asked) = self.create(create).await.map_err(NotBegun::Store)?;
        let granted = match created {
            Created::Fresh(granted) => granted,
            Created::Running(head) => return Ok((Begun::Running(head), None)),
            Created::Ended(head) => return Ok((Begun::Ended(head), None)),
            Created::Mismatch => return Ok((Begun::Mismatch, None)),
        };
        self.context.metrics.sagas.began.inc();
        let (starter, settled) = oneshot::channel();
        let token = SagaToken { id, owner, fence: granted.fence };
        let appender = self.appender(InHand { token, granted, asked, lease: plan.lease, state, paused: false });
        let mut driver = self.driver(machine, appender);
        driver.starter = Some(starter);
        let first = if is_whole { First::Written { gives_up } } else { First::StartOnly };
        Ok((Begun::Here(settled), Some(Drive { driver, place, turn, first })))
    }

    /// The start and what the first turn says, where that can be written at once; else the start alone.
    fn draft(&self, id: SagaId, first: &Entry, turn: &Turn, now: Timestamp, plan: &Plan) -> Result<Draft, TooLarge> {
        let first = self.codec.entry(id, 0, first)?;
        let run = Next::Run { lease: plan.lease };
        let alone = Draft { entries: vec![first.clone()], state: SagaState::Running, next: run.clone(), is_whole: false };
        if turn.entries.len() >= MAX_ENTRIES_AT_ONCE || matches!(turn.then, Then::Rest { .. }) {
            return Ok(alone);
        }
        let version = u64::try_from(turn.entries.len()).unwrap_or(u64::MAX).saturating_add(1);
        let whole = || -> Result<Draft, TooLarge> {
            let rest = (1..).zip(&turn.entries).map(|(place, entry)| self.codec.entry(id, place, entry));
            let entries = std::iter::once(Ok(first)).chain(rest).collect::<Result<Vec<_>, _>>()?;
            let next = match &turn.then {
                Then::End { answer } => Next::End { answer: self.codec.answer(id, version, answer)?, retention: plan.retention },
                Then::Sleep { until } if now.until(*until) > plan.lease => Next::Park { due_in: now.until(*until) },
                Then::Sleep { .. } | Then::Await { .. } | Then::Rest { .. } => run,
            };
            Ok(Draft { entries, state: turn.state, next, is_whole: true })
        };
        // What is too large for one entry is quarantined when it is written apart: the saga has begun then.
        Ok(whole().unwrap_or(alone))
    }

    /// The answer, and when its question was asked first: the lease cannot have begun earlier.
    async fn create(&self, create: Create) -> Result<(Created, Instant), StoreError> {
        let mut lost: Option<(StoreError, Instant)> = None;
        for number in 1..=MAX_TRIES {
            let asked = lost.as_ref().map_or_else(Instant::now, |(_, asked)| *asked);
            match self.context.store.create(create.clone()).await {
                Ok(created) => return Ok((created, asked)),
                Err(error) => {
                    self.context.metrics.store_failed(StoreOperation::Create);
                    tracing::warn!(saga = %create.id, %error, number, "a saga's start was not answered");
                    match (error.may_have_applied(), lost) {
                        (_, Some(before)) => lost = Some(before),
                        (true, None) => lost = Some((error, asked)),
                        (false, None) => return Err(error),
                    }
                }
            }
            tokio::time::sleep(PAUSE * number).await;
        }
        let (error, _) = lost.expect("the loop goes on only after an answer was lost");
        Err(error)
    }
}

/// Whether a step of it is called back.
fn waits_for_callbacks(saga: &Saga) -> bool {
    saga.steps.iter().any(|step| matches!(&step.action, Action::Call(call) if matches!(call.later, Some(Later::Callback(_)))))
}

/// The machine of a new saga, and its first turn; `None`: it met a fault.
fn start(id: SagaId, saga: Arc<Saga>, started: Started, now: Timestamp, plan: &Plan) -> Option<(Machine, Entry, Turn)> {
    let begin = || {
        let (mut machine, first) = Machine::start(id, saga, started, now);
        let turn = machine.on(Event::Taken, now, &*plan.upstreams);
        (machine, first, turn)
    };
    std::panic::catch_unwind(AssertUnwindSafe(begin)).ok()
}
