//! The tree.

use serde_json::Number;

use crate::diagnostic::Span;

/// A value with the bytes it was written with.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    data: Data,
    span: Span,
}

/// What a [`Node`] holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Data {
    /// `null`, `~`, or nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, with the digits it was written with.
    Number(Number),
    /// Text, plain or quoted.
    String(String),
    /// A list.
    Seq(Vec<Node>),
    /// A map, in the order of the file; no key is there twice.
    Map(Vec<Entry>),
}

/// A key and its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: Key,
    /// The value.
    pub value: Node,
}

/// A key with the bytes it was written with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// The key, without quotes.
    pub text: String,
    /// Where it stands.
    pub span: Span,
}

impl Node {
    pub(super) fn new(data: Data, span: Span) -> Self {
        Self { data, span }
    }

    /// The value.
    pub fn data(&self) -> &Data {
        &self.data
    }

    /// The bytes of the value, quotes and brackets included. Of a value that is not written: the empty span where
    /// it would begin.
    pub fn span(&self) -> Span {
        self.span
    }

    pub(super) fn with_span(self, span: Span) -> Self {
        Self { span, ..self }
    }

    /// The text, if it is text.
    pub fn as_str(&self) -> Option<&str> {
        match &self.data {
            Data::String(text) => Some(text),
            _ => None,
        }
    }

    /// The items, if it is a list; none otherwise.
    pub fn items(&self) -> &[Node] {
        match &self.data {
            Data::Seq(items) => items,
            _ => &[],
        }
    }

    /// The entries, if it is a map; none otherwise.
    pub fn entries(&self) -> &[Entry] {
        match &self.data {
            Data::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The entry with this key, if it is a map.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key.text == key)
    }

    /// The value under a key, or the item at a decimal index (RFC 6901 section 4).
    pub fn child(&self, token: &str) -> Option<&Node> {
        match &self.data {
            Data::Map(_) => self.entry(token).map(|entry| &entry.value),
            Data::Seq(items) => {
                let canonical = token == "0" || !token.starts_with(['0', '+']);
                let index = canonical.then(|| token.parse::<usize>().ok()).flatten()?;
                items.get(index)
            }
            _ => None,
        }
    }

    /// The value as JSON. Digits of numbers and the order of keys are kept.
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::Value;
        match &self.data {
            Data::Null => Value::Null,
            Data::Bool(value) => Value::Bool(*value),
            Data::Number(number) => Value::Number(number.clone()),
            Data::String(text) => Value::String(text.clone()),
            Data::Seq(items) => items.iter().map(Self::to_json).collect(),
            Data::Map(entries) => {
                let members = entries.iter().map(|e| (e.key.text.clone(), e.value.to_json()));
                Value::Object(members.collect())
            }
        }
    }

    /// How many nodes, levels and bytes of text a copy would hold.
    pub(super) fn weight(&self) -> Weight {
        let mut weight = Weight { nodes: 1, depth: 1, text: self.as_str().map_or(0, str::len) };
        weight.text += self.entries().iter().map(|e| e.key.text.len()).sum::<usize>();
        let values = self.entries().iter().map(|entry| &entry.value);
        for child in self.items().iter().chain(values) {
            let below = child.weight();
            weight.nodes += below.nodes;
            weight.text += below.text;
            weight.depth = weight.depth.max(below.depth + 1);
        }
        weight
    }
}

/// What a node costs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Weight {
    pub(super) nodes: usize,
    pub(super) depth: usize,
    pub(super) text: usize,
}
