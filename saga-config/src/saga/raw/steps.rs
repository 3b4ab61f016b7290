//! Steps.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Accept, Arm, Auth, Compensate, Effect, Foreach, InDoubt, Ordered, Outcome, Retry, SubSaga, Wait, present};
use crate::units::DurationText;

part! {
    /// A step: it has one of `call`, `set`, `parallel`, `switch`, `foreach` and `wait`.
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
        /// Several lists of steps, of which one runs: the first whose condition holds. Decided once; where none holds, none runs.
        #[schemars(with = "Option<Vec<Arm>>", length(min = 1, max = 64))]
        switch: Vec<Option<Arm>>,
        /// The list for each of whose items the `steps` beside it run. Outside of the loop their outputs are lists.
        foreach: Foreach,
        /// The steps of `foreach`, with the item's name in their `${…}`.
        #[schemars(with = "Option<Vec<Step>>", length(min = 1, max = 100))]
        steps: Vec<Option<Step>>,
        /// It lets time pass, or waits until somebody calls back.
        wait: Wait,
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
        /// That the service accepts the request now and carries it out later: how it is asked until it is done.
        accept: Accept,
        /// Which answers mean what. Of a step that waits for a callback, `failure` alone: whether what came is a no.
        outcome: Outcome,
        /// What the call does to the service.
        #[schemars(extend("default" = "once"))]
        effect: Effect,
        /// What is done when nobody knows whether it was carried out. Default: that of `defaults`.
        in_doubt: InDoubt,
        /// What is kept of the answer, with `${…}` over `response` (of a step that waits for a callback, `callback.body`) and the names
        /// of the call. Nothing else is journalled.
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
        /// Another saga, run as a part of this one, and undone by undoing its steps. Its outputs are `status` and `body`.
        saga: SubSaga,
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
    /// What a step's failure means.
    OnFailure {
        /// The saga compensates; after the pivot, it is quarantined.
        Compensate,
        /// The saga goes on; the step's outputs are absent.
        Continue,
    }
}
