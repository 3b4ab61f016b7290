use std::path::PathBuf;

use http::Method;

use super::*;
use crate::{
    config::{Access, PathMatch, Protocol, Segment, StoreUrl},
    idempotency::policy::UnknownPolicy,
};

/// The example of the format, without what is not supported yet.
pub(super) const EXAMPLE: &str = r#"
listen: 127.0.0.1:8080
admin: {listen: 127.0.0.1:9090}
workers: 2
store:
  url: "embedded:./refrain.db"
  timeout: 1s
  encryption: {keys: [{id: "2026-01", key: {env: SEAL}}]}
saga_peers: {key: {env: PEERS}, networks: [10.0.0.0/8]}
access_log: true

upstreams:
  orders: {url: http://127.0.0.1:8001, local: true}
  billing: {url: http://127.0.0.1:8102, refrain: true}
  psp:
    url: [https://a.psp.example, https://b.psp.example/v1/]
    max_in_flight: 64
    connect_timeout: 2s
    response_timeout: 30s
    max_execution: 10m
    protocol: http2

idempotency:
  preset: ietf
  methods: [POST, PATCH]
  key: {headers: [Idempotency-Key, X-Idempotency-Key], required: false, strict: false, max_length: 255}
  scope: authorization
  fingerprint: {json: canonical, exclude: [/sent_at], headers: [X-Tenant]}
  dedupe: key
  ttl: 24h
  lease: 3s
  on_in_flight: {wait: 30s}
  on_store_loss: closed
  store: {statuses: [2xx, 3xx, 4xx, 500], release: [401, 403, 407, 408, 425, 429, 503+retry-after]}
  max_request_body: {size: 2MiB, over: unprotected}
  max_stored_body: 1MiB
  drop_headers: [set-cookie]

routes:
  - match: {path: "/orders/", methods: [POST]}
    idempotency: {key: {required: true}}
  - match: {prefix: "/internal/"}
    access: saga
  - match: {prefix: "/billing/"}
    upstream: billing
  - match: {template: "/psp/{id}/", host: Shop.example}
    upstream: psp
    idempotency: off

limits: {header_bytes: 64KiB, headers: 100, connections: 10000, in_flight: 1024, buffered: 64MiB, header_timeout: 10s, idle_timeout: 75s, drain: 30s}
forwarded: {x_forwarded: true, via: true}
"#;

#[test]
fn the_example_of_the_format_is_read() {
    let config = config(EXAMPLE);
    assert_eq!(config.workers, 2);
    assert_eq!(config.store.url, StoreUrl::Embedded(PathBuf::from("/etc/refrain/refrain.db")), "relative to the file");
    assert_eq!(config.store.encryption[0].id(), "2026-01");
    assert_eq!(config.saga_peers.key.as_ref().unwrap().expose(), "a shared key of peers");
    assert_eq!(config.upstreams.iter().map(|upstream| upstream.name.as_str()).collect::<Vec<_>>(), ["billing", "orders", "psp"]);
    assert_eq!((config.upstreams[2].endpoints.len(), config.upstreams[2].protocol), (2, Protocol::Http2));
    assert!(config.access_log && config.forwarded.via);

    let labels: Vec<&str> = config.routes.iter().map(|route| route.label.as_str()).collect();
    assert_eq!(labels, ["POST /orders/", "/internal/*", "/billing/*", "shop.example/psp/{id}/"]);
    let upstreams: Vec<usize> = config.routes.iter().map(|route| route.upstream).collect();
    assert_eq!(upstreams, [1, 1, 0, 2]);
    assert_eq!(config.routes[0].matcher.methods, [Method::POST]);
    assert_eq!(config.routes[1].access, Access::Saga);
    let segments = vec![Segment::Literal("psp".into()), Segment::Any("id".into()), Segment::Literal(String::new())];
    assert_eq!(config.routes[3].matcher.path, PathMatch::Template(segments));
    assert!(config.routes[3].policy.is_none());

    let orders = config.routes[0].policy.as_ref().unwrap();
    assert!(orders.key.required && orders.key.headers.len() == 2, "what the route does not say is as at the top");
    let billing = config.routes[2].policy.as_ref().unwrap();
    assert!(!billing.key.required);
    assert!(matches!(billing.on_unknown, UnknownPolicy::Resend), "its Refrain makes that safe");
    assert!(matches!(orders.on_unknown, UnknownPolicy::Hold));
}

#[test]
fn without_a_local_upstream_what_no_route_takes_goes_nowhere() {
    let config = config(
        "upstreams: {a: {url: http://a}}\nroutes: [{match: {prefix: /}, upstream: a}, {match: {path: /x}, access: deny}]\n",
    );
    assert!(config.fallback.is_none());
    assert_eq!(config.routes.len(), 2);
}

#[test]
fn a_match_without_a_path_takes_every_path() {
    let config = config(&format!("{LOCAL}routes: [{{match: {{host: a.example}}}}, {{match: {{methods: [GET]}}}}]\n"));
    let expected = PathMatch::Prefix("/".into());
    assert!(config.routes.iter().all(|route| route.matcher.path == expected));
    assert_eq!(config.routes[0].label, "a.example/*");
}

#[test]
fn idempotency_can_be_off_at_the_top_and_on_for_a_route() {
    let config = config(&format!(
        "{LOCAL}idempotency: off\nroutes: [{{match: {{path: /a}}, idempotency: {{lease: 1s}}}}, {{match: {{path: /b}}}}]\n"
    ));
    assert!(config.fallback.as_ref().unwrap().policy.is_none());
    assert!(config.routes[0].policy.is_some() && config.routes[1].policy.is_none());
}

#[test]
fn routes_that_add_nothing_share_a_policy() {
    let config = config(&format!("{LOCAL}routes: [{{match: {{path: /a}}}}, {{match: {{path: /b}}}}]\n"));
    let policies: Vec<_> = config.routes.iter().map(|route| route.policy.clone().unwrap()).collect();
    assert!(std::sync::Arc::ptr_eq(&policies[0], &policies[1]));
}

#[test]
fn several_addresses_can_be_listened_to() {
    let config = config(&format!("listen: [127.0.0.1:0, {{address: \"[::1]:8080\"}}]\n{LOCAL}"));
    assert_eq!(config.listeners.len(), 2);
}

#[test]
fn the_state_folder_is_the_unit_s_then_the_user_s() {
    let url = |variables: &'static [(&'static str, &'static str)]| {
        let env = move |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        let around = Surroundings { folder: Path::new(""), env: &env };
        from_source(Some(&Source::new("refrain.yaml", LOCAL)), &Overrides::default(), around)
            .map(|loaded| loaded.config.store.url)
    };
    let embedded = |path: &str| StoreUrl::Embedded(PathBuf::from(path));
    assert_eq!(url(&[("STATE_DIRECTORY", "/var/lib/a:/var/lib/b"), ("HOME", "/h")]).unwrap(), embedded("/var/lib/a/refrain.db"));
    assert_eq!(url(&[("XDG_STATE_HOME", "/state"), ("HOME", "/h")]).unwrap(), embedded("/state/refrain/refrain.db"));
    let relative = [("XDG_STATE_HOME", "state"), ("HOME", "/h")];
    assert_eq!(url(Box::leak(Box::new(relative))).unwrap(), embedded("/h/.local/state/refrain/refrain.db"));
    assert_eq!(url(&[]).unwrap_err()[0].code(), "no-state-folder");
}

#[test]
fn what_a_reload_cannot_change_is_named_and_stays() {
    let old = config(&format!("listen: 127.0.0.1:1\nworkers: 1\n{LOCAL}"));
    let text = format!(
        "listen: 127.0.0.1:2\nworkers: 2\nstore: {{url: 'memory:'}}\nlimits: {{connections: 5, drain: 1s}}\naccess_log: true\n{LOCAL}"
    );
    let new = config(&text);
    assert_eq!(new.needs_restart(&old), ["listen", "workers", "store.url", "limits.connections"]);
    assert_eq!(old.needs_restart(&old), Vec::<&str>::new());
    let kept = new.keeping_what_needs_a_restart(&old);
    assert_eq!(kept.needs_restart(&old), Vec::<&str>::new());
    assert!(kept.access_log && kept.limits.drain.as_secs() == 1);
}
