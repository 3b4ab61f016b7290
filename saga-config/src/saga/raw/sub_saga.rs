//! `saga` of a step.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Ordered, SAGA_FORMAT, SagaName};

part! {
    /// Another saga, run as a part of this one.
    SubSaga {
        /// Its name.
        #[schemars(required, extend("format" = SAGA_FORMAT))]
        name: SagaName,
        /// What it is given: all of the inputs that it declares, with `${…}` over `input`, `steps` and `saga`.
        input: Ordered<Value>,
    }
}
