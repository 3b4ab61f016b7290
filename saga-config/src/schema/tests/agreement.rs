//! Whatever is in a file: no panic, and the schema and serde agree on it.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::{check, read};
use super::sample::Sample;
use crate::diagnostic::{Colour, Source, render, to_json_lines};
use crate::yaml::Document;

const PIECES: &[&str] = &[
    "name: ",
    "listen: ",
    "upstreams: ",
    "on_in_flight: ",
    "wait: ",
    "probe: ",
    "steps: ",
    "parallel: ",
    "id: ",
    "call: ",
    "store: ",
    "kind: ",
    "redis",
    "url: ",
    "30s",
    "30",
    "1KiB",
    "true",
    "yes",
    "~",
    "x",
    "- ",
    "[",
    "]",
    "{",
    "}",
    ", ",
    "\n",
    "  ",
    "    ",
    "&a ",
    "*a",
    "'",
    "pair: ",
    "tags: ",
    "idempotency: ",
    "off",
    "é\u{202e}",
    "\t",
];

fn survive(source: &std::sync::Arc<Source>) {
    match read::<Sample>(source) {
        Ok(loaded) => drop(loaded),
        Err(found) => {
            assert!(!found.is_empty());
            let _ = (render(&found, Colour::Ansi), to_json_lines(&found));
        }
    }
}

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC{0,200}") {
        survive(&Source::new("f", text));
    }

    #[test]
    fn no_near_miss_panics(pieces in proptest::collection::vec(prop::sample::select(PIECES), 0..50)) {
        survive(&Source::new("f", pieces.concat()));
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(source) = crate::yaml::decode("f", bytes) {
            survive(&source);
        }
    }

    /// The promise behind it all: what the schema lets through serde takes, and the other way round, but for two things
    /// that serde does not know: bounds that only the schema states, and that a list is not a map (serde would take one,
    /// by the order of its fields).
    #[test]
    fn the_schema_agrees_with_serde(text in tree()) {
        let document = Document::parse(&Source::new("f", text.as_str())).unwrap();
        let found = check(&document, &schemars::schema_for!(Sample));
        let taken = serde_json::from_value::<Sample>(document.root().to_json());
        let agree = match &taken {
            Ok(_) => found.iter().all(|mistake| mistake.message().ends_with(" list") || mistake.code() == "out-of-range"),
            Err(_) => !found.is_empty(),
        };
        prop_assert!(agree, "{text}\n{found:?}\n{taken:?}");
    }
}

const KEYS: &[&str] = &[
    "name",
    "listen",
    "upstreams",
    "on_in_flight",
    "dedupe",
    "idempotency",
    "workers",
    "size",
    "big",
    "store",
    "pair",
    "address",
    "title",
    "steps",
    "url",
    "local",
    "response_timeout",
    "breaker",
    "max_in_flight",
    "failures",
    "open_for",
    "wait",
    "probe",
    "call",
    "after",
    "methods",
    "key",
    "required",
    "max_length",
    "kind",
    "limit",
    "timeout",
    "id",
    "parallel",
];
const VALUES: &[&str] = &[
    "x",
    "''",
    "30s",
    "1KiB",
    "true",
    "~",
    "1",
    "300",
    "-1",
    "1.5",
    "conflict",
    "key",
    "off",
    "auto",
    "redis",
    "memory",
    "::1",
    "[]",
    "{}",
    "70000",
    "5000000000",
    "'1'",
    "[1, true]",
    "{kind: redis, url: x}",
    "{wait: 3s}",
    "{probe: {call: x}}",
    "{id: a, call: b}",
    "[{id: a, call: b}]",
    "{failures: 1, open_for: 1s}",
    "{required: true}",
    "{a: {url: [x]}}",
    "conflict",
];

/// One value under one of the keys of the sample, some levels deep, so that many fit.
fn tree() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(VALUES).prop_map(str::to_owned);
    let any = leaf.prop_recursive(3, 12, 3, |inner| {
        let key = || prop::sample::select(KEYS).prop_map(str::to_owned);
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(|items| format!("[{}]", items.join(", "))),
            proptest::collection::btree_map(key(), inner, 0..3).prop_map(map_text),
        ]
    });
    let key = prop::sample::select(&KEYS[..14]).prop_map(str::to_owned);
    proptest::collection::btree_map(key, any, 1..3).prop_map(map_text)
}

fn map_text(entries: BTreeMap<String, String>) -> String {
    let entries: Vec<String> = entries.iter().map(|(key, value)| format!("{key}: {value}")).collect();
    format!("{{{}}}", entries.join(", "))
}
