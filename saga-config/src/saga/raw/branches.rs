//! Switches and loops.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Step, present};

part! {
    /// One list of steps to choose from: a `when` with its `steps`, or `else`.
    Arm {
        /// One `${…}` over `input`, `steps` and `saga`: whether these steps run, if no arm before this one was chosen.
        when: String,
        /// The steps of that case; `[]`: nothing is to be done.
        #[schemars(with = "Option<Vec<Step>>", length(max = 100))]
        steps: Vec<Option<Step>>,
        /// The steps that run where no condition holds. It stands last.
        #[schemars(with = "Option<Vec<Step>>", length(max = 100))]
        #[serde(rename = "else")]
        otherwise: Vec<Option<Step>>,
    }
}

part! {
    /// The list that a loop goes over.
    Foreach {
        /// The list: one `${…}` over `input`, `steps` and `saga`, or a list. Evaluated once.
        #[schemars(required)]
        #[serde(rename = "in", default, deserialize_with = "present")]
        list: Value,
        /// The item's name in the `${…}` of the steps.
        #[schemars(required)]
        #[serde(rename = "as")]
        item: String,
        /// For how many items the steps run at once. With 1, an item begins when the one before is settled.
        #[schemars(range(min = 1, max = 64), extend("default" = 1))]
        max: u32,
        /// The longest list; with a longer one the step fails.
        #[schemars(range(min = 1, max = 1000), extend("default" = 100))]
        limit: u32,
    }
}
