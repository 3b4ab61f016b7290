//! What holds for steps that say nothing else.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::DurationText;

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
