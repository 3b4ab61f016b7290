//! A bearer token, from the header `Authorization` to claims that count (RFC 6750, RFC 7515, RFC 7519; RFC 8725 for what to refuse).
//!
//! Pure: the clock is an argument, and the key is chosen by the caller. What a token claims is looked at before its signature, since
//! that is cheap and needs no key; nothing of it leaves this module before the signature was verified ([`Unverified::verify`]).
//!
//! The token crate reads headers here and no more. Its own validation reads the system's clock, and reads numbers in a way that fails
//! where they are kept as written (`arbitrary_precision`).

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use jsonwebtoken::{Algorithm, Header};
use serde::de::{Deserializer as _, Error as _, MapAccess, Visitor};
use serde_json::{Map, Value};

use super::keys::Key;
use crate::{
    claims::Claims,
    config::{JwtConfig, SignatureAlgorithm},
    time::Timestamp,
};

/// The longest token that is read, in bytes.
pub(super) const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// Why a token does not count. The texts are the caller's, and hold nothing of the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Invalid {
    #[error("there is more than one Authorization header")]
    TwoHeaders,
    #[error("the token has more than {MAX_TOKEN_BYTES} bytes")]
    TooLarge,
    #[error("the bearer token is not a signed JWT: three parts in base64url without padding, divided by dots")]
    NotAJwt,
    #[error("the token's header is not one of a JWT that is signed with an algorithm known here")]
    Header,
    #[error("the token's header has `crit`: it asks for what is not known here")]
    Critical,
    #[error("the token is signed with an algorithm that is not accepted here")]
    Algorithm,
    #[error("the token's payload is not a JSON object, or has two members of one name")]
    Payload,
    #[error("the token's `{0}` is not a number of seconds")]
    NotATime(&'static str),
    #[error("the token has no `exp`")]
    NoExpiry,
    #[error("the token has expired")]
    Expired,
    #[error("the token is not to be used yet (`nbf`)")]
    NotYet,
    #[error("the token was issued in the future (`iat`)")]
    IssuedLater,
    #[error("the token's `iss` is not the issuer that is trusted here")]
    Issuer,
    #[error("the token's `aud` does not name this service")]
    Audience,
    #[error("the token's key is not one of its issuer's")]
    UnknownKey,
    #[error("the token does not say which of its issuer's keys it was signed with")]
    AmbiguousKey,
    #[error("the token's signature does not match")]
    Signature,
    #[error("the token was revoked")]
    Revoked,
    #[error("the token lacks a claim by which it would be found out whether it was revoked")]
    NotAskable,
}

/// The bearer token of a request; `None`: it has none. Another scheme's credentials are none of ours.
pub(super) fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Invalid> {
    let mut lines = headers.get_all(AUTHORIZATION).into_iter();
    let (Some(line), second) = (lines.next(), lines.next()) else { return Ok(None) };
    if second.is_some() {
        return Err(Invalid::TwoHeaders);
    }
    let line = line.as_bytes();
    let end = line.iter().position(|byte| *byte == b' ').unwrap_or(line.len());
    // Schemes are case-insensitive (RFC 9110, section 11.1).
    if !line[..end].eq_ignore_ascii_case(b"bearer") {
        return Ok(None);
    }
    let token = line[end..].trim_ascii();
    if token.len() > MAX_TOKEN_BYTES {
        return Err(Invalid::TooLarge);
    }
    std::str::from_utf8(token).map(Some).map_err(|_| Invalid::NotAJwt)
}

/// A token whose claims would count, if its signature were verified.
pub(super) struct Unverified<'a> {
    algorithm: SignatureAlgorithm,
    key_id: Option<String>,
    /// Header and payload, as they were signed.
    signed: &'a str,
    signature: Vec<u8>,
    payload: &'a str,
    claims: Map<String, Value>,
    expires: Timestamp,
}

/// A token whose signature was verified.
#[derive(Clone)]
pub(super) struct Verified {
    /// What it says.
    pub(super) claims: Claims,
    /// Its payload segment: base64url without padding.
    pub(super) payload: HeaderValue,
    /// When it expires, without leeway.
    pub(super) expires: Timestamp,
}

impl<'a> Unverified<'a> {
    /// Reads a token, and whether it may count at `now`.
    pub(super) fn read(token: &'a str, config: &JwtConfig, now: Timestamp) -> Result<Self, Invalid> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(Invalid::TooLarge);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(Invalid::NotAJwt)?;
        let (header, payload) = signed.split_once('.').ok_or(Invalid::NotAJwt)?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| Invalid::NotAJwt);
        let (header, json, signature) = (decode(header)?, decode(payload)?, decode(signature)?);
        let header: Header = serde_json::from_slice(&header).map_err(|_| Invalid::Header)?;
        if header.crit.is_some() {
            return Err(Invalid::Critical);
        }
        let algorithm = as_configured(header.alg).filter(|algorithm| config.algorithms.contains(algorithm));
        let algorithm = algorithm.ok_or(Invalid::Algorithm)?;
        let claims = members(&json).map_err(|_| Invalid::Payload)?;
        let expires = check(&claims, config, now)?;
        Ok(Self { algorithm, key_id: header.kid, signed, signature, payload, claims, expires })
    }

    /// The key that it names.
    pub(super) fn key_id(&self) -> Option<&str> {
        self.key_id.as_deref()
    }

    /// How it is signed.
    pub(super) const fn algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
    }

    /// Verifies the signature.
    pub(super) fn verify(self, key: &Key) -> Result<Verified, Invalid> {
        if !key.signed(self.algorithm, self.signed.as_bytes(), &self.signature) {
            return Err(Invalid::Signature);
        }
        let payload = HeaderValue::from_str(self.payload).map_err(|_| Invalid::NotAJwt)?;
        Ok(Verified { claims: Claims::new(self.claims), payload, expires: self.expires })
    }
}

impl Verified {
    /// Whether it still counts at `now`.
    pub(super) fn is_current(&self, config: &JwtConfig, now: Timestamp) -> bool {
        now < self.expires.plus(config.leeway)
    }
}

impl fmt::Debug for Unverified<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(token)")
    }
}

impl fmt::Debug for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(token)")
    }
}

/// Never one with a shared secret.
const fn as_configured(algorithm: Algorithm) -> Option<SignatureAlgorithm> {
    use SignatureAlgorithm as A;
    Some(match algorithm {
        Algorithm::RS256 => A::RS256,
        Algorithm::RS384 => A::RS384,
        Algorithm::RS512 => A::RS512,
        Algorithm::PS256 => A::PS256,
        Algorithm::PS384 => A::PS384,
        Algorithm::PS512 => A::PS512,
        Algorithm::ES256 => A::ES256,
        Algorithm::ES384 => A::ES384,
        Algorithm::EdDSA => A::EdDSA,
        _ => return None,
    })
}

/// The registered claims (RFC 7519, section 4.1); when the token expires.
fn check(claims: &Map<String, Value>, config: &JwtConfig, now: Timestamp) -> Result<Timestamp, Invalid> {
    if claims.get("iss").and_then(Value::as_str) != Some(config.issuer.as_str()) {
        return Err(Invalid::Issuer);
    }
    if !config.audience.is_empty() {
        let is_meant = |one: &Value| one.as_str().is_some_and(|one| config.audience.iter().any(|ours| ours == one));
        let are_meant = match claims.get("aud") {
            Some(Value::Array(several)) => several.iter().any(is_meant),
            Some(one) => is_meant(one),
            None => false,
        };
        if !are_meant {
            return Err(Invalid::Audience);
        }
    }
    let expires = time(claims, "exp")?.ok_or(Invalid::NoExpiry)?;
    if now >= expires.plus(config.leeway) {
        return Err(Invalid::Expired);
    }
    let is_later = |at: Option<Timestamp>| at.is_some_and(|at| now.plus(config.leeway) < at);
    if is_later(time(claims, "nbf")?) {
        return Err(Invalid::NotYet);
    }
    if is_later(time(claims, "iat")?) {
        return Err(Invalid::IssuedLater);
    }
    Ok(expires)
}

/// A NumericDate (RFC 7519, section 2): seconds, perhaps with a fraction.
fn time(claims: &Map<String, Value>, name: &'static str) -> Result<Option<Timestamp>, Invalid> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let seconds = value.as_f64().filter(|seconds| seconds.is_finite()).ok_or(Invalid::NotATime(name))?;
    // Saturates at both ends: before the epoch is at the epoch, which is long past.
    Ok(Some(Timestamp::from_unix_ms((seconds * 1e3) as u64)))
}

/// The members of a JSON object, no two of one name: the service that gets the payload must not read another than was verified
/// (RFC 7519, section 4).
fn members(json: &[u8]) -> Result<Map<String, Value>, serde_json::Error> {
    struct Members;
    impl<'de> Visitor<'de> for Members {
        type Value = Map<String, Value>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
            let mut members = Map::new();
            while let Some((name, value)) = access.next_entry::<String, Value>()? {
                if members.insert(name, value).is_some() {
                    return Err(A::Error::custom("two members of one name"));
                }
            }
            Ok(members)
        }
    }
    let mut reader = serde_json::Deserializer::from_slice(json);
    let members = reader.deserialize_map(Members)?;
    reader.end()?;
    Ok(members)
}

#[cfg(test)]
mod tests;
