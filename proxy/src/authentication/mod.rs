//! Who the caller is: bearer tokens (RFC 6750) that are JWTs (RFC 7519), verified.
//!
//! header → token → algorithm, times, issuer, audience → key → signature → not revoked → what the route wants of the claims. A request that
//! needs a token does not pass without one, and none passes because something could not be asked. Where no token is needed, one that
//! does not count gives no claims, and the request goes on.
//!
//! It never signs, never calls anything with an effect, and never shows a token.

mod ask;
mod cache;
mod crypto;
mod fetch;
mod keys;
mod revocation;
mod token;

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use saga_config::expr::Bindings;

use self::{
    cache::{Cache, TokenHash},
    fetch::{Found, Generation, Keys, Source},
    revocation::{Revocation, Said},
    token::{Invalid, Unverified, Verified, bearer},
};
use crate::{
    body::Body,
    claims::{CallersHeader, Claims},
    config::{JwtConfig, KeySource, RequiredOn, RevocationCheck},
    headers::strip_reserved,
    idempotency::view::RequestView,
    metrics::{AuthenticationResult as Counted, Metrics},
    problem::{Problem, ProblemName},
    router::{canonical, matches},
    time::wall_now,
    upstream::{SetUpError, Upstream},
};

/// The text of verified tokens that are remembered, in bytes: what is kept of one is a few times that.
const MAX_REMEMBERED_BYTES: usize = 4 * 1024 * 1024;

/// Verifies the tokens of all cores.
#[derive(Debug)]
pub struct Authenticator {
    config: Arc<JwtConfig>,
    keys: Arc<Keys>,
    /// The upstream of a `jwks.url`, which no other part of the configuration knows.
    own_upstream: Option<Arc<Upstream>>,
    /// Tokens whose signature was verified, and by which keys: each is verified once, until its key may have gone.
    verified: Cache<(Arc<Verified>, Generation)>,
    revocation: Option<Arc<Revocation>>,
    metrics: Metrics,
}

/// Who the caller of a request is, as far as a token says. Held until the request has been answered.
#[derive(Debug)]
#[must_use = "hold it until the request is answered: what the request did may have revoked its token"]
pub struct Authenticated {
    _forgets: Option<Forgets>,
}

/// Forgets that a token was not revoked, once the request that may have revoked it is answered, or given up.
#[derive(Debug)]
struct Forgets {
    revocation: Arc<Revocation>,
    token: TokenHash,
}

/// Why there are no claims.
enum Without {
    /// There is no token.
    Token,
    /// There is one that does not count.
    Valid(Invalid),
    /// It cannot be found out whether it counts; what is missing.
    Answer(&'static str),
}

impl Authenticator {
    /// As configured. `upstreams` are those of the configuration, in its order; one of a `jwks.url` is set up for as many cores as
    /// `workers`. `old` is given again, with its keys and all it remembers, if nothing about it has changed.
    ///
    /// # Errors
    ///
    /// The upstream of a `jwks.url` cannot be set up, see [`SetUpError`].
    pub fn new(
        config: &Arc<JwtConfig>,
        upstreams: &[Arc<Upstream>],
        workers: usize,
        metrics: &Metrics,
        old: Option<&Arc<Self>>,
    ) -> Result<Arc<Self>, SetUpError> {
        if let Some(old) = old.filter(|old| old.asks_as(config, upstreams)) {
            return Ok(Arc::clone(old));
        }
        let named = |at: usize| Arc::clone(&upstreams[at]);
        let own_upstream = match &config.keys {
            KeySource::Url(own, _) => Some(Arc::new(Upstream::new(Arc::clone(own), workers)?)),
            KeySource::File(_) | KeySource::Upstream(..) => None,
        };
        let source = match (&config.keys, &own_upstream) {
            (KeySource::File(path), _) => Source::File(path.clone()),
            (KeySource::Upstream(at, target), _) => Source::Upstream(named(*at), target.clone()),
            (KeySource::Url(_, target), own) => Source::Upstream(own.clone().expect("it was set up above"), target.clone()),
        };
        let keys = Keys::new(source, config.algorithms.clone(), config.refresh, metrics.clone());
        let revocation = config.revoked.clone().map(|check| {
            let upstream = named(check.upstream);
            Arc::new(Revocation::new(check, upstream))
        });
        Ok(Arc::new(Self {
            config: Arc::clone(config),
            keys: Arc::new(keys),
            own_upstream,
            verified: Cache::new(MAX_REMEMBERED_BYTES),
            revocation,
            metrics: metrics.clone(),
        }))
    }

    /// What a core does for it every second: idle connections of an upstream of its own are closed, and the first core reads the keys
    /// once, so that the first token need not wait.
    pub fn tend(&self, core: usize) {
        if let Some(own) = &self.own_upstream {
            own.reap(core);
        }
        if core == 0 {
            self.keys.warm(core);
        }
    }

    /// Takes out what only this proxy may say: who the caller is.
    pub fn strip(&self, headers: &mut HeaderMap) {
        strip_reserved(headers, &self.config.payload_header);
    }

    /// Finds out who the caller of a request is. A token that counts gives its [`Claims`] as an extension, and its payload as a header.
    /// `host` is the one that was asked for, `core` the one that asks upstreams, if they have to be asked.
    ///
    /// # Errors
    ///
    /// What the caller gets: 401 where there has to be a token and none counts, 403 where its claims do not suffice, 503 where it
    /// cannot be found out.
    pub async fn authenticate(
        &self,
        request: &mut Request<Body>,
        core: usize,
        host: Option<&str>,
    ) -> Result<Authenticated, Problem> {
        self.strip(request.headers_mut());
        let wanted = self.wanted(request, host);
        let (token, verified) = match self.identify(request.headers(), core).await {
            Ok(known) => known,
            Err(without) => return self.without(&without, !wanted.is_empty()),
        };
        if let Err(problem) = check(&wanted, request, &verified.claims) {
            self.count(Counted::Forbidden);
            return Err(problem);
        }
        self.count(Counted::Verified);
        request.headers_mut().insert(&self.config.payload_header, verified.payload.clone());
        request.extensions_mut().insert(verified.claims.clone());
        request.extensions_mut().insert(CallersHeader(self.config.payload_header.clone()));
        let may_revoke = !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE);
        let revocation = self.revocation.as_ref().filter(|_| may_revoke).map(Arc::clone);
        Ok(Authenticated { _forgets: revocation.map(|revocation| Forgets { revocation, token }) })
    }

    /// By what a token is required of this request.
    fn wanted(&self, request: &Request<Body>, host: Option<&str>) -> Vec<&RequiredOn> {
        let path = canonical(request.uri().path());
        self.config.required_on.iter().filter(|on| matches(&on.matcher, request.method(), &path, host)).collect()
    }

    /// The token that counts.
    async fn identify(&self, headers: &HeaderMap, core: usize) -> Result<(TokenHash, Arc<Verified>), Without> {
        let token = bearer(headers)?.ok_or(Without::Token)?;
        let hash = TokenHash::of(token);
        self.keys.freshen(core);
        let verified = match self.remembered(&hash) {
            Some(verified) if verified.is_current(&self.config, wall_now()) => verified,
            Some(_) => return Err(Invalid::Expired.into()),
            None => self.verify(token, hash, core).await?,
        };
        if let Some(revocation) = &self.revocation {
            match revocation.of(hash, verified.claims.value(), core).await {
                Said::Good(_) => {}
                Said::Revoked => return Err(Invalid::Revoked.into()),
                Said::NotAskable => return Err(Invalid::NotAskable.into()),
                Said::CannotTell => return Err(Without::Answer("it cannot be found out whether the token was revoked")),
            }
        }
        Ok((hash, verified))
    }

    /// A token that was verified by the keys that are here.
    fn remembered(&self, token: &TokenHash) -> Option<Arc<Verified>> {
        let (verified, by) = self.verified.get(token)?;
        (self.keys.generation() == Some(by)).then_some(verified)
    }

    async fn verify(&self, token: &str, hash: TokenHash, core: usize) -> Result<Arc<Verified>, Without> {
        let unverified = Unverified::read(token, &self.config, wall_now())?;
        let (key, by) = match self.keys.find(unverified.key_id(), unverified.algorithm(), core).await {
            Found::Key(key, by) => (key, by),
            Found::Unknown => return Err(Invalid::UnknownKey.into()),
            Found::Several => return Err(Invalid::AmbiguousKey.into()),
            Found::Unavailable => return Err(Without::Answer("the keys that tokens are verified with cannot be had")),
        };
        let verified = Arc::new(unverified.verify(&key)?);
        self.verified.insert(hash, (Arc::clone(&verified), by), token.len());
        Ok(verified)
    }

    fn without(&self, without: &Without, is_required: bool) -> Result<Authenticated, Problem> {
        let (counted, problem) = match without {
            Without::Token if !is_required => return Ok(Authenticated { _forgets: None }),
            Without::Token => (Counted::Missing, Problem::new(ProblemName::TokenMissing, "there is no bearer token")),
            Without::Valid(invalid) => {
                let counted = if *invalid == Invalid::Revoked { Counted::Revoked } else { Counted::Invalid };
                (counted, Problem::new(ProblemName::TokenInvalid, invalid.to_string()))
            }
            // Whether or not one is needed: with claims, or without, the request may be another one.
            Without::Answer(missing) => {
                self.count(Counted::Unavailable);
                return Err(Problem::new(ProblemName::AuthenticationUnavailable, *missing));
            }
        };
        self.count(counted);
        if is_required { Err(problem) } else { Ok(Authenticated { _forgets: None }) }
    }

    fn count(&self, result: Counted) {
        self.metrics.authentication.authenticated(result);
    }

    /// Whether it asks the same, of the same upstreams, as one of `config` would.
    fn asks_as(&self, config: &JwtConfig, upstreams: &[Arc<Upstream>]) -> bool {
        let is_kept = |ours: Option<&Arc<Upstream>>, at: Option<usize>| match (ours, at) {
            (Some(ours), Some(at)) => upstreams.get(at).is_some_and(|theirs| Arc::ptr_eq(ours, theirs)),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        let keys_are_kept = match &config.keys {
            KeySource::Upstream(at, _) => is_kept(self.keys.upstream(), Some(*at)),
            KeySource::File(_) | KeySource::Url(..) => true,
        };
        let asked = self.revocation.as_ref().map(|revocation| revocation.upstream());
        keys_are_kept
            && is_kept(asked, config.revoked.as_ref().map(|check| check.upstream))
            && says_the_same(&self.config, config)
    }
}

impl Drop for Forgets {
    fn drop(&mut self) {
        self.revocation.forget(&self.token);
    }
}

impl From<Invalid> for Without {
    fn from(invalid: Invalid) -> Self {
        Self::Valid(invalid)
    }
}

/// Whether the claims are what is wanted of them, by all that requires a token here.
fn check(wanted: &[&RequiredOn], request: &Request<Body>, claims: &Claims) -> Result<(), Problem> {
    let empty = Bytes::new();
    let view = RequestView::new(request, &empty);
    let known = Bindings::new().with("claims", claims.value()).with_lazy("request", || view.value());
    for check in wanted.iter().filter_map(|on| on.check.as_ref()) {
        let detail = match check.eval_bool(&known) {
            Ok(true) => continue,
            Ok(false) => "the token's claims do not allow this request".to_owned(),
            Err(error) => format!("what this request needs of the token's claims cannot be had: {error}"),
        };
        return Err(Problem::new(ProblemName::ClaimsRefused, detail));
    }
    Ok(())
}

/// Whether two configurations say the same. Expressions are compared as they are written.
fn says_the_same(a: &JwtConfig, b: &JwtConfig) -> bool {
    // Whole, so that nothing new is left out.
    let JwtConfig { issuer, audience, keys, refresh, algorithms, leeway, payload_header, required_on, revoked } = a;
    let simple = (issuer, audience, keys, refresh, algorithms, leeway, payload_header);
    let same_revoked = match (revoked, &b.revoked) {
        (Some(a), Some(b)) => {
            let RevocationCheck { upstream, call, when, cache, timeout } = a;
            let written = |call: &saga_config::template::CallTarget| (call.method(), call.template().source().to_owned());
            (upstream, written(call), when.source(), cache, timeout)
                == (&b.upstream, written(&b.call), b.when.source(), &b.cache, &b.timeout)
        }
        (a, b) => a.is_none() && b.is_none(),
    };
    let same_required = |(a, b): (&RequiredOn, &RequiredOn)| {
        let RequiredOn { matcher, check } = a;
        *matcher == b.matcher && check.as_ref().map(|a| a.source()) == b.check.as_ref().map(|b| b.source())
    };
    simple == (&b.issuer, &b.audience, &b.keys, &b.refresh, &b.algorithms, &b.leeway, &b.payload_header)
        && same_revoked
        && required_on.len() == b.required_on.len()
        && required_on.iter().zip(&b.required_on).all(same_required)
}

#[cfg(test)]
mod tests;
