//! A request as expressions see it: `request.method`, `.path`, `.query`, `.headers`, `.body`; and who sent it: `claims`.

use bytes::Bytes;
use http::{HeaderMap, Request, header};
use saga_config::{expr::Bindings, template::Template};
use serde_json::{Map, Value};

use super::{
    key::{Key, KeyError},
    name::ScopeValue,
    policy::Policy,
};
use crate::claims::Claims;

/// A request whose body has been read. What an expression does not name is not converted.
#[derive(Debug)]
pub struct RequestView<'a> {
    method: &'a str,
    uri: &'a http::Uri,
    headers: &'a HeaderMap,
    body: &'a Bytes,
    claims: &'a Value,
    has_claims: bool,
}

impl<'a> RequestView<'a> {
    /// A view of `request`, whose body is `body`.
    pub fn new<B>(request: &'a Request<B>, body: &'a Bytes) -> Self {
        Self {
            method: request.method().as_str(),
            uri: request.uri(),
            headers: request.headers(),
            body,
            claims: Claims::of(request),
            has_claims: request.extensions().get::<Claims>().is_some(),
        }
    }

    /// The value of `claims`: empty where no token was verified.
    pub fn claims(&self) -> &'a Value {
        self.claims
    }

    /// Whether a token was verified.
    pub fn has_claims(&self) -> bool {
        self.has_claims
    }

    /// The value of `request`.
    pub fn value(&self) -> Value {
        let query = self.uri.query().unwrap_or_default();
        let query = form_urlencoded::parse(query.as_bytes());
        let query: Map<String, Value> =
            query.map(|(name, value)| (name.into_owned(), Value::String(value.into_owned()))).collect();
        let mut request = Map::new();
        request.insert("method".to_owned(), Value::String(self.method.to_owned()));
        request.insert("path".to_owned(), Value::String(self.uri.path().to_owned()));
        request.insert("query".to_owned(), Value::Object(query));
        request.insert("headers".to_owned(), headers_value(self.headers));
        request.insert("body".to_owned(), body_value(self.headers, self.body));
        Value::Object(request)
    }

    /// The key that `key.from` gives; `None` if it gives null or an empty text, or cannot be had from this request.
    ///
    /// # Errors
    ///
    /// A key that is not well-formed.
    pub fn key(&self, policy: &Policy) -> Result<Option<Key>, KeyError> {
        let Some(from) = &policy.key.from else { return Ok(None) };
        let request = self.value();
        let text = match from.eval(&Bindings::new().with("request", &request).with("claims", self.claims)) {
            Ok(Value::String(text)) if !text.is_empty() => text,
            Ok(Value::Number(number)) => number.to_string(),
            // Not there, or not a text: there is no key.
            Ok(_) | Err(_) => return Ok(None),
        };
        Key::from_text(&text, &policy.key.form).map(Some)
    }

    /// The scope that a template gives.
    ///
    /// # Errors
    ///
    /// What the client has to send for it, in words.
    pub fn scope(&self, template: &Template) -> Result<ScopeValue, String> {
        let request = self.value();
        match template.render_string(&Bindings::new().with("request", &request).with("claims", self.claims)) {
            Ok(text) => Ok(ScopeValue::Text(text)),
            Err(error) => Err(format!("the scope of the key cannot be had from this request: {error}")),
        }
    }
}

/// Headers by lower-case name; repeated ones joined with ", " (RFC 9110, section 5.3), bytes that are not UTF-8 replaced.
pub fn headers_value(headers: &HeaderMap) -> Value {
    let mut all = Map::new();
    for name in headers.keys() {
        let lines: Vec<_> = headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
        all.insert(name.as_str().to_owned(), Value::String(lines.join(", ")));
    }
    Value::Object(all)
}

/// A body as a value: JSON where it is JSON, a text where it is UTF-8, else null.
pub fn body_value(headers: &HeaderMap, body: &[u8]) -> Value {
    match (is_json(headers), serde_json::from_slice(body)) {
        (true, Ok(value)) => value,
        _ => std::str::from_utf8(body).map_or(Value::Null, |text| Value::String(text.to_owned())),
    }
}

/// Whether a message says that its body is JSON: `application/json`, or a type with the suffix `+json` (RFC 6839, section 3.1).
pub fn is_json(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|value| {
        let essence = value.as_bytes().split(|c| *c == b';').next().unwrap_or_default().trim_ascii();
        essence.eq_ignore_ascii_case(b"application/json") || essence.to_ascii_lowercase().ends_with(b"+json")
    })
}
