//! `on_unknown: {probe: …}`.

use std::time::Duration;

use saga_config::{
    diagnostic::Diagnostic,
    expr::Names,
    template::{CallTarget, Method, Target, ValueTemplate},
    units::DurationText,
    yaml::Pointer,
};
use serde_json::Value;

use super::About;
use crate::{
    config::{
        Access,
        expressions::{check_fields, condition, expression, names, template},
        findings::Findings,
        limits::positive,
        raw::idempotency::{self as raw, ProbeStatus},
    },
    idempotency::policy::{Probe, ProbeResponse},
};

const TIMEOUT: Duration = Duration::from_secs(5);

/// The probe written at `at`. `None`: reported.
pub(super) fn probe(
    written: &raw::Probe,
    at: &Pointer,
    max_execution: Duration,
    about: &About<'_>,
    findings: &mut Findings,
) -> Option<Probe> {
    let asked = names(&["key", "request"]);
    let answered = names(&["key", "request", "response"]);
    let when = written.when.as_ref().map(|when| condition(when, &at.child("when"), &asked, findings));
    let call = written.call.as_ref().and_then(|call| call_target(call, &at.child("call"), &asked, about, findings));
    let done = written.done.as_ref().and_then(|done| condition(done, &at.child("done"), &answered, findings));
    let response = written.response.as_ref().map(|response| self::response(response, &at.child("response"), &answered, findings));
    let after = after(written.after, &at.child("after"), max_execution, findings);
    let timeout = positive(written.timeout, TIMEOUT, &at.child("timeout"), findings);
    let call = call?;
    let uses_key = call.template().expressions().any(|(expression, _)| expression.touches(&["key"]));
    if uses_key && written.when.is_none() && about.access != Access::Saga && findings.is_whole(at) {
        let message = "this call uses `key`, which any client can choose: it could ask for what another request did";
        let diagnostic = Diagnostic::error("probe-needs-when", findings.place(&at.child("call")), message)
            .with_help("say with `when` for which requests the service can tell, or set `access: saga` for the route");
        findings.add(diagnostic);
    }
    // `when` and `response` are sound if they are there: an inner `None` has been reported.
    Some(Probe { when: transposed(when)?, call, after, done: done?, response: transposed(response)?, timeout })
}

fn transposed<T>(written: Option<Option<T>>) -> Option<Option<T>> {
    match written {
        None => Some(None),
        Some(sound) => sound.map(Some),
    }
}

fn call_target(text: &str, at: &Pointer, names: &Names, about: &About<'_>, findings: &mut Findings) -> Option<CallTarget> {
    let call = match CallTarget::parse(text, names) {
        Ok(call) => call,
        Err(error) => {
            findings.template_error(at, 0, error);
            return None;
        }
    };
    if !matches!(call.method(), Method::Get | Method::Head) {
        let message = format!("a probe only asks, it does not act: {} could", call.method().as_str());
        findings.error("probe-acts", at, message, "use GET or HEAD");
        return None;
    }
    if let Some(upstream) = call.upstream().filter(|upstream| upstream.as_str() != about.upstream.name.as_str()) {
        let message = format!("a probe asks the route's own upstream, `{}`, not `{upstream}`", about.upstream.name);
        findings.error("probe-elsewhere", at, message, "leave the upstream's name out");
        return None;
    }
    let sound = check_fields(call.template().expressions(), at, call.target_offset(), findings);
    if matches!(call.target(), Target::Reference(_)) {
        findings.error("probe-target", at, "a probe's path begins with `/`", "write it like GET /orders/?reference=${key}");
        return None;
    }
    sound.then_some(call)
}

/// "Not done" counts after this long. Earlier, the request may still be under way.
fn after(written: Option<DurationText>, at: &Pointer, max_execution: Duration, findings: &mut Findings) -> Duration {
    let Some(after) = written.map(DurationText::get) else { return max_execution };
    if after < max_execution {
        let longest = super::shown(max_execution);
        findings.warning(
            "probe-too-early",
            at,
            format!("a request may act for `max_execution`, {longest}: a \"not done\" before that may be wrong, and it would act twice"),
            format!("leave `after` out, or write at least {longest}"),
        );
    }
    after
}

fn response(written: &raw::ProbeResponse, at: &Pointer, names: &Names, findings: &mut Findings) -> Option<ProbeResponse> {
    let status = match written.status.as_ref()? {
        ProbeStatus::Number(status) => value(&Value::from(*status), &at.child("status"), names, findings),
        ProbeStatus::Text(text) => expression(text, &at.child("status"), names, findings)
            .and_then(|_| value(&Value::from(text.as_str()), &at.child("status"), names, findings)),
    };
    let body = value(written.body.as_ref()?, &at.child("body"), names, findings);
    Some(ProbeResponse { status: status?, body: body? })
}

fn value(value: &Value, at: &Pointer, names: &Names, findings: &mut Findings) -> Option<ValueTemplate> {
    match ValueTemplate::parse(value, names) {
        Ok(parsed) => check_texts(value, at, names, findings).then_some(parsed),
        Err(errors) => {
            for error in errors {
                let inner = error.pointer.split('/').skip(1).fold(at.clone(), |at, token| at.child(unescaped(token)));
                findings.template_error(&inner, 0, error.error);
            }
            None
        }
    }
}

/// Whether every text in `value` reads only what there is. As deep as the file nests at most.
fn check_texts(value: &Value, at: &Pointer, names: &Names, findings: &mut Findings) -> bool {
    match value {
        Value::String(text) => template(text, at, names, findings).is_some(),
        Value::Array(items) => {
            let items = items.iter().enumerate();
            items.fold(true, |sound, (index, item)| check_texts(item, &at.child(index), names, findings) && sound)
        }
        Value::Object(entries) => {
            entries.iter().fold(true, |sound, (key, value)| check_texts(value, &at.child(key), names, findings) && sound)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => true,
    }
}

/// A reference token as it is in the document (RFC 6901, section 4).
fn unescaped(token: &str) -> String {
    token.replace("~1", "/").replace("~0", "~")
}
