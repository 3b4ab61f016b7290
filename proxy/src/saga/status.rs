//! Where a saga stands, for who started it: state, steps, and its answer once it has ended.
//!
//! Any replica answers. Whoever is not the starter, by the same scope that names its sagas, learns nothing: not even that there is
//! such a saga. Who asks for `text/event-stream` is told of every change ([`events`]). Outputs and reasons are not shown: they may tell what the services say to each other.

use std::sync::Arc;

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, Uri,
    header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, VARY},
};
use serde_json::{Value, json};

use super::{
    call::Caller,
    engine::Engine,
    events, operate,
    plan::{Plan, STATUS_PATH},
    turn::StepView,
};
use crate::{
    body::Body,
    idempotency::{intake, name, policy::Policy, response::Answer, verdict::CallKind, view},
    ids::SagaId,
    problem::{Problem, ProblemName},
    store::{
        Store,
        journal::{Head, Journal, Loaded},
    },
};

/// The saga whose status a request asks for. Without sagas the path is an ordinary one.
pub fn asked_for(plan: &Plan, method: &Method, uri: &Uri) -> Option<SagaId> {
    if plan.definitions.is_empty() || !matches!(*method, Method::GET | Method::HEAD) {
        return None;
    }
    SagaId::from_hex(uri.path().strip_prefix(STATUS_PATH)?)
}

impl<S: Store + Journal, C: Caller> Engine<S, C> {
    /// The status of a saga. `policy_of` gives the policy of the trigger of the saga with this name: its scope counts.
    pub async fn status(
        &self,
        id: SagaId,
        request: &Request<Body>,
        policy_of: impl FnOnce(&str) -> Arc<Policy>,
    ) -> Response<Body> {
        let found = match self.look(id, request, policy_of).await {
            Ok(loaded) if events::are_wanted(request.headers()) && request.method() == Method::GET => {
                self.stream(id, request.headers(), loaded)
            }
            Ok(loaded) => Ok(self.as_it_stands(id, &loaded).await),
            Err(problem) => Err(problem),
        };
        match found {
            Ok(response) => response,
            Err(problem) => problem.into_response(crate::idempotency::marker::Dialect::Ietf).map(Body::full),
        }
    }

    /// The saga, for its starter.
    async fn look(
        &self,
        id: SagaId,
        request: &Request<Body>,
        policy_of: impl FnOnce(&str) -> Arc<Policy>,
    ) -> Result<Loaded, Problem> {
        let lost = |error| {
            tracing::warn!(saga = %id, %error, "the store did not say how a saga stands");
            Problem::new(ProblemName::StoreLost, "the store of sagas cannot be reached")
        };
        let absent = || Problem::new(ProblemName::NotFound, "there is no such saga, or it is not yours");
        let hash_key = self.context.store.hash_key().await.map_err(lost)?;
        let loaded = self.context.store.load(id).await.map_err(lost)?.ok_or_else(absent)?;
        let policy = policy_of(&loaded.head.birth.name);
        let empty = Bytes::new();
        let scope = intake::scope(request.headers(), &policy, CallKind::Client, &view::RequestView::new(request, &empty));
        let starter = scope.map(|scope| name::saga_starter(&hash_key, &scope)).map_err(|_| absent())?;
        if starter == loaded.head.birth.starter { Ok(loaded) } else { Err(absent()) }
    }

    async fn as_it_stands(&self, id: SagaId, loaded: &Loaded) -> Response<Body> {
        let shown = self.shown(id, &loaded.head, &loaded.entries).await;
        let mut response = Response::new(Body::full(Bytes::from(shown.to_string())));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(VARY, HeaderValue::from_static("accept"));
        if !loaded.head.state.is_end() {
            headers.insert(RETRY_AFTER, HeaderValue::from(1_u32));
        }
        response
    }

    /// Where a saga stands, as its starter sees it.
    pub(super) async fn shown(&self, id: SagaId, head: &Head, entries: &[Bytes]) -> Value {
        let mut shown = json!({
            "saga": head.birth.name,
            "version": head.birth.version,
            "id": id.to_string(),
            "state": head.state.as_str(),
            "started_unix_ms": head.birth.created_at.as_unix_ms(),
            "updated_unix_ms": head.updated_at.as_unix_ms(),
        });
        if let Some(steps) = self.steps(id, head, entries).await {
            shown["steps"] = Value::Array(steps);
        }
        if let Some(answer) = head.answer.as_ref().filter(|_| head.state.is_end()) {
            match self.codec.read_answer(id, head.version, &answer.bytes) {
                Ok(answer) => shown["response"] = response_value(&answer),
                Err(error) => tracing::error!(saga = %id, %error, "a saga's answer cannot be read"),
            }
        }
        shown
    }

    /// The steps as the starter sees them; `None`: they cannot be had here.
    async fn steps(&self, id: SagaId, head: &Head, stored: &[Bytes]) -> Option<Vec<Value>> {
        let (definitions, plan) = (&self.common.definitions, self.plan.load_full());
        let folded = operate::fold(&self.codec, definitions, &plan, &self.context.store, id, head, stored).await;
        let folded = folded.inspect_err(|reason| {
            tracing::warn!(saga = %id, reason, "a saga's steps cannot be shown");
        });
        let shown =
            |step: StepView| json!({"step": step.step.as_str(), "state": step.state, "undo": step.undo, "starts": step.starts});
        folded.ok().map(|(machine, _)| machine.view().into_iter().map(shown).collect())
    }
}

/// An answer as a value: the body as JSON where it says that it is, as a text otherwise.
fn response_value(answer: &Answer) -> Value {
    let headers: &HeaderMap = &answer.headers;
    let mut value = json!({"status": answer.status.as_u16(), "headers": view::headers_value(headers)});
    if !answer.body.is_empty() {
        value["body"] = view::body_value(headers, &answer.body);
    }
    value
}
