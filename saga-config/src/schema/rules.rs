//! Reading a JSON Schema.

use serde_json::{Map, Value};

use crate::yaml::{Data, Node};

/// The kinds of values that JSON Schema tells apart by `type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    Bool,
    Number,
    String,
    Seq,
    Map,
}

impl Kind {
    pub(super) fn of(node: &Node) -> Self {
        match node.data() {
            Data::Null => Self::Null,
            Data::Bool(_) => Self::Bool,
            Data::Number(_) => Self::Number,
            Data::String(_) => Self::String,
            Data::Seq(_) => Self::Seq,
            Data::Map(_) => Self::Map,
        }
    }

    fn of_value(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(_) => Self::Bool,
            Value::Number(_) => Self::Number,
            Value::String(_) => Self::String,
            Value::Array(_) => Self::Seq,
            Value::Object(_) => Self::Map,
        }
    }

    pub(super) fn of_type(name: &str) -> Option<Self> {
        Some(match name {
            "null" => Self::Null,
            "boolean" => Self::Bool,
            "number" | "integer" => Self::Number,
            "string" => Self::String,
            "array" => Self::Seq,
            "object" => Self::Map,
            _ => return None,
        })
    }
}

/// How many `$ref`s and branches may follow one another without a step into the document. A schema that needs more
/// turns in a circle.
pub(super) const MAX_HOPS: usize = 32;

/// A whole schema, which `$ref`s point into.
#[derive(Clone, Copy)]
pub(super) struct Rules<'a> {
    root: &'a Value,
}

impl<'a> Rules<'a> {
    pub(super) fn new(root: &'a Value) -> Self {
        Self { root }
    }

    pub(super) fn root(self) -> &'a Value {
        self.root
    }

    /// The target of `$ref`, `None` if there is no reference.
    pub(super) fn reference(self, schema: &'a Value) -> Option<&'a Value> {
        let pointer = schema.get("$ref")?.as_str()?.strip_prefix('#')?;
        self.root.pointer(pointer)
    }

    /// The schema behind a chain of `$ref`s.
    pub(super) fn resolved(self, schema: &'a Value) -> &'a Value {
        let mut schema = schema;
        for _ in 0..MAX_HOPS {
            match self.reference(schema) {
                Some(target) => schema = target,
                None => break,
            }
        }
        schema
    }

    /// The alternatives of a schema with `anyOf` or `oneOf`, those of nested ones in their place. A schema without is
    /// its only alternative.
    pub(super) fn alternatives(self, schema: &'a Value) -> Vec<&'a Value> {
        let mut out = Vec::new();
        self.collect_alternatives(schema, 0, &mut out);
        out
    }

    fn collect_alternatives(self, schema: &'a Value, hops: usize, out: &mut Vec<&'a Value>) {
        let schema = self.resolved(schema);
        let inner = branches(schema);
        if inner.is_empty() || schema.get("type").is_some() || hops > MAX_HOPS {
            out.push(schema);
            return;
        }
        for branch in inner {
            self.collect_alternatives(branch, hops + 1, out);
        }
    }

    /// Whether a value of this kind could fit `schema`, by its `type`, `const` and `enum` alone.
    pub(super) fn admits(self, schema: &'a Value, kind: Kind) -> bool {
        self.alternatives(schema).into_iter().any(|one| {
            let types = types(one);
            if !types.is_empty() {
                return types.iter().any(|name| Kind::of_type(name) == Some(kind));
            }
            match constants(one) {
                Some(values) => values.iter().any(|value| Kind::of_value(value) == kind),
                None => *one != Value::Bool(false),
            }
        })
    }

    /// The string values a schema lists in `const` or `enum`, if it lists any values.
    pub(super) fn words(self, schema: &'a Value) -> Option<Vec<&'a str>> {
        let values = constants(self.resolved(schema))?;
        Some(values.into_iter().filter_map(Value::as_str).collect())
    }
}

/// The names in `type`; none if it is absent.
pub(super) fn types(schema: &Value) -> Vec<&str> {
    match schema.get("type") {
        Some(Value::String(name)) => vec![name],
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

/// The values in `const` or `enum`, if there are any.
pub(super) fn constants(schema: &Value) -> Option<Vec<&Value>> {
    if let Some(value) = schema.get("const") {
        return Some(vec![value]);
    }
    let values = schema.get("enum")?.as_array()?;
    Some(values.iter().collect())
}

/// The schemas in `anyOf` and `oneOf`.
pub(super) fn branches(schema: &Value) -> Vec<&Value> {
    let list = |keyword| schema.get(keyword).and_then(Value::as_array);
    let both = [list("anyOf"), list("oneOf")];
    both.into_iter().flatten().flatten().collect()
}

/// The `properties` of a schema.
pub(super) fn properties(schema: &Value) -> Option<&Map<String, Value>> {
    schema.get("properties")?.as_object()
}

/// The names in `required`.
pub(super) fn required(schema: &Value) -> Vec<&str> {
    let names = schema.get("required").and_then(Value::as_array);
    names.into_iter().flatten().filter_map(Value::as_str).collect()
}

/// Whether unknown keys are refused.
pub(super) fn is_closed(schema: &Value) -> bool {
    schema.get("additionalProperties") == Some(&Value::Bool(false))
}
