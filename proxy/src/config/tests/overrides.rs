use std::path::PathBuf;

use super::*;
use crate::{
    config::{StoreUrl, load::Given},
    idempotency::policy::Dialect,
};

fn given(text: &str, origin: &str) -> Option<Given> {
    Some(Given { text: text.to_owned(), origin: origin.to_owned() })
}

fn upstreams(texts: &[&str], origin: &str) -> Vec<Given> {
    texts.iter().filter_map(|text| given(text, origin)).collect()
}

fn load(text: Option<&str>, overrides: &Overrides) -> Result<Config, Vec<String>> {
    let source = text.map(|text| Source::new("refrain.yaml", text));
    let around = Surroundings { folder: Path::new("/etc/refrain"), env: &env };
    from_source(source.as_ref(), overrides, around).map(|loaded| loaded.config).map_err(|found| lines(found.iter()))
}

#[test]
fn an_upstream_alone_is_a_configuration() {
    let overrides = Overrides { upstreams: upstreams(&["http://127.0.0.1:8001"], "--upstream"), ..Overrides::default() };
    let config = load(None, &overrides).unwrap();
    assert_eq!(config.listeners, ["127.0.0.1:8080".parse().unwrap()]);
    assert_eq!(config.store.url, StoreUrl::Embedded(PathBuf::from("/home/shop/.local/state/refrain/refrain.db")));
    let [local] = &config.upstreams[..] else { panic!("{:?}", config.upstreams) };
    assert!(local.local && local.name.as_str() == "local");
    assert!(config.fallback.is_some());
}

#[test]
fn what_is_given_outside_beats_the_file() {
    let overrides = Overrides {
        listen: given("127.0.0.1:1", "--listen"),
        admin: given("127.0.0.1:2", "REFRAIN_ADMIN"),
        upstreams: upstreams(&["http://127.0.0.1:3"], "--upstream"),
        store: given("embedded:a.db", "--store"),
        preset: given("stripe", "--preset"),
        workers: given("3", "--workers"),
    };
    let config =
        load(Some(&format!("listen: [127.0.0.1:7]\nstore: {{timeout: 2s}}\nidempotency: {{lease: 1s}}\n{LOCAL}")), &overrides)
            .unwrap();
    assert_eq!(config.listeners, ["127.0.0.1:1".parse().unwrap()]);
    assert_eq!(config.admin, "127.0.0.1:2".parse().unwrap());
    assert_eq!(config.store.url, StoreUrl::Embedded(PathBuf::from("a.db")), "relative to the process, not to the file");
    assert_eq!((config.store.timeout.as_secs(), config.workers), (2, 3), "the rest of the file counts");
    assert_eq!(config.upstreams[0].name.as_str(), "orders");
    assert_eq!(config.upstreams[0].endpoints[0].to_string(), "http://127.0.0.1:3/");
    let policy = config.fallback.unwrap().policy.clone().unwrap();
    assert_eq!((policy.dialect, policy.lease.as_secs()), (Dialect::Stripe, 1));
}

#[test]
fn what_is_wrong_with_it_names_the_flag_or_variable() {
    let overrides = Overrides {
        listen: given("8080", "--listen"),
        upstreams: upstreams(&["127.0.0.1"], "REFRAIN_UPSTREAM"),
        store: given("redis+sentinel://:hunter2@h", "REFRAIN_STORE"),
        preset: given("strip", "--preset"),
        workers: given("0", "--workers"),
        ..Overrides::default()
    };
    let found = load(None, &overrides).unwrap_err();
    assert_eq!(
        found,
        [
            "--listen: error: `8080` is not an IP address with a port",
            "--preset: error: `strip` is not a preset: did you mean `stripe`?",
            "--workers: error: `0` is neither `auto` nor a number from 1 to 1024",
            "REFRAIN_STORE: error: `redis+sentinel://` is not supported yet: use redis:// or rediss:// with the address of one server",
            "REFRAIN_UPSTREAM: error: a URL begins with http:// or https:// and names a host",
        ]
    );
    assert!(!format!("{overrides:?}").contains("hunter2"));
}

#[test]
fn without_anything_the_upstream_is_missing() {
    let found = load(None, &Overrides::default()).unwrap_err();
    assert!(found.len() == 1 && found[0].starts_with("the defaults: error: there is no upstream"), "{found:?}");
}

#[test]
fn a_later_check_of_what_was_given_names_it_too() {
    let overrides = Overrides { admin: given("127.0.0.1:8080", "--admin"), ..Overrides::default() };
    let found = load(Some(LOCAL), &overrides).unwrap_err();
    assert!(found.iter().any(|line| line.starts_with("--admin: error: clients are listened to")), "{found:?}");
}

#[test]
fn an_upstream_of_the_name_local_has_to_be_it() {
    let overrides = Overrides { upstreams: upstreams(&["http://a"], "--upstream"), ..Overrides::default() };
    let found = load(Some("upstreams: {local: {url: http://b}}"), &overrides).unwrap_err();
    assert!(found.len() == 1 && found[0].starts_with("1:20: error: `--upstream` gives the local upstream"), "{found:?}");
    let config = load(Some("upstreams: {b: {url: http://b}}"), &overrides).unwrap();
    assert_eq!(config.upstreams.len(), 2);
}

/// A service's own upstream and another's.
const SEVERAL: &str = "idempotency: {scope: global}
upstreams: {orders: {url: http://o, local: true}, billing: {url: http://b, refrain: true}}";

/// The endpoints of each upstream.
fn endpoints(config: &Config) -> Vec<(&str, Vec<String>)> {
    let of = |uris: &[http::Uri]| uris.iter().map(ToString::to_string).collect();
    config.upstreams.iter().map(|upstream| (upstream.name.as_str(), of(&upstream.endpoints))).collect()
}

#[test]
fn an_upstream_of_the_file_can_be_elsewhere_and_several_urls_are_its_endpoints() {
    let given = ["billing=http://b1", "http://o1/a=b", "billing=http://b2:82/x=y"];
    let overrides = Overrides { upstreams: upstreams(&given, "--upstream"), ..Overrides::default() };
    let config = load(Some(SEVERAL), &overrides).unwrap();
    let of = |urls: &[&str]| urls.iter().map(|url| (*url).to_owned()).collect::<Vec<_>>();
    let expected = [("billing", of(&["http://b1/", "http://b2:82/x=y"])), ("orders", of(&["http://o1/a=b"]))];
    assert_eq!(endpoints(&config), expected);
    assert!(config.upstreams[0].refrain && config.upstreams[1].local, "the rest of the file counts");

    // The local one by its name, and without: the same service.
    let overrides = Overrides { upstreams: upstreams(&["orders=http://o2", "http://o1"], "--upstream"), ..Overrides::default() };
    let config = load(Some(SEVERAL), &overrides).unwrap();
    assert_eq!(endpoints(&config)[1], ("orders", of(&["http://o1/", "http://o2/"])));
}

#[test]
fn an_upstream_that_the_file_does_not_name_is_not_made() {
    let found = |file: Option<&str>, given: &str| {
        let overrides = Overrides { upstreams: upstreams(&[given], "REFRAIN_UPSTREAM"), ..Overrides::default() };
        load(file, &overrides).unwrap_err()
    };
    let unknown = "REFRAIN_UPSTREAM: error: there is no upstream";
    assert_eq!(found(Some(SEVERAL), "biling=http://b"), [format!("{unknown} `biling` (did you mean `billing`?)")]);
    assert_eq!(found(Some(SEVERAL), "psp=http://b"), [format!("{unknown} `psp` (the upstreams are `billing`, `orders`)")]);
    assert_eq!(found(Some(SEVERAL), "=http://b"), [format!("{unknown} `` (the upstreams are `billing`, `orders`)")]);
    let alone = found(None, "billing=http://b");
    let help = "a NAME is one of the file's `upstreams`; the service beside this Refrain is given without one";
    assert!(alone.contains(&format!("{unknown} `billing` ({help})")), "{alone:?}");
    // One that is there and cannot be read is one mistake.
    let unreadable = found(Some(&SEVERAL.replace("{url: http://b, refrain: true}", "7")), "billing=http://b");
    assert!(unreadable.len() == 1 && unreadable[0].starts_with("2:60: error:"), "{unreadable:?}");
}

#[test]
fn what_is_wrong_with_one_of_several_urls_names_its_upstream() {
    let given = ["billing=b1", "billing=http://b1", "ftp://o"];
    let overrides = Overrides { upstreams: upstreams(&given, "--upstream"), ..Overrides::default() };
    assert_eq!(
        load(Some(SEVERAL), &overrides).unwrap_err(),
        [
            "--upstream: error: `billing`: a URL begins with http:// or https:// and names a host",
            "--upstream: error: an upstream is spoken to over http:// or https://",
        ]
    );
    let overrides = Overrides { upstreams: upstreams(&["http://o", "http://o"], "--upstream"), ..Overrides::default() };
    let found = load(Some(SEVERAL), &overrides).unwrap_err();
    assert!(found.len() == 1 && found[0].starts_with("--upstream: error: the endpoint `http://o/`"), "{found:?}");
    let many: Vec<_> = (0..65).map(|number| format!("billing=http://b{number}")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    let overrides = Overrides { upstreams: upstreams(&many, "--upstream"), ..Overrides::default() };
    assert_eq!(
        load(Some(SEVERAL), &overrides).unwrap_err(),
        ["--upstream: error: these are more than 64 endpoints of `billing`"]
    );
    let overrides = Overrides { upstreams: upstreams(&many[..64], "--upstream"), ..Overrides::default() };
    assert_eq!(endpoints(&load(Some(SEVERAL), &overrides).unwrap())[0].1.len(), 64);
}
