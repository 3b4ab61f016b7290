//! Who calls.

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::http::request::Parts;
use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;

use super::api::ApiError;
use super::values::Id;

/// The header in which the payload of the caller's token comes, as base64url of its JSON. Who let the request in has
/// verified the token, and lets in no such header of a caller's own.
const PAYLOAD: &str = "x-jwt-payload";

const BASE64URL: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The user on whose behalf a request is made. As an argument it refuses a request of nobody's with 401; as an
/// `Option` it is `None` for one from inside the shop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The user's id.
    pub user_id: i64,
    /// The user's address, if the token has it.
    pub email: Option<String>,
}

#[derive(Deserialize)]
struct Payload {
    user_id: Id,
    email: Option<String>,
}

impl Caller {
    /// `None`: the request names nobody.
    fn of(parts: &Parts) -> Result<Option<Self>, ApiError> {
        let mut values = parts.headers.get_all(PAYLOAD).iter();
        let Some(value) = values.next() else {
            return Ok(None);
        };
        if values.next().is_some() {
            return Err(ApiError::Unauthenticated(format!("{PAYLOAD} comes more than once")));
        }
        let json = BASE64URL.decode(value.as_bytes()).map_err(|error| unreadable(&error))?;
        let payload: Payload = serde_json::from_slice(&json).map_err(|error| unreadable(&error))?;
        Ok(Some(Self { user_id: payload.user_id.get(), email: payload.email }))
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        Self::of(parts)?.ok_or_else(|| ApiError::Unauthenticated("this needs a token: say who you are".to_owned()))
    }
}

impl<S: Sync> OptionalFromRequestParts<S> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, ApiError> {
        Self::of(parts)
    }
}

/// What cannot be read names nobody, and above all does not come from inside.
fn unreadable(error: &dyn std::error::Error) -> ApiError {
    ApiError::Unauthenticated(format!("{PAYLOAD} cannot be read: {error}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use axum::http::Request;

    use super::*;

    fn of(payloads: &[&str]) -> Result<Option<Caller>, ApiError> {
        let mut request = Request::builder();
        for payload in payloads {
            request = request.header(PAYLOAD, *payload);
        }
        Caller::of(&request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn a_payload_is_read_with_and_without_padding() {
        // {"sub":"5","user_id":5,"email":"ü?@b.c"}: the address has both letters that base64 and base64url do not share.
        let expected = Caller { user_id: 5, email: Some("ü?@b.c".to_owned()) };
        let json = r#"{"sub":"5","user_id":5,"email":"ü?@b.c"}"#;
        let payload = BASE64URL.encode(json);
        assert_eq!(of(&[payload.trim_end_matches('=')]).unwrap().unwrap(), expected);
        assert_eq!(of(&[&payload]).unwrap().unwrap(), expected);
        let nameless = BASE64URL.encode(r#"{"user_id":5}"#);
        assert_eq!(of(&[&nameless]).unwrap().unwrap().email, None);
    }

    #[test]
    fn no_payload_is_nobody_and_an_unreadable_one_is_refused() {
        assert_eq!(of(&[]).unwrap(), None);
        let five = BASE64URL.encode(r#"{"user_id":5}"#);
        for payloads in [
            &["?"] as &[&str],
            &[""],
            &[&BASE64URL.encode("{}")],
            &[&BASE64URL.encode(r#"{"user_id":0}"#)],
            &[&BASE64URL.encode(r#"{"user_id":"5"}"#)],
            &[&five, &five],
        ] {
            assert!(matches!(of(payloads), Err(ApiError::Unauthenticated(_))), "{payloads:?}");
        }
    }
}
