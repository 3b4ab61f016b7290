//! Identifiers: each a type of its own, so that none can stand where another is meant.

use std::{fmt, hash::Hasher};

use rand::RngCore;
use serde::{Deserialize, Serialize};

macro_rules! byte_id {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name([u8; $len]);

        impl $name {
            /// The number of bytes.
            pub const LEN: usize = $len;

            /// From its bytes.
            pub const fn from_bytes(bytes: [u8; $len]) -> Self {
                Self(bytes)
            }

            /// Its bytes.
            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }

            /// From a slice of exactly [`Self::LEN`] bytes; `None` for any other length.
            pub fn from_slice(bytes: &[u8]) -> Option<Self> {
                bytes.try_into().ok().map(Self)
            }

            /// From lower- or upper-case hexadecimal, as [`fmt::Display`] writes it; `None` for anything else.
            pub fn from_hex(text: &str) -> Option<Self> {
                let mut bytes = [0; $len];
                decode_hex(text.as_bytes(), &mut bytes).then_some(Self(bytes))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut text = [0; 2 * $len];
                encode_hex(&self.0, &mut text);
                f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }
    };
}

byte_id! {
    /// The name under which a record is stored: a keyed hash of scope, upstream and key. It tells nothing of the key.
    RecordName, 32
}
byte_id! {
    /// What a key was first used with: a hash over method, path, query and body.
    Fingerprint, 32
}
byte_id! {
    /// Who holds a claim: 128 random bits, new for every attempt.
    Owner, 16
}
byte_id! {
    /// Where one process listens for completions.
    Mailbox, 16
}
byte_id! {
    /// A saga: a keyed hash of scope, saga name and key, or, where there is no key, 128 random bits.
    SagaId, 16
}
byte_id! {
    /// The key of all record names: 32 random bytes, created once in the store.
    HashKey, 32
}

impl Owner {
    /// A new owner nonce.
    pub fn random() -> Self {
        let mut bytes = [0; Self::LEN];
        rand::rng().fill_bytes(&mut bytes);
        Self(bytes)
    }
}

impl Mailbox {
    /// A new mailbox, for one process.
    pub fn random() -> Self {
        let mut bytes = [0; Self::LEN];
        rand::rng().fill_bytes(&mut bytes);
        Self(bytes)
    }
}

impl HashKey {
    /// A new hash key. Which one is in force, the store decides.
    pub fn random() -> Self {
        let mut bytes = [0; Self::LEN];
        rand::rng().fill_bytes(&mut bytes);
        Self(bytes)
    }
}

impl SagaId {
    /// An id for a saga that was started without a key.
    pub fn random() -> Self {
        let mut bytes = [0; Self::LEN];
        rand::rng().fill_bytes(&mut bytes);
        Self(bytes)
    }

    /// Under which name its waiters are woken, and its entries are sealed. No record has such a name, but by a chance of 2⁻¹²⁸.
    pub fn as_record(&self) -> RecordName {
        let mut bytes = [0; RecordName::LEN];
        bytes[..Self::LEN].copy_from_slice(&self.0);
        RecordName(bytes)
    }

    /// Under which name those are woken who want to know of every change. Within one process only.
    pub fn as_changes(&self) -> RecordName {
        let mut bytes = [u8::MAX; RecordName::LEN];
        bytes[..Self::LEN].copy_from_slice(&self.0);
        RecordName(bytes)
    }
}

impl RecordName {
    /// How many bytes of a name say with which others it sits together, see [`RecordName::neighbourhood`].
    pub const NEIGHBOURHOOD: usize = 8;

    /// The first bytes. Names that share them are kept together, so that one operation can be atomic over both.
    pub fn neighbourhood(&self) -> &[u8] {
        &self.0[..Self::NEIGHBOURHOOD]
    }

    /// The first 24 hexadecimal digits: enough to find a record in a log, one of a saga's steps too, whose first 16 are the same.
    pub fn short(&self) -> String {
        self.0[..12].iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Spreads names and ids over a table's places. They are hashes under a secret key, or random: nobody chooses them, so what they
/// are made of is spread enough, and hashing them again would only take time.
#[derive(Clone, Copy, Debug, Default)]
pub struct NameHasher(u64);

impl Hasher for NameHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        // All of it counts: the names of one saga begin alike, and a saga's id as a name ends in zeros.
        for word in words {
            self.0 = self.0.rotate_left(23) ^ u64::from_le_bytes(*word);
        }
        for byte in rest {
            self.0 = self.0.rotate_left(23) ^ u64::from(*byte);
        }
    }

    /// The length of what follows, which is the same for all.
    fn write_usize(&mut self, _: usize) {}
}

/// A fencing token: it only grows for one record, and the store judges it. Microseconds of the store's clock, or the previous plus one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Fence(pub u64);

impl fmt::Display for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// In lower case. Of `out` as much is written as `bytes` fill.
fn encode_hex(bytes: &[u8], out: &mut [u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (byte, pair) in bytes.iter().zip(out.chunks_exact_mut(2)) {
        pair.copy_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    }
}

fn decode_hex(text: &[u8], out: &mut [u8]) -> bool {
    fn digit(c: u8) -> Option<u8> {
        char::from(c).to_digit(16).and_then(|d| u8::try_from(d).ok())
    }
    text.len() == out.len() * 2
        && text.chunks_exact(2).zip(out).all(|(pair, byte)| match (digit(pair[0]), digit(pair[1])) {
            (Some(high), Some(low)) => {
                *byte = high << 4 | low;
                true
            }
            _ => false,
        })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::hash::Hash as _;

    use super::*;

    #[test]
    fn names_of_one_neighbourhood_and_ids_as_names_are_spread() {
        let hash = |name: &RecordName| {
            let mut hasher = NameHasher::default();
            name.hash(&mut hasher);
            hasher.finish()
        };
        let near = |n: u8| RecordName::from_bytes(std::array::from_fn(|at| if at < 8 { 1 } else { n.wrapping_mul(at as u8) }));
        let id = |n: u8| SagaId::from_bytes([n; 16]).as_record();
        for names in [[near(1), near(2), near(3)], [id(1), id(2), id(3)]] {
            let hashes = names.map(|name| hash(&name));
            assert!(hashes[0] != hashes[1] && hashes[1] != hashes[2] && hashes[0] != hashes[2]);
        }
    }

    #[test]
    fn hexadecimal_round_trips_and_rejects_what_is_not() {
        let owner = Owner::random();
        assert_eq!(Owner::from_hex(&owner.to_string()), Some(owner));
        assert_eq!(Owner::from_hex("00"), None);
        assert_eq!(Owner::from_hex(&"g".repeat(32)), None);
    }
}
