//! A service alone, without sockets.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use shop::services::database::OpenError;
use tower::ServiceExt;

use super::database::Database;

#[derive(Clone)]
pub(crate) struct Service {
    router: Router,
    /// The payload of the token of whom it is called by.
    caller: Option<String>,
    database: Arc<Database>,
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Service {
    pub(crate) async fn new(open: impl AsyncFnOnce(&str) -> Result<Router, OpenError>, database: Database) -> Self {
        let router = open(&database.url()).await.unwrap();
        Self { router, caller: None, database: Arc::new(database) }
    }

    /// Another process of the service, on the same database.
    pub(crate) async fn another(&self, open: impl AsyncFnOnce(&str) -> Result<Router, OpenError>) -> Self {
        let router = open(&self.database.url()).await.unwrap();
        Self { router, ..self.clone() }
    }

    /// The service as this user calls it.
    pub(crate) fn by(&self, user_id: i64) -> Self {
        let payload = json!({"iss": "shop", "sub": user_id.to_string(), "user_id": user_id, "email": "a@b.c"});
        self.by_token(&BASE64_URL_SAFE_NO_PAD.encode(payload.to_string()))
    }

    /// The service as it is called with this as the payload of the caller's token.
    pub(crate) fn by_token(&self, payload: &str) -> Self {
        Self { caller: Some(payload.to_owned()), ..self.clone() }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path, Body::empty()).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.call(Method::DELETE, path, Body::empty()).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.call(Method::POST, path, Body::from(body.to_string())).await
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> Answer {
        self.call(Method::PATCH, path, Body::from(body.to_string())).await
    }

    pub(crate) async fn call(&self, method: Method, path: &str, body: Body) -> Answer {
        let request = Request::builder().method(method).uri(path);
        self.send(request.header(header::CONTENT_TYPE, "application/json").body(body).unwrap()).await
    }

    pub(crate) async fn send(&self, mut request: Request<Body>) -> Answer {
        if let Some(caller) = &self.caller {
            request.headers_mut().insert("x-jwt-payload", caller.parse().unwrap());
        }
        let (head, body) = self.router.clone().oneshot(request).await.unwrap().into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let body = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap() };
        Answer { status: head.status, headers: head.headers, body }
    }
}

impl Answer {
    /// Checks that it is an error of this status, and that its message tells what is wrong.
    #[track_caller]
    pub(crate) fn refuses(&self, status: u16, error: &str, message: &str) {
        assert_eq!(self.status.as_u16(), status, "{}", self.body);
        assert_eq!(self.body["error"], error, "{}", self.body);
        let said = self.body["message"].as_str().unwrap();
        assert!(said.contains(message), "{said:?} does not say {message:?}");
    }

    #[track_caller]
    pub(crate) fn is(self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.body);
        self.body
    }
}
