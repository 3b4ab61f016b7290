use sqlx::AnyPool;

use super::model::{Kind, Mail, Notification};
use crate::services::clock;
use crate::services::text::Email;
use crate::services::values::{Listing, Reference};

/// The outbox in the database.
#[derive(Clone)]
pub(super) struct Outbox {
    pool: AnyPool,
}

impl Outbox {
    pub(super) fn new(pool: AnyPool) -> Self {
        Self { pool }
    }

    pub(super) async fn add(
        &self,
        event: &Reference,
        kind: Kind,
        recipient: Option<&Email>,
        mail: &Mail,
    ) -> Result<(), sqlx::Error> {
        sqlx::query(
            "INSERT INTO notifications (event_id, kind, recipient, subject, body, created_at) VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(event.as_str())
        .bind(kind.as_str())
        .bind(recipient.map(Email::as_str))
        .bind(&mail.subject)
        .bind(&mail.body)
        .bind(clock::now())
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// The newest mails first; with a reference: those about the event that has it as its id.
    pub(super) async fn list(&self, listing: &Listing) -> Result<Vec<Notification>, sqlx::Error> {
        let query = match &listing.reference {
            Some(event) => sqlx::query_as("SELECT * FROM notifications WHERE event_id = $2 ORDER BY id DESC LIMIT $1")
                .bind(listing.limit())
                .bind(event.as_str()),
            None => sqlx::query_as("SELECT * FROM notifications ORDER BY id DESC LIMIT $1").bind(listing.limit()),
        };
        query.fetch_all(&self.pool).await
    }
}
