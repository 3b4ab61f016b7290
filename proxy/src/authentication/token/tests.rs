//! Which tokens count.
#![allow(clippy::unwrap_used)]

use http::HeaderMap;
use serde_json::json;

use super::*;
use crate::authentication::{
    keys::{Choice, KeySet},
    tests::fixture::{NOW, Signer, base64, by_openssl, claims, config, jwks, now},
};

fn headers(lines: &[&str]) -> HeaderMap {
    lines.iter().map(|line| (AUTHORIZATION, HeaderValue::from_bytes(line.as_bytes()).unwrap())).collect()
}

/// What becomes of a token where `keys` are those of its issuer.
fn verified(token: &str, config: &JwtConfig, keys: &str) -> Result<Verified, Invalid> {
    let token = Unverified::read(token, config, now())?;
    let (keys, _) = KeySet::read(keys.as_bytes(), &config.algorithms).unwrap();
    match keys.choose(token.key_id(), token.algorithm()) {
        Choice::One(key) => token.verify(&key),
        Choice::None => Err(Invalid::UnknownKey),
        Choice::Several => Err(Invalid::AmbiguousKey),
    }
}

/// The same, of claims that are signed as they should be.
fn with_claims(claims: &Value, config: &JwtConfig) -> Result<Verified, Invalid> {
    let signer = Signer::ed25519();
    verified(&signer.token("one", claims), config, &jwks(&[signer.jwk("one")]))
}

fn refused(claims: &Value) -> Invalid {
    with_claims(claims, &config()).unwrap_err()
}

#[test]
fn tokens_that_openssl_signed_are_verified_with_every_algorithm() {
    let fixture = by_openssl();
    let keys = fixture["jwks"].to_string();
    let tokens = fixture["tokens"].as_object().unwrap();
    assert_eq!(tokens.len(), crate::authentication::tests::fixture::ALL.len());
    for (algorithm, token) in tokens {
        let token = token.as_str().unwrap();
        let verified = verified(token, &config(), &keys).unwrap_or_else(|error| panic!("{algorithm}: {error}"));
        assert_eq!(verified.claims.value()["user_id"], 7, "{algorithm}");
        assert_eq!(verified.payload, token.split('.').nth(1).unwrap(), "{algorithm}");
    }
}

#[test]
fn a_signature_that_is_cut_or_changed_or_of_other_claims_does_not_match() {
    let fixture = by_openssl();
    let keys = fixture["jwks"].to_string();
    for (algorithm, token) in fixture["tokens"].as_object().unwrap() {
        let token = token.as_str().unwrap();
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let header = signed.split('.').next().unwrap();
        let bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
        let mut flipped = bytes.clone();
        flipped[bytes.len() / 2] ^= 1;
        let others = base64(claims(json!({"user_id": 8})).to_string().as_bytes());
        let wrong = [
            format!("{signed}."),
            format!("{signed}.{}", base64(&bytes[..bytes.len() - 1])),
            format!("{signed}.{}", base64(&[&bytes[..], &[0]].concat())),
            format!("{signed}.{}", base64(&flipped)),
            format!("{signed}.{}", base64(&vec![0; bytes.len()])),
            format!("{header}.{others}.{signature}"),
        ];
        for token in wrong {
            assert_eq!(verified(&token, &config(), &keys).unwrap_err(), Invalid::Signature, "{algorithm}");
        }
    }
}

#[test]
fn what_is_published_to_verify_cannot_be_used_to_sign() {
    let fixture = by_openssl();
    let keys = fixture["jwks"].to_string();
    let modulus = fixture["jwks"]["keys"][0]["n"].as_str().unwrap();
    for secret in [modulus.as_bytes(), &URL_SAFE_NO_PAD.decode(modulus).unwrap(), keys.as_bytes()] {
        use hmac::Mac as _;
        let header = base64(json!({"alg": "HS256", "kid": "rsa"}).to_string().as_bytes());
        let signed = format!("{header}.{}", base64(claims(json!({})).to_string().as_bytes()));
        let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(secret).unwrap();
        mac.update(signed.as_bytes());
        let by = mac.finalize().into_bytes();
        let token = format!("{signed}.{}", base64(&by));
        assert_eq!(verified(&token, &config(), &keys).unwrap_err(), Invalid::Algorithm);
        // Nor by saying that it was another algorithm.
        let said = base64(json!({"alg": "RS256", "kid": "rsa"}).to_string().as_bytes());
        let payload = signed.split('.').nth(1).unwrap();
        let token = format!("{said}.{payload}.{}", base64(&by));
        assert_eq!(verified(&token, &config(), &keys).unwrap_err(), Invalid::Signature);
    }
}

#[test]
fn a_token_that_nobody_signed_does_not_count() {
    let payload = base64(claims(json!({})).to_string().as_bytes());
    let keys = by_openssl()["jwks"].to_string();
    for algorithm in ["none", "None", "NONE", "nOnE", ""] {
        let header = base64(json!({"alg": algorithm}).to_string().as_bytes());
        for token in [format!("{header}.{payload}."), format!("{header}.{payload}.AAAA")] {
            assert_eq!(verified(&token, &config(), &keys).unwrap_err(), Invalid::Header, "{algorithm}");
        }
        assert_eq!(verified(&format!("{header}.{payload}"), &config(), &keys).unwrap_err(), Invalid::NotAJwt);
    }
}

#[test]
fn only_the_algorithms_of_the_configuration_count_and_only_with_keys_that_fit() {
    let signer = Signer::rsa();
    let keys = jwks(&[signer.jwk("rsa"), Signer::ed25519().jwk("ed")]);
    let token =
        |algorithm: &str, id: &str| signer.token_of(&json!({"alg": algorithm, "kid": id}), &claims(json!({})).to_string());
    let pinned = JwtConfig { algorithms: vec![SignatureAlgorithm::RS256], ..config() };
    assert!(verified(&token("RS256", "rsa"), &pinned, &keys).is_ok());
    assert_eq!(verified(&token("PS256", "rsa"), &pinned, &keys).unwrap_err(), Invalid::Algorithm);
    assert!(verified(&token("PS256", "rsa"), &config(), &keys).is_ok());
    assert_eq!(verified(&token("RS256", "ed"), &config(), &keys).unwrap_err(), Invalid::UnknownKey);
    assert_eq!(verified(&token("EdDSA", "rsa"), &config(), &keys).unwrap_err(), Invalid::UnknownKey);
    // A signature of one padding, said to be of the other.
    let (signed, by) = token("PS256", "rsa").rsplit_once('.').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    let payload = signed.split('.').nth(1).unwrap();
    let said = base64(json!({"alg": "RS256", "kid": "rsa"}).to_string().as_bytes());
    assert_eq!(verified(&format!("{said}.{payload}.{by}"), &config(), &keys).unwrap_err(), Invalid::Signature);
}

#[test]
fn the_key_is_the_one_that_the_token_names() {
    let (one, other) = (Signer::ed25519(), Signer::ed25519());
    let both = jwks(&[one.jwk("one"), other.jwk("other")]);
    let claims = claims(json!({}));
    assert!(verified(&one.token("one", &claims), &config(), &both).is_ok());
    assert_eq!(verified(&one.token("other", &claims), &config(), &both).unwrap_err(), Invalid::Signature);
    assert_eq!(verified(&one.token("third", &claims), &config(), &both).unwrap_err(), Invalid::UnknownKey);
    let nameless = one.token_of(&json!({"alg": "EdDSA"}), &claims.to_string());
    assert_eq!(verified(&nameless, &config(), &both).unwrap_err(), Invalid::AmbiguousKey);
    assert!(verified(&nameless, &config(), &jwks(&[one.jwk("one")])).is_ok());
}

#[test]
fn a_key_that_the_token_brings_along_is_not_looked_at() {
    let (issuer, mallory) = (Signer::ed25519(), Signer::ed25519());
    let header = json!({"alg": "EdDSA", "kid": "one", "jwk": mallory.jwk("one"), "jku": "http://mallory.example/jwks/"});
    let token = mallory.token_of(&header, &claims(json!({})).to_string());
    assert_eq!(verified(&token, &config(), &jwks(&[issuer.jwk("one")])).unwrap_err(), Invalid::Signature);
}

#[test]
fn a_header_that_asks_for_more_than_is_known_here_or_cannot_be_read_is_refused() {
    let signer = Signer::ed25519();
    let keys = jwks(&[signer.jwk("one")]);
    let payload = claims(json!({})).to_string();
    let with = |header: &Value| verified(&signer.token_of(header, &payload), &config(), &keys).map(drop);
    assert_eq!(with(&json!({"alg": "EdDSA", "kid": "one", "typ": "at+jwt", "x": 1, "y": {"z": [1.5]}})), Ok(()));
    assert_eq!(with(&json!({"alg": "EdDSA", "kid": "one", "crit": ["b64"], "b64": false})), Err(Invalid::Critical));
    assert_eq!(with(&json!({"alg": "EdDSA", "kid": "one", "crit": []})), Err(Invalid::Critical));
    for header in [json!({"kid": "one"}), json!({"alg": 1}), json!(["EdDSA"]), json!({"alg": "EdDSA", "kid": 1})] {
        assert_eq!(with(&header), Err(Invalid::Header), "{header}");
    }
    let twice = base64(br#"{"alg":"EdDSA","kid":"one","alg":"RS256"}"#);
    let token = format!("{twice}.{}.AAAA", base64(payload.as_bytes()));
    assert_eq!(verified(&token, &config(), &keys).unwrap_err(), Invalid::Header);
}

#[test]
fn what_is_no_jwt_is_refused() {
    let signer = Signer::ed25519();
    let keys = jwks(&[signer.jwk("one")]);
    let good = signer.token("one", &claims(json!({})));
    let parts: Vec<&str> = good.split('.').collect();
    let wrong = [
        String::new(),
        "opaque".to_owned(),
        "..".to_owned(),
        format!("{good}.AAAA"),
        format!("{good}="),
        format!("{}=.{}.{}", parts[0], parts[1], parts[2]),
        format!("{}.{}.+{}", parts[0], parts[1], parts[2]),
        format!("{}.{} .{}", parts[0], parts[1], parts[2]),
    ];
    for token in wrong {
        let error = verified(&token, &config(), &keys).unwrap_err();
        assert!(matches!(error, Invalid::NotAJwt | Invalid::Header), "{token}: {error:?}");
    }
    let payloads = ["[]", "7", "", "{\"iss\": \"shop\"} {}", "{\"iss\": \"shop\", \"iss\": \"shop\"}", "\u{0}"];
    for payload in payloads {
        let token = signer.token_of(&json!({"alg": "EdDSA", "kid": "one"}), payload);
        assert_eq!(verified(&token, &config(), &keys).unwrap_err(), Invalid::Payload, "{payload}");
    }
    let deep = format!("{{\"a\": {}{}}}", "[".repeat(1000), "]".repeat(1000));
    let token = signer.token_of(&json!({"alg": "EdDSA", "kid": "one"}), &deep);
    assert_eq!(verified(&token, &config(), &keys).unwrap_err(), Invalid::Payload);
}

#[test]
fn a_token_that_is_too_long_is_not_read() {
    let signer = Signer::ed25519();
    let long = signer.token("one", &claims(json!({"more": "x".repeat(MAX_TOKEN_BYTES)})));
    assert_eq!(verified(&long, &config(), &jwks(&[signer.jwk("one")])).unwrap_err(), Invalid::TooLarge);
    assert_eq!(bearer(&headers(&[&format!("Bearer {long}")])), Err(Invalid::TooLarge));
}

#[test]
fn times_count_within_the_leeway_to_the_second() {
    let with = |more: Value| with_claims(&claims(more), &config()).map(drop);
    assert_eq!(with(json!({"exp": NOW - 29})), Ok(()));
    assert_eq!(with(json!({"exp": NOW - 30})), Err(Invalid::Expired), "from the time it says on (RFC 7519, section 4.1.4)");
    assert_eq!(with(json!({"nbf": NOW + 30})), Ok(()));
    assert_eq!(with(json!({"nbf": NOW + 31})), Err(Invalid::NotYet));
    assert_eq!(with(json!({"iat": NOW + 30})), Ok(()));
    assert_eq!(with(json!({"iat": NOW + 31})), Err(Invalid::IssuedLater));
    assert_eq!(with(json!({"iat": null})), Ok(()));
    assert_eq!(with(json!({"exp": NOW as f64 + 0.5})), Ok(()));
    assert_eq!(with(json!({"exp": 1e300})), Ok(()));
    assert_eq!(with(json!({"exp": -1e300})), Err(Invalid::Expired));
    assert_eq!(with(json!({"exp": null})), Err(Invalid::NoExpiry));
    for wrong in [json!((NOW + 60).to_string()), json!(true), json!([NOW + 60])] {
        for name in ["exp", "nbf", "iat"] {
            assert_eq!(with(json!({name: wrong})), Err(Invalid::NotATime(name)), "{wrong}");
        }
    }
}

#[test]
fn a_verified_token_counts_until_it_expires() {
    let verified = with_claims(&claims(json!({"exp": NOW + 60})), &config()).unwrap();
    let at = |seconds: u64| Timestamp::from_unix_ms(seconds * 1000);
    assert!(verified.is_current(&config(), at(NOW + 89)));
    assert!(!verified.is_current(&config(), at(NOW + 90)));
}

#[test]
fn issuer_and_audience_have_to_be_those_of_the_configuration() {
    for issuer in [json!("shop2"), json!("Shop"), json!(["shop"]), json!(null), json!("")] {
        assert_eq!(refused(&claims(json!({"iss": issuer}))), Invalid::Issuer, "{issuer}");
    }
    let ours = JwtConfig { audience: vec!["shop".to_owned(), "edge".to_owned()], ..config() };
    let with = |audience: Value, config: &JwtConfig| with_claims(&claims(json!({"aud": audience})), config).map(drop);
    for audience in [json!("shop"), json!("edge"), json!(["else", "edge"]), json!([1, "shop"])] {
        assert_eq!(with(audience.clone(), &ours), Ok(()), "{audience}");
    }
    for audience in [json!("else"), json!([]), json!(["else"]), json!({"shop": 1}), json!(null), json!("shop,edge")] {
        assert_eq!(with(audience.clone(), &ours), Err(Invalid::Audience), "{audience}");
        assert_eq!(with(audience, &config()), Ok(()), "it is not looked at");
    }
}

#[test]
fn the_bearer_token_is_found_whatever_the_case_of_its_scheme() {
    for line in ["Bearer a.b.c", "bearer a.b.c", "BEARER   a.b.c "] {
        assert_eq!(bearer(&headers(&[line])), Ok(Some("a.b.c")), "{line}");
    }
    for line in ["Basic a.b.c", "", "a.b.c", "Bearera.b.c", "DPoP a.b.c"] {
        assert_eq!(bearer(&headers(&[line])), Ok(None), "{line}");
    }
    assert_eq!(bearer(&HeaderMap::new()), Ok(None));
    assert_eq!(bearer(&headers(&["Bearer"])), Ok(Some("")));
    assert_eq!(bearer(&headers(&["Bearer \u{e9}"])), Ok(Some("\u{e9}")));
    for two in [["Bearer a", "Bearer a"], ["Basic a", "Bearer b"], ["Bearer a", "Basic b"]] {
        assert_eq!(bearer(&headers(&two)), Err(Invalid::TwoHeaders));
    }
}

#[test]
fn nothing_of_a_token_is_in_what_is_said_of_it() {
    let secret = "hunter2-hunter2";
    let signer = Signer::ed25519();
    let header = json!({"alg": secret, "kid": secret});
    for error in [
        Unverified::read(&signer.token_of(&header, "{}"), &config(), now()).unwrap_err(),
        refused(&claims(json!({"iss": secret}))),
        refused(&claims(json!({"exp": secret}))),
    ] {
        assert!(!error.to_string().contains(secret), "{error}");
    }
    let token = signer.token("one", &claims(json!({"name": secret})));
    let unverified = Unverified::read(&token, &config(), now()).unwrap();
    assert!(!format!("{unverified:?}").contains(secret));
    let verified = with_claims(&claims(json!({"name": secret})), &config()).unwrap();
    assert!(!format!("{verified:?}").contains(secret));
}
