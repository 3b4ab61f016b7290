//! What an undo must know of the routes of steps: it comes by another route than its step did.
//!
//! A step's record outlives the configuration under which it was made, and an undo has no more than the step's key. So a process
//! keeps here, by upstream, how long a step's record is kept at the least and how long a step may act at the most, and the probes
//! by which steps can be asked for.

use std::{collections::HashMap, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};

use super::policy::{Policy, Probe, UnknownPolicy};

/// What the undos of a process know of the routes of steps. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Barrier(Arc<ArcSwap<Known>>);

#[derive(Clone, Debug, Default)]
struct Known {
    upstreams: HashMap<Box<str>, Terms>,
    probes: HashMap<ProbeId, Arc<Probe>>,
    longest_probe: Duration,
}

/// What holds for every step of an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// How long a step's record is kept at the least.
    pub kept_for: Duration,
    /// How long a step may act at the most, once it was sent.
    pub may_act_for: Duration,
}

/// A route, as far as steps go.
#[derive(Clone, Copy, Debug)]
pub struct StepRoute<'a> {
    /// The upstream's name.
    pub upstream: &'a str,
    /// The upstream's `max_execution`.
    pub max_execution: Duration,
    /// The route's policy; `None`: idempotency is off there, and steps have [`Policy::of_steps`].
    pub policy: Option<&'a Policy>,
}

impl Barrier {
    /// These are the routes from now on. What an earlier configuration kept for a shorter time, or let act for a longer one, counts
    /// as long as the process lives: records made under it may still be there.
    pub fn expect<'a>(&self, routes: impl Iterator<Item = StepRoute<'a>>) {
        let before = self.0.load();
        let mut known = Known { upstreams: before.upstreams.clone(), ..Known::default() };
        for StepRoute { upstream, max_execution, policy } in routes {
            let of_steps = Policy::of_steps(max_execution);
            let policy = policy.unwrap_or(&of_steps);
            let terms =
                known.upstreams.entry(upstream.into()).or_insert(Terms { kept_for: Duration::MAX, may_act_for: Duration::ZERO });
            terms.kept_for = terms.kept_for.min(policy.ttl);
            terms.may_act_for = terms.may_act_for.max(policy.max_execution).max(max_execution);
            if let UnknownPolicy::Probe(probe) = &policy.on_unknown {
                known.longest_probe = known.longest_probe.max(probe.timeout);
                known.probes.insert(ProbeId::of(probe), Arc::clone(probe));
            }
        }
        self.0.store(Arc::new(known));
    }

    /// What holds for the steps of an upstream; `None`: no route leads there.
    pub fn terms(&self, upstream: &str) -> Option<Terms> {
        self.0.load().upstreams.get(upstream).copied()
    }

    /// The probe that a step was made under, if it is still configured.
    pub fn probe(&self, id: &ProbeId) -> Option<Arc<Probe>> {
        self.0.load().probes.get(id).map(Arc::clone)
    }

    /// The longest time that a probe takes.
    pub fn longest_probe(&self) -> Duration {
        self.0.load().longest_probe
    }
}

/// Tells one probe from another, by what is written in the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ProbeId(Box<str>);

impl ProbeId {
    /// The id of a probe.
    pub fn of(probe: &Probe) -> Self {
        let mut hash = blake3::Hasher::new();
        let mut part = |text: &str| {
            hash.update(&(text.len() as u64).to_le_bytes());
            hash.update(text.as_bytes());
        };
        part(probe.call.method().as_str());
        part(probe.call.template().source());
        part(probe.done.source());
        part(probe.when.as_ref().map_or("", |when| when.source()));
        if let Some(response) = &probe.response {
            for template in [&response.status, &response.body] {
                part(&template.constant().map(ToString::to_string).unwrap_or_default());
                template.expressions().iter().for_each(|expression| part(expression.source()));
            }
        }
        part(&format!("{:?}", (probe.after, probe.timeout)));
        Self(hash.finalize().to_hex()[..32].into())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use saga_config::{
        expr::{Expression, Names},
        template::CallTarget,
    };

    use super::*;

    fn probe(call: &str, done: &str) -> Probe {
        let names = Names::new(&["key", "request", "response"]);
        Probe {
            when: None,
            call: CallTarget::parse(call, &names).unwrap(),
            after: Duration::from_secs(1),
            done: Expression::compile(done, &names).unwrap(),
            response: None,
            timeout: Duration::from_secs(7),
        }
    }

    fn policy(ttl: u64, max_execution: u64, probe: Option<Probe>) -> Policy {
        let on_unknown = probe.map_or(UnknownPolicy::Hold, |probe| UnknownPolicy::Probe(Arc::new(probe)));
        let [ttl, max_execution] = [ttl, max_execution].map(Duration::from_secs);
        Policy { ttl, max_execution, on_unknown, ..Policy::of_steps(Duration::from_secs(1)) }
    }

    fn route(policy: Option<&Policy>) -> StepRoute<'_> {
        StepRoute { upstream: "orders", max_execution: Duration::from_secs(20), policy }
    }

    #[test]
    fn the_shortest_memory_and_the_longest_work_of_any_route_count_for_all_and_outlive_a_reload() {
        let barrier = Barrier::default();
        let (short, long) = (policy(100, 10, None), policy(1000, 60, None));
        barrier.expect([route(Some(&short)), route(Some(&long)), route(None)].into_iter());
        let terms = Terms { kept_for: Duration::from_secs(100), may_act_for: Duration::from_secs(60) };
        assert_eq!((barrier.terms("orders"), barrier.terms("billing")), (Some(terms), None));
        barrier.expect([route(None)].into_iter());
        assert_eq!(barrier.terms("orders"), Some(terms));
        let fresh = Barrier::default();
        fresh.expect([route(None)].into_iter());
        let day = Duration::from_secs(24 * 60 * 60);
        assert_eq!(fresh.terms("orders"), Some(Terms { kept_for: day, may_act_for: Duration::from_secs(20) }));
    }

    #[test]
    fn a_probe_is_found_by_what_it_asks_and_only_while_it_is_configured() {
        let (one, two) = (probe("GET /a?k=${key}", "response.status == 200"), probe("GET /b?k=${key}", "response.status == 200"));
        assert_ne!(ProbeId::of(&one), ProbeId::of(&two));
        assert_ne!(ProbeId::of(&one), ProbeId::of(&probe("GET /a?k=${key}", "response.status == 201")));
        let id = ProbeId::of(&one);
        let with = policy(100, 10, Some(one));
        let barrier = Barrier::default();
        barrier.expect([route(Some(&with))].into_iter());
        assert!(barrier.probe(&id).is_some() && barrier.probe(&ProbeId::of(&two)).is_none());
        assert_eq!(barrier.longest_probe(), Duration::from_secs(7));
        barrier.expect([route(None)].into_iter());
        assert!(barrier.probe(&id).is_none());
    }
}
