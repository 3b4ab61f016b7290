//! The values that requests carry. Each can only be built from input that makes sense, so that handlers never check.

use serde::{Deserialize, Serialize};

/// A whole number from `MIN` to `MAX`, both included.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(try_from = "i64")]
pub struct Whole<const MIN: i64, const MAX: i64>(i64);

/// The id of a user, a product or an account.
pub type Id = Whole<1, { i64::MAX }>;

/// How many pieces of one product an order may ask for.
pub type Quantity = Whole<1, 10_000>;

/// An amount of money to move, in cents; at most a hundred million.
pub type Cents = Whole<1, 10_000_000_000>;

/// How many rows a listing gives.
pub type Limit = Whole<1, 1_000>;

impl<const MIN: i64, const MAX: i64> Whole<MIN, MAX> {
    /// The number itself.
    pub const fn get(self) -> i64 {
        self.0
    }
}

impl<const MIN: i64, const MAX: i64> TryFrom<i64> for Whole<MIN, MAX> {
    type Error = String;

    fn try_from(number: i64) -> Result<Self, String> {
        match number {
            n if n < MIN => Err(format!("must be at least {MIN}, not {n}")),
            n if n > MAX => Err(format!("must be at most {MAX}, not {n}")),
            n => Ok(Self(n)),
        }
    }
}

/// The caller's own name for a thing, by which it can find it again. Not unique. One to 255 characters, none of
/// them a control character (PostgreSQL would not keep every one).
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(try_from = "String")]
pub struct Reference(String);

impl Reference {
    const MAX_CHARACTERS: usize = 255;

    /// The reference itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Reference {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.chars().count() {
            0 => Err("a reference must not be empty".to_owned()),
            _ if text.chars().any(char::is_control) => Err("a reference has no control characters".to_owned()),
            n if n > Self::MAX_CHARACTERS => Err(format!("a reference has at most {} characters, not {n}", Self::MAX_CHARACTERS)),
            _ => Ok(Self(text)),
        }
    }
}

/// What a listing may be asked for: `?reference=…&limit=…`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listing {
    /// Only what carries this reference; absent: everything.
    pub reference: Option<Reference>,
    limit: Option<Limit>,
}

impl Listing {
    const DEFAULT_LIMIT: i64 = 100;

    /// The most rows to give; 100 unless asked otherwise.
    pub fn limit(&self) -> i64 {
        self.limit.map_or(Self::DEFAULT_LIMIT, Limit::get)
    }
}
