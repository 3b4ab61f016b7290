use std::{path::PathBuf, time::Duration};

use http::{HeaderName, Method};
use saga_config::schema::unsupported_keywords;
use serde_json::Value;

use super::*;
use crate::{
    config::{
        Access, Forwarded, Limits, PathMatch, Protocol, StoreUrl,
        limits::bytes,
        raw::{Raw, text::formats},
        schema,
    },
    idempotency::policy::{
        Dedupe, Dialect, JsonBody, KeyFormat, OnInFlight, OnStoreLoss, OverBody, Scope, StatusPolicy, UnknownPolicy,
    },
};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn what_is_not_written_is_as_the_format_says() {
    let config = config(LOCAL);
    assert_eq!(config.listeners, ["127.0.0.1:8080".parse().unwrap()]);
    assert_eq!(config.admin, "127.0.0.1:9090".parse().unwrap());
    assert!(config.workers >= 1);
    assert_eq!(config.store.url, StoreUrl::Embedded(PathBuf::from("/home/shop/.local/state/refrain/refrain.db")));
    assert_eq!(config.store.timeout, SECOND);
    assert!(config.store.encryption.is_empty() && !config.store.allow_eviction);
    assert!(config.routes.is_empty() && !config.access_log);
    let limits = Limits {
        header_bytes: bytes(64 * 1024),
        headers: 100,
        connections: 10_000,
        in_flight: 1024,
        buffered: bytes(64 * 1024 * 1024),
        header_timeout: 10 * SECOND,
        idle_timeout: 75 * SECOND,
        drain: 30 * SECOND,
    };
    assert_eq!(config.limits, limits);
    assert_eq!(config.forwarded, Forwarded { x_forwarded: true, forwarded: false, via: false });
    assert!(config.saga_peers.key.is_none() && config.saga_peers.networks.is_empty());
}

#[test]
fn an_upstream_needs_its_url_alone() {
    let config = config(LOCAL);
    let [orders] = &config.upstreams[..] else { panic!("{:?}", config.upstreams) };
    assert_eq!(orders.name.as_str(), "orders");
    assert_eq!(orders.endpoints, ["http://127.0.0.1:8001".parse::<http::Uri>().unwrap()]);
    assert!(orders.local && !orders.refrain);
    assert_eq!(orders.protocol, Protocol::Auto);
    assert_eq!(orders.connect_timeout, 2 * SECOND);
    assert_eq!(orders.response_timeout, 30 * SECOND);
    assert_eq!(orders.max_execution, 300 * SECOND);
    assert_eq!(orders.idle_timeout, 4 * SECOND);
    assert_eq!((orders.max_in_flight, orders.max_idle, orders.max_connections), (None, 64, 1024));
}

#[test]
fn what_no_route_takes_goes_to_the_local_upstream_under_the_ietf_rules() {
    let fallback = config(LOCAL).fallback.unwrap();
    assert_eq!((fallback.upstream, fallback.access, fallback.label.as_str()), (0, Access::Public, "*"));
    assert_eq!(fallback.matcher.path, PathMatch::Prefix("/".into()));
    let policy = fallback.policy.as_ref().unwrap();
    assert_eq!(policy.dialect, Dialect::Ietf);
    assert_eq!(policy.methods, [Method::POST, Method::PATCH]);
    assert_eq!(policy.key.headers, ["idempotency-key", "x-idempotency-key"].map(HeaderName::from_static));
    assert!(policy.key.from.is_none() && !policy.key.required);
    let form = &policy.key.form;
    assert!(!form.strict && !form.no_comma && matches!(form.format, KeyFormat::Any));
    assert_eq!((form.min_length, form.max_length), (1, 255));
    assert!(matches!(policy.scope, Scope::Authorization));
    assert_eq!(policy.fingerprint.json, JsonBody::Canonical);
    assert!(policy.fingerprint.exclude.is_empty() && policy.fingerprint.headers.is_empty());
    assert_eq!(policy.dedupe, Dedupe::Key);
    assert_eq!((policy.ttl, policy.lease, policy.max_execution), (86_400 * SECOND, 3 * SECOND, 300 * SECOND));
    assert_eq!(policy.on_in_flight, OnInFlight::Conflict);
    assert!(matches!(policy.on_unknown, UnknownPolicy::Hold));
    assert_eq!(policy.on_store_loss, OnStoreLoss::Closed);
    assert_eq!(policy.statuses, StatusPolicy::default());
    assert_eq!((policy.max_request_body, policy.over_request_body), (bytes(1 << 20), OverBody::Refuse));
    assert_eq!(policy.max_stored_body, bytes(1 << 20));
    assert_eq!(policy.drop_headers, [http::header::SET_COOKIE]);
}

/// The defaults that editors show, written out.
fn shown_defaults(schema: &Value, of: &Value) -> Value {
    let of = match of.get("$ref").and_then(Value::as_str) {
        Some(reference) => schema.pointer(reference.trim_start_matches('#')).unwrap(),
        None => of,
    };
    if let Some(default) = of.get("default") {
        return default.clone();
    }
    let alternatives = of.get("anyOf").and_then(Value::as_array).into_iter().flatten();
    for alternative in alternatives {
        let defaults = shown_defaults(schema, alternative);
        if !defaults.is_null() {
            return defaults;
        }
    }
    let properties = of.get("properties").and_then(Value::as_object).into_iter().flatten();
    let defaults: serde_json::Map<String, Value> = properties
        // A default of a part that is absent as a whole.
        .filter(|(name, _)| !["store.url", "routes", "upstreams", "on_unknown", "authentication"].contains(&name.as_str()))
        .map(|(name, property)| {
            (
                name.clone(),
                match property.get("default") {
                    Some(default) => default.clone(),
                    None => shown_defaults(schema, property),
                },
            )
        })
        .filter(|(_, default)| !default.is_null())
        .collect();
    if defaults.is_empty() { Value::Null } else { Value::Object(defaults) }
}

#[test]
fn the_defaults_that_editors_show_are_the_ones_in_force() {
    let schema = schema();
    let defaults = shown_defaults(&schema, &schema);
    for (place, value) in [("/listen", "127.0.0.1:8080"), ("/idempotency/ttl", "24h"), ("/limits/drain", "30s")] {
        assert_eq!(defaults.pointer(place).unwrap(), value);
    }
    // YAML is a superset of JSON.
    let upstream = shown_defaults(&schema, schema.pointer("/$defs/Upstream").unwrap());
    let written = format!(
        "upstreams: {{orders: {}}}\n{}",
        upstream.to_string().replace("\"local\":false", "\"local\":true").replacen('{', "{\"url\":\"http://127.0.0.1:8001\",", 1),
        defaults.as_object().unwrap().iter().map(|(key, value)| format!("{key}: {value}\n")).collect::<String>()
    );
    assert_eq!(format!("{:?}", config(&written)), format!("{:?}", config(LOCAL)));
}

#[test]
fn the_schema_uses_nothing_that_the_check_passes_over() {
    assert_eq!(unsupported_keywords(&schemars::schema_for!(Raw), &formats()), Vec::<String>::new());
}

#[test]
fn every_key_of_the_file_says_what_it_is() {
    fn silent(schema: &Value, at: &str, found: &mut Vec<String>) {
        for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            let said = property.get("description").and_then(Value::as_str).unwrap_or_default();
            if !said.ends_with('.') {
                found.push(format!("{at}/{name}"));
            }
        }
        match schema {
            Value::Object(keywords) => keywords.iter().for_each(|(name, value)| silent(value, &format!("{at}/{name}"), found)),
            Value::Array(values) => values.iter().for_each(|value| silent(value, at, found)),
            _ => {}
        }
    }
    let (schema, mut found) = (schema(), Vec::new());
    silent(&schema, "", &mut found);
    assert_eq!(found, Vec::<String>::new());
    let ttl = schema.pointer("/$defs/Rules/properties/ttl/description").unwrap().as_str().unwrap();
    assert!(ttl.ends_with("Default: `24h`."), "{ttl}");
}
