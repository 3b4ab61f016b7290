//! What the tests have in common: keys that sign, tokens, and a configuration.

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    rand::SystemRandom,
    signature::{self, Ed25519KeyPair, KeyPair as _, RsaKeyPair},
};
use serde_json::{Value, json};

use crate::{
    config::{JwtConfig, KeySource, SignatureAlgorithm},
    time::Timestamp,
};

/// The middle of the tests' time, in seconds since the epoch.
pub(in crate::authentication) const NOW: u64 = 1_800_000_000;

pub(in crate::authentication) fn now() -> Timestamp {
    Timestamp::from_unix_ms(NOW * 1000)
}

/// Keys, and tokens that openssl signed by them.
pub(in crate::authentication) fn by_openssl() -> Value {
    serde_json::from_str(include_str!("../fixtures/openssl.json")).unwrap()
}

/// Who signs.
pub(in crate::authentication) enum Signer {
    Ed25519(Ed25519KeyPair),
    Rsa(Box<RsaKeyPair>),
}

impl Signer {
    /// A new key.
    pub(in crate::authentication) fn ed25519() -> Self {
        let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self::Ed25519(Ed25519KeyPair::from_pkcs8(key.as_ref()).unwrap())
    }

    /// The key `rsa` of [`by_openssl`].
    pub(in crate::authentication) fn rsa() -> Self {
        Self::Rsa(Box::new(RsaKeyPair::from_pkcs8(include_bytes!("../fixtures/rsa-2048.pk8")).unwrap()))
    }

    /// As a member of a JWK Set.
    pub(in crate::authentication) fn jwk(&self, id: &str) -> Value {
        match self {
            Self::Ed25519(key) => json!({"kty": "OKP", "crv": "Ed25519", "kid": id, "x": base64(key.public_key().as_ref())}),
            Self::Rsa(_) => {
                let mut key = by_openssl()["jwks"]["keys"][0].clone();
                key["kid"] = id.into();
                key
            }
        }
    }

    fn sign(&self, algorithm: &str, message: &[u8]) -> Vec<u8> {
        match self {
            Self::Ed25519(key) => key.sign(message).as_ref().to_vec(),
            Self::Rsa(key) => {
                let padding: &dyn signature::RsaEncoding = match algorithm {
                    "PS256" => &signature::RSA_PSS_SHA256,
                    _ => &signature::RSA_PKCS1_SHA256,
                };
                let mut by = vec![0; key.public().modulus_len()];
                key.sign(padding, &SystemRandom::new(), message, &mut by).unwrap();
                by
            }
        }
    }

    /// A token with this header, and with this text as its payload.
    pub(in crate::authentication) fn token_of(&self, header: &Value, payload: &str) -> String {
        let signed = format!("{}.{}", base64(header.to_string().as_bytes()), base64(payload.as_bytes()));
        let by = self.sign(header["alg"].as_str().unwrap_or_default(), signed.as_bytes());
        format!("{signed}.{}", base64(&by))
    }

    /// A token of EdDSA by the key `id`.
    pub(in crate::authentication) fn token(&self, id: &str, claims: &Value) -> String {
        self.token_of(&json!({"alg": "EdDSA", "kid": id}), &claims.to_string())
    }
}

pub(in crate::authentication) fn base64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Claims that count, with `more` in their place or beside them; `null` takes one out.
pub(in crate::authentication) fn claims(more: Value) -> Value {
    let mut claims = json!({"iss": "shop", "sub": "7", "exp": NOW + 3600, "iat": NOW - 60, "jti": "j-1", "user_id": 7});
    let Value::Object(more) = more else { panic!("members are meant") };
    for (name, value) in more {
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(&name)),
            value => claims[name] = value,
        }
    }
    claims
}

pub(in crate::authentication) fn jwks(keys: &[Value]) -> String {
    json!({"keys": keys}).to_string()
}

pub(in crate::authentication) const ALL: [SignatureAlgorithm; 9] = {
    use SignatureAlgorithm as A;
    [A::RS256, A::RS384, A::RS512, A::PS256, A::PS384, A::PS512, A::ES256, A::ES384, A::EdDSA]
};

/// Issuer `shop`, every algorithm, a leeway of 30 s, keys of the upstream 0.
pub(in crate::authentication) fn config() -> JwtConfig {
    JwtConfig {
        issuer: "shop".to_owned(),
        audience: Vec::new(),
        keys: KeySource::Upstream(0, "/jwks/".parse().unwrap()),
        refresh: Duration::from_secs(300),
        algorithms: ALL.to_vec(),
        leeway: Duration::from_secs(30),
        payload_header: http::HeaderName::from_static("x-jwt-payload"),
        required_on: Vec::new(),
        revoked: None,
    }
}

/// A service whose every answer the test gives by hand.
pub(in crate::authentication) struct Origin {
    /// Where it is.
    pub(in crate::authentication) url: String,
    asked: tokio::sync::mpsc::Receiver<Asked>,
}

/// A request that waits for its answer.
pub(in crate::authentication) struct Asked {
    /// Method and target.
    pub(in crate::authentication) line: String,
    answer: tokio::sync::oneshot::Sender<String>,
}

impl Origin {
    pub(in crate::authentication) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (tell, asked) = tokio::sync::mpsc::channel(64);
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                tokio::spawn(serve(connection, tell.clone()));
            }
        });
        Self { url, asked }
    }

    /// The next request.
    pub(in crate::authentication) async fn asked(&mut self) -> Asked {
        self.asked.recv().await.unwrap()
    }

    /// Whether nobody has asked since.
    pub(in crate::authentication) fn is_left_alone(&mut self) -> bool {
        self.asked.try_recv().is_err()
    }
}

impl Asked {
    pub(in crate::authentication) fn answer(self, status: u16, body: &str) {
        let head = format!("HTTP/1.1 {status} x\r\ncontent-type: application/json\r\ncontent-length: {}", body.len());
        // Whoever asked may be gone.
        let _gone = self.answer.send(format!("{head}\r\n\r\n{body}"));
    }
}

async fn serve(connection: tokio::net::TcpStream, tell: tokio::sync::mpsc::Sender<Asked>) {
    use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _};
    let mut connection = tokio::io::BufReader::new(connection);
    loop {
        let (mut line, mut rest) = (String::new(), String::new());
        if !matches!(connection.read_line(&mut line).await, Ok(1..)) {
            return;
        }
        while !rest.ends_with("\r\n\r\n") && rest != "\r\n" {
            if !matches!(connection.read_line(&mut rest).await, Ok(1..)) {
                return;
            }
        }
        let line = line.trim_end().trim_end_matches(" HTTP/1.1").to_owned();
        let (answer, answered) = tokio::sync::oneshot::channel();
        if tell.send(Asked { line, answer }).await.is_err() {
            return;
        }
        let Ok(answer) = answered.await else { return };
        if connection.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// An upstream of these tests.
pub(in crate::authentication) fn upstream(url: &str) -> Arc<crate::upstream::Upstream> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("refrain.yaml");
    std::fs::write(&file, format!("store: {{url: \"memory:\"}}\nupstreams:\n  auth: {{url: \"{url}\"}}\n")).unwrap();
    let loaded = crate::config::load::load(Some(&file), &crate::config::load::Overrides::default(), &|_| None).unwrap();
    Arc::new(crate::upstream::Upstream::new(Arc::clone(&loaded.config.upstreams[0]), 2).unwrap())
}
