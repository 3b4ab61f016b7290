use serde::{Deserialize, Serialize};

use crate::services::values::{Id, Quantity, Reference};

/// What every product costs, in cents: the shop has no catalogue.
pub(super) const UNIT_PRICE: i64 = 100;

const MAX_ITEMS: usize = 100;

/// An order as asked for: one to a hundred items.
#[derive(Debug, Deserialize)]
#[serde(try_from = "RawNewOrder")]
pub(super) struct NewOrder {
    pub(super) user_id: Option<Id>,
    pub(super) items: Vec<NewItem>,
    pub(super) reference: Option<Reference>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewItem {
    pub(super) product_id: Id,
    pub(super) quantity: Quantity,
}

#[derive(Deserialize)]
#[serde(rename = "order", deny_unknown_fields)]
struct RawNewOrder {
    user_id: Option<Id>,
    items: Vec<NewItem>,
    reference: Option<Reference>,
}

impl NewOrder {
    /// The sum, in cents. It cannot overflow: items, quantities and the price are capped.
    pub(super) fn amount(&self) -> i64 {
        self.items.iter().map(|item| item.quantity.get() * UNIT_PRICE).sum()
    }
}

impl TryFrom<RawNewOrder> for NewOrder {
    type Error = String;

    fn try_from(raw: RawNewOrder) -> Result<Self, String> {
        let RawNewOrder { user_id, items, reference } = raw;
        match items.len() {
            0 => Err("items: an order has at least one".to_owned()),
            n if n > MAX_ITEMS => Err(format!("items: an order has at most {MAX_ITEMS}, not {n}")),
            _ => Ok(Self { user_id, items, reference }),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StatusChange {
    pub(super) status: Status,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq, sqlx::Type)]
#[serde(rename_all = "snake_case")]
#[sqlx(rename_all = "snake_case")]
pub(super) enum Status {
    Created,
    Processing,
    Complete,
    Cancelled,
    Refunded,
}

/// An order as it is kept and shown.
#[derive(Debug, Serialize, sqlx::FromRow)]
pub(super) struct Order {
    pub(super) id: i64,
    pub(super) user_id: Option<i64>,
    #[sqlx(json)]
    pub(super) items: Vec<Item>,
    pub(super) status: Status,
    /// In cents.
    pub(super) amount: i64,
    pub(super) reference: Option<String>,
    /// RFC 3339, in UTC.
    pub(super) created_at: String,
}

#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Item {
    pub(super) product_id: i64,
    pub(super) quantity: i64,
    /// In cents.
    pub(super) unit_price: i64,
}
