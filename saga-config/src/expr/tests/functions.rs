//! Functions of our own.

use super::*;

#[test]
fn functions_for_texts_do_what_their_names_say() {
    assert_evaluates(
        &body("null"),
        &[
            ("'Grüße'.lowerAscii() + 'Grüße'.upperAscii()", json!("grüßeGRüßE")),
            ("' \\t a b\\u00a0\\n'.trim()", json!("a b")),
            ("'a,b,,c'.split(',')", json!(["a", "b", "", "c"])),
            ("''.split(',')", json!([""])),
            ("'häh'.split('')", json!(["h", "ä", "h"])),
            ("'a,b,c'.split(',', 2)", json!(["a", "b,c"])),
            ("'abc'.split('', 2)", json!(["a", "bc"])),
            ("'a,b,c'.split(',', 0)", json!([])),
            ("'a,b,c'.split(',', -1)", json!(["a", "b", "c"])),
            ("['a', 'b'].join() + ['a', 'b'].join(', ') + [].join('x')", json!("aba, b")),
            ("'hello'.replace('l', 'L')", json!("heLLo")),
            ("'hello'.replace('l', '', 1)", json!("helo")),
            ("'hello'.replace('l', 'L', 0) + 'hello'.replace('l', 'L', -1)", json!("helloheLLo")),
            ("'ab'.replace('', '-')", json!("-a-b-")),
            ("'häh!'.substring(1) + 'häh!'.substring(1, 3) + 'ä'.substring(1) + 'a'.substring(0, 0)", json!("äh!äh")),
            ("'hä'.charAt(1) + 'hä'.charAt(2)", json!("ä")),
            ("['häh'.indexOf('h'), 'häh'.indexOf('h', 1), 'häh'.indexOf('x'), 'häh'.indexOf('')]", json!([0, 2, -1, 0])),
            (
                "['häh'.lastIndexOf('h'), 'häh'.lastIndexOf('h', 1), 'häh'.lastIndexOf('x'), 'häh'.lastIndexOf('')]",
                json!([2, 0, -1, 3]),
            ),
        ],
    );
}

#[test]
fn encodings_and_hashes_are_those_of_their_standards() {
    assert_evaluates(
        &body(r#"{"b": [1, null], "a": "x"}"#),
        &[
            ("base64url('') + base64url('f') + base64url('fo') + base64url('foo')", json!("ZgZm8Zm9v")),
            ("base64url('ü?>') + base64url(b'\\xff\\xfe')", json!("w7w_Pg__4")),
            ("fromBase64url('w7w_Pg') + fromBase64url('Zg==') + fromBase64url('Zg')", json!("ü?>ff")),
            ("sha256('abc')", json!("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")),
            ("sha256('abc') == sha256(b'abc')", json!(true)),
            ("json(request.body)", json!(r#"{"a":"x","b":[1,null]}"#)),
            ("fromJson(json(request.body)) == request.body", json!(true)),
            ("fromJson('{\"a\": 1.50}').a + 1", json!(2.5)),
        ],
    );
}

#[test]
fn functions_for_numbers_keep_their_kind() {
    assert_evaluates(
        &body("[3, 1.5, 2]"),
        &[
            ("math.least(3, 2)", json!(2)),
            ("math.greatest(3, 2.5, 1)", json!(3)),
            ("math.least(request.body)", json!(1.5)),
            ("math.greatest(1, 2u, 3, 2.0)", json!(3)),
            ("[math.abs(-2), math.abs(2), math.abs(-1.5)]", json!([2, 2, 1.5])),
            ("[math.round(2.5), math.round(-2.5), math.round(2), math.round(2.4)]", json!([3, -3, 2, 2])),
        ],
    );
}

#[test]
fn what_a_function_cannot_do_is_an_error_that_shows_no_value() {
    let request = body(r#"{"s": "s3cret", "l": ["s3cret", 1], "e": []}"#);
    for (source, message) in [
        ("request.body.s.substring(7)", "substring(): there is no position 7"),
        ("request.body.s.substring(-1)", "substring(): there is no position -1"),
        ("request.body.s.substring(3, 1)", "substring(): it would end before it begins"),
        ("request.body.s.charAt(9)", "charAt(): there is no position 9"),
        ("request.body.s.indexOf('s', 9)", "indexOf(): there is no position 9"),
        ("request.body.l.join(',')", "join(): the list holds something that is no string: use .map(x, string(x))"),
        ("fromJson(request.body.s)", "fromJson(): the text is not JSON"),
        ("fromBase64url('+')", "fromBase64url(): the text is not base64url"),
        ("fromBase64url('_w')", "fromBase64url(): what is encoded is not text"),
        ("math.least(request.body.e)", "math.least(): the list is empty"),
        ("math.least(request.body.l)", "math.least(): not everything is a number"),
        ("math.abs(-9223372036854775807 - 1)", "math.abs(): the result does not fit 64 bits"),
        ("math.round(1e300)", "math.round(): the result does not fit 64 bits"),
        ("request.body.l.trim()", "`trim` does not apply to list"),
        ("sha256(request.body.l)", "`sha256` does not apply to list"),
        ("json(b'a')", "json(): the expression gives a value of type `bytes`, which is not JSON"),
    ] {
        let error = eval_on(source, &request).unwrap_err().to_string();
        assert_eq!(error, message, "{source}");
    }
}

#[test]
fn no_function_gives_more_than_a_result_may_be() {
    let request = json!({"body": "a".repeat(100_000), "many": "a,".repeat(50_000)});
    for (source, function) in [
        ("request.body.replace('a', '0123456789abcdef')", "replace"),
        ("request.body.replace('', '0123456789abcdef')", "replace"),
        ("request.body.split('')", "split"),
        ("request.many.split(',')", ""),
        ("[request.body, request.body].join(request.body.replace('a', 'bbbbbbbbb'))", "join"),
        ("size([1, 2, 3, 4].map(x, request.body.replace('a', 'bbbbbbbbbb')).map(x, x.replace('b', 'cc')))", "replace"),
    ] {
        let expected = format!("{function}() would give more than {} bytes", limits::RESULT_BYTES);
        match eval_on(source, &request) {
            Err(error) => assert_eq!(error, EvalError::Limit(expected), "{source}"),
            Ok(_) => assert_eq!(function, "", "{source}"),
        }
    }
    // Many times a little is a lot as well.
    let numbers: Vec<usize> = (0..1000).collect();
    let request = json!({"body": "a".repeat(100_000), "many": numbers});
    let error = eval_on("size(request.many.map(x, sha256(request.body)))", &request).unwrap_err();
    assert!(matches!(error, EvalError::Limit(_)), "{error}");
}

/// The rows of the tables under a heading of the documentation.
fn documented(heading: &str) -> Vec<Vec<String>> {
    let page = include_str!("../../../../docs/expressions.md");
    let section = page.split_once(&format!("\n## {heading}\n")).unwrap().1;
    let section = section.split_once("\n## ").map_or(section, |(section, _)| section);
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let cells = |row: &str| row.trim_matches('|').split(" | ").map(|cell| cell.trim().trim_matches('`').to_owned()).collect();
    rows.map(cells).collect()
}

#[test]
fn the_documentation_lists_the_functions_there_are_and_what_its_examples_give() {
    let form = |function: &vocabulary::Function| match function.form {
        vocabulary::Form::Function => function.name.to_owned(),
        vocabulary::Form::Method => format!(".{}", function.name),
    };
    let functions: Vec<String> = vocabulary::FUNCTIONS.iter().map(form).collect();
    let macros: Vec<String> = vocabulary::MACROS.iter().map(|(name, _)| (*name).to_owned()).collect();
    for (heading, known) in [("Functions", functions), ("Macros", macros)] {
        let rows = documented(heading);
        assert_eq!(rows.iter().map(|row| row[0].clone()).collect::<Vec<_>>(), known, "{heading}");
        for row in rows {
            let [name, shapes, example, gives] = &row[..] else { panic!("{row:?}") };
            let called = name.trim_start_matches('.');
            assert!(example.contains(called) && (shapes.contains(called) || shapes == "the same"), "{name}: {example}");
            let gives: Value = serde_json::from_str(gives).unwrap_or_else(|error| panic!("{name}: {gives}: {error}"));
            assert_eq!(eval_on(example, &Value::Null), Ok(gives), "{example}");
        }
    }
}
