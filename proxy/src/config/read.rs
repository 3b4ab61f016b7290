//! A file's text to its mirror, with as much as can be read of a file that has mistakes in its form.
//!
//! What does not fit is left out, and the rest is read all the same, so that a file's mistakes of form and of meaning are told in one
//! run. What was left out is remembered: nothing is said of it twice.

use std::sync::Arc;

use saga_config::{
    diagnostic::{Diagnostic, Place, Source, Span, has_errors},
    schema::{check_with, pointer_along},
    yaml::{Document, Node, Pointer},
};
use serde_json::Value;

use super::{findings::Findings, masking, raw::Raw, raw::text::formats, unsupported};

/// After this many values that had to be left out one by one, the rest is not read.
const MAX_LEFT_OUT: usize = 100;

/// The mirror of a file, and what is wrong with its form.
///
/// # Errors
///
/// Everything that is wrong, if so little can be read that nothing else can be said.
pub(super) fn read(source: &Arc<Source>) -> Result<(Raw, Findings), Vec<Diagnostic>> {
    let (document, mistakes) = Document::recover(source);
    let Some(written) = document else {
        let masked = masking::masked_text(source);
        return Err(mistakes.into_iter().map(|mistake| onto(&masked, &mistake)).collect());
    };
    // What people see never holds a secret; the bytes stay where they are.
    let (shown, mut found) = match masking::masked(&written) {
        None => (Some(written.clone()), mistakes),
        Some(masked) => Document::recover(&masked),
    };
    let Some(shown) = shown else { return Err(found) };
    unsupported::find(&shown, &mut found);
    let schema = schemars::schema_for!(Raw);
    for mistake in check_with(&shown, &schema, &formats()) {
        // What is wrong as YAML, or known and not supported, would only be reported again.
        if found.iter().all(|known| known.place() != mistake.place()) {
            found.push(mistake);
        }
    }
    let left_out =
        found.iter().filter(|mistake| mistake.code() != "missing-key").filter_map(|mistake| blamed(&shown, mistake)).collect();
    deserialize(&written, shown, left_out, found)
}

fn deserialize(
    written: &Document,
    shown: Document,
    mut left_out: Vec<Pointer>,
    mut found: Vec<Diagnostic>,
) -> Result<(Raw, Findings), Vec<Diagnostic>> {
    let mut tree = written.root().to_json();
    left_out.iter().for_each(|at| remove(&mut tree, at));
    for _ in 0..MAX_LEFT_OUT {
        match serde_path_to_error::deserialize(&tree) {
            Ok(raw) => return Ok((raw, Findings::of_file(shown, left_out, found))),
            Err(error) => {
                let at = without_index(&shown, pointer_along(&shown, error.path()));
                if !left_out.iter().any(|known| is_within(known, &at)) {
                    found.push(Diagnostic::error("invalid-value", shown.place(&at), error.inner().to_string()));
                }
                if at.is_root() {
                    break;
                }
                remove(&mut tree, &at);
                left_out.push(at);
            }
        }
    }
    debug_assert!(has_errors(&found), "what cannot be read has a mistake");
    Err(found)
}

/// What a mistake is about. Of a list, all: its other items keep their places.
fn blamed(document: &Document, mistake: &Diagnostic) -> Option<Pointer> {
    let Place::InSource { span, .. } = mistake.place() else { return None };
    let at = deepest(document.root(), &Pointer::root(), *span)?;
    Some(without_index(document, at))
}

fn deepest(node: &Node, at: &Pointer, span: Span) -> Option<Pointer> {
    let holds = |outer: Span| outer.start <= span.start && span.end <= outer.end;
    let below = |node: &Node, at: Pointer| holds(node.span()).then(|| deepest(node, &at, span).unwrap_or(at));
    let mut entries = node.entries().iter().map(|entry| (&entry.value, at.child(&entry.key.text), entry.key.span == span));
    let in_entries = entries.find_map(|(value, at, is_key)| if is_key { Some(at) } else { below(value, at) });
    in_entries.or_else(|| node.items().iter().enumerate().find_map(|(index, item)| below(item, at.child(index))))
}

fn without_index(document: &Document, mut at: Pointer) -> Pointer {
    while let Some(parent) = at.parent() {
        if document.node(&parent).is_none_or(|holder| holder.items().is_empty()) {
            break;
        }
        at = parent;
    }
    at
}

fn remove(tree: &mut Value, at: &Pointer) {
    let (Some(parent), Some(key)) = (at.parent(), at.last()) else { return };
    if let Some(Value::Object(entries)) = tree.pointer_mut(&parent.to_string()) {
        entries.shift_remove(key);
    }
}

fn is_within(inner: &Pointer, outer: &Pointer) -> bool {
    let mut inner = inner.tokens();
    outer.tokens().all(|token| inner.next() == Some(token))
}

/// The same mistake in a text with the same offsets.
fn onto(source: &Arc<Source>, mistake: &Diagnostic) -> Diagnostic {
    let place = |place: &Place| match place {
        Place::InSource { span, .. } => Place::in_source(source, *span),
        Place::Elsewhere(name) => Place::elsewhere(name),
    };
    let mut moved = Diagnostic::error(mistake.code(), place(mistake.place()), mistake.message());
    for label in mistake.labels() {
        moved = moved.with_label(place(&label.place), &label.text);
    }
    for note in mistake.notes() {
        moved = moved.with_note(note);
    }
    match mistake.help() {
        Some(help) => moved.with_help(help),
        None => moved,
    }
}
