//! Orders: what was bought, and what became of it.
//!
//! | request | answer |
//! |---|---|
//! | `GET /orders/?reference=…&limit=…` | the [caller](super::caller)'s newest orders first |
//! | `GET /orders/{id}/` | the order; 404 when it is another's |
//! | `POST /internal/orders/` `{user_id, items: [{product_id, quantity}], reference?}` | 201 with the order, `created`, and its `Location` |
//! | `GET /internal/orders/?reference=…&limit=…` | everybody's newest orders first |
//! | `GET /internal/orders/{id}/` | the order |
//! | `PATCH /internal/orders/{id}/` `{status}` | the order as it is now |
//!
//! An order is `{id, user_id, items: [{product_id, quantity, unit_price}], status, amount, currency, reference,
//! created_at}`; its status is `created`, `processing`, `complete`, `cancelled` or `refunded`, and its amounts are whole
//! cents.

mod model;
mod store;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};

use super::api::{self, ApiError, JsonBody, Path, Query};
use super::caller::Caller;
use super::database::{self, Migrations, OpenError};
use super::values::Listing;
use model::{NewOrder, Order, StatusChange};
use store::Orders;

static MIGRATIONS: Migrations =
    Migrations { sqlite: sqlx::migrate!("./migrations/orders/sqlite"), postgres: sqlx::migrate!("./migrations/orders/postgres") };

/// The service, with its data in the database at `database_url`.
///
/// # Errors
/// When the database cannot be reached or brought up to date.
pub async fn service(database_url: &str) -> Result<Router, OpenError> {
    let pool = database::open(database_url, &MIGRATIONS).await?;
    let routes = Router::new()
        .route("/orders/", get(list_own))
        .route("/orders/{id}/", get(find_own))
        .route("/internal/orders/", get(list).post(place))
        .route("/internal/orders/{id}/", get(find).patch(change_status))
        .with_state(Orders::new(pool.clone()));
    Ok(api::service(routes, pool))
}

async fn list_own(
    caller: Caller,
    State(orders): State<Orders>,
    Query(listing): Query<Listing>,
) -> Result<Json<Vec<Order>>, ApiError> {
    Ok(Json(orders.list_of_user(caller.user_id, &listing).await?))
}

async fn find_own(caller: Caller, State(orders): State<Orders>, Path(id): Path<i64>) -> Result<Json<Order>, ApiError> {
    let order = orders.find(id).await?.filter(|order| order.user_id == caller.user_id);
    order.map(Json).ok_or_else(|| no_such_order(id))
}

async fn place(State(orders): State<Orders>, JsonBody(new): JsonBody<NewOrder>) -> Result<impl IntoResponse, ApiError> {
    let order = orders.place(&new).await?;
    let location = format!("/internal/orders/{}/", order.id);
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
