//! Which route a request takes, whoever asks and however the path is written.

use crate::support::{
    client::{Answer, Call},
    origin::Origin,
    raw::{RawConnection, RawOrigin, beside},
    refrain::Refrain,
};

/// One Refrain before several services, each of which says its name.
struct Town {
    services: Vec<(&'static str, Origin)>,
    refrain: Refrain,
}

impl Town {
    /// `routes` is a list of a route's match and its service's name. What matches none goes to `local`.
    async fn of(routes: &[(&str, &'static str)]) -> Self {
        let mut services: Vec<(&'static str, Origin)> = vec![("local", Origin::start())];
        for (_, name) in routes {
            if services.iter().all(|(known, _)| known != name) {
                services.push((name, Origin::start()));
            }
        }
        let upstreams: String = services
            .iter()
            .map(|(name, origin)| format!("  {name}: {{url: \"{}\", local: {}}}\n", origin.url(), *name == "local"))
            .collect();
        let routes: String =
            routes.iter().map(|(matches, name)| format!("  - {{match: {{{matches}}}, upstream: {name}}}\n")).collect();
        let yaml = format!("store: {{url: \"memory:\"}}\nupstreams:\n{upstreams}routes:\n{routes}");
        Self { refrain: Refrain::start(&yaml).await, services }
    }

    /// Which service a request reaches.
    async fn asked(&self, method: &str, path: &str, host: &str) -> &'static str {
        let before: Vec<usize> = self.counts();
        let answer = Call::new(method, &self.refrain.url(path)).header("host", host).send().await;
        assert_eq!(answer.status, 201, "{method} {path}: {answer:?}");
        let reached: Vec<_> =
            self.services.iter().zip(before).filter(|((_, origin), before)| origin.requests().len() > *before).collect();
        assert_eq!(reached.len(), 1);
        reached[0].0.0
    }

    fn counts(&self) -> Vec<usize> {
        self.services.iter().map(|(_, origin)| origin.requests().len()).collect()
    }
}

#[tokio::test]
async fn the_most_specific_path_wins_whatever_the_order() {
    let town = Town::of(&[
        ("prefix: /", "everything"),
        ("prefix: /orders/", "prefix"),
        ("template: \"/orders/{id}/\"", "template"),
        ("template: \"/{any}/special/\"", "placeholder_first"),
        ("path: /orders/special/", "exact"),
    ])
    .await;
    for (path, service) in [
        ("/orders/special/", "exact"),
        ("/orders/7/", "template"),
        ("/bills/special/", "placeholder_first"),
        ("/orders/7", "prefix"),
        ("/orders/7/lines/", "prefix"),
        ("/orders/", "prefix"),
        ("/orders", "everything"),
        ("/", "everything"),
    ] {
        assert_eq!(town.asked("GET", path, "a").await, service, "{path}");
        assert_eq!(town.asked("GET", &format!("{path}?id=/orders/special/"), "a").await, service, "{path}?…");
    }
}

#[tokio::test]
async fn a_host_counts_before_methods_and_a_path_before_both() {
    let town = Town::of(&[
        ("prefix: /a/", "plain"),
        ("prefix: /a/, methods: [POST, PUT]", "method"),
        ("prefix: /a/, host: Shop.Example", "host"),
        ("prefix: /a/, host: shop.example, methods: [POST]", "both"),
        ("path: /a/exact", "exact"),
    ])
    .await;
    for (method, path, host, service) in [
        ("GET", "/a/b", "other", "plain"),
        ("POST", "/a/b", "other", "method"),
        ("GET", "/a/b", "shop.example", "host"),
        ("PUT", "/a/b", "SHOP.example:8080", "host"),
        ("POST", "/a/b", "shop.example", "both"),
        ("POST", "/a/exact", "shop.example", "exact"),
        ("POST", "/b", "shop.example", "local"),
    ] {
        assert_eq!(town.asked(method, path, host).await, service, "{method} {path} at {host}");
    }
}

#[tokio::test]
async fn what_no_route_takes_is_a_404_where_there_is_no_local_service() {
    let origin = Origin::start();
    let yaml = format!(
        "store: {{url: \"memory:\"}}\nupstreams: {{app: {{url: \"{}\"}}}}\nroutes: [{{match: {{prefix: /app/, methods: [GET]}}, upstream: app}}]\n",
        origin.url()
    );
    let refrain = Refrain::start(&yaml).await;
    assert_eq!(Call::get(&refrain.url("/app/x")).send().await.status, 201);
    for (method, path) in [("GET", "/other"), ("POST", "/app/x"), ("GET", "/app")] {
        let answer = Call::new(method, &refrain.url(path)).send().await;
        assert_eq!((answer.status, answer.problem()), (404, "not-found"), "{method} {path}");
        assert_eq!(answer.json()["retry"], "never");
    }
    assert_eq!(origin.requests().len(), 1);
}

const CLOSED: &str = "routes:\n  - {match: {prefix: /internal/}, access: deny}\n  - {match: {path: /steps}, access: saga}\n";

fn denied(answer: &Answer) -> bool {
    (answer.status, answer.problem()) == (403, "denied")
}

#[tokio::test]
async fn a_closed_route_is_closed_however_its_path_is_written() {
    let origin = RawOrigin::start().await;
    let refrain = beside(&origin.url(), CLOSED).await;
    for target in [
        "/internal/",
        "/internal/x?y",
        "/%69nternal/x",
        "/%69%6E%74%65%72%6e%61%6c%2f",
        "//internal/",
        "/./internal/",
        "/%2e/internal/",
        "/open/../internal/x",
        "/open/%2e%2E/internal/x",
        "/open/..//internal/x",
        "/internal/./",
        "http://elsewhere.example/internal/",
        "http://elsewhere.example/open/../internal/",
    ] {
        let mut client = RawConnection::to(refrain.address()).await;
        let (head, _) = client.exchange(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        assert_eq!((head.status(), head.value("refrain-problem")), (403, Some("denied")), "{target}");
    }
    assert!(!origin.has_caller());
}

#[tokio::test]
async fn an_open_path_beside_a_closed_one_stays_open() {
    let origin = Origin::start();
    let refrain = beside(&origin.url(), CLOSED).await;
    for path in ["/internal", "/internals/", "/x/internal/", "/internal%2", "/%2569nternal/"] {
        assert_eq!(Call::get(&refrain.url(path)).send().await.status, 201, "{path}");
    }
    assert_eq!(origin.requests().len(), 5);
}

#[tokio::test]
async fn a_route_for_sagas_is_for_trusted_peers_only() {
    let origin = Origin::start();
    let refrain = beside(&origin.url(), CLOSED).await;
    let plain = Call::post(&refrain.url("/steps"));
    assert!(denied(&plain.clone().send().await));
    assert!(denied(&plain.clone().header("saga-id", "1").send().await));
    let untrusted = plain.clone().header("saga-step-key", "saga/step/1").send().await;
    assert_eq!((untrusted.status, untrusted.problem()), (403, "untrusted-peer"));
    assert_eq!(origin.requests().len(), 0);

    let refrain = beside(&origin.url(), &format!("saga_peers: {{networks: [127.0.0.0/8]}}\n{CLOSED}")).await;
    let url = refrain.url("/steps");
    assert!(denied(&Call::post(&url).send().await), "a trusted peer's ordinary request");
    for how in ["executed", "replayed"] {
        let step = Call::post(&url).header("saga-step-key", "saga/step/1").header("saga-id", "saga").send().await;
        assert_eq!((step.status, step.how()), (201, how));
    }
    assert!(denied(&Call::post(&refrain.url("/internal/")).header("saga-step-key", "saga/step/2").send().await));
    let seen = origin.requests();
    assert_eq!((seen.len(), seen[0].header("saga-step-key"), seen[0].header("saga-id")), (1, Some("saga/step/1"), Some("saga")));
}

#[tokio::test]
async fn a_key_means_nothing_where_idempotency_is_off() {
    let origin = Origin::start();
    let refrain = beside(&origin.url(), "routes: [{match: {prefix: /raw/}, idempotency: off}]\n").await;
    for _ in 0..2 {
        let answer = Call::post(&refrain.url("/raw/")).key("k").send().await;
        assert_eq!((answer.status, answer.header("idempotency-status")), (201, None));
    }
    assert_eq!(origin.count("/raw/"), 2);
    assert_eq!(origin.requests()[0].header("idempotency-key"), Some("k"), "the service may still want it");
    for how in ["executed", "replayed"] {
        assert_eq!(Call::post(&refrain.url("/orders")).key("k").send().await.how(), how);
    }

    let refrain = beside(&origin.url(), "idempotency: off\n").await;
    let before = origin.count("/off");
    for _ in 0..2 {
        assert_eq!(Call::post(&refrain.url("/off")).key("k").send().await.header("idempotency-status"), None);
    }
    assert_eq!(origin.count("/off") - before, 2);
}

#[tokio::test]
async fn routes_to_the_same_service_share_its_keys_and_those_to_another_do_not() {
    let town = Town::of(&[("prefix: /a/", "one"), ("path: /a/b", "one"), ("path: /a/c", "two")]).await;
    let post = async |path: &str| Call::post(&town.refrain.url(path)).key("k").send().await;
    assert_eq!(post("/a/b").await.how(), "executed");
    assert_eq!(post("/a/x").await.problem(), "key-reused", "the same service, another request");
    assert_eq!(post("/a/c").await.how(), "executed", "another service");
    assert_eq!(post("/a/b").await.how(), "replayed");
}
