//! Where there must be a token, and what the service gets of it.

use super::{
    issuer::{claims_with, expired, payload_of},
    *,
};
use crate::{peers, support::refrain::Signal};

#[tokio::test]
async fn a_route_that_requires_a_token_is_closed_without_a_good_one() {
    let town = Town::new(REQUIRED_ON, "").await;
    let without = town.post("/orders/").send().await;
    assert_eq!(said(&without), (401, "token-missing"));
    assert_eq!(without.header("www-authenticate"), Some("Bearer realm=\"refrain\""), "no error where there was no token");
    let basic = town.post("/orders/").header("authorization", "Basic YTpi").send().await;
    assert_eq!(said(&basic), (401, "token-missing"), "another scheme is none of ours");

    let good = town.token(7);
    let (head, signature) = good.rsplit_once('.').unwrap();
    let other = head.replace(payload_of(&good), &issuer::base64(claims_with(&json!({"user_id": 8})).to_string().as_bytes()));
    let bad = [
        ("expired", town.issuer.first.token(&expired())),
        ("of another issuer", town.issuer.token(&json!({"iss": "mall"}))),
        ("not to be used yet", town.issuer.token(&json!({"nbf": 4_000_000_000_u64}))),
        ("by somebody else's key of this name", Signer::ed25519("first").token(&claims_with(&json!({"user_id": 7})))),
        ("with other claims than were signed", format!("{other}.{signature}")),
        ("without its signature", format!("{head}.")),
        ("nothing of the kind", "letmein".to_owned()),
    ];
    for (why, token) in &bad {
        let refused = bearing(town.post("/orders/"), token).send().await;
        assert_eq!(said(&refused), (401, "token-invalid"), "{why}: {}", refused.text());
        assert_eq!(refused.header("www-authenticate"), Some("Bearer realm=\"refrain\", error=\"invalid_token\""), "{why}");
        assert!(!refused.text().contains(head), "{why}");
    }
    let twice = bearing(bearing(town.post("/orders/"), &good), &good).send().await;
    assert_eq!(said(&twice), (401, "token-invalid"), "two tokens are none");
    for spelled in ["/%6frders/", "//orders/", "/x/../orders/", "/orders/./7"] {
        assert_eq!(said(&town.post(spelled).send().await), (401, "token-missing"), "{spelled}");
    }
    assert_eq!(town.orders.requests().len(), 0, "nothing of all this has come through");
    assert_eq!(bearing(town.post("/orders/"), &good).send().await.status, 201);
    assert_eq!(town.orders.effects(), 1);
    let lines = town.refrain.stderr().join("\n");
    assert!(!lines.contains(signature) && !lines.contains(payload_of(&good)), "no token is logged");
}

#[tokio::test]
async fn claims_that_do_not_suffice_are_refused() {
    let town = Town::new(REQUIRED_ON, "").await;
    assert_eq!(said(&town.post("/admin/").send().await), (401, "token-missing"));
    for claims in [json!({"role": "customer"}), json!({}), json!({"role": ["admin"]})] {
        let refused = bearing(town.post("/admin/"), &town.issuer.token(&claims)).send().await;
        assert_eq!(said(&refused), (403, "claims-refused"), "{claims}");
    }
    assert_eq!(town.orders.requests().len(), 0);
    let admin = town.issuer.token(&json!({"role": "admin"}));
    assert_eq!(bearing(town.post("/admin/"), &admin).send().await.status, 201);
}

#[tokio::test]
async fn an_audience_that_is_named_has_to_be_the_tokens() {
    let town = Town::new("audience: [orders, billing]\n    required_on: [{prefix: /}]", "").await;
    for claims in [json!({}), json!({"aud": "mall"}), json!({"aud": ["mall", "ordersx"]})] {
        let refused = bearing(town.get("/"), &town.issuer.token(&claims)).send().await;
        assert_eq!(said(&refused), (401, "token-invalid"), "{claims}");
    }
    for claims in [json!({"aud": "orders"}), json!({"aud": ["mall", "billing"]})] {
        assert_eq!(bearing(town.get("/"), &town.issuer.token(&claims)).send().await.status, 201, "{claims}");
    }
}

#[tokio::test]
async fn the_service_gets_the_payload_of_a_good_token_and_never_what_a_client_claims() {
    let town = Town::new(REQUIRED_ON, "").await;
    let good = town.token(7);
    let spoof = || issuer::base64(br#"{"user_id": 1}"#);
    let got = |path: &str| town.orders.requests_to(path).pop().unwrap();
    let lies =
        |call: Call| call.header("x-jwt-payload", spoof()).header("X-Jwt-Payload", spoof()).header("x_jwt_payload", spoof());

    assert_eq!(bearing(lies(town.post("/orders/")), &good).send().await.status, 201);
    let seen = got("/orders/");
    assert_eq!(seen.headers.get_all("x-jwt-payload").iter().collect::<Vec<_>>(), [payload_of(&good)]);
    assert!(!seen.headers.contains_key("x_jwt_payload"), "what a service may read as the same");
    assert_eq!(seen.header("authorization"), Some(format!("Bearer {good}").as_str()), "the token itself is passed on");

    // A client cannot have it taken out either.
    let hidden = bearing(town.post("/orders/2"), &good).header("connection", "x-jwt-payload, close").send().await;
    assert_eq!((hidden.status, got("/orders/2").header("x-jwt-payload")), (201, Some(payload_of(&good))));

    let bad = town.issuer.first.token(&expired());
    let anywhere = [("/good", Some(&good), Some(payload_of(&good))), ("/bad", Some(&bad), None), ("/none", None, None)];
    for (path, token, expected) in anywhere {
        let call = lies(town.post(path));
        let call = match token {
            Some(token) => bearing(call, token),
            None => call,
        };
        assert_eq!(call.send().await.status, 201, "{path}: no token is required here");
        assert_eq!(got(path).header("x-jwt-payload"), expected, "{path}");
        assert!(!got(path).headers.contains_key("x_jwt_payload"), "{path}");
    }
}

#[tokio::test]
async fn a_public_key_is_no_secret_and_no_signature_is_none() {
    let town = Town::new(REQUIRED_ON, "").await;
    let rsa = Signer::rsa("rsa");
    town.issuer.publish(&[&town.issuer.first, &rsa]);
    let claims = claims_with(&json!({"user_id": 7, "role": "admin"}));
    assert_eq!(bearing(town.post("/orders/"), &rsa.token(&claims)).send().await.status, 201, "the key itself is good");
    for key in [&rsa, &town.issuer.first] {
        let public = key.public();
        let texts = ["n", "x"].into_iter().filter_map(|name| public[name].as_str().map(|text| text.as_bytes().to_vec()));
        let pem = pem_of(&key.public_bytes());
        for secret in texts.chain([key.public_bytes(), pem.into_bytes(), public.to_string().into_bytes(), Vec::new()]) {
            let refused = bearing(town.post("/orders/"), &key.confused(&claims, &secret)).send().await;
            assert_eq!(said(&refused), (401, "token-invalid"));
        }
        for algorithm in ["none", "None", "NONE", "nOnE", "", "HS256"] {
            let refused = bearing(town.post("/orders/"), &key.forged(algorithm, &claims, b"")).send().await;
            assert_eq!(said(&refused), (401, "token-invalid"), "{algorithm}");
        }
    }
    // A signature by one key under the algorithm of another.
    let (head, by) = rsa.token(&claims).rsplit_once('.').map(|(head, by)| (head.to_owned(), by.to_owned())).unwrap();
    let payload = payload_of(&head);
    let header = issuer::base64(json!({"alg": "EdDSA", "kid": "rsa"}).to_string().as_bytes());
    assert_eq!(said(&bearing(town.post("/orders/"), &format!("{header}.{payload}.{by}")).send().await), (401, "token-invalid"));
    assert_eq!(town.orders.effects(), 1);
}

/// A public key as people keep it in files.
fn pem_of(bytes: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(bytes);
    let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"))
}

#[tokio::test]
async fn a_trusted_saga_call_needs_no_token_and_an_untrusted_one_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("peers.key");
    std::fs::write(&file, peers::KEY).unwrap();
    let town = Town::new("required_on: [{prefix: /}]", &format!("saga_peers: {{key: {{file: \"{}\"}}}}", file.display())).await;
    let step = || town.post("/internal/orders").header("saga-step-key", "k1").header("saga-id", "s1");
    let signed = peers::signature("POST", "/internal/orders", &[("saga-id", "s1"), ("saga-step-key", "k1")]);

    let unsigned = step().send().await;
    assert_eq!(said(&unsigned), (403, "untrusted-peer"));
    let forged = bearing(step(), &town.token(7)).header("saga-signature", "00".repeat(32)).send().await;
    assert_eq!(said(&forged), (403, "untrusted-peer"), "a token makes no peer of a client");
    assert_eq!(said(&town.post("/internal/orders").send().await), (401, "token-missing"));
    assert_eq!(town.orders.requests().len(), 0);

    let spoofed = step().header("saga-signature", &signed).header("x-jwt-payload", "e30").send().await;
    assert_eq!((spoofed.status, spoofed.how()), (201, "executed"));
    assert_eq!(town.orders.requests()[0].header("x-jwt-payload"), None, "it has no caller");
}

#[tokio::test]
async fn who_must_say_who_they_are_can_change_while_it_runs() {
    let (orders, issuer) = (Origin::start(), Issuer::new());
    let refrain = Refrain::start(&upstreams(&orders, &issuer)).await;
    let town = Town { orders, issuer, refrain };
    let reload = async |text: &str, times: f64| {
        town.refrain.rewrite(text);
        town.refrain.signal(Signal::Hup);
        town.refrain.until_metric("refrain_config_reloads_total{result=\"applied\"}", times).await;
    };
    assert_eq!(town.post("/orders/").send().await.status, 201, "nobody is asked for a token");
    let required = yaml(&town.orders, &town.issuer, REQUIRED_ON, "");
    reload(&required, 1.0).await;
    until(town.post("/orders/"), |answer| said(answer) == (401, "token-missing")).await;
    assert_eq!(bearing(town.post("/orders/"), &town.token(7)).send().await.status, 201);

    // What is not changed keeps its keys: they are not asked for again.
    let asked = town.issuer.asked_for_keys();
    let on_line = format!("{required}access_log: true\n");
    reload(&on_line, 2.0).await;
    town.refrain.logged(&["is in force", "SIGHUP"]).await;
    assert_eq!(bearing(town.post("/orders/"), &town.token(8)).send().await.status, 201);
    assert_eq!(town.issuer.asked_for_keys(), asked);

    let another = required.replace("issuer: shop", "issuer: mall");
    reload(&another, 3.0).await;
    until(bearing(town.post("/orders/"), &town.token(7)), |answer| said(answer) == (401, "token-invalid")).await;
    reload(&upstreams(&town.orders, &town.issuer), 4.0).await;
    until(town.post("/orders/"), |answer| answer.status == 201).await;
}
