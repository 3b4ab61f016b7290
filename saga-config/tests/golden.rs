//! What users see for a file with many mistakes; the text and the JSON are kept beside the file.

use std::collections::BTreeMap;

use saga_config::diagnostic::{Colour, Source, render, to_json_lines};
use saga_config::schema;
use saga_config::units::{ByteCount, DurationText};
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only the form is looked at")]
struct File {
    listen: String,
    #[serde(default)]
    upstreams: BTreeMap<String, Upstream>,
    idempotency: Option<Idempotency>,
    limits: Option<Limits>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only the form is looked at")]
struct Upstream {
    url: String,
    #[serde(default)]
    local: bool,
    response_timeout: Option<DurationText>,
    #[schemars(range(min = 1))]
    max_in_flight: Option<u32>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only the form is looked at")]
struct Idempotency {
    methods: Option<Vec<String>>,
    ttl: Option<DurationText>,
    on_in_flight: Option<OnInFlight>,
    dedupe: Option<Dedupe>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum OnInFlight {
    /// Answer 409.
    Conflict,
    /// Wait, then replay.
    #[expect(dead_code, reason = "only the form is looked at")]
    Wait(DurationText),
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Dedupe {
    Key,
    Payload,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only the form is looked at")]
struct Limits {
    buffered: Option<ByteCount>,
}

#[test]
fn ten_mistakes_of_one_file_are_all_shown_in_one_run() {
    let source = Source::new("broken.yaml", include_str!("golden/broken.yaml"));
    let found = schema::read::<File>(&source).expect_err("the file is broken");
    assert_eq!(found.len(), 10);
    insta::assert_snapshot!("broken", render(&found, Colour::Never));
    insta::assert_snapshot!("broken_json", to_json_lines(&found));
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only the form is looked at")]
struct Rare {
    #[schemars(extend("uniqueItems" = true))]
    methods: Vec<String>,
    #[schemars(extend("items" = false))]
    nothing: Vec<u32>,
}

#[test]
fn what_few_formats_ask_for_is_shown_too() {
    let source = Source::new("rare.yaml", "methods: [GET, POST, GET]\nnothing: [1]\n");
    let found = schema::read::<Rare>(&source).expect_err("the file is broken");
    insta::assert_snapshot!("rare", render(&found, Colour::Never));
}
