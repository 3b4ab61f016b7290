use saga_config::diagnostic::to_json_lines;

use super::*;
use crate::config::StoreUrl;

/// Everything that could be shown of a file.
fn shown(text: &str) -> String {
    match try_load(text) {
        Ok(Loaded { config, warnings }) => format!("{config:?}{}", render(&warnings, Colour::Never)),
        Err(found) => format!("{}{}{}", render(&found, Colour::Never), to_json_lines(&found), lines(found.iter()).join("\n")),
    }
}

#[test]
fn no_secret_of_a_file_is_ever_shown() {
    for text in [
        "store: {url: 'redis://:hunter2@h'}",
        "store: {url: 'redis://:hunter2@h', timeout: 5}",
        "store: {url: redis://user:hunter2@h, timout: 5s}",
        "store: {url: 'redis+cluster://:hunter2@h'}",
        "store: {url: 'redis://:hun/ter2@h'}",
        "store: {url: \"redis://:hunter2\\q@h\"}",
        "store: {url: redis://:hunter2@h}}",
        "store: {encryption: {keys: [{id: a, key: hunter2}]}}",
        "store: {encryption: {keys: [{id: a, key: \"hunter2\"}]}}",
        "store: {encryption: {keys: [{id: a, key: {env: hunter2-is-the-key}}]}}",
        "secrets: hunter2",
        "secrets: {visa_token: hunter2}",
        "secrets: {visa_token: [hunter2]}",
        "secrets: {visa_token: {env: hunter2-is-the-token}}",
        "secrets: {visa_token: {env: TOKEN, value: hunter2}}",
        "saga_peers: {key: hunter2}",
        "saga_peers: {key: hunter2}\nworkers: none",
        "saga_peers: {key: |\n  hunter2\n  }",
        "access_log: https://me:hunter2@h/",
        "idempotency: {preset: 'https://me:hunter2@h/'}",
    ] {
        let shown = shown(&format!("{LOCAL}{text}\n"));
        assert!(!shown.contains("hunter2") && !shown.contains("ter2"), "{shown}");
    }
    for auth in ["hunter2", "{bearer: hunter2}", "{bearer: {env: hunter2-is-the-token}}", "{bearer: \"hunter2\"}"] {
        let shown = shown(&format!("upstreams: {{a: {{url: http://h, local: true, auth: {auth}}}}}"));
        assert!(!shown.contains("hunter2") && shown.contains("error"), "{shown}");
    }
    let used = shown("upstreams: {a: {url: http://h, local: true, auth: {bearer: {env: TOKEN}}}}");
    assert!(!used.contains("a-bearer-token") && used.contains("ServiceAuth"), "{used}");
    let upstream = shown("upstreams: {a: {url: 'http://me:hunter2@h', local: true}}");
    assert!(!upstream.contains("hunter2") && upstream.contains("credentials"), "{upstream}");
}

#[test]
fn what_is_hidden_is_used_all_the_same() {
    let config = config(&format!("{LOCAL}store: {{url: 'redis://:hunter2@h'}}\n"));
    let StoreUrl::Redis(url) = config.store.url else { panic!("{:?}", config.store.url) };
    assert_eq!(url.expose(), "redis://:hunter2@h");
}

#[test]
fn a_key_is_read_from_a_file_beside_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("refrain.yaml");
    std::fs::write(folder.path().join("seal.key"), format!("{}\n", "ab".repeat(32))).unwrap();
    std::fs::write(
        &file,
        format!("{LOCAL}store: {{url: 'memory:', encryption: {{keys: [{{id: a, key: {{file: seal.key}}}}]}}}}\n"),
    )
    .unwrap();
    let loaded = crate::config::load::load(Some(&file), &Overrides::default(), &|_| None).unwrap();
    let shown = format!("{:?}", loaded.config);
    assert!(shown.contains("EncryptionKey") && !shown.contains("171"), "{shown}");
}

#[test]
fn a_secret_that_is_not_there_is_named() {
    let key = |key: &str| format!("{LOCAL}store: {{encryption: {{keys: [{{id: a, key: {key}}}]}}}}\n");
    one_mistake(
        &key("{env: NOWHERE}"),
        "2:48: error: the environment variable `NOWHERE` is not set (name a file or an environment variable that holds the secret)",
    );
    let found = mistakes(&key("{file: nowhere}"));
    assert!(found[0].contains("cannot be read from /etc/refrain/nowhere"), "{found:?}");
    one_mistake(
        &key("{env: PEERS}"),
        "2:42: error: the key has 21 characters; 32 bytes are 64 characters of hexadecimal, or 43 or 44 of base64 (make one with `openssl rand -base64 32`)",
    );
    let two = format!("{LOCAL}store: {{encryption: {{keys: [{{id: a, key: {{env: SEAL}}}}, {{id: a, key: {{env: SEAL}}}}]}}}}\n");
    let found = mistakes(&two);
    assert!(found.len() == 1 && found[0].contains("the id `a` is taken"), "{found:?}");
    let found = mistakes(&key("{env: SEAL}").replace("id: a", "id: 'a b'"));
    assert!(found.len() == 1 && found[0].contains("1 to 32 characters"), "{found:?}");
}

#[test]
fn a_short_shared_key_is_refused() {
    let env = |name: &str| (name == "SHORT").then(|| "short".to_owned()).or_else(|| env(name));
    let around = Surroundings { folder: Path::new(""), env: &env };
    let text = format!("{LOCAL}saga_peers: {{key: {{env: SHORT}}}}\n");
    let found = from_source(Some(&Source::new("f", text)), &Overrides::default(), around).unwrap_err();
    assert_eq!(found.iter().filter(|found| found.code() == "weak-key").count(), 1);
}

#[test]
fn secrets_are_read_from_where_the_file_says_that_they_are_and_only_their_names_are_shown() {
    let config = config(&format!("{LOCAL}secrets: {{visa_token: {{env: TOKEN}}}}\n"));
    assert_eq!(config.secrets.get("visa_token").map(crate::config::Secret::expose), Some("a-bearer-token"));
    assert!(config.secrets.get("other").is_none());
    let shown = format!("{config:?}");
    assert!(shown.contains("visa_token") && !shown.contains("a-bearer-token"), "{shown}");
    one_mistake(
        &format!("{LOCAL}secrets: {{visa_token: {{env: NOWHERE}}}}\n"),
        "2:29: error: the environment variable `NOWHERE` is not set (name a file or an environment variable that holds the secret)",
    );
    one_mistake(
        &format!("{LOCAL}secrets: {{Visa: {{env: TOKEN}}}}\n"),
        "2:11: error: `Visa` is not a secret's name: `V` is not a lowercase letter (write a name such as `visa_token`)",
    );
}
