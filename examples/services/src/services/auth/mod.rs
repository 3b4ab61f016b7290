//! Auth: the tokens by which the shop's users are known, and those that count no more.
//!
//! | request | answer |
//! |---|---|
//! | `POST /jwt/encode/` `{iss, sub, payload?, expires_in?}` | 200 with `{access_token}`: a JWT signed with RS256 |
//! | `POST /jwt/blacklist/` `{access_token}` | 204; 400 when the service has not signed it |
//! | `GET /jwt/blacklist/{jti}/` | `{jti, expires_at}`; 404 when the token is not blacklisted |
//! | `GET /jwks/` | the public keys, as a JWK set |
//! | `POST /keys/` | 201 with the public key by which tokens are signed from now on |
//!
//! The first key is made at the first start. A key that signs no more stays in `/jwks/` until the last token that it signed has
//! expired. A token has the members of `payload` beside `iss`, `sub`, `iat`, `exp` and `jti`; it expires `expires_in` seconds
//! from now, an hour unless asked otherwise.

mod keys;
mod model;
mod store;
mod token;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use jsonwebtoken::jwk::Jwk;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::task;
use uuid::Uuid;

use super::api::{self, ApiError, JsonBody, Path};
use super::database::{self, Migrations, OpenError};
use keys::{KeyError, KeyPair};
use model::{Blacklisted, KeySet, NewToken, Token};
use store::{Added, Store};
use token::{AccessToken, Claims, TokenError};

static MIGRATIONS: Migrations =
    Migrations { sqlite: sqlx::migrate!("./migrations/auth/sqlite"), postgres: sqlx::migrate!("./migrations/auth/postgres") };

/// The service, with its data in the database at `database_url`. Without a key, it makes one.
///
/// # Errors
/// When the database cannot be opened or brought up to date, or no key can be made.
pub async fn service(database_url: &str) -> Result<Router, OpenError> {
    let pool = database::open(database_url, &MIGRATIONS).await?;
    let store = Store::new(pool.clone());
    first_key(&store).await.map_err(|error| OpenError::Prepare(error.into()))?;
    let routes = Router::new()
        .route("/jwt/encode/", post(encode))
        .route("/jwt/blacklist/", post(blacklist))
        .route("/jwt/blacklist/{jti}/", get(find_blacklisted))
        .route("/jwks/", get(key_set))
        .route("/keys/", post(change_key))
        .with_state(store);
    Ok(api::service(routes, pool))
}

/// Two that start at once make two keys, of which one signs: that is as good as one.
async fn first_key(store: &Store) -> Result<(), ApiError> {
    if !store.has_key().await? {
        let pair = in_background(KeyPair::generate).await?;
        store.add_key(&pair, now()).await?;
        tracing::info!(kid = pair.kid, "made the first key");
    }
    Ok(())
}

async fn encode(State(store): State<Store>, JsonBody(new): JsonBody<NewToken>) -> Result<Json<Token>, ApiError> {
    let now = now();
    let claims = Claims {
        iss: new.iss.to_string(),
        sub: new.sub.to_string(),
        iat: now,
        exp: now + new.lifetime(),
        jti: Uuid::new_v4().to_string(),
        own: new.payload.0,
    };
    let key = store.signing_key(claims.exp).await?.ok_or(ApiError::Busy)?;
    let access_token = in_background(move || AccessToken::sign(&claims, &key.kid, &key.private_key)).await?;
    Ok(Json(Token { access_token }))
}

async fn blacklist(State(store): State<Store>, JsonBody(token): JsonBody<Token>) -> Result<StatusCode, ApiError> {
    let token = token.access_token;
    let key = store.public_key(&token.kid()?).await?.ok_or(TokenError::UnknownKey)?;
    store.blacklist(&token.verify(&key)?, now()).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn find_blacklisted(State(store): State<Store>, Path(jti): Path<String>) -> Result<Json<Blacklisted>, ApiError> {
    let expires_at = match Uuid::try_parse(&jti) {
        Ok(_) => store.blacklisted(&jti).await?,
        // No token of this service is called so.
        Err(_) => None,
    };
    match expires_at {
        Some(expires_at) => Ok(Json(Blacklisted { jti, expires_at: written(expires_at)? })),
        None => Err(ApiError::NotFound("this token is not blacklisted".to_owned())),
    }
}

async fn key_set(State(store): State<Store>) -> Result<Json<KeySet>, ApiError> {
    Ok(Json(KeySet { keys: store.public_keys(now()).await? }))
}

async fn change_key(State(store): State<Store>) -> Result<(StatusCode, Json<Jwk>), ApiError> {
    let pair = in_background(KeyPair::generate).await?;
    match store.add_key(&pair, now()).await? {
        Added::Key => {
            tracing::info!(kid = pair.kid, "tokens are signed with a new key");
            Ok((StatusCode::CREATED, Json(pair.public)))
        }
        Added::TooMany => Err(ApiError::Conflict(format!(
            "{} keys have tokens that are still good: wait until those of the oldest have expired",
            Store::MAX_KEYS
        ))),
    }
}

/// Computes apart from the threads that serve requests.
async fn in_background<T: Send + 'static>(work: impl FnOnce() -> Result<T, KeyError> + Send + 'static) -> Result<T, ApiError> {
    match task::spawn_blocking(work).await {
        Ok(done) => Ok(done?),
        Err(stopped) if stopped.is_cancelled() => Err(ApiError::Busy),
        Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
    }
}

/// Unix time, in seconds, as tokens have it (RFC 7519 section 2, `NumericDate`).
fn now() -> i64 {
    OffsetDateTime::now_utc().unix_timestamp()
}

/// RFC 3339, in UTC.
fn written(at: i64) -> Result<String, ApiError> {
    let at = OffsetDateTime::from_unix_timestamp(at).map_err(|error| ApiError::Internal(error.into()))?;
    at.format(&Rfc3339).map_err(|error| ApiError::Internal(error.into()))
}

impl From<KeyError> for ApiError {
    fn from(error: KeyError) -> Self {
        Self::Internal(error.into())
    }
}

impl From<TokenError> for ApiError {
    fn from(error: TokenError) -> Self {
        Self::Invalid(error.to_string())
    }
}
