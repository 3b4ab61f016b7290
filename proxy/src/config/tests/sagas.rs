use std::{fs, path::PathBuf, time::Duration};

use tempfile::TempDir;

use super::*;
use crate::config::{BreakerConfig, FilePattern, SagasConfig, load::load};

/// A configuration in a folder of its own, with files beside it.
struct Files(TempDir);

impl Files {
    fn new(config: &str, others: &[(&str, &str)]) -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        for (name, text) in others.iter().chain(&[("refrain.yaml", config)]) {
            let path = files.0.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        files
    }

    fn load(&self) -> Result<Loaded, Vec<Diagnostic>> {
        load(Some(&self.0.path().join("refrain.yaml")), &Overrides::default(), &env)
    }

    /// What people see, without where the folder is.
    fn told(&self) -> String {
        let found = match self.load() {
            Ok(loaded) => loaded.warnings,
            Err(found) => found,
        };
        let found: Vec<_> = found.into_iter().filter(|found| found.code() != "scope-by-token").collect();
        render(&found, Colour::Never).replace(&format!("{}/", self.0.path().display()), "")
    }
}

fn saga(name: &str, route: &str) -> String {
    format!(
        "saga: {name}
version: 1
trigger: {{route: \"{route}\"}}
steps:
  - id: pay
    call: billing POST /payments/
    compensate: none
"
    )
}

const CONFIG: &str = "upstreams:
  orders: {url: http://127.0.0.1:8001, local: true}
  billing: {url: http://127.0.0.1:8102, refrain: true}
";

fn with(sagas: &str) -> String {
    format!("{CONFIG}sagas: {sagas}\n")
}

#[test]
fn without_any_there_are_no_sagas_and_their_settings_are_as_the_format_says() {
    for text in [CONFIG.to_owned(), with("{}"), with("{files: [], durability: store}")] {
        let SagasConfig { definitions, lease, partitions, retention, files } = config(&text).sagas;
        assert!(definitions.is_empty() && files.is_empty());
        assert_eq!((lease, partitions, retention), (Duration::from_secs(2), 16, Duration::from_secs(7 * 86_400)));
    }
    assert_eq!(config(CONFIG).public_url, None);
}

#[test]
fn definitions_are_read_from_the_files_beside_the_configuration() {
    let (one, two, three) = (saga("one", "POST /one/"), saga("two", "POST /two/{id}/"), saga("three", "PUT /one/"));
    let files = Files::new(
        &format!(
            "{}public_url: https://shop.example/orders/\n",
            with("{files: [sagas/*.yaml, more.yaml], lease: 5s, partitions: 4, retention: 1h}")
        ),
        &[("sagas/b.yaml", &two), ("sagas/a.yaml", &one), ("sagas/c.yml", "not: read"), ("more.yaml", &three)],
    );
    let config = files.load().map_err(|found| render(&found, Colour::Never)).unwrap().config;
    let names: Vec<_> = config.sagas.definitions.iter().map(|saga| saga.name.as_str()).collect();
    assert_eq!(names, ["one", "two", "three"]);
    assert_eq!((config.sagas.lease, config.sagas.partitions), (Duration::from_secs(5), 4));
    assert_eq!(config.sagas.retention, Duration::from_secs(3600));
    let folder = files.0.path();
    let patterns = [folder.join("sagas/*.yaml"), folder.join("more.yaml")].map(|path| FilePattern::new(&path).unwrap());
    assert_eq!(config.sagas.files, patterns, "what is watched");
    assert_eq!(config.public_url.unwrap().to_string(), "https://shop.example/orders/");
}

#[test]
fn a_file_is_read_once_though_two_patterns_fit() {
    let files = Files::new(&with("{files: [sagas/*, sagas/a.yaml]}"), &[("sagas/a.yaml", &saga("one", "POST /one/"))]);
    assert_eq!(files.load().unwrap().config.sagas.definitions.len(), 1);
}

#[test]
fn mistakes_of_all_files_are_told_at_once_each_in_its_file() {
    let unknown = saga("unknown", "POST /a/").replace("billing", "biling");
    let no_undo = saga("no-undo", "GET /b/").replace("    compensate: none\n", "");
    let files = Files::new(
        &format!("{}workers: none\n", with("{files: [sagas/*.yaml, gone.yaml, none/*.yaml, '**/x.yaml'], lease: 100ms}")),
        &[("sagas/a.yaml", &unknown), ("sagas/b.yaml", &no_undo), ("sagas/c.yaml", "saga: [")],
    );
    insta::assert_snapshot!(files.told());
}

#[test]
fn sagas_are_told_apart_by_name_and_by_what_starts_them() {
    let files = Files::new(
        &with("{files: [sagas/*.yaml]}"),
        &[
            ("sagas/a.yaml", &saga("one", "POST /orders/{id}/")),
            ("sagas/b.yaml", &saga("one", "PUT /orders/{id}/")),
            ("sagas/c.yaml", &saga("three", "POST /orders/{order}/")),
            ("sagas/d.yaml", &saga("four", "POST /refrain/sagas/x")),
            ("sagas/e.yaml", &saga("five", "POST /refrain-like/{id}")),
            ("sagas/f.yaml", &saga("six", "POST /orders/7/")),
        ],
    );
    insta::assert_snapshot!(files.told());
}

#[test]
fn a_saga_with_secrets_needs_a_store_that_seals() {
    let secret = format!("sensitive: true\n{}", saga("one", "POST /one/"));
    let files = |store: &str| Files::new(&format!("{}{store}", with("{files: [a.yaml]}")), &[("a.yaml", &secret)]);
    insta::assert_snapshot!(files("").told());
    assert!(files("store: {encryption: {keys: [{id: a, key: {env: SEAL}}]}}\n").load().is_ok());
}

#[test]
fn secrets_that_sagas_name_are_there_and_those_that_none_names_are_warned_about() {
    let saga =
        saga("one", "POST /one/").replace("    compensate", "    headers: {x-key: \"${secret('visa_tokn')}\"}\n    compensate");
    let files = |secrets: &str| Files::new(&format!("{}secrets: {secrets}\n", with("{files: [a.yaml]}")), &[("a.yaml", &saga)]);
    insta::assert_snapshot!(
        [
            files("{visa_token: {env: TOKEN}}").told(),
            files("{}").told(),
            files("{visa_tokn: {env: TOKEN}, unused: {env: TOKEN}}").told(),
        ]
        .join("\n")
    );
}

#[test]
fn sagas_of_a_configuration_find_the_sagas_that_they_run() {
    let child = saga("child", "POST /child/");
    let parent = "saga: parent\nversion: 1\ntrigger: {route: POST /parent/}\nsteps: [{id: sub, saga: {name: child}}]\n";
    let files = Files::new(&with("{files: [sagas/*.yaml]}"), &[("sagas/b.yaml", &child), ("sagas/a.yaml", parent)]);
    let config = files.load().unwrap().config;
    let parent = config.sagas.definitions.iter().find(|saga| saga.name.as_str() == "parent").unwrap();
    let paths: Vec<&str> = parent.steps.iter().map(|step| step.id.as_str()).collect();
    assert_eq!(paths, ["sub/(input)", "sub/pay", "sub"]);
}

#[test]
fn a_mistake_in_an_upstream_does_not_make_sagas_wrong() {
    let text = with("{files: [a.yaml]}").replace("http://127.0.0.1:8102", "ftp://127.0.0.1");
    let files = Files::new(&text, &[("a.yaml", &saga("one", "POST /one/"))]);
    assert_eq!(files.load().unwrap_err().iter().filter(|found| found.code() != "scope-by-token").count(), 1);
}

#[test]
fn a_folder_without_definitions_is_warned_about() {
    let files = Files::new(&with("{files: [sagas/*.yaml]}"), &[("sagas/readme.md", "")]);
    insta::assert_snapshot!(files.told());
}

#[test]
fn what_sagas_need_of_an_upstream_is_read() {
    let text = "upstreams: {psp: {url: http://a, breaker: {}, idempotency_window: 24h, auth: {bearer: {env: TOKEN}}}, \
                b: {url: http://b, breaker: {failures: 3, open_for: 1m}}}";
    let [b, psp] = &config(text).upstreams[..] else { panic!() };
    assert_eq!(psp.breaker, Some(BreakerConfig { failures: 20, open_for: Duration::from_secs(15) }));
    assert_eq!(b.breaker, Some(BreakerConfig { failures: 3, open_for: Duration::from_secs(60) }));
    assert_eq!(psp.idempotency_window, Some(Duration::from_secs(86_400)));
    assert_eq!(psp.auth.as_ref().unwrap().authorization.expose(), "Bearer a-bearer-token");
    assert!(b.auth.is_none() && b.idempotency_window.is_none());
}

#[test]
fn what_sagas_need_of_an_upstream_can_be_wrong() {
    let at = |rest: &str| format!("upstreams: {{a: {{url: http://a, local: true, {rest}}}}}");
    one_mistake(&at("idempotency_window: 0s"), "1:65: error: this is no time at all (write a duration such as 1s)");
    one_mistake(&at("breaker: {open_for: 0s}"), "1:65: error: this is no time at all (write a duration such as 1s)");
    one_mistake(&at("breaker: {failures: 0}"), "1:65: error: must be at least 1, found 0");
    one_mistake(
        &at("auth: {bearer: {env: TWO_WORDS}}"),
        "1:60: error: a bearer token has no white space and nothing that is not ASCII (RFC 6750, section 2.1) (put the token alone there)",
    );
    one_mistake(
        &at("auth: {bearer: {env: NONE}}"),
        "1:66: error: the environment variable `NONE` is not set (name a file or an environment variable that holds the secret)",
    );
    one_mistake(
        "saga_peers: {key: {env: PEERS}}\nupstreams: {a: {url: [http://a/x, http://b/y], refrain: true}}",
        "2:22: error: saga calls to a Refrain are signed with their path, which differs between these endpoints (give all endpoints the same path)",
    );
    assert!(try_load("upstreams: {a: {url: [http://a/x, http://b/y], refrain: true}}").is_ok());
}

#[test]
fn requests_that_start_sagas_have_a_policy_where_their_route_has_none() {
    let keyed = |text: &str| config(text).trigger_policy.key.headers.len();
    assert_eq!(keyed(CONFIG), 2);
    assert_eq!(keyed(&format!("{CONFIG}idempotency: {{key: {{headers: [X-Key]}}}}\n")), 1);
    assert_eq!(keyed(&format!("{CONFIG}idempotency: off\n")), 2, "a saga says itself whether it needs a key");
    assert_eq!(keyed("upstreams: {a: {url: http://a}}"), 2);
}

#[test]
fn a_reload_takes_definitions_but_not_what_drivers_hold() {
    let text = |sagas: &str| with(&format!("{{files: [a.yaml], {sagas}}}"));
    let old = Files::new(&text("lease: 2s"), &[("a.yaml", &saga("one", "POST /one/"))]).load().unwrap().config;
    let new = Files::new(&text("lease: 3s, partitions: 2, retention: 1h"), &[("a.yaml", &saga("two", "POST /two/"))]);
    let new = new.load().unwrap().config;
    assert_eq!(new.needs_restart(&old), ["sagas.lease", "sagas.partitions"]);
    let kept = new.keeping_what_needs_a_restart(&old).sagas;
    assert_eq!((kept.lease, kept.partitions), (Duration::from_secs(2), 16));
    assert_eq!((kept.definitions[0].name.as_str(), kept.retention), ("two", Duration::from_secs(3600)));
}

#[test]
fn a_path_of_a_saga_is_relative_to_the_configuration() {
    let found = mistakes(&with("{files: [gone.yaml]}"));
    let expected = PathBuf::from("/etc/refrain/gone.yaml");
    assert!(found.len() == 1 && found[0].contains(&expected.display().to_string()), "{found:?}");
}

#[test]
fn what_a_token_says_cannot_be_asked_for_where_no_token_is_verified() {
    let claiming = saga("one", "POST /one/").replace("steps:", "input: {user: {from: \"${claims.user_id}\"}}\nsteps:");
    let without = with("{files: [sagas/*.yaml]}");
    let told = Files::new(&without, &[("sagas/a.yaml", &claiming)]).told();
    assert!(told.contains("error[no-claims]: `claims` are those of a verified token"), "{told}");
    assert!(told.contains("sagas/a.yaml:4:"), "{told}");
    let verified = format!("{without}authentication: {{jwt: {{issuer: shop, jwks: {{url: http://auth/jwks/}}}}}}\n");
    let told = Files::new(&verified, &[("sagas/a.yaml", &claiming)]).told();
    assert!(!told.contains("no-claims"), "{told}");
}
