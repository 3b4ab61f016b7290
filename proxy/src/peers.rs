//! Whose saga calls are believed (rule 22): the TCP peer counts, or a signature, never a forwarded header.

use std::net::IpAddr;

use hmac::{Hmac, Mac as _};
use http::{HeaderMap, Request};
use sha2::Sha256;

use crate::{
    config::{SagaPeers, Secret},
    headers,
    idempotency::key::{Key, KeyForm},
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
    /// An ordinary request; what it said of sagas is stripped.
    Plain,
    /// It claims to be a step's call and is not believed.
    Untrusted,
}

/// A step's call from a trusted peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepCall {
    /// The step's key. It counts instead of any other.
    pub key: Key,
    /// Whether the driver says that an unknown attempt is to be sent again (`Saga-In-Doubt: resend`).
    pub resend: bool,
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
        let Some(step_key) = step_key else {
            headers::strip_saga(request.headers_mut());
            return Trust::Plain;
        };
        let is_trusted = self.networks.iter().any(|network| network.contains(&peer)) || self.is_signed(request);
        let key = step_key.ok().and_then(|text| Key::from_text(&text, &KeyForm::default()).ok());
        match (is_trusted, key) {
            (true, Some(key)) => {
                let resend = request.headers().get(headers::SAGA_IN_DOUBT).is_some_and(|value| value == "resend");
                Trust::Step(StepCall { key, resend })
            }
            _ => Trust::Untrusted,
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
