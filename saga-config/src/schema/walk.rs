//! A document held against a schema.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::expected::{expected, format_of, found};
use super::format::Format;
use super::rules::{Kind, MAX_HOPS, Rules, branches, constants, types};
use super::{map, scalar, union};
use crate::diagnostic::{Diagnostic, Span, did_you_mean, quoted};
use crate::yaml::{Data, Document, Node};

/// The most diagnostics of one document.
const MAX_FOUND: usize = 100;

/// The state of one check.
pub(super) struct Checker<'a> {
    pub(super) document: &'a Document,
    pub(super) rules: Rules<'a>,
    pub(super) formats: &'a [Format],
    /// The properties of the maps around the current node, from the outermost.
    pub(super) around: Vec<&'a Map<String, Value>>,
    /// Whether a node fits a schema, by their addresses, so that nested alternatives are tried once each.
    fits: HashMap<(*const Node, *const Value), bool>,
    /// Above 0 while trying; nothing is reported then.
    trying: usize,
    found: Vec<Diagnostic>,
    more: bool,
}

/// What surrounds the node that is visited.
#[derive(Clone, Copy)]
pub(super) struct Around<'c> {
    /// Where to point for what is missing in the node: its key, or the node's beginning.
    pub(super) holder: Span,
    /// References and branches followed since the last step into the document.
    pub(super) hops: usize,
    /// Keys that are known to other alternatives than the one at hand.
    pub(super) rivals: &'c [&'c str],
}

impl Around<'_> {
    /// For a value that hangs at `holder`.
    pub(super) fn at(holder: Span) -> Self {
        Self { holder, hops: 0, rivals: &[] }
    }

    pub(super) fn hop(self) -> Self {
        Self { hops: self.hops + 1, ..self }
    }
}

impl<'a> Checker<'a> {
    pub(super) fn new(document: &'a Document, schema: &'a Value, formats: &'a [Format]) -> Self {
        Self {
            document,
            rules: Rules::new(schema),
            formats,
            around: Vec::new(),
            fits: HashMap::new(),
            trying: 0,
            found: Vec::new(),
            more: false,
        }
    }

    pub(super) fn run(mut self) -> Vec<Diagnostic> {
        let (root, schema) = (self.document.root(), self.rules.root());
        let top = Span::at(root.span().start);
        self.visit(root, schema, Around::at(top));
        if self.more
            && let Some(last) = self.found.pop()
        {
            self.found.push(last.with_note("there are more mistakes than these"));
        }
        self.found
    }

    /// Whether `node` fits; if not, and this is no trial, says why.
    pub(super) fn visit(&mut self, node: &'a Node, schema: &'a Value, around: Around<'_>) -> bool {
        // Only a schema that refers to itself without end comes here; the deserialiser still judges the value.
        if around.hops > MAX_HOPS {
            return true;
        }
        if *schema == Value::Bool(false) {
            self.report(node.span(), "not-allowed", || ("no value is allowed here".to_owned(), None));
            return false;
        }
        let mut fits = match self.rules.reference(schema) {
            Some(target) => self.visit(node, target, around.hop()),
            None => true,
        };
        if !self.has_type(node, schema) {
            self.wrong_type(node, schema);
            return false;
        }
        fits &= self.is_listed(node, schema);
        fits &= match node.data() {
            Data::String(text) => scalar::text(self, node, text, schema),
            Data::Number(number) => scalar::number(self, node, number, schema),
            Data::Seq(items) => self.items(node, items, schema),
            Data::Map(entries) => map::entries(self, entries, schema, around),
            Data::Null | Data::Bool(_) => true,
        };
        for all in schema.get("allOf").and_then(Value::as_array).into_iter().flatten() {
            fits &= self.visit(node, all, around.hop());
        }
        if !branches(schema).is_empty() {
            fits &= union::visit(self, node, schema, around.hop());
        }
        fits
    }

    /// Whether `node` fits, without a word.
    pub(super) fn fits(&mut self, node: &'a Node, schema: &'a Value, around: Around<'_>) -> bool {
        let key = (std::ptr::from_ref(node), std::ptr::from_ref(schema));
        if let Some(known) = self.fits.get(&key) {
            return *known;
        }
        self.trying += 1;
        let fits = self.visit(node, schema, Around { rivals: &[], ..around });
        self.trying -= 1;
        self.fits.insert(key, fits);
        fits
    }

    /// Whether nothing that is reported now would be kept.
    pub(super) fn is_silent(&self) -> bool {
        self.trying > 0 || self.more
    }

    /// Adds an error at `span`, made only when it is wanted: the message, and what would be right.
    pub(super) fn report(&mut self, span: Span, code: &'static str, say: impl FnOnce() -> (String, Option<String>)) {
        self.report_with(|document| {
            let (message, help) = say();
            let found = Diagnostic::error(code, document.at(span), message);
            match help {
                Some(help) => found.with_help(help),
                None => found,
            }
        });
    }

    pub(super) fn report_with(&mut self, make: impl FnOnce(&Document) -> Diagnostic) {
        if self.is_silent() {
            return;
        }
        if self.found.len() >= MAX_FOUND {
            self.more = true;
            return;
        }
        self.found.push(make(self.document));
    }

    pub(super) fn expected(&self, schema: &Value) -> String {
        expected(self.rules, self.formats, schema)
    }

    pub(super) fn wrong_type(&mut self, node: &'a Node, schema: &'a Value) {
        let expected = self.expected(schema);
        let cure = self.cure(node, schema);
        self.report(node.span(), "wrong-type", || (format!("expected {expected}, found {}", found(node)), cure));
    }

    /// A value that is none of the listed words.
    pub(super) fn unknown_value(&mut self, node: &'a Node, words: &[&str], schema: &'a Value) {
        let near = node.as_str().and_then(|text| did_you_mean(text, words.iter().copied()));
        let expected = self.expected(schema);
        let what = match node.as_str() {
            Some(text) if !text.is_empty() => quoted(text),
            _ => found(node),
        };
        self.report(node.span(), "unknown-value", || match near {
            Some(near) => (format!("unknown value {what}"), Some(format!("did you mean {}?", quoted(near)))),
            None => (format!("unknown value {what}, expected {expected}"), None),
        });
    }

    fn has_type(&self, node: &Node, schema: &'a Value) -> bool {
        let types = types(schema);
        let integer_only = types.contains(&"integer") && !types.contains(&"number");
        match node.data() {
            Data::Number(number) if integer_only => scalar::is_whole(number),
            _ if types.is_empty() => true,
            _ => types.iter().any(|name| Kind::of_type(name) == Some(Kind::of(node))),
        }
    }

    fn is_listed(&mut self, node: &'a Node, schema: &'a Value) -> bool {
        let Some(values) = constants(schema) else {
            return true;
        };
        let value = node.to_json();
        if values.contains(&&value) {
            return true;
        }
        let words: Vec<&str> = values.iter().filter_map(|value| value.as_str()).collect();
        if self.rules.admits(schema, Kind::of(node)) {
            self.unknown_value(node, &words, schema);
        } else {
            self.wrong_type(node, schema);
        }
        false
    }

    fn items(&mut self, node: &'a Node, items: &'a [Node], schema: &'a Value) -> bool {
        let mut fits = scalar::length(self, node.span(), "list", items.len(), schema);
        let first = schema.get("prefixItems").and_then(Value::as_array);
        let first: &[Value] = first.map_or(&[], Vec::as_slice);
        for (index, item) in items.iter().enumerate() {
            let rule = first.get(index).or_else(|| schema.get("items"));
            if let Some(rule) = rule {
                fits &= self.visit(item, rule, Around::at(beginning(item)));
            }
        }
        if schema.get("uniqueItems") == Some(&Value::Bool(true)) {
            fits &= self.unique(items);
        }
        fits
    }

    fn unique(&mut self, items: &'a [Node]) -> bool {
        let mut seen: HashMap<String, Span> = HashMap::new();
        let mut unique = true;
        for item in items {
            let Some(first) = seen.insert(item.to_json().to_string(), item.span()) else {
                continue;
            };
            unique = false;
            self.report_with(|document| {
                Diagnostic::error("duplicate-item", document.at(item.span()), "this item is in the list already")
                    .with_label(document.at(first), "first given here")
            });
        }
        unique
    }

    /// What to do about a value of the wrong type.
    fn cure(&self, node: &Node, schema: &'a Value) -> Option<String> {
        let admits = |kind| self.rules.admits(schema, kind);
        match node.data() {
            Data::Null => return Some("give it a value, or remove the key".to_owned()),
            Data::Number(_) | Data::Bool(_) if admits(Kind::String) => {
                return self.cure_as_text(node, schema);
            }
            Data::String(text) if admits(Kind::Bool) && SWITCHES.contains(&text.to_lowercase().as_str()) => {
                return Some("write true or false".to_owned());
            }
            Data::String(text) if admits(Kind::Number) => {
                let plain = text.replace('_', "");
                if plain.parse::<serde_json::Number>().is_ok() {
                    return Some(format!("write {plain}, without quotes or underscores"));
                }
            }
            _ => {}
        }
        let is_list = matches!(node.data(), Data::Seq(_));
        (admits(Kind::Seq) && !is_list).then(|| self.cure_as_list(node))
    }

    fn cure_as_list(&self, node: &Node) -> String {
        let written = self.document.source().slice(node.span());
        let simple = written.len() <= MAX_EXAMPLE && !written.contains(['\n', ',', '[', ']', '{', '}', '#']);
        let example = if simple { written } else { "a, b" };
        format!("write a list: [{example}], or one item per line, each after `- `")
    }

    fn cure_as_text(&self, node: &Node, schema: &'a Value) -> Option<String> {
        let written = self.document.source().slice(node.span());
        let alternatives = self.rules.alternatives(schema);
        let format = alternatives.iter().find_map(|one| format_of(self.formats, one));
        if let Some(format) = format {
            return (format.parse)(written).err();
        }
        let mut texts = alternatives.into_iter().filter(|one| self.rules.admits(one, Kind::String));
        let takes_it = texts.any(|one| self.rules.words(one).is_none_or(|words| words.contains(&written)));
        takes_it.then(|| format!("put it into quotes: \"{written}\""))
    }
}

/// The most bytes of a value that a help repeats in full.
const MAX_EXAMPLE: usize = 40;

/// The words that YAML 1.1 took for booleans.
const SWITCHES: [&str; 6] = ["yes", "no", "on", "off", "y", "n"];

/// Where to point for what is missing in an item of a list: its first key, or its first character.
fn beginning(item: &Node) -> Span {
    match item.entries().first() {
        Some(first) => first.key.span,
        None => Span::new(item.span().start, item.span().start + 1),
    }
}
