//! `saga` of a step.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Ordered, SAGA_FORMAT, SagaName};

/// Another saga, run as a part of this one.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::saga) struct SubSaga {
    /// Its name.
    #[schemars(required, extend("format" = SAGA_FORMAT))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::saga) name: Option<SagaName>,
    /// What it is given: all of the inputs that it declares, with `${…}` over `input`, `steps` and `saga`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::saga) input: Option<Ordered<Value>>,
}
