//! Waiting: for a time, for a callback, and for what was accepted.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Auth, Ordered, Outcome, Retry, present};
use crate::units::DurationText;

part! {
    /// Lets time pass, or waits until somebody calls back.
    Wait {
        /// What is sent, so that somebody calls back. Without it the step is a timer.
        callback: Box<Send>,
        /// How long. Without a callback by then the step has failed; one that has a `compensate` is undone.
        #[schemars(required)]
        #[serde(rename = "for")]
        within: DurationText,
    }
}

part! {
    /// The call that asks for a callback: somebody gets `callback.url`, and sends a POST with JSON there, once.
    Send {
        /// What is called: `UPSTREAM METHOD /path`, with `${…}` over `input`, `steps`, `saga`, `step` and `callback` (`url`).
        #[schemars(required)]
        send: String,
        /// The JSON body, with the same names.
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
        /// Which answers to the call mean what. The `outcome` of the step judges the callback.
        outcome: Outcome,
    }
}

part! {
    /// A service that accepts a request now and carries it out later.
    Accept {
        /// The status by which it accepts. Any other positive answer is the end at once.
        #[schemars(range(min = 200, max = 299), extend("default" = 202))]
        status: u16,
        /// How it is asked until it is done.
        #[schemars(required)]
        poll: Box<Poll>,
    }
}

part! {
    /// Asks a service that has accepted a request until it is done. The `outcome` of the step judges the last answer.
    Poll {
        /// What to ask: `UPSTREAM GET /path`, with `${…}` over `response` (the answer that accepted) and the names of the call.
        #[schemars(required)]
        call: String,
        /// Headers, with the same names.
        headers: Ordered<String>,
        /// Whose credentials it carries.
        #[schemars(extend("default" = "none"))]
        auth: Auth,
        /// For one attempt. Default: that of `defaults`.
        timeout: DurationText,
        /// The first delay, which doubles each time.
        #[schemars(extend("default" = "2s"))]
        every: DurationText,
        /// The longest delay.
        #[schemars(extend("default" = "1m"))]
        max_every: DurationText,
        /// One `${…}` over `response` (the answer to this question, of 2xx) and the names of the call: whether it is the end.
        #[schemars(required)]
        until: String,
        /// How long, from the acceptance. Without an end by then the step has failed; one that has a `compensate` is undone.
        #[schemars(required)]
        #[serde(rename = "for")]
        within: DurationText,
    }
}
