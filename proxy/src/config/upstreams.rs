//! `upstreams`.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use http::Uri;
use saga_config::{diagnostic::quoted, names::UpstreamName, yaml::Pointer};

use super::{
    BreakerConfig, Protocol, Secret, ServiceAuth, UpstreamConfig,
    findings::Findings,
    limits::{count, positive},
    raw::{self, upstream},
    secrets::{Surroundings, secret},
};

/// A breaker opens after so many failures, if nothing else is said.
const FAILURES: u32 = 20;
/// And for so long.
const OPEN_FOR: Duration = Duration::from_secs(15);

/// The upstreams, and the names of those that were written, sound or not.
#[derive(Debug)]
pub(super) struct Upstreams {
    pub(super) sound: Vec<Arc<UpstreamConfig>>,
    written: Vec<String>,
    /// The local one.
    pub(super) local: Named,
}

/// What a name, or no name, stands for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Named {
    /// An upstream: its index.
    Sound(usize),
    /// One with a mistake, which has been reported.
    Reported,
    /// None.
    Unknown,
}

impl Upstreams {
    pub(super) fn find(&self, name: &str) -> Named {
        match self.sound.iter().position(|upstream| upstream.name.as_str() == name) {
            Some(index) => Named::Sound(index),
            None if self.written.iter().any(|written| written == name) => Named::Reported,
            None => Named::Unknown,
        }
    }

    /// Whether none of those that were written has a mistake.
    pub(super) fn are_sound(&self) -> bool {
        self.sound.len() == self.written.len()
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.written.iter().map(String::as_str)
    }
}

/// `written` names every upstream of the file, those that could not be read as well.
pub(super) fn upstreams(raw: &raw::Raw, written: Vec<String>, around: Surroundings<'_>, findings: &mut Findings) -> Upstreams {
    let at = Pointer::root().child("upstreams");
    let none = BTreeMap::new();
    let raw = raw.upstreams.as_ref().unwrap_or(&none);
    if written.is_empty() && raw.is_empty() && findings.is_whole(&at) {
        findings.error(
            "no-upstream",
            &at,
            "there is no upstream: requests have nowhere to go",
            "give one with `--upstream URL`, or with `upstreams: {orders: {url: http://127.0.0.1:8001, local: true}}`",
        );
    }
    let mut all = Upstreams { sound: Vec::new(), written, local: Named::Unknown };
    for (name, upstream) in raw {
        let at = at.child(name);
        let is_another = !matches!(all.local, Named::Unknown);
        if upstream.local == Some(true) && is_another {
            findings.error(
                "several-local",
                &at.child("local"),
                "another upstream is `local` already: a sidecar stands beside one service",
                "leave `local: true` at the service beside this Refrain",
            );
        }
        let named = match sound(name, upstream, &at, around, findings) {
            None => Named::Reported,
            Some(upstream) => {
                all.sound.push(Arc::new(upstream));
                Named::Sound(all.sound.len() - 1)
            }
        };
        if upstream.local == Some(true) && !is_another {
            all.local = named;
        }
        if !all.written.contains(name) {
            all.written.push(name.clone());
        }
    }
    all
}

fn sound(
    name: &str,
    raw: &upstream::Upstream,
    at: &Pointer,
    around: Surroundings<'_>,
    findings: &mut Findings,
) -> Option<UpstreamConfig> {
    let response_timeout = positive(raw.response_timeout, Duration::from_secs(30), &at.child("response_timeout"), findings);
    let max_execution = positive(raw.max_execution, Duration::from_secs(5 * 60), &at.child("max_execution"), findings);
    let connect_timeout = positive(raw.connect_timeout, Duration::from_secs(2), &at.child("connect_timeout"), findings);
    let idle_timeout = positive(raw.idle_timeout, Duration::from_secs(4), &at.child("idle_timeout"), findings);
    let breaker = raw.breaker.as_ref().map(|raw| breaker(raw, &at.child("breaker"), findings));
    let window = raw.idempotency_window;
    let idempotency_window =
        window.map(|window| positive(Some(window), Duration::ZERO, &at.child("idempotency_window"), findings));
    let auth = raw.auth.as_ref().and_then(|auth| auth_of(auth, &at.child("auth"), around, findings));
    let endpoints = endpoints(raw.url.as_ref()?, &at.child("url"), findings);
    Some(UpstreamConfig {
        // A name that is none has been reported with its place.
        name: name.parse::<UpstreamName>().ok()?,
        endpoints,
        local: raw.local.unwrap_or(false),
        refrain: raw.refrain.unwrap_or(false),
        protocol: match raw.protocol {
            Some(upstream::Protocol::Auto) | None => Protocol::Auto,
            Some(upstream::Protocol::Http1) => Protocol::Http1,
            Some(upstream::Protocol::Http2) => Protocol::Http2,
        },
        connect_timeout,
        response_timeout,
        max_execution,
        max_in_flight: raw.max_in_flight.map(|number| count(Some(number), 0)),
        max_idle: count(raw.max_idle, 64),
        idle_timeout,
        max_connections: count(raw.max_connections, 1024),
        breaker,
        idempotency_window,
        auth,
    })
}

fn breaker(raw: &upstream::Breaker, at: &Pointer, findings: &mut Findings) -> BreakerConfig {
    BreakerConfig {
        failures: raw.failures.unwrap_or(FAILURES).max(1),
        open_for: positive(raw.open_for, OPEN_FOR, &at.child("open_for"), findings),
    }
}

/// The value of `Authorization`. `None`: reported.
fn auth_of(raw: &upstream::Auth, at: &Pointer, around: Surroundings<'_>, findings: &mut Findings) -> Option<ServiceAuth> {
    let upstream::Auth::Bearer(token) = raw;
    let at = at.child("bearer");
    let token = secret(token, &at, around, findings)?;
    if !token.bytes().all(|c| c.is_ascii_graphic()) {
        let message = "a bearer token has no white space and nothing that is not ASCII (RFC 6750, section 2.1)";
        findings.error("invalid-token", &at, message, "put the token alone there");
        return None;
    }
    Some(ServiceAuth { authorization: Secret::new(format!("Bearer {token}")) })
}

fn endpoints(raw: &upstream::Url, at: &Pointer, findings: &mut Findings) -> Vec<Uri> {
    let many = match raw {
        upstream::Url::One(endpoint) => return vec![endpoint.0.clone()],
        upstream::Url::Many(endpoints) => endpoints,
    };
    let mut endpoints: Vec<Uri> = Vec::with_capacity(many.len());
    for (index, endpoint) in many.iter().enumerate() {
        if endpoints.contains(&endpoint.0) {
            let message = format!("the endpoint {} is in the list already", quoted(&endpoint.0.to_string()));
            findings.error("duplicate-item", &at.child(index), message, "name every endpoint once");
        }
        endpoints.push(endpoint.0.clone());
    }
    endpoints
}
