//! Events of the YAML parser to a tree, within bounds.

use std::collections::HashMap;
use std::sync::Arc;

use granit_parser::{Event, Parser, ScalarStyle, Span as ParserSpan, StructureStyle, Tag};

use super::node::Weight;
use super::{Data, Entry, Key, MAX_FILE_BYTES, Node, file, scalar, syntax};
use crate::diagnostic::{Diagnostic, Place, Source, Span, quoted};

/// The deepest nesting of lists and maps: 64 levels, the values in the innermost included.
pub const MAX_DEPTH: usize = 64;
/// The most nodes of a tree, copies made for anchors and aliases included.
pub const MAX_NODES: usize = 100_000;
/// The most bytes of text in a tree, copies made for anchors and aliases included: 4 MiB.
pub const MAX_TEXT_BYTES: usize = 4 << 20;
/// After this many mistakes the rest of the file is not read.
const MAX_MISTAKES: usize = 100;

/// The tree, as far as it can be told, and everything that is wrong with the YAML. There is no tree after a mistake of
/// syntax, or where the tree would mislead.
pub(super) fn tree(source: &Arc<Source>) -> (Option<Node>, Vec<Diagnostic>) {
    if source.text().len() > MAX_FILE_BYTES {
        let place = Place::in_source(source, Span::at(0));
        return (None, vec![file::too_long(place)]);
    }
    let mut options = granit_parser::options! {
        disallow_directives: true,
        emit_unresolved_aliases: true,
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH,
    };
    options.set_emit_comments(false);
    let mut builder = Builder::new(source);
    for parsed in Parser::new_from_str_with_options(source.text(), options) {
        let taken = match parsed {
            Ok((event, span)) => builder.take(event, &span),
            Err(error) => Err(syntax::diagnostic(source, &error, builder.open_bracket())),
        };
        if let Err(fatal) = taken {
            builder.mistakes.push(fatal);
            return (None, builder.mistakes);
        }
    }
    builder.finish()
}

struct Builder<'s> {
    source: &'s Arc<Source>,
    open: Vec<Frame>,
    anchors: HashMap<usize, (Node, Weight)>,
    root: Option<Node>,
    documents: usize,
    nodes: usize,
    text: usize,
    mistakes: Vec<Diagnostic>,
}

/// A list or map whose end has not come.
struct Frame {
    anchor: usize,
    start: Span,
    style: StructureStyle,
    content: Content,
}

enum Content {
    Seq(Vec<Node>),
    Map { entries: Vec<Entry>, seen: HashMap<String, Span>, key: PendingKey },
}

/// What the next node of a map is.
enum PendingKey {
    /// A key.
    Awaited,
    /// The value of this key.
    Read(Key),
    /// The value of a key that is a mistake: left out.
    Refused,
}

impl<'s> Builder<'s> {
    fn new(source: &'s Arc<Source>) -> Self {
        Self {
            source,
            open: Vec::new(),
            anchors: HashMap::new(),
            root: None,
            documents: 0,
            nodes: 0,
            text: 0,
            mistakes: Vec::new(),
        }
    }

    /// One event. An error ends the reading.
    fn take(&mut self, event: Event<'_>, at: &ParserSpan) -> Result<(), Diagnostic> {
        let span = self.span(at);
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    let message = "a file holds one YAML document; here a second one begins";
                    return Err(self.error("yaml-documents", span, message).with_help("remove the `---`, or make it two files"));
                }
                Ok(())
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse_tag(tag.as_deref(), at)?;
                let node = self.scalar(&text, style, span)?;
                self.complete(node, anchor)
            }
            Event::SequenceStart(style, anchor, tag) => {
                self.refuse_tag(tag.as_deref(), at)?;
                self.open(Content::Seq(Vec::new()), style, anchor, span)
            }
            Event::MappingStart(style, anchor, tag) => {
                self.refuse_tag(tag.as_deref(), at)?;
                let content = Content::Map { entries: Vec::new(), seen: HashMap::new(), key: PendingKey::Awaited };
                self.open(content, style, anchor, span)
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(span),
            Event::Alias(anchor) => self.alias(anchor, span),
            Event::UnresolvedAlias(name) => {
                let message = format!("no anchor {} stands before this alias", quoted(&format!("&{name}")));
                let help = "put text that begins with `*` into quotes";
                self.mistake(self.error("yaml-alias", span, message).with_help(help))?;
                self.complete(Node::new(Data::Null, span), 0)
            }
            _ => Ok(()),
        }
    }

    fn finish(mut self) -> (Option<Node>, Vec<Diagnostic>) {
        let empty = Node::new(Data::Map(Vec::new()), Span::at(0));
        let root = match self.root.take() {
            // `---` and nothing else.
            Some(node) if *node.data() == Data::Null && self.source.slice(node.span()).is_empty() => empty.with_span(node.span()),
            Some(node) => node,
            None => empty,
        };
        (Some(root), self.mistakes)
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, span: Span) -> Result<Node, Diagnostic> {
        if style != ScalarStyle::Plain {
            return Ok(Node::new(Data::String(text.to_owned()), self.trimmed(span)));
        }
        if span.start == span.end {
            // For a value that is not there the parser makes a text of its own, and may stand before the colon.
            let colon = usize::from(self.source.text()[span.start..].starts_with(':'));
            return Ok(Node::new(Data::Null, Span::at(span.start + colon)));
        }
        let data = match scalar::resolve(text) {
            Ok(data) => data,
            Err(form) => {
                let message = format!("{}: {}", form.explanation(), quoted(text));
                let help = "put it into quotes if it is text, or write it as a number of JSON";
                self.mistake(self.error("yaml-number", span, message).with_help(help))?;
                Data::String(text.to_owned())
            }
        };
        Ok(Node::new(data, span))
    }

    fn open(&mut self, content: Content, style: StructureStyle, anchor: usize, start: Span) -> Result<(), Diagnostic> {
        self.check_depth(1, start)?;
        self.open.push(Frame { anchor, start, style, content });
        Ok(())
    }

    fn close(&mut self, end: Span) -> Result<(), Diagnostic> {
        let Some(frame) = self.open.pop() else {
            return Err(self.error("yaml-syntax", end, "a list or map ends that never began"));
        };
        let (data, last) = match frame.content {
            Content::Seq(items) => {
                let last = items.last().map(Node::span);
                (Data::Seq(items), last)
            }
            Content::Map { entries, .. } => {
                let last = entries.last().map(|entry| entry.value.span().max(entry.key.span));
                (Data::Map(entries), last)
            }
        };
        // A block has no end of its own: the parser reports the beginning of what follows.
        let end = match (frame.style, last) {
            (StructureStyle::Block, Some(last)) => last.end,
            (StructureStyle::Block, None) => frame.start.end,
            (StructureStyle::Flow, _) => end.end,
        };
        let span = Span::new(frame.start.start, end);
        self.complete(Node::new(data, span), frame.anchor)
    }

    /// Puts a finished node where it belongs.
    fn complete(&mut self, node: Node, anchor: usize) -> Result<(), Diagnostic> {
        let text = node.as_str().map_or(0, str::len);
        self.charge(1, text, node.span())?;
        if anchor != 0 {
            let weight = node.weight();
            self.charge(weight.nodes, weight.text, node.span())?;
            self.anchors.insert(anchor, (node.clone(), weight));
        }
        self.attach(node)
    }

    fn attach(&mut self, node: Node) -> Result<(), Diagnostic> {
        let Some(frame) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match &mut frame.content {
            Content::Seq(items) => items.push(node),
            Content::Map { entries, key, .. } => match std::mem::replace(key, PendingKey::Awaited) {
                PendingKey::Awaited => return self.key(node),
                PendingKey::Read(key) => entries.push(Entry { key, value: node }),
                PendingKey::Refused => {}
            },
        }
        Ok(())
    }

    /// Takes `node` as the next key of the innermost map.
    fn key(&mut self, node: Node) -> Result<(), Diagnostic> {
        let checked = self.key_text(&node)?;
        let next = match checked {
            None => PendingKey::Refused,
            Some(text) => self.unless_seen(Key { text, span: node.span() })?,
        };
        if let Some(Frame { content: Content::Map { key, .. }, .. }) = self.open.last_mut() {
            *key = next;
        }
        Ok(())
    }

    /// The text of a key; `None` if the entry is best left out.
    fn key_text(&mut self, node: &Node) -> Result<Option<String>, Diagnostic> {
        let span = node.span();
        let written = self.source.slice(span);
        if written == "<<" {
            let message = "merge keys (`<<`) are not read: YAML 1.2 has none, and they hide where a value comes from";
            return Err(self
                .error("merge-key", span, message)
                .with_help("write the keys out, or use an alias for a whole value"));
        }
        let (kind, text) = match node.data() {
            Data::String(text) => return Ok(Some(text.clone())),
            Data::Null => ("nothing", None),
            Data::Bool(_) => ("true or false", Some(written)),
            Data::Number(_) => ("a number", Some(written)),
            Data::Seq(_) => ("a list", None),
            Data::Map(_) => ("a map", None),
        };
        let mut found = self.error("key-not-text", span, format!("a key is text, not {kind}"));
        if let Some(text) = text {
            found = found.with_help(format!("put the key into quotes: \"{text}\""));
        }
        let text = text.map(str::to_owned);
        self.mistake(found)?;
        Ok(text)
    }

    /// The key, unless the innermost map has it already.
    fn unless_seen(&mut self, key: Key) -> Result<PendingKey, Diagnostic> {
        let Some(Frame { content: Content::Map { seen, .. }, .. }) = self.open.last_mut() else {
            return Ok(PendingKey::Refused);
        };
        let Some(first) = seen.get(&key.text).copied() else {
            seen.insert(key.text.clone(), key.span);
            return Ok(PendingKey::Read(key));
        };
        let message = format!("the key {} is given twice", quoted(&key.text));
        let twice = self
            .error("duplicate-key", key.span, message)
            .with_label(Place::in_source(self.source, first), "first given here")
            .with_help("keep one of the two");
        self.mistake(twice)?;
        Ok(PendingKey::Refused)
    }

    fn alias(&mut self, anchor: usize, span: Span) -> Result<(), Diagnostic> {
        let Some((node, weight)) = self.anchors.get(&anchor) else {
            let message = "this alias stands inside the value it refers to";
            self.mistake(self.error("yaml-alias", span, message))?;
            return self.complete(Node::new(Data::Null, span), 0);
        };
        let (weight, is_text) = (*weight, node.as_str().is_some());
        self.check_depth(weight.depth.saturating_sub(1), span)?;
        self.charge(weight.nodes, weight.text, span)?;
        // A text keeps the place of the alias, a collection that of what it holds.
        match self.anchors.get(&anchor) {
            Some((node, _)) if is_text => self.attach(node.clone().with_span(span)),
            Some((node, _)) => self.attach(node.clone()),
            None => Ok(()),
        }
    }

    fn refuse_tag(&mut self, tag: Option<&Tag>, at: &ParserSpan) -> Result<(), Diagnostic> {
        let Some(tag) = tag else {
            return Ok(());
        };
        let span = match at.tag_span() {
            Some(tag) => self.span(&tag),
            None => self.span(at),
        };
        let message = format!("tags are not read: {}", quoted(&tag.original()));
        let help = "remove the tag; put a value into quotes to make it text";
        self.mistake(self.error("yaml-tag", span, message).with_help(help))
    }

    fn check_depth(&self, more: usize, span: Span) -> Result<(), Diagnostic> {
        if self.open.len() + more < MAX_DEPTH {
            return Ok(());
        }
        let message = format!("lists and maps are nested more than {MAX_DEPTH} levels deep");
        Err(self.error("yaml-limit", span, message))
    }

    fn charge(&mut self, nodes: usize, text: usize, span: Span) -> Result<(), Diagnostic> {
        self.nodes += nodes;
        self.text += text;
        let copies = "copies made for anchors and aliases included";
        if self.nodes > MAX_NODES {
            let message = format!("the file holds more than {MAX_NODES} values, {copies}");
            return Err(self.error("yaml-limit", span, message));
        }
        if self.text > MAX_TEXT_BYTES {
            let message = format!("the file holds more than 4 MiB of text, {copies}");
            return Err(self.error("yaml-limit", span, message));
        }
        Ok(())
    }

    /// Keeps a mistake after which reading goes on, unless there are too many.
    fn mistake(&mut self, found: Diagnostic) -> Result<(), Diagnostic> {
        if self.mistakes.len() + 1 >= MAX_MISTAKES {
            return Err(found.with_note("there are more mistakes than these; the rest of the file is not read"));
        }
        self.mistakes.push(found);
        Ok(())
    }

    fn error(&self, code: &'static str, span: Span, message: impl Into<String>) -> Diagnostic {
        Diagnostic::error(code, Place::in_source(self.source, span), message)
    }

    fn open_bracket(&self) -> Option<Span> {
        let frame = self.open.last()?;
        (frame.style == StructureStyle::Flow).then_some(frame.start)
    }

    fn span(&self, at: &ParserSpan) -> Span {
        let end_of_text = self.source.text().len();
        match at.byte_range() {
            Some(range) => Span::new(range.start, range.end),
            None => Span::at(end_of_text),
        }
    }

    /// A block scalar ends with its last line of content, not with the blank lines after it.
    fn trimmed(&self, span: Span) -> Span {
        let written = self.source.slice(span).trim_end();
        Span::new(span.start, span.start + written.len())
    }
}
