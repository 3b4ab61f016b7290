//! `trigger`.

use http::Method;

use super::{
    Trigger,
    findings::Findings,
    limits,
    raw::{Idempotency, Raw},
};
use crate::{
    diagnostic::{Diagnostic, did_you_mean, quoted},
    yaml::Pointer,
};

/// Methods of requests that have an effect.
const METHODS: [&str; 4] = ["POST", "PUT", "PATCH", "DELETE"];
/// Methods of requests that have none (RFC 9110, section 9.2.1).
const SAFE: [&str; 4] = ["GET", "HEAD", "OPTIONS", "TRACE"];

/// What starts the saga. `None`: reported.
pub(super) fn trigger(raw: &Raw, at: &Pointer, findings: &mut Findings) -> Option<Trigger> {
    let written = raw.trigger.as_ref()?;
    let (text, key) = match (&written.route, &written.start) {
        (Some(route), None) => (route, "route"),
        (None, Some(start)) => (start, "start"),
        (Some(_), Some(_)) => {
            let place = findings.key_place(&at.child("start"));
            let message = "a saga is started at a `route` or by name (`start`), not by both";
            findings.add(Diagnostic::error("exclusive-keys", place, message).with_help("leave one out"));
            return None;
        }
        (None, None) => {
            if findings.is_whole(at) {
                let place = findings.key_place(at);
                let message = "nothing starts this saga";
                findings.add(Diagnostic::error("missing-key", place, message).with_help("write `route: POST /orders/`"));
            }
            return None;
        }
    };
    let at = at.child(key);
    let (method, path, path_at) = split(text, &at, findings)?;
    let sound = is_sound(path, &at, path_at, findings);
    let by_name = key == "start";
    if let Some(name) = raw.saga.as_ref().filter(|_| by_name) {
        let own = format!("/sagas/{name}");
        if method != Method::POST || path != own {
            findings.error("start", &at, "a saga is started by its own name", format!("write `POST {own}`"));
            return None;
        }
    }
    let key_required = written.idempotency != Some(Idempotency::Optional);
    sound.then(|| Trigger { method, path: path.to_owned(), by_name, key_required })
}

/// Method and path, and where that begins.
fn split<'t>(text: &'t str, at: &Pointer, findings: &mut Findings) -> Option<(Method, &'t str, usize)> {
    let (method, path) = text.split_once(' ').unwrap_or(("", text));
    let path_at = text.len() - path.len();
    let wrong = |findings: &mut Findings, message: String, help: String| {
        let place = findings.place_within(at, 0..method.len().max(1));
        findings.add(Diagnostic::error("invalid-value", place, message).with_help(help));
        None
    };
    if METHODS.contains(&method) {
        return Some((Method::from_bytes(method.as_bytes()).ok()?, path, path_at));
    }
    if SAFE.contains(&method) {
        let help = "a request that starts a saga has an effect: use POST, PUT, PATCH or DELETE".to_owned();
        return wrong(findings, format!("{method} is a safe method (RFC 9110, section 9.2.1)"), help);
    }
    if method.is_empty() {
        return wrong(findings, "the method is missing".to_owned(), format!("write `POST {path}`"));
    }
    let help = match did_you_mean(method, METHODS) {
        Some(meant) => format!("did you mean {meant}?"),
        None => "use POST, PUT, PATCH or DELETE".to_owned(),
    };
    wrong(findings, format!("{} is not a method that starts a saga", quoted(method)), help)
}

/// Requests are matched by their path decoded and without empty and dot segments: what is written otherwise would never match.
fn is_sound(path: &str, at: &Pointer, offset: usize, findings: &mut Findings) -> bool {
    let Err((message, help)) = check(path) else { return true };
    let place = findings.place_within(at, offset..offset + path.len());
    findings.add(Diagnostic::error("path", place, message).with_help(help));
    false
}

fn check(path: &str) -> Result<(), (String, String)> {
    let wrong = |message: &str, help: &str| Err((message.to_owned(), help.to_owned()));
    let Some(rest) = path.strip_prefix('/') else {
        return wrong("a path begins with `/`", "write it like POST /orders/");
    };
    if path.len() > limits::PATH_BYTES {
        return Err((format!("a path has at most {} bytes", limits::PATH_BYTES), "use a shorter one".to_owned()));
    }
    if path.contains(['?', '#']) {
        return wrong("a trigger's path has no query and no fragment", "leave it out: every query matches");
    }
    if path.contains('%') {
        return wrong("paths are compared decoded", "write the character itself instead of its `%` escape");
    }
    if path.contains(|c: char| c.is_control() || c.is_whitespace()) || path.contains('\\') {
        return wrong("a path has no white space, control characters or backslashes", "leave them out");
    }
    let mut names = Vec::new();
    let segments: Vec<&str> = rest.split('/').collect();
    for (index, segment) in segments.iter().enumerate() {
        if matches!(*segment, "." | "..") || (segment.is_empty() && index + 1 < segments.len()) {
            return wrong(
                "a path has no empty segments and no dot segments",
                "requests are matched without them: leave them out",
            );
        }
        if segment.contains(['{', '}', '*']) {
            placeholder(segment, &mut names)?;
        }
    }
    Ok(())
}

fn placeholder<'p>(segment: &'p str, names: &mut Vec<&'p str>) -> Result<(), (String, String)> {
    let help = "any one segment is written {name}, lower-case, as in /orders/{order_id}/".to_owned();
    let name = segment.strip_prefix('{').and_then(|name| name.strip_suffix('}'));
    let is_word = |name: &&str| {
        name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
            && name.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_')
    };
    let Some(name) = name.filter(is_word) else {
        return Err((format!("{} is no placeholder", quoted(segment)), help));
    };
    if names.contains(&name) {
        return Err((format!("the placeholder {} is there twice", quoted(name)), "give each its own name".to_owned()));
    }
    names.push(name);
    Ok(())
}
