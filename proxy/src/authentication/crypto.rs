//! Signatures: which key can have made one, and whether it did (RFC 7518, section 3; RFC 8037, section 3.1).
//!
//! `ring` is asked directly. The token crate would ask a provider that is one for the whole process, so that whoever signs tokens in
//! the same process would sign with ours, or we would verify with theirs.

use ring::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey};

use crate::config::SignatureAlgorithm;

/// The fewest bits of an RSA modulus (RFC 7518, sections 3.3 and 3.5).
const MIN_RSA_BITS: usize = 2048;
/// The most that are verified with.
const MAX_RSA_BITS: usize = 8192;

/// A public key, of a kind that tokens are verified with.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum PublicKey {
    /// Modulus and exponent, big-endian, without leading zeros.
    Rsa { n: Vec<u8>, e: Vec<u8> },
    /// An uncompressed point (SEC 1, section 2.3.3).
    P256(Vec<u8>),
    /// The same.
    P384(Vec<u8>),
    /// As in RFC 8032, section 5.1.5.
    Ed25519(Vec<u8>),
}

impl PublicKey {
    /// An RSA key; what is wrong with it otherwise.
    pub(super) fn rsa(n: &[u8], e: &[u8]) -> Result<Self, &'static str> {
        let (n, e) = (without_leading_zeros(n), without_leading_zeros(e));
        let bits = n.len() * 8 - n.first().map_or(0, |first| first.leading_zeros() as usize);
        match (bits, e) {
            (bits, _) if bits < MIN_RSA_BITS => Err("its modulus has less than 2048 bits"),
            (bits, _) if bits > MAX_RSA_BITS => Err("its modulus has more than 8192 bits"),
            // With 1, whoever knows the key can sign; an even one is none.
            (_, [] | [0..=2]) => Err("its exponent is below 3"),
            (_, e) if e.len() > 4 => Err("its exponent has more than 32 bits"),
            (_, e) if e.last().is_some_and(|last| last % 2 == 0) => Err("its exponent is even"),
            _ => Ok(Self::Rsa { n: n.to_vec(), e: e.to_vec() }),
        }
    }

    /// A key on P-256, by its coordinates (RFC 7518, section 6.2.1).
    pub(super) fn p256(x: &[u8], y: &[u8]) -> Result<Self, &'static str> {
        point(x, y, 32).map(Self::P256)
    }

    /// A key on P-384, by its coordinates.
    pub(super) fn p384(x: &[u8], y: &[u8]) -> Result<Self, &'static str> {
        point(x, y, 48).map(Self::P384)
    }

    /// A key on Ed25519 (RFC 8037, section 2).
    pub(super) fn ed25519(x: &[u8]) -> Result<Self, &'static str> {
        match x.len() {
            32 => Ok(Self::Ed25519(x.to_vec())),
            _ => Err("its `x` has not 32 bytes"),
        }
    }

    /// Whether a key of this kind can sign so.
    pub(super) const fn fits(&self, algorithm: SignatureAlgorithm) -> bool {
        use SignatureAlgorithm as A;
        match self {
            Self::Rsa { .. } => matches!(algorithm, A::RS256 | A::RS384 | A::RS512 | A::PS256 | A::PS384 | A::PS512),
            Self::P256(_) => matches!(algorithm, A::ES256),
            Self::P384(_) => matches!(algorithm, A::ES384),
            Self::Ed25519(_) => matches!(algorithm, A::EdDSA),
        }
    }

    /// Whether the holder of this key signed `message` so. `false` as well for an algorithm that the key does not fit.
    pub(super) fn signed(&self, algorithm: SignatureAlgorithm, message: &[u8], by: &[u8]) -> bool {
        use SignatureAlgorithm as A;
        let verified = match (self, algorithm) {
            (Self::Rsa { n, e }, algorithm) => {
                let parameters = match algorithm {
                    A::RS256 => &signature::RSA_PKCS1_2048_8192_SHA256,
                    A::RS384 => &signature::RSA_PKCS1_2048_8192_SHA384,
                    A::RS512 => &signature::RSA_PKCS1_2048_8192_SHA512,
                    A::PS256 => &signature::RSA_PSS_2048_8192_SHA256,
                    A::PS384 => &signature::RSA_PSS_2048_8192_SHA384,
                    A::PS512 => &signature::RSA_PSS_2048_8192_SHA512,
                    A::ES256 | A::ES384 | A::EdDSA => return false,
                };
                RsaPublicKeyComponents { n, e }.verify(parameters, message, by)
            }
            (Self::P256(point), A::ES256) => {
                UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, point).verify(message, by)
            }
            (Self::P384(point), A::ES384) => {
                UnparsedPublicKey::new(&signature::ECDSA_P384_SHA384_FIXED, point).verify(message, by)
            }
            (Self::Ed25519(key), A::EdDSA) => UnparsedPublicKey::new(&signature::ED25519, key).verify(message, by),
            (Self::P256(_) | Self::P384(_) | Self::Ed25519(_), _) => return false,
        };
        verified.is_ok()
    }
}

impl std::fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Rsa { .. } => "RSA",
            Self::P256(_) => "P-256",
            Self::P384(_) => "P-384",
            Self::Ed25519(_) => "Ed25519",
        })
    }
}

fn without_leading_zeros(number: &[u8]) -> &[u8] {
    &number[number.iter().position(|byte| *byte != 0).unwrap_or(number.len())..]
}

fn point(x: &[u8], y: &[u8], bytes: usize) -> Result<Vec<u8>, &'static str> {
    match x.len() == bytes && y.len() == bytes {
        true => Ok([&[4], x, y].concat()),
        false => Err("its coordinates have not the length of its curve"),
    }
}
