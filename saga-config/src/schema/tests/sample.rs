//! A format with every shape that Refrain's own use.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Deserialize;

use crate::units::{ByteCount, DurationText};

/// A format with every shape that Refrain's own use.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
pub(super) struct Sample {
    /// Required.
    pub(super) name: Option<String>,
    #[serde(default)]
    listen: Listen,
    #[serde(default)]
    upstreams: BTreeMap<String, Upstream>,
    on_in_flight: Option<OnInFlight>,
    dedupe: Option<Dedupe>,
    idempotency: Option<Idempotency>,
    workers: Option<Workers>,
    pub(super) size: Option<ByteCount>,
    ratio: Option<f64>,
    pub(super) big: Option<u64>,
    pub(super) body: Option<serde_json::Value>,
    store: Option<Store>,
    tags: Option<BTreeSet<String>>,
    pair: Option<(u8, bool)>,
    address: Option<std::net::IpAddr>,
    #[schemars(length(min = 1))]
    title: Option<String>,
    steps: Option<Vec<Step>>,
    even: Option<Even>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
pub(super) struct Upstream {
    url: OneOrMany,
    #[serde(default)]
    local: bool,
    response_timeout: Option<DurationText>,
    breaker: Option<Breaker>,
    #[schemars(range(min = 1, max = 1000))]
    max_in_flight: Option<u32>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
pub(super) struct Breaker {
    failures: u16,
    open_for: DurationText,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[allow(dead_code)]
pub(super) enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(untagged)]
#[allow(dead_code)]
pub(super) enum Listen {
    #[default]
    Nowhere,
    One(String),
    Many(Vec<Address>),
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
pub(super) struct Address {
    address: String,
    transparent: Option<bool>,
}

/// Externally tagged, with documented variants.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[allow(dead_code)]
pub(super) enum OnInFlight {
    /// 409.
    Conflict,
    /// Wait that long.
    Wait(DurationText),
    /// Ask.
    Probe { call: String, after: Option<DurationText> },
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Dedupe {
    Key,
    Payload,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[allow(dead_code)]
pub(super) enum Idempotency {
    Off(Off),
    On(Policy),
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Off {
    Off,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
pub(super) struct Policy {
    methods: Option<Vec<String>>,
    key: Option<KeyRule>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
pub(super) struct KeyRule {
    required: Option<bool>,
    max_length: Option<u8>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[allow(dead_code)]
pub(super) enum Workers {
    Auto(Auto),
    Number(u16),
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Auto {
    Auto,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
#[allow(dead_code)]
pub(super) enum Store {
    Memory { limit: Option<ByteCount> },
    Redis { url: String, timeout: Option<DurationText> },
}

/// A tree: steps hold steps.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[allow(dead_code)]
pub(super) enum Step {
    Call(Call),
    Parallel(Parallel),
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
pub(super) struct Call {
    id: String,
    call: String,
    timeout: Option<DurationText>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
pub(super) struct Parallel {
    id: String,
    parallel: Vec<Step>,
}

/// A type whose rule only its deserialiser knows.
#[derive(Debug, JsonSchema)]
pub(super) struct Even(#[allow(dead_code)] u32);

impl<'de> Deserialize<'de> for Even {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = u32::deserialize(deserializer)?;
        match number % 2 {
            0 => Ok(Self(number)),
            _ => Err(serde::de::Error::custom(format!("{number} is odd"))),
        }
    }
}
