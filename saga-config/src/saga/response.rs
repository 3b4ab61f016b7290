//! `response`: what the caller gets.

use std::time::Duration;

use serde_json::{Map, Value};

use super::{
    Reply, Responses,
    build::{Builder, within},
    limits, raw,
    raw::Status,
    scope::{self, Scope},
};
use crate::{diagnostic::Diagnostic, yaml::Pointer};

/// How long a caller waits, where nothing is written.
const PENDING: Duration = Duration::from_secs(10);

impl Builder<'_, '_> {
    /// `None`: reported.
    pub(super) fn responses(&mut self, written: Option<&raw::Responses>, at: &Pointer) -> Option<Responses> {
        let none = raw::Responses::default();
        let written = written.unwrap_or(&none);
        let completed = self.reply(written.completed.as_ref(), 200, &at.child("completed"), &scope::COMPLETED);
        let compensated = self.reply(written.compensated.as_ref(), 409, &at.child("compensated"), &scope::FAILED);
        let quarantined = self.reply(written.quarantined.as_ref(), 500, &at.child("quarantined"), &scope::FAILED);
        let after = written.pending.as_ref().and_then(|pending| pending.after);
        let pending_at = at.child("pending").child("after");
        let pending_after = after.and_then(|after| within(after, limits::PENDING, &pending_at, self.findings));
        Some(Responses {
            completed: completed?,
            compensated: compensated?,
            quarantined: quarantined?,
            pending_after: pending_after.unwrap_or(PENDING),
        })
    }

    /// `None`: reported; `Some(None)`: nothing written.
    fn reply(&mut self, written: Option<&raw::Reply>, status: u16, at: &Pointer, scope: &Scope) -> Option<Option<Reply>> {
        let Some(written) = written else { return Some(None) };
        let status = self.status(written.status.as_ref().unwrap_or(&Status::Number(status)), &at.child("status"), scope);
        let headers = self.headers(written.headers.as_ref(), &at.child("headers"), scope);
        let body = written.body.as_ref().map(|body| self.value(body, &at.child("body"), scope));
        let problem = written.problem.as_ref().map(|problem| {
            let members = problem.0.iter().cloned().collect::<Map<_, _>>();
            self.value(&Value::Object(members), &at.child("problem"), scope)
        });
        if body.is_some() && problem.is_some() {
            let place = self.findings.key_place(&at.child("problem"));
            let message = "an answer has a `body` or a `problem`, not both";
            self.findings.add(Diagnostic::error("exclusive-keys", place, message).with_help("leave one out"));
        }
        if written.problem.iter().flat_map(|problem| &problem.0).any(|(name, _)| name == "status") {
            let at = at.child("problem").child("status");
            self.means_nothing(&at, "a problem's `status` is that of the answer", "write `status` beside `problem`");
        }
        Some(Some(Reply { status: status?, headers: headers?, body: transposed(body)?, problem: transposed(problem)? }))
    }
}

/// What is written has to be sound.
pub(super) fn transposed<T>(written: Option<Option<T>>) -> Option<Option<T>> {
    match written {
        None => Some(None),
        Some(sound) => sound.map(Some),
    }
}
