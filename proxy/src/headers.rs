//! Header names of our own, and what a proxy does to headers on the way: it takes out what belongs to one connection, and says
//! who it passed the message on for.
//!
//! It never believes a header about the peer: whose request this is, the TCP connection says.

use std::{
    fmt::{self, Write as _},
    io::Write as _,
    net::IpAddr,
};

use http::{
    HeaderMap, HeaderName, HeaderValue, Version,
    header::{
        CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, FORWARDED, HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE,
        TRANSFER_ENCODING, UPGRADE, VIA,
    },
};

/// The key of a request (draft-ietf-httpapi-idempotency-key-header-07, section 2.1).
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// The same, as some clients call it.
pub const X_IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("x-idempotency-key");
/// How an answer of a protected route came to be, see [`crate::idempotency::marker::Status`].
pub const IDEMPOTENCY_STATUS: HeaderName = HeaderName::from_static("idempotency-status");
/// `true` on an answer that was recorded earlier.
pub const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// Until when the record is kept: an HTTP date.
pub const IDEMPOTENCY_EXPIRES: HeaderName = HeaderName::from_static("idempotency-expires");
/// Which send of the request the answer is to, from 1.
pub const IDEMPOTENCY_ATTEMPT: HeaderName = HeaderName::from_static("idempotency-attempt");
/// The name of a problem that Refrain itself found.
pub const REFRAIN_PROBLEM: HeaderName = HeaderName::from_static("refrain-problem");
/// The key of a saga's step.
pub const SAGA_STEP_KEY: HeaderName = HeaderName::from_static("saga-step-key");
/// Which saga calls.
pub const SAGA_ID: HeaderName = HeaderName::from_static("saga-id");
/// Which of its steps calls.
pub const SAGA_STEP: HeaderName = HeaderName::from_static("saga-step");
/// The number of the step's start, from 1.
pub const SAGA_ATTEMPT: HeaderName = HeaderName::from_static("saga-attempt");
/// What to do where an earlier send's outcome is unknown: `resend` or `hold`.
pub const SAGA_IN_DOUBT: HeaderName = HeaderName::from_static("saga-in-doubt");
/// On an undo: the key of the step it undoes.
pub const SAGA_UNDO_OF: HeaderName = HeaderName::from_static("saga-undo-of");
/// On an undo: what the driver knows of the step, `done` or `unknown`.
pub const SAGA_UNDO_KNOWS: HeaderName = HeaderName::from_static("saga-undo-knows");
/// When the step was first sent, in milliseconds since the Unix epoch.
pub const SAGA_FIRST_SENT: HeaderName = HeaderName::from_static("saga-first-sent");
/// The signature of a saga call's headers, by a key that peers share.
pub const SAGA_SIGNATURE: HeaderName = HeaderName::from_static("saga-signature");
/// `true`: settle what is in doubt, and forbid what has not begun.
pub const SAGA_RESOLVE: HeaderName = HeaderName::from_static("saga-resolve");

/// Which trace a request belongs to (W3C Trace Context, section 3.2).
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// What vendors add to it (section 3.3).
pub const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

const SAGA_PREFIX: &str = "saga-";
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// The headers of one connection that need not be named in `Connection` (RFC 9110, section 7.6.1), beside `Connection` itself.
const HOP_BY_HOP: [HeaderName; 7] =
    [KEEP_ALIVE, PROXY_CONNECTION, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE];

/// Takes out what belongs to one connection (RFC 9110, section 7.6.1): `Connection`, every header it names, and those that count
/// as named. `Trailer` stays. `TE` stays where it says `trailers`, and says only that. Allocates nothing where `Connection` is
/// absent or names no other header.
///
/// `Host` and `Content-Length` stay even if `Connection` names them: routing and framing are not the sender's to hide.
pub fn strip_hop_by_hop(headers: &mut HeaderMap) {
    // One walk over what is there costs less than asking for each that mostly is not.
    if !headers.keys().any(is_hop_by_hop) {
        return;
    }
    strip_named_by_connection(headers);
    let trailers_wanted = te_wants_trailers(headers);
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
    if trailers_wanted {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
}

/// Whether a message still asks for, or agrees to, another protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upgrading {
    /// `Upgrade` was kept, and `Connection: upgrade` with it.
    Yes,
    /// It was no upgrade, or one to HTTP/2 (h2c), which is not passed on (RFC 9113, section 3.1).
    No,
}

/// [`strip_hop_by_hop`] for a handshake: what the message says in `Upgrade` stays, with `Connection: upgrade`.
pub fn strip_all_but_upgrade(headers: &mut HeaderMap) -> Upgrading {
    let asked = lists(headers, &CONNECTION, "upgrade") && !lists(headers, &UPGRADE, "h2c");
    let protocols: Vec<HeaderValue> = if asked { headers.get_all(UPGRADE).iter().cloned().collect() } else { Vec::new() };
    strip_hop_by_hop(headers);
    if protocols.is_empty() {
        return Upgrading::No;
    }
    for protocol in protocols {
        headers.append(UPGRADE, protocol);
    }
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    Upgrading::Yes
}

/// What upstreams are told about the way here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forwarded {
    /// `X-Forwarded-For`, `-Proto` and `-Host`.
    pub x_forwarded: bool,
    /// `Forwarded` (RFC 7239).
    pub forwarded: bool,
    /// `Via` (RFC 9110, section 7.6.3), both ways.
    pub via: bool,
}

/// How a request came.
#[derive(Clone, Copy, Debug)]
pub struct Hop<'a> {
    /// The TCP peer.
    pub peer: IpAddr,
    /// The peer as [`peer_line`] writes it, where that is at hand.
    pub peer_line: Option<&'a HeaderValue>,
    /// What the client spoke.
    pub scheme: Scheme,
    /// The host the client asked for, with the port if it said one.
    pub host: Option<&'a str>,
    /// The HTTP version the request came in.
    pub version: Version,
}

/// What a client spoke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Plain text.
    Http,
    /// TLS.
    Https,
}

impl Scheme {
    /// As in a URI.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// A peer as `X-Forwarded-For` names it, for [`Hop::peer_line`].
pub fn peer_line(peer: IpAddr) -> HeaderValue {
    HeaderValue::from_str(&peer.to_canonical().to_string()).unwrap_or_else(|_| HeaderValue::from_static("unknown"))
}

/// Tells the upstream about the way here, as far as `which` says.
///
/// The peer is appended to `X-Forwarded-For`, in one line, for many services read only the first. `X-Forwarded-Proto` and `-Host`
/// are about the first hop: they are set only where they are absent. `Forwarded` and `Via` get a further element.
pub fn apply_forwarded(headers: &mut HeaderMap, which: Forwarded, hop: &Hop<'_>) {
    let peer = hop.peer.to_canonical();
    if which.x_forwarded {
        match hop.peer_line {
            Some(line) if !headers.contains_key(X_FORWARDED_FOR) => {
                headers.insert(X_FORWARDED_FOR, line.clone());
            }
            _ => append_element(headers, &X_FORWARDED_FOR, format_args!("{peer}")),
        }
        if !headers.contains_key(X_FORWARDED_PROTO) {
            headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(hop.scheme.as_str()));
        }
        if let Some(host) = hop.host.filter(|_| !headers.contains_key(X_FORWARDED_HOST)).and_then(|host| host.parse().ok()) {
            headers.insert(X_FORWARDED_HOST, host);
        }
    }
    if which.forwarded {
        append_element(headers, &FORWARDED, format_args!("{}", ForwardedElement { peer, hop }));
    }
    if which.via {
        append_via(headers, hop.version);
    }
}

/// Adds this proxy to `Via` (RFC 9110, section 7.6.3), for a message received in `version`.
pub fn append_via(headers: &mut HeaderMap, version: Version) {
    let protocol = match version {
        Version::HTTP_09 => "0.9",
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        Version::HTTP_3 => "3",
        _ => "1.1",
    };
    append_element(headers, &VIA, format_args!("{protocol} refrain"));
}

/// Makes one line of the pieces that HTTP/2 clients may split `Cookie` into (RFC 9113, section 8.2.3).
pub fn join_cookies(headers: &mut HeaderMap) {
    if headers.get_all(COOKIE).iter().nth(1).is_none() {
        return;
    }
    let pieces: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if let Ok(joined) = HeaderValue::from_bytes(&pieces.join(&b"; "[..])) {
        headers.insert(COOKIE, joined);
    }
}

/// Takes out what only a Refrain may say. For answers of upstreams that are not declared to have one.
pub fn distrust_answer(headers: &mut HeaderMap) {
    headers.remove(REFRAIN_PROBLEM);
}

/// Whether a message is gRPC's, which needs HTTP/2. What is like it but made for HTTP/1.1 (`application/grpc-web`) is not.
pub fn is_grpc(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.as_bytes().strip_prefix(b"application/grpc"));
    kind.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}

/// Whether a header speaks of sagas.
pub fn is_saga(name: &HeaderName) -> bool {
    name.as_str().starts_with(SAGA_PREFIX)
}

/// Takes out every `Saga-*` header. For requests of peers that are not trusted. Allocates nothing where there is none.
pub fn strip_saga(headers: &mut HeaderMap) {
    let found: Vec<HeaderName> = headers.keys().filter(|name| is_saga(name)).cloned().collect();
    for name in found {
        headers.remove(name);
    }
}

/// Whether a header belongs to one connection even if `Connection` does not name it.
pub(crate) fn is_hop_by_hop(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "te"
            | "transfer-encoding"
            | "upgrade"
    )
}

/// The tokens of a list-valued header (RFC 9110, section 5.6.1), trimmed. Lines that are not ASCII have none.
pub(crate) fn list<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(name).into_iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim).filter(|token| !token.is_empty())
}

fn lists(headers: &HeaderMap, name: &HeaderName, wanted: &str) -> bool {
    list(headers, name).any(|token| token.eq_ignore_ascii_case(wanted))
}

fn te_wants_trailers(headers: &HeaderMap) -> bool {
    headers.contains_key(TE) && lists(headers, &TE, "trailers")
}

fn strip_named_by_connection(headers: &mut HeaderMap) {
    if !headers.contains_key(CONNECTION) {
        return;
    }
    // What is taken out anyway, and the two words that name no header, need no place in the list.
    let is_named_here =
        |token: &&str| !["close", "keep-alive", "upgrade", "te"].iter().any(|common| token.eq_ignore_ascii_case(common));
    let named: Vec<HeaderName> =
        list(headers, &CONNECTION).filter(is_named_here).filter_map(|token| token.parse().ok()).collect();
    headers.remove(CONNECTION);
    for name in named.iter().filter(|name| ![HOST, CONTENT_LENGTH, TE].contains(name)) {
        headers.remove(name);
    }
}

/// Takes out a header that only this proxy may say: under its name, under names that many services read as the same (`_` for `-`, as in
/// CGI variables, RFC 3875, section 4.1.18), and where `Connection` names it, by which it would be lost on the way to the service.
pub fn strip_reserved(headers: &mut HeaderMap, reserved: &HeaderName) {
    headers.remove(reserved);
    let reads_the_same = |name: &HeaderName| name.as_str().contains('_') && name.as_str().replace('_', "-") == reserved.as_str();
    while let Some(name) = headers.keys().find(|name| reads_the_same(name)).cloned() {
        headers.remove(name);
    }
    if headers.contains_key(CONNECTION) && lists(headers, &CONNECTION, reserved.as_str()) {
        let is_kept = |token: &&str| !token.eq_ignore_ascii_case(reserved.as_str());
        let kept = list(headers, &CONNECTION).filter(is_kept).collect::<Vec<_>>().join(", ");
        headers.remove(CONNECTION);
        if let Ok(kept) = HeaderValue::from_str(&kept)
            && !kept.is_empty()
        {
            headers.insert(CONNECTION, kept);
        }
    }
}

/// Adds one element to a list-valued header and folds its lines into one.
fn append_element(headers: &mut HeaderMap, name: &HeaderName, element: fmt::Arguments<'_>) {
    let mut line = Vec::with_capacity(64);
    for earlier in headers.get_all(name) {
        if !earlier.is_empty() {
            line.extend_from_slice(earlier.as_bytes());
            line.extend_from_slice(b", ");
        }
    }
    // A vector takes whatever is written.
    let _written = line.write_fmt(element);
    // The parts are header values, addresses and quoted text: their concatenation is a header value. If a host smuggled in what
    // is not, the header says nothing rather than something false.
    if let Ok(value) = HeaderValue::from_bytes(&line) {
        headers.insert(name, value);
    }
}

/// One element of `Forwarded` (RFC 7239, section 4).
struct ForwardedElement<'a> {
    peer: IpAddr,
    hop: &'a Hop<'a>,
}

impl fmt::Display for ForwardedElement<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.peer {
            IpAddr::V4(peer) => write!(f, "for={peer}")?,
            IpAddr::V6(peer) => write!(f, "for=\"[{peer}]\"")?,
        }
        if let Some(host) = self.hop.host {
            f.write_str(";host=")?;
            write_value(f, host)?;
        }
        write!(f, ";proto={}", self.hop.scheme.as_str())
    }
}

/// A token if it is one, else a quoted string (RFC 9110, section 5.6.4).
fn write_value(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    let is_tchar = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    if !text.is_empty() && text.chars().all(is_tchar) {
        return f.write_str(text);
    }
    f.write_char('"')?;
    for c in text.chars() {
        if c == '"' || c == '\\' {
            f.write_char('\\')?;
        }
        f.write_char(c)?;
    }
    f.write_char('"')
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
