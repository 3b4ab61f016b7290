//! Where callbacks come in: a URL for each step that waits for one, which cannot be guessed.
//!
//! The URL is `<public_url>/refrain/callbacks/<saga's id>/<token>`. The token is computed from a secret that the saga's journal keeps
//! ([`Callbacks`]), so that every replica knows it, and no list of tokens is kept. Whoever has the URL may answer: it is not logged.

use std::borrow::Cow;

use hmac::{Hmac, Mac};
use sha2::{Digest as _, Sha256};

use super::entry::Callbacks;
use crate::ids::{Owner, SagaId};

/// Where callbacks come in: the saga's id and the token come after it.
pub const CALLBACK_PATH: &str = "/refrain/callbacks/";

/// What a token is, of the 32 bytes of the hash.
const TOKEN_BYTES: usize = 16;
/// As it stands in the URL.
const TOKEN_DIGITS: usize = 2 * TOKEN_BYTES;

/// What a caller shows to be let in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Token([u8; TOKEN_BYTES]);

impl std::fmt::Debug for Token {
    /// Without the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token")
    }
}

/// What the path of a callback says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// Which saga.
    pub id: SagaId,
    /// For which step.
    pub token: Token,
}

impl Address {
    /// What comes after [`CALLBACK_PATH`]; `None`: it is not the address of a callback.
    pub fn parse(rest: &str) -> Option<Self> {
        let (id, token) = rest.split_once('/')?;
        // An owner's nonce is as long as a token, and is read from the same digits.
        let token = Owner::from_hex(token)?;
        Some(Self { id: SagaId::from_hex(id)?, token: Token(*token.as_bytes()) })
    }

    /// Tells a caller's repeat of what it sent: the same body to the same URL.
    pub fn nonce(&self, body: &[u8]) -> Owner {
        let mut hash = Sha256::new_with_prefix(b"refrain callback v1");
        hash.update(self.id.as_bytes());
        hash.update(self.token.0);
        hash.update(body);
        let mut nonce = [0; Owner::LEN];
        nonce.copy_from_slice(&hash.finalize()[..Owner::LEN]);
        Owner::from_bytes(nonce)
    }
}

impl Callbacks {
    /// The URL at which a step's callback comes in. Another generation of its call has another.
    pub(super) fn url(&self, id: SagaId, step: &str, generation: u32) -> String {
        let hash = self.hash(step, generation).finalize().into_bytes();
        let digits: String = hash.iter().take(TOKEN_BYTES).map(|byte| format!("{byte:02x}")).collect();
        format!("{}{id}/{digits}", self.base)
    }

    /// Whether a token is that of a step. Takes as long for a wrong one as for the right one.
    pub(super) fn is_for(&self, token: Token, step: &str, generation: u32) -> bool {
        self.hash(step, generation).verify_truncated_left(&token.0).is_ok()
    }

    fn hash(&self, step: &str, generation: u32) -> Hmac<Sha256> {
        let mut hash = Hmac::<Sha256>::new_from_slice(self.secret.as_bytes()).expect("HMAC takes keys of any length");
        hash.update(step.as_bytes());
        hash.update(b"/");
        hash.update(generation.to_string().as_bytes());
        hash
    }
}

/// A path as it may be logged: without the token, if it has one.
pub fn without_token(path: &str) -> Cow<'_, str> {
    // However it is spelled: what a router would read is what counts.
    match crate::router::canonical(path).strip_prefix(CALLBACK_PATH) {
        None => Cow::Borrowed(path),
        Some(rest) => {
            let id = rest.split('/').next().filter(|id| id.len() == TOKEN_DIGITS).unwrap_or("…");
            Cow::Owned(format!("{CALLBACK_PATH}{id}/…"))
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn callbacks(secret: &str) -> Callbacks {
        Callbacks { base: "https://shop.example/refrain/callbacks/".to_owned(), secret: secret.to_owned() }
    }

    fn address(url: &str) -> Address {
        Address::parse(url.strip_prefix("https://shop.example/refrain/callbacks/").unwrap()).unwrap()
    }

    #[test]
    fn a_url_is_for_one_step_of_one_saga_in_one_generation_and_for_who_has_the_secret() {
        let (ours, id) = (callbacks("a"), SagaId::from_bytes([7; 16]));
        let Address { id: of, token } = address(&ours.url(id, "confirm.3", 2));
        assert_eq!(of, id);
        assert!(ours.is_for(token, "confirm.3", 2));
        assert!(!ours.is_for(token, "confirm.3", 1) && !ours.is_for(token, "confirm", 2));
        assert!(!callbacks("b").is_for(token, "confirm.3", 2));
        assert_eq!(ours.url(id, "confirm.3", 2), ours.url(id, "confirm.3", 2), "a request that is rendered again is the same");
    }

    #[test]
    fn what_is_not_the_address_of_a_callback_is_none() {
        let (id, token) = ("07".repeat(16), "0a".repeat(16));
        assert!(Address::parse(&format!("{id}/{token}")).is_some());
        for rest in [String::new(), id.clone(), format!("{id}/"), format!("{id}/{token}/"), format!("{id}/{}", &token[2..])] {
            assert_eq!(Address::parse(&rest), None, "{rest}");
        }
    }

    #[test]
    fn a_repeat_is_known_by_its_body() {
        let one = address(&callbacks("a").url(SagaId::from_bytes([7; 16]), "confirm", 1));
        let other = address(&callbacks("a").url(SagaId::from_bytes([7; 16]), "confirm", 2));
        assert_eq!(one.nonce(b"{}"), one.nonce(b"{}"));
        assert_ne!(one.nonce(b"{}"), one.nonce(b"{} "));
        assert_ne!(one.nonce(b"{}"), other.nonce(b"{}"));
    }

    #[test]
    fn a_token_is_never_logged() {
        let (id, token) = ("07".repeat(16), "0a".repeat(16));
        for path in [
            format!("/refrain/callbacks/{id}/{token}"),
            format!("/refrain//callbacks/{id}/{token}/x"),
            format!("/%72efrain/callbacks/{id}/%30a{}", &token[2..]),
            format!("/refrain/callbacks/{token}x/{id}"),
            format!("/refrain/callbacks/../callbacks/{id}/{token}"),
        ] {
            let shown = without_token(&path);
            assert!(!shown.contains(&token[2..]) && shown.starts_with(CALLBACK_PATH), "{shown}");
        }
        assert_eq!(without_token("/orders/7"), "/orders/7");
        let address = Address::parse(&format!("{id}/{token}")).unwrap();
        assert!(!format!("{address:?}").contains("0a"));
        let kept = format!("{:?}", callbacks("hidden"));
        assert!(!kept.contains("hidden"), "{kept}");
    }
}
