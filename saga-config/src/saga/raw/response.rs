//! What the caller gets.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Ordered, Status, present};
use crate::units::DurationText;

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
