#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn form(body: &str) -> String {
    String::from_utf8(canonical(body.as_bytes(), &[]).unwrap()).unwrap()
}

fn without(body: &str, pointers: &[&str]) -> String {
    let pointers: Vec<_> = pointers.iter().map(|text| JsonPointer::parse(text).unwrap()).collect();
    String::from_utf8(canonical(body.as_bytes(), &pointers).unwrap()).unwrap()
}

#[test]
fn spellings_of_one_body_have_one_form() {
    for (body, expected) in [
        (" { \"b\" : [ 1 , { } , [ ] ] ,\r\n\t\"a\" : null } ", r#"{"a":null,"b":[1,{},[]]}"#),
        (r#"{"b":{"d":1,"c":2},"a":{"f":3,"e":4}}"#, r#"{"a":{"e":4,"f":3},"b":{"c":2,"d":1}}"#),
        (r#""\u0041\/\u00e9\ud83d\ude00\u0022\u005c""#, r#""A/é😀\"\\""#),
        (r#""\u000A\u001F\u0008""#, r#""\n\u001f\b""#),
        (r#"{"\u0062":1,"a":2}"#, r#"{"a":2,"b":1}"#),
        ("true", "true"),
        ("\t-0 ", "-0"),
    ] {
        assert_eq!(form(body), expected);
    }
}

#[test]
fn numbers_keep_every_digit_and_their_spelling() {
    let digits = "123456789012345678901234567890123456789012345678901234567890";
    for number in [digits, "9007199254740993", "1.0", "1", "1e2", "1E2", "1e+2", "100", "-0", "0.10", "0.1"] {
        assert_eq!(form(number), number);
    }
}

#[test]
fn what_is_not_json_has_no_form() {
    for body in [
        "",
        " ",
        "{",
        "[",
        "[1,]",
        "{\"a\":1,}",
        "{\"a\"}",
        "{a:1}",
        "01",
        "1.",
        ".5",
        "+1",
        "1e",
        "-",
        "nul",
        "truely",
        "\"a",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\ud800\"",
        "\"\\udc00\"",
        "\"\\ud800\\u0041\"",
        "\"a\nb\"",
        "1 2",
        "[1 2]",
        "\u{feff}1",
        "NaN",
        "{\"a\":1 \"b\":2}",
    ] {
        assert_eq!(canonical(body.as_bytes(), &[]), Err(NotCanonical::NotJson), "{body}");
    }
    assert_eq!(canonical(b"\"\xff\"", &[]), Err(NotCanonical::NotJson));
}

#[test]
fn two_members_of_one_name_have_no_form_however_they_are_spelled() {
    for body in [r#"{"a":1,"a":1}"#, r#"{"a":1,"b":2,"\u0061":1}"#, r#"[{"x":{"":0,"":0}}]"#] {
        assert_eq!(canonical(body.as_bytes(), &[]), Err(NotCanonical::DuplicateMember), "{body}");
    }
    let pointer = [JsonPointer::parse("/a").unwrap()];
    assert_eq!(canonical(br#"{"a":1,"a":2}"#, &pointer), Err(NotCanonical::DuplicateMember));
}

#[test]
fn depth_has_a_bound() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(form(&nested(MAX_DEPTH)), nested(MAX_DEPTH));
    assert_eq!(canonical(nested(MAX_DEPTH + 1).as_bytes(), &[]), Err(NotCanonical::TooDeep));
    assert_eq!(canonical("[".repeat(1_000_000).as_bytes(), &[]), Err(NotCanonical::TooDeep));
    assert_eq!(canonical("{\"a\":".repeat(1_000_000).as_bytes(), &[]), Err(NotCanonical::TooDeep));
}

#[test]
fn excluded_places_do_not_count() {
    let body = r#"{"id":1,"meta":{"ts":5,"a/b":6,"c":7},"items":[{"ts":1,"n":2},{"ts":3}]}"#;
    assert_eq!(
        without(body, &["/meta/ts", "/meta/a~1b", "/items/0/ts"]),
        r#"{"id":1,"items":[{"n":2},{"ts":3}],"meta":{"c":7}}"#
    );
    assert_eq!(without(body, &["/meta", "/items"]), r#"{"id":1}"#);
    assert_eq!(without(body, &["/id", "/meta", "/items"]), "{}");
    assert_eq!(without(body, &["/items/1", "/meta", "/items/01/n"]), r#"{"id":1,"items":[{"n":2,"ts":1},!]}"#);
    assert_eq!(without(body, &["/nothing/here", "/id/0", "/items/-", "/items/9"]), form(body));
    assert_eq!(without(body, &[""]), "!");
    assert_eq!(without(r#"{"\u00e9\"":1,"b":2}"#, &["/é\""]), r#"{"b":2}"#);
    assert_eq!(without(r#"{"a":{"b":1,"c":2}}"#, &["/a/b", "/a"]), "{}");
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,8}|[\\x00-\\x22\\\\]{0,4}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::vec(("[a-c\"é]{0,2}", inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// The same value, spelled otherwise: members reversed, white space, every character of a string escaped.
fn respell(value: &Value) -> String {
    match value {
        Value::String(text) => {
            let units: String = text.encode_utf16().map(|unit| format!("\\u{unit:04X}")).collect();
            format!("\"{units}\"")
        }
        Value::Array(items) => format!("[ {} ]", items.iter().map(respell).collect::<Vec<_>>().join(" ,\n")),
        Value::Object(members) => {
            let spell =
                |(name, value): (&String, &Value)| format!("{} :\t{}", respell(&Value::from(name.as_str())), respell(value));
            format!("{{ {} }}", members.iter().rev().map(spell).collect::<Vec<_>>().join(" ,\r"))
        }
        scalar => scalar.to_string(),
    }
}

proptest! {
    #[test]
    fn spelling_never_counts(value in json()) {
        let plain = value.to_string();
        let form = canonical(plain.as_bytes(), &[]).unwrap();
        prop_assert_eq!(&form, &canonical(respell(&value).as_bytes(), &[]).unwrap());
        prop_assert!(form.len() <= plain.len());
        let read: Value = serde_json::from_slice(&form).unwrap();
        prop_assert_eq!(read, value, "the form is the same value");
        prop_assert_eq!(&form, &canonical(&form, &[]).unwrap(), "the form of the form is the form");
    }

    #[test]
    fn values_that_differ_have_forms_that_differ(a in json(), b in json()) {
        let same = canonical(a.to_string().as_bytes(), &[]) == canonical(b.to_string().as_bytes(), &[]);
        prop_assert_eq!(same, a == b);
    }

    #[test]
    fn nothing_makes_it_panic_and_it_takes_what_others_take(body in "[\\[\\]{}:,\"\\\\ \\-0-9eE.tfnull/u+a-d]{0,24}") {
        let known: Result<Value, _> = serde_json::from_str(&body);
        match canonical(body.as_bytes(), &[JsonPointer::parse("/a/0").unwrap()]) {
            Ok(_) | Err(NotCanonical::DuplicateMember) => prop_assert!(known.is_ok()),
            Err(_) => prop_assert!(known.is_err()),
        }
    }

    #[test]
    fn no_bytes_make_it_panic(body in proptest::collection::vec(any::<u8>(), 0..64)) {
        let _ = canonical(&body, &[]);
    }
}

#[test]
fn a_strings_pieces_end_where_they_end_wherever_that_is() {
    // Every place in the words that are looked at, for every byte that ends a piece, and for those beside them that do not.
    for at in 0..20 {
        for (special, spelled) in [
            (r#"\""#, r#"\""#),
            (r"\\", r"\\"),
            (r"\u0041", "A"),
            ("\u{7f}", "\u{7f}"),
            ("é", "é"),
            ("!", "!"),
            ("]", "]"),
            (" ", " "),
        ] {
            let (before, after) = ("a".repeat(at), "z".repeat(19 - at));
            let body = format!(r#"["{before}{special}{after}","{before}{special}"]"#);
            let form = format!(r#"["{before}{spelled}{after}","{before}{spelled}"]"#);
            assert_eq!(canonical(body.as_bytes(), &[]).unwrap(), form.as_bytes());
        }
        for refused in 0..0x20_u8 {
            let body = [b"\"", &b"a".repeat(at)[..], &[refused], &b"b".repeat(19 - at), b"\""].concat();
            assert_eq!(canonical(&body, &[]), Err(NotCanonical::NotJson));
        }
    }
}

#[test]
fn members_come_in_the_order_of_their_bytes_however_long_their_names_begin_alike() {
    let names = ["", "!", "a", "a!", "ab", "abcdefg", "abcdefgh", "abcdefgh!", "abcdefghi", "abcdefgi", "é"];
    let mut sorted = names.map(|name| format!("\"{name}\""));
    sorted.sort_unstable_by(|a, b| a.as_bytes().cmp(b.as_bytes()));
    let object = |names: &[String]| format!("{{{}}}", names.iter().map(|name| format!("{name}:1")).collect::<Vec<_>>().join(","));
    let mut turned = sorted.to_vec();
    for _ in 0..sorted.len() {
        turned.rotate_left(1);
        turned.swap(2, 5);
        assert_eq!(canonical(object(&turned).as_bytes(), &[]).unwrap(), object(&sorted).into_bytes());
    }
    let twice = object(&[sorted.to_vec(), vec!["\"abcdefgh!\"".to_owned()]].concat());
    assert_eq!(canonical(twice.as_bytes(), &[]), Err(NotCanonical::DuplicateMember));
}
