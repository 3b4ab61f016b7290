use sqlx::query::QueryAs;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Sqlite, SqlitePool};

use super::model::{NewOrder, Order, Status, UNIT_PRICE};
use crate::services::database;
use crate::services::values::Listing;

/// The orders in the database.
#[derive(Clone)]
pub(super) struct Orders {
    pool: SqlitePool,
}

impl Orders {
    pub(super) fn new(pool: SqlitePool) -> Self {
        Self { pool }
    }

    /// Writes the order and its items, all or nothing.
    pub(super) async fn place(&self, new: &NewOrder) -> Result<Order, sqlx::Error> {
        let mut transaction = database::begin_write(&self.pool).await?;
        let id: i64 =
            sqlx::query_scalar("INSERT INTO orders (user_id, status, amount, reference) VALUES (?, ?, ?, ?) RETURNING id")
                .bind(new.user_id.map(|id| id.get()))
                .bind(Status::Created)
                .bind(new.amount())
                .bind(new.reference.as_ref().map(|reference| reference.as_str()))
                .fetch_one(&mut *transaction)
                .await?;
        for (line, item) in (0_i64..).zip(&new.items) {
            sqlx::query("INSERT INTO order_items (order_id, line, product_id, quantity, unit_price) VALUES (?, ?, ?, ?, ?)")
                .bind(id)
                .bind(line)
                .bind(item.product_id.get())
                .bind(item.quantity.get())
                .bind(UNIT_PRICE)
                .execute(&mut *transaction)
                .await?;
        }
        let order = details(id).fetch_one(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(order)
    }

    /// Sets the order's status and gives the order as it is then; `None`: there is no such order.
    pub(super) async fn set_status(&self, id: i64, status: Status) -> Result<Option<Order>, sqlx::Error> {
        let mut transaction = database::begin_write(&self.pool).await?;
        sqlx::query("UPDATE orders SET status = ? WHERE id = ?").bind(status).bind(id).execute(&mut *transaction).await?;
        let order = details(id).fetch_optional(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(order)
    }

    pub(super) async fn find(&self, id: i64) -> Result<Option<Order>, sqlx::Error> {
        details(id).fetch_optional(&self.pool).await
    }

    /// The newest orders first.
    pub(super) async fn list(&self, listing: &Listing) -> Result<Vec<Order>, sqlx::Error> {
        let query = match &listing.reference {
            Some(reference) => sqlx::query_as("SELECT * FROM order_details WHERE reference = ? ORDER BY id DESC LIMIT ?")
                .bind(reference.as_str()),
            None => sqlx::query_as("SELECT * FROM order_details ORDER BY id DESC LIMIT ?"),
        };
        query.bind(listing.limit()).fetch_all(&self.pool).await
    }
}

fn details(id: i64) -> QueryAs<'static, Sqlite, Order, SqliteArguments> {
    sqlx::query_as("SELECT * FROM order_details WHERE id = ?").bind(id)
}
