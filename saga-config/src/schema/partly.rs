//! From a tree with mistakes to a Rust value, with as much of it as can be read.
//!
//! What does not fit is left out, and the rest is read all the same, so that a file's mistakes of form and of meaning are told in one
//! run. What was left out is known: nothing needs to be said of it twice.

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::pointer_along;
use crate::diagnostic::{Diagnostic, Place, Span, has_errors};
use crate::yaml::{Document, Node, Pointer};

/// After this many values that had to be left out one by one, the rest is not read.
const MAX_LEFT_OUT: usize = 200;

/// After this many mistakes none is added: nobody reads more of them.
const MAX_FOUND: usize = 100;

/// A value, and what of its document is not in it.
#[derive(Debug)]
pub struct Partly<T> {
    /// The value.
    pub value: T,
    /// What was left out.
    pub left_out: Vec<Pointer>,
    /// What is wrong.
    pub found: Vec<Diagnostic>,
}

/// Takes what is sound of `document` as a `T`. `found` is what is known to be wrong, such as what [`check_with`](super::check_with)
/// says; `left_out` is not looked at whatever it is.
///
/// A wrong value of a map is taken out of it. A wrong item of a list becomes `null` if `T` takes that, so that the others keep their
/// places, and else the list is taken out.
///
/// # Errors
///
/// Everything that is wrong, if so little can be read that there is no `T`.
pub fn read_partly<T: DeserializeOwned>(
    document: &Document,
    left_out: Vec<Pointer>,
    found: Vec<Diagnostic>,
) -> Result<Partly<T>, Vec<Diagnostic>> {
    let mut partly = Partly { value: document.root().to_json(), left_out: Vec::new(), found };
    left_out.into_iter().for_each(|at| partly.leave_out(at));
    let wrong = partly.found.iter().filter(|mistake| is_about_a_value(mistake)).filter_map(|mistake| blamed(document, mistake));
    for at in wrong.collect::<Vec<_>>() {
        partly.leave_out(at);
    }
    for _ in 0..MAX_LEFT_OUT {
        // As text: a `Value` gives numbers beyond 64 bits in a way that a `Value` does not take.
        let text = partly.value.to_string();
        match serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_str(&text)) {
            Ok(value) => return Ok(Partly { value, left_out: partly.left_out, found: partly.found }),
            Err(error) => {
                let at = pointer_along(document, error.path());
                let is_new = !partly.left_out.iter().any(|known| known.is_within(&at));
                if is_new && partly.found.len() < MAX_FOUND {
                    partly.found.push(Diagnostic::error("invalid-value", document.place(&at), without_place(error.inner())));
                }
                if at.is_root() {
                    break;
                }
                partly.leave_out(at);
            }
        }
    }
    debug_assert!(has_errors(&partly.found), "what cannot be read has a mistake");
    Err(partly.found)
}

/// The message without the place in the text that was made up here.
fn without_place(error: &serde_json::Error) -> String {
    let place = format!(" at line {} column {}", error.line(), error.column());
    let message = error.to_string();
    message.strip_suffix(&place).map(str::to_owned).unwrap_or(message)
}

fn is_about_a_value(mistake: &Diagnostic) -> bool {
    has_errors(std::slice::from_ref(mistake)) && mistake.code() != "missing-key"
}

impl Partly<Value> {
    /// Takes a map's value out, and an item of a list by `null`; what is `null` already goes with its list.
    fn leave_out(&mut self, mut at: Pointer) {
        while let (Some(parent), Some(last)) = (at.parent(), at.last()) {
            match self.value.pointer_mut(&parent.to_string()) {
                Some(Value::Object(entries)) => {
                    entries.shift_remove(last);
                    break;
                }
                Some(Value::Array(items)) => {
                    let item = last.parse().ok().and_then(|index: usize| items.get_mut(index));
                    if let Some(item) = item.filter(|item| !item.is_null()) {
                        *item = Value::Null;
                        break;
                    }
                    at = parent;
                }
                // Something around it was left out.
                _ => break,
            }
        }
        if !self.left_out.contains(&at) {
            self.left_out.push(at);
        }
    }
}

/// The value that a mistake is about.
pub fn blamed(document: &Document, mistake: &Diagnostic) -> Option<Pointer> {
    let Place::InSource { span, .. } = mistake.place() else { return None };
    deepest(document.root(), &Pointer::root(), *span)
}

fn deepest(node: &Node, at: &Pointer, span: Span) -> Option<Pointer> {
    let holds = |outer: Span| outer.start <= span.start && span.end <= outer.end;
    let below = |node: &Node, at: Pointer| holds(node.span()).then(|| deepest(node, &at, span).unwrap_or(at));
    let mut entries = node.entries().iter().map(|entry| (&entry.value, at.child(&entry.key.text), entry.key.span == span));
    let in_entries = entries.find_map(|(value, at, is_key)| if is_key { Some(at) } else { below(value, at) });
    in_entries.or_else(|| node.items().iter().enumerate().find_map(|(index, item)| below(item, at.child(index))))
}
