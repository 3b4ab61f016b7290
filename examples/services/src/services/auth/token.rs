//! Access tokens: JSON Web Tokens (RFC 7519), signed.

use std::fmt;

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{DecodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::keys::{ALGORITHM, KeyError, PrivateKey};

/// A signed token. `Debug` does not show it: who has it may act as its user.
#[derive(Clone, Deserialize, Serialize)]
#[serde(transparent)]
pub(super) struct AccessToken(String);

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessToken(…)")
    }
}

/// What a token says (RFC 7519 section 4.1), with members of the asker's own.
#[derive(Serialize)]
pub(super) struct Claims {
    pub(super) iss: String,
    pub(super) sub: String,
    /// Unix time, in seconds.
    pub(super) iat: i64,
    /// Unix time, in seconds.
    pub(super) exp: i64,
    pub(super) jti: String,
    #[serde(flatten)]
    pub(super) own: Map<String, Value>,
}

/// The members of a token that its asker has no say in, or says elsewhere: those that RFC 7519 section 4.1 gives a meaning.
pub(super) const RESERVED: [&str; 7] = ["iss", "sub", "aud", "exp", "nbf", "iat", "jti"];

/// What is left to know of a token whose signature was checked.
#[derive(Debug, Deserialize)]
pub(super) struct Verified {
    pub(super) jti: String,
    /// Unix time, in seconds. It may have passed.
    pub(super) exp: i64,
}

/// Why a text is not a token of this service.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum TokenError {
    #[error("access_token: it is no JWT")]
    Malformed,
    #[error("access_token: it names no key, or none by which this service has signed a token that is still good")]
    UnknownKey,
    #[error("access_token: it is not signed by this service")]
    Forged,
}

impl AccessToken {
    /// Signs with the private half of the key `kid`. This is milliseconds of computing: not on a thread that serves requests.
    pub(super) fn sign(claims: &Claims, kid: &str, key: &PrivateKey) -> Result<Self, KeyError> {
        let mut header = Header::new(ALGORITHM);
        header.kid = Some(kid.to_owned());
        Ok(Self(jsonwebtoken::encode(&header, claims, &key.signing()?)?))
    }

    /// The key that it says to be signed with: a text such as this service calls its keys by. Nothing else is checked by this.
    pub(super) fn kid(&self) -> Result<String, TokenError> {
        let header = jsonwebtoken::decode_header(&self.0).map_err(|_| TokenError::Malformed)?;
        let is_base64url = |kid: &String| kid.bytes().all(|c| c.is_ascii_alphanumeric() || b"-_".contains(&c));
        header.kid.filter(is_base64url).ok_or(TokenError::UnknownKey)
    }

    /// Checks its signature, and nothing else: a token whose time is over was a token.
    pub(super) fn verify(&self, key: &Jwk) -> Result<Verified, TokenError> {
        let mut signature_alone = Validation::new(ALGORITHM);
        signature_alone.required_spec_claims.clear();
        signature_alone.validate_exp = false;
        signature_alone.validate_aud = false;
        let key = DecodingKey::from_jwk(key).map_err(|_| TokenError::UnknownKey)?;
        let token = jsonwebtoken::decode(&self.0, &key, &signature_alone).map_err(|_| TokenError::Forged)?;
        Ok(token.claims)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::LazyLock;

    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::json;

    use super::super::keys::KeyPair;
    use super::*;

    static PAIR: LazyLock<KeyPair> = LazyLock::new(|| KeyPair::generate().unwrap());

    fn claims(exp: i64) -> Claims {
        let own = Map::from_iter([("user_id".to_owned(), json!(7))]);
        Claims { iss: "shop".to_owned(), sub: "7".to_owned(), iat: 1, exp, jti: "j-1".to_owned(), own }
    }

    fn token(exp: i64) -> AccessToken {
        AccessToken::sign(&claims(exp), &PAIR.kid, &PAIR.private).unwrap()
    }

    /// The token with part `index` (header, payload, signature) in other bytes.
    fn with_part(token: &AccessToken, index: usize, bytes: &[u8]) -> AccessToken {
        let mut parts: Vec<_> = token.0.split('.').map(str::to_owned).collect();
        parts[index] = URL_SAFE_NO_PAD.encode(bytes);
        AccessToken(parts.join("."))
    }

    #[test]
    fn a_token_carries_its_claims_at_the_top_level_and_its_key_in_the_header() {
        let token = token(2);
        let parts: Vec<Value> = token
            .0
            .split('.')
            .take(2)
            .map(|part| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap())
            .collect();
        assert_eq!(parts[0], json!({"typ": "JWT", "alg": "RS256", "kid": PAIR.kid}));
        assert_eq!(parts[1], json!({"iss": "shop", "sub": "7", "iat": 1, "exp": 2, "jti": "j-1", "user_id": 7}));
        assert_eq!(token.kid().unwrap(), PAIR.kid);
    }

    #[test]
    fn a_token_whose_time_is_over_is_still_known() {
        let verified = token(2).verify(&PAIR.public).unwrap();
        assert_eq!((verified.jti.as_str(), verified.exp), ("j-1", 2));
    }

    #[test]
    fn a_token_that_was_changed_or_signed_by_another_is_forged() {
        let token = token(i64::MAX);
        let changed = json!({"iss": "shop", "sub": "1", "exp": 2, "jti": "j-2"}).to_string();
        assert_eq!(with_part(&token, 1, changed.as_bytes()).verify(&PAIR.public).unwrap_err(), TokenError::Forged);
        assert_eq!(with_part(&token, 2, &[0; 256]).verify(&PAIR.public).unwrap_err(), TokenError::Forged);
        let another = KeyPair::generate().unwrap();
        assert_eq!(token.verify(&another.public).unwrap_err(), TokenError::Forged);
    }

    #[test]
    fn a_token_without_a_signature_or_with_one_by_the_public_key_as_a_secret_is_forged() {
        let token = token(i64::MAX);
        let unsigned = with_part(&token, 0, json!({"alg": "none", "kid": PAIR.kid}).to_string().as_bytes());
        assert_eq!(unsigned.kid().unwrap_err(), TokenError::Malformed);
        assert_eq!(unsigned.verify(&PAIR.public).unwrap_err(), TokenError::Forged);

        let public = serde_json::to_string(&PAIR.public).unwrap();
        let secret = jsonwebtoken::EncodingKey::from_secret(public.as_bytes());
        let header = Header::new(jsonwebtoken::Algorithm::HS256);
        let confused = AccessToken(jsonwebtoken::encode(&header, &claims(i64::MAX), &secret).unwrap());
        assert_eq!(confused.kid().unwrap_err(), TokenError::UnknownKey);
        assert_eq!(confused.verify(&PAIR.public).unwrap_err(), TokenError::Forged);

        let odd = with_part(&token, 0, json!({"alg": "RS256", "kid": "a\u{0}"}).to_string().as_bytes());
        assert_eq!(odd.kid().unwrap_err(), TokenError::UnknownKey);
    }

    #[test]
    fn a_text_that_is_no_token_is_told_so() {
        for text in ["", ".", "..", "a.b.c", "a.b.c.d", "{}"] {
            assert_eq!(AccessToken(text.to_owned()).kid().unwrap_err(), TokenError::Malformed, "{text:?}");
        }
    }

    #[test]
    fn a_token_is_not_shown_by_debug() {
        let token = token(2);
        assert!(!format!("{token:?}").contains(&token.0[..20]));
    }
}
