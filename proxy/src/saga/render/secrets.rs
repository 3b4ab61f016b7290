//! Secrets in bodies. Those in headers are put in by who sends.

use std::{collections::BTreeMap, sync::Arc};

use saga_config::{
    expr::{Bindings, Expression},
    saga::Call,
    template::{self, ValueTemplate},
};
use serde_json::Value;

use super::{Fault, HeaderPart, Upstreams};

/// Whether a call's body has a secret in it: rendered again it could be another.
pub(in super::super) fn body_holds_secrets(call: &Call) -> bool {
    call.body.as_ref().is_some_and(ValueTemplate::has_secrets)
}

/// A body, with secrets as they are now.
pub(super) fn body(body: &ValueTemplate, known: Bindings<'_>, upstreams: &dyn Upstreams) -> Result<String, Fault> {
    if !body.has_secrets() {
        return body.render_text(&known).map_err(|error| format!("the body: {error}"));
    }
    let mut secrets = BTreeMap::new();
    for used in body.expressions().into_iter().flat_map(Expression::secrets) {
        let name = used.name.as_str();
        let secret = upstreams.secret(name).ok_or_else(|| format!("the body: there is no secret `{name}` now"))?;
        secrets.insert(name.to_owned(), Value::String(secret));
    }
    let helper = move |arguments: &[Value]| {
        let named = arguments.first().and_then(Value::as_str).and_then(|name| secrets.get(name));
        named.cloned().ok_or_else(|| "there is no such secret".to_owned())
    };
    let known = known.with_helper("secret", Arc::new(helper));
    body.render_text(&known).map_err(|error| format!("the body: {error}"))
}

impl From<template::HeaderPart> for HeaderPart {
    fn from(part: template::HeaderPart) -> Self {
        match part {
            template::HeaderPart::Text(text) => Self::Text(text),
            template::HeaderPart::Secret(name) => Self::Secret(name),
        }
    }
}
