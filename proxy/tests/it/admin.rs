//! What the admin side shows, and what nobody is shown.

use crate::support::{
    client::Call,
    origin::{Origin, Reply},
    raw::{RawConnection, RawOrigin, beside},
    redis::RedisServer,
    refrain::{Refrain, Signal, command},
};

#[tokio::test]
async fn a_process_that_lives_says_so() {
    let origin = Origin::start();
    let refrain = beside(&origin.url(), "").await;
    let answer = refrain.admin("/livez").await;
    assert_eq!((answer.status, answer.text()), (200, "ok\n"));
    assert_eq!(refrain.admin("/nowhere").await.status, 404);
}

#[tokio::test]
async fn the_clients_side_is_not_the_admin_side() {
    let origin = Origin::start();
    let refrain = beside(&origin.url(), "").await;
    for path in ["/livez", "/readyz", "/metrics", "/records"] {
        assert_eq!(Call::get(&refrain.url(path)).send().await.status, 201, "{path} is the service's");
    }
    assert_eq!(origin.requests().len(), 4);
}

#[tokio::test]
async fn readiness_says_why_not() {
    let origin = Origin::start();
    let mut redis = RedisServer::start();
    let yaml = format!("store: {{url: \"{}\"}}\nupstreams: {{app: {{url: \"{}\", local: true}}}}\n", redis.url(), origin.url());
    let refrain = Refrain::start(&yaml).await;
    let ready = refrain.admin("/readyz").await;
    assert_eq!((ready.status, &ready.json()["ready"], &ready.json()["store"]["ready"]), (200, &true.into(), &true.into()));
    assert_eq!(ready.json()["reasons"], serde_json::json!([]));

    redis.kill();
    let lost = refrain.until_admin("/readyz", |answer| answer.status == 503).await.json();
    assert_eq!((&lost["ready"], &lost["store"]["ready"]), (&false.into(), &false.into()));
    assert!(lost["reasons"][0].as_str().unwrap().starts_with("store: "), "{lost}");
    assert_eq!(refrain.metric("refrain_store_ready").await, 0.0);
    let check = || command(&["ready"], Some(refrain.admin_address()));
    let unready = check();
    assert_eq!((unready.status.code(), unready.stdout.len()), (Some(1), 0));
    assert!(String::from_utf8(unready.stderr).unwrap().contains("store: "));
    redis.restart();
    refrain.ready().await;
    assert_eq!(refrain.metric("refrain_store_ready").await, 1.0);
    let ready = check();
    assert_eq!(ready.status.code(), Some(0));
    assert!(String::from_utf8(ready.stdout).unwrap().contains("\"ready\":true"));
}

/// Whether every line is a comment or a sample whose metric was described before it.
fn assert_openmetrics(text: &str) {
    assert!(text.ends_with("# EOF\n"), "{text}");
    let mut families = Vec::new();
    for line in text.lines() {
        if let Some(described) = line.strip_prefix("# TYPE ") {
            families.push(described.split(' ').next().unwrap());
        } else if !line.starts_with('#') {
            let name = line.split(['{', ' ']).next().unwrap();
            assert!(families.iter().any(|family| name.starts_with(family)), "{line}");
            assert!(line.rsplit(' ').next().unwrap().parse::<f64>().is_ok(), "{line}");
        }
    }
}

#[tokio::test]
async fn metrics_are_openmetrics_under_their_agreed_names() {
    let origin = Origin::start();
    let refrain = beside(&origin.url(), "").await;
    Call::post(&refrain.url("/orders")).key("k").send().await;
    refrain.signal(Signal::Hup);
    refrain.until_metric("refrain_config_reloads_total{result=\"applied\"}", 1.0).await;
    let metrics = refrain.admin("/metrics").await;
    assert_eq!(metrics.header("content-type"), Some("application/openmetrics-text; version=1.0.0; charset=utf-8"));
    assert_openmetrics(metrics.text());
    // What has been counted, and what is shown at zero.
    for family in [
        "refrain_requests counter",
        "refrain_request_duration_seconds histogram",
        "refrain_claims counter",
        "refrain_config_reloads counter",
        "refrain_late_replies counter",
        "refrain_fenced_completions counter",
        "refrain_connections gauge",
        "refrain_requests_in_flight gauge",
        "refrain_buffered_bytes gauge",
        "refrain_unknown_open gauge",
        "refrain_store_backlog gauge",
        "refrain_store_ready gauge",
        "refrain_store_round_trips gauge",
        "refrain_upstream_connections gauge",
        "refrain_build info",
    ] {
        assert!(metrics.text().contains(&format!("# TYPE {family}\n")), "no {family} in {}", metrics.text());
    }
    assert!(metrics.text().contains(&format!("refrain_build_info{{version=\"{}\"}} 1\n", env!("CARGO_PKG_VERSION"))));
}

#[tokio::test]
async fn counts_move_with_what_happens() {
    let origin = Origin::start();
    origin.on("/broken", Reply::status(500));
    let refrain = beside(&origin.url(), "routes: [{match: {path: /orders}}]\n").await;
    for _ in 0..3 {
        Call::post(&refrain.url("/orders")).key("k").send().await;
    }
    Call::post(&refrain.url("/orders")).key("k").body("another").send().await;
    Call::get(&refrain.url("/orders")).send().await;
    Call::get(&refrain.url("/broken")).send().await;
    for (sample, count) in [
        ("refrain_requests_total{route=\"/orders\",status=\"2xx\",idempotency=\"executed\"}", 1.0),
        ("refrain_requests_total{route=\"/orders\",status=\"2xx\",idempotency=\"replayed\"}", 2.0),
        ("refrain_requests_total{route=\"/orders\",status=\"2xx\",idempotency=\"none\"}", 1.0),
        ("refrain_request_duration_seconds_count{route=\"/orders\"}", 5.0),
        ("refrain_claims_total{result=\"fresh\"}", 1.0),
        ("refrain_claims_total{result=\"replay\"}", 2.0),
        ("refrain_claims_total{result=\"mismatch\"}", 1.0),
    ] {
        refrain.until_metric(sample, count).await;
        assert_eq!(refrain.metric(sample).await, count, "{sample}");
    }
    let text = refrain.admin("/metrics").await;
    let answered = |line: &&str| line.starts_with("refrain_requests_total") && line.contains("\"5xx\"") && line.ends_with(" 1");
    assert_eq!(text.text().lines().filter(answered).count(), 1, "{}", text.text());
}

#[tokio::test]
async fn connections_and_requests_are_counted_up_and_down() {
    let origin = RawOrigin::start().await;
    let refrain = beside(&origin.url(), "").await;
    let mut client = RawConnection::to(refrain.address()).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let (mut upstream, _) = origin.accept_request().await;
    let busy = refrain.admin("/metrics").await;
    let upstream_busy = "refrain_upstream_connections{upstream=\"app\",state=\"busy\"} 1\n";
    for sample in ["refrain_connections 1\n", "refrain_requests_in_flight 1\n", upstream_busy] {
        assert!(busy.text().contains(sample), "no {sample} in {}", busy.text());
    }
    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    client.response().await;
    drop(client);
    let upstream_idle = "refrain_upstream_connections{upstream=\"app\",state=\"idle\"} 1\n";
    let idle = ["refrain_connections 0\n", "refrain_requests_in_flight 0\n", upstream_idle];
    refrain.until_admin("/metrics", |metrics| idle.iter().all(|sample| metrics.text().contains(sample))).await;
}

#[tokio::test]
async fn no_key_body_or_credential_is_shown_anywhere() {
    const MARKERS: [&str; 6] = [
        "marker-key-9b1c",
        "marker-body-9b1c",
        "marker-token-9b1c",
        "marker-query-9b1c",
        "marker-answer-9b1c",
        "marker-bad-9b1c",
    ];
    let [key, body, token, query, answer, bad] = MARKERS;
    let origin = Origin::start();
    origin.on("/orders", Reply::status(201).body(answer).header("set-cookie", answer));
    origin.on("/lost", Reply::reset());
    let refrain = beside(&origin.url(), "access_log: true\nidempotency: {key: {format: {regex: \"[a-z0-9-]+\"}}}\n").await;
    let ask = |path: &str, key: &str, body: &str| {
        let call = Call::post(&refrain.url(&format!("{path}?secret={query}"))).key(key);
        call.header("authorization", format!("Bearer {token}")).body(body.to_owned()).send()
    };
    assert_eq!(ask("/orders", key, body).await.how(), "executed");
    assert_eq!(ask("/orders", key, body).await.how(), "replayed");
    assert_eq!(ask("/orders", key, &format!("{body}!")).await.problem(), "key-reused");
    assert_eq!(ask("/lost", &format!("{key}-lost"), body).await.problem(), "outcome-unknown");
    assert_eq!(ask("/orders", &format!("{bad} {bad}"), body).await.problem(), "key-invalid");
    let unkeyed = Call::post(&refrain.url(&format!("/lost?secret={query}"))).body(body).send().await;
    assert_eq!(unkeyed.status, 502);

    refrain.logged(&["/lost", "502"]).await;
    let mut shown = refrain.stderr().join("\n");
    for path in ["/metrics", "/records", "/readyz"] {
        shown += refrain.admin(path).await.text();
    }
    for marker in MARKERS {
        assert!(!shown.contains(marker), "{marker} in {shown}");
    }
    assert!(shown.contains("/orders"), "the path is shown");
}

#[tokio::test]
async fn every_request_has_a_log_line_if_wanted_and_none_if_not() {
    let origin = Origin::start();
    let refrain = beside(&origin.url(), "access_log: true\n").await;
    Call::post(&refrain.url("/orders?q=1")).key("k").send().await;
    let line: serde_json::Value = serde_json::from_str(&refrain.logged(&["refrain::access"]).await).unwrap();
    assert_eq!((&line["method"], &line["path"], &line["status"]), (&"POST".into(), &"/orders".into(), &201.into()));
    assert_eq!((&line["idempotency"], &line["complete"]), (&"executed".into(), &true.into()));
    assert!(line["duration_ms"].as_f64().unwrap() > 0.0 && line["client"].as_str().unwrap().starts_with("127.0.0.1:"), "{line}");

    let refrain = beside(&origin.url(), "").await;
    Call::get(&refrain.url("/orders")).send().await;
    assert!(refrain.stderr().iter().all(|line| !line.contains("refrain::access")));
}
