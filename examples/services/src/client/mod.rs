//! A client of the shop: it speaks to the edge, as a web page or an app would, and knows nothing of what is behind it.
//!
//! [`Edge`] sends one request and gives its answer. [`Patient`] wants something done once: it makes a request an
//! [`Intent`] with a key of its own, and sends that same request with that same key until it has been decided.

mod answers;
mod intent;
mod patient;

use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::redirect;
use serde::de::DeserializeOwned;

pub use answers::{Account, Order, Problem, Session, Transaction, User};
pub use intent::{Intent, Item, Registration};
pub use patient::{Fate, Patience, Patient, Settled};

/// How long one request may take before it counts as unanswered. More than the shop takes to say 202.
const MAX_ANSWER: Duration = Duration::from_secs(30);

/// How long a connection may take.
const MAX_CONNECT: Duration = Duration::from_secs(5);

/// The longest answer that is read, in bytes: a listing of a thousand orders fits.
const MAX_BODY_BYTES: usize = 4 * 1024 * 1024;

/// Why there is no answer, or not one that can be used.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No HTTP client can be made.
    #[error("cannot make an HTTP client")]
    Setup(#[source] reqwest::Error),
    /// No answer came: what became of the request is not known.
    #[error("{0}")]
    NoAnswer(String),
    /// The answer is longer than anything the shop says.
    #[error("{0}: the answer is longer than {MAX_BODY_BYTES} bytes")]
    TooLong(String),
    /// An answer that does not say what it should.
    #[error("{what} was answered {status}: {said}")]
    Unexpected {
        /// The request, as `POST /orders/`.
        what: String,
        /// The answer's status.
        status: u16,
        /// What the answer said, or why it cannot be understood.
        said: String,
    },
}

/// The shop's edge, spoken to over HTTP.
#[derive(Clone, Debug)]
pub struct Edge {
    http: reqwest::Client,
    url: String,
}

/// An answer, whole, as it came.
#[derive(Clone, Debug)]
pub struct Answer {
    what: String,
    /// The status.
    pub status: u16,
    /// The header lines.
    pub headers: HeaderMap,
    /// The bytes of the body.
    pub body: Vec<u8>,
}

impl Edge {
    /// The edge at `url`, for instance `http://127.0.0.1:8080`.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn at(url: &str) -> Result<Self, ClientError> {
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(redirect::Policy::none())
            // Sending again is decided here, and nowhere below.
            .retry(reqwest::retry::never())
            .connect_timeout(MAX_CONNECT)
            .timeout(MAX_ANSWER)
            .build()
            .map_err(ClientError::Setup)?;
        Ok(Self { http, url: url.trim_end_matches('/').to_owned() })
    }

    /// Sends the request once, and reads the whole answer: at most 4 MiB, within 30 seconds.
    ///
    /// # Errors
    /// When no answer came, or not a whole one.
    pub async fn send(&self, intent: &Intent) -> Result<Answer, ClientError> {
        let what = intent.what();
        let lost = |error: reqwest::Error| ClientError::NoAnswer(format!("{what}: {}", in_full(&error)));
        let mut request = self.http.request(intent.method.clone(), format!("{}{}", self.url, intent.path));
        if let Some(key) = &intent.key {
            request = request.header("idempotency-key", format!("\"{key}\""));
        }
        if let Some(token) = &intent.token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = &intent.body {
            request = request.header("content-type", "application/json").body(body.clone());
        }
        let mut response = request.send().await.map_err(lost)?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(lost)? {
            body.extend_from_slice(&chunk);
            if body.len() > MAX_BODY_BYTES {
                return Err(ClientError::TooLong(what));
            }
        }
        Ok(Answer { what, status, headers, body })
    }

    /// Sends a request that reads, and gives what it says.
    ///
    /// # Errors
    /// When no answer came, or another one than 200.
    pub async fn read<T: DeserializeOwned>(&self, path: &str, token: &str) -> Result<T, ClientError> {
        self.send(&Intent::read(path, token)).await?.expect(200)
    }

    /// The caller's account.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub async fn account(&self, token: &str) -> Result<Account, ClientError> {
        self.read("/account/", token).await
    }

    /// The caller's orders, the newest first.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub async fn orders(&self, token: &str) -> Result<Vec<Order>, ClientError> {
        self.read("/orders/?limit=1000", token).await
    }
}

impl Answer {
    /// What it says, if it has this status; an empty body says `null`.
    ///
    /// # Errors
    /// When it has another one, or says something else.
    pub fn expect<T: DeserializeOwned>(&self, status: u16) -> Result<T, ClientError> {
        if self.status != status {
            return Err(self.unexpected(self.said()));
        }
        let body: &[u8] = if self.body.is_empty() { b"null" } else { &self.body };
        serde_json::from_slice(body).map_err(|error| self.unexpected(format!("which cannot be understood: {error}")))
    }

    /// Whether it is one that was given before (`Idempotency-Replayed: true`).
    pub fn is_replayed(&self) -> bool {
        self.header("idempotency-replayed") == Some("true")
    }

    /// How the request was treated (`Idempotency-Status`).
    pub fn treated(&self) -> Option<&str> {
        self.header("idempotency-status")
    }

    /// When to ask again (`Retry-After` in seconds).
    pub fn retry_after(&self) -> Option<Duration> {
        let seconds = self.headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
        Some(Duration::from_secs(seconds))
    }

    /// What it says about itself, where it is a problem; nothing where it is none.
    pub fn problem(&self) -> Problem {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// What it says, for people: one line, at most 200 characters.
    pub fn said(&self) -> String {
        let Problem { title, detail, message, .. } = self.problem();
        let words: Vec<String> = [title, detail, message].into_iter().flatten().collect();
        let text = if words.is_empty() { String::from_utf8_lossy(&self.body).into_owned() } else { words.join(": ") };
        text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(200).collect()
    }

    pub(crate) fn unexpected(&self, said: String) -> ClientError {
        ClientError::Unexpected { what: self.what.clone(), status: self.status, said }
    }

    fn header<'a>(&'a self, name: &'static str) -> Option<&'a str> {
        self.headers.get(HeaderName::from_static(name)).map(HeaderValue::to_str)?.ok()
    }
}

/// An error and all its causes, which is where the reason is.
fn in_full(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests;
