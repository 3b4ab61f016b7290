use jsonwebtoken::jwk::Jwk;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::token::{AccessToken, RESERVED};
use crate::services::text::Line;
use crate::services::values::Whole;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewToken {
    pub(super) iss: Line<255>,
    pub(super) sub: Line<255>,
    #[serde(default)]
    pub(super) payload: Payload,
    expires_in: Option<Lifetime>,
}

/// How long a token counts, in seconds: a day at most.
type Lifetime = Whole<1, 86_400>;

impl NewToken {
    const DEFAULT_LIFETIME: i64 = 3_600;

    /// How long the token counts, in seconds; an hour unless asked otherwise.
    pub(super) fn lifetime(&self) -> i64 {
        self.expires_in.map_or(Self::DEFAULT_LIFETIME, Lifetime::get)
    }
}

/// The members that the asker adds to a token. None of those that have a meaning of their own, and no more than what a request
/// can carry in a header.
#[derive(Default, Deserialize)]
#[serde(try_from = "Map<String, Value>")]
pub(super) struct Payload(pub(super) Map<String, Value>);

impl Payload {
    const MAX_BYTES: usize = 4 * 1024;
}

impl TryFrom<Map<String, Value>> for Payload {
    type Error = String;

    fn try_from(members: Map<String, Value>) -> Result<Self, String> {
        if let Some(name) = RESERVED.iter().find(|name| members.contains_key(**name)) {
            return Err(format!("`{name}` is not the asker's to choose"));
        }
        match Value::Object(members.clone()).to_string().len() {
            bytes if bytes > Self::MAX_BYTES => Err(format!("must have at most {} bytes of JSON, not {bytes}", Self::MAX_BYTES)),
            _ => Ok(Self(members)),
        }
    }
}

/// What carries a token, both ways.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Token {
    pub(super) access_token: AccessToken,
}

#[derive(Serialize)]
pub(super) struct Blacklisted {
    pub(super) jti: String,
    /// When it stops to count anyway: RFC 3339, in UTC.
    pub(super) expires_at: String,
}

/// A JWK set (RFC 7517 section 5).
#[derive(Serialize)]
pub(super) struct KeySet {
    pub(super) keys: Vec<Jwk>,
}
