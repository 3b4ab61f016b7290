//! What the store holds, sealed: XChaCha20-Poly1305, bound to the record and its fence.
//!
//! A sealed text that is moved to another record, or back to an earlier fence of its own, does not open. Without keys nothing is
//! sealed. With keys, what was stored plainly before there were any is still read; it is never written. The first key writes, all
//! of them read: to change keys, put the new one first, and drop the old one when its records have expired.
//!
//! Layout: one byte that says how, then, if plain, the text; if sealed, the length and bytes of the key's id, the nonce (24 bytes),
//! the ciphertext and its tag (16 bytes).

use std::fmt;

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use bytes::Bytes;
use chacha20poly1305::{AeadInPlace, KeyInit, XChaCha20Poly1305, XNonce};
use rand::RngCore;

use crate::ids::{Fence, RecordName};

const PLAIN: u8 = 0;
const XCHACHA20_POLY1305: u8 = 1;
const NONCE_LEN: usize = 24;
const TAG_LEN: usize = 16;
const MAX_ID_LEN: usize = 32;

/// A key that seals what is stored. `Debug` hides all but its id.
#[derive(Clone, PartialEq, Eq)]
pub struct EncryptionKey {
    id: Box<str>,
    key: [u8; 32],
}

impl EncryptionKey {
    /// A key and its id, which is kept with what it sealed.
    ///
    /// # Errors
    ///
    /// The id is not 1 to 32 characters out of letters and digits of ASCII, `.`, `_` and `-`.
    pub fn new(id: &str, key: [u8; 32]) -> Result<Self, KeyIdError> {
        let allowed = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'_' | b'-');
        if id.is_empty() || id.len() > MAX_ID_LEN || !id.bytes().all(allowed) {
            return Err(KeyIdError);
        }
        Ok(Self { id: id.into(), key })
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.id
    }
}

impl fmt::Debug for EncryptionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EncryptionKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Not the id of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the id of an encryption key has 1 to 32 characters: letters, digits, `.`, `_` and `-`")]
pub struct KeyIdError;

/// Why a text is no key. It does not repeat the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyTextError {
    /// Neither as long as hexadecimal nor as base64 of 32 bytes.
    #[error("the key has {length} characters; 32 bytes are 64 characters of hexadecimal, or 43 or 44 of base64")]
    Length {
        /// In bytes, without surrounding white space.
        length: usize,
    },
    /// As long as hexadecimal, but it is not.
    #[error("the key has 64 characters but is not hexadecimal")]
    NotHexadecimal,
    /// As long as base64, but it is not.
    #[error("the key is not base64 of 32 bytes (RFC 4648, sections 4 and 5)")]
    NotBase64,
}

/// Reads the text of a key: 32 bytes in hexadecimal, or in base64 of either alphabet, padded or not. White space around it, such
/// as a file's last newline, does not count.
///
/// # Errors
///
/// Why it is not a key.
pub fn parse_key(text: &str) -> Result<[u8; 32], KeyTextError> {
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let text = text.trim();
    match text.len() {
        64 => crate::ids::HashKey::from_hex(text).map(|key| *key.as_bytes()).ok_or(KeyTextError::NotHexadecimal),
        43 | 44 => {
            let alphabet = if text.contains(['-', '_']) { alphabet::URL_SAFE } else { alphabet::STANDARD };
            let decoded = GeneralPurpose::new(&alphabet, config).decode(text).map_err(|_| KeyTextError::NotBase64)?;
            decoded.try_into().map_err(|_| KeyTextError::NotBase64)
        }
        length => Err(KeyTextError::Length { length }),
    }
}

/// Two keys have the same id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("two encryption keys have the id `{0}`: what they sealed could not be told apart")]
pub struct DuplicateKeyId(pub String);

/// Why something stored cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Sealed with a key that is not configured.
    #[error("sealed with the encryption key `{id}`, which is not configured: add it to `store.encryption.keys`")]
    NoSuchKey {
        /// The key's id.
        id: String,
    },
    /// The key is there, but the text does not open with it.
    #[error(
        "does not open with the encryption key `{id}`: it is another key of that name, or the stored bytes were altered or moved"
    )]
    Refused {
        /// The key's id.
        id: String,
    },
    /// Sealed in a way that this version does not know.
    #[error("stored in a way that this version does not know (tag {0}): written by a newer version?")]
    UnknownTag(u8),
    /// Cut short, or never written by Refrain.
    #[error("the stored bytes are cut short or not Refrain's")]
    Malformed,
}

/// Seals what goes into the store, and opens what comes out.
#[derive(Clone)]
pub struct Sealer {
    keys: Vec<(Box<str>, XChaCha20Poly1305)>,
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|(id, _)| id)).finish()
    }
}

impl Sealer {
    /// A sealer whose first key writes. Without keys, nothing is sealed.
    ///
    /// # Errors
    ///
    /// Two keys have the same id.
    pub fn new(keys: &[EncryptionKey]) -> Result<Self, DuplicateKeyId> {
        for (at, key) in keys.iter().enumerate() {
            if keys[..at].iter().any(|earlier| earlier.id == key.id) {
                return Err(DuplicateKeyId(key.id.to_string()));
            }
        }
        Ok(Self { keys: keys.iter().map(|key| (key.id.clone(), XChaCha20Poly1305::new(&key.key.into()))).collect() })
    }

    /// Whether what is written is sealed.
    pub fn seals(&self) -> bool {
        !self.keys.is_empty()
    }

    /// Seals what `write` appends, for the record `name` written under `fence`. `write` may reserve, and must not touch what is
    /// there already.
    pub fn seal(&self, name: &RecordName, fence: Fence, write: impl FnOnce(&mut Vec<u8>)) -> Bytes {
        self.seal_sized(name, fence, 0, write)
    }

    /// [`Sealer::seal`], where `write` appends about `size` bytes.
    pub fn seal_sized(&self, name: &RecordName, fence: Fence, size: usize, write: impl FnOnce(&mut Vec<u8>)) -> Bytes {
        let Some((id, cipher)) = self.keys.first() else {
            let mut out = Vec::with_capacity(1 + size);
            out.push(PLAIN);
            write(&mut out);
            return out.into();
        };
        let mut out = Vec::with_capacity(2 + MAX_ID_LEN + NONCE_LEN + size + TAG_LEN);
        let mut nonce = XNonce::default();
        rand::rng().fill_bytes(&mut nonce);
        out.extend_from_slice(&[XCHACHA20_POLY1305, id_len(id)]);
        out.extend_from_slice(id.as_bytes());
        out.extend_from_slice(&nonce);
        let head = out.len();
        write(&mut out);
        out.reserve_exact(TAG_LEN);
        let tag = cipher
            .encrypt_in_place_detached(&nonce, &associated(name, fence, id), &mut out[head..])
            .expect("XChaCha20-Poly1305 takes 256 GiB, more than memory holds");
        out.extend_from_slice(&tag);
        out.into()
    }

    /// Opens what the record `name` holds, written under `fence`. What is plain is not copied.
    ///
    /// # Errors
    ///
    /// Why it cannot be read.
    pub fn open(&self, name: &RecordName, fence: Fence, stored: &Bytes) -> Result<Bytes, OpenError> {
        match stored.first() {
            None => return Err(OpenError::Malformed),
            Some(&PLAIN) => return Ok(stored.slice(1..)),
            Some(&XCHACHA20_POLY1305) => {}
            Some(&tag) => return Err(OpenError::UnknownTag(tag)),
        }
        let (id, rest) = stored[1..].split_first().ok_or(OpenError::Malformed)?;
        let (id, rest) = rest.split_at_checked(usize::from(*id)).ok_or(OpenError::Malformed)?;
        let id = std::str::from_utf8(id).ok().filter(|id| EncryptionKey::new(id, [0; 32]).is_ok()).ok_or(OpenError::Malformed)?;
        let (nonce, rest) = rest.split_at_checked(NONCE_LEN).ok_or(OpenError::Malformed)?;
        let length = rest.len().checked_sub(TAG_LEN).ok_or(OpenError::Malformed)?;
        let (sealed, tag) = rest.split_at(length);

        let known = self.keys.iter().find(|(known, _)| **known == *id);
        let (_, cipher) = known.ok_or_else(|| OpenError::NoSuchKey { id: id.to_owned() })?;
        let mut text = sealed.to_vec();
        cipher
            .decrypt_in_place_detached(XNonce::from_slice(nonce), &associated(name, fence, id), &mut text, tag.into())
            .map_err(|_| OpenError::Refused { id: id.to_owned() })?;
        Ok(text.into())
    }
}

/// What a sealed text is bound to, beside its key.
fn associated(name: &RecordName, fence: Fence, id: &str) -> Vec<u8> {
    let mut bound = Vec::with_capacity(RecordName::LEN + 8 + 2 + MAX_ID_LEN);
    bound.extend_from_slice(name.as_bytes());
    bound.extend_from_slice(&fence.0.to_le_bytes());
    bound.extend_from_slice(&[XCHACHA20_POLY1305, id_len(id)]);
    bound.extend_from_slice(id.as_bytes());
    bound
}

fn id_len(id: &str) -> u8 {
    u8::try_from(id.len()).expect("ids have at most 32 characters")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NAME: RecordName = RecordName::from_bytes([1; 32]);
    const FENCE: Fence = Fence(7);

    fn sealer(keys: &[(&str, u8)]) -> Sealer {
        let keys: Vec<_> = keys.iter().map(|(id, byte)| EncryptionKey::new(id, [*byte; 32]).unwrap()).collect();
        Sealer::new(&keys).unwrap()
    }

    fn seal(sealer: &Sealer, text: &[u8]) -> Bytes {
        sealer.seal(&NAME, FENCE, |out| out.extend_from_slice(text))
    }

    #[test]
    fn what_is_sealed_opens_and_shows_nothing() {
        let sealer = sealer(&[("2026", 1)]);
        let stored = seal(&sealer, b"card number");
        assert!(!stored.windows(4).any(|window| window == b"card"));
        assert_eq!(sealer.open(&NAME, FENCE, &stored).unwrap(), "card number");
        assert_ne!(stored, seal(&sealer, b"card number"), "every nonce is new");
        assert!(sealer.seals());
    }

    #[test]
    fn the_first_key_writes_and_all_read() {
        let stored = seal(&sealer(&[("old", 1)]), b"text");
        let both = sealer(&[("new", 2), ("old", 1)]);
        assert_eq!(both.open(&NAME, FENCE, &stored).unwrap(), "text");
        let stored = seal(&both, b"text");
        assert_eq!(sealer(&[("new", 2)]).open(&NAME, FENCE, &stored).unwrap(), "text");
        assert_eq!(sealer(&[("old", 1)]).open(&NAME, FENCE, &stored), Err(OpenError::NoSuchKey { id: "new".into() }));
        assert_eq!(sealer(&[]).open(&NAME, FENCE, &stored), Err(OpenError::NoSuchKey { id: "new".into() }));
        assert_eq!(sealer(&[("new", 3)]).open(&NAME, FENCE, &stored), Err(OpenError::Refused { id: "new".into() }));
    }

    #[test]
    fn without_keys_nothing_is_sealed_and_plain_text_stays_readable() {
        let stored = seal(&sealer(&[]), b"text");
        assert_eq!(&stored[..], b"\0text");
        let opened = sealer(&[("k", 1)]).open(&NAME, FENCE, &stored).unwrap();
        assert_eq!(opened, "text");
        assert_eq!(opened.as_ptr(), stored[1..].as_ptr(), "not copied");
        assert!(!sealer(&[]).seals());
    }

    #[test]
    fn a_sealed_text_is_bound_to_its_record_and_fence() {
        let sealer = sealer(&[("k", 1)]);
        let stored = seal(&sealer, b"text");
        let refused = Err(OpenError::Refused { id: "k".into() });
        assert_eq!(sealer.open(&RecordName::from_bytes([2; 32]), FENCE, &stored), refused);
        assert_eq!(sealer.open(&NAME, Fence(8), &stored), refused);
    }

    #[test]
    fn no_altered_or_shortened_byte_opens() {
        let sealer = sealer(&[("k", 1)]);
        let stored = seal(&sealer, b"text");
        for at in 1..stored.len() {
            let mut altered = stored.to_vec();
            altered[at] ^= 1;
            assert!(sealer.open(&NAME, FENCE, &altered.into()).is_err(), "byte {at}");
            assert!(sealer.open(&NAME, FENCE, &stored.slice(..at)).is_err(), "cut at {at}");
        }
        assert_eq!(sealer.open(&NAME, FENCE, &Bytes::new()), Err(OpenError::Malformed));
        assert_eq!(sealer.open(&NAME, FENCE, &Bytes::from_static(&[9, 9])), Err(OpenError::UnknownTag(9)));
    }

    /// What an earlier version sealed must open in this one.
    #[test]
    fn sealed_text_of_the_first_version_still_opens() {
        let stored = unhex(GOLDEN);
        assert_eq!(sealer(&[("2026-a", 5)]).open(&NAME, FENCE, &stored).unwrap(), "sealed in 2026");
    }

    const GOLDEN: &str = "0106323032362d61aa8e64742e99e85ff1588527acd0bb3e0feebe6e827877fe7a3a7f6fa9c1716312bb8181afdacd405b6fd2af466aac7ce0c5aa3046db";

    fn unhex(text: &str) -> Bytes {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
    }

    #[test]
    fn two_keys_of_one_id_are_refused() {
        let keys = [EncryptionKey::new("a", [1; 32]).unwrap(), EncryptionKey::new("a", [2; 32]).unwrap()];
        assert_eq!(Sealer::new(&keys).unwrap_err(), DuplicateKeyId("a".into()));
        for id in ["", "a b", "é", &"a".repeat(33)] {
            assert_eq!(EncryptionKey::new(id, [0; 32]), Err(KeyIdError));
        }
    }

    #[test]
    fn keys_are_read_from_hexadecimal_and_base64() {
        let key: [u8; 32] = std::array::from_fn(|at| 255 - u8::try_from(at).unwrap());
        let hex: String = key.iter().map(|byte| format!("{byte:02X}")).collect();
        assert_eq!(parse_key(&hex), Ok(key));
        for engine in [base64::engine::general_purpose::STANDARD, base64::engine::general_purpose::URL_SAFE_NO_PAD] {
            assert_eq!(parse_key(&format!("{}\n", engine.encode(key))), Ok(key));
        }
        assert_eq!(parse_key("short"), Err(KeyTextError::Length { length: 5 }));
        assert_eq!(parse_key(""), Err(KeyTextError::Length { length: 0 }));
        assert_eq!(parse_key(&"g".repeat(64)), Err(KeyTextError::NotHexadecimal));
        assert_eq!(parse_key(&"!".repeat(44)), Err(KeyTextError::NotBase64));
        assert_eq!(parse_key(&"A".repeat(44)), Err(KeyTextError::NotBase64), "33 bytes");
    }

    #[test]
    fn a_key_is_never_shown_by_accident() {
        let key = EncryptionKey::new("id", [0xab; 32]).unwrap();
        let shown = format!("{key:?} {:?}", Sealer::new(std::slice::from_ref(&key)).unwrap());
        assert!(shown.contains("id") && !shown.contains("171") && !shown.contains("ab, ab"), "{shown}");
    }

    proptest! {
        #[test]
        fn no_stored_bytes_make_it_panic(stored in proptest::collection::vec(any::<u8>(), 0..80), tag in 0..3u8) {
            let mut bytes = vec![tag];
            bytes.extend(stored);
            let _ = sealer(&[("k", 1)]).open(&NAME, FENCE, &bytes.into());
        }
    }
}
