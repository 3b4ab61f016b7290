//! Every `refrain …` command that is shown exists, with the flags it is shown with.

use std::process::Command;

use crate::{
    samples::{all_blocks, blocks},
    tree::{assert_none, file, files, root},
};

/// What a subcommand says of itself.
pub(crate) fn help(subcommands: &[&str]) -> String {
    let shown = Command::new(env!("CARGO_BIN_EXE_refrain")).args(subcommands).arg("--help").env_clear().output().unwrap();
    assert!(shown.status.success(), "refrain {}: {}", subcommands.join(" "), String::from_utf8_lossy(&shown.stderr));
    String::from_utf8(shown.stdout).unwrap()
}

/// The commands of a shell block that run `refrain`, without what goes before and after them.
fn refrain_commands(shell: &str) -> Vec<String> {
    let is_variable = |word: &str| word.split_once('=').is_some_and(|(name, _)| name.starts_with("REFRAIN_"));
    let command = |line: &str| {
        let line = line.split(" #").next()?.split(" > ").next()?;
        let mut words = line.split_whitespace().skip_while(|word| is_variable(word));
        let program = words.next()?;
        (program == "refrain" || program.ends_with("/refrain")).then(|| words.collect::<Vec<_>>().join(" "))
    };
    shell.lines().filter_map(command).collect()
}

/// What a command has that the program has not.
fn unknown(command: &str) -> Vec<String> {
    let words: Vec<&str> = command.split_whitespace().collect();
    let is_name = |word: &&&str| word.bytes().all(|c| c.is_ascii_lowercase());
    // `schema config`: a value, which its help names among the possible ones.
    let most = if matches!(words.first(), Some(&"records" | &"sagas")) { 2 } else { 1 };
    let subcommands: Vec<&str> = words.iter().take_while(is_name).take(most).copied().collect();
    let help = help(&subcommands);
    let flags = words.iter().filter(|word| word.starts_with("--") && !["--version", "--help"].contains(word));
    let missing = flags.filter(|flag| !help.split_whitespace().any(|word| word.trim_end_matches(',') == **flag));
    missing.map(|flag| format!("refrain {command}: there is no {flag}")).collect()
}

#[test]
fn every_command_that_the_documentation_shows_exists() {
    let shell = all_blocks().into_iter().filter(|block| block.info == "sh");
    let commands: Vec<String> = shell.flat_map(|block| refrain_commands(&block.text)).collect();
    assert!(commands.len() > 10, "{commands:?}");
    assert_none("commands", &commands.iter().flat_map(|command| unknown(command)).collect::<Vec<_>>());
}

#[test]
fn every_command_of_a_unit_exists() {
    let units = files(".service");
    assert!(!units.is_empty());
    let lines = units.iter().flat_map(|unit| unit.text.lines()).filter_map(|line| line.strip_prefix("Exec")?.split_once('='));
    let commands: Vec<String> = lines.flat_map(|(_, command)| refrain_commands(command)).collect();
    assert!(commands.len() >= 2, "{commands:?}");
    assert_none("commands", &commands.iter().flat_map(|command| unknown(command)).collect::<Vec<_>>());
}

#[test]
fn every_script_that_the_documentation_runs_exists() {
    let shell = all_blocks().into_iter().filter(|block| block.info == "sh");
    let scripts = shell.flat_map(|block| block.text.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
    let scripts = scripts.filter(|word| word.starts_with("scripts/") || word.starts_with(".ci/"));
    assert_none("no such script", &scripts.filter(|script| !root().join(script).exists()).collect::<Vec<_>>());
}

#[test]
fn the_readme_begins_with_the_two_commands() {
    let readme = file("README.md");
    let first = blocks(&readme).into_iter().find(|block| block.info == "sh").unwrap();
    let commands: Vec<&str> = first.text.lines().map(|line| line.split('#').next().unwrap().trim()).collect();
    assert_eq!(commands, ["cargo run --release -p shop", "scripts/test"]);
}

#[test]
fn a_command_that_does_not_exist_is_found() {
    assert_eq!(
        refrain_commands("REFRAIN_LOG=warn refrain run --config a # why\ncurl x\n/usr/bin/refrain check"),
        ["run --config a", "check"]
    );
    assert!(unknown("run --upstream http://a").is_empty());
    assert_eq!(unknown("run --upstreams http://a").len(), 1);
}
