use std::time::Duration;

use http::{Method, StatusCode};

use super::*;
use crate::{
    config::limits::bytes,
    idempotency::policy::{Dedupe, Dialect, KeyFormat, OnStoreLoss, OverBody, Scope, StatusPattern, UnknownPolicy},
};

#[test]
fn the_preset_stripe_is_as_stripe_does() {
    let policy = policy("{preset: stripe}");
    assert_eq!(policy.dialect, Dialect::Stripe);
    assert_eq!(policy.methods, [Method::POST]);
    assert!(!policy.key.required && matches!(policy.scope, Scope::Authorization));
    assert_eq!((policy.key.form.max_length, policy.dedupe, policy.ttl.as_secs()), (255, Dedupe::Key, 86_400));
    assert!(policy.statuses.store.contains(&StatusPattern::Exactly(StatusCode::INTERNAL_SERVER_ERROR)));
}

#[test]
fn the_preset_idempot_js_is_as_idempot_js_does() {
    let policy = policy("{preset: idempot-js}");
    assert_eq!(policy.dialect, Dialect::IdempotJs);
    assert_eq!(policy.methods, [Method::POST, Method::PATCH]);
    let form = &policy.key.form;
    assert!(policy.key.required && form.no_comma);
    assert_eq!((form.min_length, form.max_length), (21, 255));
    assert!(matches!(policy.scope, Scope::Global));
    assert_eq!((policy.dedupe, policy.on_store_loss), (Dedupe::Payload, OnStoreLoss::Closed));
}

#[test]
fn any_choice_of_a_preset_can_be_changed() {
    let policy = policy("{preset: idempot-js, methods: [PUT], key: {min_length: 1}, scope: authorization, dedupe: key}");
    assert_eq!(policy.methods, [Method::PUT]);
    assert!(policy.key.required && policy.key.form.no_comma && policy.key.form.min_length == 1);
    assert!(matches!(policy.scope, Scope::Authorization));
    assert_eq!(policy.dedupe, Dedupe::Key);
}

#[test]
fn the_nearest_choice_counts() {
    let route = |top: &str, route: &str| {
        let text = format!("{LOCAL}idempotency: {top}\nroutes: [{{match: {{path: /a}}, idempotency: {route}}}]\n");
        Policy::clone(config(&text).routes[0].policy.as_ref().unwrap())
    };
    let policy = route("{methods: [PUT], lease: 5s, key: {strict: true}}", "{key: {required: true}}");
    assert_eq!((policy.methods, policy.lease), (vec![Method::PUT], Duration::from_secs(5)));
    assert!(policy.key.form.strict && policy.key.required, "a part is changed choice by choice");
    let policy = route("{methods: [PUT], lease: 5s}", "{preset: stripe}");
    assert_eq!(policy.methods, [Method::POST], "a route's preset is nearer than what the top says");
    assert_eq!(policy.lease, Duration::from_secs(5), "a lease is no preset's");
}

#[test]
fn every_choice_reaches_the_policy() {
    let policy = policy(
        "{key: {format: {regex: '[a-z]+'}, from: '${request.body.id}', no_comma: true}, scope: \"${request.headers['x-tenant']}/a\", \
         on_store_loss: open, max_request_body: {size: 2KiB, over: unprotected}, max_stored_body: 3KiB, drop_headers: [], \
         store: {statuses: [2xx, '404', 503+retry-after], release: []}}",
    );
    assert!(matches!(&policy.key.form.format, KeyFormat::Pattern(pattern) if pattern.as_str() == "[a-z]+"));
    assert_eq!(policy.key.from.as_ref().unwrap().source(), "request.body.id");
    assert_eq!(policy.scope.as_str(), "${request.headers['x-tenant']}/a");
    assert_eq!(policy.on_store_loss, OnStoreLoss::Open);
    assert_eq!((policy.max_request_body, policy.over_request_body), (bytes(2048), OverBody::Unprotected));
    assert_eq!(policy.max_stored_body, bytes(3072));
    assert!(policy.drop_headers.is_empty() && policy.statuses.release.is_empty());
    let expected = [
        StatusPattern::Class(2),
        StatusPattern::Exactly(StatusCode::NOT_FOUND),
        StatusPattern::WithRetryAfter(StatusCode::SERVICE_UNAVAILABLE),
    ];
    assert_eq!(policy.statuses.store, expected);
}

#[test]
fn a_probe_is_built_as_it_is_written() {
    let policy = policy(
        "{max_execution: 1m, on_unknown: {probe: {when: '${has(request.body.id)}', call: 'GET /x/?of=${request.body.id}', \
         done: '${response.status == 200}', response: {status: 201, body: {id: '${response.body.id}'}}}}}",
    );
    let UnknownPolicy::Probe(probe) = &policy.on_unknown else { panic!("{:?}", policy.on_unknown) };
    assert_eq!(probe.call.template().source(), "/x/?of=${request.body.id}");
    assert_eq!(probe.done.source(), "response.status == 200");
    assert!(probe.when.is_some() && probe.response.is_some());
    assert_eq!(probe.after, Duration::from_secs(300), "the upstream may act for longer than the send lasts");
    assert_eq!(probe.timeout, Duration::from_secs(5));
}

#[test]
fn what_the_upstream_says_of_itself_counts_where_nothing_else_is_said() {
    let text = "upstreams: {a: {url: http://a, local: true, refrain: true, max_execution: 1m}}\n";
    let resends = config(text).fallback.unwrap().policy.clone().unwrap();
    assert!(matches!(resends.on_unknown, UnknownPolicy::Resend));
    assert_eq!(resends.max_execution, Duration::from_secs(60));
    let text = format!("{text}idempotency: {{on_unknown: hold, max_execution: 2m}}\n");
    let holds = config(&text).fallback.unwrap().policy.clone().unwrap();
    assert!(matches!(holds.on_unknown, UnknownPolicy::Hold));
    assert_eq!(holds.max_execution, Duration::from_secs(120));
}
