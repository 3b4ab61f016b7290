//! What the reader of YAML promises.
#![allow(clippy::unwrap_used)]
use proptest::prelude::*;

use super::*;
use crate::diagnostic::{Colour, render, to_json_lines};

fn document(text: &str) -> Document {
    Document::parse(&Source::new("f", text)).unwrap()
}

fn pointer(text: &str) -> Pointer {
    text.parse().unwrap()
}

#[test]
fn every_path_has_a_place_even_where_nothing_is() {
    let doc = document("a:\n  b: [x, {c: 1}]\n");
    let shown = |text: &str| {
        let at = pointer(text);
        (doc.place(&at).to_string(), doc.key_place(&at).to_string())
    };
    let both = |value: &str, key: &str| (value.to_owned(), key.to_owned());
    assert_eq!(shown("/a/b/1/c"), both("f:2:14", "f:2:11"));
    assert_eq!(shown("/a/b/0"), both("f:2:7", "f:2:7"));
    assert_eq!(shown("/a/missing/deep"), both("f:1:1", "f:1:1"));
    assert_eq!(shown("/a/b/1/d"), both("f:2:10", "f:2:10"));
    assert_eq!(shown("/a/b/9"), both("f:2:3", "f:2:3"));
    assert_eq!(shown(""), both("f:1:1", "f:1:1"));
    assert_eq!(doc.key_span(&pointer("/a/b/0")), None);
    assert_eq!(doc.key_span(&pointer("")), None);
}

#[test]
fn a_part_of_a_text_is_found_where_it_is_written() {
    let doc = document("a: \"x ${b} y\"\nb: \"\\t ${c}\"\nc: |\n  one\n  ${d}\nd: \"\\t${e}${e}\"\n");
    let part = |at: &str, range| doc.place_within(&pointer(at), range).to_string();
    assert_eq!(part("/a", 2..6), "f:1:7");
    assert_eq!(part("/b", 2..6), "f:2:8");
    assert_eq!(part("/c", 4..8), "f:5:3");
    assert_eq!(part("/d", 1..5), "f:6:4", "twice in the text, so the whole value");
    assert_eq!(part("/a", 2..600), "f:1:4");
}

/// The mistakes, one line each.
fn mistakes(text: &str) -> Vec<String> {
    let found = Document::parse(&Source::new("f", text)).unwrap_err();
    found.iter().map(ToString::to_string).collect()
}

#[track_caller]
fn one_mistake(text: &str, place: &str, words: &str) {
    let found = mistakes(text);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with(&format!("f:{place}: error: ")), "{found:?}");
    assert!(found[0].contains(words), "{found:?}");
}

fn json(text: &str) -> String {
    document(text).root().to_json().to_string()
}

#[test]
fn values_become_json_with_their_digits_and_in_their_order() {
    let text = "\u{feff}z: 1.10\na: [yes, true, ~, 'x', \"\\u00e9\"]\nb: 12345678901234567890123\nc: |\n  two\n  lines\n\nd: >-\n  folded\n  text\ne:\n\"<<\": 'quoted'\n";
    assert_eq!(
        json(text),
        r#"{"z":1.10,"a":["yes",true,null,"x","é"],"b":12345678901234567890123,"c":"two\nlines\n","d":"folded text","e":null,"<<":"quoted"}"#
    );
}

#[test]
fn an_empty_file_is_an_empty_map() {
    for text in ["", "\n\n", "# only a comment\n", "---\n", "--- # comment\n", "\u{feff}"] {
        assert_eq!(json(text), "{}", "{text:?}");
    }
    assert_eq!(json("~\n"), "null");
}

#[test]
fn spans_cover_what_is_written() {
    let doc = document("a: \"x\\ty\"\nb:\n  - {c: [1, 2 ]}\n  -\n\nd: |\n  one\n  two\n\n\ne: 'f'\n");
    let text = |at: &str| doc.source().slice(doc.span(&pointer(at)).unwrap());
    assert_eq!(text("/a"), "\"x\\ty\"");
    assert_eq!(text("/b"), "- {c: [1, 2 ]}\n  -");
    assert_eq!(text("/b/0"), "{c: [1, 2 ]}");
    assert_eq!(text("/b/0/c"), "[1, 2 ]");
    assert_eq!(doc.place(&pointer("/b/1")).to_string(), "f:4:4");
    assert_eq!(text("/d"), "one\n  two");
    assert_eq!(text(""), doc.source().text().trim_end());
}

#[test]
fn all_mistakes_of_meaning_are_told_at_once() {
    assert_eq!(
        mistakes("a: 1\n404: x\na: 2\nb: !!int 3\nc: 007\nd: *x\ntrue: 1\n? [q]\n: 1\n"),
        [
            "f:2:1: error: a key is text, not a number (put the key into quotes: \"404\")",
            "f:3:1: error: the key `a` is given twice (keep one of the two)",
            "f:4:4: error: tags are not read: `!!int` (remove the tag; put a value into quotes to make it text)",
            "f:5:4: error: a number does not begin with a zero: `007` (put it into quotes if it is text, or write it as a number of JSON)",
            "f:6:4: error: no anchor `&x` stands before this alias (put text that begins with `*` into quotes)",
            "f:7:1: error: a key is text, not true or false (put the key into quotes: \"true\")",
            "f:8:3: error: a key is text, not a list",
        ]
    );
}

#[test]
fn a_key_given_twice_names_both_places() {
    let found = Document::parse(&Source::new("f", "x:\n  a: 1\n  b: 2\n  'a': 3\n")).unwrap_err();
    assert_eq!(found[0].place().to_string(), "f:4:3");
    assert_eq!(found[0].labels()[0].place.to_string(), "f:2:3");
}

#[test]
fn what_hides_the_meaning_of_a_file_is_refused_with_a_reason() {
    one_mistake("a: &x {b: 1}\nc:\n  <<: *x\n", "3:3", "merge keys");
    one_mistake("a: 1\n---\nb: 2\n", "2:1", "one YAML document");
    one_mistake("%YAML 1.2\n---\na: 1\n", "1:1", "directives");
    one_mistake("a: &x [*x]\n", "1:8", "inside the value it refers to");
    one_mistake("a: *nothing\n", "1:4", "no anchor `&nothing`");
}

#[test]
fn mistakes_of_syntax_are_explained() {
    one_mistake("a:\n\tb: 1\n", "2:2", "a tab cannot indent (indent with spaces)");
    one_mistake("a: b: c\n", "1:5", "a `key:` cannot stand here");
    one_mistake("a: 1\n b: 2\n", "2:3", "a `key:` cannot stand here");
    one_mistake("a: \"x\n", "1:6", "the text in quotes is not closed");
    one_mistake("a: \"\\q\"\n", "1:4", "this escape is unknown");
    one_mistake("a: 1\nb\nc: 2\n", "2:1", "expected `key: value`");
    one_mistake("a: @x\n", "1:4", "into quotes");
    let found = Document::parse(&Source::new("f", "a: [1,\n  2\nc: 3\n")).unwrap_err();
    assert_eq!(found[0].labels()[0].place.to_string(), "f:1:4");
    assert_eq!(found[0].labels()[0].text, "inside the `[` that opens here");
}

#[test]
fn aliases_are_copies_that_know_where_they_were_written() {
    let doc = document("a: &x {b: [1]}\nc: *x\nd: &t text\ne: *t\n");
    assert_eq!(doc.root().to_json().to_string(), r#"{"a":{"b":[1]},"c":{"b":[1]},"d":"text","e":"text"}"#);
    assert_eq!(doc.place(&pointer("/c/b/0")).to_string(), "f:1:12");
    assert_eq!(doc.place(&pointer("/e")).to_string(), "f:4:4");
    assert_eq!(doc.key_place(&pointer("/c")).to_string(), "f:2:1");
}

#[test]
fn bombs_of_aliases_stop_at_the_bound() {
    let mut text = "a0: &a0 [x]\n".to_owned();
    for level in 1..60 {
        let below = format!("*a{},", level - 1).repeat(9);
        text.push_str(&format!("a{level}: &a{level} [{below}]\n"));
    }
    assert!(mistakes(&text)[0].contains("more than 100000 values"));
    let long = format!("a: &a \"{}\"\nb: [{}]\n", "x".repeat(500_000), "*a,".repeat(50));
    assert!(mistakes(&long)[0].contains("more than 4 MiB of text"));
}

#[test]
fn nested_anchors_do_not_copy_without_bound() {
    let anchors: String = (0..60).map(|level| format!("&a{level} [")).collect();
    let text = format!("a: {anchors}{}{}\n", "1,".repeat(10_000), "]".repeat(60));
    assert!(mistakes(&text)[0].contains("more than 100000 values"));
}

#[test]
fn nesting_stops_at_the_bound() {
    let flow = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
    assert!(Document::parse(&Source::new("f", flow(63))).is_ok());
    assert!(mistakes(&flow(64))[0].contains("deep"));
    assert!(mistakes(&"[".repeat(500_000))[0].contains("deep"));
    let block: String = (0..200).map(|level| format!("{}a:\n", " ".repeat(level))).collect();
    assert!(mistakes(&block)[0].contains("deep"));
    let by_alias = format!("a: &a {}\nb: {}*a{}\n", flow(40), "[".repeat(40), "]".repeat(40));
    assert!(mistakes(&by_alias)[0].contains("deep"));
}

#[test]
fn size_and_number_of_mistakes_are_bounded() {
    assert!(mistakes(&"#".repeat(MAX_FILE_BYTES + 1))[0].contains("longer than 1 MiB"));
    assert!(mistakes(&"- 1\n".repeat(MAX_NODES + 1))[0].contains("more than 100000 values"));
    assert_eq!(mistakes(&"- 007\n".repeat(5_000)).len(), 100);
}

proptest! {
    #[test]
    fn no_input_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        match decode("f", bytes) {
            Ok(source) => survive(&source),
            Err(error) => drop(render(&[error], Colour::Ansi)),
        }
    }

    #[test]
    fn no_mixture_of_yaml_signs_panics(pieces in proptest::collection::vec(prop::sample::select(SIGNS), 0..60)) {
        survive(&Source::new("f", pieces.concat()));
    }
}

const SIGNS: &[&str] = &[
    "a", "b: ", ": ", "- ", "\n", "  ", " ", "[", "]", "{", "}", ",", "&x ", "*x", "!t ", "? ", "|\n", ">-\n", "'", "\"", "\\",
    "#", "---\n", "...\n", "%", "~", "true", "1", "0x1", "<<: ", "\t", "\r", "\u{85}", "é", "日", "\u{feff}", "\0",
];

fn survive(source: &Arc<Source>) {
    let (document, mistakes) = Document::recover(source);
    let _ = (render(&mistakes, Colour::Ansi), to_json_lines(&mistakes));
    if let Some(document) = document {
        walk(&document, document.root(), &Pointer::root());
    }
}

/// Every node can be reached and shown, and its span lies in the text.
fn walk(document: &Document, node: &Node, at: &Pointer) {
    let length = document.source().text().len();
    assert!(node.span().end <= length, "{at}");
    let _ = (document.place(at).to_string(), document.key_place(at).to_string());
    let _ = document.place_within(at, 0..3);
    for (index, item) in node.items().iter().enumerate() {
        walk(document, item, &at.child(index));
    }
    for entry in node.entries() {
        assert!(entry.key.span.end <= length, "{at}");
        walk(document, &entry.value, &at.child(&entry.key.text));
    }
}
