//! Which keys of a set are used, and for what.
#![allow(clippy::unwrap_used)]

use serde_json::json;

use super::*;
use crate::authentication::tests::fixture::{ALL, Signer, base64, by_openssl, jwks};

fn read(keys: &[Value]) -> (KeySet, Vec<String>) {
    KeySet::read(jwks(keys).as_bytes(), &ALL).unwrap()
}

/// Why a key is left out.
fn left_out(key: Value) -> String {
    let (set, left_out) = read(&[key]);
    assert_eq!((set.len(), left_out.len()), (0, 1), "{left_out:?}");
    left_out[0].clone()
}

fn changed(key: &Value, name: &str, value: impl Into<Value>) -> Value {
    let mut key = key.clone();
    key[name] = value.into();
    key
}

#[test]
fn keys_of_every_kind_are_read_and_chosen_by_name_and_by_algorithm() {
    let keys = by_openssl()["jwks"].to_string();
    let (set, left_out) = KeySet::read(keys.as_bytes(), &ALL).unwrap();
    assert_eq!((set.len(), left_out), (4, vec![]));
    for (id, fitting) in [("rsa", &ALL[..6]), ("p256", &ALL[6..7]), ("p384", &ALL[7..8]), ("ed25519", &ALL[8..])] {
        for algorithm in ALL {
            let found = matches!(set.choose(Some(id), algorithm), Choice::One(_));
            assert_eq!(found, fitting.contains(&algorithm), "{id} {algorithm:?}");
        }
    }
    assert_eq!(set.choose(Some("another"), SignatureAlgorithm::RS256), Choice::None);
}

#[test]
fn a_token_that_names_no_key_means_the_only_one_that_fits() {
    let (one, other) = (Signer::ed25519(), Signer::ed25519());
    let (set, _) = read(&[one.jwk("one"), Signer::rsa().jwk("rsa")]);
    assert!(matches!(set.choose(None, SignatureAlgorithm::EdDSA), Choice::One(_)));
    let (set, _) = read(&[one.jwk("one"), other.jwk("other")]);
    assert_eq!(set.choose(None, SignatureAlgorithm::EdDSA), Choice::Several);
    let (set, _) = read(&[one.jwk("one"), other.jwk("one")]);
    assert_eq!(set.choose(Some("one"), SignatureAlgorithm::EdDSA), Choice::Several, "not the first of two by one name");
    let nameless = json!({"kty": "OKP", "crv": "Ed25519", "x": one.jwk("")["x"]});
    let (set, _) = read(&[nameless]);
    assert!(matches!(set.choose(None, SignatureAlgorithm::EdDSA), Choice::One(_)));
    assert_eq!(set.choose(Some("one"), SignatureAlgorithm::EdDSA), Choice::None, "it may be another's");
}

#[test]
fn a_key_is_used_only_for_what_it_is_meant_for() {
    let rsa = Signer::rsa().jwk("rsa");
    assert_eq!(left_out(changed(&rsa, "use", "enc")), "key 1: its `use` is not `sig`");
    let signing = json!(["sign"]);
    let ed = Signer::ed25519().jwk("ed");
    assert_eq!(left_out(changed(&ed, "key_ops", signing)), "key 1: its `key_ops` has no `verify`");
    assert_eq!(read(&[changed(&ed, "key_ops", json!(["verify"]))]).0.len(), 1);
    assert_eq!(left_out(changed(&rsa, "alg", "ES256")), "key 1: its `alg` does not fit its `kty`");
    assert_eq!(left_out(changed(&rsa, "alg", "RSA-OAEP")), "key 1: its `alg` is none that is verified");
    assert_eq!(left_out(changed(&rsa, "alg", "HS256")), "key 1: its `alg` is none that is verified");
    let (set, _) = read(&[changed(&rsa, "alg", "RS256")]);
    assert!(matches!(set.choose(Some("rsa"), SignatureAlgorithm::RS256), Choice::One(_)));
    assert_eq!(set.choose(Some("rsa"), SignatureAlgorithm::PS256), Choice::None);
    let (set, left_out) = KeySet::read(jwks(&[rsa]).as_bytes(), &[SignatureAlgorithm::ES256]).unwrap();
    assert_eq!((set.len(), left_out.len()), (0, 1), "nobody may sign with it");
}

#[test]
fn weak_and_broken_keys_are_left_out_and_the_others_stay() {
    let rsa = Signer::rsa().jwk("rsa");
    assert_eq!(left_out(by_openssl()["too_small"].clone()), "key 1: its modulus has less than 2048 bits");
    let padded = [vec![0; 200], vec![1; 100]].concat();
    assert_eq!(left_out(changed(&rsa, "n", base64(&padded))), "key 1: its modulus has less than 2048 bits");
    assert_eq!(left_out(changed(&rsa, "n", base64(&[255; 1025]))), "key 1: its modulus has more than 8192 bits");
    for (exponent, wrong) in
        [(vec![1], "below 3"), (vec![0, 0], "below 3"), (vec![], "below 3"), (vec![4], "even"), (vec![1; 5], "more than 32 bits")]
    {
        assert!(left_out(changed(&rsa, "e", base64(&exponent))).ends_with(wrong), "{exponent:?}");
    }
    assert_eq!(
        left_out(json!({"kty": "oct", "k": "c2VjcmV0"})),
        "key 1: it is a shared secret, which a public set must not have"
    );
    let unreadable = [
        json!("rsa"),
        json!({}),
        json!({"kty": "RSA", "n": "AQAB"}),
        json!({"kty": "AKP", "pub": "AQAB"}),
        json!({"kty": "EC", "crv": "secp256k1", "x": "AQAB", "y": "AQAB"}),
        json!({"kty": "EC", "crv": "P-521", "x": "AQAB", "y": "AQAB"}),
        json!({"kty": "EC", "crv": "P-256", "x": "AQAB", "y": "AQAB"}),
        json!({"kty": "OKP", "crv": "Ed25519", "x": "AQAB"}),
        json!({"kty": "OKP", "crv": "X25519", "x": "AQAB"}),
        changed(&rsa, "n", "not base64url!"),
        changed(&rsa, "kid", 7),
    ];
    for key in unreadable {
        let (set, left_out) = read(&[key.clone(), rsa.clone()]);
        assert_eq!((set.len(), left_out.len()), (1, 1), "{key}");
    }
}

#[test]
fn a_set_is_bounded_and_has_to_be_one() {
    let key = Signer::ed25519().jwk("one");
    let many = jwks(&vec![key.clone(); MAX_KEYS]);
    assert_eq!(KeySet::read(many.as_bytes(), &ALL).unwrap().0.len(), MAX_KEYS);
    let too_many = jwks(&vec![key; MAX_KEYS + 1]);
    assert!(matches!(KeySet::read(too_many.as_bytes(), &ALL), Err(SetError::TooMany(101))));
    let large = format!("{}{}", jwks(&[]), " ".repeat(MAX_SET_BYTES));
    assert!(matches!(KeySet::read(large.as_bytes(), &ALL), Err(SetError::TooLarge)));
    for text in ["", "[]", "{}", "{\"keys\": {}}", "<html>", "{\"keys\": []} more"] {
        assert!(matches!(KeySet::read(text.as_bytes(), &ALL), Err(SetError::Malformed(_))), "{text}");
    }
    assert_eq!(KeySet::read(b"{\"keys\": []}", &ALL).unwrap().0.len(), 0, "an issuer may take back all");
}
