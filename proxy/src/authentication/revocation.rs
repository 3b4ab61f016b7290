//! Whether a token was revoked: whoever issued it is asked, and what they say is believed for a while.
//!
//! "Revoked" is believed until the token expires. "Not revoked" is believed for a short time, and forgotten when a request with an
//! effect was answered under that token: it may have been the one that revoked it. Where nobody can say, nothing is believed.

use std::sync::Arc;

use http::{HeaderValue, Method, Request, StatusCode, Uri, header, response::Parts};
use saga_config::expr::Bindings;
use serde_json::Value;
use tokio::{sync::OnceCell, time::Instant};

use super::{
    ask::{Asking, ask},
    cache::{Cache, TokenHash},
};
use crate::{
    body::Body,
    config::RevocationCheck,
    headers::REFRAIN_PROBLEM,
    idempotency::view::{body_value, headers_value},
    upstream::Upstream,
};

/// The largest answer that is read, in bytes.
const MAX_ANSWER_BYTES: u64 = 256 * 1024;
/// Tokens of which it is remembered what was said.
const MAX_REMEMBERED: usize = 32 * 1024;

/// Finds out whether tokens were revoked.
#[derive(Debug)]
pub(super) struct Revocation {
    check: RevocationCheck,
    upstream: Arc<Upstream>,
    /// A question that is under way is in it too: whoever comes meanwhile waits for its answer.
    said: Cache<Arc<OnceCell<Said>>>,
}

/// What was said of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// It was not revoked when this was asked.
    Good(Instant),
    /// It was.
    Revoked,
    /// It lacks what would be asked for.
    NotAskable,
    /// Nobody could say.
    CannotTell,
}

impl Revocation {
    pub(super) fn new(check: RevocationCheck, upstream: Arc<Upstream>) -> Self {
        Self { check, upstream, said: Cache::new(MAX_REMEMBERED) }
    }

    /// Who is asked.
    pub(super) const fn upstream(&self) -> &Arc<Upstream> {
        &self.upstream
    }

    /// Whether the token with these claims was revoked.
    pub(super) async fn of(&self, token: TokenHash, claims: &Value, core: usize) -> Said {
        let counts = |cell: &Arc<OnceCell<Said>>| match cell.get() {
            None | Some(Said::Revoked | Said::NotAskable) => true,
            Some(Said::Good(asked_at)) => asked_at.elapsed() < self.check.cache,
            Some(Said::CannotTell) => false,
        };
        let cell = self.said.get_or_insert(token, counts, Arc::default);
        // Dropped here, where a client hangs up: the next who waits asks again.
        *cell.get_or_init(|| self.ask(claims, core)).await
    }

    /// Forgets that the token was not revoked, and what is being asked: who comes from now on asks anew.
    pub(super) fn forget(&self, token: &TokenHash) {
        self.said.remove_if(token, |cell| cell.get() != Some(&Said::Revoked));
    }

    async fn ask(&self, claims: &Value, core: usize) -> Said {
        let asked_at = Instant::now();
        let target = match self.target(claims) {
            Ok(target) => target,
            Err(reason) => {
                tracing::info!(reason, "a token cannot be asked for: `revoked.call` cannot be had from its claims");
                return Said::NotAskable;
            }
        };
        let mut request = Request::new(Body::empty());
        if self.check.call.method() == saga_config::template::Method::Head {
            *request.method_mut() = Method::HEAD;
        }
        *request.uri_mut() = target;
        request.headers_mut().insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        let (upstream, within) = (&self.upstream, self.check.timeout);
        let asking = Asking { upstream, core, request, within, at_most: MAX_ANSWER_BYTES };
        let judged = ask(asking).await.and_then(|(parts, body)| self.judge(claims, &parts, &body));
        match judged {
            Ok(true) => Said::Revoked,
            Ok(false) => Said::Good(asked_at),
            Err(reason) => {
                let upstream = &self.upstream.config().name;
                tracing::warn!(%upstream, reason, "it cannot be found out whether a token was revoked");
                Said::CannotTell
            }
        }
    }

    /// The path and query that ask for this token.
    fn target(&self, claims: &Value) -> Result<Uri, String> {
        let target = self.check.call.render(&Bindings::new().with("claims", claims), &[]).map_err(|error| error.to_string())?;
        Uri::try_from(target).map_err(|error| error.to_string())
    }

    /// Whether the answer says that the token was revoked; why it cannot be told, in words for the log.
    fn judge(&self, claims: &Value, parts: &Parts, body: &[u8]) -> Result<bool, String> {
        if parts.status.is_server_error() || parts.headers.contains_key(REFRAIN_PROBLEM) {
            return Err(format!("the answer is {}", parts.status));
        }
        let response = serde_json::json!({
            "status": parts.status.as_u16(),
            "headers": headers_value(&parts.headers),
            "body": body_value(&parts.headers, body),
        });
        let known = Bindings::new().with("claims", claims).with("response", &response);
        let is_revoked = self.check.when.eval_bool(&known).map_err(|error| format!("`revoked.when`: {error}"))?;
        // These say that the question was not heard, and nothing of the token; unless `when` knows better.
        let is_no_answer = parts.status.is_redirection()
            || matches!(
                parts.status,
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS
            );
        match is_revoked || !is_no_answer {
            true => Ok(is_revoked),
            false => Err(format!("the answer is {}", parts.status)),
        }
    }
}

#[cfg(test)]
mod tests;
