//! Who issues tokens: keys that sign, what is published of them, and tokens, good ones and others.

use std::sync::atomic::{AtomicU64, Ordering};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac as _};
use ring::{
    rand::SystemRandom,
    signature::{self, Ed25519KeyPair, KeyPair as _, RsaKeyPair},
};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::support::origin::{Origin, Reply};

/// Where the keys are published.
pub(super) const KEYS: &str = "/jwks/";
/// Long after any test.
const FAR: u64 = 4_102_444_800;
const LONG_AGO: u64 = 1_700_000_000;

static TOKENS: AtomicU64 = AtomicU64::new(1);

/// An issuer's server, and its first key, `first`.
pub(super) struct Issuer {
    pub(super) origin: Origin,
    pub(super) first: Signer,
}

impl Issuer {
    pub(super) fn new() -> Self {
        let issuer = Self { origin: Origin::start(), first: Signer::ed25519("first") };
        issuer.publish(&[&issuer.first]);
        issuer
    }

    /// From now on these are the keys.
    pub(super) fn publish(&self, keys: &[&Signer]) {
        let set = json!({"keys": keys.iter().map(|key| key.public()).collect::<Vec<_>>()});
        let reply = Reply::status(200).without_effect().header("content-type", "application/json");
        self.origin.on(KEYS, reply.body(set.to_string()));
    }

    /// How often the keys were asked for.
    pub(super) fn asked_for_keys(&self) -> usize {
        self.origin.count(KEYS)
    }

    /// A good token with these claims, beside those that all have.
    pub(super) fn token(&self, claims: &Value) -> String {
        self.first.token(&claims_with(claims))
    }
}

/// The claims that count, with `more` in their place or beside them.
pub(super) fn claims_with(more: &Value) -> Value {
    let number = TOKENS.fetch_add(1, Ordering::Relaxed);
    let mut claims = json!({"iss": "shop", "sub": "7", "iat": LONG_AGO, "exp": FAR, "jti": format!("t{number}")});
    for (name, value) in more.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
}

/// Claims of a token that has expired.
pub(super) fn expired() -> Value {
    claims_with(&json!({"user_id": 7, "exp": LONG_AGO + 3600}))
}

/// A key that signs.
pub(super) struct Signer {
    id: &'static str,
    key: Pair,
}

enum Pair {
    Ed25519(Ed25519KeyPair),
    Rsa(Box<RsaKeyPair>),
}

impl Signer {
    /// A new key.
    pub(super) fn ed25519(id: &'static str) -> Self {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self { id, key: Pair::Ed25519(Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap()) }
    }

    /// Always the same key: to make one takes long.
    pub(super) fn rsa(id: &'static str) -> Self {
        let document = include_bytes!("../../../src/authentication/fixtures/rsa-2048.pk8");
        Self { id, key: Pair::Rsa(Box::new(RsaKeyPair::from_pkcs8(document).unwrap())) }
    }

    /// The public key as a JWK (RFC 7517).
    pub(super) fn public(&self) -> Value {
        match &self.key {
            Pair::Ed25519(key) => {
                json!({"kty": "OKP", "crv": "Ed25519", "use": "sig", "kid": self.id, "x": base64(key.public_key().as_ref())})
            }
            Pair::Rsa(key) => {
                let public = signature::RsaPublicKeyComponents::<Vec<u8>>::from(key.public_key());
                json!({"kty": "RSA", "use": "sig", "kid": self.id, "n": base64(&public.n), "e": base64(&public.e)})
            }
        }
    }

    /// The public key's own bytes: DER for RSA, the point for Ed25519.
    pub(super) fn public_bytes(&self) -> Vec<u8> {
        match &self.key {
            Pair::Ed25519(key) => key.public_key().as_ref().to_vec(),
            Pair::Rsa(key) => key.public_key().as_ref().to_vec(),
        }
    }

    /// A token by this key with exactly these claims.
    pub(super) fn token(&self, claims: &Value) -> String {
        let algorithm = match self.key {
            Pair::Ed25519(_) => "EdDSA",
            Pair::Rsa(_) => "RS256",
        };
        let signed = signed_part(algorithm, Some(self.id), claims);
        let by = match &self.key {
            Pair::Ed25519(key) => key.sign(signed.as_bytes()).as_ref().to_vec(),
            Pair::Rsa(key) => {
                let mut by = vec![0; key.public().modulus_len()];
                key.sign(&signature::RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut by).unwrap();
                by
            }
        };
        format!("{signed}.{}", base64(&by))
    }

    /// A token that says it is by this key, with a shared secret instead.
    pub(super) fn confused(&self, claims: &Value, secret: &[u8]) -> String {
        let signed = signed_part("HS256", Some(self.id), claims);
        let mut mac = Hmac::<Sha256>::new_from_slice(secret).unwrap();
        mac.update(signed.as_bytes());
        format!("{signed}.{}", base64(&mac.finalize().into_bytes()))
    }

    /// A token that says it is by this key, with an algorithm and a signature of the caller's choice.
    pub(super) fn forged(&self, algorithm: &str, claims: &Value, by: &[u8]) -> String {
        format!("{}.{}", signed_part(algorithm, Some(self.id), claims), base64(by))
    }
}

fn signed_part(algorithm: &str, id: Option<&str>, claims: &Value) -> String {
    let header = json!({"alg": algorithm, "typ": "JWT", "kid": id});
    format!("{}.{}", base64(header.to_string().as_bytes()), base64(claims.to_string().as_bytes()))
}

/// The payload of a token, as it is in it.
pub(super) fn payload_of(token: &str) -> &str {
    token.split('.').nth(1).unwrap()
}

pub(super) fn base64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
