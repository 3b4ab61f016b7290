//! Files of sagas: what is taken, and what users see for what is not.

mod goldens;
mod json_schema;
mod linked;
mod properties;
mod reference;
mod samples;
mod written;
mod yaml;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use saga_config::{
    diagnostic::{Colour, Diagnostic, Source, render},
    names::UpstreamName,
    saga::{self, Action, Call, Later, Loaded, Loop, Poll, Retry, Saga, Step, UpstreamFact, UpstreamFacts, Within},
};

/// Services as a small shop has them.
struct Shop;

impl UpstreamFacts for Shop {
    fn find(&self, name: Option<&UpstreamName>) -> Option<UpstreamFact> {
        let fact = UpstreamFact {
            has_refrain: false,
            idempotency_window: None,
            max_execution: Duration::from_secs(30),
            has_credentials: false,
        };
        Some(match name.map(UpstreamName::as_str) {
            None | Some("orders" | "billing" | "notifications" | "flights" | "cover") => {
                UpstreamFact { has_refrain: true, ..fact }
            }
            Some("psp") => {
                UpstreamFact { idempotency_window: Some(Duration::from_secs(24 * 3600)), has_credentials: true, ..fact }
            }
            Some("legacy") => fact,
            Some(_) => return None,
        })
    }

    fn names(&self) -> Vec<String> {
        ["orders", "billing", "notifications", "psp", "legacy"].map(str::to_owned).to_vec()
    }

    fn secrets(&self) -> Option<Vec<String>> {
        Some(["visa_token", "mail", "psp"].map(str::to_owned).to_vec())
    }
}

fn load(name: &str, text: &str) -> Result<Loaded, Vec<Diagnostic>> {
    Saga::load(&Source::new(name, text), Some(&Shop))
}

fn loaded(name: &str, text: &str) -> Saga {
    match load(name, text) {
        Ok(loaded) => loaded.saga,
        Err(found) => panic!("{}", render(&found, Colour::Never)),
    }
}

#[test]
fn the_first_example_loads_as_it_stands_in_the_shop() {
    let saga = loaded("create-order.yaml", include_str!("../../../examples/services/sagas/create-order.yaml"));
    assert_eq!(saga.steps.len(), 5);
    assert_eq!(Saga::from_canonical(&saga.canonical).map(|again| again.hash), Ok(saga.hash));
}

/// The files of a folder beside this one, by name.
fn files(folder: &str) -> BTreeMap<String, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(folder);
    let entries = std::fs::read_dir(folder).expect("the folder is there");
    let files = entries.map(|entry| entry.expect("it can be read").path());
    let named = |path: PathBuf| path.file_name().expect("it is a file").to_string_lossy().into_owned();
    files.map(|path| (named(path.clone()), std::fs::read_to_string(path).expect("it is text"))).collect()
}

#[test]
fn every_kind_of_mistake_is_told_where_it_stands() {
    for (name, text) in files("invalid") {
        let said = match load(&name, &text) {
            Err(found) => render(&found, Colour::Never),
            Ok(_) => "(taken)".to_owned(),
        };
        insta::assert_snapshot!(name.trim_end_matches(".yaml"), said);
        assert_ne!(said, "(taken)", "{name}");
    }
}

#[test]
fn what_is_legal_and_unwise_is_warned_of_where_it_stands() {
    for (name, text) in files("unwise") {
        let loaded = load(&name, &text).unwrap_or_else(|found| panic!("{}", render(&found, Colour::Never)));
        assert!(!loaded.warnings.is_empty(), "{name}");
        insta::assert_snapshot!(format!("unwise-{}", name.trim_end_matches(".yaml")), render(&loaded.warnings, Colour::Never));
        // It runs all the same.
        assert!(Saga::from_canonical(&loaded.saga.canonical).is_ok(), "{name}");
    }
}

#[test]
fn sound_files_load_without_a_word_and_are_read_back_from_the_store() {
    for (name, text) in files("valid") {
        let loaded = load(&name, &text).unwrap_or_else(|found| panic!("{}", render(&found, Colour::Never)));
        assert_eq!(loaded.warnings, [], "{name}");
        let saga = loaded.saga;
        let stored = Saga::from_canonical(&saga.canonical).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(shown(&stored), shown(&saga), "{name}");
        insta::assert_snapshot!(format!("canonical-{}", name.trim_end_matches(".yaml")), pretty(&saga.canonical));
        insta::assert_snapshot!(format!("steps-{}", name.trim_end_matches(".yaml")), order(&saga));
    }
}

#[test]
fn a_saga_knows_the_secrets_that_its_requests_name_each_once() {
    let saga = loaded("secrets.yaml", include_str!("../valid/secrets.yaml"));
    let names: Vec<&str> = saga.secrets.iter().map(AsRef::as_ref).collect();
    assert_eq!(names, ["visa_token", "mail", "psp"]);
}

/// All of a saga, as text.
fn shown(saga: &Saga) -> String {
    format!("{saga:#?}")
}

fn pretty(json: &str) -> String {
    let value: serde_json::Value = serde_json::from_str(json).expect("it is JSON");
    serde_json::to_string_pretty(&value).expect("it can be written")
}

/// The steps in their order, with what they wait for.
fn order(saga: &Saga) -> String {
    let line = |step: &Step| {
        let after: Vec<&str> = step.after.iter().map(|index| saga[*index].id.as_str()).collect();
        let does = match &step.action {
            Action::Call(call) => {
                let undo = call.compensate.as_ref().map(|undo| format!(", undo {:?} {}", undo.frozen, budget(&undo.call)));
                let later = match &call.later {
                    Some(Later::Poll(poll)) => {
                        let Poll { status, every, max_every, within, .. } = &**poll;
                        format!(", {status} accepts, asked each {every:?} to {max_every:?} for {within:?}")
                    }
                    Some(Later::Callback(callback)) => format!(", called back within {:?}", callback.within),
                    None => String::new(),
                };
                format!("{}{later}{}", budget(&call.call), undo.unwrap_or_default())
            }
            Action::Set(_) => "computes".to_owned(),
            Action::Switch(arms) => format!("chooses one of {}", arms.len()),
            Action::Foreach(number) => {
                let Loop { step: own, list, item, max, limit, body } = &saga.loops[number.0];
                assert_eq!(saga[*own].id, step.id);
                let body: Vec<&str> = body.iter().map(|index| saga[*index].id.as_str()).collect();
                format!("each {item} of {list:?}, {max} at once, {limit} at most: {}", body.join(", "))
            }
            Action::Wait(time) => format!("waits {time:?}"),
            Action::Enter(_) | Action::Leave(_) => "is a sub-saga".to_owned(),
        };
        let group = step.group.map_or(String::new(), |group| format!(" in {}", saga.groups[group.0].id));
        let within = match step.within {
            Some(Within::Arm { switch, arm }) => format!(" of arm {arm} of {}", saga[switch].id),
            Some(Within::Body(number)) => format!(" of loop {}", saga[saga.loops[number.0].step].id),
            Some(Within::Sub(number)) => format!(" of {}", saga.frames[number.0].path),
            None => String::new(),
        };
        let looped = step.in_loop.map_or(String::new(), |number| format!(" for each {}", saga.loops[number.0].item));
        format!("{} after [{}]{group}{within}{looped}: {:?}, {does}", step.id, after.join(", "), step.position)
    };
    saga.steps.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn editors_get_a_schema_with_a_description_for_every_key() {
    fn undescribed(schema: &serde_json::Value, at: &str, found: &mut Vec<String>) {
        let Some(keywords) = schema.as_object() else { return };
        for (name, value) in keywords {
            if name == "properties" {
                let keys = value.as_object().into_iter().flatten();
                found.extend(keys.filter(|(_, rule)| rule.get("description").is_none()).map(|(key, _)| format!("{at}/{key}")));
            }
            undescribed(value, &format!("{at}/{name}"), found);
        }
    }
    let mut found = Vec::new();
    undescribed(&saga::schema().to_value(), "", &mut found);
    // What is one of several things is described there.
    found.retain(|at| !at.ends_with("/check"));
    assert_eq!(found, [""; 0]);
}

#[test]
fn what_nobody_wrote_is_not_written_in_the_canonical_form_but_for_defaults() {
    let saga =
        loaded("short.yaml", "saga: s\nversion: 1\ntrigger: {route: POST /}\nsteps: [{id: a, call: psp GET /, effect: none}]\n");
    insta::assert_snapshot!("canonical-short", pretty(&saga.canonical));
}

#[test]
fn a_definition_is_not_judged_again_when_it_comes_from_the_store() {
    let known = "saga: s\nversion: 1\ntrigger: {route: POST /}\nsteps: [{id: a, call: orders POST /a, compensate: none}]\n";
    let canonical = loaded("s.yaml", known).canonical;
    // The upstream is gone, the step has no undo, and its header is reserved: all of that was in order once.
    let earlier = canonical.replace("orders POST", "gone POST").replace(r#""compensate":"none""#, r#""headers":{"saga-id":"x"}"#);
    assert_ne!(*earlier, *canonical);
    let saga = Saga::from_canonical(&earlier).expect("it was accepted once");
    assert_eq!(*saga.canonical, *earlier);
    assert_eq!(saga.steps.len(), 1);
}

#[test]
fn what_is_no_stored_definition_says_why() {
    let why = |json: &str| Saga::from_canonical(json).map(|_| ()).expect_err("it is none").to_string();
    insta::assert_snapshot!(
        "stored",
        [
            "",
            "{}",
            r#"{"format":2,"definition":{}}"#,
            r#"{"format":1,"definition":{}}"#,
            r#"{"format":1,"definition":{"saga":"s","version":1,"trigger":{"route":"POST /"},"steps":[{"id":"a","saga":{}}]}}"#,
            r#"{"format":1,"definition":{"saga":"s","version":1,"trigger":{"route":"POST /"},"steps":[{"id":"a","set":{"x":"${secret('a')}"}}]}}"#,
        ]
        .map(why)
        .join("\n")
    );
}

#[test]
fn the_hash_of_a_definition_stays_what_it_was() {
    // It names stored definitions that sagas under way need: a change here leaves them without.
    // So it is that of a file which nobody has a reason to improve.
    let saga = loaded("doubt.yaml", include_str!("../valid/doubt.yaml"));
    insta::assert_snapshot!("hash", saga.hash.to_string());
}

#[test]
fn without_upstreams_nothing_is_said_of_services() {
    let text = "saga: s\nversion: 1\ntrigger: {route: POST /}\nsteps: [{id: a, call: nobody POST /a, auth: service, compensate: none}]\n";
    assert!(Saga::load(&Source::new("s.yaml", text), None).is_ok());
    assert!(load("s.yaml", text).is_err());
}

/// How often a call is tried.
fn budget(call: &Call) -> String {
    let Retry { max, within, initial, max_delay } = call.retry;
    format!("{:?} each, {max:?} times, for {within:?}, {initial:?} to {max_delay:?}", call.timeout)
}

/// A page of the documentation.
fn page(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name);
    std::fs::read_to_string(path).expect("the page is there")
}

#[test]
fn the_sagas_of_the_documentation_load() {
    let page = page("sagas.md");
    let blocks: Vec<&str> = page.split("```yaml saga\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(!blocks.is_empty(), "are they marked?");
    // All at once, for some run others. Against which upstreams, the page says: its configurations are held against them elsewhere.
    let sources: Vec<_> = blocks.iter().map(|block| Source::new("docs/sagas.md", *block)).collect();
    for loaded in Saga::load_all(&sources, None) {
        assert!(!loaded.unwrap_or_else(|found| panic!("{}", render(&found, Colour::Never))).saga.steps.is_empty());
    }
}
