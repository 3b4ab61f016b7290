//! The issuer's keys: where they come from, how new ones are found, and what holds while they cannot be had.

use super::{issuer::claims_with, *};

#[tokio::test]
async fn a_new_key_is_found_without_a_restart_and_one_that_was_withdrawn_counts_no_more() {
    let town = Town::new(REQUIRED_ON, "").await;
    let old = town.token(7);
    assert_eq!(bearing(town.post("/orders/"), &old).send().await.status, 201);
    let next = Signer::ed25519("next");
    let claims = claims_with(&json!({"user_id": 7}));
    town.issuer.publish(&[&town.issuer.first, &next]);
    assert_eq!(bearing(town.post("/orders/"), &next.token(&claims)).send().await.status, 201);
    assert_eq!(bearing(town.post("/orders/"), &old).send().await.status, 201, "both count");
    assert_eq!(town.issuer.asked_for_keys(), 2, "at the start, and for the new key");

    // Withdrawn: seen with the next reading, here one for another new key.
    let third = Signer::ed25519("third");
    town.issuer.publish(&[&third]);
    until(bearing(town.post("/orders/"), &third.token(&claims)), |answer| answer.status == 201).await;
    for token in [&old, &next.token(&claims)] {
        assert_eq!(said(&bearing(town.post("/orders/"), token).send().await), (401, "token-invalid"));
    }
}

#[tokio::test]
async fn keys_that_have_become_old_are_read_again_while_the_old_ones_count() {
    let (orders, issuer) = (Origin::start(), Issuer::new());
    let keys = format!("jwks: {{call: auth GET {}, refresh: 1s}}", issuer::KEYS);
    let refrain = Refrain::start(&with_keys(&orders, &issuer, &keys, REQUIRED_ON, "")).await;
    let town = Town { orders, issuer, refrain };
    let token = town.token(7);
    assert_eq!(bearing(town.post("/orders/"), &token).send().await.status, 201);
    town.issuer.publish(&[&Signer::ed25519("next")]);
    // The key of the token is gone with a reading that nobody asked for.
    until(bearing(town.post("/orders/"), &token), |answer| said(answer) == (401, "token-invalid")).await;
}

#[tokio::test]
async fn garbage_does_not_become_load_of_the_issuer() {
    let town = Town::new(REQUIRED_ON, "").await;
    assert_eq!(bearing(town.post("/orders/"), &town.token(7)).send().await.status, 201);
    let before = town.issuer.asked_for_keys();
    let unknown = Signer::ed25519("unknown");
    let began = tokio::time::Instant::now();
    let call = |n: u32| bearing(town.post("/orders/"), &unknown.token(&claims_with(&json!({"n": n}))));
    for pending in (0..20).map(|n| call(n).start()).collect::<Vec<_>>() {
        assert_eq!(said(&pending.answer().await), (401, "token-invalid"));
    }
    for n in 20..40 {
        assert_eq!(said(&call(n).send().await), (401, "token-invalid"));
    }
    let asked = town.issuer.asked_for_keys() - before;
    // One for all of them, and another for every 5 s that it took.
    let allowed = 1 + usize::try_from(began.elapsed().as_secs() / 5).unwrap();
    assert!((1..=allowed).contains(&asked), "the keys were asked for {asked} times");
    assert_eq!(bearing(town.post("/orders/"), &town.token(8)).send().await.status, 201, "good ones are not held up");
    assert_eq!(town.orders.effects(), 2);
}

#[tokio::test]
async fn nobody_passes_while_the_keys_cannot_be_had_and_everybody_does_when_they_are_back() {
    let (orders, issuer) = (Origin::start(), Issuer::new());
    issuer.origin.close().await;
    let refrain = Refrain::start(&yaml(&orders, &issuer, REQUIRED_ON, "")).await;
    let town = Town { orders, issuer, refrain };
    let token = town.token(7);
    let refused = bearing(town.post("/orders/"), &token).send().await;
    assert_eq!(said(&refused), (503, "authentication-unavailable"));
    assert!(refused.header("retry-after").is_some());
    assert_eq!(said(&town.post("/orders/").send().await), (401, "token-missing"), "without one it is known");
    assert_eq!(town.post("/open").send().await.status, 201, "who needs none is not held up");
    let open = bearing(town.post("/open"), &token).send().await;
    assert_eq!(said(&open), (503, "authentication-unavailable"), "with claims, it might be another request");
    assert_eq!(town.orders.effects(), 1);

    town.issuer.origin.on(issuer::KEYS, Reply::status(500));
    town.issuer.origin.reopen().await;
    assert_eq!(said(&bearing(town.post("/orders/"), &token).send().await), (503, "authentication-unavailable"));
    town.issuer.origin.on(issuer::KEYS, Reply::status(200).body("{\"keys\": 5}"));
    assert_eq!(said(&bearing(town.post("/orders/"), &token).send().await), (503, "authentication-unavailable"));
    assert_eq!(town.orders.effects(), 1);
    town.issuer.publish(&[&town.issuer.first]);
    until(bearing(town.post("/orders/"), &token), |answer| answer.status == 201).await;

    // Keys that are here count while nobody answers.
    town.issuer.origin.close().await;
    assert_eq!(bearing(town.post("/orders/"), &town.token(8)).send().await.status, 201);
}

#[tokio::test]
async fn keys_can_be_at_a_url_or_in_a_file() {
    let (orders, issuer) = (Origin::start(), Issuer::new());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jwks.json");
    std::fs::write(&file, json!({"keys": [issuer.first.public()]}).to_string()).unwrap();
    let url = format!("jwks: {{url: \"{}{}?all=1\"}}", issuer.origin.url(), issuer::KEYS);
    for keys in [url, format!("jwks: {{file: \"{}\"}}", file.display())] {
        let refrain = Refrain::start(&with_keys(&orders, &issuer, &keys, REQUIRED_ON, "")).await;
        let good = bearing(Call::post(&refrain.url("/orders/")), &issuer.token(&json!({}))).send().await;
        assert_eq!(good.status, 201, "{keys}");
        let bad = bearing(Call::post(&refrain.url("/orders/")), &Signer::ed25519("first").token(&claims_with(&json!({}))));
        assert_eq!(said(&bad.send().await), (401, "token-invalid"), "{keys}");
    }
    assert!(issuer.origin.requests_to(issuer::KEYS).iter().all(|seen| seen.query == "all=1"));
    assert_eq!(issuer.asked_for_keys(), 1);
}
