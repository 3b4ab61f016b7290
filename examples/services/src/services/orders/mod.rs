//! Orders: what was bought, and what became of it.
//!
//! | request | answer |
//! |---|---|
//! | `POST /orders/` `{items: [{product_id, quantity}], user_id?, reference?}` | 201 with the order and its `Location` |
//! | `GET /orders/?reference=…&limit=…` | the newest orders first |
//! | `GET /orders/{id}/` | the order |
//! | `PATCH /orders/{id}/` `{status}` | the order as it is now |

mod model;
mod store;

use std::path::Path as FilePath;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use sqlx::migrate::Migrator;

use super::api::{self, ApiError, JsonBody, Path, Query};
use super::database;
use super::values::Listing;
use model::{NewOrder, Order, StatusChange};
use store::Orders;

static MIGRATIONS: Migrator = sqlx::migrate!("./migrations/orders");

/// The service, with its data in the SQLite file `file`.
///
/// # Errors
/// When the file cannot be opened or brought up to date.
pub async fn service(file: &FilePath) -> Result<Router, sqlx::Error> {
    let pool = database::open(file, &MIGRATIONS).await?;
    let routes = Router::new()
        .route("/orders/", get(list).post(place))
        .route("/orders/{id}/", get(find).patch(change_status))
        .with_state(Orders::new(pool.clone()));
    Ok(api::service(routes, pool))
}

async fn place(State(orders): State<Orders>, JsonBody(new): JsonBody<NewOrder>) -> Result<impl IntoResponse, ApiError> {
    let order = orders.place(&new).await?;
    let location = format!("/orders/{}/", order.id);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(order)))
}

async fn list(State(orders): State<Orders>, Query(listing): Query<Listing>) -> Result<Json<Vec<Order>>, ApiError> {
    Ok(Json(orders.list(&listing).await?))
}

async fn find(State(orders): State<Orders>, Path(id): Path<i64>) -> Result<Json<Order>, ApiError> {
    orders.find(id).await?.map(Json).ok_or_else(|| no_such_order(id))
}

async fn change_status(
    State(orders): State<Orders>,
    Path(id): Path<i64>,
    JsonBody(change): JsonBody<StatusChange>,
) -> Result<Json<Order>, ApiError> {
    orders.set_status(id, change.status).await?.map(Json).ok_or_else(|| no_such_order(id))
}

fn no_such_order(id: i64) -> ApiError {
    ApiError::NotFound(format!("there is no order {id}"))
}
