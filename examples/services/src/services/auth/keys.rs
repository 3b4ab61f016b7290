//! The keys that tokens are signed with: RSA for RS256 (RFC 7518 section 3.3).

use std::fmt;

use jsonwebtoken::jwk::{Jwk, PublicKeyUse, ThumbprintHash};
use jsonwebtoken::{Algorithm, EncodingKey};
use rsa::RsaPrivateKey;
use rsa::pkcs8::{EncodePrivateKey, LineEnding};
use rsa::rand_core::OsRng;

pub(super) const ALGORITHM: Algorithm = Algorithm::RS256;

/// RFC 7518 section 3.3 allows no less.
const BITS: usize = 2048;

/// A key cannot be made, or what was kept of one is damaged.
#[derive(Debug, thiserror::Error)]
pub(super) enum KeyError {
    #[error("cannot make an RSA key")]
    Make(#[from] rsa::Error),
    #[error("cannot write an RSA key as PKCS#8")]
    Write(#[from] rsa::pkcs8::Error),
    #[error("cannot use an RSA key")]
    Use(#[from] jsonwebtoken::errors::Error),
    #[error("cannot read or write a key as JWK")]
    Jwk(#[from] serde_json::Error),
}

/// A key in its two forms: one to keep to oneself, one to publish.
#[derive(Debug)]
pub(super) struct KeyPair {
    /// The thumbprint of the public key (RFC 7638), in base64url.
    pub(super) kid: String,
    pub(super) private: PrivateKey,
    pub(super) public: Jwk,
}

impl KeyPair {
    /// Makes a new key. This takes a second of computing or more: never on a thread that serves requests.
    pub(super) fn generate() -> Result<Self, KeyError> {
        let pem = RsaPrivateKey::new(&mut OsRng, BITS)?.to_pkcs8_pem(LineEnding::LF)?;
        let private = PrivateKey(pem.to_string());
        let mut public = Jwk::from_encoding_key(&private.signing()?, ALGORITHM)?;
        let kid = public.thumbprint(ThumbprintHash::SHA256)?;
        public.common.key_id = Some(kid.clone());
        public.common.public_key_use = Some(PublicKeyUse::Signature);
        Ok(Self { kid, private, public })
    }
}

/// A private key: PKCS#8, in PEM. `Debug` does not show it.
#[derive(sqlx::Type)]
#[sqlx(transparent)]
pub(super) struct PrivateKey(String);

impl PrivateKey {
    pub(super) fn pem(&self) -> &str {
        &self.0
    }

    /// The key in the form that signs.
    pub(super) fn signing(&self) -> Result<EncodingKey, KeyError> {
        Ok(EncodingKey::from_rsa_pem(self.0.as_bytes())?)
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(…)")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    #[test]
    fn the_id_of_a_key_is_the_thumbprint_of_rfc_7638() {
        // The example of RFC 7638 section 3.1.
        let modulus = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3\
                       oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdA\
                       ZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur\
                       -kEgU8awapJzKnqDKgw";
        let jwk = json!({"kty": "RSA", "n": modulus, "e": "AQAB", "alg": "RS256", "kid": "2011-04-29"});
        let jwk: Jwk = serde_json::from_value(jwk).unwrap();
        assert_eq!(jwk.thumbprint(ThumbprintHash::SHA256).unwrap(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    }

    #[test]
    fn a_key_is_published_without_its_private_part_and_debugged_without_it() {
        let pair = KeyPair::generate().unwrap();
        assert!(pair.private.pem().starts_with("-----BEGIN PRIVATE KEY-----\n"));
        let public = serde_json::to_value(&pair.public).unwrap();
        let mut members: Vec<_> = public.as_object().unwrap().keys().map(String::as_str).collect();
        members.sort_unstable();
        assert_eq!(members, ["alg", "e", "kid", "kty", "n", "use"]);
        assert_eq!((&public["alg"], &public["use"], &public["kid"]), (&json!("RS256"), &json!("sig"), &json!(pair.kid)));
        // 2048 bits are 256 bytes, which are 342 characters of base64url.
        assert_eq!(public["n"].as_str().unwrap().len(), 342);
        let body: String = pair.private.pem().lines().filter(|line| !line.starts_with('-')).collect();
        assert!(!format!("{pair:?}").contains(&body[40..80]), "a private key in Debug");
        assert!(format!("{pair:?}").contains("PrivateKey(…)"));
    }
}
