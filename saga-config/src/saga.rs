//! A saga: valid by construction.
//!
//! What the file says in lists, groups and defaults is here already unfolded: [`Saga::steps`] is one list in which every step comes
//! after all steps that it waits for, each with its own timeouts and retries. Nothing here needs to be looked up, filled in or
//! checked again.
//!
//! ```
//! use saga_config::{diagnostic::Source, saga::{Action, Frozen, Position, Saga}};
//!
//! let source = Source::new("sagas/order.yaml", r#"
//! saga: order
//! version: 1
//! trigger: {route: POST /orders/}
//! input:
//!   items: {from: "${request.body.items}", type: list, check: "${size(self) > 0}"}
//! steps:
//!   - id: create
//!     call: orders POST /internal/orders/
//!     body: {items: "${input.items}", reference: "${step.key}"}
//!     output: {id: "${response.body.id}"}
//!     compensate: {call: "orders DELETE /internal/orders/${steps.create.id}/", effect: idempotent}
//!   - id: charge
//!     pivot: true
//!     call: billing POST /charges/
//!     body: {order: "${steps.create.id}"}
//! response:
//!   completed: {status: 201, body: {id: "${steps.create.id}"}}
//! "#);
//! let saga = Saga::load(&source, None).expect("nothing is wrong with it").saga;
//! assert_eq!(saga.steps[1].position, Position::Pivot);
//! let Action::Call(create) = &saga.steps[0].action else { panic!("it calls") };
//! // The undo reads the step's answer: it is fixed when that is there.
//! assert_eq!(create.compensate.as_ref().map(|undo| undo.frozen), Some(Frozen::WithAnswer));
//!
//! // What is kept in the store is the same definition.
//! assert_eq!(Saga::from_canonical(&saga.canonical).expect("it was accepted").hash, saga.hash);
//! ```
//!
//! Everything that is wrong with a file is told at once, where it stands:
//!
//! ```
//! use saga_config::{diagnostic::Source, saga::Saga};
//!
//! let source = Source::new("sagas/order.yaml", r#"
//! saga: order
//! version: 1
//! trigger: {route: POST /orders/}
//! steps:
//!   - {id: create, call: orders POST /orders/}
//!   - {id: total, set: {amount: "${steps.crate.price}"}}
//! "#);
//! let mistakes: Vec<String> = Saga::load(&source, None).unwrap_err().iter().map(ToString::to_string).collect();
//! assert_eq!(mistakes, [
//!     "sagas/order.yaml:6:10: error: `create` has an effect, and nothing says how it is undone \
//!      (write the call that undoes it, or `compensate: none` if nothing has to be undone)",
//!     "sagas/order.yaml:7:34: error: there is no step `crate` (did you mean `create`?)",
//! ]);
//! ```
//!
//! A saga that loads can be run to one of its ends: references are to steps that surely ran before (or say what stands for an output that
//! may be absent), every effect before the pivot has an undo that can be rendered when it may have to run, every step is before or after
//! the pivot, and what is sent again in doubt goes to a service that would notice.
//!
//! In expressions `steps` has to be bound to a map with an entry for every step: the map of its outputs, empty where it has none, was
//! skipped, has failed or has not run.

mod branches;
mod build;
mod call_step;
mod calls;
mod canonical;
mod compile;
mod defaults;
mod findings;
mod hash;
mod kinds;
pub mod limits;
mod link;
mod load;
mod ordered;
mod precedence;
mod proofs;
mod raw;
mod response;
mod scope;
mod secrets;
mod steps;
mod sub_saga;
pub mod test;
mod trigger;
mod types;
mod unfold;
mod unwise;
mod waits;

use std::{sync::Arc, time::Duration};

use http::{HeaderName, Method};

use crate::{
    expr::Expression,
    names::{SagaName, SecretName, StepPath, VariableName},
    template::{Template, ValueTemplate},
};

pub use call_step::{
    Auth, Call, CallStep, Callback, Check, CheckResponse, Effect, Frozen, InDoubt, Later, OnExhausted, Outcome, Poll, Retry, Undo,
};
pub use hash::{DefinitionHash, HashTextError};
pub use load::{Loaded, StoredError, UpstreamFact, UpstreamFacts};
pub use precedence::Precedence;

/// The JSON Schema (2020-12) of a saga's file, for editors.
pub fn schema() -> schemars::Schema {
    let mut schema = schemars::schema_for!(raw::Raw);
    schema.insert("title".to_owned(), "A saga of Refrain".into());
    schema
}

/// A saga.
#[derive(Debug, Clone)]
pub struct Saga {
    /// Its name.
    pub name: SagaName,
    /// Its version, from 1. For people: what tells definitions apart is [`Saga::hash`].
    pub version: u32,
    /// What it does, in the author's words.
    pub description: Option<String>,
    /// What starts it.
    pub trigger: Trigger,
    /// Evaluated once, in this order, and checked before any step runs.
    pub input: Vec<Input>,
    /// Whether input, bodies and answers hold secrets: refused unless the store encrypts.
    pub sensitive: bool,
    /// For going forward, from the start; then compensate. Void once the pivot is passed.
    pub deadline: Option<Duration>,
    /// The steps: each comes after all that it waits for.
    pub steps: Vec<Step>,
    /// The parallel groups.
    pub groups: Vec<Group>,
    /// The loops.
    pub loops: Vec<Loop>,
    /// The sub-sagas, their steps already among [`Saga::steps`]; each comes after the one that it stands in.
    pub frames: Vec<Frame>,
    /// The secrets that its requests name, each once.
    pub secrets: Vec<SecretName>,
    /// How many steps may run at once.
    pub max_parallel: usize,
    /// What the caller gets.
    pub response: Responses,
    /// The hash of [`Saga::canonical`].
    pub hash: DefinitionHash,
    /// The definition as canonical JSON: whatever the formatting of the file, the same definition is the same text.
    /// [`Saga::from_canonical`] reads it back.
    pub canonical: Arc<str>,
    /// What each step comes after: see [`Saga::waits_for`].
    pub precedence: Precedence,
}

/// An index into [`Saga::steps`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StepIndex(pub usize);

/// An index into [`Saga::groups`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupIndex(pub usize);

/// An index into [`Saga::loops`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LoopIndex(pub usize);

/// An index into [`Saga::frames`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FrameIndex(pub usize);

/// What starts a saga.
#[derive(Debug, Clone)]
pub struct Trigger {
    /// The method of the requests that start it.
    pub method: Method,
    /// Their path: exact, or a template (`/orders/{id}/`), as a route's.
    pub path: String,
    /// Whether it is started by name (`start`) rather than at an ordinary route of the service (`route`).
    pub by_name: bool,
    /// Whether a request must carry a key. Without a key (where that is allowed) the saga runs under a generated id.
    pub key_required: bool,
}

/// One input.
#[derive(Debug, Clone)]
pub struct Input {
    /// Its name.
    pub name: VariableName,
    /// Where it comes from. Names: `request`, `claims`.
    pub from: ValueTemplate,
    /// What it must be.
    pub kind: InputType,
    /// What must hold of it. Names: `self`.
    pub check: Option<Expression>,
}

/// What an input must be. No conversion is made, but that a whole number may stand where a `double` is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum InputType {
    /// Anything, `null` included.
    #[default]
    Any,
    /// A string.
    String,
    /// A whole number.
    Int,
    /// Any number.
    Double,
    /// `true` or `false`.
    Bool,
    /// A list.
    List,
    /// A map.
    Map,
}

/// A step.
#[derive(Debug, Clone)]
pub struct Step {
    /// Its name: its id, below the path of the sub-saga that it belongs to. Without a place.
    pub id: StepPath,
    /// What must be settled before it may start: direct predecessors, all with smaller indices. In a list, the one before, with all
    /// that stands in it: a group's children, a switch's and a loop's steps, a sub-saga's [`Action::Leave`].
    ///
    /// A predecessor in the same loop is that of the same item; one in a loop that this step is not in stands for all its items.
    pub after: Vec<StepIndex>,
    /// What it stands in, the innermost, and what decides whether it is there at all.
    pub within: Option<Within>,
    /// The parallel group it is a child of, or stands in a child of. Groups do not stand in each other, those of sub-sagas included.
    pub group: Option<GroupIndex>,
    /// The loop it stands in: there is one such step for each item. Loops do not stand in each other.
    pub in_loop: Option<LoopIndex>,
    /// The sub-saga it belongs to; `None`: the saga itself. Its expressions see that one's `input`, `steps` and `saga`: an entry of
    /// `steps` for every step of the same frame, by [`StepPath::id`].
    ///
    /// The beginning and the end of a sub-saga belong to what it stands in, as they are one step of that: [`Action::Enter`] is
    /// evaluated there, [`Action::Leave`] has the outputs (`steps.stay.status`) and is evaluated in [`Action::Leave`]'s own frame.
    pub frame: Option<FrameIndex>,
    /// Whether it runs at all; decided once. Names: `input`, `steps`, `saga`.
    pub when: Option<Expression>,
    /// What it does.
    pub action: Action,
    /// Where it stands with regard to the pivot.
    pub position: Position,
    /// What its failure means.
    pub on_failure: OnFailure,
}

/// What a step stands in, and what decides whether it is there at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Within {
    /// An arm of a switch: it is skipped unless the switch chose that arm.
    Arm {
        /// The switch's step ([`Action::Switch`]).
        switch: StepIndex,
        /// Which arm, from 0.
        arm: usize,
    },
    /// A loop's body: there is one for each item, and none before the list is known.
    Body(LoopIndex),
    /// A sub-saga, between its [`Action::Enter`] and its [`Action::Leave`], that included: it is skipped if the sub-saga is.
    Sub(FrameIndex),
}

/// What a step does.
#[derive(Debug, Clone)]
pub enum Action {
    /// It calls an upstream.
    Call(Box<CallStep>),
    /// It computes values: its outputs. Names: `input`, `steps`, `saga`, and the item in a loop.
    Set(Vec<(VariableName, ValueTemplate)>),
    /// It chooses one of several lists of steps, once: the first arm whose condition holds; where none does, no arm.
    Switch(Vec<Arm>),
    /// It fixes the list over which a loop's steps run, once.
    Foreach(LoopIndex),
    /// It lets time pass: a timer.
    Wait(Duration),
    /// A sub-saga begins: its inputs are computed and checked, once. [`Frame::given`] says from what.
    Enter(FrameIndex),
    /// A sub-saga is done: its outputs `status` and `body`, from [`Frame::reply`], are computed, once.
    Leave(FrameIndex),
}

/// One list of steps to choose from. Its steps say so themselves ([`Within::Arm`]).
#[derive(Debug, Clone)]
pub struct Arm {
    /// When it is chosen; `None`: `else`, which is the last. Names as for [`Action::Set`].
    pub when: Option<Expression>,
}

/// Steps that run once for each item of a list.
#[derive(Debug, Clone)]
pub struct Loop {
    /// Its step ([`Action::Foreach`]).
    pub step: StepIndex,
    /// The list. Names as for [`Action::Set`].
    pub list: ValueTemplate,
    /// The item's name in the expressions of its steps.
    pub item: VariableName,
    /// For how many items its steps run at once. With 1 an item begins when the one before is settled.
    pub max: usize,
    /// The longest list.
    pub limit: usize,
    /// Its steps, for every item: all of them, those of switches and sub-sagas in it included.
    pub body: Vec<StepIndex>,
}

/// A sub-saga: another saga's definition, run as part of this one, with the same journal. Undone by undoing its steps.
#[derive(Debug, Clone)]
pub struct Frame {
    /// The step that runs it; of its steps' paths, the beginning.
    pub path: StepPath,
    /// Its name.
    pub saga: SagaName,
    /// Its version.
    pub version: u32,
    /// What it stands in; `None`: the saga itself.
    pub parent: Option<FrameIndex>,
    /// Its beginning ([`Action::Enter`]), at [`StepPath::input`].
    pub enter: StepIndex,
    /// Its end ([`Action::Leave`]), at [`Frame::path`].
    pub leave: StepIndex,
    /// Its inputs as it declares them: what they must be. [`Input::from`] does not apply.
    pub input: Vec<Input>,
    /// From what they are computed: all of them, in their order. Names: those where the sub-saga's step stands.
    pub given: Vec<(VariableName, ValueTemplate)>,
    /// What it gives ([`Responses::completed`]). Names: its own `input`, `steps`, `saga`.
    pub reply: Option<Reply>,
    /// For going forward, from its beginning; then all compensates.
    pub deadline: Option<Duration>,
    /// How many of its steps may run at once.
    pub max_parallel: usize,
}

/// Where a step stands with regard to the pivot. Without a pivot, every step is [`Position::Before`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Position {
    /// It can be undone, or has no effect, or the author said that nothing is to be undone.
    Before,
    /// The last step that may fail.
    Pivot,
    /// Retried until done.
    After,
}

/// What a step's failure means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnFailure {
    /// The saga compensates (after the pivot: is quarantined).
    #[default]
    Compensate,
    /// The saga goes on; the step's outputs are absent.
    Continue,
}

/// A parallel group. It has no outputs and no condition of its own.
#[derive(Debug, Clone)]
pub struct Group {
    /// Its name, as a step's.
    pub id: StepPath,
    /// Its children, and what stands in them.
    pub members: Vec<StepIndex>,
    /// How many run at once.
    pub max: usize,
    /// Whether the failure of one keeps those that have not started from starting (`cancel_others`), or all run first
    /// (`wait_for_all`).
    pub cancel_others: bool,
}

/// What the caller gets.
#[derive(Debug, Clone)]
pub struct Responses {
    /// When every step is done. Names: `input`, `steps`, `saga`. Absent: 200 with no body.
    pub completed: Option<Reply>,
    /// When what was done is undone. Names: those, and `failure`. Absent: a 409 problem.
    pub compensated: Option<Reply>,
    /// When an operator must look. Names: those, and `failure`. Absent: a 500 problem.
    pub quarantined: Option<Reply>,
    /// How long a caller waits before it gets a 202.
    pub pending_after: Duration,
}

/// One answer to the caller.
#[derive(Debug, Clone)]
pub struct Reply {
    /// Its status.
    pub status: ValueTemplate,
    /// Its headers.
    pub headers: Vec<(HeaderName, Template)>,
    /// Its JSON body.
    pub body: Option<ValueTemplate>,
    /// Members of a problem (RFC 9457); with it there is no `body`.
    pub problem: Option<ValueTemplate>,
}

impl Saga {
    /// The index of a step, by its path without a place.
    pub fn step(&self, path: &str) -> Option<StepIndex> {
        self.steps.iter().position(|step| step.id.name() == path).map(StepIndex)
    }
}

impl std::ops::Index<StepIndex> for Saga {
    type Output = Step;

    fn index(&self, index: StepIndex) -> &Step {
        &self.steps[index.0]
    }
}
