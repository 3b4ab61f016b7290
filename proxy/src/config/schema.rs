//! The JSON Schema of the file, for editors.

use serde_json::{Map, Value};

use super::raw::Raw;

/// The JSON Schema (2020-12) of `refrain.yaml`. Every key has a description, which ends with its default if it has one.
pub fn schema() -> Value {
    let mut schema = schemars::schema_for!(Raw).to_value();
    tell_defaults(&mut schema);
    schema
}

/// The JSON Schema (2020-12) of a saga's file, likewise.
pub fn saga_schema() -> Value {
    let mut schema = saga_config::saga::schema().to_value();
    tell_defaults(&mut schema);
    schema
}

/// Most editors show a description, and only some a default. As deep as our own types nest.
fn tell_defaults(schema: &mut Value) {
    match schema {
        Value::Object(keywords) => {
            tell_default(keywords);
            tell_of_alternative(keywords);
            keywords.iter_mut().filter(|(name, _)| *name != "default").for_each(|(_, value)| tell_defaults(value));
        }
        Value::Array(values) => values.iter_mut().for_each(tell_defaults),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// What an alternative with one key says of itself, its key says: editors show it there.
fn tell_of_alternative(keywords: &mut Map<String, Value>) {
    let Some(description) = keywords.get("description").cloned() else { return };
    let Some(properties) =
        keywords.get_mut("properties").and_then(Value::as_object_mut).filter(|properties| properties.len() == 1)
    else {
        return;
    };
    for property in properties.values_mut().filter_map(Value::as_object_mut) {
        property.entry("description").or_insert_with(|| description.clone());
    }
}

fn tell_default(keywords: &mut Map<String, Value>) {
    let shown = match keywords.get("default") {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => return,
    };
    if let Some(Value::String(description)) = keywords.get_mut("description") {
        description.push_str(&format!(" Default: `{shown}`."));
    }
}
