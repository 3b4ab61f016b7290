//! What the services' HTTP interfaces have in common: how a request is read, how an error is told, and `GET /healthz/`.

use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, FromRequest, FromRequestParts, MatchedPath, Request};
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use sqlx::AnyPool;

use super::database;

/// The largest request body that is read, in bytes.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// What a caller can tell apart when a service refuses a request. Answered as `{"error": …, "message": …}`.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The request makes no sense as it is: 400.
    #[error("{0}")]
    Invalid(String),
    /// Nobody, or nobody who is known, asks for this: 401.
    #[error("{0}")]
    Unauthenticated(String),
    /// The balance does not cover a payment: 402.
    #[error("{0}")]
    InsufficientBalance(String),
    /// There is no such thing: 404.
    #[error("{0}")]
    NotFound(String),
    /// The state of a thing forbids what was asked: 409.
    #[error("{0}")]
    Conflict(String),
    /// The request was refused before it was understood, with this status (405, 413, 415).
    #[error("{1}")]
    Refused(StatusCode, String),
    /// The database had no room for the request, which therefore did nothing: 503.
    #[error("the service is busy")]
    Busy,
    /// The database failed: 500. The caller is not told how.
    #[error("the database failed")]
    Database(#[source] sqlx::Error),
    /// The service failed at something else of its own: 500. The caller is not told at what.
    #[error("the service failed")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Seconds until a caller told [`ApiError::Busy`] may try again.
const BUSY_RETRY_AFTER: &str = "1";

#[derive(Serialize)]
struct ErrorBody {
    error: &'static str,
    message: String,
}

impl ApiError {
    fn status_and_code(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Invalid(_) => (StatusCode::BAD_REQUEST, "invalid_request"),
            Self::Unauthenticated(_) => (StatusCode::UNAUTHORIZED, "unauthenticated"),
            Self::InsufficientBalance(_) => (StatusCode::PAYMENT_REQUIRED, "insufficient_balance"),
            Self::NotFound(_) => (StatusCode::NOT_FOUND, "not_found"),
            Self::Conflict(_) => (StatusCode::CONFLICT, "conflict"),
            Self::Refused(status, _) => (*status, "refused"),
            Self::Busy => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
            Self::Database(_) | Self::Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        match &self {
            Self::Database(cause) => tracing::error!(%cause, "the database failed"),
            Self::Internal(cause) => {
                let cause: &(dyn std::error::Error + 'static) = cause.as_ref();
                tracing::error!(cause, "the service failed");
            }
            _ => {}
        }
        let (status, error) = self.status_and_code();
        let message = self.to_string();
        let mut response = (status, Json(ErrorBody { error, message })).into_response();
        let advice = match self {
            // What RFC 9110, section 15.5.2, has with every 401.
            Self::Unauthenticated(_) => (header::WWW_AUTHENTICATE, "Bearer"),
            Self::Busy => (header::RETRY_AFTER, BUSY_RETRY_AFTER),
            _ => return response,
        };
        response.headers_mut().insert(advice.0, HeaderValue::from_static(advice.1));
        response
    }
}

impl From<sqlx::Error> for ApiError {
    fn from(error: sqlx::Error) -> Self {
        if database::is_busy(&error) { Self::Busy } else { Self::Database(error) }
    }
}

impl From<JsonRejection> for ApiError {
    fn from(rejection: JsonRejection) -> Self {
        match rejection.status() {
            // A body that is JSON but not the one asked for is a bad request like any other.
            StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => Self::Invalid(rejection.body_text()),
            status => Self::Refused(status, rejection.body_text()),
        }
    }
}

impl From<QueryRejection> for ApiError {
    fn from(rejection: QueryRejection) -> Self {
        Self::Invalid(rejection.body_text())
    }
}

impl From<PathRejection> for ApiError {
    fn from(_: PathRejection) -> Self {
        Self::NotFound("nothing has such an id: ids are whole numbers".to_owned())
    }
}

/// A JSON request body, at most 64 KiB.
#[derive(FromRequest)]
#[from_request(via(Json), rejection(ApiError))]
pub struct JsonBody<T>(pub T);

/// The parameters of the query string.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Query), rejection(ApiError))]
pub struct Query<T>(pub T);

/// The parameters of the path.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Path), rejection(ApiError))]
pub struct Path<T>(pub T);

/// Completes a service's routes with what every service has: `GET /healthz/`, a line in the log per request, JSON for
/// unknown paths and methods, and the cap on bodies.
pub fn service(routes: Router, pool: AnyPool) -> Router {
    routes
        .route("/healthz/", get(move || health(pool.clone())))
        .fallback(unknown_path)
        .method_not_allowed_fallback(unknown_method)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(middleware::from_fn(log_request))
}

#[derive(Serialize)]
struct Health {
    status: &'static str,
}

/// Healthy is who can ask the database.
async fn health(pool: AnyPool) -> Result<Json<Health>, ApiError> {
    sqlx::query("SELECT 1").execute(&pool).await?;
    Ok(Json(Health { status: "ok" }))
}

async fn unknown_path(uri: Uri) -> ApiError {
    let path = uri.path();
    ApiError::NotFound(format!("there is nothing at {path}; every path ends in a slash"))
}

async fn unknown_method(method: Method, uri: Uri) -> ApiError {
    let path = uri.path();
    ApiError::Refused(StatusCode::METHOD_NOT_ALLOWED, format!("{path} does not take {method}"))
}

async fn log_request(request: Request, next: Next) -> Response {
    let method = request.method().clone();
    let path = request.extensions().get::<MatchedPath>().cloned();
    let response = next.run(request).await;
    let path = path.as_ref().map_or("unknown path", MatchedPath::as_str);
    tracing::info!(%method, path, status = response.status().as_u16(), "served");
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_service_says_when_to_come_back() {
        let response = ApiError::from(sqlx::Error::PoolTimedOut).into_response();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()[header::RETRY_AFTER], "1");
    }

    #[test]
    fn who_must_say_who_they_are_is_told_how() {
        let response = ApiError::Unauthenticated("who are you?".to_owned()).into_response();
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(response.headers()[header::WWW_AUTHENTICATE], "Bearer");
    }

    #[test]
    fn callers_are_not_told_how_the_database_failed() {
        let error = ApiError::from(sqlx::Error::ColumnNotFound("secret".to_owned()));
        assert_eq!(error.to_string(), "the database failed");
        assert_eq!(error.into_response().status(), StatusCode::INTERNAL_SERVER_ERROR);
    }
}
