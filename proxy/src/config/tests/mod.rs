//! What loading promises.
#![allow(clippy::unwrap_used)]

mod authentication;
mod defaults;
mod idempotency;
mod mistakes;
mod overrides;
mod properties;
mod sagas;
mod secrets;
mod sound;

use std::path::Path;

use saga_config::diagnostic::{Colour, Diagnostic, Source, render};

use super::{
    Config,
    load::{Loaded, Overrides, from_source},
    secrets::Surroundings,
};
use crate::idempotency::policy::Policy;

/// An environment with a home.
fn env(name: &str) -> Option<String> {
    match name {
        "HOME" => Some("/home/shop".to_owned()),
        "SEAL" => Some("0".repeat(64)),
        "TOKEN" => Some("a-bearer-token".to_owned()),
        "TWO_WORDS" => Some("Bearer a-bearer-token".to_owned()),
        "PEERS" => Some("a shared key of peers".to_owned()),
        _ => None,
    }
}

fn try_load(text: &str) -> Result<Loaded, Vec<Diagnostic>> {
    let around = Surroundings { folder: Path::new("/etc/refrain"), env: &env };
    from_source(Some(&Source::new("refrain.yaml", text)), &Overrides::default(), around)
}

#[track_caller]
fn loaded(text: &str) -> Loaded {
    try_load(text).map_err(|found| render(&found, Colour::Never)).unwrap()
}

#[track_caller]
fn config(text: &str) -> Config {
    loaded(text).config
}

/// What is wrong, one line each, without the file's name.
#[track_caller]
fn mistakes(text: &str) -> Vec<String> {
    let found = try_load(text).map(|_| ()).unwrap_err();
    lines(found.iter().filter(|found| found.severity() == saga_config::diagnostic::Severity::Error))
}

/// What is allowed and probably not meant, but for the warning about the default scope.
#[track_caller]
fn warnings(text: &str) -> Vec<String> {
    lines(loaded(text).warnings.iter().filter(|found| found.code() != "scope-by-token"))
}

fn lines<'a>(found: impl Iterator<Item = &'a Diagnostic>) -> Vec<String> {
    found.map(|found| found.to_string().trim_start_matches("refrain.yaml:").to_owned()).collect()
}

#[track_caller]
fn one_mistake(text: &str, expected: &str) {
    assert_eq!(mistakes(text), [expected]);
}

const LOCAL: &str = "upstreams: {orders: {url: http://127.0.0.1:8001, local: true}}\n";

/// The policy of everything, with `idempotency` written so.
#[track_caller]
fn policy(idempotency: &str) -> Policy {
    let config = config(&format!("{LOCAL}idempotency: {idempotency}\n"));
    Policy::clone(config.fallback.unwrap().policy.as_ref().unwrap())
}
