//! What a reload replaces: the definitions in force, what starts them, and what is known of the upstreams.

use std::{fmt, sync::Arc, time::Duration};

use http::Uri;
use saga_config::saga::{DefinitionHash, Saga};

use super::{callback::CALLBACK_PATH, triggers::Triggers, turn::Upstreams};
use crate::{
    config::{SagasConfig, trigger_path},
    ids::SagaId,
};

/// Where sagas are told of: their status is at this path and their id.
pub const STATUS_PATH: &str = "/refrain/sagas/";

/// What sagas go by, until the next reload.
#[derive(Clone)]
pub struct Plan {
    /// What starts them.
    pub triggers: Arc<Triggers>,
    /// The definitions that new sagas run by.
    pub definitions: Vec<Arc<Saga>>,
    /// What the machine knows of the upstreams.
    pub upstreams: Arc<dyn Upstreams + Send + Sync>,
    /// How long a driver has a saga without renewing its lease.
    pub lease: Duration,
    /// How long an ended saga is kept.
    pub retention: Duration,
    /// The name of the local upstream, which calls that name none go to.
    pub local: Option<String>,
    public_url: Option<String>,
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plan").field("definitions", &self.definitions.len()).field("lease", &self.lease).finish_non_exhaustive()
    }
}

impl Plan {
    /// A plan by this configuration.
    pub fn new(
        config: &SagasConfig,
        public_url: Option<&Uri>,
        local: Option<String>,
        upstreams: Arc<dyn Upstreams + Send + Sync>,
    ) -> Self {
        let triggered = config.definitions.iter().filter_map(|saga| match trigger_path(&saga.trigger.path) {
            Ok(path) => Some((path, Arc::clone(saga))),
            Err(error) => {
                // Definitions are checked when they are read.
                tracing::error!(saga = %saga.name, error, "a trigger's path cannot be matched");
                None
            }
        });
        Self {
            triggers: Arc::new(Triggers::new(triggered)),
            definitions: config.definitions.clone(),
            upstreams,
            lease: config.lease,
            retention: config.retention,
            local,
            public_url: public_url.map(|url| url.to_string().trim_end_matches('/').to_owned()),
        }
    }

    /// The definition in force with this hash.
    pub fn definition(&self, hash: DefinitionHash) -> Option<&Arc<Saga>> {
        self.definitions.iter().find(|saga| saga.hash == hash)
    }

    /// The definition in force of this name.
    pub fn named(&self, name: &str) -> Option<&Arc<Saga>> {
        self.definitions.iter().find(|saga| saga.name.as_str() == name)
    }

    /// The beginning of the URLs at which callbacks come in: all but the saga's id and the token. `None`: nobody said how this Refrain
    /// is reached, and then no definition waits for callbacks.
    pub fn callbacks(&self) -> Option<String> {
        self.public_url.as_deref().map(|url| format!("{url}{CALLBACK_PATH}"))
    }

    /// Where a saga's status is.
    pub fn location(&self, id: SagaId) -> String {
        format!("{}{STATUS_PATH}{id}", self.public_url.as_deref().unwrap_or_default())
    }
}
