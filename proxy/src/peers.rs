//! Whose saga calls are believed (rule 22): the TCP peer counts, or a signature, never a forwarded header.

use std::net::IpAddr;

use hmac::{Hmac, Mac as _};
use http::{HeaderMap, Request};
use sha2::Sha256;

use crate::{
    config::{SagaPeers, Secret},
    headers,
    idempotency::key::{Key, KeyForm},
    time::Timestamp,
};

/// Whose saga calls are believed.
#[derive(Debug, Default)]
pub struct Peers {
    networks: Vec<ipnet::IpNet>,
    key: Option<Secret>,
}

/// What a request is, as far as sagas go.
#[derive(Debug, PartialEq, Eq)]
pub enum Trust {
    /// A step's call from a trusted peer.
    Step(StepCall),
    /// A call of a trusted peer's saga that has no effect (`effect: none`, a probe), and so no key: it names its saga only.
    Reading,
    /// An ordinary request; what it said of sagas is stripped.
    Plain,
    /// It claims to be a step's call and is not believed.
    Untrusted,
}

/// A step's call, or its undo's, from a trusted peer or from this process's own saga driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepCall {
    /// The call's key. It counts instead of any other.
    pub key: Key,
    /// The saga's id, as it is written: a step and its undo sit together in the store by it. Empty where a peer does not say.
    pub saga: String,
    /// Whether the driver says that an unknown attempt is to be sent again (`Saga-In-Doubt: resend`).
    pub resend: bool,
    /// Whether the driver only asks what became of the step (`Saga-Resolve: true`): it is not carried out any more.
    pub resolve: bool,
    /// When the step was first sent, and for an undo the step that is undone, by the driver's store's clock (`Saga-First-Sent`): what
    /// tells "it was never sent" from "it was forgotten". `None`: the driver does not say.
    pub first_sent: Option<Timestamp>,
    /// For an undo: of what.
    pub undo: Option<UndoCall>,
}

/// What a driver says with an undo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UndoCall {
    /// The key of the step that is undone (`Saga-Undo-Of`).
    pub of: Key,
    /// Whether the driver has an answer that says that the step was carried out (`Saga-Undo-Knows: done`).
    pub knows_done: bool,
}

impl Peers {
    /// As configured.
    pub fn new(config: &SagaPeers) -> Self {
        Self { networks: config.networks.clone(), key: config.key.clone() }
    }

    /// Judges a request, and strips what is not believed.
    pub fn trust<B>(&self, request: &mut Request<B>, peer: IpAddr) -> Trust {
        if !request.headers().keys().any(headers::is_saga) {
            return Trust::Plain;
        }
        let step_key = request.headers().get(headers::SAGA_STEP_KEY).map(|value| value.to_str().map(str::to_owned));
        let is_trusted = self.networks.iter().any(|network| network.contains(&peer)) || self.is_signed(request);
        let Some(step_key) = step_key else {
            if is_trusted && request.headers().contains_key(headers::SAGA_ID) {
                return Trust::Reading;
            }
            headers::strip_saga(request.headers_mut());
            return Trust::Plain;
        };
        let key = step_key.ok().and_then(|text| as_key(&text));
        match (is_trusted, key) {
            (true, Some(key)) => step_call(key, request.headers()).map_or(Trust::Untrusted, Trust::Step),
            _ => Trust::Untrusted,
        }
    }

    /// Signs a saga call that goes to another Refrain, if there is a shared key. Its `Saga-*` headers and its key are set already.
    pub fn sign<B>(&self, request: &mut Request<B>) {
        let Some(mut mac) = self.key.as_ref().and_then(signer) else { return };
        let target = request.uri().path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        mac.update(&signed_text(request.method(), target, request.headers()));
        let hex: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        if let Ok(value) = http::HeaderValue::from_str(&hex) {
            request.headers_mut().insert(headers::SAGA_SIGNATURE, value);
        }
    }

    fn is_signed<B>(&self, request: &Request<B>) -> bool {
        let (Some(key), Some(given)) = (&self.key, request.headers().get(headers::SAGA_SIGNATURE)) else { return false };
        let Some(mut mac) = signer(key) else { return false };
        let target = request.uri().path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        mac.update(&signed_text(request.method(), target, request.headers()));
        let mut bytes = [0; 32];
        decode_hex(given.as_bytes(), &mut bytes) && mac.verify_slice(&bytes).is_ok()
    }
}

fn as_key(text: &str) -> Option<Key> {
    Key::from_text(text, &KeyForm::default()).ok()
}

/// What a step's headers say; `None` if one of them cannot be read: a driver that cannot be understood is not obeyed in part.
fn step_call(key: Key, headers: &HeaderMap) -> Option<StepCall> {
    let text = |name: http::HeaderName| match headers.get(name) {
        None => Some(None),
        Some(value) => value.to_str().ok().map(Some),
    };
    let undo = match text(headers::SAGA_UNDO_OF)? {
        None => None,
        Some(of) => Some(UndoCall {
            of: as_key(of)?,
            knows_done: match text(headers::SAGA_UNDO_KNOWS)? {
                Some("done") => true,
                None | Some("unknown") => false,
                Some(_) => return None,
            },
        }),
    };
    Some(StepCall {
        key,
        saga: text(headers::SAGA_ID)?.unwrap_or_default().to_owned(),
        resend: text(headers::SAGA_IN_DOUBT)? == Some("resend"),
        resolve: text(headers::SAGA_RESOLVE)? == Some("true"),
        first_sent: match text(headers::SAGA_FIRST_SENT)? {
            None => None,
            Some(ms) => Some(Timestamp::from_unix_ms(ms.parse().ok()?)),
        },
        undo,
    })
}

fn signer(key: &Secret) -> Option<Hmac<Sha256>> {
    Hmac::new_from_slice(key.expose().as_bytes()).ok()
}

/// What a signature covers: method, target, and every `Saga-*` header and the key, in the order of their names.
fn signed_text(method: &http::Method, target: &str, headers: &HeaderMap) -> Vec<u8> {
    let mut lines: Vec<(&str, &[u8])> = headers
        .iter()
        .filter(|(name, _)| **name != headers::SAGA_SIGNATURE)
        .filter(|(name, _)| headers::is_saga(name) || name.as_str() == "idempotency-key")
        .map(|(name, value)| (name.as_str(), value.as_bytes()))
        .collect();
    lines.sort_unstable();
    let mut text = Vec::new();
    let mut part = |bytes: &[u8]| {
        text.extend_from_slice(&(bytes.len() as u64).to_be_bytes());
        text.extend_from_slice(bytes);
    };
    part(method.as_str().as_bytes());
    part(target.as_bytes());
    for (name, value) in lines {
        part(name.as_bytes());
        part(value);
    }
    text
}

fn decode_hex(text: &[u8], out: &mut [u8; 32]) -> bool {
    let decoded = std::str::from_utf8(text).ok().and_then(crate::ids::RecordName::from_hex);
    decoded.map(|bytes| *out = *bytes.as_bytes()).is_some()
}
