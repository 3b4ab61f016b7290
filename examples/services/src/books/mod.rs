//! Whether the shop's books balance.
//!
//! [`Books`] are what the services' own databases hold, read from outside and without the services: all accounts, all
//! transactions, all orders. [`Books::audit`] holds them against each other and against what clients were told
//! ([`Told`]), and names every place where they do not fit.
//!
//! That a payment belongs to an order is told by their references alone: a saga gives each of its steps a key that
//! begins with the saga's id, and the services keep it.

mod audit;
mod discrepancy;

use sqlx::any::AnyPoolOptions;
use sqlx::{AnyPool, FromRow};

pub use audit::Totals;
pub use discrepancy::Discrepancy;

/// Where the services keep what they know.
#[derive(Clone, Debug)]
pub struct Databases {
    /// The URL of orders' database.
    pub orders: String,
    /// The URL of billing's database.
    pub billing: String,
}

/// All that the services have written down.
#[derive(Clone, Debug, Default)]
pub struct Books {
    /// Every account.
    pub accounts: Vec<Account>,
    /// Every transaction, the oldest first.
    pub transactions: Vec<Transaction>,
    /// Every order, the oldest first.
    pub orders: Vec<Order>,
}

/// A user's account.
#[derive(Clone, Debug, FromRow)]
pub struct Account {
    /// Its number.
    pub id: i64,
    /// Whose it is.
    pub user_id: i64,
    /// In cents.
    pub balance: i64,
}

/// Money that was moved.
#[derive(Clone, Debug, FromRow)]
pub struct Transaction {
    /// Its number.
    pub id: i64,
    /// On which account.
    pub account_id: i64,
    /// `charge`, `payment` or `payment_refund`.
    pub kind: String,
    /// In cents, above zero.
    pub amount: i64,
    /// Its caller's own name for it.
    pub reference: Option<String>,
}

/// An order.
#[derive(Clone, Debug, FromRow)]
pub struct Order {
    /// Its number.
    pub id: i64,
    /// Whose it is.
    pub user_id: Option<i64>,
    /// How far it is.
    pub status: String,
    /// In cents.
    pub amount: i64,
    /// Its caller's own name for it.
    pub reference: Option<String>,
}

/// What a client asked for under one key, and what it was told.
#[derive(Clone, Debug)]
pub struct Told {
    /// The key.
    pub key: String,
    /// Who asked.
    pub user_id: i64,
    /// In cents: of the order, or of the charge.
    pub amount: i64,
    /// What was asked for.
    pub wish: Wish,
    /// The answer. Several clients may have asked under one key: then there is one of these for each.
    pub answer: Said,
}

/// What a client wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// An order.
    Order,
    /// Money on the account.
    Charge,
}

/// What a client was told in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Said {
    /// It is done: the order or the transaction has this number.
    Done(i64),
    /// It was refused, with this status.
    Refused(u16),
    /// Nothing, in all the time the client had.
    Nothing,
}

/// What an audit found.
#[derive(Clone, Debug)]
pub struct Report {
    /// The sums.
    pub totals: Totals,
    /// Every place where the books do not fit. None: they balance.
    pub discrepancies: Vec<Discrepancy>,
}

/// Why the books cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the books of {service}")]
pub struct UnreadableBooks {
    service: &'static str,
    #[source]
    source: sqlx::Error,
}

impl Books {
    /// Reads everything. What is written meanwhile may be in one service's part and not in the other's: read them when
    /// nothing moves.
    ///
    /// # Errors
    /// When a database cannot be opened, or does not hold what it should.
    pub async fn read(databases: &Databases) -> Result<Self, UnreadableBooks> {
        let orders = async {
            let pool = open(&databases.orders).await?;
            let orders =
                sqlx::query_as("SELECT id, user_id, status, amount, reference FROM orders ORDER BY id").fetch_all(&pool).await?;
            pool.close().await;
            Ok(orders)
        };
        let orders = orders.await.map_err(|source| UnreadableBooks { service: "orders", source })?;
        let billing = async {
            let pool = open(&databases.billing).await?;
            let accounts = sqlx::query_as("SELECT id, user_id, balance FROM accounts ORDER BY id").fetch_all(&pool).await?;
            let transactions =
                sqlx::query_as("SELECT id, account_id, type AS kind, amount, reference FROM balance_transactions ORDER BY id");
            let transactions = transactions.fetch_all(&pool).await?;
            pool.close().await;
            Ok((accounts, transactions))
        };
        let (accounts, transactions) = billing.await.map_err(|source| UnreadableBooks { service: "billing", source })?;
        Ok(Self { accounts, transactions, orders })
    }
}

impl Report {
    /// Whether the books balance.
    pub fn is_balanced(&self) -> bool {
        self.discrepancies.is_empty()
    }

    /// Every discrepancy on a line of its own.
    pub fn lines(&self) -> String {
        self.discrepancies.iter().map(|discrepancy| format!("  {discrepancy}\n")).collect()
    }
}

/// One connection is enough to read.
async fn open(url: &str) -> Result<AnyPool, sqlx::Error> {
    sqlx::any::install_default_drivers();
    AnyPoolOptions::new().max_connections(1).connect(url).await
}
