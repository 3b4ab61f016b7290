//! What a reload can change, and what it cannot.

use super::{Config, Limits, SagasConfig};

impl Config {
    /// The settings that differ from `old` and need a restart, as they are called in the file.
    pub fn needs_restart(&self, old: &Self) -> Vec<&'static str> {
        let (new_store, old_store) = (&self.store, &old.store);
        let (new, before) = (&self.limits, &old.limits);
        let settings = [
            ("listen", self.listeners != old.listeners),
            ("admin.listen", self.admin != old.admin),
            ("workers", self.workers != old.workers),
            ("store.url", new_store.url != old_store.url),
            ("store.timeout", new_store.timeout != old_store.timeout),
            ("store.encryption", new_store.encryption != old_store.encryption),
            ("store.allow_eviction", new_store.allow_eviction != old_store.allow_eviction),
            ("sagas.lease", self.sagas.lease != old.sagas.lease),
            ("sagas.partitions", self.sagas.partitions != old.sagas.partitions),
            ("limits.header_bytes", new.header_bytes != before.header_bytes),
            ("limits.headers", new.headers != before.headers),
            ("limits.connections", new.connections != before.connections),
            ("limits.in_flight", new.in_flight != before.in_flight),
            ("limits.buffered", new.buffered != before.buffered),
            ("limits.header_timeout", new.header_timeout != before.header_timeout),
            ("limits.idle_timeout", new.idle_timeout != before.idle_timeout),
        ];
        settings.into_iter().filter_map(|(name, differs)| differs.then_some(name)).collect()
    }

    /// This configuration with `old`'s settings where a change needs a restart: what is in force after a reload.
    #[must_use]
    pub fn keeping_what_needs_a_restart(self, old: &Self) -> Self {
        Self {
            listeners: old.listeners.clone(),
            admin: old.admin,
            workers: old.workers,
            store: old.store.clone(),
            limits: Limits { drain: self.limits.drain, ..old.limits },
            sagas: SagasConfig { lease: old.sagas.lease, partitions: old.sagas.partitions, ..self.sagas },
            ..self
        }
    }
}
