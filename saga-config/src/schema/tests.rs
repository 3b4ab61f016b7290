//! What the check of forms promises.
#![allow(clippy::unwrap_used)]

mod agreement;
mod sample;

use sample::Sample;

use super::*;
use crate::diagnostic::{Colour, Source, render};

fn mistakes(text: &str) -> Vec<String> {
    match read::<Sample>(&Source::new("f", text)) {
        Ok(_) => Vec::new(),
        Err(found) => found.iter().map(ToString::to_string).collect(),
    }
}

#[track_caller]
fn one_mistake(text: &str, expected: &str) {
    assert_eq!(mistakes(text), [expected]);
}

#[test]
fn the_sample_uses_nothing_that_is_not_understood() {
    let schema = schemars::schema_for!(Sample);
    assert_eq!(unsupported_keywords(&schema, STANDARD_FORMATS), Vec::<String>::new());
}

#[test]
fn keywords_that_are_not_understood_are_named() {
    let schema = schemars::json_schema!({
        "if": {},
        "properties": {"a": {"pattern": "x"}, "b": {"format": "uri"}, "c": {"anyOf": [{"not": {}}]}},
        "items": {"$ref": "other.json"},
    });
    assert_eq!(
        unsupported_keywords(&schema, STANDARD_FORMATS),
        ["/if", "/properties/a/pattern", "/properties/b/format", "/properties/c/anyOf/0/not", "/items/$ref"]
    );
}

#[test]
fn what_fits_is_read() {
    let text = "\
name: shop
listen: [{address: a, transparent: true}]
upstreams:
  psp: {url: [a, b], response_timeout: 1m30s, breaker: {failures: 20, open_for: 15s}}
  own: {url: a, local: true}
on_in_flight: {wait: 30s}
dedupe: payload
idempotency: off
workers: 4
size: 1024
ratio: 1.50
big: 18446744073709551615
body: {any: [1.0, ~]}
store: {kind: redis, url: x}
tags: [a, b]
pair: [1, true]
address: ::1
steps: [{id: a, parallel: [{id: b, call: c}]}]
even: 2
";
    let read = read::<Sample>(&Source::new("f", text)).map_err(|found| render(&found, Colour::Never)).unwrap();
    assert_eq!(read.value.big, Some(u64::MAX));
    assert_eq!(read.value.size.unwrap().get(), 1024);
    assert_eq!(read.value.body.unwrap().to_string(), r#"{"any":[1.0,null]}"#);
    assert!(mistakes("").is_empty());
    for text in [
        "idempotency: {methods: [POST]}",
        "workers: auto",
        "on_in_flight: conflict",
        "on_in_flight: {probe: {call: x}}",
        "size: 1MiB",
    ] {
        assert!(mistakes(text).is_empty(), "{text}");
    }
}

#[test]
fn unknown_keys_name_what_was_probably_meant() {
    one_mistake("lissten: x", "f:1:1: error: unknown key `lissten` (did you mean `listen`?)");
    one_mistake("upstreams: {a: {url: x, locale: true}}", "f:1:25: error: unknown key `locale` (did you mean `local`?)");
    one_mistake(
        "upstreams: {a: {url: x, zzz: 1}}",
        "f:1:25: error: unknown key `zzz` (the keys known here are url, local, response_timeout, breaker, max_in_flight)",
    );
    one_mistake(
        "upstreams: {a: {url: x, open_for: 3s}}",
        "f:1:25: error: unknown key `open_for` (`open_for` is a key of `breaker`: put it under `breaker:`)",
    );
    one_mistake(
        "upstreams:\n  a:\n    url: x\n    dedupe: key\n",
        "f:4:5: error: unknown key `dedupe` (`dedupe` is a key further out: check the indentation)",
    );
}

#[test]
fn a_misspelt_required_key_is_one_mistake() {
    one_mistake("upstreams: {a: {ulr: x}}", "f:1:17: error: unknown key `ulr` (did you mean `url`?)");
    one_mistake("upstreams:\n  a: {local: true}\n", "f:2:3: error: missing key `url`");
    one_mistake("listen:\n  - transparent: true\n", "f:2:5: error: missing key `address`");
}

#[test]
fn wrong_types_say_what_would_be_right() {
    one_mistake("upstreams: []", "f:1:12: error: expected a map, found an empty list");
    one_mistake(
        "upstreams: {a: {url: x, local: yes}}",
        "f:1:32: error: expected true or false, found the text `yes` (write true or false)",
    );
    one_mistake("name: 3.10", "f:1:7: error: expected text, found the number 3.10 (put it into quotes: \"3.10\")");
    one_mistake("name: true", "f:1:7: error: expected text, found true (put it into quotes: \"true\")");
    one_mistake("upstreams:", "f:1:11: error: expected a map, found nothing (give it a value, or remove the key)");
    one_mistake("big: '5'", "f:1:6: error: expected a whole number, found the text `5` (write 5, without quotes or underscores)");
    one_mistake(
        "big: 1_000",
        "f:1:6: error: expected a whole number, found the text `1_000` (write 1000, without quotes or underscores)",
    );
    one_mistake("big: 1.5", "f:1:6: error: expected a whole number, found the number 1.5");
    one_mistake(
        "tags: x",
        "f:1:7: error: expected a list, found the text `x` (write a list: [x], or one item per line, each after `- `)",
    );
    one_mistake("- a", "f:1:1: error: expected a map, found a list");
    one_mistake("just text", "f:1:1: error: expected a map, found the text `just text`");
}

#[test]
fn units_explain_themselves() {
    let with = |timeout: &str| mistakes(&format!("upstreams: {{a: {{url: x, response_timeout: {timeout}}}}}")).concat();
    assert_eq!(
        with("30"),
        "f:1:43: error: expected a duration such as 30s, found the number 30 (a duration needs a unit: 30s, 5m, 24h)"
    );
    assert_eq!(with("5min"), "f:1:43: error: `min` is not a unit of time: use ms, s, m, h or d (write a duration such as 30s)");
    assert_eq!(with("[30s]"), "f:1:43: error: expected a duration such as 30s, found a list");
    one_mistake(
        "size: 64k",
        "f:1:7: error: `k` is not a unit of size: write KiB (powers of 1024) or KB (powers of 1000) (write a size such as 64KiB)",
    );
    one_mistake("size: -1", "f:1:7: error: must be at least 0, found -1");
    one_mistake(
        "size: 1.5",
        "f:1:7: error: expected a size such as 64KiB, found the number 1.5 (a size is a whole number: write 1536KiB instead of 1.5MiB)",
    );
    one_mistake("address: 10.0.0", "f:1:10: error: invalid IP address syntax (write an IP address such as 10.0.0.1 or ::1)");
}

#[test]
fn ranges_and_lengths_are_held() {
    let with = |value: &str| mistakes(&format!("upstreams: {{a: {{url: x, max_in_flight: {value}}}}}")).concat();
    assert_eq!(with("0"), "f:1:40: error: must be at least 1, found 0");
    assert_eq!(with("1001"), "f:1:40: error: must be at most 1000, found 1001");
    one_mistake("big: 18446744073709551616", "f:1:6: error: must be at most 18446744073709551615, found 18446744073709551616");
    one_mistake("big: -1", "f:1:6: error: must be at least 0, found -1");
    one_mistake("title: ''", "f:1:8: error: the text must not be empty");
    one_mistake("pair: [1]", "f:1:7: error: the list must have at least 2 items, it has 1");
    one_mistake("pair: [256, true]", "f:1:8: error: must be at most 255, found 256");
    one_mistake("tags: [a, b, a]", "f:1:14: error: this item is in the list already");
}

#[test]
fn unknown_values_name_the_nearest() {
    one_mistake("dedupe: paylod", "f:1:9: error: unknown value `paylod` (did you mean `payload`?)");
    one_mistake("dedupe: zzz", "f:1:9: error: unknown value `zzz`, expected `key` or `payload`");
    one_mistake("dedupe: 1", "f:1:9: error: expected `key` or `payload`, found the number 1");
    one_mistake("workers: atuo", "f:1:10: error: unknown value `atuo` (did you mean `auto`?)");
    one_mistake("workers: 70000", "f:1:10: error: must be at most 65535, found 70000");
    one_mistake("workers: []", "f:1:10: error: expected `auto` or a whole number, found an empty list");
    one_mistake("idempotency: [[], ~]", "f:1:14: error: expected `off` or a map, found a list");
    one_mistake("idempotency: false", "f:1:14: error: expected `off` or a map, found false");
}

#[test]
fn of_alternatives_the_likeliest_is_spoken_of() {
    one_mistake("on_in_flight: conflct", "f:1:15: error: unknown value `conflct` (did you mean `conflict`?)");
    one_mistake(
        "on_in_flight: zzz",
        "f:1:15: error: unknown value `zzz`, expected `conflict`, a map with `wait` or a map with `probe`",
    );
    one_mistake("on_in_flight: {weit: 3s}", "f:1:16: error: unknown key `weit` (did you mean `wait`?)");
    one_mistake("on_in_flight: {prob: {call: x}}", "f:1:16: error: unknown key `prob` (did you mean `probe`?)");
    one_mistake(
        "on_in_flight: {foo: 3s}",
        "f:1:16: error: unknown key `foo` (write `conflict`, a map with `wait` or a map with `probe`)",
    );
    one_mistake(
        "on_in_flight: {wait: 3s, probe: {call: x}}",
        "f:1:26: error: `probe` cannot stand beside `wait` (keep one of them)",
    );
    one_mistake("on_in_flight: {probe: {after: 3s}}", "f:1:16: error: missing key `call`");
    one_mistake(
        "on_in_flight: {}",
        "f:1:15: error: expected `conflict`, a map with `wait` or a map with `probe`, found an empty map",
    );
    one_mistake("idempotency: {key: {max_length: 300}}", "f:1:33: error: must be at most 255, found 300");
    one_mistake("listen: [{addres: x}]", "f:1:11: error: unknown key `addres` (did you mean `address`?)");
    one_mistake("upstreams: {a: {url: [x, {}]}}", "f:1:26: error: expected text, found an empty map");
}

#[test]
fn the_tag_of_a_map_chooses_its_form() {
    one_mistake("store: {kind: redis, timeout: 1s}", "f:1:1: error: missing key `url`");
    one_mistake(
        "store: {kind: rediss, url: x}",
        "f:1:15: error: expected `memory` or `redis`, found the text `rediss` (did you mean `redis`?)",
    );
    one_mistake("store: {url: x}", "f:1:1: error: missing key `kind` (write kind: `memory` or `redis`)");
    one_mistake(
        "store: {kind: memory, limit: 1k}",
        "f:1:30: error: `k` is not a unit of size: write KiB (powers of 1024) or KB (powers of 1000) (write a size such as 64KiB)",
    );
}

#[test]
fn mistakes_deep_in_nested_alternatives_are_found_where_they_are() {
    one_mistake(
        "steps:\n  - id: a\n    parallel:\n      - id: b\n        parallel:\n          - {id: c, call: x, timeout: 3}\n",
        "f:6:39: error: expected a duration such as 30s, found the number 3 (a duration needs a unit: 3s, 5m, 24h)",
    );
    let deep = format!("steps: {}{}", "[{id: a, parallel: ".repeat(30), "}]".repeat(30));
    assert_eq!(mistakes(&deep).len(), 1, "and in time that does not double with every level");
}

#[test]
fn mistakes_of_yaml_and_of_form_are_told_together() {
    assert_eq!(
        mistakes("name: 007\nlissten: x\nname: y\n404: z\n"),
        [
            "f:1:7: error: a number does not begin with a zero: `007` (put it into quotes if it is text, or write it as a number of JSON)",
            "f:2:1: error: unknown key `lissten` (did you mean `listen`?)",
            "f:3:1: error: the key `name` is given twice (keep one of the two)",
            "f:4:1: error: a key is text, not a number (put the key into quotes: \"404\")",
        ]
    );
}

#[test]
fn what_only_the_deserialiser_knows_is_placed_too() {
    one_mistake("name: x\neven: 3\n", "f:2:7: error: 3 is odd");
}

#[test]
fn the_number_of_mistakes_is_bounded() {
    let text = (0..500).map(|index| format!("unknown_{index}: 1\n")).collect::<String>();
    let found = read::<Sample>(&Source::new("f", text)).unwrap_err();
    assert_eq!(found.len(), 100);
    assert_eq!(found[99].notes(), ["there are more mistakes than these"]);
}

#[test]
fn a_map_of_very_many_unknown_keys_is_answered() {
    let keys: String = (0..40_000).map(|index| format!("k{index}: 1\n")).collect();
    assert_eq!(read::<Sample>(&Source::new("f", keys)).unwrap_err().len(), 100);
    let keys: String = (0..40_000).map(|index| format!("  k{index}: 1\n")).collect();
    let text = format!("on_in_flight:\n{keys}");
    assert_eq!(mistakes(&text).len(), 1);
}

/// Without remembering what was tried, every level would double the work: 2^60 steps.
#[test]
fn nested_alternatives_with_a_key_in_common_are_tried_once_each() {
    let form = |own: &str| {
        serde_json::json!({
            "type": "object",
            "properties": {"next": {"$ref": "#"}, own: {"type": "boolean"}},
            "additionalProperties": false,
        })
    };
    let schema = schemars::json_schema!({"anyOf": [form("a"), form("b")]});
    let text = format!("{}{{c: 1}}{}", "{next: ".repeat(60), "}".repeat(60));
    let document = Document::parse(&Source::new("f", text)).unwrap();
    let found = check(&document, &schema);
    assert_eq!(found.len(), 1);
    assert!(found[0].message().contains("`c`"), "{found:?}");
}

#[test]
fn a_schema_that_turns_in_a_circle_ends() {
    let schema =
        schemars::json_schema!({"$ref": "#/$defs/a", "$defs": {"a": {"anyOf": [{"$ref": "#/$defs/a"}, {"type": "null"}]}}});
    let document = Document::parse(&Source::new("f", "x")).unwrap();
    assert!(check(&document, &schema).len() <= 1);
}

#[test]
fn formats_of_ones_own_are_checked_by_their_parser() {
    let upper = |text: &str| {
        if text == text.to_uppercase() { Ok(()) } else { Err("write it in capitals".to_owned()) }
    };
    let formats = [Format { name: "capitals", expected: "capitals such as ABC", parse: upper }];
    let schema =
        schemars::json_schema!({"additionalProperties": {"format": "capitals"}, "propertyNames": {"format": "capitals"}});
    let document = Document::parse(&Source::new("f", "A: B\nc: d\n")).unwrap();
    let found: Vec<String> = check_with(&document, &schema, &formats).iter().map(ToString::to_string).collect();
    assert_eq!(
        found,
        [
            "f:2:1: error: write it in capitals (write capitals such as ABC)",
            "f:2:4: error: write it in capitals (write capitals such as ABC)",
        ]
    );
}
