//! What makes a request the same request: a keyed hash over method, path, query, body and the headers a route names.
//!
//! The authority does not count, and neither do other headers: a retry may come through another name, with another trace.

use http::{HeaderMap, HeaderName, Method, Uri, header::CONTENT_TYPE};

use super::{canonical::canonical, name::Parts, pointer::JsonPointer};
use crate::ids::{Fingerprint, HashKey};

/// What makes a request the same request, beside method, path and query.
#[derive(Clone, Debug, Default)]
pub struct FingerprintRules {
    /// How JSON bodies count.
    pub json: JsonBody,
    /// Places in a JSON body that do not count (RFC 6901). Only under [`JsonBody::Canonical`].
    pub exclude: Vec<JsonPointer>,
    /// Headers that count too.
    pub headers: Vec<HeaderName>,
}

/// How JSON bodies count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum JsonBody {
    /// Member order and white space do not count; numbers count as written.
    #[default]
    Canonical,
    /// Every byte counts.
    Raw,
}

/// The fingerprint of a request. Time and memory grow with the body; the caller bounds it.
///
/// Under [`JsonBody::Canonical`] a body that is called JSON and has no canonical form (it is not JSON, has two members of one name,
/// or is nested too deep) counts byte by byte, with what `exclude` would leave out. That is stricter, never looser: two bodies that
/// the service might tell apart are never one request. To refuse it is the service's business.
pub fn fingerprint(
    hash_key: &HashKey,
    rules: &FingerprintRules,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    body: &[u8],
) -> Fingerprint {
    let mut parts = Parts::keyed(hash_key, b"refrain fingerprint v1");
    parts.add(method.as_str().as_bytes());
    parts.add(uri.path().as_bytes());
    match uri.query() {
        None => parts.add_count(0),
        Some(query) => {
            parts.add_count(1);
            parts.add(query.as_bytes());
        }
    }
    parts.add_count(rules.headers.len());
    for name in &rules.headers {
        parts.add(name.as_str().as_bytes());
        let lines = headers.get_all(name);
        parts.add_count(lines.iter().count());
        for line in lines {
            parts.add(line.as_bytes());
        }
    }
    let form = match rules.json {
        JsonBody::Canonical if is_json(headers) => canonical(body, &rules.exclude).ok(),
        JsonBody::Canonical | JsonBody::Raw => None,
    };
    parts.add(if form.is_some() { &b"json"[..] } else { b"bytes" });
    Fingerprint::from_bytes(parts.finish_with(form.as_deref().unwrap_or(body)))
}

/// Whether the body is called JSON: `application/json` or a type with the suffix `+json` (RFC 6839, section 3.1).
pub fn is_json(headers: &HeaderMap) -> bool {
    let mut lines = headers.get_all(CONTENT_TYPE).into_iter();
    let (Some(line), None) = (lines.next(), lines.next()) else { return false };
    let essence = line.as_bytes().split(|c| *c == b';').next().unwrap_or_default().trim_ascii();
    let has_suffix = essence.len() > 5 && essence[essence.len() - 5..].eq_ignore_ascii_case(b"+json");
    essence.eq_ignore_ascii_case(b"application/json") || has_suffix
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    const HASH_KEY: HashKey = HashKey::from_bytes([7; 32]);

    struct Request {
        method: Method,
        uri: &'static str,
        headers: Vec<(&'static str, &'static str)>,
        body: &'static [u8],
    }

    impl Default for Request {
        fn default() -> Self {
            Self {
                method: Method::POST,
                uri: "/orders?x=1",
                headers: vec![("content-type", "application/json")],
                body: br#"{"a":1,"b":2}"#,
            }
        }
    }

    impl Request {
        fn under(&self, rules: &FingerprintRules) -> Fingerprint {
            let mut headers = HeaderMap::new();
            for (name, value) in &self.headers {
                headers.append(*name, HeaderValue::from_static(value));
            }
            fingerprint(&HASH_KEY, rules, &self.method, &self.uri.parse().unwrap(), &headers, self.body)
        }

        fn plainly(&self) -> Fingerprint {
            self.under(&FingerprintRules::default())
        }
    }

    #[test]
    fn method_path_query_and_body_count() {
        let first = Request::default().plainly();
        assert_eq!(first, Request::default().plainly());
        for other in [
            Request { method: Method::PATCH, ..Request::default() },
            Request { uri: "/order?x=1", ..Request::default() },
            Request { uri: "/orders?x=2", ..Request::default() },
            Request { uri: "/orders?", ..Request::default() },
            Request { uri: "/orders", ..Request::default() },
            Request { body: br#"{"a":1,"b":3}"#, ..Request::default() },
            Request { body: b"", ..Request::default() },
        ] {
            assert_ne!(first, other.plainly());
        }
        assert_ne!(
            Request { uri: "/orders?", ..Request::default() }.plainly(),
            Request { uri: "/orders", ..Request::default() }.plainly()
        );
    }

    #[test]
    fn authority_and_other_headers_do_not_count() {
        let headers = vec![("content-type", "application/json; charset=utf-8"), ("traceparent", "00-1"), ("host", "b")];
        let other = Request { uri: "http://elsewhere.example/orders?x=1", headers, ..Request::default() };
        assert_eq!(Request::default().plainly(), other.plainly());
    }

    #[test]
    fn named_headers_count_line_by_line() {
        let rules = FingerprintRules {
            headers: vec![HeaderName::from_static("x-a"), HeaderName::from_static("x-b")],
            ..FingerprintRules::default()
        };
        let with = |headers: Vec<_>| Request { headers, ..Request::default() }.under(&rules);
        let all = [
            with(vec![]),
            with(vec![("x-a", "")]),
            with(vec![("x-a", "1"), ("x-a", "2")]),
            with(vec![("x-a", "1, 2")]),
            with(vec![("x-a", "1"), ("x-b", "2")]),
            with(vec![("x-b", "1"), ("x-b", "2")]),
            with(vec![("x-a", "x-b")]),
            with(vec![("x-b", "x-b")]),
        ];
        for (at, one) in all.iter().enumerate() {
            assert!(!all[at + 1..].contains(one));
        }
        assert_eq!(with(vec![("x-b", "2"), ("x-a", "1")]), all[4]);
    }

    #[test]
    fn json_counts_by_value_unless_the_route_says_raw() {
        let reordered = || Request { body: b"{ \"b\": 2, \"\\u0061\": 1 }", ..Request::default() };
        assert_eq!(Request::default().plainly(), reordered().plainly());
        let raw = FingerprintRules { json: JsonBody::Raw, ..FingerprintRules::default() };
        assert_ne!(Request::default().under(&raw), reordered().under(&raw));
        let text = |request: Request| Request { headers: vec![("content-type", "text/plain")], ..request }.plainly();
        assert_ne!(text(Request::default()), text(reordered()));
    }

    #[test]
    fn big_integers_that_differ_in_the_last_digit_are_two_requests() {
        let one = Request { body: b"[9007199254740992, 123456789012345678901234567890]", ..Request::default() };
        let two = Request { body: b"[9007199254740993, 123456789012345678901234567890]", ..Request::default() };
        let three = Request { body: b"[9007199254740992, 123456789012345678901234567891]", ..Request::default() };
        assert_ne!(one.plainly(), two.plainly());
        assert_ne!(one.plainly(), three.plainly());
    }

    #[test]
    fn what_has_no_canonical_form_counts_byte_by_byte() {
        let twice = Request { body: br#"{"a":1,"a":2}"#, ..Request::default() };
        let twice_spaced = Request { body: br#"{"a":1, "a":2}"#, ..Request::default() };
        assert_ne!(twice.plainly(), twice_spaced.plainly());
        let rules = FingerprintRules { exclude: vec![JsonPointer::parse("/t").unwrap()], ..FingerprintRules::default() };
        assert_ne!(
            Request { body: br#"{"t":1"#, ..Request::default() }.under(&rules),
            Request { body: br#"{"t":2"#, ..Request::default() }.under(&rules)
        );
    }

    #[test]
    fn a_canonical_form_is_never_taken_for_raw_bytes() {
        let rules = FingerprintRules { exclude: vec![JsonPointer::parse("").unwrap()], ..FingerprintRules::default() };
        let excluded = Request { body: b"1", ..Request::default() }.under(&rules);
        assert_ne!(excluded, Request { body: b"!", ..Request::default() }.under(&rules));
    }

    #[test]
    fn excluded_places_do_not_make_another_request() {
        let rules = FingerprintRules { exclude: vec![JsonPointer::parse("/t").unwrap()], ..FingerprintRules::default() };
        let one = Request { body: br#"{"t":1,"a":1}"#, ..Request::default() }.under(&rules);
        assert_eq!(one, Request { body: br#"{"a":1,"t":2}"#, ..Request::default() }.under(&rules));
        assert_ne!(one, Request { body: br#"{"a":2,"t":1}"#, ..Request::default() }.under(&rules));
    }

    #[test]
    fn json_is_told_by_its_content_type() {
        let called = |value: &'static [u8]| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_bytes(value).unwrap());
            is_json(&headers)
        };
        for json in
            [&b"application/json"[..], b"Application/JSON ; charset=utf-8", b"application/vnd.api+json", b"application/x+JSON"]
        {
            assert!(called(json));
        }
        for other in
            [&b""[..], b"text/json", b"application/jsonl", b"json", b"+json", b"application/json, text/plain", b"\xff+jso"]
        {
            assert!(!called(other), "{}", String::from_utf8_lossy(other));
        }
        let mut two = HeaderMap::new();
        two.append(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        two.append(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        assert!(!is_json(&two), "two lines name no type");
    }

    /// A request recorded by an earlier version must be known to this one.
    #[test]
    fn fingerprints_are_the_same_in_every_version() {
        let raw = FingerprintRules { json: JsonBody::Raw, ..FingerprintRules::default() };
        let known = [Request::default().plainly(), Request::default().under(&raw)].map(|one| one.to_string());
        assert_eq!(
            known,
            [
                "34be7b0d8edadbc4e6fe78a08077400966a5fc584ae6af9e7d4fc9bd5d93511c",
                "748e5ecf2f63ce13973ba3f3294a2dddd378ceeb5352514c023df8c39078420e",
            ]
        );
    }

    proptest! {
        #[test]
        fn no_body_makes_it_panic(body in proptest::collection::vec(any::<u8>(), 0..64)) {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            fingerprint(&HASH_KEY, &FingerprintRules::default(), &Method::POST, &Uri::from_static("/"), &headers, &body);
        }
    }
}
