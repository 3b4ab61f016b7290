//! What the caller gets in the end.
//!
//! The books count more than the answer: a saga whose answer cannot be rendered ends as it ends. Its caller gets the default then, and
//! whoever asks is told why ([`Rendered::fault`]).

use saga_config::saga::Reply;
use serde_json::{Map, Value, json};

use super::{Fault, Reach, Scope, headers};
use crate::saga::{entry::Turning, state::Forward, turn::FinalAnswer};

/// An answer, and why it is not the one that the definition has.
pub(in super::super) struct Rendered {
    pub(in super::super) answer: FinalAnswer,
    pub(in super::super) fault: Option<Fault>,
}

/// Every step is done. By default, and where the definition's answer cannot be rendered: 200 with no body.
pub(in super::super) fn completed(scope: Scope<'_>) -> Rendered {
    let default = FinalAnswer { status: 200, headers: Vec::new(), body: None, is_problem: false };
    rendered(scope, scope.definition.response.completed.as_ref(), None, "Done", default)
}

/// What was done is undone. By default, and where the definition's answer cannot be rendered: a 409 problem.
pub(in super::super) fn compensated(scope: Scope<'_>) -> Rendered {
    let title = "The request was not carried out";
    let default = problem(Map::new(), 409, title, Some("What was done is undone."));
    rendered(scope, scope.definition.response.compensated.as_ref(), Some(&failure(scope)), title, default)
}

/// An operator must look. By default, and where the definition's answer cannot be rendered: a 500 problem.
pub(in super::super) fn quarantined(scope: Scope<'_>) -> Rendered {
    let title = "The saga waits for an operator";
    let default = problem(Map::new(), 500, title, None);
    rendered(scope, scope.definition.response.quarantined.as_ref(), Some(&failure(scope)), title, default)
}

fn rendered(scope: Scope<'_>, reply: Option<&Reply>, failure: Option<&Value>, title: &str, default: FinalAnswer) -> Rendered {
    let Some(reply) = reply else { return Rendered { answer: default, fault: None } };
    match render(scope, reply, failure, title) {
        Ok(answer) => Rendered { answer, fault: None },
        Err(fault) => Rendered { answer: default, fault: Some(fault) },
    }
}

impl Scope<'_> {
    /// What a sub-saga gives, to the step that runs it: `status` and `body`, those of its answer when every step is done. By default 200
    /// and `null`.
    pub(in super::super) fn outcome_of_sub_saga(self, reach: Reach, reply: Option<&Reply>) -> Result<Map<String, Value>, Fault> {
        let known = self.known(reach);
        let known = known.bindings();
        let status = reply.map(|reply| reply.status.render(&known)).transpose().map_err(|error| format!("`status`: {error}"))?;
        let status = status.map_or(Some(200), |status| as_status(&status)).ok_or("`status` is not a number from 200 to 599")?;
        let body = reply.and_then(|reply| reply.body.as_ref().or(reply.problem.as_ref()));
        let body = body.map(|body| body.render(&known)).transpose().map_err(|error| format!("`body`: {error}"))?;
        let body = body.unwrap_or_default();
        Ok(Map::from_iter([("status".to_owned(), json!(status)), ("body".to_owned(), body)]))
    }
}

fn render(scope: Scope<'_>, reply: &Reply, failure: Option<&Value>, title: &str) -> Result<FinalAnswer, Fault> {
    let known = scope.known(Reach::All);
    let known = match failure {
        None => known.bindings(),
        Some(failure) => known.bindings().with("failure", failure),
    };
    let status = reply.status.render(&known).map_err(|error| format!("`status`: {error}"))?;
    let status = as_status(&status).ok_or("`status` is not a number from 200 to 599")?;
    let headers = headers(&reply.headers, &known)?.plain;
    if let Some(members) = &reply.problem {
        return match members.render(&known).map_err(|error| format!("`problem`: {error}"))? {
            Value::Object(members) => Ok(FinalAnswer { headers, ..problem(members, status, title, None) }),
            _ => Err("`problem` is not a map".to_owned()),
        };
    }
    let body = reply.body.as_ref().map(|body| body.render_text(&known));
    let body = body.transpose().map_err(|error| format!("`body`: {error}"))?;
    Ok(FinalAnswer { status, headers, body, is_problem: false })
}

/// A final status: interim ones (RFC 9110, section 15.2) are none.
fn as_status(value: &Value) -> Option<u16> {
    let status = match value {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    status.and_then(|status| u16::try_from(status).ok()).filter(|status| (200..=599).contains(status))
}

/// A problem document (RFC 9457, section 3.1): what the definition leaves out is filled in.
fn problem(members: Map<String, Value>, status: u16, title: &str, detail: Option<&str>) -> FinalAnswer {
    let mut document = Map::new();
    document.insert("type".to_owned(), json!("about:blank"));
    document.insert("title".to_owned(), json!(title));
    document.insert("status".to_owned(), json!(status));
    if let Some(detail) = detail {
        document.insert("detail".to_owned(), json!(detail));
    }
    document.extend(members);
    FinalAnswer { status, headers: Vec::new(), body: Some(Value::Object(document).to_string()), is_problem: true }
}

/// What `failure` stands for.
fn failure(scope: Scope<'_>) -> Value {
    match &scope.state.turned {
        Some(Turning::Failure { step, status, reason }) => json!({"step": step.as_str(), "status": status, "reason": reason}),
        Some(Turning::Deadline) => json!({"step": "", "status": 0, "reason": "the deadline passed"}),
        Some(Turning::Operator) => json!({"step": "", "status": 0, "reason": "an operator said so"}),
        None => {
            let reason = scope.state.quarantined.as_deref().unwrap_or_default();
            let stuck = (0..scope.state.instances.len()).find(|i| scope.state.is_stuck(scope.definition, *i));
            let (name, status) = stuck.map_or(("", 0), |i| match scope.state.steps[i].forward {
                Forward::Refused { status } => (scope.state.instances.path(i).as_str(), status),
                _ => (scope.state.instances.path(i).as_str(), 0),
            });
            json!({"step": name, "status": status, "reason": reason})
        }
    }
}
