//! What users see for files that are no YAML, or YAML that hides what it means, or more of it than anyone writes.

use saga_config::{
    diagnostic::{Colour, Diagnostic, render},
    saga::Saga,
    yaml::{MAX_FILE_BYTES, decode, read_file},
};

/// A sound saga, to be broken.
const SAGA: &str = "saga: s\nversion: 1\ntrigger: {route: POST /}\nsteps:\n  - {id: a, set: {x: 1}}\n";

fn said(bytes: impl Into<Vec<u8>>) -> String {
    let found: Result<_, Vec<Diagnostic>> =
        decode("s.yaml", bytes.into()).map_err(|mistake| vec![mistake]).and_then(|source| Saga::load(&source, None));
    match found {
        Ok(loaded) => format!("(taken: {})", loaded.saga.name),
        Err(found) => render(&found, Colour::Never),
    }
}

/// Values that are each nine times the one before.
fn bomb() -> String {
    let mut text = format!("{SAGA}x0: &x0 [lol]\n");
    for level in 1..40 {
        let below = format!("*x{},", level - 1).repeat(9);
        text.push_str(&format!("x{level}: &x{level} [{below}]\n"));
    }
    text
}

#[test]
fn bombs_and_giants_are_bounded_and_explained() {
    insta::assert_snapshot!("yaml-alias-bomb", said(bomb()));
    let long = format!("{SAGA}a: &a \"{}\"\nb: [{}]\n", "x".repeat(500_000), "*a,".repeat(50));
    insta::assert_snapshot!("yaml-text-bomb", said(long));
    insta::assert_snapshot!("yaml-too-many-values", said(format!("{SAGA}x:\n{}", "- 1\n".repeat(100_001))));
    insta::assert_snapshot!("yaml-deep-flow", said(format!("{SAGA}x: {}", "[".repeat(100_000))));
    let block: String = (0..200).map(|level| format!("{}a:\n", " ".repeat(level))).collect();
    insta::assert_snapshot!("yaml-deep-block", said(block));
    let body = format!("{}1{}", "{a: ".repeat(70), "}".repeat(70));
    insta::assert_snapshot!("yaml-deep-body", said(SAGA.replace("x: 1", &format!("x: {body}"))));
    insta::assert_snapshot!("yaml-huge", said(vec![b'#'; MAX_FILE_BYTES + 1]));
    insta::assert_snapshot!("yaml-long-line", said(format!("{SAGA}# {}\nx{}: 1\n", "#".repeat(9000), "y".repeat(9000))));
    let many = format!("{SAGA}{}", (0..400).map(|key| format!("k{key}: 1\n")).collect::<String>());
    assert!(said(many).matches("error[").count() <= 101);
}

#[test]
fn what_hides_the_meaning_of_a_file_is_explained() {
    let with = |more: &str| said(format!("{SAGA}{more}"));
    insta::assert_snapshot!("yaml-duplicate-keys", with("version: 2\n\"saga\": t\n"));
    insta::assert_snapshot!("yaml-merge-key", said(SAGA.replace("{id: a, set: {x: 1}}", "{<<: {id: a}, set: {x: 1}}")));
    insta::assert_snapshot!("yaml-alias-of-itself", said(SAGA.replace("x: 1", "x: &x [*x]")));
    insta::assert_snapshot!("yaml-unknown-alias", said(SAGA.replace("x: 1", "x: *nobody, y: *body")));
    insta::assert_snapshot!("yaml-tags", said(SAGA.replace("x: 1", "x: !!python/object:os.system 1, y: !secret z")));
    insta::assert_snapshot!("yaml-directive", said(format!("%YAML 1.1\n---\n{SAGA}")));
    insta::assert_snapshot!("yaml-two-documents", with("---\nsaga: t\n"));
    insta::assert_snapshot!("yaml-keys", with("1: a\ntrue: b\n~: c\n? [d]\n: e\n"));
    insta::assert_snapshot!(
        "yaml-numbers",
        said(SAGA.replace("version: 1", "version: 0x1").replace("x: 1", "x: 007, y: .5, z: .inf"))
    );
}

#[test]
fn anchors_that_only_repeat_are_taken() {
    let repeated =
        "saga: s\nversion: 1\ntrigger: {route: POST /}\nsteps:\n  - {id: a, set: &values {x: 1}}\n  - {id: b, set: *values}\n";
    assert_eq!(said(repeated), "(taken: s)");
}

#[test]
fn mistakes_of_syntax_are_shown_where_they_are() {
    insta::assert_snapshot!("yaml-tab", said(SAGA.replace("  - {id", "\t- {id")));
    insta::assert_snapshot!("yaml-tab-after-text", said("saga: s\n\tversion: 1\n"));
    insta::assert_snapshot!("yaml-colon", said(SAGA.replace("saga: s", "saga: s: t")));
    insta::assert_snapshot!("yaml-quote", said(SAGA.replace("x: 1", "x: \"1")));
    insta::assert_snapshot!("yaml-after-quote", said(SAGA.replace("x: 1", "x: \"a\" b")));
    insta::assert_snapshot!("yaml-bracket", said(SAGA.replace("{x: 1}}", "{x: 1}")));
    insta::assert_snapshot!("yaml-brackets", said(SAGA.replace("{x: 1}}", "{x: 1]}")));
    insta::assert_snapshot!("yaml-too-many-brackets", said(SAGA.replace("{x: 1}}", "{x: 1}}}")));
    insta::assert_snapshot!("yaml-escape", said(SAGA.replace("x: 1", "x: \"\\d\"")));
    insta::assert_snapshot!("yaml-indentation", said(SAGA.replace("version", " version")));
    insta::assert_snapshot!("yaml-unquoted", said(SAGA.replace("x: 1", "x: @a")));
    insta::assert_snapshot!("yaml-unquoted-expression", said(SAGA.replace("x: 1", "x: ${ {'a': 1} }")));
}

#[test]
fn bytes_that_are_no_text_are_shown_where_they_are() {
    insta::assert_snapshot!("yaml-latin1", said(b"saga: caf\xe9\nversion: 1\n".to_vec()));
    insta::assert_snapshot!("yaml-utf16", said(b"\xff\xfes\0a\0g\0a\0".to_vec()));
    insta::assert_snapshot!("yaml-zero", said(b"\x7fELF\0\0".to_vec()));
    insta::assert_snapshot!("yaml-mark-inside", said(SAGA.replace("version", "\u{feff}version")));
    let missing = read_file(std::path::Path::new("no-folder/s.yaml")).expect_err("it is not there");
    insta::assert_snapshot!("yaml-unreadable", render(&[missing], Colour::Never));
}

#[test]
fn what_other_systems_write_is_the_same_file() {
    let hash = |text: &str| super::loaded("s.yaml", text).hash;
    let plain = hash(SAGA);
    assert_eq!(hash(&format!("\u{feff}{SAGA}")), plain, "a byte order mark");
    assert_eq!(hash(&SAGA.replace('\n', "\r\n")), plain, "CRLF");
    assert_eq!(hash(&SAGA.replace('\n', "\r")), plain, "a lone CR");
    assert_eq!(hash(&format!("---\n{SAGA}...\n")), plain, "markers of the document");
    // Lines are still counted right.
    let broken = SAGA.replace("version: 1", "version: zero").replace('\n', "\r\n");
    insta::assert_snapshot!("yaml-crlf", said(broken));
}
