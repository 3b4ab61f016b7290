//! What is written about idempotency, at the top and of a route, to the route's [`Policy`].

mod layers;
mod presets;
mod probe;
mod rules;

use std::{sync::Arc, time::Duration};

use saga_config::{
    diagnostic::Diagnostic,
    units::{ByteCount, DurationText},
    yaml::Pointer,
};

use self::layers::{Chosen, Layers};
use super::{
    Access, UpstreamConfig,
    expressions::{self, reads_no_claims},
    findings::Findings,
    limits::{at_least_one, bytes, positive},
    raw::idempotency::{self as raw, Preset, Rules},
};
use crate::idempotency::policy::{Dialect, OnInFlight, OnStoreLoss, OverBody, Policy, Scope, UnknownPolicy};

pub(super) use self::presets::Presets;

const LEASE: Duration = Duration::from_secs(3);
const SHORTEST_LEASE: Duration = Duration::from_millis(200);
const BODY: ByteCount = bytes(1 << 20);

/// What a policy depends on beside what is written about it.
#[derive(Clone, Copy, Debug)]
pub(super) struct About<'a> {
    pub(super) upstream: &'a UpstreamConfig,
    pub(super) access: Access,
    /// Whether tokens are verified, so that there are `claims`.
    pub(super) has_claims: bool,
}

/// What is written: for the route and at the top, each with where.
#[derive(Clone, Debug)]
pub(super) struct Written<'a> {
    pub(super) route: Option<(Pointer, &'a Rules)>,
    pub(super) top: Option<(Pointer, &'a Rules)>,
}

/// The policy of a route. Where something is wrong it is reported, and the policy is not to be used.
pub(super) fn policy(written: &Written<'_>, presets: &Presets, about: &About<'_>, findings: &mut Findings) -> Option<Policy> {
    let layers = Layers::new(written.route.clone(), written.top.clone(), |preset| presets.get(preset));
    let durations = Durations::of(&layers, about, findings);
    let on_in_flight = layers.choose(&["on_in_flight"], |rules| rules.on_in_flight, raw::OnInFlight::Conflict);
    let (max_request_body, over_request_body) = max_request_body(&layers, findings);
    let max_stored_body = layers.choose(&["max_stored_body"], |rules| rules.max_stored_body, BODY);
    let at = layers.place(&max_stored_body, "max_stored_body");
    let max_stored_body = at_least_one(Some(max_stored_body.value), BODY, &at, findings);
    let scope = scope(&layers, about, findings);
    let key = rules::key(&layers, about, findings);
    let on_unknown = on_unknown(&layers, durations.max_execution, about, findings);
    Some(Policy {
        dialect: match layers.preset() {
            Preset::Ietf => Dialect::Ietf,
            Preset::Stripe => Dialect::Stripe,
            Preset::IdempotJs => Dialect::IdempotJs,
        },
        methods: rules::methods(&layers, findings),
        key: key?,
        scope: scope?,
        fingerprint: rules::fingerprint(&layers, findings),
        dedupe: rules::dedupe(&layers),
        ttl: durations.ttl,
        lease: durations.lease,
        max_execution: durations.max_execution,
        on_in_flight: match on_in_flight.value {
            raw::OnInFlight::Conflict => OnInFlight::Conflict,
            raw::OnInFlight::Wait(limit) => {
                let at = layers.place(&on_in_flight, "on_in_flight").child("wait");
                OnInFlight::Wait(positive(Some(limit), Duration::ZERO, &at, findings))
            }
        },
        on_unknown: on_unknown?,
        on_store_loss: match layers.choose(&["on_store_loss"], |rules| rules.on_store_loss, raw::OnStoreLoss::Closed).value {
            raw::OnStoreLoss::Closed => OnStoreLoss::Closed,
            raw::OnStoreLoss::Open => OnStoreLoss::Open,
        },
        statuses: rules::statuses(&layers, findings),
        max_request_body,
        over_request_body,
        max_stored_body,
        drop_headers: rules::drop_headers(&layers),
    })
}

/// A duration as people write it: `5m3s`.
fn shown(duration: Duration) -> String {
    const UNITS: [(&str, u128); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];
    let mut left = duration.as_millis();
    let mut text = String::new();
    for (unit, milliseconds) in UNITS {
        if left >= milliseconds {
            text.push_str(&format!("{}{unit}", left / milliseconds));
            left %= milliseconds;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

struct Durations {
    ttl: Duration,
    lease: Duration,
    max_execution: Duration,
}

impl Durations {
    fn of(layers: &Layers<'_>, about: &About<'_>, findings: &mut Findings) -> Self {
        let lease = layers.choose(&["lease"], |rules| rules.lease.map(DurationText::get), LEASE);
        let max_execution =
            layers.choose(&["max_execution"], |rules| rules.max_execution.map(DurationText::get), about.upstream.max_execution);
        let ttl = layers.choose(&["ttl"], |rules| rules.ttl.map(DurationText::get), Duration::ZERO);
        let at = layers.place(&lease, "lease");
        if lease.value < SHORTEST_LEASE {
            let message = format!("a lease of {} lapses between two renewals", shown(lease.value));
            findings.error("lease-too-short", &at, message, format!("write at least {}", shown(SHORTEST_LEASE)));
        }
        let max_execution_at = match &max_execution.at {
            Some(at) => at.clone(),
            None => Pointer::root().child("upstreams").child(about.upstream.name.as_str()).child("max_execution"),
        };
        let max_execution_value = positive(DurationText::new(max_execution.value), Duration::ZERO, &max_execution_at, findings);
        let durations = Self { ttl: ttl.value, lease: lease.value, max_execution: max_execution_value };
        durations.check_order(layers, &ttl, &max_execution_at, findings);
        durations.check_waiting(about, &max_execution_at, findings);
        durations
    }

    /// A record that expires while its request may still act would let a retry execute again (rule 15).
    fn check_order(&self, layers: &Layers<'_>, ttl: &Chosen<Duration>, max_execution_at: &Pointer, findings: &mut Findings) {
        let ttl_at = layers.place(ttl, "ttl");
        let needed = self.max_execution.saturating_add(self.lease);
        if self.ttl > needed || !findings.is_whole(&ttl_at) || !findings.is_whole(max_execution_at) {
            return;
        }
        let (at, other) = if ttl.at.is_some() { (&ttl_at, max_execution_at) } else { (max_execution_at, &ttl_at) };
        let message = format!(
            "`ttl` ({}) has to be longer than `max_execution` ({}) and `lease` ({}) together: a request could still act when its record is gone",
            shown(self.ttl),
            shown(self.max_execution),
            shown(self.lease)
        );
        let mut diagnostic = Diagnostic::error("ttl-too-short", findings.place(at), message)
            .with_help(format!("write a `ttl` over {}, or a shorter `max_execution`", shown(needed)));
        if findings.is_written(other) {
            diagnostic = diagnostic.with_label(findings.place(other), "the other one");
        }
        findings.add(diagnostic);
    }

    /// A caller that waits for longer than the request lasts is never told `in-progress`.
    fn check_waiting(&self, about: &About<'_>, max_execution_at: &Pointer, findings: &mut Findings) {
        let response_timeout = about.upstream.response_timeout;
        if response_timeout <= self.max_execution || self.max_execution.is_zero() {
            return;
        }
        let message = format!(
            "a request is given up after `max_execution` ({}), before `response_timeout` ({}) of `{}` is over",
            shown(self.max_execution),
            shown(response_timeout),
            about.upstream.name
        );
        findings.warning("response-timeout-too-long", max_execution_at, message, "make `response_timeout` the shorter one");
    }
}

fn scope(layers: &Layers<'_>, about: &About<'_>, findings: &mut Findings) -> Option<Scope> {
    let chosen = layers.find(&["scope"], |rules| rules.scope.as_ref())?;
    let at = layers.place(&chosen, "scope");
    match chosen.value {
        raw::Scope::Word(raw::ScopeWord::Global) => Some(Scope::Global),
        raw::Scope::Word(raw::ScopeWord::Authorization) => {
            findings.warning(
                "scope-by-token",
                &at,
                "keys are apart by the hash of the `Authorization` header: after a client's token is refreshed, its retries are new requests",
                match about.has_claims {
                    true => "name what stays the same: scope: \"${claims.sub}\", or `global` if keys are never shared by chance",
                    false => "name what stays the same, such as scope: \"${request.headers['x-tenant']}\", or `global` if keys are never shared by chance",
                },
            );
            Some(Scope::Authorization)
        }
        raw::Scope::Text(text) => {
            let template = expressions::template(text, &at, &expressions::names(&["claims", "request"]), findings)?;
            if !about.has_claims && !reads_no_claims(template.expressions(), &at, findings) {
                return None;
            }
            if template.expressions().next().is_none() {
                let help = match saga_config::diagnostic::did_you_mean(text, ["authorization", "global"]) {
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None => "write `authorization`, `global`, or a text with `${…}` over `claims` and `request`".to_owned(),
                };
                findings.error("not-a-scope", &at, "this scope is the same text for every request", help);
                return None;
            }
            Some(Scope::Expression(template))
        }
    }
}

/// `hold`; `resend` where a Refrain beside the upstream makes that safe (rule 13).
fn on_unknown(layers: &Layers<'_>, max_execution: Duration, about: &About<'_>, findings: &mut Findings) -> Option<UnknownPolicy> {
    let Some(chosen) = layers.find(&["on_unknown"], |rules| rules.on_unknown.as_ref()) else {
        return Some(if about.upstream.refrain { UnknownPolicy::Resend } else { UnknownPolicy::Hold });
    };
    match chosen.value {
        raw::OnUnknown::Hold => Some(UnknownPolicy::Hold),
        raw::OnUnknown::Resend => Some(UnknownPolicy::Resend),
        raw::OnUnknown::Probe(written) => {
            let at = layers.place(&chosen, "on_unknown").child("probe");
            // The upstream may act for longer than the send lasts.
            let may_act_for = max_execution.max(about.upstream.max_execution);
            probe::probe(written, &at, may_act_for, about, findings).map(|probe| UnknownPolicy::Probe(Arc::new(probe)))
        }
    }
}

fn max_request_body(layers: &Layers<'_>, findings: &mut Findings) -> (ByteCount, OverBody) {
    let chosen = layers.choose(&["max_request_body"], |rules| rules.max_request_body, raw::MaxRequestBody::Size(BODY));
    let at = layers.place(&chosen, "max_request_body");
    match chosen.value {
        raw::MaxRequestBody::Size(size) => (at_least_one(Some(size), BODY, &at, findings), OverBody::Refuse),
        raw::MaxRequestBody::Full(raw::FullMaxRequestBody { size, over }) => {
            let over = match over {
                Some(raw::Over::Refuse) | None => OverBody::Refuse,
                Some(raw::Over::Unprotected) => OverBody::Unprotected,
            };
            (at_least_one(size, BODY, &at.child("size"), findings), over)
        }
    }
}
