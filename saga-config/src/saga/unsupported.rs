//! What the dialect has a name for and this version cannot do. It is refused by that name, never read and ignored.

use crate::{
    diagnostic::{Diagnostic, quoted},
    yaml::{Document, Node, Pointer},
};

/// Keys of a step, and what to do instead.
const OF_STEPS: [(&str, &str); 4] = [
    ("switch", "write `when` at each step"),
    ("foreach", "send the list in one call, or start a saga for each item"),
    ("wait", "let the saga end here, and start another when the answer comes"),
    ("accept", "let the service answer when it is done, or ask it with `outcome: {pending: …}`"),
];

/// Reports every step in `document` that is not supported yet, and gives what of those steps is not looked at: everything but what says
/// which they are and what they wait for.
pub(super) fn find(document: &Document, found: &mut Vec<Diagnostic>) -> Vec<Pointer> {
    let mut left_out = Vec::new();
    if let Some(steps) = document.root().child("steps") {
        in_list(document, steps, &Pointer::root().child("steps"), found, &mut left_out);
    }
    left_out
}

/// As deep as the file nests at most.
fn in_list(document: &Document, list: &Node, at: &Pointer, found: &mut Vec<Diagnostic>, left_out: &mut Vec<Pointer>) {
    for (index, step) in list.items().iter().enumerate() {
        let at = at.child(index);
        let known = OF_STEPS.iter().filter(|(key, _)| step.entry(key).is_some());
        let mut is_supported = true;
        for (key, instead) in known {
            is_supported = false;
            let message = format!("{} is not supported yet", quoted(key));
            found.push(Diagnostic::error("not-supported", document.key_place(&at.child(key)), message).with_help(*instead));
        }
        if !is_supported {
            let keys = step.entries().iter().map(|entry| entry.key.text.as_str());
            left_out.extend(keys.filter(|key| !matches!(*key, "id" | "needs")).map(|key| at.child(key)));
        } else if let Some(inner) = step.child("parallel").and_then(|group| group.child("steps")) {
            in_list(document, inner, &at.child("parallel").child("steps"), found, left_out);
        }
    }
}
