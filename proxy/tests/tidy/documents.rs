//! What the reference pages list is what there is.

use std::{collections::BTreeSet, sync::LazyLock};

use refrain::{idempotency::marker::Dialect, problem::ProblemName};
use regex::Regex;
use serde_json::Value;

use crate::tree::{assert_none, file, files};

#[test]
fn every_problem_has_a_section_that_says_its_status_and_every_section_a_problem() {
    let page = file("docs/problems.md");
    let mut sections = page.text.split("\n## ").skip(1).map(|section| section.split_once('\n').unwrap());
    let written: BTreeSet<&str> = sections.clone().map(|(heading, _)| heading.trim()).collect();
    let known: BTreeSet<&str> = ProblemName::ALL.iter().map(|name| name.as_str()).collect();
    assert_eq!(written, known);
    let says_another = |name: &&ProblemName| {
        let (_, text) = sections.find(|(heading, _)| heading.trim() == name.as_str()).unwrap();
        !text.trim_start().starts_with(name.status(Dialect::Ietf).as_str())
    };
    // In the order of the page, so that one pass finds them.
    let mut names = ProblemName::ALL.to_vec();
    let place = |name: &ProblemName| page.text.find(&format!("\n## {}\n", name.as_str()));
    names.sort_by_key(place);
    assert_none("another status", &names.iter().filter(says_another).map(ToString::to_string).collect::<Vec<_>>());
}

#[test]
fn every_problem_that_the_readme_names_exists() {
    static NAMED: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"`([a-z]+(?:-[a-z]+)+)`").unwrap());
    let readme = file("README.md");
    let table = readme.text.split("## What happens when").nth(1).unwrap().split("\n## ").next().unwrap();
    let known = |name: &str| ProblemName::ALL.iter().any(|known| known.as_str() == name);
    let named: Vec<String> = NAMED.captures_iter(table).map(|found| found[1].to_owned()).collect();
    assert!(named.len() > 5, "{named:?}");
    assert_none("no such problem", &named.into_iter().filter(|name| !known(name)).collect::<Vec<_>>());
}

#[test]
fn every_metric_is_in_its_page_and_every_metric_of_the_page_exists() {
    static REGISTERED: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r#"\.register(?:_with_unit)?\(\s*"([a-z_]+)",\s*"[^"]*",\s*(?:Unit::(\w+),)?"#).unwrap());
    static LISTED: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"(?m)^\| `refrain_([a-z_]+)` \| (\w+) \|").unwrap());
    let source: String = files(".rs")
        .into_iter()
        .filter(|file| file.path == "proxy/src/metrics.rs" || file.path.starts_with("proxy/src/metrics/"))
        .map(|file| file.text)
        .collect();
    let registered: BTreeSet<String> = REGISTERED
        .captures_iter(&source)
        .map(|found| match found.get(2) {
            Some(unit) => format!("{}_{}", &found[1], unit.as_str().to_lowercase()),
            None => found[1].to_owned(),
        })
        .collect();
    let page = file("docs/metrics.md");
    let listed: BTreeSet<String> = LISTED
        .captures_iter(&page.text)
        .map(|found| {
            let suffix = match &found[2] {
                "counter" => "_total",
                "info" => "_info",
                _ => "",
            };
            found[1].strip_suffix(suffix).unwrap_or_else(|| panic!("{} is a {}", &found[1], &found[2])).to_owned()
        })
        .collect();
    assert!(registered.len() > 10, "{registered:?}");
    assert_eq!(listed, registered);
}

#[test]
fn every_metric_that_another_page_names_is_in_the_metrics_page() {
    static NAMED: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"`(refrain_[a-z_]+)`").unwrap());
    let page = file("docs/metrics.md").text;
    let other = file("docs/operate.md").text;
    let named = NAMED.captures_iter(&other).map(|found| found[1].to_owned());
    assert_none("not listed", &named.filter(|name| !page.contains(&format!("| `{name}` |"))).collect::<Vec<_>>());
}

#[test]
fn every_key_of_the_configuration_is_in_its_page() {
    let mut keys = BTreeSet::new();
    collect_keys(&refrain::config::schema(), &mut keys);
    assert!(keys.len() > 50, "{keys:?}");
    let page = file("docs/configuration.md").text;
    let is_named = |key: &str| {
        page.match_indices(key).any(|(at, _)| {
            let inside = |c: char| c.is_alphanumeric() || c == '_';
            !page[..at].ends_with(inside) && !page[at + key.len()..].starts_with(inside)
        })
    };
    assert_none("not in docs/configuration.md", &keys.into_iter().filter(|key| !is_named(key)).collect::<Vec<_>>());
}

/// The names under `properties`, wherever they are.
fn collect_keys(schema: &Value, keys: &mut BTreeSet<String>) {
    match schema {
        Value::Object(entries) => {
            if let Some(Value::Object(properties)) = entries.get("properties") {
                keys.extend(properties.keys().cloned());
            }
            entries.values().for_each(|value| collect_keys(value, keys));
        }
        Value::Array(items) => items.iter().for_each(|value| collect_keys(value, keys)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn every_flag_is_in_the_page_that_lists_them() {
    let help = crate::commands::help(&["run"]);
    let page = file("docs/run-beside-a-service.md").text;
    let flags = help.split_whitespace().filter(|word| word.starts_with("--") && word.len() > 2 && *word != "--help");
    let missing: BTreeSet<String> = flags.filter(|flag| !page.contains(&format!("`{flag} "))).map(str::to_owned).collect();
    assert_none("not in the table of flags", &missing.into_iter().collect::<Vec<_>>());
}
