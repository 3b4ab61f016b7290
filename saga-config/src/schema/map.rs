//! Maps against their schema: known keys, missing keys.

use std::collections::HashSet;

use serde_json::Value;

use super::expected::any_of;
use super::rules::{Rules, properties, required};
use super::scalar;
use super::walk::{Around, Checker};
use crate::diagnostic::{did_you_mean, quoted};
use crate::yaml::{Entry, Key};

/// The most known keys that a message lists.
const MAX_LISTED: usize = 24;

/// `properties`, `required`, `additionalProperties`, `propertyNames`, `minProperties` and `maxProperties`.
pub(super) fn entries<'a>(checker: &mut Checker<'a>, entries: &'a [Entry], schema: &'a Value, around: Around<'_>) -> bool {
    let known = properties(schema);
    if let Some(known) = known {
        checker.around.push(known);
    }
    let given: HashSet<&str> = entries.iter().map(|entry| entry.key.text.as_str()).collect();
    let mut fits = true;
    let mut meant: Vec<&str> = Vec::new();
    for Entry { key, value } in entries {
        let rule = known.and_then(|known| known.get(&key.text));
        match rule.or_else(|| schema.get("additionalProperties")) {
            Some(Value::Bool(false)) => {
                fits = false;
                meant.extend(unknown_key(checker, key, &given, schema, around));
            }
            Some(rule) => fits &= checker.visit(value, rule, Around::at(key.span)),
            None => {}
        }
        if let Some(rule) = schema.get("propertyNames") {
            fits &= key_name(checker, key, rule);
        }
    }
    for name in required(schema) {
        if given.contains(name) {
            continue;
        }
        fits = false;
        // A misspelt key is one mistake, not two.
        if !meant.contains(&name) {
            checker.report(around.holder, "missing-key", || (format!("missing key {}", quoted(name)), None));
        }
    }
    if known.is_some() {
        checker.around.pop();
    }
    fits & count(checker, entries, schema, around)
}

/// Reports a key that `schema` does not know, and gives the known one that was probably meant.
fn unknown_key<'a>(
    checker: &mut Checker<'a>,
    key: &Key,
    given: &HashSet<&str>,
    schema: &'a Value,
    around: Around<'_>,
) -> Option<&'a str> {
    if checker.is_silent() {
        return None;
    }
    let name = key.text.as_str();
    let known = properties(schema).into_iter().flat_map(|known| known.keys());
    let known = known.map(String::as_str);
    if around.rivals.contains(&name) {
        let beside: Vec<String> = known.filter(|known| given.contains(known)).map(quoted).collect();
        checker.report(key.span, "exclusive-keys", || {
            let message = format!("{} cannot stand beside {}", quoted(name), any_of(&beside));
            (message, Some("keep one of them".to_owned()))
        });
        return None;
    }
    let free = known.filter(|known| !given.contains(known));
    let meant = did_you_mean(name, free);
    let help = if let Some(under) = deeper(checker.rules, name, schema) {
        format!("{} is a key of {}: put it under `{under}:`", quoted(name), quoted(under))
    } else if is_further_out(checker, name) {
        format!("{} is a key further out: check the indentation", quoted(name))
    } else if let Some(meant) = meant {
        format!("did you mean {}?", quoted(meant))
    } else {
        known_keys(schema)
    };
    checker.report(key.span, "unknown-key", || (format!("unknown key {}", quoted(name)), Some(help)));
    meant
}

/// The property of `schema` that has a property `name` itself.
fn deeper<'a>(rules: Rules<'a>, name: &str, schema: &'a Value) -> Option<&'a str> {
    let has_name = |rule: &'a Value| {
        let mut alternatives = rules.alternatives(rule).into_iter();
        alternatives.any(|one| properties(one).is_some_and(|inner| inner.contains_key(name)))
    };
    let mut holders = properties(schema)?.iter().filter(|(_, rule)| has_name(rule));
    let (holder, _) = holders.next()?;
    // Of several holders none is the one that was meant.
    holders.next().is_none().then_some(holder.as_str())
}

fn is_further_out(checker: &Checker<'_>, name: &str) -> bool {
    let outer = checker.around.split_last().map_or(&[][..], |(_, outer)| outer);
    outer.iter().any(|known| known.contains_key(name))
}

fn known_keys(schema: &Value) -> String {
    let Some(known) = properties(schema).filter(|known| !known.is_empty()) else {
        return "no keys are known here".to_owned();
    };
    let mut names: Vec<&str> = known.keys().map(String::as_str).take(MAX_LISTED).collect();
    if known.len() > MAX_LISTED {
        names.push("…");
    }
    format!("the keys known here are {}", names.join(", "))
}

/// `propertyNames`, as far as text goes.
fn key_name<'a>(checker: &mut Checker<'a>, key: &'a Key, rule: &'a Value) -> bool {
    let rule = checker.rules.resolved(rule);
    let Some(format) = super::expected::format_of(checker.formats, rule) else {
        return true;
    };
    match (format.parse)(&key.text) {
        Ok(()) => true,
        Err(reason) => {
            checker.report(key.span, "invalid-value", || (reason, Some(format!("write {}", format.expected))));
            false
        }
    }
}

fn count<'a>(checker: &mut Checker<'a>, entries: &'a [Entry], schema: &'a Value, around: Around<'_>) -> bool {
    scalar::length(checker, around.holder, "map", entries.len(), schema)
}
