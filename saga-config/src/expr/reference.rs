//! A path into the bound JSON, such as `request.body.items[0].?sku`, taken out of the expression at load.

use std::fmt;

use serde_json::Value;

use super::EvalError;

/// A path that an expression reads, and how it reads it.
///
/// Checks at load go over these: which step's output is used, and whether its absence is provided for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    pub(super) root: String,
    pub(super) segments: Vec<Segment>,
    pub(super) reading: Reading,
    pub(super) offset: Option<usize>,
}

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// What is selected.
    pub key: Key,
    /// Written with `?`: absence is a value, not an error.
    pub optional: bool,
}

/// What a [`Segment`] selects.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// A map's entry: `.name` or `['name']`.
    Field(String),
    /// A list's item, counted from 0.
    Index(usize),
}

/// What an expression wants of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// The value, which has to be there.
    Value,
    /// The value if it is there: a segment of the path is optional.
    Optional,
    /// `has(path)`: whether the last segment is there. What leads to it has to be.
    Presence,
    /// `size(path)`: how many characters, items or entries.
    Size,
}

impl Reference {
    /// The name the path begins with.
    pub fn root(&self) -> &str {
        &self.root
    }

    /// The steps after the root.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// How the path is read.
    pub fn reading(&self) -> Reading {
        self.reading
    }

    /// Where in the expression's source the path stands, in bytes, where it is known.
    pub fn offset_bytes(&self) -> Option<usize> {
        self.offset
    }

    /// Whether reading this path needs the value at `path` (`["request", "body"]`), all of it or a part.
    pub fn touches(&self, path: &[&str]) -> bool {
        let Some((root, fields)) = path.split_first() else {
            return true;
        };
        self.root == *root
            && self.segments.iter().zip(fields).all(|(segment, field)| matches!(&segment.key, Key::Field(name) if name == field))
    }

    /// Follows the path from `value`, to which the first `from` segments led. `Ok(None)` is an absent optional.
    pub(super) fn follow<'v>(&self, value: &'v Value, from: usize) -> Result<Option<&'v Value>, EvalError> {
        self.follow_to(value, from, self.segments.len())
    }

    /// Whether the last segment is there; a `null` is. The first `from` segments led to `value`.
    pub(super) fn is_present(&self, value: &Value, from: usize) -> Result<bool, EvalError> {
        let Some(last) = self.segments.len().checked_sub(1).filter(|last| from <= *last) else {
            return Ok(true);
        };
        let Some(parent) = self.follow_to(value, from, last)? else {
            return Ok(false);
        };
        match (&self.segments[last].key, parent) {
            (Key::Field(name), Value::Object(map)) => Ok(map.contains_key(name)),
            _ => Err(self.mismatch(last, parent)),
        }
    }

    fn follow_to<'v>(&self, start: &'v Value, from: usize, to: usize) -> Result<Option<&'v Value>, EvalError> {
        let mut value = start;
        let mut optional = self.segments[..from].iter().any(|segment| segment.optional);
        for (at, segment) in self.segments[..to].iter().enumerate().skip(from) {
            optional |= segment.optional;
            value = match (self.step(at, value), optional) {
                (Ok(next), _) => next,
                // As in CEL, `a.?b.c` forgives that `b` is absent, not that it is a number.
                (Err(error @ EvalError::WrongType(_)), true)
                    if !segment.optional && matches!(segment.key, Key::Field(_)) && !value.is_array() =>
                {
                    return Err(error);
                }
                (Err(_), true) => return Ok(None),
                (Err(error), false) => return Err(error),
            };
        }
        Ok(Some(value))
    }

    fn step<'v>(&self, at: usize, value: &'v Value) -> Result<&'v Value, EvalError> {
        match (&self.segments[at].key, value) {
            (Key::Field(name), Value::Object(map)) => {
                map.get(name).ok_or_else(|| EvalError::Missing { path: Some(self.up_to(at)), field: name.clone() })
            }
            (Key::Index(index), Value::Array(items)) => {
                items.get(*index).ok_or_else(|| EvalError::OutOfBounds { path: self.up_to(at), index: *index, len: items.len() })
            }
            _ => Err(self.mismatch(at, value)),
        }
    }

    fn mismatch(&self, at: usize, value: &Value) -> EvalError {
        let path = self.up_to(at);
        let what = match &self.segments[at].key {
            Key::Field(name) => format!("it has no field `{name}`"),
            Key::Index(index) => format!("it has no item [{index}]"),
        };
        EvalError::WrongType(format!("`{path}` is {}; {what}", super::value::kind(value)))
    }

    fn up_to(&self, count: usize) -> String {
        let mut path = self.root.clone();
        for segment in &self.segments[..count] {
            segment.append_to(&mut path);
        }
        path
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.up_to(self.segments.len()))
    }
}

impl Segment {
    fn append_to(&self, path: &mut String) {
        let mark = if self.optional { "?" } else { "" };
        match &self.key {
            Key::Field(name) if is_plain(name) => {
                path.extend([".", mark, name]);
            }
            Key::Field(name) => path.extend(["[", mark, "'", name, "']"]),
            Key::Index(index) => path.extend(["[", mark, &index.to_string(), "]"]),
        }
    }
}

fn is_plain(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}
