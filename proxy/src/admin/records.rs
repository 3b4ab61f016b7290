//! Records that an operator has to decide about: those whose outcome nobody knows.
//!
//! A record is named as logs name it, in full: 64 hexadecimal digits. Every act needs a reason, and is logged with it.

use std::{collections::BTreeMap, time::Duration};

use axum::{
    Json,
    extract::{Path, Query, State as Shown},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::State;
use crate::{
    idempotency::response::{Recorded, record},
    ids::RecordName,
    store::{Done, Resolution, Resolved, Standing, Store, StoreError},
};

/// How long a response that an operator gives is kept, unless said otherwise.
const DEFAULT_TTL_SECONDS: u64 = 24 * 60 * 60;

/// One of the records whose outcome is unknown.
#[derive(Debug, Serialize)]
struct Listed {
    record: String,
    since_unix_ms: u64,
}

/// The unknown records that this process has seen, the oldest first.
pub(super) async fn list(Shown(state): Shown<State>) -> Response {
    let listed = state.context.unknowns.list().into_iter();
    let listed = listed.map(|(name, since)| Listed { record: name.to_string(), since_unix_ms: since.as_unix_ms() });
    Json(listed.collect::<Vec<_>>()).into_response()
}

/// A record as it stands.
#[derive(Debug, Serialize)]
struct RecordShown {
    record: String,
    state: &'static str,
    attempt: u32,
    fence: u64,
    expires_in_seconds: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    lease_left_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
}

pub(super) async fn show(Shown(state): Shown<State>, Path(name): Path<String>) -> Result<Response, Refused> {
    let name = parse(&name)?;
    let inspection = state.context.store.inspect(name).await?.ok_or(Refused::NoSuchRecord)?;
    let (word, lease_left_ms, status) = match &inspection.standing {
        Standing::InFlight { left } => ("in-flight", u64::try_from(left.as_millis()).ok(), None),
        Standing::Unknown => ("unknown", None, None),
        Standing::Sealed => ("sealed", None, None),
        Standing::Done(response) => {
            let done = Done {
                response: response.clone(),
                fence: inspection.fence,
                attempt: inspection.attempt,
                ttl_left: inspection.ttl_left,
            };
            let recorded = state.context.open(name, &done).map_err(|error| Refused::Unreadable(error.to_string()))?;
            ("done", None, Some(recorded.status().as_u16()))
        }
    };
    let shown = RecordShown {
        record: name.to_string(),
        state: word,
        attempt: inspection.attempt,
        fence: inspection.fence.0,
        expires_in_seconds: inspection.ttl_left.as_secs(),
        lease_left_ms,
        status,
    };
    Ok(Json(shown).into_response())
}

/// What an operator says of an unknown record.
#[derive(Debug, Deserialize)]
#[serde(tag = "outcome", rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum Said {
    /// The upstream acted, and this is what it answered.
    Done {
        reason: String,
        status: u16,
        #[serde(default)]
        headers: BTreeMap<String, String>,
        #[serde(default)]
        body: String,
        #[serde(default = "default_ttl")]
        ttl_seconds: u64,
    },
    /// The upstream did not act: the next request with this key is sent.
    NotDone { reason: String },
}

const fn default_ttl() -> u64 {
    DEFAULT_TTL_SECONDS
}

pub(super) async fn resolve(
    Shown(state): Shown<State>,
    Path(name): Path<String>,
    Json(said): Json<Said>,
) -> Result<Response, Refused> {
    let name = parse(&name)?;
    let context = &state.context;
    let (resolution, reason, outcome) = match said {
        Said::NotDone { reason } => (Resolution::NotDone, reason, "not-done"),
        Said::Done { reason, status, headers, body, ttl_seconds } => {
            let recorded = response(status, headers, body)?;
            let fence = context.store.inspect(name).await?.ok_or(Refused::NoSuchRecord)?.fence;
            let response = context.seal(name, fence, &recorded);
            (Resolution::Done { response, ttl: Duration::from_secs(ttl_seconds.max(1)) }, reason, "done")
        }
    };
    if reason.trim().is_empty() {
        return Err(Refused::Invalid("a reason is needed: it is logged".to_owned()));
    }
    match context.store.resolve(name, resolution).await? {
        Resolved::Applied => {
            context.unknowns.resolved(name);
            tracing::warn!(target: "refrain::audit", record = %name, outcome, reason, "an operator resolved a record");
            Ok(StatusCode::NO_CONTENT.into_response())
        }
        Resolved::Absent => Err(Refused::NoSuchRecord),
        Resolved::NotUnknown => Err(Refused::NotUnknown),
    }
}

/// Why a record is forgotten.
#[derive(Debug, Deserialize)]
pub(super) struct Why {
    reason: String,
}

pub(super) async fn forget(
    Shown(state): Shown<State>,
    Path(name): Path<String>,
    Query(why): Query<Why>,
) -> Result<Response, Refused> {
    let name = parse(&name)?;
    if why.reason.trim().is_empty() {
        return Err(Refused::Invalid("a reason is needed: it is logged".to_owned()));
    }
    if !state.context.store.forget(name).await? {
        return Err(Refused::NoSuchRecord);
    }
    state.context.unknowns.resolved(name);
    tracing::warn!(target: "refrain::audit", record = %name, reason = why.reason, "an operator forgot a record");
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn response(status: u16, headers: BTreeMap<String, String>, body: String) -> Result<Recorded, Refused> {
    let status = StatusCode::from_u16(status).ok().filter(|status| !status.is_informational());
    let status = status.ok_or_else(|| Refused::Invalid("status: an HTTP status from 200 on".to_owned()))?;
    let mut lines = HeaderMap::new();
    for (name, value) in headers {
        let parsed = (HeaderName::try_from(&name), HeaderValue::try_from(&value));
        let (Ok(name), Ok(value)) = parsed else {
            return Err(Refused::Invalid(format!("headers: {name:?} is not a header with a valid value")));
        };
        lines.append(name, value);
    }
    let (mut parts, ()) = http::Response::new(()).into_parts();
    (parts.status, parts.headers) = (status, lines);
    Ok(record(&parts, Bytes::from(body), None, &[]))
}

fn parse(name: &str) -> Result<RecordName, Refused> {
    RecordName::from_hex(name).ok_or_else(|| Refused::Invalid("a record's name has 64 hexadecimal digits".to_owned()))
}

/// Why an operator's request was not done.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    #[error("there is no such record")]
    NoSuchRecord,
    #[error("only a record whose outcome is unknown can be resolved")]
    NotUnknown,
    #[error("{0}")]
    Invalid(String),
    #[error("the record cannot be read: {0}")]
    Unreadable(String),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let status = match &self {
            Self::NoSuchRecord => StatusCode::NOT_FOUND,
            Self::NotUnknown => StatusCode::CONFLICT,
            Self::Invalid(_) => StatusCode::BAD_REQUEST,
            Self::Unreadable(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        (status, Json(serde_json::json!({ "status": status.as_u16(), "title": self.to_string() }))).into_response()
    }
}
