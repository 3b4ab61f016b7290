//! What of a schema the check would pass over.

use serde_json::Value;

use super::format::Format;
use crate::yaml::Pointer;

/// Keywords that say nothing about validity.
const ANNOTATIONS: &[&str] = &[
    "$comment",
    "$defs",
    "$id",
    "$schema",
    "default",
    "deprecated",
    "description",
    "examples",
    "readOnly",
    "title",
    "writeOnly",
];
/// Keywords that hold one schema.
const ONE: &[&str] = &["additionalProperties", "items", "propertyNames"];
/// Keywords that hold a list of schemas.
const LIST: &[&str] = &["allOf", "anyOf", "oneOf", "prefixItems"];
/// Keywords that hold a map of schemas.
const MAP: &[&str] = &["$defs", "properties"];
/// Keywords with plain values.
const PLAIN: &[&str] = &[
    "$ref",
    "const",
    "enum",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "required",
    "type",
    "uniqueItems",
];
/// The formats of numbers; those of text are the caller's.
const NUMBER_FORMATS: &[&str] =
    &["double", "float", "int", "int16", "int32", "int64", "int8", "uint", "uint16", "uint32", "uint64", "uint8"];

/// The JSON pointers of all keywords in `schema` that [`check_with`](super::check_with) does not understand.
///
/// A format whose schema has any is checked by its deserialiser alone in that point: one mistake at a time, with a
/// rougher place. A test for every format keeps this empty.
pub fn unsupported_keywords(schema: &schemars::Schema, formats: &[Format]) -> Vec<String> {
    let mut found = Vec::new();
    collect(schema.as_value(), formats, &Pointer::root(), &mut found);
    found
}

fn collect(schema: &Value, formats: &[Format], at: &Pointer, found: &mut Vec<String>) {
    let Some(keywords) = schema.as_object() else {
        return;
    };
    let text_format = super::expected::format_of(formats, schema).is_some();
    for (name, value) in keywords {
        let at = at.child(name);
        let name = name.as_str();
        let known = match name {
            "format" => text_format || value.as_str().is_some_and(|format| NUMBER_FORMATS.contains(&format)),
            "pattern" => text_format,
            "$ref" => value.as_str().is_some_and(|target| target.starts_with('#')),
            _ => name.starts_with("x-") || [ANNOTATIONS, ONE, LIST, MAP, PLAIN].iter().any(|list| list.contains(&name)),
        };
        if !known {
            found.push(at.to_string());
        }
        if ONE.contains(&name) {
            collect(value, formats, &at, found);
        }
        let inner = match value {
            Value::Array(list) if LIST.contains(&name) => {
                list.iter().enumerate().map(|(index, one)| (at.child(index), one)).collect()
            }
            Value::Object(map) if MAP.contains(&name) => map.iter().map(|(key, one)| (at.child(key), one)).collect(),
            _ => Vec::new(),
        };
        for (at, one) in inner {
            collect(one, formats, &at, found);
        }
    }
}
