//! YAML files of the repository as JSON values.

use std::fs;
use std::path::{Path, PathBuf};

use saga_config::diagnostic::Source;
use saga_config::yaml::Document;
use serde_json::Value;

/// The repository's root.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// A file of the repository.
pub(crate) fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The documents of a file, what `<<` merges put in.
pub(crate) fn documents(path: &str) -> Vec<Value> {
    let text = text(path).replace("<<:", "merged:");
    let parse = |text: &str| {
        let document = Document::parse(&Source::new(path, text));
        merge(document.unwrap_or_else(|mistakes| panic!("{path}: {}", mistakes[0])).root().to_json())
    };
    text.split("\n---\n").map(parse).collect()
}

/// The one document of a file.
pub(crate) fn document(path: &str) -> Value {
    let mut all = documents(path);
    assert_eq!(all.len(), 1, "{path}");
    all.remove(0)
}

/// The files of a folder and its folders whose name ends so; links are not followed.
pub(crate) fn files(folder: &str, ending: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root().join(folder)).unwrap() {
        let entry = entry.unwrap();
        let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            found.extend(files(&path, ending));
        } else if kind.is_file() && path.ends_with(ending) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// A member that has to be there.
#[track_caller]
pub(crate) fn str_at<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("no {pointer} in {value}"))
}

/// The items of a list, none if it is not there.
pub(crate) fn items<'a>(value: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> {
    value.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}

/// A list's texts.
pub(crate) fn texts(value: &Value, pointer: &str) -> Vec<String> {
    items(value, pointer).map(|item| item.as_str().unwrap().to_owned()).collect()
}

/// Puts in what `merged` (once `<<`) points to, below what is there.
fn merge(value: Value) -> Value {
    match value {
        Value::Object(entries) => {
            let mut own: serde_json::Map<_, _> = entries.into_iter().map(|(key, value)| (key, merge(value))).collect();
            if let Some(Value::Object(below)) = own.remove("merged") {
                for (key, value) in below {
                    own.entry(key).or_insert(value);
                }
            }
            Value::Object(own)
        }
        Value::Array(items) => items.into_iter().map(merge).collect(),
        other => other,
    }
}

#[test]
fn what_is_merged_stands_below_what_is_there() {
    let value = serde_json::json!({"merged": {"merged": {"a": 1, "b": 1}, "b": 2, "c": 2}, "c": 3});
    assert_eq!(merge(value), serde_json::json!({"a": 1, "b": 2, "c": 3}));
}
