use saga_config::diagnostic::Severity;

use super::*;

/// Mistakes of form and of meaning, in YAML, in one file.
const MANY: &str = r#"listen: localhost:8080
store: {url: "redis+cluster://cache:6379", timeout: 5}
upstreams:
  orders: {url: http://127.0.0.1:8001, local: true}
  billing: {url: 127.0.0.1:8102, refrian: true}
idempotency:
  ttl: 5m
  lease: 100ms
  key: {from: "${reqest.body.id}", min_length: 300}
  store: {statuses: [2xx, 600]}
authentication: {jwt: {issuer: a}}
routes:
  - match: {path: "orders/{id}"}
    upstream: order
  - match: {path: /a, methods: [post]}
  - match: {prefix: /b/}
    access: sagas
  - match: {prefix: /b/}
  - match: {prefix: /b/}
    upstream: billing
"#;

#[test]
fn every_mistake_of_a_file_is_told_at_once_with_its_place() {
    let found = try_load(MANY).unwrap_err();
    insta::assert_snapshot!(render(&found, Colour::Never));
}

#[test]
fn the_form_of_a_key_is_judged_where_it_stands() {
    let start = format!("{LOCAL}idempotency: ");
    let at = |rest: &str| format!("{start}{rest}\n");
    one_mistake(
        &at("{key: {min_length: 10, max_length: 5}}"),
        "2:33: error: `min_length` (10) is more than `max_length` (5): no key could be right (swap them, or change one)",
    );
    one_mistake(&at("{key: {max_length: 1025}}"), "2:33: error: must be at most 1024, found 1025");
    one_mistake(
        &at("{key: {headers: []}}"),
        "2:30: error: without a header and without `from` no request has a key (name a header, or turn it `off`)",
    );
    one_mistake(
        &at("{key: {headers: ['X-Key:']}}"),
        "2:31: error: `X-Key:` is not a header's name: letters, digits and `-`, without a colon (write a header's name such as Idempotency-Key)",
    );
    one_mistake(&at("{key: {format: uid}}"), "2:29: error: unknown value `uid` (did you mean `uuid`?)");
    one_mistake(
        &at("{key: {format: {regex: '[a'}}}"),
        "2:37: error: this regular expression does not compile: unclosed character class (write a regular expression such as [a-z0-9]{20})",
    );
    one_mistake(
        &at("{fingerprint: {exclude: [a]}}"),
        "2:39: error: a JSON pointer begins with `/`, like `/items/0/price` (the empty pointer is the whole body) (write a JSON pointer such as /items/0/price)",
    );
    one_mistake(
        &at("{fingerprint: {json: raw, exclude: [/a]}}"),
        "2:49: error: nothing can be left out where every byte counts (`json: raw`) (leave `exclude` out, or write `json: canonical`)",
    );
}

#[test]
fn expressions_are_compiled_with_the_names_that_will_be_there() {
    let at = |rest: &str| format!("{LOCAL}idempotency: {rest}\n");
    one_mistake(&at("{key: {from: '${response.body}'}}"), "2:30: error: there is no `response` here (there is claims, request)");
    one_mistake(
        &at("{key: {from: request.body.id}}"),
        "2:27: error: this has to be one expression, `${…}`, and nothing else (write ${request.body.id})",
    );
    one_mistake(
        &at("{key: {from: 'a-${request.path}'}}"),
        "2:27: error: this has to be one expression, `${…}`, and nothing else (put everything into one ${…}: \"${'a-' + request.path}\")",
    );
    one_mistake(&at("{key: {from: '${request.bdy.id}'}}"), "2:30: error: `request` has no `bdy` (did you mean `request.body`?)");
    one_mistake(
        &at("{scope: \"${request.headers['X-Tenant']}\"}"),
        "2:25: error: headers are named in lower case here, `X-Tenant` is never there (write headers['x-tenant'])",
    );
    one_mistake(&at("{scope: globl}"), "2:22: error: this scope is the same text for every request (did you mean `global`?)");
    one_mistake(
        &at("{scope: tenants}"),
        "2:22: error: this scope is the same text for every request (write `authorization`, `global`, or a text with `${…}` over `claims` and `request`)",
    );
    one_mistake(&at("{scope: '${request.path'}"), "2:23: error: this `${` is never closed (write `$${` for a literal `${`)");
}

#[test]
fn durations_are_in_order() {
    let at = |rest: &str| format!("{LOCAL}idempotency: {rest}\n");
    let message = |ttl, execution, lease| {
        format!(
            "`ttl` ({ttl}) has to be longer than `max_execution` ({execution}) and `lease` ({lease}) together: a request could still act when its record is gone"
        )
    };
    one_mistake(
        &at("{ttl: 5m3s}"),
        &format!("2:20: error: {} (write a `ttl` over 5m3s, or a shorter `max_execution`)", message("5m3s", "5m", "3s")),
    );
    assert!(try_load(&at("{ttl: 5m3s1ms}")).is_ok());
    one_mistake(
        &at("{max_execution: 48h}"),
        &format!("2:30: error: {} (write a `ttl` over 2d3s, or a shorter `max_execution`)", message("1d", "2d", "3s")),
    );
    one_mistake(&at("{lease: 199ms}"), "2:22: error: a lease of 199ms lapses between two renewals (write at least 200ms)");
    one_mistake(&at("{on_in_flight: {wait: 0s}}"), "2:36: error: this is no time at all (write a duration such as 1s)");
    one_mistake(&at("{max_request_body: {size: 0}}"), "2:40: error: nothing has this size (write a size such as 64KiB)");
    one_mistake(&format!("{LOCAL}limits: {{drain: 0s}}\n"), "2:17: error: this is no time at all (write a duration such as 1s)");
    one_mistake(&format!("{LOCAL}limits: {{in_flight: 0}}\n"), "2:21: error: must be at least 1, found 0");
    let upstream = "upstreams: {a: {url: http://a, local: true, max_execution: 2d}}";
    one_mistake(
        upstream,
        &format!("1:60: error: {} (write a `ttl` over 2d3s, or a shorter `max_execution`)", message("1d", "2d", "3s")),
    );
    let warned = warnings("upstreams: {a: {url: http://a, local: true, response_timeout: 10m}}");
    assert_eq!(
        warned,
        [
            "1:13: warning: a request is given up after `max_execution` (5m), before `response_timeout` (10m) of `a` is over (make `response_timeout` the shorter one)"
        ]
    );
}

#[test]
fn a_probe_can_be_trusted_or_is_refused() {
    let at = |probe: &str| format!("{LOCAL}idempotency:\n  on_unknown: {{probe: {{{probe}}}}}\n");
    let sound = "done: '${response.status == 200}'";
    one_mistake(
        &at(&format!("call: 'GET /x/${{key}}', {sound}")),
        "3:30: error: this call uses `key`, which any client can choose: it could ask for what another request did (say with `when` for which requests the service can tell, or set `access: saga` for the route)",
    );
    assert!(try_load(&at(&format!("when: '${{true}}', call: 'GET /x/${{key}}', {sound}"))).is_ok());
    assert!(try_load(&at(&format!("call: 'HEAD /x/${{request.body.id}}', {sound}"))).is_ok());
    one_mistake(
        &at(&format!("call: POST /x, {sound}")),
        "3:30: error: a probe only asks, it does not act: POST could (use GET or HEAD)",
    );
    one_mistake(
        &at(&format!("call: psp GET /x, {sound}")),
        "3:30: error: a probe asks the route's own upstream, `orders`, not `psp` (leave the upstream's name out)",
    );
    one_mistake(
        &at(&format!("call: 'GET ${{request.path}}', {sound}")),
        "3:30: error: a probe's path begins with `/` (write it like GET /orders/?reference=${key})",
    );
    one_mistake(&at("call: GET /x"), "3:16: error: missing key `done`");
    one_mistake(
        &at("call: GET /x, done: '${response.stats == 200}'"),
        "3:47: error: `response` has no `stats` (did you mean `response.status`?)",
    );
    one_mistake(
        &at("call: 'GET /${response.body.id}', done: '${true}'"),
        "3:38: error: there is no `response` here (there is key, request)",
    );
    let response = "response: {status: 200, body: {a: ['${response.bdy}']}}";
    one_mistake(
        &at(&format!("call: GET /x, {sound}, {response}")),
        "3:111: error: `response` has no `bdy` (did you mean `response.body`?)",
    );
    let status = "response: {status: '20', body: {}}";
    one_mistake(
        &at(&format!("call: GET /x, {sound}, {status}")),
        "3:92: error: this has to be one expression, `${…}`, and nothing else (write ${20})",
    );
    assert_eq!(
        warnings(&at(&format!("call: GET /x, after: 1m, {sound}"))),
        [
            "3:45: warning: a request may act for `max_execution`, 5m: a \"not done\" before that may be wrong, and it would act twice (leave `after` out, or write at least 5m)"
        ]
    );
}

#[test]
fn a_probe_for_saga_calls_may_use_the_key() {
    let route = "on_unknown: {probe: {call: 'GET /x/${key}', done: '${true}'}}";
    let text = format!("{LOCAL}routes: [{{match: {{path: /a}}, access: saga, idempotency: {{{route}}}}}]\n");
    assert!(try_load(&text).is_ok());
}

#[test]
fn a_route_goes_somewhere() {
    let other = "upstreams: {orders: {url: http://a}}\n";
    one_mistake(
        "",
        "1:1: error: there is no upstream: requests have nowhere to go (give one with `--upstream URL`, or with `upstreams: {orders: {url: http://127.0.0.1:8001, local: true}}`)",
    );
    one_mistake(
        &format!("{other}routes: [{{match: {{path: /a}}}}]"),
        "2:10: error: this route names no upstream, and none is `local` (name one with `upstream`, or mark the service beside this Refrain with `local: true`)",
    );
    one_mistake(
        &format!("{other}routes: [{{match: {{path: /a}}, upstream: oders}}]"),
        "2:40: error: there is no upstream `oders` (did you mean `orders`?)",
    );
    one_mistake(
        &format!("{other}routes: [{{match: {{path: /a}}, upstream: psp}}]"),
        "2:40: error: there is no upstream `psp` (the upstreams are `orders`)",
    );
    one_mistake(
        "upstreams: {a: {url: http://a, local: true}, b: {url: http://b, local: true}}",
        "1:72: error: another upstream is `local` already: a sidecar stands beside one service (leave `local: true` at the service beside this Refrain)",
    );
}

#[test]
fn routes_are_told_apart() {
    let at = |routes: &str| format!("{LOCAL}routes:\n{routes}");
    let ambiguous = "this route and an earlier one take the same requests, and neither is more specific (tell them apart by path, methods or host, or remove one)";
    one_mistake(
        &at("- {match: {path: /a, methods: [GET, PUT]}}\n- {match: {methods: [PUT], path: /a}}\n"),
        &format!("4:11: error: {ambiguous}"),
    );
    one_mistake(&at("- {match: {template: '/a/{x}'}}\n- {match: {template: '/a/{y}'}}\n"), &format!("4:11: error: {ambiguous}"));
    assert!(
        try_load(&at("- {match: {path: /a, methods: [GET]}}\n- {match: {path: /a}}\n- {match: {path: /a, host: b}}\n")).is_ok()
    );
    one_mistake(
        &at("- {match: {path: /a, prefix: /b/}}\n"),
        "3:22: error: `prefix` cannot stand beside `path` (keep one of them)",
    );
    one_mistake(&at("- {match: {}}\n"), "3:11: error: this matches everything (write prefix: \"/\" if that is meant)");
    one_mistake(&at("- {upstream: orders}\n"), "3:4: error: missing key `match`");
    one_mistake(&at("- {match: {path: '/a/*'}}\n"), "3:18: error: `*` is no pattern here (write prefix: `/a/`)");
    one_mistake(
        &at("- {match: {host: 'a:80'}}\n"),
        "3:18: error: a host is matched without its port: write a (write a host without port such as shop.example)",
    );
    assert_eq!(
        warnings(&at("- {match: {prefix: /a}}\n")),
        ["3:20: warning: this matches `/a-and-more` as well (write `/a/` if that is not meant)"]
    );
}

#[test]
fn a_route_of_steps_that_says_to_resend_is_told_that_steps_say_it_themselves() {
    let on =
        |access: &str| format!("{LOCAL}routes: [{{match: {{path: /a}}, access: {access}, idempotency: {{on_unknown: resend}}}}]");
    let told = "2:70: warning: only steps of sagas come here, and whether a step is sent again the step says: this has no effect \
                (write `effect: idempotent` at the step, or ask the service with a `probe` here)";
    assert_eq!(warnings(&on("saga")), [told]);
    assert!(warnings(&on("public")).is_empty());
    // Said for all routes, it is meant for others.
    assert!(
        warnings(&format!("{LOCAL}idempotency: {{on_unknown: resend}}\nroutes: [{{match: {{path: /a}}, access: saga}}]"))
            .is_empty()
    );
}

#[test]
fn what_is_not_supported_yet_is_refused_by_name() {
    for (written, name) in [
        ("sagas: {durability: decisions}", "sagas.durability: decisions"),
        ("sagas: {durability: all}", "sagas.durability: all"),
        ("saga_peers: {mtls: []}", "saga_peers.mtls"),
        ("listen: [{address: '127.0.0.1:1', transparent: true}]", "listen.transparent"),
        ("listen: [{address: '127.0.0.1:1', tls: {}}]", "listen.tls"),
        ("listen: [{address: '127.0.0.1:1', proxy_protocol: true}]", "listen.proxy_protocol"),
    ] {
        let found = mistakes(&format!("{LOCAL}{written}\n"));
        assert!(found.len() == 1 && found[0].contains(&format!("`{name}` is not supported yet")), "{found:?}");
    }
    for url in ["redis+sentinel://a", "redis+cluster://a"] {
        let found = mistakes(&format!("{LOCAL}store: {{url: {url}}}"));
        assert!(found.len() == 1 && found[0].contains("is not supported yet"), "{found:?}");
    }
}

#[test]
fn addresses_do_not_collide() {
    one_mistake(
        &format!("{LOCAL}listen: [127.0.0.1:1, 127.0.0.1:1]"),
        "2:23: error: this address is in the list already (name every address once)",
    );
    one_mistake(
        &format!("{LOCAL}listen: 127.0.0.1:9090"),
        "2:9: error: clients are listened to at this address (give the admin side a port of its own)",
    );
}

#[test]
fn keeping_what_is_released_is_warned_about() {
    let text = format!("{LOCAL}idempotency: {{store: {{statuses: [2xx, 403]}}}}");
    assert_eq!(
        warnings(&text),
        [
            "2:39: warning: this status is in `release` too, which is looked at first: it is never kept (take it out of one of them)"
        ]
    );
}

#[test]
fn the_scope_by_token_is_warned_about() {
    let found = loaded(LOCAL).warnings;
    let [warning] = &found[..] else { panic!("{found:?}") };
    assert_eq!((warning.severity(), warning.code()), (Severity::Warning, "scope-by-token"));
    assert!(loaded(&format!("{LOCAL}idempotency: {{scope: global}}")).warnings.is_empty());
}

#[test]
fn a_mistake_in_yaml_hides_nothing_else() {
    let text = format!("{LOCAL}workers: 2\nworkers: 3\nlistn: 127.0.0.1:1\nroutes: [{{match: {{path: a}}}}]\n");
    assert_eq!(mistakes(&text).iter().map(|line| &line[..3]).collect::<Vec<_>>(), ["3:1", "4:1", "5:2"]);
    assert_eq!(mistakes("upstreams: {a: [}").len(), 1);
}

#[test]
fn what_was_left_out_is_not_missed() {
    one_mistake(
        "upstreams: {a: {url: ftp://a, local: true}}\nroutes: [{match: {path: /a}}]",
        "1:22: error: an upstream is spoken to over http:// or https:// (write a URL such as http://127.0.0.1:8001)",
    );
    one_mistake("upstreams: 5", "1:12: error: expected a map, found the number 5");
    one_mistake(
        &format!("{LOCAL}idempotency: {{max_execution: 30h, ttl: soon}}"),
        "2:40: error: a duration is a number with a unit such as 30s, 5m, 24h, not `soon` (write a duration such as 30s)",
    );
}

#[test]
fn what_is_right_alone_can_be_wrong_together() {
    one_mistake(
        "listen: 0.0.0.0:8080\nupstreams: {a: {url: 'http://localhost:8080', local: true}}",
        "2:22: error: this Refrain listens at this address itself (write the address of the service)",
    );
    let text = format!("{LOCAL}limits: {{buffered: 512KiB}}\nstore: {{timeout: 3s}}\n");
    assert_eq!(
        warnings(&text),
        [
            "2:20: warning: one body may have 1MiB, and all that are held together 512KiB: the largest are always refused (write at least 1MiB)",
            "3:18: warning: an operation may take as long as a lease lasts: a renewal could come too late (make `store.timeout` shorter than every `lease`)",
        ]
    );
}
