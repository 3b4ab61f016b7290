//! What the shop answers, as far as a client looks at it. Members that it does not name may come at any time.

use serde::Deserialize;

/// A user, as the shop shows it to itself.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct User {
    /// Its number.
    pub id: i64,
    /// Its address, by which it logs in.
    pub email: String,
    /// What it is called.
    pub first_name: String,
}

/// Who registered or logged in, and the token that says so from now on.
#[derive(Clone, Debug, Deserialize)]
pub struct Session {
    /// The user.
    #[serde(flatten)]
    pub user: User,
    /// For `Authorization: Bearer`.
    pub access_token: String,
}

/// The user's account.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Account {
    /// Its number.
    pub id: i64,
    /// Whose it is.
    pub user_id: i64,
    /// In cents.
    pub balance: i64,
}

/// Money that was moved.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Transaction {
    /// Its number.
    pub id: i64,
    /// On which account.
    pub account_id: i64,
    /// In cents.
    pub amount: i64,
}

/// An order.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Order {
    /// Its number.
    pub id: i64,
    /// Whose it is.
    pub user_id: i64,
    /// `complete`, once the shop has told it to a client.
    pub status: String,
    /// In cents.
    pub amount: i64,
}

/// What a problem document (RFC 9457) says about asking again.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default)]
pub struct Problem {
    /// What it is called.
    pub title: Option<String>,
    /// What is special about this case.
    pub detail: Option<String>,
    /// `same-key`: the very same request may be sent again.
    pub retry: Option<String>,
    /// A service's own word for what is wrong.
    pub message: Option<String>,
}
