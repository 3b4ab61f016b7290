//! What calls go by: the upstreams by name, what the own service's routes promise, and whose key signs. A reload replaces it.

use std::{collections::HashMap, sync::Arc, time::Duration};

use http::{Method, Uri};

use super::breaker::Breaker;
use crate::{
    config::{Secrets, UpstreamConfig},
    idempotency::policy::Policy,
    metrics::Metrics,
    peers::Peers,
    router::Router,
    saga::turn::Upstreams,
    upstream::Upstream,
};

/// What calls go by.
#[derive(Debug)]
pub struct Directory {
    targets: HashMap<String, Target>,
    local: Option<String>,
    /// The routes of the own service.
    own: Router,
    pub(super) peers: Peers,
    pub(super) secrets: Arc<Secrets>,
}

/// An upstream, and whether it is to be left alone.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) upstream: Arc<Upstream>,
    pub(super) breaker: Option<Arc<Breaker>>,
}

impl Directory {
    /// A directory of `upstreams`. An upstream that `old` knows keeps its breaker.
    pub fn new(
        upstreams: &[Arc<Upstream>],
        router: &Router,
        peers: Peers,
        secrets: Arc<Secrets>,
        metrics: &Metrics,
        old: Option<&Self>,
    ) -> Self {
        let target = |upstream: &Arc<Upstream>| {
            let config = upstream.config();
            let kept = old
                .and_then(|old| old.targets.get(config.name.as_str()))
                .filter(|known| Arc::ptr_eq(&known.upstream, upstream))
                .and_then(|known| known.breaker.clone());
            let new = || config.breaker.map(|breaker| Arc::new(Breaker::new(config.name.as_str(), breaker, metrics)));
            let target = Target { upstream: Arc::clone(upstream), breaker: kept.or_else(new) };
            (config.name.as_str().to_owned(), target)
        };
        let local = upstreams.iter().find(|upstream| upstream.config().local);
        let own = router.routes().filter(|route| route.upstream.config().local).cloned().collect();
        Self {
            targets: upstreams.iter().map(target).collect(),
            local: local.map(|local| local.config().name.as_str().to_owned()),
            own: Router::new(own, None),
            peers,
            secrets,
        }
    }

    /// Every upstream.
    pub fn upstreams(&self) -> impl Iterator<Item = &Arc<Upstream>> {
        self.targets.values().map(|target| &target.upstream)
    }

    /// An upstream by its name; without one, the local one.
    pub(super) fn target(&self, name: Option<&str>) -> Option<&Target> {
        self.targets.get(name.or(self.local.as_deref())?)
    }

    /// What the own service's route of a call promises; where it has none, what all calls of steps are promised. Routes of a certain
    /// host are not looked at: a step's call names no host.
    pub(super) fn policy(&self, method: &Method, uri: &Uri, service: &UpstreamConfig) -> Arc<Policy> {
        let of_route = self.own.find(method, uri, None).and_then(|route| route.config.policy.clone());
        of_route.unwrap_or_else(|| Arc::new(Policy::of_steps(service.max_execution)))
    }

    fn config(&self, name: Option<&str>) -> Option<&UpstreamConfig> {
        self.target(name).map(|target| target.upstream.config())
    }
}

impl Upstreams for Directory {
    fn max_execution(&self, upstream: Option<&str>) -> Duration {
        // One that is gone since: as long as the longest of those that are there.
        let of_any = || self.upstreams().map(|upstream| upstream.config().max_execution).max();
        self.config(upstream).map(|config| config.max_execution).or_else(of_any).unwrap_or_default()
    }

    fn idempotency_window(&self, upstream: Option<&str>) -> Option<Duration> {
        self.config(upstream).and_then(|config| config.idempotency_window)
    }

    fn origins(&self, upstream: Option<&str>) -> Vec<String> {
        let origin = |uri: &Uri| {
            let authority = uri.authority()?;
            Some(format!("{}://{authority}", uri.scheme_str().unwrap_or("http")))
        };
        self.config(upstream).map(|config| config.endpoints.iter().filter_map(origin).collect()).unwrap_or_default()
    }

    fn secret(&self, name: &str) -> Option<String> {
        self.secrets.get(name).map(|secret| secret.expose().to_owned())
    }
}
