//! The mirror of `test`.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::super::ordered::Ordered;

/// What services answer, and what must hold of every ending: for `refrain simulate`. No part of the definition: what runs the saga
/// never sees it.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Test")]
pub(in super::super) struct RawTest {
    /// What sagas are started with, and what services answer them. Without any, all is made up.
    #[serde(default)]
    #[schemars(length(max = 20))]
    pub(super) cases: Vec<RawCase>,
    /// What must hold of every ending of every case.
    #[serde(default)]
    #[schemars(length(max = 50))]
    pub(super) invariants: Vec<RawInvariant>,
}

/// One way to start the saga, and what services answer it.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "TestCase")]
pub(in super::super) struct RawCase {
    /// Its name.
    #[schemars(required, length(min = 1, max = 100))]
    pub(super) name: Option<String>,
    /// The inputs, as steps see them. Those that are left out are made up.
    pub(super) input: Option<Ordered<Value>>,
    /// The request that starts the saga, from which the inputs are taken. There is `input` or `request`, or neither.
    pub(super) request: Option<RawRequest>,
    /// What services answer, by step; in a sub-saga: `stay/reserve`. What is left out is made up.
    pub(super) answers: Option<Ordered<RawAnswers>>,
    /// How it ends when nothing goes wrong.
    pub(super) expect: Option<RawExpect>,
}

/// A request that starts the saga.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "TestRequest")]
pub(in super::super) struct RawRequest {
    /// Its path. Default: that of the trigger.
    pub(super) path: Option<String>,
    /// Its query.
    pub(super) query: Option<Ordered<Value>>,
    /// Its headers.
    pub(super) headers: Option<Ordered<String>>,
    /// Its JSON body.
    #[serde(default, deserialize_with = "present")]
    pub(super) body: Option<Value>,
    /// The claims of the caller's token.
    pub(super) claims: Option<Ordered<Value>>,
}

/// What a service answers to one step: to its call, and what else it may be asked.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "TestAnswers")]
pub(in super::super) struct RawAnswers {
    /// The status when it is done.
    #[schemars(range(min = 200, max = 599), extend("default" = 200))]
    pub(super) status: Option<u16>,
    /// The headers when it is done.
    pub(super) headers: Option<Ordered<String>>,
    /// The JSON body when it is done. Of a step with `accept`: that of the last poll.
    #[serde(default, deserialize_with = "present")]
    pub(super) body: Option<Value>,
    /// A definite no.
    pub(super) refused: Option<RawMock>,
    /// Accepted, and not yet done: of a step with `accept`, and of a callback's `send`.
    pub(super) accepted: Option<RawMock>,
    /// What a probe gets where the step was carried out.
    pub(super) found: Option<RawMock>,
    /// What a probe gets where it was not.
    pub(super) not_found: Option<RawMock>,
    /// What the step's undo gets.
    pub(super) undone: Option<RawMock>,
    /// What the step's undo gets where it is refused.
    pub(super) undo_refused: Option<RawMock>,
    /// The JSON that is called back, and is a yes.
    #[serde(default, deserialize_with = "present")]
    pub(super) approves: Option<Value>,
    /// The JSON that is called back, and is a no.
    #[serde(default, deserialize_with = "present")]
    pub(super) declines: Option<Value>,
}

/// One answer.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "TestAnswer")]
pub(in super::super) struct RawMock {
    /// Its status.
    #[schemars(range(min = 200, max = 599), extend("default" = 200))]
    pub(super) status: Option<u16>,
    /// Its headers.
    pub(super) headers: Option<Ordered<String>>,
    /// Its JSON body.
    #[serde(default, deserialize_with = "present")]
    pub(super) body: Option<Value>,
}

/// How the saga ends when nothing goes wrong. What is left out may be anything.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "TestExpectation")]
pub(in super::super) struct RawExpect {
    /// The saga's last state.
    pub(super) state: Option<RawState>,
    /// What the caller gets: its status.
    #[schemars(range(min = 200, max = 599))]
    pub(super) status: Option<u16>,
    /// What the caller gets: its JSON body.
    #[serde(default, deserialize_with = "present")]
    pub(super) body: Option<Value>,
}

/// A saga's last state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "TestState")]
pub(in super::super) enum RawState {
    /// Every step is done.
    Completed,
    /// What was done is undone.
    Compensated,
    /// It waits for an operator.
    Quarantined,
}

/// What must hold of every ending.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "TestInvariant")]
pub(in super::super) struct RawInvariant {
    /// What it says, in words.
    #[schemars(length(max = 200))]
    pub(super) name: Option<String>,
    /// One `${…}` over `ending` (`state`, `status`, `body`, `effects`, `undone`, `fault`, `faults`, `case`, `reason`, `seconds`) and
    /// `input`.
    #[schemars(required)]
    pub(super) check: Option<String>,
}

/// What is written is there, `null` included.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}
