//! The JSON Schema that editors get, by a validator that others wrote.

use jsonschema::Validator;
use saga_config::{diagnostic::Source, saga, schema, yaml::Document};
use serde_json::Value;

use super::{files, page};

fn validator() -> Validator {
    let schema = saga::schema().to_value();
    assert!(jsonschema::meta::is_valid(&schema), "it is a schema");
    jsonschema::draft202012::new(&schema).expect("it is a schema")
}

fn tree(name: &str, text: &str) -> Option<Document> {
    Document::parse(&Source::new(name, text)).ok()
}

#[track_caller]
fn takes(validator: &Validator, name: &str, value: &Value) {
    let found: Vec<String> = validator.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert_eq!(found, [""; 0], "{name}");
}

#[test]
fn every_sound_saga_is_valid() {
    let validator = validator();
    let (valid, unwise) = (files("valid"), files("unwise"));
    for (name, text) in valid.iter().chain(&unwise) {
        takes(&validator, name, &tree(name, text).expect("it is YAML").root().to_json());
    }
    let page = page("sagas.md");
    for block in page.split("```yaml saga\n").skip(1).filter_map(|rest| rest.split("```").next()) {
        takes(&validator, "docs/sagas.md", &tree("docs/sagas.md", block).expect("it is YAML").root().to_json());
    }
}

/// What editors mark is what Refrain refuses for its form, and nothing else.
#[test]
fn the_validator_and_refrain_agree_on_the_form_of_every_broken_file() {
    let validator = validator();
    let mut refused = 0;
    for (name, text) in files("invalid") {
        let Some(document) = tree(&name, &text) else { continue };
        let ours = schema::check(&document, &saga::schema());
        let theirs: Vec<String> = validator.iter_errors(&document.root().to_json()).map(|error| error.to_string()).collect();
        assert_eq!(ours.is_empty(), theirs.is_empty(), "{name}: {ours:?} {theirs:?}");
        refused += usize::from(!theirs.is_empty());
    }
    assert!(refused > 4, "there are some");
}

#[test]
fn editors_mark_what_a_schema_can_see() {
    let validator = validator();
    let sound = "saga: s\nversion: 1\ntrigger: {route: POST /}\nsteps:\n  - {id: a, call: orders POST /a, timeout: 5s, compensate: none}\n";
    takes(&validator, "sound", &tree("s", sound).expect("it is YAML").root().to_json());
    for (from, to) in [
        ("saga: s\n", ""),
        ("saga: s", "saga: Has Spaces"),
        ("version: 1", "version: 0"),
        ("version: 1", "version: one"),
        ("trigger:", "triger:"),
        ("timeout: 5s", "timeout: 5"),
        ("timeout: 5s", "timeout: 5 seconds"),
        ("compensate: none", "compensate: never"),
        ("compensate: none", "compensate: {body: 1}"),
        ("id: a, ", ""),
        ("compensate: none", "effect: twice"),
        ("compensate: none", "retry: {max: 0}"),
    ] {
        let broken = sound.replacen(from, to, 1);
        assert_ne!(broken, sound, "{from}");
        let value = tree("s", &broken).expect("it is YAML").root().to_json();
        assert!(!validator.is_valid(&value), "{from} -> {to}");
    }
}
