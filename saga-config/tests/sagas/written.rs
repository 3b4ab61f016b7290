//! The same tree as YAML of another style.

use std::fmt::Write as _;

use serde_json::Value;

/// Writes YAML whose styles are drawn from a seed.
pub(crate) struct Writer {
    seed: u64,
    text: String,
}

impl Writer {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, text: String::new() }
    }

    /// A whole file.
    pub(crate) fn write(mut self, tree: &Value) -> String {
        if self.draw(3) == 0 {
            self.text.push_str("# A comment.\n---\n");
        }
        self.block(tree, 0);
        self.text
    }

    /// A number below `bound`.
    fn draw(&mut self, bound: u64) -> u64 {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.seed >> 33) % bound
    }

    /// A value on lines of its own, each ended.
    fn block(&mut self, value: &Value, indent: usize) {
        let entries: Vec<(Option<&str>, &Value)> = match value {
            Value::Object(entries) => entries.iter().map(|(key, value)| (Some(key.as_str()), value)).collect(),
            Value::Array(items) => items.iter().map(|item| (None, item)).collect(),
            _ => Vec::new(),
        };
        if entries.is_empty() {
            self.text.push_str(&" ".repeat(indent));
            self.flow(value);
            return self.end_of_line();
        }
        for (key, value) in entries {
            self.interlude();
            self.text.push_str(&" ".repeat(indent));
            match key {
                Some(key) => {
                    self.quoted(key);
                    self.text.push(':');
                }
                None => self.text.push('-'),
            }
            let is_nested = matches!(value, Value::Object(entries) if !entries.is_empty())
                || matches!(value, Value::Array(items) if !items.is_empty());
            if is_nested && self.draw(3) > 0 {
                self.end_of_line();
                let more = 1 + usize::try_from(self.draw(4)).unwrap_or_default();
                self.block(value, indent + more);
            } else {
                let spaces = 1 + usize::try_from(self.draw(3)).unwrap_or_default();
                self.text.push_str(&" ".repeat(spaces));
                match value {
                    Value::String(text) if is_line(text) && self.draw(3) == 0 => {
                        let _ = write!(self.text, "|-\n{}{text}\n", " ".repeat(indent + 2));
                    }
                    _ => {
                        self.flow(value);
                        self.end_of_line();
                    }
                }
            }
        }
    }

    /// A value between brackets, or in quotes.
    fn flow(&mut self, value: &Value) {
        match value {
            Value::String(text) => self.quoted(text),
            Value::Object(entries) => {
                self.text.push('{');
                for (index, (key, value)) in entries.iter().enumerate() {
                    self.separator(index);
                    self.quoted(key);
                    self.text.push_str(": ");
                    self.flow(value);
                }
                self.text.push('}');
            }
            Value::Array(items) => {
                self.text.push('[');
                for (index, item) in items.iter().enumerate() {
                    self.separator(index);
                    self.flow(item);
                }
                self.text.push(']');
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {
                let _ = write!(self.text, "{value}");
            }
        }
    }

    fn separator(&mut self, index: usize) {
        if index > 0 {
            let separator = if self.draw(2) == 0 { ", " } else { " ,  " };
            self.text.push_str(separator);
        }
    }

    fn quoted(&mut self, text: &str) {
        let is_word = text.starts_with(|c: char| c.is_ascii_alphabetic())
            && text.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_' || c == b'-')
            && !["true", "false", "null"].contains(&text.to_lowercase().as_str());
        let has_control = text.contains(|c: char| c.is_control());
        match self.draw(3) {
            0 if is_word => self.text.push_str(text),
            1 if !has_control => {
                let _ = write!(self.text, "'{}'", text.replace('\'', "''"));
            }
            // What JSON escapes, YAML reads.
            _ => {
                let _ = write!(self.text, "{}", Value::from(text));
            }
        }
    }

    fn end_of_line(&mut self) {
        let end = match self.draw(4) {
            0 => "  # why\n",
            1 => " \n",
            _ => "\n",
        };
        self.text.push_str(end);
    }

    fn interlude(&mut self) {
        let line = match self.draw(6) {
            0 => "\n",
            // Further to the right it would be a part of the block above.
            1 => "# a comment on a line of its own\n",
            _ => "",
        };
        self.text.push_str(line);
    }
}

/// Whether a text can stand as a block of one line.
fn is_line(text: &str) -> bool {
    !text.is_empty() && !text.contains(|c: char| c.is_control()) && !text.starts_with(' ') && !text.starts_with('#')
}
