//! How long the parts of a request take that touch no socket and no store.
//!
//! `cargo bench -p refrain --bench parts`

use std::{
    fmt::Write as _,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use bytes::Bytes;
use divan::{Bencher, counter::BytesCount};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, Uri, Version};
use refrain::{
    config::load::{Overrides, load},
    headers::{Forwarded, Hop, Scheme, apply_forwarded, peer_line, strip_hop_by_hop},
    idempotency::{
        fingerprint::{FingerprintRules, JsonBody, fingerprint},
        key::{self, KeyForm},
        response::{Recorded, record_into},
    },
    ids::HashKey,
    metrics::Metrics,
    router::{Route, Router},
    upstream::Upstream,
};

fn main() {
    divan::main();
}

/// As a client sends it.
fn request_headers() -> HeaderMap {
    let lines = [
        ("host", "orders.example"),
        ("user-agent", "client/1.0"),
        ("accept", "application/json"),
        ("accept-encoding", "gzip, deflate"),
        ("authorization", "Bearer abcdefghijklmnopqrstuvwxyz0123456789"),
        ("content-type", "application/json"),
        ("content-length", "1024"),
        ("connection", "keep-alive"),
        ("idempotency-key", "\"8e03978e-40d5-43e8-bc93-6894a57f9324\""),
    ];
    lines.into_iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
}

/// 1 KiB of JSON, about 30 members.
fn document() -> Vec<u8> {
    let mut text = String::from("{");
    for number in (0..30).rev() {
        // Writing to a string does not fail.
        let _ = write!(text, "\"member_{number}\": {{\"value\": {number}, \"on\": true}},");
    }
    text.push_str("\"last\": null}");
    text.into_bytes()
}

/// Twenty routes: exact paths, templates and prefixes.
fn router() -> Router {
    let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
    let mut text =
        String::from("upstreams: {orders: {url: \"http://127.0.0.1:1\", local: true}}\nstore: {url: \"memory:\"}\nroutes:\n");
    for number in 0..7 {
        let _ = writeln!(text, "  - {{match: {{template: \"/things-{number}/{{id}}/lines/{{line}}/\"}}}}");
        let _ = writeln!(text, "  - {{match: {{prefix: /things-{number}/}}}}");
        let _ = writeln!(text, "  - {{match: {{path: /things-{number}/archive/}}}}");
    }
    let file = folder.path().join("refrain.yaml");
    std::fs::write(&file, text).unwrap_or_else(|error| panic!("{error}"));
    let config = load(Some(&file), &Overrides::default(), &|_| None).unwrap_or_else(|found| panic!("{found:?}")).config;
    let upstream = Upstream::new(Arc::clone(&config.upstreams[0]), 1).unwrap_or_else(|error| panic!("{error}"));
    let (upstream, metrics) = (Arc::new(upstream), Metrics::new());
    let route = |config: &Arc<_>| {
        let config: Arc<refrain::config::RouteConfig> = Arc::clone(config);
        Arc::new(Route { metrics: metrics.route(&config.label), config, upstream: Arc::clone(&upstream) })
    };
    Router::new(config.routes.iter().map(route).collect(), config.fallback.as_ref().map(route))
}

#[divan::bench(args = ["/things-6/archive/", "/things-6/4711/lines/2/", "/things-6/4711/", "/nothing/of/this"])]
fn route_of_a_request(bencher: Bencher<'_, '_>, path: &str) {
    let (router, uri) = (router(), path.parse::<Uri>().unwrap_or_else(|error| panic!("{error}")));
    bencher.bench(|| router.find(&Method::POST, &uri, Some("orders.example")).is_some());
}

#[divan::bench]
fn headers_to_the_service(bencher: Bencher<'_, '_>) {
    let which = Forwarded { x_forwarded: true, forwarded: false, via: false };
    let peer = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let line = peer_line(peer);
    let hop = Hop { peer, peer_line: Some(&line), scheme: Scheme::Http, host: Some("orders.example"), version: Version::HTTP_11 };
    bencher.with_inputs(request_headers).bench_values(|mut headers| {
        strip_hop_by_hop(&mut headers);
        apply_forwarded(&mut headers, which, &hop);
        headers
    });
}

#[divan::bench]
fn key_of_a_request(bencher: Bencher<'_, '_>) {
    let (headers, form) = (request_headers(), KeyForm::default());
    let names = [HeaderName::from_static("idempotency-key"), HeaderName::from_static("x-idempotency-key")];
    bencher.bench(|| key::find(&headers, &names, &form));
}

#[divan::bench(args = ["raw", "canonical"])]
fn fingerprint_of_a_request(bencher: Bencher<'_, '_>, json: &str) {
    let json = if json == "raw" { JsonBody::Raw } else { JsonBody::Canonical };
    let rules = FingerprintRules { json, ..FingerprintRules::default() };
    let (hash_key, headers, body) = (HashKey::from_bytes([7; 32]), request_headers(), document());
    let uri = Uri::from_static("/orders/?expand=lines");
    let bencher = bencher.counter(BytesCount::of_slice(&body));
    bencher.bench(|| fingerprint(&hash_key, &rules, &Method::POST, &uri, &headers, &body));
}

fn answer() -> http::response::Parts {
    let response = Response::builder().status(201).header("content-type", "application/json").header("location", "/orders/7/");
    let response = response.header("date", "Sun, 06 Nov 1994 08:49:37 GMT").header("x-request-id", "4711");
    response.body(()).unwrap_or_else(|error| panic!("{error}")).into_parts().0
}

#[divan::bench]
fn answer_to_its_stored_form(bencher: Bencher<'_, '_>) {
    let (parts, body, drop) = (answer(), document(), [HeaderName::from_static("set-cookie")]);
    bencher.bench(|| {
        let mut out = Vec::with_capacity(2048);
        record_into(&mut out, &parts, &body, None, &drop);
        out
    });
}

#[divan::bench]
fn stored_form_to_an_answer(bencher: Bencher<'_, '_>) {
    let mut stored = Vec::new();
    record_into(&mut stored, &answer(), &document(), None, &[]);
    let stored = Bytes::from(stored);
    bencher.bench(|| Recorded::decode(&stored));
}
