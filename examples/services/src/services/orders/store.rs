use sqlx::AnyPool;

use super::model::{CURRENCY, NewOrder, Order, Status};
use crate::services::values::{Listing, Reference};
use crate::services::{clock, database};

/// The orders in the database.
#[derive(Clone)]
pub(super) struct Orders {
    pool: AnyPool,
}

impl Orders {
    pub(super) fn new(pool: AnyPool) -> Self {
        Self { pool }
    }

    pub(super) async fn place(&self, new: &NewOrder) -> Result<Order, sqlx::Error> {
        let items = new.priced();
        let order = sqlx::query_as(
            "INSERT INTO orders (user_id, items, status, amount, currency, reference, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING *",
        )
        .bind(new.user_id.get())
        .bind(items.to_json())
        .bind(Status::Created.as_str())
        .bind(items.amount())
        .bind(CURRENCY)
        .bind(new.reference.as_ref().map(Reference::as_str))
        .bind(clock::now());
        database::written(order, &self.pool).await
    }

    /// Sets the order's status and gives the order as it is then; `None`: there is no such order.
    pub(super) async fn set_status(&self, id: i64, status: Status) -> Result<Option<Order>, sqlx::Error> {
        let order = sqlx::query_as("UPDATE orders SET status = $2 WHERE id = $1 RETURNING *").bind(id).bind(status.as_str());
        database::written_if_any(order, &self.pool).await
    }

    pub(super) async fn find(&self, id: i64) -> Result<Option<Order>, sqlx::Error> {
        sqlx::query_as("SELECT * FROM orders WHERE id = $1").bind(id).fetch_optional(&self.pool).await
    }

    /// The newest orders first.
    pub(super) async fn list(&self, listing: &Listing) -> Result<Vec<Order>, sqlx::Error> {
        let query = match &listing.reference {
            Some(reference) => sqlx::query_as("SELECT * FROM orders WHERE reference = $2 ORDER BY id DESC LIMIT $1")
                .bind(listing.limit())
                .bind(reference.as_str()),
            None => sqlx::query_as("SELECT * FROM orders ORDER BY id DESC LIMIT $1").bind(listing.limit()),
        };
        query.fetch_all(&self.pool).await
    }

    /// The user's newest orders first.
    pub(super) async fn list_of_user(&self, user_id: i64, listing: &Listing) -> Result<Vec<Order>, sqlx::Error> {
        sqlx::query_as("SELECT * FROM orders WHERE user_id = $1 AND ($2 IS NULL OR reference = $2) ORDER BY id DESC LIMIT $3")
            .bind(user_id)
            .bind(listing.reference.as_ref().map(Reference::as_str))
            .bind(listing.limit())
            .fetch_all(&self.pool)
            .await
    }
}
