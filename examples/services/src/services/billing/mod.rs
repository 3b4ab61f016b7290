//! Billing: every user's account, and every cent that moved on it.
//!
//! | request | answer |
//! |---|---|
//! | `GET /account/` | the caller's account: `{id, user_id, balance}` |
//! | `POST /accounts/` `{user_id, reference?}` | 201 with the account and its `Location`; 400 when the user has one |
//! | `GET /accounts/?reference=…&limit=…` | the newest accounts first |
//! | `GET /accounts/find_by_user_id/{user_id}/` | the user's account |
//! | `GET /accounts/{id}/` | the account |
//! | `DELETE /accounts/{id}/` | 204; 409 once money has moved on it |
//! | `POST /balance_transactions/` `{account_id, type, amount, currency, reference?}` | 201; 402 beyond the balance; 400 without the account |
//! | `GET /balance_transactions/?reference=…&limit=…` | the newest transactions first |
//!
//! `charge` and `payment_refund` add to the balance, `payment` takes from it; amounts are whole cents. Transactions on
//! behalf of a [caller](super::caller) are those on the caller's own account: to a caller there is no other.

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
use model::{Account, NewAccount, NewTransaction, Transaction};
use store::{Closed, Ledger, Moved, Opened};

static MIGRATIONS: Migrations = Migrations {
    sqlite: sqlx::migrate!("./migrations/billing/sqlite"),
    postgres: sqlx::migrate!("./migrations/billing/postgres"),
};

/// The service, with its data in the database at `database_url`.
///
/// # Errors
/// When the database cannot be reached or brought up to date.
pub async fn service(database_url: &str) -> Result<Router, OpenError> {
    let pool = database::open(database_url, &MIGRATIONS).await?;
    let routes = Router::new()
        .route("/account/", get(find_own_account))
        .route("/accounts/", get(list_accounts).post(open_account))
        .route("/accounts/{id}/", get(find_account).delete(close_account))
        .route("/accounts/find_by_user_id/{user_id}/", get(find_account_of_user))
        .route("/balance_transactions/", get(list_transactions).post(move_money))
        .with_state(Ledger::new(pool.clone()));
    Ok(api::service(routes, pool))
}

async fn find_own_account(caller: Caller, State(ledger): State<Ledger>) -> Result<Json<Account>, ApiError> {
    account_of(caller.user_id, &ledger).await
}

async fn list_accounts(State(ledger): State<Ledger>, Query(listing): Query<Listing>) -> Result<Json<Vec<Account>>, ApiError> {
    Ok(Json(ledger.list_accounts(&listing).await?))
}

async fn open_account(State(ledger): State<Ledger>, JsonBody(new): JsonBody<NewAccount>) -> Result<impl IntoResponse, ApiError> {
    match ledger.open_account(&new).await? {
        Opened::Account(account) => {
            let location = format!("/accounts/{}/", account.id);
            Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(account)))
        }
        Opened::UserHasOne => {
            let user_id = new.user_id.get();
            Err(ApiError::Invalid(format!("user {user_id} has an account already")))
        }
    }
}

async fn find_account(State(ledger): State<Ledger>, Path(id): Path<i64>) -> Result<Json<Account>, ApiError> {
    ledger.find_account(id).await?.map(Json).ok_or_else(|| no_such_account(id))
}

async fn find_account_of_user(State(ledger): State<Ledger>, Path(user_id): Path<i64>) -> Result<Json<Account>, ApiError> {
    account_of(user_id, &ledger).await
}

async fn close_account(State(ledger): State<Ledger>, Path(id): Path<i64>) -> Result<StatusCode, ApiError> {
    match ledger.close_account(id).await? {
        Closed::Gone => Ok(StatusCode::NO_CONTENT),
        Closed::NoSuchAccount => Err(no_such_account(id)),
        Closed::MoneyHasMoved => Err(ApiError::Conflict(format!("money has moved on account {id}: it stays on the books"))),
    }
}

async fn move_money(
    caller: Option<Caller>,
    State(ledger): State<Ledger>,
    JsonBody(new): JsonBody<NewTransaction>,
) -> Result<(StatusCode, Json<Transaction>), ApiError> {
    let account_id = new.account_id.get();
    match ledger.move_money(&new, caller.map(|caller| caller.user_id)).await? {
        Moved::Transaction(transaction) => Ok((StatusCode::CREATED, Json(transaction))),
        Moved::NoSuchAccount => Err(ApiError::Invalid(format!("account_id: there is no account {account_id}"))),
        Moved::InsufficientBalance => Err(ApiError::InsufficientBalance(format!(
            "the balance of account {account_id} is less than {} cents",
            new.amount.get()
        ))),
    }
}

async fn list_transactions(
    caller: Option<Caller>,
    State(ledger): State<Ledger>,
    Query(listing): Query<Listing>,
) -> Result<Json<Vec<Transaction>>, ApiError> {
    let transactions = match caller {
        Some(caller) => ledger.list_transactions_of_user(caller.user_id, &listing).await?,
        None => ledger.list_transactions(&listing).await?,
    };
    Ok(Json(transactions))
}

async fn account_of(user_id: i64, ledger: &Ledger) -> Result<Json<Account>, ApiError> {
    let account = ledger.find_account_of_user(user_id).await?;
    account.map(Json).ok_or_else(|| ApiError::NotFound(format!("user {user_id} has no account")))
}

fn no_such_account(id: i64) -> ApiError {
    ApiError::NotFound(format!("there is no account {id}"))
}
