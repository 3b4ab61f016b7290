//! Asking a service whether it did what nobody knows (rule 13).

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use saga_config::expr::{Bindings, Expression};
use serde_json::Value;

use super::{
    exchange::Sender,
    policy::{Probe, ProbeResponse},
    response::{Recorded, record},
    view::{body_value, headers_value},
};
use crate::{
    body::{Body, Budget, Collected, collect},
    claims::CallersHeader,
    upstream::{Call, SendError},
};

/// The largest answer that a probe reads.
const MAX_ANSWER: u64 = 256 * 1024;

/// What a probe found.
#[derive(Debug)]
pub enum Finding {
    /// The upstream had acted; this is to be recorded.
    Done(Box<Recorded>),
    /// It had not, as far as it knows now.
    NotDone,
    /// The probe cannot tell; why.
    CannotTell(String),
}

/// What to ask of a request in doubt.
#[derive(Debug)]
pub struct Question {
    /// Path and query.
    pub target: Uri,
    /// The request in doubt, as expressions see it.
    pub request: Value,
    /// Its key.
    pub key: Value,
}

/// The question by which a probe asks for a request with this key.
///
/// # Errors
///
/// Why the probe cannot tell for this request.
pub fn question(probe: &Probe, request: Value, key: &str) -> Result<Question, String> {
    let key = Value::String(key.to_owned());
    let known = Bindings::new().with("request", &request).with("key", &key);
    if let Some(when) = &probe.when {
        match when.eval_bool(&known) {
            Ok(true) => {}
            Ok(false) => return Err("`when` says that the probe cannot tell for this request".to_owned()),
            Err(error) => return Err(format!("`when`: {error}")),
        }
    }
    let target = probe.call.render(&known, &[]).map_err(|error| format!("the probe's path: {error}"))?;
    let target = Uri::try_from(target).map_err(|error| format!("the probe's path: {error}"))?;
    drop(known);
    Ok(Question { target, request, key })
}

/// The expressions that judge the answer and build the response from it.
pub fn expressions_of_answer(probe: &Probe) -> impl Iterator<Item = &Expression> {
    let response = probe.response.iter().flat_map(|response| [&response.status, &response.body]);
    std::iter::once(&probe.done).chain(response.flat_map(|template| template.expressions()))
}

/// Asks. `call` is the request on whose behalf it is asked, which is not sent. Bounded by [`Probe::timeout`].
pub async fn ask<U: Sender>(probe: &Probe, question: &Question, inner: U, call: &Call, budget: &Budget) -> Finding {
    match tokio::time::timeout(probe.timeout, send(probe, inner, call, question.target.clone(), budget)).await {
        Err(_) => Finding::CannotTell(format!("no answer within {:?}", probe.timeout)),
        Ok(Err(reason)) => Finding::CannotTell(reason),
        Ok(Ok((parts, body))) => judge(probe, &question.request, &question.key, parts, body),
    }
}

async fn send<U: Sender>(
    probe: &Probe,
    mut inner: U,
    call: &Call,
    target: Uri,
    budget: &Budget,
) -> Result<(http::response::Parts, Bytes), String> {
    let request = asking(probe, target, &call.request);
    let call = Call { upstream: std::sync::Arc::clone(&call.upstream), core: call.core, request, gate: None };
    std::future::poll_fn(|cx| inner.poll_ready(cx)).await.map_err(|error| in_words(&error))?;
    let response: Response<Body> = inner.call(call).await.map_err(|error| in_words(&error))?;
    let (parts, body) = response.into_parts();
    match collect(body, MAX_ANSWER, budget, None).await {
        Collected::Whole { bytes, .. } => Ok((parts, bytes)),
        Collected::Over(_) => Err(format!("its answer has more than {MAX_ANSWER} bytes")),
        Collected::NoBudget(_) => Err("too many bodies are held at once".to_owned()),
        Collected::Broken(error) => Err(format!("its answer broke off: {error}")),
        Collected::TimedOut => Err("its answer did not end in time".to_owned()),
    }
}

/// The request that asks, on behalf of `caller`: the service may answer each caller otherwise.
fn asking(probe: &Probe, target: Uri, caller: &Request<Body>) -> Request<Body> {
    let mut request = Request::new(Body::empty());
    *request.method_mut() = match probe.call.method() {
        saga_config::template::Method::Head => Method::HEAD,
        _ => Method::GET,
    };
    *request.uri_mut() = target;
    let callers = caller.extensions().get::<CallersHeader>().map(|header| header.0.clone());
    for name in [header::HOST, header::AUTHORIZATION].into_iter().chain(callers) {
        if let Some(value) = caller.headers().get(&name) {
            request.headers_mut().insert(name, value.clone());
        }
    }
    request.headers_mut().insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    request
}

fn in_words(error: &SendError) -> String {
    match error {
        SendError::NotSent(reason, _) => reason.to_string(),
        SendError::Unknown(reason) => reason.clone(),
    }
}

fn judge(probe: &Probe, request: &Value, key: &Value, parts: http::response::Parts, body: Bytes) -> Finding {
    let response = serde_json::json!({
        "status": parts.status.as_u16(),
        "headers": headers_value(&parts.headers),
        "body": body_value(&parts.headers, &body),
    });
    // A service in trouble knows nothing.
    if parts.status.is_server_error() || parts.status == StatusCode::TOO_MANY_REQUESTS {
        return Finding::CannotTell(format!("the service answered {}", parts.status));
    }
    let known = Bindings::new().with("request", request).with("key", key).with("response", &response);
    match probe.done.eval_bool(&known) {
        Ok(false) => Finding::NotDone,
        Err(error) => Finding::CannotTell(format!("`done`: {error}")),
        Ok(true) => match &probe.response {
            None => Finding::Done(Box::new(record(&parts, body, None, &[]))),
            Some(template) => {
                build(template, &known).map_or_else(Finding::CannotTell, |recorded| Finding::Done(Box::new(recorded)))
            }
        },
    }
}

fn build(template: &ProbeResponse, known: &Bindings<'_>) -> Result<Recorded, String> {
    let status = template.status.render(known).map_err(|error| format!("`response.status`: {error}"))?;
    let status =
        status.as_u64().and_then(|status| u16::try_from(status).ok()).and_then(|status| StatusCode::from_u16(status).ok());
    let status = status.ok_or("`response.status` is not an HTTP status")?;
    let body = template.body.render(known).map_err(|error| format!("`response.body`: {error}"))?;
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let (mut parts, ()) = Response::new(()).into_parts();
    (parts.status, parts.headers) = (status, headers);
    Ok(record(&parts, Bytes::from(body.to_string()), None, &[]))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use http::HeaderName;
    use saga_config::{expr::Names, template::CallTarget};

    use super::*;

    #[test]
    fn who_asks_says_on_whose_behalf_and_nothing_else() {
        let names = Names::new(&["key", "request", "response"]);
        let probe = Probe {
            when: None,
            call: CallTarget::parse("GET /orders/", &names).unwrap(),
            after: Duration::from_secs(1),
            done: Expression::compile("response.status == 200", &names).unwrap(),
            response: None,
            timeout: Duration::from_secs(1),
        };
        let payload = HeaderName::from_static("x-jwt-payload");
        let sent = Request::post("/orders/").header("host", "shop.example").header("authorization", "Bearer a.b.c");
        let mut sent = sent.header("x-jwt-payload", "b").header("cookie", "a=b").body(Body::empty()).unwrap();
        let asked = |caller: &Request<Body>| {
            let request = asking(&probe, "/orders/?reference=k".parse().unwrap(), caller);
            assert_eq!((request.method(), request.uri().to_string().as_str()), (&Method::GET, "/orders/?reference=k"));
            let mut names: Vec<_> = request.headers().keys().map(|name| name.as_str().to_owned()).collect();
            names.sort();
            names
        };
        assert_eq!(asked(&sent), ["accept", "authorization", "host"]);
        sent.extensions_mut().insert(CallersHeader(payload));
        assert_eq!(asked(&sent), ["accept", "authorization", "host", "x-jwt-payload"]);
    }
}
