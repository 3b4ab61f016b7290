//! Every kind of mistake has a golden, and the slips that authors make most are told for what they are.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use regex::Regex;
use saga_config::diagnostic::{Colour, Diagnostic, render};

use super::load;

/// As it stands in the shop.
const CREATE_ORDER: &str = include_str!("../../../examples/services/sagas/create-order.yaml");

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The files below a folder of this crate that end so.
fn below(folder: &str, end: &str) -> Vec<PathBuf> {
    let mut left = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
    let mut files = Vec::new();
    while let Some(folder) = left.pop() {
        for entry in fs::read_dir(folder).expect("the folder is there") {
            let path = entry.expect("it can be read").path();
            if path.is_dir() {
                left.push(path);
            } else if path.to_string_lossy().ends_with(end) {
                files.push(path);
            }
        }
    }
    files
}

/// The codes that the code can say: what stands as a code in a call that makes a diagnostic.
fn known_codes() -> BTreeSet<String> {
    let call = Regex::new(
        r#"\b(?:error|warning|refuse|warn|prove|report|mistake)\(\s*(?:[a-z_.]+(?:\(\))?,\s*)?"([a-z0-9]+(?:-[a-z0-9]+)*)"\s*,"#,
    )
    .expect("it is a pattern");
    let mut codes = BTreeSet::new();
    for path in below("src", ".rs") {
        if path.ends_with("tests.rs") || path.components().any(|part| part.as_os_str() == "tests") {
            continue;
        }
        let text = read(&path);
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        let code: String = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
        codes.extend(call.captures_iter(&code).map(|found| found[1].to_owned()));
    }
    codes
}

/// The codes that goldens show.
fn shown_codes() -> BTreeSet<String> {
    let title = Regex::new(r"(?m)^(?:error|warning)\[([a-z0-9-]+)\]: ").expect("it is a pattern");
    let goldens = below("tests", ".snap");
    goldens
        .iter()
        .flat_map(|path| title.captures_iter(&read(path)).map(|found| found[1].to_owned()).collect::<Vec<_>>())
        .collect()
}

#[test]
fn every_kind_of_mistake_has_a_golden() {
    let (known, shown) = (known_codes(), shown_codes());
    assert!(known.len() > 60, "{known:?}");
    let unseen: Vec<_> = known.difference(&shown).collect();
    assert!(unseen.is_empty(), "no golden below tests/ shows these: {unseen:?}");
    let unknown: Vec<_> = shown.difference(&known).collect();
    assert!(unknown.is_empty(), "goldens show these, and the code was not seen to say them: {unknown:?}");
}

/// create-order with one change, and what is said of it.
fn with_slip(from: &str, to: &str) -> Vec<Diagnostic> {
    assert_eq!(CREATE_ORDER.matches(from).count(), 1, "{from}");
    load("create-order.yaml", &CREATE_ORDER.replace(from, to)).expect_err("it is refused")
}

#[test]
fn create_order_without_one_compensate_is_refused_at_that_step() {
    let found = with_slip(
        "    compensate:
      call: billing POST /balance_transactions/
      body: {account_id: \"${steps.get_account.id}\", type: payment_refund, amount: \"${steps.create_order.amount}\", currency: USD, reference: \"${step.key}\"}
",
        "",
    );
    assert_eq!(found.iter().map(Diagnostic::code).collect::<Vec<_>>(), ["missing-compensate"]);
    insta::assert_snapshot!("slip-missing-compensate", render(&found, Colour::Never));
}

#[test]
fn create_order_with_a_reference_moved_ahead_is_refused_at_that_reference() {
    let found = with_slip(
        "account_id: \"${steps.get_account.id}\", type: payment,",
        "account_id: \"${steps.complete_order.order}\", type: payment,",
    );
    assert_eq!(found.iter().map(Diagnostic::code).collect::<Vec<_>>(), ["not-before"]);
    insta::assert_snapshot!("slip-reference-ahead", render(&found, Colour::Never));
}

#[test]
fn create_order_with_an_undo_after_the_pivot_is_refused_at_that_undo() {
    let found = with_slip("  - id: create_payment\n", "  - id: create_payment\n    pivot: true\n");
    // The pivot itself is never undone, nor what comes after it.
    assert_eq!(found.iter().map(Diagnostic::code).collect::<Vec<_>>(), ["never-undone", "never-undone"]);
    insta::assert_snapshot!("slip-undo-after-pivot", render(&found, Colour::Never));
}
