//! Sagas, and what operators say to them. Every act needs a reason, and is logged and journalled with it.

use axum::{
    Json,
    extract::{Path, Query, State as Shown},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use saga_config::names::StepPath;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::State;
use crate::{
    ids::SagaId,
    saga::{
        entry::Act,
        operate::{Cursor, Refused},
    },
    store::journal::{Listing, MAX_PAGE, SagaState},
};

/// Sagas of a page, unless asked otherwise.
const PAGE: usize = 100;

/// Which sagas.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    /// Names of states, apart by `,`.
    state: Option<String>,
    name: Option<String>,
    before: Option<String>,
    limit: Option<usize>,
}

pub(super) async fn list(Shown(state): Shown<State>, Query(which): Query<Which>) -> Result<Response, Refused> {
    let states = which.state.as_deref().unwrap_or_default().split(',').filter(|name| !name.is_empty());
    let states = states.map(parse_state).collect::<Result<Vec<_>, _>>()?;
    let before = which.before.as_deref().map(str::parse::<Cursor>).transpose()?.map(|Cursor(at, id)| (at, id));
    let listing = Listing { states, name: which.name, before, limit: limit(which.limit)? };
    Ok(Json(state.operations.list(listing).await?).into_response())
}

pub(super) async fn show(Shown(state): Shown<State>, Path(id): Path<String>) -> Result<Response, Refused> {
    Ok(Json(state.operations.show(parse_id(&id)?).await?).into_response())
}

/// What an operator says to a saga.
#[derive(Debug, Deserialize)]
#[serde(tag = "act", rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum Said {
    /// What waits is tried now.
    Retry {
        reason: String,
        step: Option<StepPath>,
        #[serde(default)]
        run_again: bool,
    },
    /// A step in doubt was carried out.
    Done {
        reason: String,
        step: StepPath,
        #[serde(default)]
        output: Map<String, Value>,
    },
    /// A step in doubt was not carried out.
    NotDone { reason: String, step: StepPath },
    /// An undo was carried out by hand, or is not needed.
    Undone { reason: String, step: StepPath },
    /// The saga turns back.
    Compensate { reason: String },
    /// A step that has not started does not run.
    Skip { reason: String, step: StepPath },
    /// Nothing new starts.
    Pause { reason: String },
    /// It goes on.
    Resume { reason: String },
}

impl Said {
    fn into_act(self) -> (Act, String) {
        match self {
            Self::Retry { reason, step, run_again } => (Act::Retry { step, run_again }, reason),
            Self::Done { reason, step, output } => (Act::ResolveDone { step, output }, reason),
            Self::NotDone { reason, step } => (Act::ResolveNotDone { step }, reason),
            Self::Undone { reason, step } => (Act::ResolveUndone { step }, reason),
            Self::Compensate { reason } => (Act::Compensate, reason),
            Self::Skip { reason, step } => (Act::Skip { step }, reason),
            Self::Pause { reason } => (Act::Pause, reason),
            Self::Resume { reason } => (Act::Resume, reason),
        }
    }
}

pub(super) async fn say(Shown(state): Shown<State>, Path(id): Path<String>, Json(said): Json<Said>) -> Result<Response, Refused> {
    let id = parse_id(&id)?;
    let (act, reason) = said.into_act();
    let word = word(&act);
    state.operations.say(id, act, &reason).await?;
    tracing::warn!(target: "refrain::audit", saga = %id, act = word, reason, "an operator spoke to a saga");
    Ok(StatusCode::ACCEPTED.into_response())
}

/// What an operator says to all open sagas that call an upstream.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SaidToAll {
    act: ToAll,
    reason: String,
    upstream: String,
    before: Option<String>,
    limit: Option<usize>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum ToAll {
    Pause,
    Resume,
}

pub(super) async fn say_to_all(Shown(state): Shown<State>, Json(said): Json<SaidToAll>) -> Result<Response, Refused> {
    let before = said.before.as_deref().map(str::parse::<Cursor>).transpose()?;
    let act = match said.act {
        ToAll::Pause => Act::Pause,
        ToAll::Resume => Act::Resume,
    };
    let limit = limit(said.limit)?;
    let is_known = state.directory.load().upstreams().any(|upstream| upstream.config().name.as_str() == said.upstream);
    if !is_known {
        return Err(Refused::Invalid("there is no such upstream in the configuration".to_owned()));
    }
    let reached = state.operations.say_to_all(&said.upstream, &act, &said.reason, before, limit).await?;
    let (upstream, reason, act) = (&said.upstream, &said.reason, word(&act));
    tracing::warn!(target: "refrain::audit", upstream, act, reason, ?reached, "an operator spoke to the sagas of an upstream");
    Ok(Json(reached).into_response())
}

const fn word(act: &Act) -> &'static str {
    match act {
        Act::Retry { .. } => "retry",
        Act::ResolveDone { .. } => "done",
        Act::ResolveNotDone { .. } => "not-done",
        Act::ResolveUndone { .. } => "undone",
        Act::Compensate => "compensate",
        Act::Skip { .. } => "skip",
        Act::Pause => "pause",
        Act::Resume => "resume",
    }
}

fn limit(wanted: Option<usize>) -> Result<usize, Refused> {
    match wanted {
        None => Ok(PAGE),
        Some(limit @ 1..=MAX_PAGE) => Ok(limit),
        Some(_) => Err(Refused::Invalid(format!("limit: 1 to {MAX_PAGE}"))),
    }
}

fn parse_id(id: &str) -> Result<SagaId, Refused> {
    SagaId::from_hex(id).ok_or_else(|| Refused::Invalid("a saga's id has 32 hexadecimal digits".to_owned()))
}

fn parse_state(name: &str) -> Result<SagaState, Refused> {
    name.parse().map_err(|()| {
        let names = SagaState::ALL.map(SagaState::as_str).join(", ");
        Refused::Invalid(format!("state: one or more of {names}"))
    })
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let status = match &self {
            Self::NoSuchSaga => StatusCode::NOT_FOUND,
            Self::DoesNotApply(_) => StatusCode::CONFLICT,
            Self::Invalid(_) => StatusCode::BAD_REQUEST,
            Self::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        (status, Json(serde_json::json!({ "status": status.as_u16(), "title": self.to_string() }))).into_response()
    }
}
