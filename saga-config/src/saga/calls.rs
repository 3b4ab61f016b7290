//! Calls: of steps, of their undos, and of probes.

use std::time::Duration;

use super::{
    Auth, Call, Check, CheckResponse, Effect, Frozen, InDoubt, Outcome, Undo,
    build::{Builder, within},
    defaults::{on_exhausted, retry, timeout},
    limits, raw,
    response::transposed,
    scope::{Scope, Steps},
    secrets::Secrets,
};
use crate::{
    expr::{Expression, Key},
    template::{CallTarget, Method},
    yaml::Pointer,
};

/// How long a probe waits where nothing is known of the upstream: the default of its `max_execution`.
const AFTER: Duration = Duration::from_secs(5 * 60);

/// What a call is made of, as the file has it.
pub(super) struct Written<'r> {
    pub(super) call: &'r str,
    pub(super) body: Option<&'r serde_json::Value>,
    pub(super) headers: Option<&'r super::ordered::Ordered<String>>,
    pub(super) auth: Option<raw::Auth>,
    pub(super) timeout: Option<crate::units::DurationText>,
    pub(super) retry: Option<&'r raw::Retry>,
    pub(super) outcome: Option<&'r raw::Outcome>,
}

impl Builder<'_, '_> {
    /// A step's call. `None`: reported.
    pub(super) fn call(&mut self, written: &Written<'_>, at: &Pointer, steps: Steps) -> Option<Call> {
        let is_undo = matches!(steps, Steps::BeforeAndOwn(_));
        let scope = self.request(steps);
        let of_headers = if is_undo { scope.clone() } else { scope.clone().with_attempt() };
        let target = self.target(written.call, &at.child("call"), &scope);
        let headers = self.headers(written.headers, &at.child("headers"), &of_headers.with_secrets(Secrets::InHeader));
        let of_body = scope.clone().with_secrets(Secrets::InBody);
        let body = written.body.map(|body| self.value(body, &at.child("body"), &of_body));
        let outcome = self.outcome(written.outcome, &at.child("outcome"), &scope.answer());
        let retries = if is_undo { self.defaults.undo_retry } else { self.defaults.retry };
        let timeout = timeout(written.timeout, self.defaults.timeout, &at.child("timeout"), self.findings);
        let retry = retry(written.retry, retries, &at.child("retry"), self.findings);
        let auth = auth(written.auth);
        self.compare_with_credentials(headers.as_deref().unwrap_or_default(), auth, &at.child("auth"));
        let target = target?;
        self.know_upstream(&target, &at.child("call"));
        self.know_credentials(&target, auth, &at.child("auth"));
        Some(Call { target, headers: headers?, auth, body: transposed(body)?, timeout, retry, outcome: outcome? })
    }

    fn outcome(&mut self, written: Option<&raw::Outcome>, at: &Pointer, scope: &Scope) -> Option<Outcome> {
        let Some(written) = written else { return Some(Outcome::default()) };
        let failure = self.maybe(written.failure.as_ref(), &at.child("failure"), scope);
        let pending = self.maybe(written.pending.as_ref(), &at.child("pending"), scope);
        let success = self.maybe(written.success.as_ref(), &at.child("success"), scope);
        Some(Outcome { failure: failure?, pending: pending?, success: success? })
    }

    /// A probe. `None`: reported.
    pub(super) fn check_call(&mut self, written: &raw::Check, at: &Pointer, steps: Steps) -> Option<Check> {
        let scope = self.request(steps);
        let answered = scope.clone().answer();
        let target = written.call.as_ref().and_then(|call| self.target(call, &at.child("call"), &scope));
        let of_headers = scope.clone().with_secrets(Secrets::InHeader);
        let headers = self.headers(written.headers.as_ref(), &at.child("headers"), &of_headers);
        let done = written.done.as_ref().and_then(|done| self.expression(done, &at.child("done"), &answered));
        let response = written.response.as_ref().map(|response| {
            let at = at.child("response");
            let status = response.status.as_ref().and_then(|status| self.status(status, &at.child("status"), &answered));
            let body = response.body.as_ref().and_then(|body| self.value(body, &at.child("body"), &answered));
            Some(CheckResponse { status: status?, body: body? })
        });
        let timeout = timeout(written.timeout, self.defaults.timeout, &at.child("timeout"), self.findings);
        let auth = auth(written.auth);
        self.compare_with_credentials(headers.as_deref().unwrap_or_default(), auth, &at.child("auth"));
        let target = target?;
        if !matches!(target.method(), Method::Get | Method::Head) {
            let message = format!("a probe only asks, it does not act: {} could", target.method());
            self.findings.error("probe-acts", &at.child("call"), message, "use GET or HEAD");
        }
        let upstream = self.know_upstream(&target, &at.child("call"));
        self.know_credentials(&target, auth, &at.child("auth"));
        let max_execution = upstream.map_or(AFTER, |upstream| upstream.max_execution);
        let after_at = at.child("after");
        let after = written.after.and_then(|after| within(after, limits::SPAN, &after_at, self.findings));
        if upstream.is_some() {
            self.compare_with_execution(after, max_execution, &after_at);
        }
        Some(Check {
            target,
            headers: headers?,
            auth,
            after: after.unwrap_or(max_execution),
            timeout,
            done: done?,
            response: transposed(response)?,
        })
    }

    /// How a step is undone. `None`: reported.
    pub(super) fn undo(&mut self, written: &raw::Undo, at: &Pointer, step: usize) -> Option<Undo> {
        let parts = Written {
            call: written.call.as_deref()?,
            body: written.body.as_ref(),
            headers: written.headers.as_ref(),
            auth: written.auth,
            timeout: written.timeout,
            retry: written.retry.as_ref(),
            outcome: written.outcome.as_ref(),
        };
        let call = self.call(&parts, at, Steps::BeforeAndOwn(step));
        let in_doubt = match &written.in_doubt {
            None | Some(raw::UndoInDoubt::Resend) => Some(InDoubt::Resend),
            Some(raw::UndoInDoubt::Check(check)) => {
                let at = at.child("in_doubt").child("check");
                self.check_call(check, &at, Steps::BeforeAndOwn(step)).map(|check| InDoubt::Check(Box::new(check)))
            }
        };
        let effect = match written.effect {
            Some(raw::UndoEffect::Idempotent) => Effect::Idempotent,
            Some(raw::UndoEffect::Once) | None => Effect::Once,
        };
        let on_exhausted = on_exhausted(written.on_exhausted, self.defaults.on_exhausted);
        let in_doubt_is_own = written.in_doubt.is_some();
        let mut undo =
            Undo { call: call?, effect, in_doubt: in_doubt?, in_doubt_is_own, frozen: Frozen::WithIntent, on_exhausted };
        let id = self.plan.nodes[step].id.as_ref()?;
        if undo.expressions().any(|expression| reads(expression, id.as_str())) {
            undo.frozen = Frozen::WithAnswer;
        }
        Some(undo)
    }
}

/// Whether an expression reads an output of the step.
fn reads(expression: &Expression, id: &str) -> bool {
    expression.references().iter().any(|reference| {
        let first = reference.segments().first().map(|segment| &segment.key);
        reference.root() == "steps" && first.is_none_or(|key| matches!(key, Key::Field(name) if name == id))
    })
}

fn auth(written: Option<raw::Auth>) -> Auth {
    match written {
        Some(raw::Auth::Service) => Auth::Service,
        Some(raw::Auth::None) | None => Auth::None,
    }
}

fn of_target(target: &CallTarget) -> impl Iterator<Item = &Expression> {
    target.template().expressions().map(|(expression, _)| expression)
}

impl Undo {
    /// Everything that is evaluated to make the call and to judge it.
    fn expressions(&self) -> impl Iterator<Item = &Expression> {
        let Outcome { failure, pending, success } = &self.call.outcome;
        let headers = self.call.headers.iter().flat_map(|(_, header)| header.expressions().map(|(expression, _)| expression));
        let body = self.call.body.iter().flat_map(|body| body.expressions());
        let check = match &self.in_doubt {
            InDoubt::Check(check) => check.expressions(),
            InDoubt::Resend | InDoubt::Compensate | InDoubt::Barrier | InDoubt::Manual => Vec::new(),
        };
        of_target(&self.call.target).chain(headers).chain(body).chain(failure).chain(pending).chain(success).chain(check)
    }
}

impl Check {
    fn expressions(&self) -> Vec<&Expression> {
        let headers = self.headers.iter().flat_map(|(_, header)| header.expressions().map(|(expression, _)| expression));
        let response = self.response.iter().flat_map(|response| [&response.status, &response.body]);
        let response = response.flat_map(|value| value.expressions());
        of_target(&self.target).chain(headers).chain([&self.done]).chain(response).collect()
    }
}
