//! `sagas`.

use saga_config::units::DurationText;
use schemars::JsonSchema;
use serde::Deserialize;

/// The sagas, and how they are run.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Sagas {
    /// The files of the definitions, one saga each. A relative path is relative to this file; `*` in a file's name stands for any
    /// characters.
    #[schemars(length(max = 1000), inner(length(min = 1)), extend("default" = []))]
    pub(in crate::config) files: Option<Vec<String>>,
    /// How long a driver has a saga if it dies. Renewed at a third.
    #[schemars(extend("default" = "2s"))]
    pub(in crate::config) lease: Option<DurationText>,
    /// Into how many parts a Redis store divides the sagas; the same in all replicas, and fixed once there are any.
    #[schemars(range(min = 1, max = 1024), extend("default" = 16))]
    pub(in crate::config) partitions: Option<u16>,
    /// How long a saga that has ended is kept. One that has not is kept for ever.
    #[schemars(extend("default" = "7d"))]
    pub(in crate::config) retention: Option<DurationText>,
    /// When a journal's entries count as written.
    #[schemars(extend("default" = "store"))]
    pub(in crate::config) durability: Option<Durability>,
}

/// When a journal's entries count as written.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum Durability {
    /// When the store says so.
    Store,
}
