use serde::{Deserialize, Deserializer, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::password::{Hash, NewPassword, Password};
use crate::services::text::{Email, Name, Phone};
use crate::services::values::Reference;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewUser {
    pub(super) email: Email,
    pub(super) phone: Option<Phone>,
    pub(super) first_name: Name,
    pub(super) last_name: Name,
    /// Who has none cannot be authenticated.
    pub(super) password: Option<NewPassword>,
    pub(super) reference: Option<Reference>,
}

/// What users may change of themselves. Absent: it stays.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ProfileChange {
    #[serde(default, deserialize_with = "present")]
    first_name: Option<Name>,
    #[serde(default, deserialize_with = "present")]
    last_name: Option<Name>,
    /// `null`: the user has none from now on.
    #[serde(default, deserialize_with = "present")]
    phone: Option<Option<Phone>>,
}

/// What the shop may change of a user. Absent: it stays.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UserChange {
    #[serde(default, deserialize_with = "present")]
    pub(super) first_name: Option<Name>,
    #[serde(default, deserialize_with = "present")]
    pub(super) last_name: Option<Name>,
    /// `null`: the user has none from now on.
    #[serde(default, deserialize_with = "present")]
    pub(super) phone: Option<Option<Phone>>,
    /// `null`: as if the user had never logged in.
    #[serde(default, deserialize_with = "present")]
    pub(super) last_login: Option<Option<Time>>,
}

impl From<ProfileChange> for UserChange {
    fn from(change: ProfileChange) -> Self {
        let ProfileChange { first_name, last_name, phone } = change;
        Self { first_name, last_name, phone, last_login: None }
    }
}

/// A field that is there, be it `null`: that counts only where `T` has a place for it.
fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// A point in time: RFC 3339, in UTC, kept as it was given.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Time(String);

impl Time {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Time {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match OffsetDateTime::parse(&text, &Rfc3339) {
            Ok(_) if text.ends_with('Z') => Ok(Self(text)),
            _ => Err("must be a time in UTC as RFC 3339 writes it, as in 2026-01-02T03:04:05.678Z".to_owned()),
        }
    }
}

/// Who says to be a user. Nothing is checked here: whatever is wrong with it, the answer is the same.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Credentials {
    pub(super) email: String,
    pub(super) password: Password,
}

/// A user as it is shown.
#[derive(Debug, Serialize, sqlx::FromRow)]
pub(super) struct User {
    pub(super) id: i64,
    pub(super) email: String,
    pub(super) phone: Option<String>,
    pub(super) first_name: String,
    pub(super) last_name: String,
    /// RFC 3339, in UTC.
    pub(super) last_login: Option<String>,
    /// RFC 3339, in UTC.
    pub(super) created_at: String,
}

/// A user who has logged in this moment.
#[derive(Debug, Serialize, sqlx::FromRow)]
pub(super) struct Authenticated {
    #[sqlx(flatten)]
    pub(super) user: User,
    /// RFC 3339, in UTC; `null`: it was the first time.
    pub(super) previous_last_login: Option<String>,
}

/// What a password is compared with.
#[derive(sqlx::FromRow)]
pub(super) struct Kept {
    pub(super) id: i64,
    pub(super) password_hash: Option<Hash>,
}
