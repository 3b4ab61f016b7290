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
mod tests {
    use super::*;

    #[test]
    fn what_only_this_proxy_may_say_cannot_be_said_in_its_place_nor_be_taken_from_it_on_the_way() {
        let reserved = HeaderName::from_static("x-jwt-payload");
        let sent = [
            ("X-JWT-Payload", "a"),
            ("x_jwt_payload", "b"),
            ("X-JWT_Payload", "c"),
            ("x-jwt-payload-too", "kept"),
            ("Connection", "close, X-JWT-Payload"),
            ("Connection", "x-jwt-payload,te"),
        ];
        let mut headers = map(&sent);
        headers.append(&reserved, HeaderValue::from_static("d"));
        strip_reserved(&mut headers, &reserved);
        assert_eq!(headers, map(&[("x-jwt-payload-too", "kept"), ("connection", "close, te")]));
        let mut headers = map(&[("Connection", "X-JWT-Payload")]);
        strip_reserved(&mut headers, &reserved);
        assert_eq!(headers, HeaderMap::new());
    }

    fn map(lines: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        }
        headers
    }

    fn hop(peer: &str) -> Hop<'_> {
        Hop {
            peer: peer.parse().unwrap(),
            peer_line: None,
            scheme: Scheme::Http,
            host: Some("shop.example:8080"),
            version: Version::HTTP_11,
        }
    }

    const ALL: Forwarded = Forwarded { x_forwarded: true, forwarded: true, via: true };

    #[test]
    fn what_belongs_to_one_connection_is_taken_out_and_the_rest_stays() {
        let mut headers = map(&[
            ("connection", "keep-alive, X-Hop"),
            ("connection", "x-other"),
            ("x-hop", "1"),
            ("x-other", "2"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "keep-alive"),
            ("proxy-authenticate", "Basic"),
            ("proxy-authorization", "Basic eA=="),
            ("te", "gzip"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "websocket"),
            ("trailer", "x-sum"),
            ("x-kept", "3"),
            ("x-kept", "4"),
        ]);
        strip_hop_by_hop(&mut headers);
        assert_eq!(headers, map(&[("trailer", "x-sum"), ("x-kept", "3"), ("x-kept", "4")]));
    }

    #[test]
    fn te_stays_where_it_asks_for_trailers_even_if_connection_names_it() {
        let mut headers = map(&[("connection", "TE"), ("te", "gzip;q=0.5, Trailers")]);
        strip_hop_by_hop(&mut headers);
        assert_eq!(headers, map(&[("te", "trailers")]));
        let mut headers = map(&[("connection", "x, te, close"), ("te", "trailers")]);
        strip_hop_by_hop(&mut headers);
        assert_eq!(headers, map(&[("te", "trailers")]));
    }

    #[test]
    fn a_sender_cannot_hide_host_or_framing_through_connection() {
        let mut headers = map(&[("connection", "host, content-length"), ("host", "a"), ("content-length", "2")]);
        strip_hop_by_hop(&mut headers);
        assert_eq!(headers, map(&[("host", "a"), ("content-length", "2")]));
    }

    #[test]
    fn an_upgrade_handshake_keeps_its_protocol_and_nothing_else_of_the_hop() {
        let mut headers =
            map(&[("connection", "keep-alive, Upgrade, x-hop"), ("upgrade", "websocket"), ("x-hop", "1"), ("te", "gzip")]);
        assert_eq!(strip_all_but_upgrade(&mut headers), Upgrading::Yes);
        assert_eq!(headers, map(&[("connection", "upgrade"), ("upgrade", "websocket")]));
    }

    #[test]
    fn upgrades_to_h2c_and_unnamed_upgrades_are_not_passed_on() {
        for (connection, protocol) in [("upgrade, http2-settings", "h2c"), ("keep-alive", "websocket")] {
            let mut headers = map(&[("connection", connection), ("upgrade", protocol), ("http2-settings", "AAAA")]);
            assert_eq!(strip_all_but_upgrade(&mut headers), Upgrading::No);
            assert!(!headers.contains_key(UPGRADE) && !headers.contains_key(CONNECTION));
        }
    }

    #[test]
    fn the_peer_is_appended_in_one_line_and_the_first_hops_word_stands() {
        let mut headers =
            map(&[("x-forwarded-for", "10.0.0.1"), ("x-forwarded-for", "10.0.0.2"), ("x-forwarded-proto", "https")]);
        apply_forwarded(&mut headers, Forwarded { forwarded: false, via: false, ..ALL }, &hop("192.0.2.7"));
        assert_eq!(
            headers,
            map(&[
                ("x-forwarded-for", "10.0.0.1, 10.0.0.2, 192.0.2.7"),
                ("x-forwarded-proto", "https"),
                ("x-forwarded-host", "shop.example:8080"),
            ])
        );
    }

    #[test]
    fn forwarded_quotes_what_is_no_token_and_brackets_ipv6() {
        let mut headers = map(&[("forwarded", "for=10.0.0.1")]);
        apply_forwarded(&mut headers, Forwarded { x_forwarded: false, via: false, ..ALL }, &hop("2001:db8::1"));
        assert_eq!(headers.get(FORWARDED).unwrap(), r#"for=10.0.0.1, for="[2001:db8::1]";host="shop.example:8080";proto=http"#);
        let mut headers = HeaderMap::new();
        let plain = Hop { host: Some("shop"), scheme: Scheme::Https, ..hop("::ffff:192.0.2.7") };
        apply_forwarded(&mut headers, Forwarded { x_forwarded: false, via: false, ..ALL }, &plain);
        assert_eq!(headers.get(FORWARDED).unwrap(), "for=192.0.2.7;host=shop;proto=https");
    }

    #[test]
    fn a_host_cannot_break_out_of_its_quotes() {
        let mut headers = HeaderMap::new();
        let evil = Hop { host: Some(r#"a";for="b\"#), ..hop("192.0.2.7") };
        apply_forwarded(&mut headers, Forwarded { x_forwarded: false, via: false, ..ALL }, &evil);
        assert_eq!(headers.get(FORWARDED).unwrap(), r#"for=192.0.2.7;host="a\";for=\"b\\";proto=http"#);
        let evil = Hop { host: Some("a\r\nx: y"), ..hop("192.0.2.7") };
        let mut headers = HeaderMap::new();
        apply_forwarded(&mut headers, ALL, &evil);
        assert!(!headers.contains_key(FORWARDED) && !headers.contains_key(X_FORWARDED_HOST));
    }

    #[test]
    fn via_names_the_version_received() {
        let mut headers = map(&[("via", "1.0 front")]);
        append_via(&mut headers, Version::HTTP_11);
        append_via(&mut headers, Version::HTTP_2);
        assert_eq!(headers, map(&[("via", "1.0 front, 1.1 refrain, 2 refrain")]));
    }

    #[test]
    fn every_saga_header_of_a_stranger_goes_known_or_not() {
        let mut headers = map(&[("saga-step-key", "k"), ("saga-anything", "1"), ("saga-anything", "2"), ("sagas", "3")]);
        strip_saga(&mut headers);
        assert_eq!(headers, map(&[("sagas", "3")]));
    }

    #[test]
    fn a_plain_upstream_cannot_speak_as_refrain() {
        let mut headers = map(&[("refrain-problem", "in-flight"), ("x", "1")]);
        distrust_answer(&mut headers);
        assert_eq!(headers, map(&[("x", "1")]));
    }
}
