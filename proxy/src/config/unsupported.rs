//! What the format has a name for and this version cannot do. It is refused by that name, never read and ignored.

use saga_config::{
    diagnostic::{Diagnostic, quoted},
    yaml::{Document, Node, Pointer},
};

/// Where (`*` is any key or item), and what to do instead.
const UNSUPPORTED: [(&[&str], &str); 11] = [
    (&["sagas"], "remove it: this version makes keyed requests happen once, and runs no sagas"),
    (&["secrets"], "remove it: only sagas and upstream credentials use secrets"),
    (&["public_url"], "remove it: only sagas have addresses of their own"),
    (
        &["authentication"],
        "remove it, and let the service verify tokens; `idempotency.scope` can be any expression over the request",
    ),
    (&["saga_peers", "mtls"], "use `key` or `networks`"),
    (&["upstreams", "*", "auth"], "remove it: clients' own credentials are passed on"),
    (&["upstreams", "*", "breaker"], "remove it, and bound the requests under way with `max_in_flight`"),
    (&["upstreams", "*", "idempotency_window"], "remove it: only sagas look at it"),
    (&["listen", "*", "transparent"], "remove it, and send clients to the address itself"),
    (&["listen", "*", "tls"], "remove it, and let what stands in front end TLS"),
    (&["listen", "*", "proxy_protocol"], "remove it: clients' addresses are those of their TCP connections"),
];

/// Reports everything in `document` that is not supported yet.
pub(super) fn find(document: &Document, found: &mut Vec<Diagnostic>) {
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
