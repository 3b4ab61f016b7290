//! What a schema asks for, and what was found, in words.

use serde_json::Value;

use super::format::Format;
use super::rules::{Rules, constants, is_closed, required, types};
use crate::diagnostic::quoted;
use crate::yaml::{Data, Node};

/// The most alternatives that are named; the others become "…".
const MAX_NAMED: usize = 8;

/// What would fit `schema`: "a duration such as 30s", "`conflict` or a map with `wait`".
pub(super) fn expected(rules: Rules<'_>, formats: &[Format], schema: &Value) -> String {
    let mut parts: Vec<String> = Vec::new();
    for one in rules.alternatives(schema) {
        for part in parts_of(formats, one) {
            if !parts.contains(&part) {
                parts.push(part);
            }
        }
    }
    // Nothing is what one may always leave out; saying so is of no help unless it is all there is.
    if parts.len() > 1 {
        parts.retain(|part| part != NOTHING);
    }
    any_of(&parts)
}

const NOTHING: &str = "nothing";

fn parts_of(formats: &[Format], schema: &Value) -> Vec<String> {
    if let Some(values) = constants(schema) {
        return values.into_iter().map(constant).collect();
    }
    if let Some(format) = format_of(formats, schema) {
        return vec![format.expected.to_owned()];
    }
    let types = types(schema);
    if types.is_empty() {
        return vec!["another value".to_owned()];
    }
    types.iter().map(|name| type_name(name, schema)).collect()
}

fn type_name(name: &str, schema: &Value) -> String {
    match name {
        "null" => NOTHING,
        "boolean" => "true or false",
        "integer" => "a whole number",
        "number" => "a number",
        "string" => "text",
        "array" => "a list",
        _ => match required(schema).first() {
            Some(key) if is_closed(schema) => return format!("a map with {}", quoted(key)),
            _ => "a map",
        },
    }
    .to_owned()
}

pub(super) fn format_of<'f>(formats: &'f [Format], schema: &Value) -> Option<&'f Format> {
    let name = schema.get("format")?.as_str()?;
    formats.iter().find(|format| format.name == name)
}

/// A constant of a schema as one would write it.
pub(super) fn constant(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        other => quoted(&other.to_string()),
    }
}

/// What stands in the file: "a list", "the number 30", "the text `soon`".
pub(super) fn found(node: &Node) -> String {
    match node.data() {
        Data::Null => "nothing".to_owned(),
        Data::Bool(value) => value.to_string(),
        Data::Number(number) => format!("the number {number}"),
        Data::String(text) if text.is_empty() => "an empty text".to_owned(),
        Data::String(text) => format!("the text {}", quoted(text)),
        Data::Seq(items) if items.is_empty() => "an empty list".to_owned(),
        Data::Seq(_) => "a list".to_owned(),
        Data::Map(entries) if entries.is_empty() => "an empty map".to_owned(),
        Data::Map(_) => "a map".to_owned(),
    }
}

/// `a`, `a or b`, `a, b or c`; beyond eight the rest is "…".
pub(super) fn any_of(parts: &[String]) -> String {
    match parts {
        [] => NOTHING.to_owned(),
        [one] => one.clone(),
        many if many.len() > MAX_NAMED => format!("{}, …", many[..MAX_NAMED].join(", ")),
        [init @ .., last] => format!("{} or {last}", init.join(", ")),
    }
}
