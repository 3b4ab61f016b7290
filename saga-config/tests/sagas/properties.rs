//! What holds of every file.

use proptest::prelude::*;
use saga_config::{diagnostic::Source, saga::Saga, yaml::Document};
use serde_json::{Map, Value, json};

use super::{files, load, written::Writer};

/// Maps whose order is kept, for what is rendered depends on it.
const ORDERED: [&str; 8] = ["input", "output", "set", "headers", "body", "problem", "from", "status"];

/// The same tree, its maps with fixed keys in another order.
fn shuffled(value: &Value, seed: &mut u64) -> Value {
    match value {
        Value::Object(entries) => {
            let mut entries: Vec<_> = entries.iter().collect();
            for index in (1..entries.len()).rev() {
                *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let other = usize::try_from(*seed >> 33).unwrap_or_default() % (index + 1);
                entries.swap(index, other);
            }
            let kept = |key: &str| ORDERED.contains(&key);
            let entries = entries
                .into_iter()
                .map(|(key, value)| (key.clone(), if kept(key) { value.clone() } else { shuffled(value, seed) }));
            Value::Object(entries.collect::<Map<_, _>>())
        }
        Value::Array(items) => items.iter().map(|item| shuffled(item, seed)).collect(),
        _ => value.clone(),
    }
}

fn tree(text: &str) -> Value {
    Document::parse(&Source::new("s.yaml", text)).expect("it is YAML").root().to_json()
}

fn hash(text: &str) -> String {
    super::loaded("s.yaml", text).hash.to_string()
}

fn valid() -> Vec<String> {
    files("valid").into_values().collect()
}

fn invalid() -> Vec<String> {
    files("invalid").into_values().chain(valid()).collect()
}

/// A list of steps that compute, with these `needs`.
fn graph(needs: &[Vec<usize>]) -> String {
    let names = |needs: &[usize]| needs.iter().map(|need| format!("s{need}")).collect::<Vec<_>>();
    let steps =
        needs.iter().enumerate().map(|(index, needs)| json!({"id": format!("s{index}"), "needs": names(needs), "set": {"x": 1}}));
    json!({"saga": "s", "version": 1, "trigger": {"route": "POST /"}, "steps": steps.collect::<Vec<_>>()}).to_string()
}

fn needs() -> impl Strategy<Value = Vec<Vec<usize>>> {
    (1_usize..9).prop_flat_map(|count| {
        let one = proptest::collection::btree_set(0..count, 0..count.min(3));
        proptest::collection::vec(one.prop_map(|set| set.into_iter().collect()), count)
    })
}

/// Whether the step comes back to itself, by the definition.
fn reaches_itself(needs: &[Vec<usize>], start: usize) -> bool {
    let mut reached = vec![false; needs.len()];
    let mut left = needs[start].clone();
    while let Some(next) = left.pop() {
        if !std::mem::replace(&mut reached[next], true) {
            left.extend(&needs[next]);
        }
    }
    reached[start]
}

/// A step that calls, with whatever it may have.
fn step() -> impl Strategy<Value = Value> {
    let in_doubt = prop_oneof![
        Just(json!("resend")),
        Just(json!("manual")),
        Just(json!({"check": {"call": "orders GET /a", "done": "${response.status == 200}"}})),
    ];
    let numbers = prop_oneof![Just("1.10"), Just("-0.0"), Just("1e2"), Just("18446744073709551617"), Just("7")];
    let compensate = prop_oneof![
        Just(json!("none")),
        numbers.prop_map(|number| {
            let number: Value = serde_json::from_str(number).expect("it is a number");
            json!({"call": "orders DELETE /a", "body": {"z": number, "a": [null, "$${x}", "${step.key}"]}, "retry": {"for": "90m"}})
        }),
    ];
    let retry = (proptest::option::of(1_u32..9), proptest::option::of(1_u64..99)).prop_map(|(max, seconds)| {
        let mut retry = Map::new();
        retry.extend(max.map(|max| ("max".to_owned(), json!(max))));
        retry.extend(seconds.map(|seconds| ("for".to_owned(), json!(format!("{seconds}s")))));
        Value::Object(retry)
    });
    (in_doubt, compensate, retry, any::<bool>(), "[a-z]{1,6}").prop_map(|(in_doubt, compensate, retry, goes_on, text)| {
        let on_failure = if goes_on { "continue" } else { "compensate" };
        json!({
            "call": "orders POST /a", "body": {"b": text, "a": 1}, "in_doubt": in_doubt, "compensate": compensate, "retry": retry,
            "on_failure": on_failure, "output": {"z": "${response.body}", "a": 1}, "timeout": "1m30s",
        })
    })
}

fn saga() -> impl Strategy<Value = String> {
    (proptest::collection::vec(step(), 1..5), any::<bool>(), proptest::option::of(1_u32..64)).prop_map(
        |(steps, sensitive, max)| {
            let with_id = |(index, mut step): (usize, Value)| {
                step["id"] = json!(format!("s{index}"));
                step
            };
            let steps: Vec<Value> = steps.into_iter().enumerate().map(with_id).collect();
            let mut saga =
                json!({"saga": "s", "version": 1, "trigger": {"route": "POST /"}, "sensitive": sensitive, "steps": steps});
            if let Some(max) = max {
                saga["max_parallel"] = json!(max);
            }
            saga.to_string()
        },
    )
}

/// Where the texts of a value stand, but those that are no part of the definition.
fn texts(value: &Value, at: &mut String, found: &mut Vec<String>) {
    let mut below = |key: &str, value: &Value| {
        let length = at.len();
        at.push('/');
        at.push_str(&key.replace('~', "~0").replace('/', "~1"));
        texts(value, at, found);
        at.truncate(length);
    };
    match value {
        Value::Object(entries) => {
            entries.iter().filter(|(key, _)| *key != "test").for_each(|(key, value)| below(key, value));
        }
        Value::Array(items) => items.iter().enumerate().for_each(|(index, item)| below(&index.to_string(), item)),
        Value::String(_) => found.push(at.clone()),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn the_hash_is_of_what_is_said_and_not_of_how_it_is_written(which in any::<prop::sample::Index>(), mut seed in any::<u64>(), compact in any::<bool>()) {
        let files = valid();
        let text = &files[which.index(files.len())];
        let other = shuffled(&tree(text), &mut seed);
        let other = if compact { other.to_string() } else { serde_json::to_string_pretty(&other).expect("it can be written") };
        prop_assert_eq!(hash(&other), hash(text));
        let commented = text.lines().map(|line| format!("{line}  # {seed}\n")).collect::<String>();
        prop_assert_eq!(hash(&commented), hash(text));
    }

    #[test]
    fn the_hash_does_not_see_styles_quotes_comments_and_indentation(which in any::<prop::sample::Index>(), mut seed in any::<u64>()) {
        let files = valid();
        let text = &files[which.index(files.len())];
        let other = Writer::new(seed).write(&shuffled(&tree(text), &mut seed));
        prop_assert_eq!(hash(&other), hash(text), "{}", other);
    }

    #[test]
    fn the_hash_sees_every_value(which in any::<prop::sample::Index>(), leaf in any::<prop::sample::Index>()) {
        let files = valid();
        let text = &files[which.index(files.len())];
        let mut tree = tree(text);
        let mut leaves = Vec::new();
        texts(&tree, &mut String::new(), &mut leaves);
        let at = &leaves[leaf.index(leaves.len())];
        let Some(Value::String(changed)) = tree.pointer_mut(at) else { unreachable!("it is a text") };
        changed.push('x');
        if let Ok(loaded) = load("changed.yaml", &tree.to_string()) {
            prop_assert_ne!(loaded.saga.hash.to_string(), hash(text), "{}", at);
        }
    }

    #[test]
    fn the_canonical_form_is_a_file_of_the_same_definition(text in saga()) {
        let first = super::loaded("s.yaml", &text);
        let stored = Saga::from_canonical(&first.canonical);
        prop_assert_eq!(stored.map(|stored| super::shown(&stored)), Ok(super::shown(&first)));
        let form: Value = serde_json::from_str(&first.canonical).expect("it is JSON");
        let again = super::loaded("canonical.json", &form["definition"].to_string());
        prop_assert_eq!(again.canonical, first.canonical);
        prop_assert_eq!(again.hash, first.hash);
    }

    #[test]
    fn a_graph_runs_in_an_order_or_is_refused_for_its_cycle(needs in needs()) {
        let is_cyclic = (0..needs.len()).any(|index| reaches_itself(&needs, index));
        match load("graph.yaml", &graph(&needs)) {
            Ok(loaded) => {
                prop_assert!(!is_cyclic);
                for (index, step) in loaded.saga.steps.iter().enumerate() {
                    prop_assert!(step.after.iter().all(|after| after.0 < index));
                    let written = &needs[step.id.as_str()[1..].parse::<usize>().expect("it is s and a number")];
                    let named = |need: &usize| format!("s{need}");
                    let after: Vec<String> = step.after.iter().map(|after| loaded.saga[*after].id.to_string()).collect();
                    prop_assert_eq!(after.len(), written.len());
                    prop_assert!(written.iter().all(|need| after.contains(&named(need))));
                }
            }
            Err(found) => {
                prop_assert!(is_cyclic);
                prop_assert_eq!(found.iter().map(|mistake| mistake.code()).collect::<Vec<_>>(), ["cycle"]);
            }
        }
    }

    #[test]
    fn a_file_with_a_slip_is_taken_or_refused_and_never_breaks_anything(which in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), slip in 0..5) {
        let files = invalid();
        let text = &files[which.index(files.len())];
        let lines: Vec<&str> = text.lines().collect();
        prop_assume!(!lines.is_empty());
        let at = at.index(lines.len());
        let changed = |line: &str| match slip {
            0 => String::new(),
            1 => format!("{line}\n{line}"),
            2 => line.replace(['{', '['], ""),
            3 => line.replace("${", "${ }${"),
            _ => line.replacen(": ", ": null #", 1),
        };
        let lines = lines.iter().enumerate().map(|(index, line)| if index == at { changed(line) } else { (*line).to_owned() });
        let text = lines.collect::<Vec<_>>().join("\n");
        match load("slip.yaml", &text) {
            Ok(loaded) => prop_assert!(Saga::from_canonical(&loaded.saga.canonical).is_ok()),
            Err(found) => prop_assert!(!found.is_empty()),
        }
    }
}
