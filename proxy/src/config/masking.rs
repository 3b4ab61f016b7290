//! Secrets that stand in a file, hidden from everything that shows the file: a diagnostic repeats the line it is about.
//!
//! Passwords in URLs are there rightly; a secret where `{file: …}` or `{env: …}` should stand is a mistake, and must not be repeated
//! either. The masked text has the same bytes at the same places otherwise.

use std::sync::Arc;

use saga_config::{
    diagnostic::{Source, Span},
    yaml::{Data, Document, Node, Pointer},
};

/// The same file without its secrets; `None` if there are none.
pub(super) fn masked(document: &Document) -> Option<Arc<Source>> {
    let mut spans = Vec::new();
    collect(document, document.root(), &Pointer::root(), &mut spans);
    (!spans.is_empty()).then(|| {
        let source = document.source();
        Source::new(source.name(), with_masks(source.text(), &spans))
    })
}

/// The same text without what looks like a password in a URL, for a file that is no YAML.
pub(super) fn masked_text(source: &Source) -> Arc<Source> {
    let text = source.text();
    let is_end = |c: char| c.is_whitespace() || matches!(c, '"' | '\'');
    let spans = text.match_indices("://").filter_map(|(at, slashes)| {
        let start = at + slashes.len();
        let word = text[start..].split(is_end).next().unwrap_or_default();
        word.rfind('@').map(|end| Span::new(start, start + end))
    });
    Source::new(source.name(), with_masks(text, &spans.collect::<Vec<_>>()))
}

fn collect(document: &Document, node: &Node, at: &Pointer, spans: &mut Vec<Span>) {
    let tokens: Vec<&str> = at.tokens().collect();
    match node.data() {
        Data::Map(entries) => entries.iter().for_each(|entry| collect(document, &entry.value, &at.child(&entry.key.text), spans)),
        Data::Seq(items) => {
            for (index, item) in items.iter().enumerate() {
                collect(document, item, &at.child(index), spans);
            }
        }
        Data::Null => {}
        Data::Bool(_) | Data::Number(_) | Data::String(_) => match tokens[..] {
            ["secrets", _, "file"] => {}
            ["secrets", _, "env"] if is_variable(node) => {}
            ["secrets", ..] => spans.push(inside_quotes(document, node)),
            ["store", "encryption", "keys", _, "key"]
            | ["saga_peers", "key"]
            | ["upstreams", _, "auth"]
            | ["upstreams", _, "auth", "bearer"] => spans.push(inside_quotes(document, node)),
            ["store", "encryption", "keys", _, "key", "env"]
            | ["saga_peers", "key", "env"]
            | ["upstreams", _, "auth", "bearer", "env"]
                if !is_variable(node) =>
            {
                spans.push(inside_quotes(document, node));
            }
            ["store", "url"] => spans.extend(credentials(document, node, |rest| rest)),
            _ => spans.extend(credentials(document, node, |rest| rest.split(['/', '?', '#']).next().unwrap_or_default())),
        },
    }
}

/// Whether it can be the name of an environment variable.
fn is_variable(node: &Node) -> bool {
    node.as_str().is_some_and(super::secrets::is_variable)
}

/// What stands before the last `@` of the part of a URL that `part` takes out of what follows `://`.
fn credentials(document: &Document, node: &Node, part: impl Fn(&str) -> &str) -> Option<Span> {
    let text = document.source().slice(node.span());
    let start = text.find("://")? + 3;
    let end = part(&text[start..]).rfind('@')?;
    let from = node.span().start + start;
    Some(Span::new(from, from + end))
}

fn inside_quotes(document: &Document, node: &Node) -> Span {
    let span = node.span();
    match document.source().slice(span).as_bytes() {
        [b'"', .., b'"'] | [b'\'', .., b'\''] => Span::new(span.start + 1, span.end - 1),
        _ => span,
    }
}

fn with_masks(text: &str, spans: &[Span]) -> String {
    let mut masked = text.as_bytes().to_vec();
    for span in spans {
        let end = span.end.min(masked.len());
        // Line breaks stay: they are what columns and block scalars hang at.
        masked[span.start.min(end)..end].iter_mut().filter(|byte| !byte.is_ascii_whitespace()).for_each(|byte| *byte = b'x');
    }
    String::from_utf8_lossy(&masked).into_owned()
}
