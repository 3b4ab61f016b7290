//! What the dialect has a name for and this version cannot do. It is refused by that name, never read and ignored.

use crate::{
    diagnostic::{Diagnostic, quoted},
    yaml::{Document, Node, Pointer},
};

/// Keys of a step, and what to do instead.
const OF_STEPS: [(&str, &str); 2] = [
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
            continue;
        }
        for (inner, at) in inner_lists(step, &at) {
            in_list(document, inner, &at, found, left_out);
        }
    }
}

/// The lists that stand in a step.
fn inner_lists<'n>(step: &'n Node, at: &Pointer) -> Vec<(&'n Node, Pointer)> {
    let mut lists = Vec::new();
    let mut add = |holder: &'n Node, at: &Pointer, key: &str| lists.extend(holder.child(key).map(|list| (list, at.child(key))));
    add(step, at, "steps");
    if let Some(group) = step.child("parallel") {
        add(group, &at.child("parallel"), "steps");
    }
    for (index, arm) in step.child("switch").into_iter().flat_map(Node::items).enumerate() {
        let at = at.child("switch").child(index);
        add(arm, &at, "steps");
        add(arm, &at, "else");
    }
    lists
}
