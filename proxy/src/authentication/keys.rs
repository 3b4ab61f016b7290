//! A JWK Set (RFC 7517): which of its keys can be used, and which of them a token means. Reads nothing but its arguments.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse};
use serde::Deserialize;
use serde_json::Value;

use super::crypto::PublicKey;
use crate::config::SignatureAlgorithm;

/// The largest set that is read, in bytes.
pub(super) const MAX_SET_BYTES: usize = 256 * 1024;
/// The most keys that a set may have.
pub(super) const MAX_KEYS: usize = 100;

/// Why a text is not a JWK Set that can be used. For the log.
#[derive(Debug, thiserror::Error)]
pub(super) enum SetError {
    /// It is too long.
    #[error("it has more than {MAX_SET_BYTES} bytes")]
    TooLarge,
    /// It is not JSON, or has no list `keys`.
    #[error("it is not a JWK Set: {0}")]
    Malformed(serde_json::Error),
    /// It has too many keys.
    #[error("it has {0} keys; at most {MAX_KEYS} are read")]
    TooMany(usize),
}

/// The keys that tokens are verified with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct KeySet {
    keys: Vec<Arc<Key>>,
}

/// One of them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Key {
    id: Option<String>,
    /// What the issuer says it signs with; `None`: it does not say.
    only: Option<SignatureAlgorithm>,
    public: PublicKey,
}

/// Which key a token means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// This one.
    One(Arc<Key>),
    /// None that is there.
    None,
    /// More than one.
    Several,
}

impl KeySet {
    /// Reads a set. Keys that cannot be used are left out, as RFC 7517, section 5, asks for; why, in words, for the log.
    ///
    /// # Errors
    ///
    /// See [`SetError`].
    pub(super) fn read(text: &[u8], algorithms: &[SignatureAlgorithm]) -> Result<(Self, Vec<String>), SetError> {
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<Value>,
        }
        if text.len() > MAX_SET_BYTES {
            return Err(SetError::TooLarge);
        }
        let Set { keys: listed } = serde_json::from_slice(text).map_err(SetError::Malformed)?;
        if listed.len() > MAX_KEYS {
            return Err(SetError::TooMany(listed.len()));
        }
        let (mut keys, mut left_out) = (Vec::new(), Vec::new());
        for (number, key) in (1..).zip(listed) {
            match Key::read(key, algorithms) {
                Ok(key) => keys.push(Arc::new(key)),
                Err(reason) => left_out.push(format!("key {number}: {reason}")),
            }
        }
        Ok((Self { keys }, left_out))
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// The key that a token names, if it names one; otherwise the only one that can have signed it so.
    pub(super) fn choose(&self, id: Option<&str>, algorithm: SignatureAlgorithm) -> Choice {
        let named = |key: &&Arc<Key>| id.is_none_or(|id| key.id.as_deref() == Some(id)) && key.fits(algorithm);
        let mut fitting = self.keys.iter().filter(named);
        match (fitting.next(), fitting.next()) {
            (None, _) => Choice::None,
            (Some(one), None) => Choice::One(Arc::clone(one)),
            (Some(_), Some(_)) => Choice::Several,
        }
    }
}

impl Key {
    fn read(key: Value, algorithms: &[SignatureAlgorithm]) -> Result<Self, &'static str> {
        let Ok(Jwk { common, algorithm }) = serde_json::from_value(key) else { return Err("it is not a JWK") };
        if common.public_key_use.is_some_and(|wanted| wanted != PublicKeyUse::Signature) {
            return Err("its `use` is not `sig`");
        }
        if common.key_operations.is_some_and(|operations| !operations.contains(&KeyOperations::Verify)) {
            return Err("its `key_ops` has no `verify`");
        }
        let public = public_key(&algorithm)?;
        let only = common.key_algorithm.map(|name| as_signature(name).ok_or("its `alg` is none that is verified")).transpose()?;
        if only.is_some_and(|only| !public.fits(only)) {
            return Err("its `alg` does not fit its `kty`");
        }
        let key = Self { id: common.key_id, only, public };
        match algorithms.iter().any(|algorithm| key.fits(*algorithm)) {
            true => Ok(key),
            false => Err("it fits none of the algorithms that tokens may be signed with"),
        }
    }

    fn fits(&self, algorithm: SignatureAlgorithm) -> bool {
        self.only.is_none_or(|only| only == algorithm) && self.public.fits(algorithm)
    }

    /// Whether its holder signed `message` so.
    pub(super) fn signed(&self, algorithm: SignatureAlgorithm, message: &[u8], by: &[u8]) -> bool {
        self.fits(algorithm) && self.public.signed(algorithm, message, by)
    }
}

fn public_key(parameters: &AlgorithmParameters) -> Result<PublicKey, &'static str> {
    let bytes = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|_| "one of its numbers is not base64url without padding");
    match parameters {
        AlgorithmParameters::RSA(rsa) => PublicKey::rsa(&bytes(&rsa.n)?, &bytes(&rsa.e)?),
        AlgorithmParameters::EllipticCurve(point) => {
            let (x, y) = (bytes(&point.x)?, bytes(&point.y)?);
            match point.curve {
                EllipticCurve::P256 => PublicKey::p256(&x, &y),
                EllipticCurve::P384 => PublicKey::p384(&x, &y),
                _ => Err("its curve is none that is verified"),
            }
        }
        AlgorithmParameters::OctetKeyPair(pair) => match pair.curve {
            EllipticCurve::Ed25519 => PublicKey::ed25519(&bytes(&pair.x)?),
            _ => Err("its curve is none that is verified"),
        },
        AlgorithmParameters::OctetKey(_) => Err("it is a shared secret, which a public set must not have"),
        _ => Err("its `kty` or `crv` is unknown, or a member is missing"),
    }
}

const fn as_signature(name: KeyAlgorithm) -> Option<SignatureAlgorithm> {
    use SignatureAlgorithm as A;
    Some(match name {
        KeyAlgorithm::RS256 => A::RS256,
        KeyAlgorithm::RS384 => A::RS384,
        KeyAlgorithm::RS512 => A::RS512,
        KeyAlgorithm::PS256 => A::PS256,
        KeyAlgorithm::PS384 => A::PS384,
        KeyAlgorithm::PS512 => A::PS512,
        KeyAlgorithm::ES256 => A::ES256,
        KeyAlgorithm::ES384 => A::ES384,
        KeyAlgorithm::EdDSA => A::EdDSA,
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
