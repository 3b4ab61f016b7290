//! Calls: what they are judged by, and what is done in doubt.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Ordered, present};
use crate::units::DurationText;

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
pub(in crate::saga) enum InDoubt {
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
pub(in crate::saga) enum Status {
    Number(#[schemars(range(min = 200, max = 599))] u16),
    Text(String),
}
