//! The mirror of a saga's file: what its schema is made of, and what its canonical form is written from.
//!
//! The order of members is that of the canonical form: it is never changed.

mod either;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::{ordered::Ordered, test::raw::RawTest};
use crate::{
    names::SagaName,
    schema::{Format, STANDARD_FORMATS, parse_as},
    units::DurationText,
};

const SAGA_FORMAT: &str = "refrain-saga";

/// The grammars of texts in this file.
pub(super) fn formats() -> Vec<Format> {
    let saga = Format { name: SAGA_FORMAT, expected: "a name such as create-order", parse: parse_as::<SagaName> };
    [STANDARD_FORMATS, &[saga]].concat()
}

/// A map of the file with fixed keys. Every value is optional here; what has to be there is `required` in the schema.
macro_rules! part {
    ($(#[$about:meta])* $name:ident { $($(#[$says:meta])* $key:ident: $value:ty,)* }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub(super) struct $name {
            $($(#[$says])* #[serde(skip_serializing_if = "Option::is_none")] pub(super) $key: Option<$value>,)*
        }
    };
}

/// Words, in `snake_case`.
macro_rules! words {
    ($(#[$about:meta])* $name:ident { $($(#[$says:meta])* $word:ident,)* }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
        #[serde(rename_all = "snake_case")]
        pub(super) enum $name {
            $($(#[$says])* $word,)*
        }
    };
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

part! {
    /// What holds for every step that says nothing else.
    Defaults {
        /// For one attempt.
        #[schemars(extend("default" = "10s"))]
        timeout: DurationText,
        /// How often a step is tried, and how that is spaced.
        retry: Retry,
        /// What is done when nobody knows whether a step was carried out.
        #[schemars(extend("default" = "resend"))]
        in_doubt: DefaultInDoubt,
        /// How steps are undone.
        compensation: Compensation,
    }
}

words! {
    /// What is done when nobody knows whether a step was carried out.
    DefaultInDoubt {
        /// The same request again, with the same key, until there is a definite answer.
        Resend,
        /// It is undone blindly.
        Compensate,
        /// It is undone through the participant's Refrain.
        Barrier,
        /// An operator decides.
        Manual,
    }
}

part! {
    /// How steps are undone.
    Compensation {
        /// How often an undo is tried, and how that is spaced.
        retry: Retry,
        /// What happens when that is spent.
        #[schemars(extend("default" = "quarantine"))]
        on_exhausted: OnExhausted,
    }
}

words! {
    /// What happens when an undo's budget is spent.
    OnExhausted {
        /// The saga waits for an operator.
        Quarantine,
        /// The undo counts as made; said in the journal and in a metric.
        Continue,
    }
}

part! {
    /// How often a call is tried. A `max` or a `for` replaces both of the defaults; the delays are inherited one by one.
    Retry {
        /// The most starts, the first included. Asking again for an answer, and attempts that sent nothing, are not starts.
        #[schemars(range(min = 1, max = 1000))]
        max: u32,
        /// How long, from the first start.
        #[serde(rename = "for")]
        within: DurationText,
        /// The first bound of the delay, which doubles each time. The delay itself is drawn below its bound.
        initial: DurationText,
        /// The last bound of the delay.
        max_delay: DurationText,
    }
}

part! {
    /// A step: it has one of `call`, `set` and `parallel`.
    Step {
        /// Its name, by which expressions read its outputs: `steps.ID.OUTPUT`.
        #[schemars(required)]
        id: String,
        /// What it calls: `UPSTREAM METHOD /path`, without `UPSTREAM` the service beside this Refrain.
        call: String,
        /// What it computes: its outputs, with `${…}` over `input`, `steps` and `saga`.
        set: Ordered<Value>,
        /// Steps that start together; the group is done when all are.
        parallel: Box<Parallel>,
        /// The JSON body, with `${…}` over `input`, `steps`, `saga` and `step`.
        #[serde(default, deserialize_with = "present")]
        body: Value,
        /// Headers, with the same names.
        headers: Ordered<String>,
        /// Whose credentials the call carries.
        #[schemars(extend("default" = "none"))]
        auth: Auth,
        /// For one attempt. Default: that of `defaults`.
        timeout: DurationText,
        /// How often it is tried, and how that is spaced. Default: that of `defaults`.
        retry: Retry,
        /// Which answers mean what.
        outcome: Outcome,
        /// What the call does to the service.
        #[schemars(extend("default" = "once"))]
        effect: Effect,
        /// What is done when nobody knows whether it was carried out. Default: that of `defaults`.
        in_doubt: InDoubt,
        /// What is kept of the answer, with `${…}` over `response` and the names of the call. Nothing else is journalled.
        output: Ordered<Value>,
        /// How it is undone; `none`: not at all, which must be said of a step with an effect before the pivot.
        compensate: Compensate,
        /// Whether it is the last step that may fail.
        #[schemars(extend("default" = false))]
        pivot: bool,
        /// One `${…}` over `input`, `steps` and `saga`: whether it runs at all. Skipped, its outputs are absent.
        when: String,
        /// The steps and groups of the same list that must be settled before it starts. It turns the list into a graph, in which a
        /// step without `needs` starts at once.
        needs: Vec<String>,
        /// What its failure means.
        #[schemars(extend("default" = "compensate"))]
        on_failure: OnFailure,
    }
}

part! {
    /// Steps that start together.
    Parallel {
        /// How many run at once. Default: all.
        #[schemars(range(min = 1, max = 64))]
        max: u32,
        /// What the failure of one means for the others.
        #[schemars(extend("default" = "cancel_others"))]
        on_failure: GroupOnFailure,
        /// The steps.
        #[schemars(required, with = "Vec<Step>", length(min = 1, max = 100))]
        steps: Vec<Option<Step>>,
    }
}

words! {
    /// What the failure of one means for the others.
    GroupOnFailure {
        /// What has not started does not start.
        CancelOthers,
        /// All run first.
        WaitForAll,
    }
}

words! {
    /// Whose credentials a call carries.
    Auth {
        /// None.
        None,
        /// The upstream's own.
        Service,
    }
}

part! {
    /// Which answers mean what, one `${…}` each over `response` and the names of the call. Tried in this order; what none says is
    /// judged by its status.
    Outcome {
        /// A definite no.
        failure: String,
        /// Not an answer yet: it is asked again with the same key.
        pending: String,
        /// Done. Where it says no, the answer is a failure if its status is 1xx to 4xx, and unknown otherwise.
        success: String,
    }
}

words! {
    /// What a call does to the service.
    Effect {
        /// It reads. It carries no key and needs no undo.
        None,
        /// Doing it twice is as doing it once.
        Idempotent,
        /// It must happen once.
        Once,
    }
}

/// What is done when nobody knows whether a call was carried out.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum InDoubt {
    /// The same request again, with the same key, until there is a definite answer.
    Resend,
    /// It is undone blindly. Its undo uses nothing of the step's own answer.
    Compensate,
    /// It is undone through the participant's Refrain. Its undo uses nothing of the step's own answer.
    Barrier,
    /// An operator decides.
    Manual,
    /// The service is asked whether it was carried out.
    Check(Box<Check>),
}

part! {
    /// Asks the service whether it was carried out.
    Check {
        /// What to ask: `UPSTREAM GET /path`, with `${…}` over `input`, `steps`, `saga` and `step`.
        #[schemars(required)]
        call: String,
        /// Headers, with the same names.
        headers: Ordered<String>,
        /// Whose credentials it carries.
        #[schemars(extend("default" = "none"))]
        auth: Auth,
        /// "Not done" counts only this long after the send. Default: the upstream's `max_execution`.
        after: DurationText,
        /// For one attempt. Default: that of `defaults`.
        timeout: DurationText,
        /// One `${…}` over `response` and the names of the call: whether it was carried out.
        #[schemars(required)]
        done: String,
        /// What counts as the step's answer then. Default: the probe's own.
        response: CheckResponse,
    }
}

part! {
    /// The answer built from a probe's, with `${…}` over `response` and the names of the probe.
    CheckResponse {
        /// Its status: a number or one `${…}`.
        #[schemars(required)]
        status: Status,
        /// Its JSON body.
        #[schemars(required)]
        #[serde(default, deserialize_with = "present")]
        body: Value,
    }
}

/// A status, known or computed.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum Status {
    Number(#[schemars(range(min = 200, max = 599))] u16),
    Text(String),
}

/// How a step is undone.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum Compensate {
    None(NotAtAll),
    Call(Box<Undo>),
}

words! {
    /// Not at all.
    NotAtAll {
        /// It is not undone.
        None,
    }
}

part! {
    /// The call that undoes a step.
    Undo {
        /// What it calls: `UPSTREAM METHOD /path`, with `${…}` over `input`, `steps` (its own included), `saga` and `step` (the undo's
        /// own key).
        #[schemars(required)]
        call: String,
        /// The JSON body, with the same names.
        #[serde(default, deserialize_with = "present")]
        body: Value,
        /// Headers, with the same names.
        headers: Ordered<String>,
        /// Whose credentials it carries.
        #[schemars(extend("default" = "none"))]
        auth: Auth,
        /// For one attempt. Default: that of `defaults`.
        timeout: DurationText,
        /// How often it is tried, and how that is spaced. Default: that of `defaults.compensation`.
        retry: Retry,
        /// Which answers mean what.
        outcome: Outcome,
        /// What it does to the service.
        #[schemars(extend("default" = "once"))]
        effect: UndoEffect,
        /// What is done when nobody knows whether it was carried out.
        #[schemars(extend("default" = "resend"))]
        in_doubt: UndoInDoubt,
        /// What happens when its budget is spent. Default: that of `defaults.compensation`.
        on_exhausted: OnExhausted,
    }
}

words! {
    /// What an undo does to the service.
    UndoEffect {
        /// Doing it twice is as doing it once, as is setting a state.
        Idempotent,
        /// It must happen once.
        Once,
    }
}

/// What is done when nobody knows whether an undo was carried out.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum UndoInDoubt {
    /// The same request again, with the same key, until there is a definite answer.
    Resend,
    /// The service is asked whether it was carried out.
    Check(Box<Check>),
}

words! {
    /// What a step's failure means.
    OnFailure {
        /// The saga compensates; after the pivot, it is quarantined.
        Compensate,
        /// The saga goes on; the step's outputs are absent.
        Continue,
    }
}

part! {
    /// What the caller gets, with `${…}` over `input`, `steps` and `saga`.
    Responses {
        /// When every step is done. Default: 200 without a body.
        completed: Reply,
        /// When what was done is undone. `failure` (`step`, `status`, `reason`) is there too. Default: a 409 problem.
        compensated: Reply,
        /// When an operator must look. `failure` is there too. Default: a 500 problem.
        quarantined: Reply,
        /// When it takes long.
        pending: Pending,
    }
}

part! {
    /// One answer to the caller. It has a `body` or a `problem`, or neither.
    Reply {
        /// Its status: a number or one `${…}`.
        status: Status,
        /// Headers.
        headers: Ordered<String>,
        /// Its JSON body.
        #[serde(default, deserialize_with = "present")]
        body: Value,
        /// Members of a problem (RFC 9457) but for `status`, such as `title` and `detail`.
        problem: Ordered<Value>,
    }
}

part! {
    /// When it takes long.
    Pending {
        /// How long a caller waits before it gets a 202 with a `Location`.
        #[schemars(extend("default" = "10s"))]
        after: DurationText,
    }
}

/// What is written is there, `null` included.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}
