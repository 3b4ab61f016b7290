#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn names() -> Names {
    Names::new(&["x", "y", "response"])
}

fn template(text: &str) -> Template {
    Template::parse(text, &names()).unwrap_or_else(|error| panic!("{text}: {error:?}"))
}

fn path(text: &str) -> Result<PathTemplate, TemplateError> {
    PathTemplate::parse(text, &names())
}

fn call(text: &str) -> Result<CallTarget, TemplateError> {
    CallTarget::parse(text, &names())
}

fn with_x<T>(x: &Value, use_it: impl FnOnce(&Bindings<'_>) -> T) -> T {
    use_it(&Bindings::new().with("x", x).with("y", x))
}

#[test]
fn a_whole_expression_keeps_its_type_and_digits_and_text_around_it_makes_a_string() {
    let x: Value = serde_json::from_str(r#"{"n": 19.90, "s": "a", "t": true, "l": [1.0], "u": null}"#).unwrap();
    for (text, rendered) in [
        ("${x.n}", "19.90"),
        (" ${x.n}", r#"" 19.90""#),
        ("${ x.l }", "[1.0]"),
        ("${x.u}", "null"),
        ("${x.s}-${x.n}-${x.t}", r#""a-19.90-true""#),
        ("", r#""""#),
        ("plain $ text $5 }", r#""plain $ text $5 }""#),
        ("$${x.n} is ${x.n}", r#""${x.n} is 19.90""#),
        ("$$${x.n}", r#""$${x.n}""#),
        ("${'}' + \"}\" + {'a': '}'}.a}!", r#""}}}!""#),
        ("${x.n == 19.9 ? '$' : '{'}.", r#""$.""#),
    ] {
        assert_eq!(with_x(&x, |x| template(text).render(x)).unwrap().to_string(), rendered, "{text}");
    }
}

#[test]
fn only_scalars_stand_inside_of_text() {
    for (x, found) in [(json!(null), "null"), (json!([1]), "a list"), (json!({}), "a map")] {
        let error = with_x(&x, |x| template("a ${x}").render(x)).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("${{x}} gives {found}; only strings, numbers and booleans can stand inside of text")
        );
        assert!(with_x(&x, |x| template("${x}").render_string(x)).is_err());
    }
    let error = with_x(&json!({}), |x| template("a ${x.b}").render(x)).unwrap_err();
    assert_eq!(error.to_string(), "${x.b}: `x` has no field `b`");
}

#[test]
fn a_text_that_is_not_a_template_says_where() {
    for (text, span, offset, message) in [
        ("ab ${x", 3..6, None, "this `${` is never closed"),
        ("${'x}", 0..5, Some(2), "a string in this `${` is never closed"),
        ("é ${x + z} ${", 3..11, Some(9), "there is no `z` here"),
        ("${}", 0..3, None, "the expression is empty"),
        ("${x} ${1 +}", 5..11, Some(10), "the expression ends too early"),
    ] {
        let error = Template::parse(text, &names()).unwrap_err();
        assert_eq!((error.span, error.offset_bytes, error.message.as_str()), (span, offset, message), "{text}");
    }
    let long = "a".repeat(TEXT_BYTES + 1);
    assert_eq!(Template::parse(&long, &names()).unwrap_err().message, "the text is 65537 bytes long; the limit is 65536");
}

#[test]
fn a_header_with_a_control_character_is_refused() {
    for text in ["a\r\nb", "a\nb", "a\rb", "a\0b", "a\tb", "\u{1b}[1m", "\u{7f}"] {
        let error = with_x(&json!(text), |x| template("v ${x}").render_header(x)).unwrap_err();
        assert!(matches!(error, RenderError::Control { .. }), "{text:?}: {error}");
        assert!(with_x(&json!("a"), |x| template(&format!("{text}${{x}}")).render_header(x)).is_err());
    }
    assert_eq!(with_x(&json!("ü, b"), |x| template("v ${x}").render_header(x)).unwrap(), "v ü, b");
    let long = json!("a".repeat(HEADER_BYTES + 1));
    assert!(matches!(with_x(&long, |x| template("${x}").render_header(x)), Err(RenderError::TooLong { .. })));
}

#[test]
fn a_value_stays_within_its_segment_and_parameter() {
    for (text, x, rendered) in [
        ("/a/${x}/b", json!("1/2"), "/a/1%2F2/b"),
        ("/a/${x}/b", json!("%2e%2e"), "/a/%252e%252e/b"),
        ("/a/${x}.json", json!("..."), "/a/....json"),
        ("/a/${x}", json!("ü ;\\#?&=+"), "/a/%C3%BC%20%3B%5C%23%3F%26%3D%2B"),
        ("/a/${x}?b=${x}&c=${y}", json!("1&c=2"), "/a/1%26c%3D2?b=1%26c%3D2&c=1%26c%3D2"),
        ("/a?b=${x}", json!(""), "/a?b="),
        ("/a?b=${x}/..", json!(".."), "/a?b=../.."),
        ("/${x}", json!(12.50), "/12.5"),
        ("/a/${x}", json!(true), "/a/true"),
        ("/%41/b", json!(0), "/%41/b"),
    ] {
        assert_eq!(with_x(&x, |x| path(text).unwrap().render(x)).unwrap(), rendered, "{text} with {x}");
    }
}

#[test]
fn a_value_that_would_change_the_path_is_refused() {
    for (text, x, message) in [
        ("/a/${x}", json!(""), "${x} is empty, and a path cannot do without it"),
        ("/a/${x}/b", json!(".."), "`/a/${x}/b` renders a path with a segment `.` or `..`"),
        ("/a/${x}", json!("."), "`/a/${x}` renders a path with a segment `.` or `..`"),
        ("/a/${x}${y}?q", json!("."), "`/a/${x}${y}?q` renders a path with a segment `.` or `..`"),
        ("/a/%2e${x}", json!("."), "`/a/%2e${x}` renders a path with a segment `.` or `..`"),
        ("/a/.${x}/", json!("."), "`/a/.${x}/` renders a path with a segment `.` or `..`"),
        ("/a/${x}", json!(null), "${x} gives null; only strings, numbers and booleans can stand inside of text"),
        ("/a/${x}", json!("ü".repeat(2000)), "`/a/${x}` renders to more than 8000 bytes"),
    ] {
        let error = with_x(&x, |x| path(text).unwrap().render(x)).unwrap_err();
        assert_eq!(error.to_string(), message, "{text} with {x}");
    }
}

#[test]
fn literal_text_that_is_no_path_is_refused_where_it_stands() {
    for (text, span, message) in [
        ("a/b", 0..3, "a path begins with `/`"),
        ("${x}/b", 0..6, "a path begins with `/`"),
        ("", 0..0, "a path begins with `/`"),
        ("//evil/${x}", 0..2, "a path that begins with `//` names another host"),
        ("/a b", 2..3, "` ` cannot stand in a path or query"),
        ("/${x}#a", 5..6, "`#` cannot stand in a path or query"),
        ("/ü", 1..3, "`ü` cannot stand in a path or query"),
        ("/a%2", 2..3, "`%` cannot stand in a path or query"),
        ("/a/{id}", 3..4, "`{` cannot stand in a path or query"),
        ("/a/$x", 3..4, "`$` cannot stand in a path or query"),
        ("/a\r\nHost: b", 2..3, "`\\r` cannot stand in a path or query"),
        ("/${x.?a.orValue('?')}/../b", 0..26, "a path has no segment `..`"),
        ("/a/%2E", 0..6, "a path has no segment `%2E`"),
    ] {
        let error = path(text).unwrap_err();
        assert_eq!((error.span, error.message.as_str()), (span, message), "{text}");
    }
}

#[test]
fn a_call_is_an_upstream_a_method_and_a_path() {
    let upstream = |call: &CallTarget| call.upstream().map(ToString::to_string);
    for (text, name, method, target) in [
        ("GET /a/${x}?b=${y}", None, Method::Get, "/a/7?b=7"),
        ("orders POST /internal/", Some("orders"), Method::Post, "/internal/"),
        ("  psp-eu   DELETE  /a/${x} ", Some("psp-eu"), Method::Delete, "/a/7"),
    ] {
        let call = call(text).unwrap();
        assert_eq!((upstream(&call).as_deref(), call.method()), (name, method), "{text}");
        assert_eq!(with_x(&json!(7), |x| call.render(x, &[])).unwrap(), target, "{text}");
    }
}

#[test]
fn what_is_not_a_call_says_why() {
    for (text, span, message) in [
        ("", 0..0, "the method is missing"),
        ("/a", 0..2, "the method is missing"),
        ("orders /a", 0..6, "the method is missing"),
        ("get /a", 0..3, "`get` is not a method"),
        ("orders Post /a", 7..11, "`Post` is not a method"),
        ("TRACE /a", 0..5, "`TRACE` is not a method that a call can use"),
        ("orders SEND /a", 7..11, "`SEND` is not a method that a call can use"),
        ("Orders GET /a", 0..6, "`Orders` is not an upstream's name: `O` is not a lowercase letter"),
        ("GET", 3..3, "the path is missing"),
        ("orders GET a", 11..12, "a path begins with `/`"),
        ("GET /a b", 6..7, "` ` cannot stand in a path or query"),
        ("orders GET /${z}", 12..16, "there is no `z` here"),
    ] {
        let error = call(text).unwrap_err();
        assert_eq!((error.span, error.message.as_str()), (span, message), "{text}");
    }
}

#[test]
fn a_reference_stays_on_the_upstreams_origins() {
    let call = call("flights DELETE ${response.headers.location}").unwrap();
    let origins = ["http://127.0.0.1:8001", "https://PSP.example:443/base"];
    let render = |reference: Value| {
        let response = json!({"headers": {"location": reference}});
        call.render(&Bindings::new().with("response", &response), &origins)
    };
    for (reference, target) in [
        ("/holds/1?a=b$c#frag", "/holds/1?a=b$c"),
        ("http://127.0.0.1:8001/holds/1", "/holds/1"),
        ("https://psp.example/x", "/x"),
        ("HTTPS://psp.EXAMPLE:443", "/"),
        ("https://psp.example?a", "/?a"),
        ("/a?u=http://other.example/", "/a?u=http://other.example/"),
    ] {
        assert_eq!(render(json!(reference)).unwrap(), target, "{reference}");
    }
    for reference in [
        "http://evil.example/",
        "https://127.0.0.1:8001/",
        "http://127.0.0.1:8001@evil.example/",
        "//evil.example/",
        "http://127.0.0.1:80010/",
        "http://127.0.0.1:8001//evil.example/",
        "holds/1",
        "",
        "?a",
        "/a/../b",
        "/a/%2e%2E",
        "/a b",
        "/a\r\nb",
        "/ü",
        "/a\\b",
        "file:///etc/passwd",
        "javascript:alert(1)",
    ] {
        let error = render(json!(reference)).unwrap_err();
        assert!(matches!(error, RenderError::NotReference { .. }), "{reference}: {error}");
    }
    assert!(matches!(render(json!(17)), Err(RenderError::NotReference { .. })));
}

#[test]
fn a_tree_renders_in_its_own_order_and_keeps_what_is_not_a_template() {
    let tree: Value =
        serde_json::from_str(r#"{"b": "${x.n}", "a": {"c": ["$${", "n ${x.n}", 1.50, null]}, "k": ["z", {"$": true}]}"#).unwrap();
    let tree = ValueTemplate::parse(&tree, &names()).unwrap();
    let x: Value = serde_json::from_str(r#"{"n": 2.50}"#).unwrap();
    assert_eq!(
        with_x(&x, |x| tree.render(x)).unwrap().to_string(),
        r#"{"b":2.50,"a":{"c":["${","n 2.50",1.50,null]},"k":["z",{"$":true}]}"#
    );
    assert_eq!(tree.expressions().len(), 2);
    let constant = ValueTemplate::parse(&json!({"a": ["$${x}"]}), &names()).unwrap();
    assert_eq!(constant.constant(), Some(&json!({"a": ["${x}"]})));
}

#[test]
fn everything_that_is_wrong_in_a_tree_is_reported_at_once() {
    let tree = json!({"a/b": ["${x}", "${z}"], "c": {"~": "${", "${x}": 1}});
    let errors = ValueTemplate::parse(&tree, &names()).unwrap_err();
    let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(
        errors,
        ["/a~1b/1: there is no `z` here", "/c/~0: this `${` is never closed", "/c: the key `${x}` is not a template",]
    );
    let mut deep = json!("a");
    for _ in 0..100 {
        deep = json!([deep]);
    }
    assert!(ValueTemplate::parse(&deep, &names()).is_err());
}

proptest! {
    #[test]
    fn any_text_is_a_template_or_an_error(text in ".{0,40}", pieces in prop::collection::vec(
        prop::sample::select(vec!["$", "{", "}", "${", "$${", "x", "'", "\"", "\\", "/", "?", ".", " ", "GET", "é"]), 0..12)
    ) {
        for text in [text, pieces.concat()] {
            let rendered = Template::parse(&text, &names()).map(|template| with_x(&json!("v"), |x| template.render(x)));
            if !text.contains("${") {
                prop_assert_eq!(rendered, Ok(Ok(json!(&text))));
            }
            let _ = path(&text);
            let _ = call(&text);
            let _ = call(&format!("GET {text}"));
        }
    }

    #[test]
    fn a_numbers_digits_survive(digits in "-?(0|[1-9][0-9]{0,40})(\\.[0-9]{1,40})?") {
        let x: Value = serde_json::from_str(&digits).unwrap();
        prop_assert_eq!(with_x(&x, |x| template("${x}").render(x)).unwrap().to_string(), digits.clone());
        prop_assert_eq!(with_x(&x, |x| template("n=${x}").render_string(x)).unwrap(), format!("n={digits}"));
    }

    #[test]
    fn no_value_injects_into_a_header(value in any::<String>()) {
        let rendered = with_x(&json!(value), |x| template("a ${x} b").render_header(x));
        match rendered {
            Ok(header) => prop_assert!(!header.bytes().any(|byte| byte < b' ' || byte == 0x7f)),
            Err(_) => prop_assert!(value.bytes().any(|byte| byte < b' ' || byte == 0x7f)),
        }
    }

    #[test]
    fn no_value_adds_a_segment_or_a_parameter(value in prop_oneof![any::<String>(), "[./%?#&=\\\\2eEfF]{0,6}"]) {
        let target = path("/a/${x}/b-${x}?p=${x}&q").unwrap();
        let Ok(rendered) = with_x(&json!(value), |x| target.render(x)) else {
            prop_assert!(matches!(value.as_str(), "" | "." | "..") || value.len() > 500, "{:?}", value);
            return Ok(());
        };
        let (path, query) = rendered.split_once('?').unwrap();
        let segments: Vec<&str> = path.split('/').collect();
        prop_assert_eq!(segments.len(), 4);
        prop_assert!(segments[2] != "." && segments[2] != ".." && !segments[2].is_empty());
        prop_assert_eq!(query.split('&').count(), 2);
        prop_assert_eq!(query.matches('=').count(), 1);
        prop_assert!(!rendered.contains(['#', '\\', ' ']) && rendered.matches('?').count() == 1);
        prop_assert_eq!(decode(segments[2]), value.as_bytes());
    }

    #[test]
    fn no_reference_leaves_the_origin(reference in prop_oneof![
        any::<String>(),
        prop::collection::vec(prop::sample::select(vec![
            "http://", "https://", "a.example", "evil.example", ":8001", "/", "//", "\\", "@", "?", "#", "..", "%2e", "x",
        ]), 0..7).prop_map(|pieces| pieces.concat()),
    ]) {
        let call = call("GET ${x}").unwrap();
        if let Ok(target) = with_x(&json!(reference), |x| call.render(x, &["http://a.example:8001"])) {
            prop_assert!(target.starts_with('/') && !target.starts_with("//"), "{}", target);
            prop_assert!(reference.starts_with('/') || reference.to_lowercase().starts_with("http://a.example:8001"));
        }
    }
}

fn decode(segment: &str) -> Vec<u8> {
    let mut bytes = segment.bytes();
    let mut decoded = Vec::new();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let hex = [bytes.next().unwrap(), bytes.next().unwrap()];
            decoded.push(u8::from_str_radix(std::str::from_utf8(&hex).unwrap(), 16).unwrap());
        } else {
            decoded.push(byte);
        }
    }
    decoded
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[1-9]{1,30}\\.[0-9]{1,9}".prop_map(|digits| serde_json::from_str(&digits).unwrap()),
        "\\PC{0,8}|[\"\\\\\u{0}-\u{1f}\u{2028}]{0,4}".prop_map(Value::from),
        proptest::sample::select(vec!["${x}", "${y.a}", "a ${x} b", "$${x}", "${x == y}"]).prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::vec(("[a-z\"\\\\]{0,3}", inner), 0..4)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn the_text_of_a_value_is_what_the_value_is_written_as(tree in json_value(), x in json_value()) {
        if let Ok(template) = ValueTemplate::parse(&tree, &names()) {
            with_x(&x, |known| {
                let written = template.render(known).map(|value| value.to_string());
                assert_eq!(template.render_text(known), written);
            });
        }
    }
}
