//! A recorded response: what is kept of it, how it is stored, and how it is given back.
//!
//! Status, header lines and body are kept as bytes, in order and with repeats; nothing passes through text. What is about one
//! message and not about the outcome is left out, see [`record`].

mod form;

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Response, StatusCode,
    header::{CONNECTION, CONTENT_LENGTH},
    response::Parts,
};

use self::form::Line;
use crate::headers;

/// The most header and trailer lines that are kept; an answer with more is too large.
pub const MAX_LINES: usize = 1000;
/// The most bytes of header and trailer lines that are kept; an answer with more is too large.
pub const MAX_HEAD_BYTES: usize = 256 * 1024;

/// What a finished record holds.
#[expect(clippy::large_enum_variant, reason = "nearly all are answers, and none is kept in numbers")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// The response itself.
    Answer(Answer),
    /// That there was one, but it was not kept.
    Tombstone(Tombstone),
}

/// A response that was kept whole.
#[derive(Clone, PartialEq, Eq)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its header lines, without `Content-Length`.
    pub headers: HeaderMap,
    /// Its body, as it came: still compressed if it was.
    pub body: Bytes,
    /// Its trailer lines; empty if there were none.
    pub trailers: HeaderMap,
}

impl std::fmt::Debug for Answer {
    /// Header values and bodies do not belong in logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (status, headers, body) = (self.status, self.headers.len(), self.body.len());
        write!(f, "Answer({status}, {headers} header lines, {body} bytes)")
    }
}

/// A response that was not kept, so that its request still never runs again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tombstone {
    /// The status it had.
    pub status: StatusCode,
    /// Why it was not kept.
    pub reason: NotKept,
}

/// Why a response was not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotKept {
    /// It was larger than the route keeps.
    TooLarge,
    /// It was a stream.
    Stream,
}

/// What is kept of a response.
///
/// Left out are: what belongs to one connection (RFC 9110, section 7.6.1), `Content-Length` (counted anew), `Date` (new on every
/// replay), `Age`, `Via`, `Alt-Svc`, `Server-Timing`, rate-limit, request-id and trace headers, the marks that every answer gets
/// anew, and what `drop` names. The policy's `drop` names `Set-Cookie` unless the route says otherwise.
pub fn record(parts: &Parts, body: Bytes, trailers: Option<&HeaderMap>, drop: &[HeaderName]) -> Recorded {
    let (headers, trailers) = (kept(&parts.headers, drop), trailers.map(|trailers| kept(trailers, drop)).unwrap_or_default());
    match fits(&headers, &trailers) {
        true => Recorded::Answer(Answer { status: parts.status, headers: map(&headers), body, trailers: map(&trailers) }),
        false => Recorded::Tombstone(Tombstone { status: parts.status, reason: NotKept::TooLarge }),
    }
}

/// Appends the stored form of what [`record`] keeps of a response, without a copy in between.
pub fn record_into(out: &mut Vec<u8>, parts: &Parts, body: &[u8], trailers: Option<&HeaderMap>, drop: &[HeaderName]) {
    let (headers, trailers) = (kept(&parts.headers, drop), trailers.map(|trailers| kept(trailers, drop)).unwrap_or_default());
    match fits(&headers, &trailers) {
        true => form::write_answer(out, parts.status, &headers, &trailers, body),
        false => form::write_tombstone(out, Tombstone { status: parts.status, reason: NotKept::TooLarge }),
    }
}

fn fits(headers: &[Line<'_>], trailers: &[Line<'_>]) -> bool {
    headers.len() + trailers.len() <= MAX_LINES && form::bytes_of(headers) + form::bytes_of(trailers) <= MAX_HEAD_BYTES
}

fn map(lines: &[Line<'_>]) -> HeaderMap {
    lines.iter().map(|(name, value)| ((*name).clone(), (*value).clone())).collect()
}

impl Answer {
    /// The response, with the length that its body has, and its trailers. Where there are trailers the length is left open, for
    /// they need a framing that has no length (RFC 9112, section 7.1.2).
    pub fn into_response(self) -> (Response<Bytes>, Option<HeaderMap>) {
        let mut response = Response::new(self.body);
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        // RFC 9110, section 8.6: no length with 1xx and 204; the one of a 304 would be that of another response.
        let has_no_body =
            self.status.is_informational() || [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&self.status);
        if !has_no_body && self.trailers.is_empty() {
            let length = HeaderValue::from(response.body().len());
            response.headers_mut().insert(CONTENT_LENGTH, length);
        }
        (response, Some(self.trailers).filter(|trailers| !trailers.is_empty()))
    }
}

/// Why stored bytes are no response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Nothing there.
    #[error("there are no bytes")]
    Empty,
    /// Written in another version of the form.
    #[error("the form has version {0}, and this Refrain knows version {known}: written by a newer one?", known = form::VERSION)]
    UnknownVersion(u8),
    /// Cut short or altered.
    #[error("the bytes are cut short or altered")]
    Malformed,
}

impl Recorded {
    /// The status that the upstream answered with.
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::Answer(answer) => answer.status,
            Self::Tombstone(tombstone) => tombstone.status,
        }
    }

    /// Appends the stored form.
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        match self {
            Self::Answer(Answer { status, headers, body, trailers }) => {
                let (headers, trailers) = (Vec::from_iter(headers), Vec::from_iter(trailers));
                form::write_answer(out, *status, &headers, &trailers, body);
            }
            Self::Tombstone(tombstone) => form::write_tombstone(out, *tombstone),
        }
    }

    /// Reads the stored form. The body and the header values are slices of `stored`, not copies.
    ///
    /// # Errors
    ///
    /// Why the bytes are no response.
    pub fn decode(stored: &Bytes) -> Result<Self, DecodeError> {
        form::read(stored)
    }
}

/// The lines that are kept, in order.
fn kept<'a>(all: &'a HeaderMap, drop: &[HeaderName]) -> Vec<Line<'a>> {
    let of_this_hop: Vec<&str> = headers::list(all, &CONNECTION).collect();
    let is_kept = |name: &HeaderName| {
        !headers::is_hop_by_hop(name)
            && !is_of_one_message(name.as_str())
            && !drop.contains(name)
            && !of_this_hop.iter().any(|token| token.eq_ignore_ascii_case(name.as_str()))
    };
    let mut kept = Vec::with_capacity(all.len());
    kept.extend(all.iter().filter(|(name, _)| is_kept(name)));
    kept
}

/// Whether a header is about one message, not about the outcome; by its name in lower case.
fn is_of_one_message(name: &str) -> bool {
    const PREFIXES: [&str; 4] = ["ratelimit", "x-ratelimit", "x-rate-limit", "x-b3-"];
    match name {
        "age" | "alt-svc" | "content-length" | "date" | "via" | "server-timing" => true,
        "idempotency-status" | "idempotency-replayed" | "idempotency-expires" | "idempotency-attempt" => true,
        "x-request-id" | "request-id" | "x-correlation-id" | "correlation-id" | "x-amzn-requestid" => true,
        "x-amzn-trace-id" | "x-cloud-trace-context" | "x-trace-id" | "traceparent" | "tracestate" | "traceresponse" | "b3" => {
            true
        }
        _ => PREFIXES.iter().any(|prefix| name.starts_with(prefix)),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use http::header::SET_COOKIE;
    use proptest::prelude::*;

    use super::*;

    const DROP: [HeaderName; 1] = [SET_COOKIE];

    fn parts(status: u16, lines: &[(&str, &[u8])]) -> Parts {
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        *response.headers_mut() = headers(lines);
        response.into_parts().0
    }

    fn headers(lines: &[(&str, &[u8])]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_bytes(value).unwrap());
        }
        headers
    }

    fn answer(recorded: Recorded) -> Answer {
        match recorded {
            Recorded::Answer(answer) => answer,
            Recorded::Tombstone(tombstone) => panic!("{tombstone:?}"),
        }
    }

    fn stored(recorded: &Recorded) -> Bytes {
        let mut out = Vec::new();
        recorded.encode_into(&mut out);
        out.into()
    }

    fn there_and_back(recorded: &Recorded) -> Recorded {
        Recorded::decode(&stored(recorded)).unwrap()
    }

    #[test]
    fn what_is_about_one_message_is_not_kept() {
        let dropped = [
            "keep-alive",
            "proxy-connection",
            "proxy-authenticate",
            "proxy-authorization",
            "te",
            "transfer-encoding",
            "upgrade",
            "x-hop",
            "date",
            "age",
            "via",
            "alt-svc",
            "server-timing",
            "content-length",
            "set-cookie",
            "x-request-id",
            "request-id",
            "x-correlation-id",
            "traceparent",
            "ratelimit",
            "ratelimit-policy",
            "x-ratelimit-remaining",
            "x-rate-limit-reset",
            "x-b3-traceid",
            "idempotency-status",
            "idempotency-replayed",
            "idempotency-expires",
            "idempotency-attempt",
        ];
        let mut lines: Vec<(&str, &[u8])> = dropped.iter().map(|name| (*name, &b"1"[..])).collect();
        lines.extend([
            ("connection", &b"close, X-Hop"[..]),
            ("location", b"/1"),
            ("retry-after", b"5"),
            ("etag", b"\"x\""),
            ("trailer", b"x-sum"),
        ]);
        let kept = answer(record(&parts(201, &lines), Bytes::new(), None, &DROP));
        let expected: [(&str, &[u8]); 4] =
            [("location", b"/1"), ("retry-after", b"5"), ("etag", b"\"x\""), ("trailer", b"x-sum")];
        assert_eq!(kept.headers, headers(&expected));
    }

    #[test]
    fn a_route_can_keep_cookies_and_drop_more() {
        let from = parts(200, &[("set-cookie", b"a=1"), ("x-secret", b"1")]);
        let kept = answer(record(&from, Bytes::new(), None, &[HeaderName::from_static("x-secret")]));
        assert_eq!(kept.headers, headers(&[("set-cookie", b"a=1")]));
    }

    #[test]
    fn repeated_lines_and_bytes_that_are_no_text_come_back_as_they_were() {
        let lines: [(&str, &[u8]); 5] =
            [("link", b"<1>"), ("x-name", b"J\xf6rg"), ("link", b"<2>"), ("link", b"<1>"), ("content-encoding", b"gzip")];
        let body = Bytes::from_static(&[0x1f, 0x8b, 0, 0xff, 0xfe]);
        let recorded = record(&parts(200, &lines), body.clone(), None, &DROP);
        let back = answer(there_and_back(&recorded));
        assert_eq!(back.headers.get_all("link").iter().collect::<Vec<_>>(), ["<1>", "<2>", "<1>"]);
        assert_eq!(back.headers.get("x-name").unwrap().as_bytes(), b"J\xf6rg");
        assert_eq!(back.headers.get("content-encoding").unwrap(), "gzip", "the body is still encoded so");
        assert_eq!(back.body, body);
        let order = |headers: &HeaderMap| headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect::<Vec<_>>();
        assert_eq!(order(&back.headers), order(&headers(&lines)));
        assert_eq!(Recorded::Answer(back), recorded);
    }

    #[test]
    fn a_replay_says_how_long_its_body_is() {
        let replay = |status, body: &'static [u8]| {
            let recorded = record(&parts(status, &[("content-length", b"999")]), Bytes::from_static(body), None, &DROP);
            answer(there_and_back(&recorded)).into_response().0
        };
        assert_eq!(replay(200, b"12345").headers().get(CONTENT_LENGTH).unwrap(), "5");
        assert_eq!(replay(200, b"").headers().get(CONTENT_LENGTH).unwrap(), "0");
        assert_eq!(replay(204, b"").headers().get(CONTENT_LENGTH), None);
        assert_eq!(replay(304, b"").headers().get(CONTENT_LENGTH), None);
        assert_eq!(replay(402, b"x").status(), StatusCode::PAYMENT_REQUIRED);
    }

    #[test]
    fn trailers_come_back_and_leave_the_length_open() {
        let trailers = headers(&[("grpc-status", b"0"), ("x-sum", b"1"), ("x-sum", b"2")]);
        let recorded = record(&parts(200, &[]), Bytes::from_static(b"x"), Some(&trailers), &DROP);
        let (response, back) = answer(there_and_back(&recorded)).into_response();
        assert_eq!(back, Some(trailers));
        assert_eq!(response.headers().get(CONTENT_LENGTH), None);
        let recorded = record(&parts(200, &[]), Bytes::new(), Some(&HeaderMap::new()), &DROP);
        assert_eq!(answer(there_and_back(&recorded)).into_response().1, None);
    }

    #[test]
    fn an_answer_with_too_large_a_head_leaves_a_tombstone() {
        let value = vec![b'x'; MAX_HEAD_BYTES];
        let tombstone = Recorded::Tombstone(Tombstone { status: StatusCode::OK, reason: NotKept::TooLarge });
        assert_eq!(record(&parts(200, &[("x", &value)]), Bytes::new(), None, &DROP), tombstone);
        let many = vec![("x", &b""[..]); MAX_LINES + 1];
        assert_eq!(record(&parts(200, &many), Bytes::new(), None, &DROP), tombstone);
        assert_ne!(record(&parts(200, &many[1..]), Bytes::new(), None, &DROP), tombstone);
        assert_eq!(there_and_back(&tombstone), tombstone);
    }

    #[test]
    fn the_body_is_a_slice_of_what_was_stored() {
        let stored = stored(&record(&parts(200, &[("x", b"y")]), Bytes::from(vec![7; 4096]), None, &DROP));
        let answer = answer(Recorded::decode(&stored).unwrap());
        assert!(stored.as_ptr_range().contains(&answer.body.as_ptr()));
    }

    #[test]
    fn what_is_stored_at_once_is_what_is_recorded_and_then_stored() {
        let trailers = headers(&[("x-sum", b"9"), ("date", b"x")]);
        let large = vec![b'x'; MAX_HEAD_BYTES];
        for lines in [&[("location", &b"/1"[..]), ("set-cookie", b"a"), ("age", b"1"), ("x", b"\xff")][..], &[("x", &large)]] {
            let (parts, body) = (parts(201, lines), Bytes::from_static(b"{}"));
            let mut out = Vec::new();
            record_into(&mut out, &parts, &body, Some(&trailers), &DROP);
            assert_eq!(out, stored(&record(&parts, body, Some(&trailers), &DROP)));
        }
    }

    /// What an earlier version stored must be read by this one.
    #[test]
    fn the_stored_form_of_the_first_version() {
        let trailers = headers(&[("x-sum", b"9")]);
        let full = record(
            &parts(201, &[("location", b"/1"), ("x", b"\xff"), ("x", b"")]),
            Bytes::from_static(b"{}"),
            Some(&trailers),
            &DROP,
        );
        let stream = Recorded::Tombstone(Tombstone { status: StatusCode::OK, reason: NotKept::Stream });
        let large = Recorded::Tombstone(Tombstone { status: StatusCode::OK, reason: NotKept::TooLarge });
        for (recorded, form) in [
            (full, &b"\x01\x00\xc9\x01\x03\x08location\x02/1\x01x\x01\xff\x01x\x00\x01\x05x-sum\x019{}"[..]),
            (large, b"\x01\x01\xc8\x01"),
            (stream, b"\x01\x02\xc8\x01"),
        ] {
            assert_eq!(stored(&recorded), form);
            assert_eq!(Recorded::decode(&Bytes::from_static(form)), Ok(recorded));
        }
    }

    #[test]
    fn what_is_no_response_is_an_error() {
        let good = stored(&record(&parts(201, &[("x", b"yy")]), Bytes::new(), None, &DROP));
        for at in 1..good.len() {
            assert_eq!(Recorded::decode(&good.slice(..at)), Err(DecodeError::Malformed), "cut at {at}");
        }
        assert_eq!(Recorded::decode(&Bytes::new()), Err(DecodeError::Empty));
        assert_eq!(Recorded::decode(&Bytes::from_static(&[2, 0])), Err(DecodeError::UnknownVersion(2)));
        for (why, bytes) in [
            ("no such variant", &[1, 9][..]),
            ("status 0", &[1, 0, 0, 0, 0]),
            ("a name with a space", &[1, 0, 200, 1, 1, 1, b' ', 0, 0]),
            ("a value with a line feed", &[1, 0, 200, 1, 1, 1, b'x', 1, b'\n', 0]),
            ("a tombstone with a body", &[1, 1, 200, 1, b'x']),
            ("a length beyond the end", &[1, 0, 200, 1, 255, 255, 255, 255, 15]),
        ] {
            assert_eq!(Recorded::decode(&Bytes::from(bytes.to_vec())), Err(DecodeError::Malformed), "{why}");
        }
        let mut crowd = vec![1, 0, 200, 1, 0xe9, 7];
        crowd.extend([1, b'x', 0].repeat(MAX_LINES + 1));
        crowd.push(0);
        assert_eq!(Recorded::decode(&crowd.into()), Err(DecodeError::Malformed), "more lines than are ever kept");
    }

    #[test]
    fn a_body_is_never_shown_by_accident() {
        let recorded = record(&parts(200, &[("x", b"secret")]), Bytes::from_static(b"secret"), None, &DROP);
        assert!(!format!("{recorded:?}").contains("secret"));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64), head in 0..3u8) {
            let mut stored = vec![1, head];
            stored.extend(bytes);
            let _ = Recorded::decode(&stored.into());
        }

        #[test]
        fn every_answer_comes_back(
            status in 100..1000u16,
            lines in proptest::collection::vec(("[a-z]{1,3}", "[ -~\u{80}-\u{ff}]{0,8}"), 0..8),
            body in proptest::collection::vec(any::<u8>(), 0..64),
        ) {
            let lines: Vec<(&str, &[u8])> = lines.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
            let recorded = record(&parts(status, &lines), body.into(), None, &DROP);
            prop_assert_eq!(there_and_back(&recorded), recorded);
        }
    }
}
