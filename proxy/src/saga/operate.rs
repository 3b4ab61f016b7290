//! What operators see of sagas, and what they say to them.
//!
//! Nothing here drives: a command waits in the store for the saga's driver, wherever that is, and is journalled by it with its
//! reason. What is shown has no input, no output, no body and no header: those may be secret, and an operator decides without them.

use std::{panic::AssertUnwindSafe, sync::Arc};

use arc_swap::ArcSwap;
use bytes::Bytes;
use saga_config::saga::{Action, InDoubt, Later, Saga};
use serde::Serialize;
use serde_json::{Map, Value};

use super::{
    codec::{Codec, Command},
    definitions::Definitions,
    engine::Common,
    entry::{Act, Entry},
    machine::Machine,
    plan::Plan,
    turn::StepView,
};
use crate::{
    idempotency::seal::Sealer,
    ids::{Owner, SagaId},
    store::{
        StoreError,
        journal::{Commanded, Head, Journal, Listing, Loaded, SagaState},
    },
    time::Timestamp,
};

/// What an entry has that is not shown.
const HIDDEN: [&str; 12] = [
    "incarnation",
    "callbacks",
    "input",
    "output",
    "values",
    "items",
    "answer",
    "body",
    "request",
    "undo",
    "traceparent",
    "nonce",
];

/// Shows sagas, and speaks to them.
#[derive(Clone, Debug)]
pub struct Operations<S> {
    store: S,
    codec: Codec,
    plan: Arc<ArcSwap<Plan>>,
    definitions: Definitions,
}

/// A saga in a list.
#[derive(Clone, Debug, Serialize)]
pub struct Listed {
    id: String,
    saga: String,
    version: u32,
    state: &'static str,
    paused: bool,
    created_unix_ms: u64,
    updated_unix_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    due_unix_ms: Option<u64>,
}

/// One saga.
#[derive(Clone, Debug, Serialize)]
pub struct Shown {
    #[serde(flatten)]
    listed: Listed,
    definition: String,
    entries: u64,
    commands_waiting: usize,
    /// Why it waits for an operator, or turned back.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// The steps that nobody knows the outcome of.
    in_doubt: Vec<String>,
    steps: Vec<StepView>,
    /// What happened, the oldest first.
    timeline: Vec<Value>,
    /// Why steps or timeline are not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    unreadable: Option<String>,
}

/// A page of sagas.
#[derive(Clone, Debug, Serialize)]
pub struct Page {
    sagas: Vec<Listed>,
    /// Where the next page begins; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// How many sagas a command to many of them reached.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Reached {
    /// The command waits for their drivers.
    commanded: u64,
    /// They have too many commands waiting: say it again.
    full: u64,
    /// Where to go on; absent: all were looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// Why an operator's request is not done.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The store does not know it.
    #[error("there is no such saga")]
    NoSuchSaga,
    /// The saga stands otherwise.
    #[error("{0}")]
    DoesNotApply(String),
    /// The request is wrong.
    #[error("{0}")]
    Invalid(String),
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Where a page begins: the last saga of the page before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor(pub Timestamp, pub SagaId);

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.0.as_unix_ms(), self.1)
    }
}

impl std::str::FromStr for Cursor {
    type Err = Refused;

    fn from_str(text: &str) -> Result<Self, Refused> {
        let parsed = text
            .split_once('-')
            .and_then(|(at, id)| Some(Self(Timestamp::from_unix_ms(at.parse().ok()?), SagaId::from_hex(id)?)));
        parsed.ok_or_else(|| Refused::Invalid("`before` is the `next` of another page".to_owned()))
    }
}

impl<S: Journal> Operations<S> {
    /// Operations on the sagas of a store.
    pub fn new(store: S, sealer: Arc<Sealer>, plan: Arc<ArcSwap<Plan>>, common: &Common) -> Self {
        Self { store, codec: Codec::new(sealer), plan, definitions: common.definitions.clone() }
    }

    /// How many sagas there are in each state, in the order of [`SagaState::ALL`].
    ///
    /// # Errors
    ///
    /// The store did not answer.
    pub async fn count(&self) -> Result<[u64; 5], StoreError> {
        self.store.count().await
    }

    /// Sagas, the newest change first.
    ///
    /// # Errors
    ///
    /// The store did not answer.
    pub async fn list(&self, listing: Listing) -> Result<Page, Refused> {
        let limit = listing.limit;
        let found = self.store.list(listing).await?;
        let next = next_after(&found, limit);
        Ok(Page { sagas: found.iter().map(|(id, head)| listed(*id, head)).collect(), next })
    }

    /// One saga: where it stands, its steps, and all that happened.
    ///
    /// # Errors
    ///
    /// See [`Refused`].
    pub async fn show(&self, id: SagaId) -> Result<Shown, Refused> {
        let Loaded { head, entries, commands, .. } = self.store.load(id).await?.ok_or(Refused::NoSuchSaga)?;
        let folded = self.folded(id, &head, &entries).await;
        let mut shown = Shown {
            listed: listed(id, &head),
            definition: head.birth.definition.to_string(),
            entries: head.version,
            commands_waiting: commands.len(),
            reason: None,
            in_doubt: Vec::new(),
            steps: Vec::new(),
            timeline: Vec::new(),
            unreadable: None,
        };
        match folded {
            Ok((machine, journal)) => {
                shown.reason = machine.reason().map(str::to_owned);
                shown.steps = machine.view().into_iter().map(|step| StepView { output: None, ..step }).collect();
                let in_doubt = shown.steps.iter().filter(|step| matches!(step.state, "maybe_done" | "sending"));
                shown.in_doubt = in_doubt.map(|step| step.step.as_str().to_owned()).collect();
                shown.timeline = journal.iter().map(happened).collect();
            }
            Err(reason) => shown.unreadable = Some(reason),
        }
        Ok(shown)
    }

    /// Speaks to one saga. What cannot apply as it stands now is refused at once; its driver judges again.
    ///
    /// # Errors
    ///
    /// See [`Refused`].
    pub async fn say(&self, id: SagaId, act: Act, reason: &str) -> Result<(), Refused> {
        let reason = checked(reason)?;
        let Loaded { head, entries, .. } = self.store.load(id).await?.ok_or(Refused::NoSuchSaga)?;
        let (machine, _) = self.folded(id, &head, &entries).await.map_err(Refused::DoesNotApply)?;
        machine.can(&act).map_err(Refused::DoesNotApply)?;
        match self.command(id, act, reason).await? {
            Commanded::Queued => Ok(()),
            Commanded::Absent => Err(Refused::NoSuchSaga),
            Commanded::Ended => Err(Refused::DoesNotApply("the saga has ended".to_owned())),
            Commanded::Full => Err(Refused::DoesNotApply("too many commands wait for its driver already".to_owned())),
        }
    }

    /// Speaks to the open sagas of one page whose definition calls an upstream.
    ///
    /// # Errors
    ///
    /// See [`Refused`].
    pub async fn say_to_all(
        &self,
        upstream: &str,
        act: &Act,
        reason: &str,
        before: Option<Cursor>,
        limit: usize,
    ) -> Result<Reached, Refused> {
        let reason = checked(reason)?;
        let states = vec![SagaState::Running, SagaState::Compensating, SagaState::Quarantined];
        let before = before.map(|Cursor(at, id)| (at, id));
        let found = self.store.list(Listing { states, name: None, before, limit }).await?;
        let mut reached = Reached { next: next_after(&found, limit), ..Reached::default() };
        let plan = self.plan.load_full();
        for (id, head) in found {
            let is_meant = match self.definitions.get(head.birth.definition, &plan, &self.store).await {
                Ok(saga) => calls(&saga, upstream, plan.local.as_deref()),
                Err(error) => {
                    tracing::warn!(saga = %id, %error, "a saga's definition could not be had: it is not spoken to");
                    false
                }
            };
            let applies = match act {
                Act::Pause => !head.paused,
                Act::Resume => head.paused,
                _ => true,
            };
            if is_meant && applies {
                match self.command(id, act.clone(), reason).await? {
                    Commanded::Queued => reached.commanded += 1,
                    Commanded::Full => reached.full += 1,
                    // It ended while the page was read.
                    Commanded::Absent | Commanded::Ended => {}
                }
            }
        }
        Ok(reached)
    }

    async fn command(&self, id: SagaId, act: Act, reason: &str) -> Result<Commanded, Refused> {
        let nonce = Owner::random();
        let command = Command::Operator { act, reason: reason.to_owned(), nonce: nonce.to_string() };
        let command = self.codec.command(id, &command).map_err(|error| Refused::Invalid(format!("the command has {error}")))?;
        let first = self.store.command(id, nonce, command.clone()).await;
        match first {
            // The same nonce again is its own repeat.
            Err(error) if error.may_have_applied() => Ok(self.store.command(id, nonce, command).await?),
            answer => Ok(answer?),
        }
    }

    async fn folded(&self, id: SagaId, head: &Head, stored: &[Bytes]) -> Result<(Machine, Vec<Entry>), String> {
        let plan = self.plan.load_full();
        fold(&self.codec, &self.definitions, &plan, &self.store, id, head, stored).await
    }
}

/// A saga's state, computed from its journal without a lease, and the journal.
///
/// # Errors
///
/// Why it cannot be, in words for operators.
pub(super) async fn fold<S: Journal>(
    codec: &Codec,
    definitions: &Definitions,
    plan: &Plan,
    store: &S,
    id: SagaId,
    head: &Head,
    stored: &[Bytes],
) -> Result<(Machine, Vec<Entry>), String> {
    let definition = definitions.get(head.birth.definition, plan, store).await.map_err(|error| error.to_string())?;
    let entries = codec.read_journal(id, stored);
    let entries = entries.map_err(|(place, error)| format!("entry {place} of its journal cannot be read: {error}"))?;
    let replayed = std::panic::catch_unwind(AssertUnwindSafe(|| Machine::replay(id, definition, &entries)));
    let replayed = replayed.map_err(|_panic| "a fault of Refrain's own in reading its journal".to_owned())?;
    let machine = replayed.map_err(|error| format!("its journal does not fit its definition: {error}"))?;
    Ok((machine, entries))
}

/// Whether a definition calls an upstream: in a step, in an undo, or to resolve a doubt. `local`: the name of the local one.
fn calls(saga: &Saga, upstream: &str, local: Option<&str>) -> bool {
    let is = |target: &saga_config::template::CallTarget| target.upstream().map(AsRef::as_ref).or(local) == Some(upstream);
    let asks = |in_doubt: &InDoubt| matches!(in_doubt, InDoubt::Check(check) if is(&check.target));
    saga.steps.iter().any(|step| match &step.action {
        Action::Call(call) => {
            let undo = call.compensate.as_ref();
            let polls = matches!(&call.later, Some(Later::Poll(poll)) if is(&poll.target));
            is(&call.call.target)
                || polls
                || asks(&call.in_doubt)
                || undo.is_some_and(|undo| is(&undo.call.target) || asks(&undo.in_doubt))
        }
        Action::Set(_) | Action::Switch(_) | Action::Foreach(_) | Action::Wait(_) | Action::Enter(_) | Action::Leave(_) => false,
    })
}

/// An entry as it is shown.
fn happened(entry: &Entry) -> Value {
    let mut shown = match serde_json::to_value(entry) {
        Ok(Value::Object(members)) => members,
        Ok(_) | Err(_) => Map::new(),
    };
    HIDDEN.iter().for_each(|name| {
        shown.remove(*name);
    });
    Value::Object(shown)
}

fn listed(id: SagaId, head: &Head) -> Listed {
    Listed {
        id: id.to_string(),
        saga: head.birth.name.clone(),
        version: head.birth.version,
        state: head.state.as_str(),
        paused: head.paused,
        created_unix_ms: head.birth.created_at.as_unix_ms(),
        updated_unix_ms: head.updated_at.as_unix_ms(),
        due_unix_ms: head.due_at.map(Timestamp::as_unix_ms),
    }
}

fn next_after(found: &[(SagaId, Head)], limit: usize) -> Option<String> {
    let last = found.last().filter(|_| found.len() >= limit);
    last.map(|(id, head)| Cursor(head.updated_at, *id).to_string())
}

fn checked(reason: &str) -> Result<&str, Refused> {
    match reason.trim() {
        "" => Err(Refused::Invalid("a reason is needed: it is journalled".to_owned())),
        reason if reason.chars().count() > 1000 => Err(Refused::Invalid("a reason has 1000 characters at most".to_owned())),
        reason => Ok(reason),
    }
}
