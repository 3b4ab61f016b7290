use serde::{Deserialize, Serialize};

use crate::services::values::{Cents, Id, Reference};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewAccount {
    pub(super) user_id: Id,
    pub(super) reference: Option<Reference>,
}

/// An account as it is shown.
#[derive(Debug, Serialize, sqlx::FromRow)]
pub(super) struct Account {
    pub(super) id: i64,
    pub(super) user_id: i64,
    /// In cents, never below zero.
    pub(super) balance: i64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewTransaction {
    pub(super) account_id: Id,
    #[serde(rename = "type")]
    pub(super) kind: Kind,
    pub(super) amount: Cents,
    pub(super) currency: Currency,
    pub(super) reference: Option<Reference>,
}

impl NewTransaction {
    /// What the transaction adds to the balance, in cents.
    pub(super) fn change(&self) -> i64 {
        match self.kind {
            Kind::Charge | Kind::PaymentRefund => self.amount.get(),
            Kind::Payment => -self.amount.get(),
        }
    }
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// The user puts money on the account.
    Charge,
    /// The user pays from the account.
    Payment,
    /// A payment is given back.
    PaymentRefund,
}

impl Kind {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Charge => "charge",
            Self::Payment => "payment",
            Self::PaymentRefund => "payment_refund",
        }
    }
}

/// A balance is one sum, so the shop takes one currency.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum Currency {
    Usd,
}

impl Currency {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Usd => "USD",
        }
    }
}

/// A transaction as it is kept and shown.
#[derive(Debug, Serialize, sqlx::FromRow)]
pub(super) struct Transaction {
    pub(super) id: i64,
    pub(super) account_id: i64,
    /// A [`Kind`].
    pub(super) r#type: String,
    /// In cents, above zero: the type says which way.
    pub(super) amount: i64,
    /// A [`Currency`].
    pub(super) currency: String,
    pub(super) reference: Option<String>,
    /// RFC 3339, in UTC.
    pub(super) created_at: String,
}
