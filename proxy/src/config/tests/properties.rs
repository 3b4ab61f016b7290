use proptest::prelude::*;
use saga_config::diagnostic::has_errors;

use super::*;

/// Values that stand somewhere in the format, and some that stand nowhere.
fn value() -> impl Strategy<Value = String> {
    let words = [
        "~",
        "true",
        "5",
        "0",
        "-1",
        "1.5",
        "30s",
        "0s",
        "1MiB",
        "off",
        "auto",
        "[]",
        "{}",
        "[POST]",
        "[a, {}]",
        "'${request.path}'",
        "'${'",
        "/a",
        "/{a}/",
        "redis://:pw@h",
        "memory:",
        "http://a",
        "{wait: 1s}",
        "{probe: {}}",
        "{probe: {call: 'GET /${key}', done: '${true}'}}",
        "{file: x}",
        "{env: SEAL}",
        "127.0.0.1:1",
        "ietf",
        "*x",
        "&x 1",
        "é",
        "[2xx, 500]",
        "{path: /a}",
        "{prefix: /}",
        "{url: http://a, local: true}",
        "[{match: {path: /a}}, {match: {path: /a}}]",
        "[{id: a, key: {env: SEAL}}]",
        "{a: {url: http://a}}",
    ];
    prop::sample::select(words.to_vec()).prop_map(str::to_owned)
}

fn key() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "listen",
        "admin",
        "workers",
        "store",
        "upstreams",
        "idempotency",
        "routes",
        "limits",
        "forwarded",
        "saga_peers",
        "access_log",
        "sagas",
        "url",
        "encryption",
        "keys",
        "match",
        "path",
        "template",
        "prefix",
        "key",
        "from",
        "scope",
        "ttl",
        "lease",
        "max_execution",
        "on_unknown",
        "on_in_flight",
        "max_request_body",
        "local",
        "preset",
        "address",
        "mtls",
        "breaker",
        "a",
    ])
}

fn map(depth: u32) -> BoxedStrategy<String> {
    let inner = if depth == 0 {
        value().boxed()
    } else {
        prop_oneof![value(), map(depth - 1), map(depth - 1).prop_map(|map| format!("[{map}]"))].boxed()
    };
    prop::collection::vec((key(), inner), 0..4)
        .prop_map(|entries| {
            format!("{{{}}}", entries.iter().map(|(key, value)| format!("{key}: {value}")).collect::<Vec<_>>().join(", "))
        })
        .boxed()
}

fn never_panics(text: &str) {
    match try_load(text) {
        Ok(loaded) => assert!(!has_errors(&loaded.warnings)),
        Err(found) => assert!(has_errors(&found), "{text}: refused without a reason"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_text_makes_it_panic(text in any::<String>()) {
        never_panics(&text);
    }

    #[test]
    fn no_values_in_known_places_make_it_panic(map in map(3)) {
        never_panics(&map);
    }

    #[test]
    fn no_change_of_a_sound_file_makes_it_panic(at in 0..super::sound::EXAMPLE.len(), length in 0..12_usize, instead in value()) {
        let mut text = super::sound::EXAMPLE.to_owned();
        let start = text.floor_char_boundary(at);
        let end = text.floor_char_boundary((at + length).min(text.len())).max(start);
        text.replace_range(start..end, &instead);
        never_panics(&text);
    }
}
