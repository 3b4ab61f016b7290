//! `authentication`.

use std::{collections::HashSet, fs::File, io::Read as _, path::Path, sync::Arc, time::Duration};

use http::{HeaderName, Uri, header};
use saga_config::{
    diagnostic::{Diagnostic, quoted},
    expr::{Bindings, Expression},
    names::UpstreamName,
    template::{CallTarget, Method, Target},
    units::DurationText,
    yaml::Pointer,
};
use serde_json::Value;

use super::{
    JwtConfig, KeySource, Protocol, RequiredOn, RevocationCheck, SignatureAlgorithm, UpstreamConfig,
    expressions::{check_fields, condition, names},
    findings::Findings,
    limits::positive,
    raw::{
        Raw,
        authentication::{self as raw, Audience},
    },
    routes::{matcher, unknown_upstream},
    secrets::Surroundings,
    upstreams::{Named, Upstreams},
};

const REFRESH: Duration = Duration::from_secs(5 * 60);
const SHORTEST_REFRESH: Duration = Duration::from_secs(1);
const LEEWAY: Duration = Duration::from_secs(30);
const LONGEST_LEEWAY: Duration = Duration::from_secs(10 * 60);
const CACHE: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(1);
/// How long keys at a URL may take to come.
const KEYS_TIMEOUT: Duration = Duration::from_secs(5);
/// The largest file of keys, in bytes.
const MAX_KEYS_BYTES: u64 = 256 * 1024;
const PAYLOAD_HEADER: HeaderName = HeaderName::from_static("x-jwt-payload");

/// Headers that mean something else already, beside those of [`OTHERS_PREFIXES`].
const OTHERS: [HeaderName; 25] = [
    header::ACCEPT,
    header::ACCEPT_ENCODING,
    header::ACCEPT_LANGUAGE,
    header::AUTHORIZATION,
    header::CACHE_CONTROL,
    header::CONNECTION,
    header::COOKIE,
    header::DATE,
    header::EXPECT,
    header::FORWARDED,
    header::FROM,
    header::HOST,
    header::MAX_FORWARDS,
    header::ORIGIN,
    header::PRAGMA,
    header::RANGE,
    header::REFERER,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::USER_AGENT,
    header::VIA,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("x-idempotency-key"),
];

/// Families of such headers.
const OTHERS_PREFIXES: [&str; 10] =
    ["access-control-", "content-", "idempotency-", "if-", "proxy-", "refrain-", "saga-", "sec-", "trace", "x-forwarded-"];

/// How tokens are verified; `None`: nothing is said of it, or it was reported.
pub(super) fn authentication(
    raw: &Raw,
    upstreams: &Upstreams,
    around: Surroundings<'_>,
    findings: &mut Findings,
) -> Option<Arc<JwtConfig>> {
    let at = Pointer::root().child("authentication").child("jwt");
    let raw = raw.authentication.as_ref()?.jwt.as_ref()?;
    let about = About { upstreams, around };
    let keys = raw.jwks.as_ref().and_then(|jwks| about.keys(jwks, &at.child("jwks"), findings));
    let refresh = refresh(raw.jwks.as_ref().and_then(|jwks| jwks.refresh), &at.child("jwks").child("refresh"), findings);
    let audience = audience(raw.audience.as_ref(), &at.child("audience"), findings);
    let algorithms = algorithms(raw, &at.child("algorithms"), findings);
    let leeway = leeway(raw.leeway, &at.child("leeway"), findings);
    let payload_header = payload_header(raw, &at.child("payload_header"), findings);
    let required_on = required_on(raw, &at.child("required_on"), findings);
    let revoked = match &raw.revoked {
        None => Some(None),
        Some(revoked) => about.revoked(revoked, &at.child("revoked"), findings).map(Some),
    };
    let issuer = raw.issuer.clone()?;
    Some(Arc::new(JwtConfig {
        issuer,
        audience,
        keys: keys?,
        refresh,
        algorithms,
        leeway,
        payload_header,
        required_on: required_on?,
        revoked: revoked?,
    }))
}

/// Whether there is anything that `claims` are taken from, as far as can be told: what has a mistake has been reported.
pub(super) fn has_claims(raw: &Raw, findings: &Findings) -> bool {
    raw.authentication.is_some() || !findings.is_whole(&Pointer::root().child("authentication"))
}

/// What tokens are verified with, and who is asked for it.
#[derive(Clone, Copy)]
struct About<'a> {
    upstreams: &'a Upstreams,
    around: Surroundings<'a>,
}

impl About<'_> {
    /// Where the keys are. `None`: reported.
    fn keys(self, written: &raw::Jwks, at: &Pointer, findings: &mut Findings) -> Option<KeySource> {
        let given = [("call", written.call.is_some()), ("url", written.url.is_some()), ("file", written.file.is_some())];
        let given: Vec<&str> = given.into_iter().filter_map(|(name, is_given)| is_given.then_some(name)).collect();
        match given[..] {
            [] if findings.is_whole(at) => {
                let help = "write one of call: \"auth GET /jwks/\", url: https://auth.example/jwks/ and file: jwks.json";
                findings.error("no-keys", at, "nothing says where the keys are", help);
            }
            [first, ref others @ ..] => {
                for other in others {
                    let message = format!("`{other}` cannot stand beside `{first}`: the keys are in one place");
                    let place = findings.key_place(&at.child(other));
                    findings.add(Diagnostic::error("exclusive-keys", place, message).with_help("keep one of them"));
                }
            }
            [] => {}
        }
        if let Some(call) = &written.call {
            return self.keys_by_call(call, &at.child("call"), findings);
        }
        if let Some(url) = &written.url {
            return keys_by_url(&url.0);
        }
        let path = self.around.resolve(written.file.as_ref()?);
        if let Err(reason) = keys_file(&path) {
            let message = format!("the keys cannot be read from {}: {reason}", path.display());
            findings.error("unreadable", &at.child("file"), message, "name a file that holds a JWK Set, {\"keys\": […]}");
            return None;
        }
        Some(KeySource::File(path))
    }

    fn keys_by_call(self, text: &str, at: &Pointer, findings: &mut Findings) -> Option<KeySource> {
        let call = call_target(text, at, &[], findings)?;
        let upstream = self.upstream(&call, at, findings);
        if call.method() != Method::Get {
            let message = format!("keys are in an answer to GET, not to {}", call.method());
            findings.error("not-a-question", at, message, "write it like auth GET /jwks/");
            return None;
        }
        if call.template().literal().is_none() {
            findings.error(
                "not-constant",
                at,
                "the keys are those of all tokens: this call is always the same",
                "leave `${…}` out",
            );
            return None;
        }
        let uri = call.render(&Bindings::new(), &[]).ok().and_then(|path| path.parse::<Uri>().ok());
        if uri.is_none() {
            findings.error("invalid-path", at, "this is not a path with a query", "write it like auth GET /jwks/");
        }
        Some(KeySource::Upstream(upstream?, uri?))
    }

    /// How it is found out whether a token was revoked. `None`: reported.
    fn revoked(self, written: &raw::Revoked, at: &Pointer, findings: &mut Findings) -> Option<RevocationCheck> {
        let cache = positive(written.cache, CACHE, &at.child("cache"), findings);
        let timeout = positive(written.timeout, TIMEOUT, &at.child("timeout"), findings);
        let names_of_answer = names(&["claims", "response"]);
        let when = written.when.as_ref().and_then(|when| condition(when, &at.child("when"), &names_of_answer, findings));
        let at = at.child("call");
        let call = written.call.as_ref().and_then(|call| call_target(call, &at, &["claims"], findings))?;
        let upstream = self.upstream(&call, &at, findings);
        if !matches!(call.method(), Method::Get | Method::Head) {
            let message = format!("a check only asks, it does not act: {} could", call.method());
            findings.error("not-a-question", &at, message, "use GET or HEAD");
            return None;
        }
        if !call.template().expressions().any(|(expression, _)| expression.touches(&["claims"])) {
            let message = "this asks the same of every token";
            findings.error("not-of-a-token", &at, message, "name the token by its id: auth GET /revoked/${claims.jti}/");
            return None;
        }
        Some(RevocationCheck { upstream: upstream?, call, when: when?, cache, timeout })
    }

    /// The index of the upstream that is called. `None`: reported.
    fn upstream(self, call: &CallTarget, at: &Pointer, findings: &mut Findings) -> Option<usize> {
        let named = call.upstream().map_or(self.upstreams.local, |name| self.upstreams.find(name.as_str()));
        match (named, call.upstream()) {
            (Named::Sound(index), _) => return Some(index),
            (Named::Reported, _) => {}
            (Named::Unknown, Some(name)) => unknown_upstream(name.as_str(), at, self.upstreams, findings),
            (Named::Unknown, None) => {
                if findings.is_whole(&Pointer::root().child("upstreams")) {
                    let help = "name one, like auth GET /jwks/, or mark the service beside this Refrain with `local: true`";
                    findings.error("no-local-upstream", at, "this call names no upstream, and none is `local`", help);
                }
            }
        }
        None
    }
}

/// A call whose path begins with `/`. `None`: reported.
fn call_target(text: &str, at: &Pointer, roots: &[&'static str], findings: &mut Findings) -> Option<CallTarget> {
    let call = match CallTarget::parse(text, &names(roots)) {
        Ok(call) => call,
        Err(error) => {
            findings.template_error(at, 0, error);
            return None;
        }
    };
    if matches!(call.target(), Target::Reference(_)) {
        findings.error("no-path", at, "the path of this call begins with `/`", "write it like auth GET /revoked/${claims.jti}/");
        return None;
    }
    check_fields(call.template().expressions(), at, call.target_offset(), findings).then_some(call)
}

/// What a URL names, with an upstream of its own. A text that is no URL has been reported.
fn keys_by_url(url: &Uri) -> Option<KeySource> {
    let endpoint = Uri::builder().scheme(url.scheme_str()?).authority(url.authority()?.as_str()).path_and_query("/");
    let upstream = UpstreamConfig {
        name: "jwks".parse::<UpstreamName>().ok()?,
        endpoints: vec![endpoint.build().ok()?],
        local: false,
        refrain: false,
        protocol: Protocol::Auto,
        connect_timeout: Duration::from_secs(2),
        response_timeout: KEYS_TIMEOUT,
        max_execution: KEYS_TIMEOUT,
        max_in_flight: None,
        max_idle: 1,
        idle_timeout: Duration::from_secs(4),
        max_connections: 16,
        breaker: None,
        idempotency_window: None,
        auth: None,
    };
    Some(KeySource::Url(Arc::new(upstream), Uri::from(url.path_and_query()?.clone())))
}

/// Whether a file holds a JWK Set, as far as its outline goes (RFC 7517, section 5). Which of its keys are of use is seen when it is read
/// in earnest.
fn keys_file(path: &Path) -> Result<(), String> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MAX_KEYS_BYTES + 1).read_to_end(&mut bytes));
    read.map_err(|error| error.to_string())?;
    if bytes.len() as u64 > MAX_KEYS_BYTES {
        return Err(format!("it has more than {MAX_KEYS_BYTES} bytes"));
    }
    let set: Value = serde_json::from_slice(&bytes).map_err(|error| format!("it is not JSON: {error}"))?;
    match set.get("keys").and_then(Value::as_array) {
        Some(keys) if !keys.is_empty() => Ok(()),
        Some(_) => Err("it has no key".to_owned()),
        None => Err("it has no list `keys`".to_owned()),
    }
}

fn refresh(written: Option<DurationText>, at: &Pointer, findings: &mut Findings) -> Duration {
    let refresh = positive(written, REFRESH, at, findings);
    if !refresh.is_zero() && refresh < SHORTEST_REFRESH {
        let message = format!("keys that are read again after {refresh:?} are read with nearly every request");
        findings.error("refresh-too-short", at, message, format!("write at least {SHORTEST_REFRESH:?}"));
    }
    refresh
}

fn leeway(written: Option<DurationText>, at: &Pointer, findings: &mut Findings) -> Duration {
    let leeway = written.map_or(LEEWAY, DurationText::get);
    if leeway > LONGEST_LEEWAY {
        let message = "with a leeway over 10m, tokens that have expired count for long";
        findings.error("leeway-too-long", at, message, "write at most 10m, and set the clocks by NTP");
    }
    leeway
}

fn audience(written: Option<&Audience>, at: &Pointer, findings: &mut Findings) -> Vec<String> {
    let many = match written {
        None => return Vec::new(),
        Some(Audience::One(one)) => return vec![one.clone()],
        Some(Audience::Many(many)) => many,
    };
    for index in repeated(many) {
        findings.error("duplicate-item", &at.child(index), "this audience is in the list already", "name every audience once");
    }
    many.clone()
}

fn algorithms(raw: &raw::Jwt, at: &Pointer, findings: &mut Findings) -> Vec<SignatureAlgorithm> {
    let Some(written) = &raw.algorithms else { return vec![SignatureAlgorithm::RS256] };
    let algorithms: Vec<_> = written.iter().map(|algorithm| algorithm.0).collect();
    for index in repeated(&algorithms) {
        findings.error("duplicate-item", &at.child(index), "this algorithm is in the list already", "name every algorithm once");
    }
    algorithms
}

/// Where an item stands that has stood before.
fn repeated<T: Eq + std::hash::Hash>(items: &[T]) -> impl Iterator<Item = usize> {
    let mut seen = HashSet::new();
    items.iter().enumerate().filter_map(move |(index, item)| (!seen.insert(item)).then_some(index))
}

fn payload_header(raw: &raw::Jwt, at: &Pointer, findings: &mut Findings) -> HeaderName {
    let Some(written) = &raw.payload_header else { return PAYLOAD_HEADER };
    let name = &written.0;
    if OTHERS.contains(name) || OTHERS_PREFIXES.iter().any(|prefix| name.as_str().starts_with(prefix)) {
        let message = format!("{} means something else already: it would be taken out of every request", quoted(name.as_str()));
        findings.error("taken-header", at, message, "name a header of its own, such as X-JWT-Payload");
    }
    name.clone()
}

/// Where there must be a token. `None`: reported.
fn required_on(raw: &raw::Jwt, at: &Pointer, findings: &mut Findings) -> Option<Vec<RequiredOn>> {
    let mut required = Vec::new();
    let mut sound = true;
    for (index, written) in raw.required_on.iter().flatten().enumerate() {
        let at = at.child(index);
        let check = written.check.as_ref().map(|check| check_of(check, &at.child("check"), findings));
        let Some(matcher) = matcher(&written.to_match(), &at, findings) else {
            sound = false;
            continue;
        };
        match check {
            Some(None) => sound = false,
            Some(check @ Some(_)) => required.push(RequiredOn { matcher, check }),
            None => required.push(RequiredOn { matcher, check: None }),
        }
    }
    sound.then_some(required)
}

/// What claims must be. `None`: reported.
fn check_of(text: &str, at: &Pointer, findings: &mut Findings) -> Option<Expression> {
    let check = condition(text, at, &names(&["claims", "request"]), findings)?;
    if check.touches(&["request", "body"]) {
        let message = "a request's body is not read before it is known whose it is";
        let help = "use `claims`, and method, path, query and headers of the request; let the service check what is in the body";
        findings.error("no-body-yet", at, message, help);
        return None;
    }
    if !check.touches(&["claims"]) {
        findings.warning(
            "check-without-claims",
            at,
            "this says nothing of `claims`: it is the same for every caller",
            "name a claim",
        );
    }
    Some(check)
}

impl PartialEq for RequiredOn {
    /// An expression is its source.
    fn eq(&self, other: &Self) -> bool {
        let source = |check: &Option<Expression>| check.as_ref().map(|check| check.source().to_owned());
        self.matcher == other.matcher && source(&self.check) == source(&other.check)
    }
}

impl PartialEq for RevocationCheck {
    /// Expressions are their sources. That `upstream` is the same index does not say that it is the same upstream.
    fn eq(&self, other: &Self) -> bool {
        let call =
            |check: &Self| (check.call.upstream().cloned(), check.call.method(), check.call.template().source().to_owned());
        let rest = |check: &Self| (check.upstream, check.cache, check.timeout);
        call(self) == call(other) && rest(self) == rest(other) && self.when.source() == other.when.source()
    }
}
