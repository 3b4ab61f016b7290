//! What the format has a name for and this version cannot do. It is refused by that name, never read and ignored.

use saga_config::{
    diagnostic::{Diagnostic, quoted},
    yaml::{Document, Node, Pointer},
};

/// Where (`*` is any key or item), and what to do instead.
const UNSUPPORTED: [(&[&str], &str); 4] = [
    (&["saga_peers", "mtls"], "use `key` or `networks`"),
    (&["listen", "*", "transparent"], "remove it, and send clients to the address itself"),
    (&["listen", "*", "tls"], "remove it, and let what stands in front end TLS"),
    (&["listen", "*", "proxy_protocol"], "remove it: clients' addresses are those of their TCP connections"),
];

/// Values of a key that are known and not supported.
const UNSUPPORTED_DURABILITY: [&str; 2] = ["decisions", "all"];

/// Reports everything in `document` that is not supported yet.
pub(super) fn find(document: &Document, found: &mut Vec<Diagnostic>) {
    let durability = Pointer::root().child("sagas").child("durability");
    if let Some(value) = document.node(&durability).and_then(Node::as_str).filter(|text| UNSUPPORTED_DURABILITY.contains(text)) {
        let message = format!("`sagas.durability: {value}` is not supported yet");
        let help = "write `store`: an entry counts as written when the store says so, and how safe that is, its own settings say";
        found.push(Diagnostic::error("not-supported", document.place(&durability), message).with_help(help));
    }
    for (path, instead) in UNSUPPORTED {
        for at in places(document.root(), &Pointer::root(), path) {
            let name = path.iter().copied().filter(|token| *token != "*").collect::<Vec<_>>().join(".");
            let message = format!("{} is not supported yet", quoted(&name));
            found.push(Diagnostic::error("not-supported", document.key_place(&at), message).with_help(instead));
        }
    }
}

fn places(node: &Node, at: &Pointer, path: &[&str]) -> Vec<Pointer> {
    let Some((first, rest)) = path.split_first() else { return vec![at.clone()] };
    let below = |node: &Node, token: String| places(node, &at.child(token), rest);
    if *first != "*" {
        return node.entry(first).map(|entry| below(&entry.value, (*first).to_owned())).unwrap_or_default();
    }
    let entries = node.entries().iter().flat_map(|entry| below(&entry.value, entry.key.text.clone()));
    let items = node.items().iter().enumerate().flat_map(|(index, item)| below(item, index.to_string()));
    entries.chain(items).collect()
}
