//! The entries of a saga's journal: all that a saga remembers.
//!
//! An entry is a JSON object, so that a journal can be read without this program. Journals that were written once stay readable: a
//! member may be added with a default, a kind may be added, nothing is renamed or removed (`machine/tests/journals` keeps some).
//!
//! Nothing that a secret helper gave is in an entry. What is in it is sealed where the store encrypts.

use saga_config::{
    names::{SagaName, SecretName, StepPath, VariableName},
    saga::DefinitionHash,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::time::Timestamp;

/// One entry, and when it was made: the driver's estimate of the store's time (invariant 17).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Unix milliseconds.
    pub at: Timestamp,
    /// What happened.
    #[serde(flatten)]
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "snake_case")]
pub enum What {
    /// The saga began. Always the first entry, and only there.
    Started(Started),
    /// The intent to send a request for the first time, or once more after an outcome that is unknown: a *start*. The call
    /// leaves after this is durable (invariant 1). Asking again for an answer is no start.
    Sending {
        /// Which call.
        #[serde(flatten)]
        of: Which,
        /// The number of the start, from 1, within the generation.
        start: u32,
        /// The undo's request, where it can be rendered before the step is done (invariant 5). Of a call back: its own request, where
        /// an operator said "run again", since a new generation has a new key.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        undo: Option<FrozenRequest>,
        /// The request itself, at the first start, where its body holds a secret: it is bound once, and each later send is this.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        request: Option<FrozenRequest>,
    },
    /// The intent to ask again for an answer, with the same key, after [`What::Waiting`]. No start: it spends time only. It is
    /// journalled all the same (invariant 1), so that a saga that was parked is told from one whose driver was lost while it asked.
    Asking {
        /// Which call.
        #[serde(flatten)]
        of: Which,
    },
    /// A start came to nothing: it was proved that no byte left. It does not count against the budget.
    NotSent {
        /// Which call.
        #[serde(flatten)]
        of: Which,
        /// Why.
        reason: String,
        /// When it is tried again.
        again_at: Timestamp,
    },
    /// A send has no definite answer: nobody knows whether the upstream acted.
    Doubted {
        /// Which call.
        #[serde(flatten)]
        of: Which,
        /// Why.
        reason: String,
        /// When the doubt is worked on next: a new start, or a probe; `None`: the policy says to leave it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        again_at: Option<Timestamp>,
        /// Whether only an operator can work on it: the saga is quarantined for it.
        #[serde(default, skip_serializing_if = "is_false")]
        needs_operator: bool,
        /// Until when the participant remembers the key, where it said so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        remembered_until: Option<Timestamp>,
    },
    /// Not an answer yet: asked again with the same key at this time. No start.
    Waiting {
        /// Which call.
        #[serde(flatten)]
        of: Which,
        /// Why.
        reason: String,
        /// When.
        again_at: Timestamp,
        /// Until when the participant remembers the key, where it said so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        remembered_until: Option<Timestamp>,
    },
    /// A probe found that none of the sends so far was carried out. It may be sent again.
    NotDone {
        /// Which call.
        #[serde(flatten)]
        of: Which,
    },
    /// A step is done.
    Done {
        /// The step.
        step: StepPath,
        /// What is kept of the answer.
        #[serde(default, skip_serializing_if = "Map::is_empty")]
        output: Map<String, Value>,
        /// The undo's request, where it needs the answer (invariant 5).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        undo: Option<FrozenRequest>,
        /// Who says so.
        #[serde(default)]
        by: By,
        /// Why the step counts as failed all the same: it was carried out (and is undone), but its answer does not give what is
        /// needed of it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        fault: Option<String>,
    },
    /// A step was definitely not carried out.
    Refused {
        /// The step.
        step: StepPath,
        /// The answer's status; 0 where there was none.
        status: u16,
        /// Why.
        reason: String,
        /// Who says so.
        #[serde(default)]
        by: By,
    },
    /// A step is given up in doubt: it may have been carried out, and its undo (if it has one) runs all the same. Only under
    /// `in_doubt: compensate` and `barrier`.
    GivenUp {
        /// The step.
        step: StepPath,
        /// Why.
        reason: String,
    },
    /// A step will not run: its condition says so, its group failed, or an operator said so. Taken once (invariant 11).
    Skipped {
        /// The step.
        step: StepPath,
        /// Why.
        because: SkipReason,
    },
    /// A step that computes has computed (invariant 11).
    Set {
        /// The step.
        step: StepPath,
        /// Its values.
        values: Map<String, Value>,
    },
    /// A switch has chosen (invariant 11). What stands in its other arms is skipped.
    Chosen {
        /// The switch's step.
        step: StepPath,
        /// Which arm, from 0; `None`: none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        arm: Option<u32>,
    },
    /// A loop's list is fixed (invariant 11). From here on its steps are there, one of each for each item.
    Listed {
        /// The loop's step.
        step: StepPath,
        /// The items.
        items: Vec<Value>,
    },
    /// A timer was set.
    Timed {
        /// The step that waits.
        step: StepPath,
        /// Until when.
        until: Timestamp,
    },
    /// A timer is over.
    Elapsed {
        /// The step that waited.
        step: StepPath,
    },
    /// A step was accepted, and is not at its end: the call is never sent again.
    Accepted {
        /// The step.
        step: StepPath,
        /// The answer that accepted it, as expressions see it: `steps.ID.accepted`.
        answer: Value,
        /// The undo's request, where it needs that answer (invariant 5).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        undo: Option<FrozenRequest>,
        /// When the end must have come.
        until: Timestamp,
        /// When the service is asked; `None`: somebody calls back.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        again_at: Option<Timestamp>,
    },
    /// A service that has accepted was asked, and is not done.
    Polled {
        /// The step.
        step: StepPath,
        /// What it said.
        reason: String,
        /// When it is asked again.
        again_at: Timestamp,
    },
    /// Somebody called back. What it means for the step is the next entry.
    CalledBack {
        /// The step that waits for it.
        step: StepPath,
        /// What was sent.
        body: Value,
        /// Tells the caller's own repeat.
        nonce: String,
    },
    /// An undo was carried out, or there is nothing left to undo.
    Undone {
        /// The step that is undone.
        step: StepPath,
        /// Who says so.
        #[serde(default)]
        by: By,
    },
    /// An undo was refused, or its budget is spent.
    UndoFailed {
        /// The step that is not undone.
        step: StepPath,
        /// The answer's status; 0 where there was none.
        status: u16,
        /// Why.
        reason: String,
    },
    /// The saga turned back: from here on it undoes.
    Compensating {
        /// Why.
        because: Turning,
    },
    /// The saga stopped, and waits for an operator. It is open.
    Quarantined {
        /// What an operator can act on.
        reason: String,
    },
    /// The saga ended with every step done, or with nothing left to undo.
    Ended {
        /// `true`: completed; `false`: compensated.
        completed: bool,
    },
    /// An operator spoke.
    Operator {
        /// What is to happen.
        #[serde(flatten)]
        act: Act,
        /// Why, in the operator's words.
        reason: String,
        /// Tells the command's own repeat.
        nonce: String,
        /// Why it had no effect, if it had none: it does not apply as the saga stands.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        refused: Option<String>,
    },
}

/// How a saga began.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Started {
    /// The version of this format: 1.
    pub format: u32,
    /// The saga's name.
    pub name: SagaName,
    /// The definition's version.
    pub version: u32,
    /// Which definition it runs by (invariant 13).
    pub definition: DefinitionHash,
    /// Tells this saga from an earlier one under the same id: part of every step key (invariant 3). 32 hexadecimal digits.
    pub incarnation: String,
    /// The inputs.
    pub input: Map<String, Value>,
    /// When going forward must be over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
    /// Where callbacks come in, where the definition waits for any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub callbacks: Option<Callbacks>,
    /// The starter's trace (W3C Trace Context), for the calls' `traceparent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
}

/// Where callbacks come in.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Callbacks {
    /// The beginning of their URLs, up to and without the saga's id. As it was when the saga began: a request that is rendered again is
    /// the same request.
    pub base: String,
    /// What their tokens are computed from, with nothing else that is secret: 64 hexadecimal digits.
    pub secret: String,
}

impl std::fmt::Debug for Callbacks {
    /// Without the secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Callbacks").field("base", &self.base).finish_non_exhaustive()
    }
}

/// A call of a step, or of its undo.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Which {
    /// The step.
    pub step: StepPath,
    /// Forward, or back.
    pub direction: Direction,
    /// Which generation of the key: 1, and one more for each time an operator says "run again" (invariant 3).
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub generation: u32,
}

const fn one() -> u32 {
    1
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
const fn is_one(generation: &u32) -> bool {
    *generation == 1
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
const fn is_false(value: &bool) -> bool {
    !*value
}

/// Forward, or back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// The step itself.
    Forward,
    /// Its undo.
    Undo,
}

/// A request that was rendered once and stays so.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FrozenRequest {
    /// The upstream's name; `None`: the local one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<String>,
    /// The method.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Headers of the definition, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(String, String)>,
    /// Headers with secrets in them, in order: the secrets are bound when the request is sent, and are never here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secret_headers: Vec<(String, Vec<HeaderPart>)>,
    /// The JSON body, as text, byte for byte.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
}

/// A part of a header's value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeaderPart {
    /// Text.
    Text(String),
    /// What the secret of this name is when the request is sent.
    Secret(SecretName),
}

/// Who says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// The upstream's answer.
    #[default]
    Answer,
    /// A probe (`in_doubt: check`).
    Check,
    /// The participant's Refrain, which knows or has forbidden it (the barrier).
    Barrier,
    /// An operator.
    Operator,
    /// Nobody needed to: there was nothing to do, or `on_exhausted: continue` says so.
    Rule,
}

/// Why a step does not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SkipReason {
    /// Its `when` says no, or that of what it stands in.
    Condition,
    /// It stands in an arm of a switch that was not chosen.
    NotChosen,
    /// Another step of its group failed, or the saga turned back before it began.
    Cancelled,
    /// An operator said so.
    Operator,
}

/// Why a saga turned back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "cause", rename_all = "snake_case")]
pub enum Turning {
    /// A step failed.
    Failure {
        /// The step.
        step: StepPath,
        /// The answer's status; 0 where there was none.
        status: u16,
        /// Why.
        reason: String,
    },
    /// The deadline passed.
    Deadline,
    /// An operator said so.
    Operator,
}

/// What an operator does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "snake_case")]
pub enum Act {
    /// What waits is tried now, with fresh budgets; a quarantined saga goes on. `run_again`: with a new key (a new generation), for
    /// what the operator knows was not carried out.
    Retry {
        /// Only this step; `None`: all that can be.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        step: Option<StepPath>,
        /// With a new generation of the key.
        #[serde(default)]
        run_again: bool,
    },
    /// A step in doubt was carried out: these are its outputs.
    ResolveDone {
        /// The step.
        step: StepPath,
        /// Its outputs.
        #[serde(default)]
        output: Map<String, Value>,
    },
    /// A step in doubt was not carried out.
    ResolveNotDone {
        /// The step.
        step: StepPath,
    },
    /// An undo was carried out by hand, or is not needed.
    ResolveUndone {
        /// The step.
        step: StepPath,
    },
    /// The saga turns back. Refused past the pivot.
    Compensate,
    /// A step that has not started does not run.
    Skip {
        /// The step.
        step: StepPath,
    },
    /// Nothing new starts until it is resumed. What is under way is answered.
    Pause,
    /// It goes on.
    Resume,
}

/// What is journalled as a step's output must be a variable's name; shown in errors.
pub fn output_of(values: impl IntoIterator<Item = (VariableName, Value)>) -> Map<String, Value> {
    values.into_iter().map(|(name, value)| (name.as_str().to_owned(), value)).collect()
}
