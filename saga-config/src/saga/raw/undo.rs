//! How steps are undone.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Auth, Check, OnExhausted, Ordered, Outcome, Retry, present};
use crate::units::DurationText;

/// How a step is undone.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(untagged)]
pub(in crate::saga) enum Compensate {
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
pub(in crate::saga) enum UndoInDoubt {
    /// The same request again, with the same key, until there is a definite answer.
    Resend,
    /// The service is asked whether it was carried out.
    Check(Box<Check>),
}
