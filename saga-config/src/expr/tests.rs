#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn names() -> Names {
    Names::new(&["request", "claims", "key", "response", "self", "steps"])
}

fn compile(source: &str) -> Result<Expression, ExprError> {
    Expression::compile(source, &names())
}

fn eval_on(source: &str, request: &Value) -> Result<Value, EvalError> {
    let expression =
        compile(source).unwrap_or_else(|error| panic!("{source}: {error} {:?}", error.help));
    let key = json!("a-7");
    expression.eval(&Bindings::new().with("request", request).with("key", &key))
}

fn body(json: &str) -> Value {
    json!({"body": serde_json::from_str::<Value>(json).unwrap(), "headers": {"x-channel": "web"}})
}

fn assert_evaluates(request: &Value, cases: &[(&str, Value)]) {
    for (source, expected) in cases {
        assert_eq!(eval_on(source, request).as_ref(), Ok(expected), "{source}");
    }
}

#[test]
fn the_language_of_the_documentation_works() {
    let request = body(
        r#"{"reference": "a-7", "amount": 19.90, "qty": 2, "note": null, "to": "US",
            "items": [{"sku": "b", "qty": 1}, {"sku": "a", "qty": 3}], "trip": {"insured": true}}"#,
    );
    assert_evaluates(
        &request,
        &[
            ("request.body.?reference.orValue('') == key", json!(true)),
            ("request.body.?absent.orValue('') == key", json!(false)),
            ("request.body.?absent.deeper.orValue('none')", json!("none")),
            ("request.body.qty + request.body.?fee.orValue(0)", json!(2)),
            (
                "request.body.qty * 2 - 1 == 3 && !(request.body.qty > 2)",
                json!(true),
            ),
            ("size(request.body.items) > 0", json!(true)),
            ("request.body.items.size()", json!(2)),
            ("size(request.body.to)", json!(2)),
            ("request.body.items[0].sku", json!("b")),
            ("request.body['items'][1]['qty']", json!(3)),
            (
                "request.body.items[?5].orValue({'sku': 'x'}).sku",
                json!("x"),
            ),
            ("request.headers['x-channel']", json!("web")),
            ("request.headers.`x-channel` + '!'", json!("web!")),
            (
                "has(request.body.note) && !has(request.body.nothing)",
                json!(true),
            ),
            ("request.body.note == null", json!(true)),
            ("request.body.to in ['US', 'IN']", json!(true)),
            ("'trip' in request.body", json!(true)),
            ("request.body.qty == 2 ? 'two' : 'many'", json!("two")),
            (
                "request.body.to.startsWith('U') && request.body.to.endsWith('S')",
                json!(true),
            ),
            ("request.body.reference.contains('-')", json!(true)),
            (
                "request.body.reference.matches('^[a-z]-[0-9]$')",
                json!(true),
            ),
            ("matches(request.body.reference, '^x')", json!(false)),
            ("request.body.items.all(i, i.qty > 0)", json!(true)),
            ("request.body.items.exists(i, i.sku == key)", json!(false)),
            (
                "request.body.items.filter(i, i.qty > 1).map(i, i.sku)",
                json!(["a"]),
            ),
            ("request.body.items.map(i, i.qty + 1)", json!([2, 4])),
            ("request.body.items.exists_one(i, i.qty == 3)", json!(true)),
            (
                "request.body.?reference.optMap(r, r + '!').orValue('')",
                json!("a-7!"),
            ),
            ("optional.of(1).hasValue()", json!(true)),
            (
                "string(request.body.qty) + '/' + string(true)",
                json!("2/true"),
            ),
            ("int('7') + 1", json!(8)),
            (
                "json({'b': [1, null], 'a': 'x'})",
                json!(r#"{"a":"x","b":[1,null]}"#),
            ),
            ("type(request.body.qty) == int", json!(true)),
            ("[1, 2] + [3] == [1, 2, 3]", json!(true)),
            ("request.body.items == request.body.items", json!(true)),
            ("request.body.amount < 20", json!(true)),
            (
                "{'id': request.body.reference, 'n': 1}",
                json!({"id": "a-7", "n": 1}),
            ),
            ("// why not\n 1 + 1", json!(2)),
        ],
    );
}

#[test]
fn a_path_returns_the_json_as_it_is() {
    let text = r#"{"n":1.50,"big":123456789012345678901234567890,"e":1E400,"z":{"b":1,"a":2}}"#;
    let request = body(text);
    let whole = eval_on("request.body", &request).unwrap();
    assert_eq!(whole, serde_json::from_str::<Value>(text).unwrap());
    for (source, digits) in [
        ("request.body.n", "1.50"),
        ("request.body['big']", "123456789012345678901234567890"),
        ("( request.body . e )", "1e+400"),
        ("request.body.z", r#"{"b":1,"a":2}"#),
    ] {
        assert_eq!(
            eval_on(source, &request).unwrap().to_string(),
            digits,
            "{source}"
        );
    }
}

#[test]
fn a_number_that_64_bits_cannot_hold_passes_through_exactly_and_refuses_arithmetic() {
    let request = body(
        r#"{"n": 18446744073709551616, "d": 12345678901234567.89, "ok": 0.1, "same": 1234567890123456789e-2}"#,
    );
    assert_evaluates(
        &request,
        &[
            (
                "request.body.n == request.body.n && request.body.n != 1",
                json!(true),
            ),
            ("request.body.d == request.body.same", json!(false)),
            ("request.body.ok + 0.25", json!(0.35)),
        ],
    );
    let passed = eval_on("true ? [request.body.n, request.body.d] : []", &request).unwrap();
    assert_eq!(
        passed.to_string(),
        "[18446744073709551616,12345678901234567.89]"
    );
    for source in [
        "request.body.n + 1",
        "request.body.d * 2.0",
        "request.body.n > 0",
    ] {
        let error = eval_on(source, &request).unwrap_err();
        assert!(
            matches!(error, EvalError::WrongType(_)),
            "{source}: {error}"
        );
    }
}

#[test]
fn integers_are_signed_so_that_adding_to_them_works() {
    let request = body(r#"{"max": 9223372036854775807, "min": -9223372036854775808}"#);
    assert_evaluates(
        &request,
        &[
            ("request.body.max - 1", json!(9_223_372_036_854_775_806_i64)),
            (
                "request.body.min + 1",
                json!(-9_223_372_036_854_775_807_i64),
            ),
        ],
    );
    let overflow = eval_on("request.body.max + 1", &request).unwrap_err();
    assert_eq!(
        overflow.to_string(),
        "the result of `+` does not fit 64 bits"
    );
}

#[test]
fn an_evaluation_error_names_the_path_and_never_a_value() {
    let request = body(r#"{"a": "s3cret", "n": null, "items": ["s3cret"], "m": {"s3cret": 1}}"#);
    for (source, message) in [
        (
            "request.body.amount",
            "`request.body` has no field `amount`",
        ),
        (
            "request.body.amount + 1",
            "`request.body` has no field `amount`",
        ),
        ("request.bdy.amount.x == 1", "`request` has no field `bdy`"),
        (
            "request.body.a.b",
            "`request.body.a` is a string; it has no field `b`",
        ),
        (
            "request.body.n.b == 1",
            "`request.body.n` is null; it has no field `b`",
        ),
        (
            "request.body.items[3]",
            "`request.body.items` has 1 items, and no [3]",
        ),
        (
            "request.body.items['x'] == 1",
            "`request.body.items` is a list; it has no field `x`",
        ),
        (
            "has(request.body.a.b)",
            "`request.body.a` is a string; it has no field `b`",
        ),
        ("has(request.nope.b)", "`request` has no field `nope`"),
        (
            "request.body.?a.b.orValue(1)",
            "`request.body.?a` is a string; it has no field `b`",
        ),
        (
            "size(request.body.n)",
            "`request.body.n` is null, which has no size",
        ),
        (
            "request.body.items.map(i, i.sku)",
            "field selection does not apply to string and string",
        ),
        (
            "[{'a': 1}].map(i, i.b)",
            "a map in the expression has no field `b`",
        ),
        ("request.body.a + 1", "`+` does not apply to string and int"),
        ("request.body.a < 1", "`<` does not apply to string and int"),
        ("-request.body.a == 1", "`-` does not apply to string"),
        (
            "request.body.a && true",
            "`&&` does not apply to string and bool",
        ),
        ("request.body.a ? 1 : 2", "bool is needed here, not string"),
        ("1 / (size(request.body.items) - 1)", "division by zero"),
        (
            "request.body.?a",
            "the expression gives an optional: end it with `.orValue(…)`",
        ),
        (
            "request.body.?b",
            "the expression gives an optional without a value: end it with `.orValue(…)`",
        ),
        (
            "b'abc'",
            "the expression gives a value of type `bytes`, which is not JSON",
        ),
        (
            "{1: 'a'}",
            "the expression gives a map with a key that is not a string, which is not JSON",
        ),
        ("response.status", "nothing is bound to `response` here"),
        (
            "response.status == 1",
            "nothing is bound to `response` here",
        ),
    ] {
        let error = eval_on(source, &request).unwrap_err().to_string();
        assert_eq!(error, message, "{source}");
        assert!(!error.contains("s3cret"), "{source}: {error}");
    }
}

#[test]
fn no_message_shows_a_value_whatever_goes_wrong() {
    let request = body(r#"{"a": "s3cret", "m": {"s3cret": 1}, "l": ["s3cret"]}"#);
    for operation in [
        "int(V)",
        "double(V)",
        "bool(V)",
        "uint(V)",
        "V % 2",
        "V - V",
        "V * 3",
        "V / V",
        "!V",
        "V[V]",
        "V[0]",
        "V.x",
        "V in 3",
        "1 in V",
        "V.all(x, x)",
        "V.exists(x, x > 2)",
        "V.map(x, x.y)",
        "[V].map(x, x + 1)",
        "V >= 1",
        "{V: 1}",
        "V.contains(1)",
        "V.startsWith(V)",
        "V.orValue(1)",
        "V || true && V",
        "size(V + V)",
        "bytes(V)",
        "V.matches('a')",
    ] {
        for path in ["request.body.a", "request.body.m", "request.body.l"] {
            let source = operation.replace('V', path);
            if let Err(error) = eval_on(&source, &request) {
                assert!(!error.to_string().contains("s3cret"), "{source}: {error}");
                assert!(
                    !matches!(error, EvalError::Internal(_)),
                    "{source}: {error}"
                );
            }
        }
    }
}

#[test]
fn what_is_not_evaluated_is_not_an_error() {
    let request = body("{}");
    assert_evaluates(
        &request,
        &[
            ("has(request.body.a) ? request.body.a : 0", json!(0)),
            ("false && request.body.a", json!(false)),
            ("request.body.a == 1 || true", json!(true)),
            ("[1, 2].exists(x, x == 2 || request.body.a)", json!(true)),
        ],
    );
}

#[test]
fn an_unknown_name_is_refused_where_it_stands_with_the_nearest_one() {
    for (source, message, offset, help) in [
        (
            "reqest.body",
            "there is no `reqest` here",
            0,
            Some("did you mean `request`?"),
        ),
        (
            "1 + respnse.a",
            "there is no `respnse` here",
            4,
            Some("did you mean `response`?"),
        ),
        (
            "'ü' + nothing",
            "there is no `nothing` here",
            7,
            Some("there is request, claims, key, response, self, steps"),
        ),
        (
            "steps.create-order.id",
            "there is no `order` here",
            13,
            Some("`-` subtracts; write ['create-order'] for a name with a dash"),
        ),
        (
            "claims.map(c, d)",
            "there is no `d` here",
            14,
            Some("there is request, claims, key, response, self, steps, @result, c"),
        ),
        (
            "siez(key)",
            "there is no function `siez`",
            4,
            Some("did you mean `size`?"),
        ),
        (
            "key.startWith('a')",
            "there is no method `startWith`",
            13,
            Some("did you mean `startsWith`?"),
        ),
        (
            "size(key, 1)",
            "the function `size` takes 1 argument(s), not 2",
            4,
            None,
        ),
        (
            "key.all(x)",
            "there is no method `all`",
            7,
            Some("`all` loops or tests: has(a.b), list.all(item, …)"),
        ),
        (
            "key.matches(key)",
            "the pattern of `matches` has to be a literal string",
            12,
            None,
        ),
        ("now()", "there is no function `now`", 3, None),
    ] {
        let error = compile(source).unwrap_err();
        assert_eq!(error.message, message, "{source}");
        assert_eq!(error.offset_bytes, Some(offset), "{source}");
        if let Some(help) = help {
            assert_eq!(error.help.as_deref(), Some(help), "{source}");
        }
    }
}

#[test]
fn a_syntax_error_says_where_and_what() {
    for (source, message, offset) in [
        ("1 +", "the expression ends too early", Some(3)),
        ("a b", "`b` is unexpected here", Some(2)),
        ("'ü' + )", "`)` is unexpected here", Some(7)),
        ("1 +\n + 2", "`+` is unexpected here", Some(5)),
        ("'open", "this string is never closed", Some(0)),
        ("", "the expression is empty", None),
        (
            "  // only a comment",
            "the expression ends too early",
            Some(19),
        ),
        ("key # 1", "`#` is unexpected here", Some(4)),
    ] {
        let error = compile(source).unwrap_err();
        assert_eq!(
            (error.message.as_str(), error.offset_bytes),
            (message, offset),
            "{source}"
        );
    }
    for source in [
        ".request.body",
        "Foo{a: 1}",
        "99999999999999999999",
        "key.matches('(')",
        "has(key)",
        "[1].map(1, 2)",
    ] {
        assert!(compile(source).is_err(), "{source}");
    }
}

#[test]
fn the_sources_that_broke_the_parser_are_refused_with_the_limit_they_exceed() {
    let nested = |open: &str, close: &str| format!("{}1{}", open.repeat(200), close.repeat(200));
    let mut loops = "1".to_owned();
    for _ in 0..3 {
        loops = format!("[1].map(x, {loops})");
    }
    for (source, message) in [
        (
            vec!["1"; 2000].join("+"),
            "the expression is 3999 bytes long; the limit is 1024",
        ),
        (
            vec!["1"; 400].join("+"),
            "the expression has 257 operators; the limit is 256",
        ),
        (
            vec!["1"; 90].join("+"),
            "the expression nests 90 operations; the limit is 48",
        ),
        (vec!["true"; 120].join("&&"), ""),
        (
            format!("key{}", ".a".repeat(120)),
            "the expression nests 121 operations; the limit is 48",
        ),
        (
            nested("(", ")"),
            "the expression has 25 brackets inside each other; the limit is 24",
        ),
        (
            nested("[", "]"),
            "the expression has 25 brackets inside each other; the limit is 24",
        ),
        (
            nested("{1:", "}"),
            "the expression has 25 brackets inside each other; the limit is 24",
        ),
        (
            nested("!", ""),
            "the expression has 5 `!` or `-` in a row; the limit is 4",
        ),
        (
            nested("-", ""),
            "the expression has 5 `!` or `-` in a row; the limit is 4",
        ),
        (
            nested("- ", ""),
            "the expression has 5 `!` or `-` in a row; the limit is 4",
        ),
        (
            nested("1?1:", ""),
            "the expression has 25 conditionals; the limit is 24",
        ),
        (
            nested("size(", ")"),
            "the expression is 1201 bytes long; the limit is 1024",
        ),
        (
            nested("a[", "]"),
            "the expression has 25 brackets inside each other; the limit is 24",
        ),
        (loops, "loops nest 3 deep; the limit is 2"),
    ] {
        match compile(&source) {
            Err(error) => assert_eq!(error.message, message, "{source}"),
            Ok(_) => assert_eq!(message, "", "{source}"),
        }
    }
}

#[test]
fn the_largest_sources_that_are_let_through_parse_and_evaluate_on_a_small_stack() {
    let nest =
        |open: &str, close: &str, n: usize| format!("{}1{}", open.repeat(n), close.repeat(n));
    let sources = [
        vec!["1"; 48].join("+"),
        vec!["true"; 200].join("&&"),
        nest("(", ")", limits::BRACKET_DEPTH),
        nest("[", "]", limits::BRACKET_DEPTH),
        nest("size([", "])", limits::BRACKET_DEPTH / 2),
        nest("!!!(", ")", 10).replace('1', "true"),
        nest("-(", ")", 20),
        format!("{}1", "true ? 1 : ".repeat(limits::CONDITIONALS)),
        "[[1]].map(x, x.map(y, y + 1))".to_owned(),
    ];
    let run = move || {
        for source in sources {
            if let Err(error) = eval_on(&source, &Value::Null) {
                panic!("{source}: {error}");
            }
        }
    };
    std::thread::Builder::new()
        .stack_size(512 * 1024)
        .spawn(run)
        .unwrap()
        .join()
        .unwrap();
}

#[test]
fn loops_and_inputs_are_bounded() {
    let numbers = |count: usize| json!({"body": (0..count).collect::<Vec<_>>()});
    assert!(eval_on("request.body.all(x, x >= 0)", &numbers(1000)).is_ok());
    for (source, request, message) in [
        (
            "request.body.all(x, x >= 0)",
            numbers(1001),
            "a loop goes over 1001 items; the limit is 1000",
        ),
        (
            "request.body.map(x, request.body.map(y, y))",
            numbers(300),
            "the number of items that loops go over exceeds the limit of 50000",
        ),
        (
            "request.body == ''",
            numbers(16_000),
            "the JSON that the expression reads exceeds the limit of 262144",
        ),
        (
            "request.body + request.body",
            json!({"body": "a".repeat(300_000)}),
            "the JSON that the expression reads exceeds the limit of 262144",
        ),
        (
            "[1, 2, 3, 4, 5].map(x, request.body)",
            json!({"body": "a".repeat(250_000)}),
            "the size of the result exceeds the limit of 1048576",
        ),
        (
            "size(request.a.map(x, request.body + request.body))",
            json!({"a": (0..100).collect::<Vec<_>>(), "body": "a".repeat(200_000)}),
            "the bytes that the expression reads and copies exceeds the limit of 16777216",
        ),
        (
            "size(request.a.map(x, request.body))",
            json!({"a": (0..100).collect::<Vec<_>>(), "body": "a".repeat(200_000)}),
            "the bytes that the expression reads and copies exceeds the limit of 16777216",
        ),
    ] {
        assert_eq!(
            eval_on(source, &request),
            Err(EvalError::Limit(message.to_owned())),
            "{source}"
        );
    }
}

#[test]
fn only_what_is_read_counts() {
    let request = json!({"body": {"a": 1, "rest": "x".repeat(10_000_000)}});
    assert_eq!(eval_on("request.body.a + 1", &request), Ok(json!(2)));
    assert_eq!(
        eval_on("size(request.body.rest)", &request),
        Ok(json!(10_000_000))
    );
    assert_eq!(eval_on("has(request.body.rest)", &request), Ok(json!(true)));
}

#[test]
fn a_lazy_root_is_made_once_and_only_if_it_is_read() {
    let made = std::sync::atomic::AtomicUsize::new(0);
    let key = json!("k");
    let bindings = Bindings::new().with("key", &key).with_lazy("request", || {
        made.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        json!({"a": 1})
    });
    assert_eq!(
        compile("key == 'k' || request.a == 1")
            .unwrap()
            .eval(&bindings),
        Ok(json!(true))
    );
    assert_eq!(made.load(std::sync::atomic::Ordering::SeqCst), 0);
    assert_eq!(
        compile("request.a + request.a + request['a']")
            .unwrap()
            .eval(&bindings),
        Ok(json!(3))
    );
    assert_eq!(made.load(std::sync::atomic::Ordering::SeqCst), 1);
}

#[test]
fn going_over_a_map_and_giving_one_has_one_order() {
    let entries: serde_json::Map<String, Value> = (0..50)
        .map(|n| (format!("k{n:02}"), json!(n)))
        .rev()
        .collect();
    let request = json!({"body": entries});
    let sorted: Vec<String> = (0..50).map(|n| format!("k{n:02}")).collect();
    assert_eq!(
        eval_on("request.body.map(k, k)", &request),
        Ok(json!(sorted))
    );
    let map = eval_on("true ? request.body : {}", &request).unwrap();
    assert_eq!(
        map.as_object().unwrap().keys().cloned().collect::<Vec<_>>(),
        sorted
    );
}

#[test]
fn a_helper_is_called_with_json_and_must_be_announced_and_brought() {
    let source = "secret('visa') + '/' + string(size(secret(['x', 1])))";
    assert_eq!(
        compile(source).unwrap_err().message,
        "there is no function `secret`"
    );
    let expression = Expression::compile(source, &names().with_function("secret")).unwrap();
    assert_eq!(expression.helpers().collect::<Vec<_>>(), ["secret"]);
    let helper: Helper = Arc::new(|args| match args {
        [Value::String(name)] => Ok(json!(format!("<{name}>"))),
        [Value::Array(items)] => Ok(Value::Array(items.clone())),
        _ => Err("one name is needed".to_owned()),
    });
    let bindings = Bindings::new().with_helper("secret", helper);
    assert_eq!(expression.eval(&bindings), Ok(json!("<visa>/2")));
    assert_eq!(
        expression.eval(&Bindings::new()),
        Err(EvalError::Unbound("secret()".to_owned()))
    );
    let refused = Expression::compile("secret(1) + ''", &names().with_function("secret")).unwrap();
    assert_eq!(
        refused.eval(&bindings).unwrap_err().to_string(),
        "secret(): one name is needed"
    );
}

#[test]
fn references_tell_what_is_read_and_how() {
    let source = "has(steps.a.id) && steps.b.?price.orValue(0) > 1 && size(steps.c.items[0]) > 0 && steps.a.x.exists(steps, steps.y)";
    let expression = compile(source).unwrap();
    let read: Vec<_> = expression
        .references()
        .iter()
        .map(|reference| {
            (
                reference.to_string(),
                reference.reading(),
                reference.offset_bytes(),
            )
        })
        .collect();
    assert_eq!(
        read,
        [
            ("steps.a.id".to_owned(), Reading::Presence, Some(4)),
            ("steps.b.?price".to_owned(), Reading::Optional, Some(19)),
            ("steps.c.items[0]".to_owned(), Reading::Size, Some(57)),
            ("steps.a.x".to_owned(), Reading::Value, Some(81)),
        ]
    );
    assert!(
        expression.touches(&["steps", "b"]) && expression.touches(&["steps", "b", "price", "x"])
    );
    assert!(!expression.touches(&["steps", "d"]) && !expression.touches(&["request"]));
}

#[test]
fn an_expression_is_shared_between_threads() {
    fn shared<T: Clone + Send + Sync + 'static>(_: &T) {}
    shared(&compile("size(request.body) > 0 && key.matches('a')").unwrap());
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,4})?"
            .prop_map(|digits| serde_json::from_str(&digits).unwrap()),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec(("[a-c]", inner), 0..5)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_text_compiles_or_is_refused(source in ".{0,60}") {
        let _ = compile(&source);
    }

    #[test]
    fn any_mix_of_tokens_compiles_or_is_refused_and_what_compiles_evaluates_or_fails(
        tokens in prop::collection::vec(prop::sample::select(vec![
            "request", "key", ".", ".?", "body", "(", ")", "[", "]", "[?", "{", "}", "'a'", "1", "-", "!", "+", "&&", "==",
            "?", ":", ",", "size(", "has(", ".map(x,", ".all(x,", "x", "in", ".orValue(", ".optMap(x,", "2.5", "null",
        ]), 0..14),
        body in any_json(),
    ) {
        if let Ok(expression) = compile(&tokens.concat()) {
            let (request, key) = (json!({"body": body}), json!("k"));
            let result = expression.eval(&Bindings::new().with("request", &request).with("key", &key));
            prop_assert!(!matches!(result, Err(EvalError::Internal(_))), "{}: {:?}", tokens.concat(), result);
        }
    }

    #[test]
    fn json_survives_the_interpreter(body in any_json()) {
        let request = json!({"body": body});
        prop_assert_eq!(&eval_on("request.body", &request).unwrap(), &body);
        let through = eval_on("[request.body][0]", &request).unwrap();
        prop_assert!(same_numbers(&through, &body), "{} {}", through, body);
    }
}

/// Equal, number for number, however the digits are written.
fn same_numbers(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => {
            value::Decimal::parse(one.as_str()) == value::Decimal::parse(other.as_str())
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len()
                && one
                    .iter()
                    .zip(other)
                    .all(|(one, other)| same_numbers(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one
                    .iter()
                    .all(|(key, one)| other.get(key).is_some_and(|other| same_numbers(one, other)))
        }
        _ => one == other,
    }
}
