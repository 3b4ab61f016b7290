//! Notifications: the mails about what happened in the shop.
//!
//! | request | answer |
//! |---|---|
//! | `POST /events/order-completed/` `{order_id, user_id, email?, amount, currency, items}` | 202: a mail about it is in the outbox |
//! | `POST /events/user-registered/` `{user_id, email, first_name}` | 202: a mail about it is in the outbox |
//! | `GET /notifications/?reference=…&limit=…` | the newest mails first; `reference` is the id of the event |
//!
//! Events come as `CloudEvents` 1.0 in the binary mode of HTTP. The outbox is as far as this service goes: nothing is sent.

mod cloud_event;
mod mail;
mod model;
mod store;

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Serialize;

use super::api::{self, ApiError, Query};
use super::database::{self, Migrations, OpenError};
use super::text::Email;
use super::values::Listing;
use cloud_event::{CloudEvent, Data};
use mail::Mails;
use model::{Notification, OrderCompleted, UserRegistered};
use store::Outbox;

static MIGRATIONS: Migrations = Migrations {
    sqlite: sqlx::migrate!("./migrations/notifications/sqlite"),
    postgres: sqlx::migrate!("./migrations/notifications/postgres"),
};

#[derive(Clone)]
struct Service {
    outbox: Outbox,
    mails: Arc<Mails>,
}

/// The service, with its data in the database at `database_url`.
///
/// # Errors
/// When the database cannot be opened or brought up to date, or a template of a mail is wrong.
pub async fn service(database_url: &str) -> Result<Router, OpenError> {
    let pool = database::open(database_url, &MIGRATIONS).await?;
    let mails = Mails::new().map_err(|error| OpenError::Prepare(error.into()))?;
    let routes = Router::new()
        .route("/events/order-completed/", post(order_completed))
        .route("/events/user-registered/", post(user_registered))
        .route("/notifications/", get(list))
        .with_state(Service { outbox: Outbox::new(pool.clone()), mails: Arc::new(mails) });
    Ok(api::service(routes, pool))
}

async fn order_completed(State(service): State<Service>, event: CloudEvent<OrderCompleted>) -> Result<StatusCode, ApiError> {
    service.notify(event.data.email.as_ref(), &event).await
}

async fn user_registered(State(service): State<Service>, event: CloudEvent<UserRegistered>) -> Result<StatusCode, ApiError> {
    service.notify(Some(&event.data.email), &event).await
}

async fn list(State(service): State<Service>, Query(listing): Query<Listing>) -> Result<Json<Vec<Notification>>, ApiError> {
    Ok(Json(service.outbox.list(&listing).await?))
}

impl Service {
    /// Puts a mail about the event into the outbox.
    async fn notify<T: Data + Serialize>(
        &self,
        recipient: Option<&Email>,
        event: &CloudEvent<T>,
    ) -> Result<StatusCode, ApiError> {
        let mail = self.mails.about(T::KIND, &event.data).map_err(|error| ApiError::Internal(error.into()))?;
        self.outbox.add(&event.id, T::KIND, recipient, &mail).await?;
        tracing::info!(kind = T::KIND.as_str(), source = event.source, "wrote a mail");
        Ok(StatusCode::ACCEPTED)
    }
}
