//! Whether the shop's books balance.
//!
//! [`Books`] are what the services' own databases hold, read from outside and without the services: all accounts,
//! transactions, orders, users and mails. [`Books::audit`] holds them against each other and against what clients were told
//! ([`Told`]), and names every place where they do not fit.
//!
//! That a payment belongs to an order is told by their references alone: a saga gives each of its steps a key that
//! begins with the saga's id, and the services keep it.

mod audit;
mod discrepancy;

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Connection, FromRow};

pub use audit::Totals;
pub use discrepancy::Discrepancy;

/// Where the services keep what they know.
#[derive(Clone, Debug)]
pub struct Databases {
    /// The URL of orders' database.
    pub orders: String,
    /// The URL of billing's database.
    pub billing: String,
    /// The URL of users' database.
    pub users: String,
    /// The URL of notifications' database.
    pub notifications: String,
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
    /// The number of every user.
    pub users: Vec<i64>,
    /// Every mail, the oldest first.
    pub mails: Vec<Mail>,
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

/// A mail in the outbox.
#[derive(Clone, Debug, FromRow)]
pub struct Mail {
    /// Its number.
    pub id: i64,
    /// The event that it tells of.
    pub event_id: String,
    /// `order-completed` or `user-registered`.
    pub kind: String,
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
        let unreadable = |service| move |source| UnreadableBooks { service, source };
        let orders = rows(&databases.orders, "SELECT id, user_id, status, amount, reference FROM orders ORDER BY id");
        let accounts = rows(&databases.billing, "SELECT id, user_id, balance FROM accounts ORDER BY id");
        let transactions = rows(
            &databases.billing,
            "SELECT id, account_id, type AS kind, amount, reference FROM balance_transactions ORDER BY id",
        );
        let users = rows::<(i64,)>(&databases.users, "SELECT id FROM users ORDER BY id");
        let mails = rows(&databases.notifications, "SELECT id, event_id, kind FROM notifications ORDER BY id");
        Ok(Self {
            accounts: accounts.await.map_err(unreadable("billing"))?,
            transactions: transactions.await.map_err(unreadable("billing"))?,
            orders: orders.await.map_err(unreadable("orders"))?,
            users: users.await.map_err(unreadable("users"))?.into_iter().map(|(id,)| id).collect(),
            mails: mails.await.map_err(unreadable("notifications"))?,
        })
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

/// What `query` gives.
async fn rows<T>(url: &str, query: &'static str) -> Result<Vec<T>, sqlx::Error>
where
    T: for<'r> FromRow<'r, AnyRow> + Send + Unpin,
{
    sqlx::any::install_default_drivers();
    let mut connection = AnyConnection::connect(url).await?;
    let rows = sqlx::query_as(query).fetch_all(&mut connection).await?;
    connection.close().await?;
    Ok(rows)
}
