//! The mirror of a saga's file: what its schema is made of, and what its canonical form is written from.
//!
//! The order of members is that of the canonical form: it is never changed.

/// A map of the file with fixed keys. Every value is optional here; what has to be there is `required` in the schema.
macro_rules! part {
    ($(#[$about:meta])* $name:ident { $($(#[$says:meta])* $key:ident: $value:ty,)* }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub(in crate::saga) struct $name {
            $($(#[$says])* #[serde(skip_serializing_if = "Option::is_none")] pub(in crate::saga) $key: Option<$value>,)*
        }
    };
}

/// Words, in `snake_case`.
macro_rules! words {
    ($(#[$about:meta])* $name:ident { $($(#[$says:meta])* $word:ident,)* }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
        #[serde(rename_all = "snake_case")]
        pub(in crate::saga) enum $name {
            $($(#[$says])* $word,)*
        }
    };
}

mod branches;
mod calls;
mod defaults;
mod either;
mod response;
mod steps;
mod sub_saga;
mod undo;
mod waits;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::{ordered::Ordered, test::raw::RawTest};
use crate::{
    names::SagaName,
    schema::{Format, STANDARD_FORMATS, parse_as},
    units::DurationText,
};

pub(super) use branches::{Arm, Foreach};
pub(super) use calls::{Auth, Check, Effect, InDoubt, Outcome, Status};
pub(super) use defaults::{Compensation, DefaultInDoubt, Defaults, OnExhausted, Retry};
pub(super) use response::{Pending, Reply, Responses};
pub(super) use steps::{GroupOnFailure, OnFailure, Parallel, Step};
pub(super) use sub_saga::SubSaga;
pub(super) use undo::{Compensate, NotAtAll, Undo, UndoEffect, UndoInDoubt};
pub(super) use waits::{Accept, Poll, Send, Wait};

const SAGA_FORMAT: &str = "refrain-saga";

/// The grammars of texts in this file.
pub(super) fn formats() -> Vec<Format> {
    let saga = Format { name: SAGA_FORMAT, expected: "a name such as create-order", parse: parse_as::<SagaName> };
    [STANDARD_FORMATS, &[saga]].concat()
}

part! {
    /// A saga: steps across services, undone where they cannot all be done.
    Raw {
        /// Its name: lower-case words joined by `-` or `_`.
        #[schemars(required, extend("format" = SAGA_FORMAT))]
        saga: SagaName,
        /// Its version, for people. What tells definitions apart is their content.
        #[schemars(required, range(min = 1))]
        version: u32,
        /// What it does.
        #[schemars(length(max = 4096))]
        description: String,
        /// What starts it.
        #[schemars(required)]
        trigger: Trigger,
        /// What it is given: evaluated once, in this order, and checked before any step runs.
        input: Ordered<Input>,
        /// Whether input, bodies and answers hold secrets: refused unless the store encrypts.
        #[schemars(extend("default" = false))]
        sensitive: bool,
        /// How long it may go forward; then it compensates. Void once the pivot is passed. Compensation has no deadline.
        deadline: DurationText,
        /// What holds for every step that says nothing else.
        defaults: Defaults,
        /// How many steps may run at once.
        #[schemars(range(min = 1, max = 64), extend("default" = 16))]
        max_parallel: u32,
        /// The steps. List order is execution order, unless a step `needs` others.
        #[schemars(required, with = "Vec<Step>", length(min = 1, max = 100))]
        steps: Vec<Option<Step>>,
        /// What the caller gets.
        response: Responses,
        /// What services answer, and what must hold of every ending: for `refrain simulate`.
        test: RawTest,
    }
}

part! {
    /// What starts it: a `route` or `start`.
    Trigger {
        /// An ordinary route, intercepted: `POST /orders/`. Its path is exact, or has placeholders: `/orders/{id}/`.
        route: String,
        /// By name: `POST /sagas/NAME`.
        start: String,
        /// Whether a request must carry a key. Without one (`optional`) the saga runs under a generated id.
        #[schemars(extend("default" = "required"))]
        idempotency: Idempotency,
    }
}

words! {
    /// Whether a request must carry a key.
    Idempotency {
        /// 400 without a key.
        Required,
        /// Without a key, a generated id.
        Optional,
    }
}

part! {
    /// One input.
    Input {
        /// Where it comes from: JSON with `${…}` over `request` (`method`, `path`, `query`, `headers`, `body`) and `claims`.
        #[schemars(required)]
        #[serde(default, deserialize_with = "present")]
        from: Value,
        /// What it must be.
        #[schemars(extend("default" = "any"))]
        #[serde(rename = "type")]
        kind: InputType,
        /// One `${…}` over `self`: what must hold of it.
        check: String,
    }
}

words! {
    /// What an input must be.
    InputType {
        /// Anything, `null` included.
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
}

/// What is written is there, `null` included.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}
