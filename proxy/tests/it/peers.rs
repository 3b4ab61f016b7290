//! Saga calls: whose are believed, and what they then get.

use hmac::{Hmac, Mac as _};
use sha2::Sha256;

use crate::support::{client::Call, origin::Origin, refrain::Refrain};

pub(crate) const KEY: &str = "a key that both sidecars share";

async fn beside(origin: &Origin, peers: &str) -> Refrain {
    let yaml = format!(
        "store: {{url: \"memory:\"}}\nsaga_peers: {peers}\nupstreams:\n  orders: {{url: \"{}\", local: true}}\nroutes:\n  - match: \
         {{prefix: \"/internal/\"}}\n    access: saga\n    idempotency: off\n",
        origin.url()
    );
    Refrain::start(&yaml).await
}

fn step(refrain: &Refrain, method: &str, path: &str, key: &str) -> Call {
    Call::new(method, &refrain.url(path)).header("saga-step-key", key).header("saga-id", "s1").body("{}")
}

/// As `refrain::peers` says: method, path, and the `Saga-*` headers by name, each with its length before it.
pub(crate) fn signature(method: &str, path: &str, lines: &[(&str, &str)]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(KEY.as_bytes()).unwrap();
    let parts = [method, path].into_iter().chain(lines.iter().flat_map(|(name, value)| [*name, *value]));
    for part in parts {
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part.as_bytes());
    }
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn a_trusted_step_is_protected_whatever_its_method_and_whatever_the_route_says() {
    let origin = Origin::start();
    let refrain = beside(&origin, "{networks: [127.0.0.0/8]}").await;
    for (calls, method) in [(1, "POST"), (2, "PUT")] {
        let first = step(&refrain, method, "/internal/orders", method).send().await;
        let again = step(&refrain, method, "/internal/orders", method).send().await;
        assert_eq!((first.how(), again.how()), ("executed", "replayed"), "{method}");
        assert_eq!((again.status, &again.body), (first.status, &first.body));
        assert_eq!(origin.requests().len(), calls);
    }
    let plain = Call::post(&refrain.url("/internal/orders")).send().await;
    assert_eq!((plain.status, plain.problem()), (403, "denied"), "the route is for saga calls");
    assert_eq!(origin.requests().len(), 2);
}

#[tokio::test]
async fn a_signature_makes_a_peer_trusted_and_covers_what_the_call_says() {
    let origin = Origin::start();
    let secrets = tempfile::tempdir().unwrap();
    let file = secrets.path().join("peers.key");
    std::fs::write(&file, KEY).unwrap();
    let refrain = beside(&origin, &format!("{{key: {{file: \"{}\"}}}}", file.display())).await;
    let signed = signature("POST", "/internal/orders", &[("saga-id", "s1"), ("saga-step-key", "k1")]);
    let send = |path, key, signature: &str| step(&refrain, "POST", path, key).header("saga-signature", signature).send();
    for (path, key, why) in [("/internal/other", "k1", "another path"), ("/internal/orders", "k2", "another key")] {
        let refused = send(path, key, &signed).await;
        assert_eq!((refused.status, refused.problem()), (403, "untrusted-peer"), "{why}");
    }
    let unsigned = step(&refrain, "POST", "/internal/orders", "k1").send().await;
    assert_eq!(unsigned.problem(), "untrusted-peer");
    assert_eq!(origin.requests().len(), 0);
    assert_eq!(send("/internal/orders", "k1", &signed).await.how(), "executed");
    assert_eq!(origin.requests().len(), 1);
}
