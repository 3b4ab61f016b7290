//! How files are cut, and that scripts are sound.

use std::process::Command;

use crate::tree::{assert_none, files, root};

const MOST_LINES: usize = 500;

/// Names for what nobody found a name for.
const NO_NAMES: [&str; 8] = ["util", "utils", "helper", "helpers", "common", "misc", "shared", "stuff"];

#[test]
fn no_source_file_is_longer_than_it_can_be_read() {
    let long =
        files(".rs").into_iter().map(|file| (file.text.lines().count(), file.path)).filter(|(lines, _)| *lines > MOST_LINES);
    assert_none("over 500 lines", &long.map(|(lines, path)| format!("{path}: {lines}")).collect::<Vec<_>>());
}

#[test]
fn every_module_has_a_name_that_says_something() {
    let nameless = |path: &str| path.trim_end_matches(".rs").split('/').any(|part| NO_NAMES.contains(&part));
    let found = files(".rs").into_iter().map(|file| file.path).filter(|path| nameless(path));
    assert_none("names that say nothing", &found.collect::<Vec<_>>());
}

#[test]
fn every_module_says_what_it_is_for() {
    let is_ours = |path: &str| path.starts_with("proxy/src/") || path.starts_with("saga-config/src/");
    let is_test = |path: &str| path.ends_with("/tests.rs") || path.contains("/tests/");
    let sources = files(".rs").into_iter().filter(|file| is_ours(&file.path) && !is_test(&file.path));
    let silent = sources.filter(|file| !file.text.trim_start().starts_with("//!")).map(|file| file.path);
    assert_none("files that do not begin with what they are for (`//!`)", &silent.collect::<Vec<_>>());
}

#[test]
fn scripts_are_sound_bash_and_can_be_run() {
    let scripts = ["check", "check-deployments", "ledger", "postman", "soak", "test"].map(|name| format!("scripts/{name}"));
    let elsewhere = [".ci/run", "deployments/postgres/databases.sh"].map(str::to_owned);
    for script in scripts.into_iter().chain(elsewhere) {
        let path = root().join(&script);
        let checked = Command::new("bash").arg("-n").arg(&path).output().unwrap();
        assert!(checked.status.success(), "{script}: {}", String::from_utf8_lossy(&checked.stderr));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_ne!(path.metadata().unwrap().permissions().mode() & 0o100, 0, "{script} cannot be run");
        }
    }
}
