//! `anyOf` and `oneOf`: the alternative that was probably meant, so that the message can be about it.
//!
//! Both mean "at least one fits": serde takes the first that does.

use serde_json::Value;

use super::expected::any_of;
use super::rules::{Kind, branches, is_closed, properties, required};
use super::walk::{Around, Checker};
use crate::diagnostic::{did_you_mean, quoted};
use crate::yaml::{Data, Entry, Node};

pub(super) fn visit<'a>(checker: &mut Checker<'a>, node: &'a Node, schema: &'a Value, around: Around<'_>) -> bool {
    if branches(schema).into_iter().any(|branch| checker.fits(node, branch, around)) {
        return true;
    }
    if checker.is_silent() {
        return false;
    }
    let kind = Kind::of(node);
    let mut likely: Vec<&'a Value> = Vec::new();
    for branch in branches(schema) {
        let alternatives = checker.rules.alternatives(branch).into_iter();
        likely.extend(alternatives.filter(|one| checker.rules.admits(one, kind)));
    }
    match (node.data(), likely.as_slice()) {
        (_, []) => checker.wrong_type(node, schema),
        (Data::String(text), _) => text_of(checker, node, text, schema, &likely, around),
        (Data::Map(entries), [_, _, ..]) => map_of(checker, node, entries, &likely, schema, around),
        (_, [first, ..]) => {
            checker.visit(node, first, around);
        }
    }
    false
}

/// Text that is none of the words, and fits no format.
fn text_of<'a>(
    checker: &mut Checker<'a>,
    node: &'a Node,
    text: &str,
    schema: &'a Value,
    likely: &[&'a Value],
    around: Around<'_>,
) {
    let mut words: Vec<&str> = Vec::new();
    let mut free: Option<&'a Value> = None;
    for one in likely.iter().copied() {
        match checker.rules.words(one) {
            Some(listed) => words.extend(listed),
            None => free = free.or(Some(one)),
        }
    }
    match free {
        Some(free) if did_you_mean(text, words.iter().copied()).is_none() => {
            checker.visit(node, free, around);
        }
        _ => checker.unknown_value(node, &words, schema),
    }
}

/// A map that fits none of several kinds of maps.
fn map_of<'a>(
    checker: &mut Checker<'a>,
    node: &'a Node,
    entries: &'a [Entry],
    likely: &[&'a Value],
    schema: &'a Value,
    around: Around<'_>,
) {
    if let Some(tag) = tag_of(checker, likely) {
        by_tag(checker, entries, likely, tag, around);
        return;
    }
    let first = &entries[..entries.len().min(MAX_LOOKED_AT)];
    let best = likely.iter().copied().min_by_key(|one| unlikeness(one, first));
    let Some(best) = best else {
        return;
    };
    let nothing_in_common = first.iter().all(|entry| !knows(best, entry) && !nearly_knows(best, entry));
    if nothing_in_common && likely.iter().all(|one| is_closed(one)) {
        match entries.first() {
            Some(first) => {
                let expected = checker.expected(schema);
                let message = format!("unknown key {}", quoted(&first.key.text));
                checker.report(first.key.span, "unknown-key", || (message, Some(format!("write {expected}"))));
            }
            None => checker.wrong_type(node, schema),
        }
        return;
    }
    let others = likely.iter().filter_map(|one| properties(one)).flat_map(|known| known.keys());
    let rivals: Vec<&str> = others.map(String::as_str).collect();
    checker.visit(node, best, Around { rivals: &rivals, ..around });
}

/// The key that has a constant of its own in every alternative: the tag of an internally tagged enum.
fn tag_of<'a>(checker: &Checker<'a>, likely: &[&'a Value]) -> Option<&'a str> {
    let (first, rest) = likely.split_first()?;
    let is_tag = |one: &'a Value, name: &str| {
        let rule = properties(one).and_then(|known| known.get(name));
        rule.is_some_and(|rule| checker.rules.words(rule).is_some())
    };
    let mut names = required(first).into_iter();
    names.find(|name| is_tag(first, name) && rest.iter().all(|one| is_tag(one, name)))
}

fn by_tag<'a>(checker: &mut Checker<'a>, entries: &'a [Entry], likely: &[&'a Value], tag: &'a str, around: Around<'_>) {
    let mut words: Vec<&str> = Vec::new();
    let entry = entries.iter().find(|entry| entry.key.text == tag);
    for one in likely.iter().copied() {
        let Some(rule) = properties(one).and_then(|known| known.get(tag)) else {
            continue;
        };
        let own = checker.rules.words(rule).unwrap_or_default();
        if entry.and_then(|entry| entry.value.as_str()).is_some_and(|given| own.contains(&given)) {
            super::map::entries(checker, entries, one, around);
            return;
        }
        words.extend(own);
    }
    let expected = any_of(&words.iter().map(|word| quoted(word)).collect::<Vec<_>>());
    match entry {
        None => checker.report(around.holder, "missing-key", || {
            (format!("missing key {}", quoted(tag)), Some(format!("write {tag}: {expected}")))
        }),
        Some(entry) => {
            let given = entry.value.as_str();
            let near = given.and_then(|given| did_you_mean(given, words.iter().copied()));
            let what = super::expected::found(&entry.value);
            checker.report(entry.value.span(), "unknown-value", || {
                let help = near.map(|near| format!("did you mean {}?", quoted(near)));
                (format!("expected {expected}, found {what}"), help)
            });
        }
    }
}

/// Of a large map, the entries that decide which alternative was meant.
const MAX_LOOKED_AT: usize = 64;

/// How little a map has to do with an alternative; the least is the likeliest.
fn unlikeness(one: &Value, entries: &[Entry]) -> (usize, usize, usize) {
    let strange = entries.iter().filter(|entry| !knows(one, entry));
    let strange: Vec<&Entry> = strange.collect();
    let hopeless = strange.iter().filter(|entry| !nearly_knows(one, entry)).count();
    let missing = required(one).into_iter().filter(|name| entries.iter().all(|entry| entry.key.text != *name));
    (hopeless, strange.len(), missing.count())
}

fn knows(one: &Value, entry: &Entry) -> bool {
    match properties(one).map(|known| known.contains_key(&entry.key.text)) {
        Some(true) => true,
        _ => !is_closed(one),
    }
}

fn nearly_knows(one: &Value, entry: &Entry) -> bool {
    let known = properties(one).into_iter().flat_map(|known| known.keys());
    did_you_mean(&entry.key.text, known.map(String::as_str)).is_some()
}
