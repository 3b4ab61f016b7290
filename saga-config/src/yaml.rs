//! YAML text to a tree in which everything knows its place.
//!
//! Refrain's files are read as YAML 1.2.2 with the core schema, less what makes a file mean something else than it
//! shows: no merge keys, no tags, no directives, no second document, no keys but text. `yes`, `no`, `on` and `off` are
//! text. Numbers are those of JSON, and their digits are kept. Anchors and aliases work, and are copied: a node reached
//! through an alias knows the place of its anchor.
//!
//! Bounds: [`MAX_FILE_BYTES`] of text, [`MAX_DEPTH`] levels, [`MAX_NODES`] nodes and [`MAX_TEXT_BYTES`] of text after
//! aliases are copied. No input panics.
//!
//! ```
//! use saga_config::diagnostic::Source;
//! use saga_config::yaml::{Document, Pointer};
//!
//! let source = Source::new("refrain.yaml", "upstreams:\n  psp: {idempotency_window: 24h}\n");
//! let document = Document::parse(&source).expect("it is sound YAML");
//! let window = Pointer::root().child("upstreams").child("psp").child("idempotency_window");
//! assert_eq!(document.node(&window).and_then(|node| node.as_str()), Some("24h"));
//! assert_eq!(document.place(&window).to_string(), "refrain.yaml:2:29");
//! assert_eq!(document.key_place(&window).to_string(), "refrain.yaml:2:9");
//! ```

mod build;
mod file;
mod node;
mod pointer;
mod scalar;
mod syntax;
#[cfg(test)]
mod tests;

use std::ops::Range;
use std::sync::Arc;

pub use build::{MAX_DEPTH, MAX_NODES, MAX_TEXT_BYTES};
pub use file::{MAX_FILE_BYTES, decode, read_file};
pub use node::{Data, Entry, Key, Node};
pub use pointer::{Pointer, PointerError};

use crate::diagnostic::{Diagnostic, Place, Source, Span, has_errors};

/// A file as a tree, with its text.
#[derive(Debug, Clone)]
pub struct Document {
    source: Arc<Source>,
    root: Node,
}

impl Document {
    /// Reads the one YAML document in `source`. An empty file is an empty map.
    ///
    /// # Errors
    ///
    /// Everything found wrong, in the order of the file. After a mistake of syntax the rest is not read.
    pub fn parse(source: &Arc<Source>) -> Result<Self, Vec<Diagnostic>> {
        let (document, diagnostics) = Self::recover(source);
        match document {
            Some(document) if !has_errors(&diagnostics) => Ok(document),
            _ => Err(diagnostics),
        }
    }

    /// Like [`Self::parse`], but gives the tree as far as it can be told beside the errors, for further checks.
    pub fn recover(source: &Arc<Source>) -> (Option<Self>, Vec<Diagnostic>) {
        let (root, diagnostics) = build::tree(source);
        let document = root.map(|root| Self { source: Arc::clone(source), root });
        (document, diagnostics)
    }

    /// The file.
    pub fn source(&self) -> &Arc<Source> {
        &self.source
    }

    /// The top of the tree.
    pub fn root(&self) -> &Node {
        &self.root
    }

    /// The node at `pointer`.
    pub fn node(&self, pointer: &Pointer) -> Option<&Node> {
        (pointer.tokens()).try_fold(&self.root, |node, token| node.child(token))
    }

    /// The bytes of the value at `pointer`.
    pub fn span(&self, pointer: &Pointer) -> Option<Span> {
        self.node(pointer).map(Node::span)
    }

    /// The bytes of the key at `pointer`; `None` for the root, for items of a list, and where nothing is.
    pub fn key_span(&self, pointer: &Pointer) -> Option<Span> {
        let parent = self.node(&pointer.parent()?)?;
        Some(parent.entry(pointer.last()?)?.key.span)
    }

    /// Where to point for the value at `pointer`. If it is not there, the key of what should hold it.
    pub fn place(&self, pointer: &Pointer) -> Place {
        match self.span(pointer) {
            Some(span) => self.at(span),
            None => self.holder(pointer),
        }
    }

    /// Where to point for the key at `pointer`: the item itself in a list, the key of the holder if it is not there.
    pub fn key_place(&self, pointer: &Pointer) -> Place {
        let found = self.key_span(pointer).or_else(|| self.span(pointer));
        match found {
            Some(span) if !pointer.is_root() => self.at(span),
            _ => self.holder(pointer),
        }
    }

    /// Where to point for a part of the text at `pointer`, such as one expression in a template.
    ///
    /// `part` counts bytes of the value. Where escapes or line folding hide the part in the file, the whole value.
    pub fn place_within(&self, pointer: &Pointer, part: Range<usize>) -> Place {
        let found = self.node(pointer).and_then(|node| {
            let text = node.as_str()?;
            let written = self.source.slice(node.span());
            let piece = text.get(part.clone())?;
            let offset = match written.find(text) {
                Some(offset) => offset + part.start,
                None => only_occurrence(written, piece)?,
            };
            let start = node.span().start + offset;
            Some(self.at(Span::new(start, start + piece.len())))
        });
        found.unwrap_or_else(|| self.place(pointer))
    }

    /// The place of a span of this file.
    pub fn at(&self, span: Span) -> Place {
        Place::in_source(&self.source, span)
    }

    /// The key of the nearest existing ancestor, or the beginning of the file.
    fn holder(&self, pointer: &Pointer) -> Place {
        let mut pointer = pointer.parent();
        while let Some(at) = pointer {
            let found = self.key_span(&at).or_else(|| self.span(&at));
            match found {
                Some(span) if !at.is_root() => return self.at(span),
                _ => pointer = at.parent(),
            }
        }
        self.at(Span::at(self.root.span().start))
    }
}

fn only_occurrence(text: &str, piece: &str) -> Option<usize> {
    let first = text.find(piece).filter(|_| !piece.is_empty())?;
    (text.rfind(piece) == Some(first)).then_some(first)
}
