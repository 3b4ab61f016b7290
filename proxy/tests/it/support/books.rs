//! What a customer has, by the shop's ledger: orders, money, announcements.

use serde_json::{Value, json};

/// A line of the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// An order was created.
    Ordered { id: u64, user: u64, amount: i64, reference: String },
    /// An order's status was set.
    Set { id: u64, status: String },
    /// Money was moved, in cents: paid, or paid back.
    Moved { id: u64, user: u64, amount: i64, reference: String, is_refund: bool },
    /// An order was announced.
    Announced { id: u64 },
}

impl Effect {
    /// What the ledger can be asked for it by.
    pub(crate) fn reference(&self) -> Option<&String> {
        match self {
            Self::Ordered { reference, .. } | Self::Moved { reference, .. } => Some(reference),
            Self::Set { .. } | Self::Announced { .. } => None,
        }
    }

    /// As billing shows it; `null` if it moved no money.
    pub(crate) fn as_transaction(&self) -> Value {
        match self {
            Self::Moved { id, user, amount, reference, is_refund } => json!({
                "id": id, "account_id": format!("account-{user}"), "amount": amount, "reference": reference,
                "type": if *is_refund { "payment_refund" } else { "payment" },
            }),
            _ => Value::Null,
        }
    }
}

/// The books of one customer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Books {
    pub(crate) user: u64,
    /// Amount and status of each order.
    pub(crate) orders: Vec<(i64, String)>,
    pub(crate) paid: Vec<i64>,
    pub(crate) refunded: Vec<i64>,
    pub(crate) announced: usize,
}

/// What a saga left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Every effect, once.
    Kept,
    /// Nothing: every effect there was, undone once.
    Undone,
}

impl Books {
    pub(crate) fn of(user: u64, effects: &[Effect]) -> Self {
        let mut ids = Vec::new();
        let mut books = Self { user, orders: Vec::new(), paid: Vec::new(), refunded: Vec::new(), announced: 0 };
        for effect in effects {
            match effect {
                Effect::Ordered { id, user: of, amount, .. } if *of == user => {
                    ids.push(*id);
                    books.orders.push((*amount, "processing".to_owned()));
                }
                Effect::Set { id, status } => {
                    if let Some(place) = ids.iter().position(|this| this == id) {
                        books.orders[place].1.clone_from(status);
                    }
                }
                Effect::Moved { user: of, amount, is_refund, .. } if *of == user => {
                    if *is_refund { &mut books.refunded } else { &mut books.paid }.push(*amount);
                }
                Effect::Announced { id } if ids.contains(id) => books.announced += 1,
                Effect::Ordered { .. } | Effect::Moved { .. } | Effect::Announced { .. } => {}
            }
        }
        books
    }

    /// Whether they are as after one order that was completed, announced as often as said.
    pub(crate) fn are_kept(&self, amount: i64, announced: usize) -> bool {
        self.orders == [(amount, "complete".to_owned())]
            && self.paid == [amount]
            && self.refunded.is_empty()
            && self.announced == announced
    }

    /// Whether nothing remains of one order at most: what was created is cancelled, what was paid was paid back, once.
    pub(crate) fn are_undone(&self) -> bool {
        self.orders.len() <= 1
            && self.orders.iter().all(|(_, status)| status == "cancelled")
            && self.paid.len() <= 1
            && self.refunded == self.paid
            && self.announced == 0
    }

    /// # Panics
    ///
    /// If they are not balanced.
    pub(crate) fn assert(&self, outcome: Outcome, amount: i64, what: &str) {
        let holds = match outcome {
            Outcome::Kept => self.are_kept(amount, 1),
            Outcome::Undone => self.are_undone(),
        };
        assert!(holds, "{what}: the books do not show {outcome:?} of {amount}: {self:?}");
    }
}
