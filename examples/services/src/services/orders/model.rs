use serde::{Deserialize, Serialize};

use crate::services::values::{Id, Quantity, Reference};

/// What every product costs, in cents: the shop has no catalogue.
const UNIT_PRICE: i64 = 100;

/// What prices are in.
pub(super) const CURRENCY: &str = "USD";

const MAX_ITEMS: usize = 100;

/// An order as asked for: one to a hundred items.
#[derive(Debug, Deserialize)]
#[serde(try_from = "RawNewOrder")]
pub(super) struct NewOrder {
    pub(super) user_id: Id,
    items: Vec<NewItem>,
    pub(super) reference: Option<Reference>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewItem {
    product_id: Id,
    quantity: Quantity,
}

#[derive(Deserialize)]
#[serde(rename = "order", deny_unknown_fields)]
struct RawNewOrder {
    user_id: Id,
    items: Vec<NewItem>,
    reference: Option<Reference>,
}

impl NewOrder {
    /// The items at today's price.
    pub(super) fn priced(&self) -> Items {
        let priced =
            |item: &NewItem| Item { product_id: item.product_id.get(), quantity: item.quantity.get(), unit_price: UNIT_PRICE };
        Items(self.items.iter().map(priced).collect())
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

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Status {
    Created,
    Processing,
    Complete,
    Cancelled,
    Refunded,
}

impl Status {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Processing => "processing",
            Self::Complete => "complete",
            Self::Cancelled => "cancelled",
            Self::Refunded => "refunded",
        }
    }
}

/// An order as it is kept and shown.
#[derive(Debug, Serialize, sqlx::FromRow)]
pub(super) struct Order {
    pub(super) id: i64,
    pub(super) user_id: i64,
    #[sqlx(try_from = "String")]
    pub(super) items: Items,
    /// A [`Status`].
    pub(super) status: String,
    /// In cents.
    pub(super) amount: i64,
    pub(super) currency: String,
    pub(super) reference: Option<String>,
    /// RFC 3339, in UTC.
    pub(super) created_at: String,
}

/// What was bought, kept as the text of its JSON.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Items(Vec<Item>);

#[derive(Debug, Deserialize, Serialize)]
struct Item {
    product_id: i64,
    quantity: i64,
    /// In cents.
    unit_price: i64,
}

impl Items {
    /// The sum, in cents. It cannot overflow: items, quantities and the price are capped.
    pub(super) fn amount(&self) -> i64 {
        self.0.iter().map(|item| item.quantity * item.unit_price).sum()
    }

    pub(super) fn to_json(&self) -> String {
        serde_json::to_string(self).expect("numbers and fixed names are JSON")
    }
}

impl TryFrom<String> for Items {
    type Error = serde_json::Error;

    fn try_from(json: String) -> serde_json::Result<Self> {
        serde_json::from_str(&json)
    }
}
