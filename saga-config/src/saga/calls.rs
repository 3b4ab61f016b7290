//! Calls: of steps, of their undos, and of probes.

use std::time::Duration;

use super::{
    Auth, Call, Check, CheckResponse, Effect, Frozen, InDoubt, Outcome, Undo,
    build::{Builder, within},
    defaults::{on_exhausted, retry, timeout},
    limits, raw,
    response::transposed,
    scope::{ACCEPTED, Scope, Steps},
    secrets::Secrets,
};
use crate::{
    expr::{Expression, Key, Reference},
    template::{CallTarget, Method},
    yaml::Pointer,
};

/// How long a probe waits where nothing is known of the upstream: the default of its `max_execution`.
const AFTER: Duration = Duration::from_secs(5 * 60);

/// What a call is made of, as the file has it.
pub(super) struct Written<'r> {
    /// The key of the target.
    key: &'static str,
    call: &'r str,
    body: Option<&'r serde_json::Value>,
    headers: Option<&'r super::ordered::Ordered<String>>,
    auth: Option<raw::Auth>,
    timeout: Option<crate::units::DurationText>,
    retry: Option<&'r raw::Retry>,
    outcome: Option<&'r raw::Outcome>,
}

/// The parts of something that is written as a call.
macro_rules! written {
    ($raw:ident, $key:ident) => {
        Some(Written {
            key: stringify!($key),
            call: $raw.$key.as_deref()?,
            body: $raw.body.as_ref(),
            headers: $raw.headers.as_ref(),
            auth: $raw.auth,
            timeout: $raw.timeout,
            retry: $raw.retry.as_ref(),
            outcome: $raw.outcome.as_ref(),
        })
    };
}

impl<'r> Written<'r> {
    /// Whether somebody is asked to call back.
    fn asks_for_callback(&self) -> bool {
        self.key == "send"
    }

    pub(super) fn of_step(raw: &'r raw::Step) -> Option<Self> {
        written!(raw, call)
    }

    pub(super) fn of_send(raw: &'r raw::Send) -> Option<Self> {
        written!(raw, send)
    }

    fn of_undo(raw: &'r raw::Undo) -> Option<Self> {
        written!(raw, call)
    }
}

impl Builder<'_, '_> {
    /// A step's call. `None`: reported.
    pub(super) fn call(&mut self, written: &Written<'_>, at: &Pointer, steps: Steps) -> Option<Call> {
        let is_undo = matches!(steps, Steps::BeforeAndOwn(_));
        let scope = self.request(steps);
        let judged = match steps {
            Steps::Before(step) if !written.asks_for_callback() && self.plan.nodes[step].is_accepted_first() => {
                scope.clone().answer().with_accepted()
            }
            _ => scope.clone().answer(),
        };
        let scope = if written.asks_for_callback() { scope.asking_for_callback() } else { scope };
        let of_headers = if is_undo { scope.clone() } else { scope.clone().with_attempt() };
        let at_target = at.child(written.key);
        let target = self.target(written.call, &at_target, &scope);
        let headers = self.headers(written.headers, &at.child("headers"), &of_headers.with_secrets(Secrets::InHeader));
        let of_body = scope.with_secrets(Secrets::InBody);
        let body = written.body.map(|body| self.value(body, &at.child("body"), &of_body));
        let outcome = self.outcome(written.outcome, &at.child("outcome"), &judged);
        let retries = if is_undo { self.defaults.undo_retry } else { self.defaults.retry };
        let timeout = timeout(written.timeout, self.defaults.timeout, &at.child("timeout"), self.findings);
        let retry = retry(written.retry, retries, &at.child("retry"), self.findings);
        let auth = auth(written.auth);
        self.compare_with_credentials(headers.as_deref().unwrap_or_default(), auth, &at.child("auth"));
        let target = target?;
        self.know_upstream(&target, &at_target);
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
        let parts = Written::of_undo(written)?;
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
        let node = &self.plan.nodes[step];
        let id = node.id.as_ref()?.as_str();
        let own: Vec<&Reference> = undo.expressions().flat_map(|expression| own_outputs(expression, id)).collect();
        let is_acceptance = |reference: &&Reference| node.is_accepted_first() && is_of_acceptance(reference);
        undo.frozen = match own.as_slice() {
            [] => Frozen::WithIntent,
            own if own.iter().all(is_acceptance) => Frozen::WithAcceptance,
            _ => Frozen::WithAnswer,
        };
        Some(undo)
    }
}

/// What an expression reads of the outputs of the step, all of them included.
fn own_outputs<'e>(expression: &'e Expression, id: &'e str) -> impl Iterator<Item = &'e Reference> {
    expression.references().iter().filter(move |reference| {
        let first = reference.segments().first().map(|segment| &segment.key);
        reference.root() == "steps" && first.is_none_or(|key| matches!(key, Key::Field(name) if name == id))
    })
}

/// Whether a path into a step's outputs leads to the answer that accepted.
fn is_of_acceptance(reference: &Reference) -> bool {
    reference.segments().get(1).is_some_and(|segment| matches!(&segment.key, Key::Field(name) if name == ACCEPTED))
}

pub(super) fn auth(written: Option<raw::Auth>) -> Auth {
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
        let check = match &self.in_doubt {
            InDoubt::Check(check) => check.expressions(),
            InDoubt::Resend | InDoubt::Compensate | InDoubt::Barrier | InDoubt::Manual => Vec::new(),
        };
        self.call.expressions().chain(failure).chain(pending).chain(success).chain(check)
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
