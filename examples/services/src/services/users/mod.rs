//! Users: who they are, and whether they are who they say.
//!
//! | request | answer |
//! |---|---|
//! | `POST /users/` `{email, first_name, last_name, phone?, password?, reference?}` | 201 with the user; 400 when `email` or `phone` is taken |
//! | `GET /users/?reference=…&limit=…` | the newest users first |
//! | `GET /users/{id}/` | the user |
//! | `PATCH /users/{id}/` `{first_name?, last_name?, phone?, last_login?}` | the user as it is now |
//! | `DELETE /users/{id}/` | 204 |
//! | `POST /authenticate/` `{email, password}` | 200 with `{user, previous_last_login}`; 401 |
//! | `GET /user/` | the caller |
//! | `PATCH /user/` `{first_name?, last_name?, phone?}` | the caller, as it is now |
//!
//! In a `PATCH` what is absent stays; `null` clears a `phone` and a `last_login`. E-mail addresses are kept as they are given and
//! compared without case. Of a password only a hash is kept, and never shown. Who is refused at `/authenticate/` is not told
//! whether there is such a user, neither by words nor by time.

mod model;
mod password;
mod store;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};

use super::api::{self, ApiError, JsonBody, Path, Query};
use super::caller::Caller;
use super::database::{self, Migrations, OpenError};
use super::text::Email;
use super::values::Listing;
use model::{Authenticated, Credentials, NewUser, ProfileChange, User, UserChange};
use password::{Hasher, Match, PasswordError};
use store::{Users, WriteError};

static MIGRATIONS: Migrations =
    Migrations { sqlite: sqlx::migrate!("./migrations/users/sqlite"), postgres: sqlx::migrate!("./migrations/users/postgres") };

#[derive(Clone)]
struct Service {
    users: Users,
    hasher: Hasher,
}

/// The service, with its data in the database at `database_url`.
///
/// # Errors
/// When the database cannot be opened or brought up to date, or passwords cannot be hashed.
pub async fn service(database_url: &str) -> Result<Router, OpenError> {
    let pool = database::open(database_url, &MIGRATIONS).await?;
    let hasher = Hasher::new().await.map_err(|error| OpenError::Prepare(error.into()))?;
    let routes = Router::new()
        .route("/users/", get(list).post(register))
        .route("/users/{id}/", get(find).patch(change).delete(remove))
        .route("/authenticate/", post(authenticate))
        .route("/user/", get(find_caller).patch(change_caller))
        .with_state(Service { users: Users::new(pool.clone()), hasher });
    Ok(api::service(routes, pool))
}

async fn register(State(service): State<Service>, JsonBody(mut new): JsonBody<NewUser>) -> Result<impl IntoResponse, ApiError> {
    let hash = match new.password.take() {
        Some(password) => Some(service.hasher.hash(password).await?),
        None => None,
    };
    let user = service.users.add(&new, hash.as_ref()).await?;
    let location = format!("/users/{}/", user.id);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(user)))
}

async fn list(State(service): State<Service>, Query(listing): Query<Listing>) -> Result<Json<Vec<User>>, ApiError> {
    Ok(Json(service.users.list(&listing).await?))
}

async fn find(State(service): State<Service>, Path(id): Path<i64>) -> Result<Json<User>, ApiError> {
    service.users.find(id).await?.map(Json).ok_or_else(|| no_such_user(id))
}

async fn change(
    State(service): State<Service>,
    Path(id): Path<i64>,
    JsonBody(change): JsonBody<UserChange>,
) -> Result<Json<User>, ApiError> {
    service.users.change(id, &change).await?.map(Json).ok_or_else(|| no_such_user(id))
}

async fn remove(State(service): State<Service>, Path(id): Path<i64>) -> Result<StatusCode, ApiError> {
    match service.users.remove(id).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(no_such_user(id)),
    }
}

async fn authenticate(
    State(service): State<Service>,
    JsonBody(credentials): JsonBody<Credentials>,
) -> Result<Json<Authenticated>, ApiError> {
    let kept = match Email::try_from(credentials.email) {
        Ok(email) => service.users.kept(&email).await?,
        // Nobody has what is no address.
        Err(_) => None,
    };
    let (id, hash) = kept.map(|kept| (kept.id, kept.password_hash)).unzip();
    let authenticated = match (id, service.hasher.compare(credentials.password, hash.flatten()).await?) {
        (Some(id), Match::Same) => service.users.log_in(id).await?,
        _ => None,
    };
    let refused = || ApiError::Unauthenticated("the e-mail address or the password is wrong".to_owned());
    authenticated.map(Json).ok_or_else(refused)
}

async fn find_caller(State(service): State<Service>, caller: Caller) -> Result<Json<User>, ApiError> {
    find(State(service), Path(caller.user_id)).await
}

async fn change_caller(
    State(service): State<Service>,
    caller: Caller,
    JsonBody(change): JsonBody<ProfileChange>,
) -> Result<Json<User>, ApiError> {
    self::change(State(service), Path(caller.user_id), JsonBody(change.into())).await
}

fn no_such_user(id: i64) -> ApiError {
    ApiError::NotFound(format!("there is no user {id}"))
}

impl From<WriteError> for ApiError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::EmailTaken | WriteError::PhoneTaken => Self::Invalid(error.to_string()),
            WriteError::Database(error) => error.into(),
        }
    }
}

impl From<PasswordError> for ApiError {
    fn from(error: PasswordError) -> Self {
        match error {
            PasswordError::Busy => Self::Busy,
            PasswordError::Hash(_) => Self::Internal(error.into()),
        }
    }
}
