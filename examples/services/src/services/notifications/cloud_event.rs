//! Events as they come: `CloudEvents` 1.0 over HTTP, binary mode (HTTP protocol binding for `CloudEvents` 1.0, section 3.1).
//!
//! What is said of the event comes in headers, the event's own data in the body.

use axum::extract::{FromRequest, Request};
use axum::http::HeaderMap;
use percent_encoding::percent_decode;
use serde::de::DeserializeOwned;

use super::model::Kind;
use crate::services::api::{ApiError, JsonBody};
use crate::services::values::Reference;

/// Data that comes as an event of one kind.
pub(super) trait Data: DeserializeOwned {
    const KIND: Kind;
}

/// An event. As an argument it refuses with 400 what is no event, and what is an event of another kind.
pub(super) struct CloudEvent<T> {
    pub(super) id: Reference,
    pub(super) source: String,
    pub(super) data: T,
}

impl<T: Data, S: Send + Sync> FromRequest<S> for CloudEvent<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let Context { id, source } = Context::read(request.headers(), T::KIND)?;
        let JsonBody(data) = JsonBody::from_request(request, state).await?;
        Ok(Self { id, source, data })
    }
}

/// What the headers say: the required attributes of `CloudEvents` 1.0 (section "Required Attributes"). Those that are not
/// asked for may be there and say nothing here.
#[derive(Debug)]
struct Context {
    id: Reference,
    source: String,
}

impl Context {
    fn read(headers: &HeaderMap, kind: Kind) -> Result<Self, ApiError> {
        let version = attribute(headers, "ce-specversion")?;
        if version != "1.0" {
            return Err(ApiError::Invalid(format!("ce-specversion: must be 1.0, not {version}")));
        }
        let id =
            Reference::try_from(attribute(headers, "ce-id")?).map_err(|reason| ApiError::Invalid(format!("ce-id: {reason}")))?;
        let source = attribute(headers, "ce-source")?;
        let given = attribute(headers, "ce-type")?;
        if given != kind.as_str() {
            return Err(ApiError::Invalid(format!("ce-type: this path takes {}, not {given}", kind.as_str())));
        }
        Ok(Self { id, source })
    }
}

/// The attribute that the header `name` carries: not empty, and percent-encoded where it is not printable ASCII
/// (section 3.1.3.2).
fn attribute(headers: &HeaderMap, name: &'static str) -> Result<String, ApiError> {
    let mut values = headers.get_all(name).iter();
    let value = match (values.next(), values.next()) {
        (Some(value), None) if !value.is_empty() => value,
        (Some(_), None) => return Err(ApiError::Invalid(format!("{name}: must not be empty"))),
        (Some(_), Some(_)) => return Err(ApiError::Invalid(format!("{name}: the header comes more than once"))),
        (None, _) => {
            return Err(ApiError::Invalid(format!(
                "{name}: the header is missing: events come as CloudEvents 1.0 in binary mode"
            )));
        }
    };
    let text = percent_decode(value.as_bytes()).decode_utf8();
    text.map(Into::into).map_err(|_| ApiError::Invalid(format!("{name}: must be percent-encoded UTF-8")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    const GOOD: [(&str, &str); 4] =
        [("ce-specversion", "1.0"), ("ce-id", "e%2D1 %C3%BC"), ("ce-source", "/orders"), ("ce-type", "order-completed")];

    fn read(headers: &[(&'static str, &'static str)]) -> Result<Context, String> {
        let headers = headers.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        Context::read(
            &headers.fold(HeaderMap::new(), |mut map, (name, value)| {
                map.append(name, value);
                map
            }),
            Kind::OrderCompleted,
        )
        .map_err(|refused| refused.to_string())
    }

    #[test]
    fn an_event_says_its_id_and_its_source_in_percent_encoding() {
        let context = read(&GOOD).unwrap();
        assert_eq!((context.id.as_str(), context.source.as_str()), ("e-1 ü", "/orders"));
    }

    #[test]
    fn a_missing_attribute_is_named() {
        for missing in GOOD {
            let rest: Vec<_> = GOOD.into_iter().filter(|header| *header != missing).collect();
            let refused = read(&rest).unwrap_err();
            assert!(refused.starts_with(&format!("{}: the header is missing", missing.0)), "{refused}");
        }
    }

    #[test]
    fn an_attribute_that_makes_no_sense_is_told_with_its_reason() {
        for (name, value, reason) in [
            ("ce-specversion", "0.3", "ce-specversion: must be 1.0, not 0.3"),
            ("ce-type", "user-registered", "ce-type: this path takes order-completed, not user-registered"),
            ("ce-id", "", "ce-id: must not be empty"),
            ("ce-source", "%ff", "ce-source: must be percent-encoded UTF-8"),
        ] {
            let mut headers = GOOD;
            headers.iter_mut().filter(|header| header.0 == name).for_each(|header| header.1 = value);
            assert_eq!(read(&headers).unwrap_err(), reason);
        }
        let twice = [GOOD.as_slice(), &[("ce-id", "e-2")]].concat();
        assert_eq!(read(&twice).unwrap_err(), "ce-id: the header comes more than once");
    }
}
