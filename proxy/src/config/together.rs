//! What is right alone and wrong together.

use std::{
    collections::HashSet,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use http::Uri;
use saga_config::yaml::Pointer;

use super::{Config, findings::Findings};
use crate::idempotency::policy::Policy;

/// Checks the parts of a configuration against each other.
pub(super) fn check(config: &Config, findings: &mut Findings) {
    check_loops(config, findings);
    check_signatures(config, findings);
    let routes = config.routes.iter().chain(&config.fallback);
    let policies: Vec<&Policy> = routes.filter_map(|route| route.policy.as_deref()).collect();
    let root = Pointer::root();
    let buffered = config.limits.buffered;
    let largest = policies.iter().map(|policy| policy.max_request_body.max(policy.max_stored_body)).max();
    if let Some(largest) = largest.filter(|largest| *largest > buffered) {
        let message =
            format!("one body may have {largest}, and all that are held together {buffered}: the largest are always refused");
        findings.warning(
            "buffered-too-small",
            &root.child("limits").child("buffered"),
            message,
            format!("write at least {largest}"),
        );
    }
    let of_sagas = (!config.sagas.definitions.is_empty()).then_some(config.sagas.lease);
    let lease = policies.iter().map(|policy| policy.lease).chain(of_sagas).min();
    if lease.is_some_and(|lease| config.store.timeout >= lease) {
        let message = "an operation may take as long as a lease lasts: a renewal could come too late";
        findings.warning(
            "store-too-slow",
            &root.child("store").child("timeout"),
            message,
            "make `store.timeout` shorter than every `lease`",
        );
    }
}

/// A request that is sent to its own proxy comes back for ever.
fn check_loops(config: &Config, findings: &mut Findings) {
    for upstream in &config.upstreams {
        let own =
            |uri: &Uri| address(uri).is_some_and(|address| config.listeners.iter().any(|listener| is_at(*listener, address)));
        if upstream.endpoints.iter().any(own) {
            let at = Pointer::root().child("upstreams").child(upstream.name.as_str()).child("url");
            findings.error("loop", &at, "this Refrain listens at this address itself", "write the address of the service");
        }
    }
}

/// What is signed is the target as the other Refrain gets it.
fn check_signatures(config: &Config, findings: &mut Findings) {
    for upstream in config.upstreams.iter().filter(|upstream| upstream.refrain && config.saga_peers.key.is_some()) {
        let paths: HashSet<&str> = upstream.endpoints.iter().map(|endpoint| endpoint.path().trim_end_matches('/')).collect();
        if paths.len() > 1 {
            let at = Pointer::root().child("upstreams").child(upstream.name.as_str()).child("url");
            let message = "saga calls to a Refrain are signed with their path, which differs between these endpoints";
            findings.error("different-paths", &at, message, "give all endpoints the same path");
        }
    }
}

fn is_at(listener: SocketAddr, address: SocketAddr) -> bool {
    let is_same = listener.ip() == address.ip() || (listener.ip().is_unspecified() && address.ip().is_loopback());
    is_same && listener.port() == address.port()
}

/// The address of a URL that needs no resolver.
fn address(uri: &Uri) -> Option<SocketAddr> {
    let host = uri.host()?.trim_start_matches('[').trim_end_matches(']');
    let ip = if host == "localhost" { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { host.parse().ok()? };
    let default = if uri.scheme_str() == Some("https") { 443 } else { 80 };
    Some(SocketAddr::new(ip, uri.port_u16().unwrap_or(default)))
}
