//! Who may use whom.

use crate::{
    code::{Names, code, is_below, names},
    tree::{assert_none, files},
};

/// What each module of the library may name of it, beside itself. The longest entry that fits counts. From the top to the ground.
const MAY_USE: [(&str, &[&str]); 35] = [
    ("cli", &["app", "config", "metrics", "reload", "saga::simulate", "store::journal", "telemetry", "time"]),
    (
        "app",
        &[
            "admin",
            "authentication",
            "body",
            "config",
            "gateway",
            "idempotency",
            "metrics",
            "peers",
            "router",
            "saga",
            "server",
            "store",
            "upstream",
        ],
    ),
    ("admin", &["gateway", "idempotency", "ids", "metrics", "saga", "server", "store", "time"]),
    (
        "gateway",
        &[
            "authentication",
            "body",
            "config",
            "headers",
            "idempotency",
            "metrics",
            "pass",
            "peers",
            "problem",
            "router",
            "saga",
            "server",
            "store",
            "upstream",
        ],
    ),
    (
        "idempotency",
        &["body", "claims", "headers", "ids", "metrics", "pass", "peers", "problem", "server", "store", "time", "upstream"],
    ),
    (
        "saga",
        &[
            "body",
            "claims",
            "config",
            "headers",
            "idempotency",
            "ids",
            "metrics",
            "peers",
            "problem",
            "router",
            "server",
            "store",
            "time",
            "upstream",
        ],
    ),
    (
        "authentication",
        &["body", "claims", "config", "headers", "idempotency::view", "metrics", "problem", "router", "time", "upstream"],
    ),
    ("saga::backoff", &[]),
    ("saga::entry", &["time"]),
    ("saga::judge", &["saga::turn"]),
    ("saga::machine", &["ids", "saga", "store::journal", "time"]),
    ("saga::render", &["ids", "saga", "time"]),
    ("saga::simulate", &["ids", "saga", "store::journal", "time"]),
    ("saga::state", &["saga::entry", "store::journal", "time"]),
    ("saga::turn", &["saga", "store::journal", "time"]),
    ("pass", &["body", "headers", "idempotency::exchange", "idempotency::marker", "metrics", "problem", "server", "upstream"]),
    ("peers", &["config", "headers", "idempotency::key", "ids", "time"]),
    ("router", &["config", "metrics", "upstream"]),
    ("server", &["body", "config", "headers", "idempotency::marker", "metrics", "problem"]),
    ("upstream", &["body", "config", "headers"]),
    ("body", &["upstream"]),
    ("config", &["headers", "idempotency::policy", "idempotency::seal", "router"]),
    ("config::idempotency", &["config", "headers", "idempotency::policy", "idempotency::seal"]),
    ("config::raw", &["config", "idempotency::policy"]),
    ("metrics", &["idempotency::marker", "store"]),
    ("problem", &["headers", "idempotency::key", "idempotency::marker"]),
    ("store", &["ids", "time"]),
    ("store::backend", &["config", "ids", "store", "time"]),
    ("store::faults", &["ids", "store", "time"]),
    ("claims", &[]),
    ("headers", &[]),
    ("ids", &[]),
    ("reload", &[]),
    ("telemetry", &[]),
    ("time", &[]),
];

/// Whatever [`MAY_USE`] says: the user, and what it must not name. Backends are chosen in one place.
const NEVER: [(&str, &[&str]); 4] = [
    ("idempotency", &["store::backend", "store::redis", "store::embedded", "store::memory"]),
    ("store::redis", &["store::embedded", "store::memory", "store::backend"]),
    ("store::embedded", &["store::redis", "store::memory", "store::backend"]),
    ("store::memory", &["store::redis", "store::embedded", "store::backend"]),
];

/// Crates, and the only modules that name them.
const HOMES: [(&str, &[&str]); 18] = [
    ("redis", &["store::redis"]),
    ("redb", &["store::embedded"]),
    // `pass` and `gateway`: upgrades and the type of incoming bodies. `cli::ask`: a client of the admin side.
    ("hyper", &["server", "upstream", "body", "pass", "gateway", "cli::ask"]),
    ("hyper_util", &["server", "upstream", "cli::ask"]),
    ("h2", &["upstream"]),
    ("axum", &["admin"]),
    ("clap", &["cli"]),
    ("notify", &["reload"]),
    ("prometheus_client", &["metrics"]),
    ("tracing_subscriber", &["telemetry"]),
    ("schemars", &["config"]),
    ("socket2", &["server::listener"]),
    ("tokio_rustls", &["upstream::connect"]),
    ("jsonwebtoken", &["authentication::keys", "authentication::token"]),
    ("ring", &["authentication::crypto"]),
    ("chacha20poly1305", &["idempotency::seal"]),
    ("postcard", &["store::embedded::codec", "store::embedded::sagas::codec"]),
    ("httpdate", &["time"]),
];

/// Pure: what they compute depends on their arguments alone.
const PURE: [&str; 30] = [
    "authentication::crypto",
    "authentication::keys",
    "authentication::token",
    "headers",
    "router",
    "idempotency::canonical",
    "idempotency::fingerprint",
    "idempotency::key",
    "idempotency::marker",
    "idempotency::name",
    "idempotency::pointer",
    "idempotency::policy",
    "idempotency::response",
    "idempotency::response::form",
    "idempotency::verdict",
    "saga::call::breaker::state",
    "saga::call::classify",
    "saga::call::request",
    "saga::backoff",
    "saga::entry",
    "saga::judge",
    "saga::machine",
    "saga::render",
    "saga::simulate",
    "saga::state",
    "saga::turn",
    "store::journal::rules",
    "store::journal::rules::checks",
    "store::reservation",
    "store::transition",
];

/// What nothing pure names.
const IMPURE: [&str; 10] = ["tokio", "tokio_util", "hyper", "hyper_util", "redis", "redb", "axum", "rand", "tracing", "notify"];

fn library() -> Vec<Names> {
    const SOURCE: &str = "proxy/src/";
    let sources = files(".rs").into_iter().filter(|file| file.path.starts_with(SOURCE));
    let code = sources.filter(|file| !file.path.ends_with("/tests.rs") && !file.path.contains("/tests/"));
    let library: Vec<Names> = code.map(|file| names(&file, SOURCE)).filter(|names| !names.module.is_empty()).collect();
    assert!(library.len() > 50, "the library has {} modules: are these all?", library.len());
    library
}

fn mistakes(library: &[Names], wrong: impl Fn(&Names, &str) -> bool, said: impl Fn(&Names) -> Vec<String>) -> Vec<String> {
    let of = |names: &Names| -> Vec<String> {
        let wrong = said(names).into_iter().filter(|name| wrong(names, name));
        wrong.map(|name| format!("{} names {name}", names.module)).collect()
    };
    library.iter().flat_map(of).collect()
}

fn ours(names: &Names) -> Vec<String> {
    names.ours.iter().cloned().collect()
}

fn crates(names: &Names) -> Vec<String> {
    names.crates.iter().cloned().collect()
}

#[test]
fn modules_use_only_what_stands_below_them() {
    let library = library();
    let uses_more = |names: &Names, path: &str| {
        let entry = MAY_USE.iter().filter(|(module, _)| is_below(&names.module, module)).max_by_key(|(module, _)| module.len());
        let Some((module, allowed)) = entry else { return true };
        let top = module.split("::").next().unwrap();
        // Its own top-level module is no arrow, but for the parts that have an entry of their own.
        let is_own = is_below(path, module) || (*module == top && is_below(path, top));
        !is_own && !allowed.iter().any(|allowed| is_below(path, allowed))
    };
    assert_none("arrows that are not in MAY_USE", &mistakes(&library, uses_more, ours));
    for (module, _) in MAY_USE {
        assert!(library.iter().any(|names| is_below(&names.module, module)), "MAY_USE: there is no module {module}");
    }
}

#[test]
fn a_backend_is_chosen_in_one_place() {
    let crosses = |names: &Names, path: &str| {
        NEVER.iter().any(|(module, never)| is_below(&names.module, module) && never.iter().any(|never| is_below(path, never)))
    };
    assert_none("arrows that are in NEVER", &mistakes(&library(), crosses, ours));
}

#[test]
fn a_crate_is_named_only_where_it_is_at_home() {
    let library = library();
    let strays = |names: &Names, named: &str| {
        let home = HOMES.iter().find(|(name, _)| *name == named);
        home.is_some_and(|(_, homes)| !homes.iter().any(|home| is_below(&names.module, home)))
    };
    assert_none("crates away from home", &mistakes(&library, strays, crates));
    for (name, homes) in HOMES {
        for home in homes {
            let lives = |names: &Names| is_below(&names.module, home) && names.crates.contains(name);
            assert!(library.iter().any(lives), "HOMES: {home} does not name {name}");
        }
    }
}

#[test]
fn what_is_pure_names_no_runtime_no_store_and_no_clock() {
    let library = library();
    let is_pure = |names: &Names| PURE.iter().any(|module| is_below(&names.module, module));
    let acts = |names: &Names, named: &str| is_pure(names) && IMPURE.contains(&named);
    assert_none("not pure", &mistakes(&library, acts, crates));
    let looks_at_a_clock = |names: &Names, path: &str| is_pure(names) && path.starts_with("time::") && path.ends_with("_now");
    assert_none("not pure", &mistakes(&library, looks_at_a_clock, ours));
    for module in PURE {
        assert!(library.iter().any(|names| names.module == module), "PURE: there is no module {module}");
    }
}

#[test]
fn only_the_clock_reads_a_clock() {
    let reads = |text: &str| {
        ["SystemTime::now", "std::time::Instant::now", "chrono::", "jiff::Timestamp::now"].iter().any(|c| text.contains(c))
    };
    let sources = files(".rs").into_iter().filter(|file| file.path.contains("/src/") && !file.path.starts_with("examples/"));
    let clocks = ["proxy/src/time.rs", "benches/src/clock.rs"];
    let found = sources.filter(|file| !clocks.contains(&file.path.as_str()) && reads(&code(&file.text))).map(|file| file.path);
    assert_none("these read a clock", &found.collect::<Vec<_>>());
}

#[test]
fn saga_config_is_not_async_and_knows_nothing_of_the_proxy() {
    const SOURCE: &str = "saga-config/src/";
    let sources = files(".rs").into_iter().filter(|file| file.path.starts_with(SOURCE));
    let library: Vec<Names> = sources.map(|file| names(&file, SOURCE)).collect();
    let acts = |_: &Names, named: &str| IMPURE.contains(&named) || ["refrain", "futures_util", "tower"].contains(&named);
    assert_none("saga-config", &mistakes(&library, acts, crates));
    let asynchronous =
        files(".rs").into_iter().filter(|file| file.path.starts_with(SOURCE) && code(&file.text).contains("async "));
    assert_none("async in saga-config", &asynchronous.map(|file| file.path).collect::<Vec<_>>());
}
