use serde::{Deserialize, Serialize};

use super::cloud_event::Data;
use crate::services::text::{Email, Name};
use crate::services::values::{Cents, Id, Quantity};

/// What an event tells, and so what the mail about it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    OrderCompleted,
    UserRegistered,
}

impl Kind {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::OrderCompleted => "order-completed",
            Self::UserRegistered => "user-registered",
        }
    }
}

/// An order was paid. Events grow: what is not known here is left alone.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct OrderCompleted {
    pub(super) order_id: Id,
    pub(super) user_id: Id,
    pub(super) email: Option<Email>,
    pub(super) amount: Cents,
    pub(super) currency: Currency,
    pub(super) items: Vec<Item>,
}

#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Item {
    pub(super) product_id: Id,
    pub(super) quantity: Quantity,
    pub(super) unit_price: Option<Cents>,
}

/// The shop's one currency: a cent is a hundredth of it.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum Currency {
    Usd,
}

/// An account was opened. Events grow: what is not known here is left alone.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct UserRegistered {
    pub(super) user_id: Id,
    pub(super) email: Email,
    pub(super) first_name: Name,
}

impl Data for OrderCompleted {
    const KIND: Kind = Kind::OrderCompleted;
}

impl Data for UserRegistered {
    const KIND: Kind = Kind::UserRegistered;
}

/// A mail, before it is in the outbox.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mail {
    pub(super) subject: String,
    pub(super) body: String,
}

/// A mail in the outbox, as it is kept and shown.
#[derive(Debug, Serialize, sqlx::FromRow)]
pub(super) struct Notification {
    pub(super) id: i64,
    pub(super) event_id: String,
    pub(super) kind: String,
    /// An e-mail address; `null`: the event named none.
    pub(super) recipient: Option<String>,
    pub(super) subject: String,
    pub(super) body: String,
    /// RFC 3339, in UTC.
    pub(super) created_at: String,
}
