use std::sync::Arc;

use super::*;

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
            ("request.body.amount + request.body.?fee.orValue(0)", json!(19.9)),
            ("2 * request.body.amount - 1 == 38.8 && 1 / 2.0 == 0.5 && 7 / 2 == 3", json!(true)),
            ("request.body.?trip.nothing.orValue('none')", json!("none")),
            ("request.body.?trip.insured.orValue(false)", json!(true)),
            ("request.body.qty * 2 - 1 == 3 && !(request.body.qty > 2)", json!(true)),
            ("size(request.body.items) > 0", json!(true)),
            ("request.body.items.size()", json!(2)),
            ("size(request.body.to)", json!(2)),
            ("request.body.items[0].sku", json!("b")),
            ("request.body['items'][1]['qty']", json!(3)),
            ("request.body.items[?5].orValue({'sku': 'x'}).sku", json!("x")),
            ("request.headers['x-channel']", json!("web")),
            ("request.headers.`x-channel` + '!'", json!("web!")),
            ("has(request.body.note) && !has(request.body.nothing)", json!(true)),
            ("request.body.note == null", json!(true)),
            ("request.body.to in ['US', 'IN']", json!(true)),
            ("'trip' in request.body", json!(true)),
            ("request.body.qty == 2 ? 'two' : 'many'", json!("two")),
            ("request.body.to.startsWith('U') && request.body.to.endsWith('S')", json!(true)),
            ("request.body.reference.contains('-')", json!(true)),
            ("request.body.reference.matches('^[a-z]-[0-9]$')", json!(true)),
            ("matches(request.body.reference, '^x')", json!(false)),
            ("request.body.items.all(i, i.qty > 0)", json!(true)),
            ("request.body.items.exists(i, i.sku == key)", json!(false)),
            ("request.body.items.filter(i, i.qty > 1).map(i, i.sku)", json!(["a"])),
            ("request.body.items.map(i, i.qty + 1)", json!([2, 4])),
            ("request.body.items.exists_one(i, i.qty == 3)", json!(true)),
            ("request.body.?reference.optMap(r, r + '!').orValue('')", json!("a-7!")),
            ("optional.of(1).hasValue()", json!(true)),
            ("string(request.body.qty) + '/' + string(true)", json!("2/true")),
            ("int('7') + 1", json!(8)),
            ("json({'b': [1, null], 'a': 'x'})", json!(r#"{"a":"x","b":[1,null]}"#)),
            ("type(request.body.qty) == int", json!(true)),
            ("[1, 2] + [3] == [1, 2, 3]", json!(true)),
            ("request.body.items == request.body.items", json!(true)),
            ("request.body.amount < 20", json!(true)),
            ("{'id': request.body.reference, 'n': 1}", json!({"id": "a-7", "n": 1})),
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
        assert_eq!(eval_on(source, &request).unwrap().to_string(), digits, "{source}");
    }
}

#[test]
fn a_number_that_64_bits_cannot_hold_passes_through_exactly_and_refuses_arithmetic() {
    let request = body(
        r#"{"n": 18446744073709551616, "d": 12345678901234567.89, "ok": 0.1, "same": 1234567890123456789e-2, "round": 100000000000000000000}"#,
    );
    assert_evaluates(
        &request,
        &[
            ("request.body.n == request.body.n && request.body.n != 1", json!(true)),
            ("request.body.d == request.body.same", json!(true)),
            ("request.body.ok + 0.25", json!(0.35)),
        ],
    );
    let passed = eval_on("true ? [request.body.n, request.body.d, request.body.round] : []", &request).unwrap();
    assert_eq!(passed.to_string(), "[18446744073709551616,12345678901234567.89,100000000000000000000]");
    for source in ["request.body.n + 1", "request.body.d * 2.0", "request.body.n > 0"] {
        let error = eval_on(source, &request).unwrap_err();
        assert!(matches!(error, EvalError::WrongType(_)), "{source}: {error}");
    }
}

#[test]
fn integers_are_signed_so_that_adding_to_them_works() {
    let request = body(r#"{"max": 9223372036854775807, "min": -9223372036854775808}"#);
    assert_evaluates(
        &request,
        &[
            ("request.body.max - 1", json!(9_223_372_036_854_775_806_i64)),
            ("request.body.min + 1", json!(-9_223_372_036_854_775_807_i64)),
        ],
    );
    let overflow = eval_on("request.body.max + 1", &request).unwrap_err();
    assert_eq!(overflow.to_string(), "the result of `+` does not fit 64 bits");
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
fn a_lazy_root_is_made_once_and_only_if_it_is_read() {
    let made = std::sync::atomic::AtomicUsize::new(0);
    let key = json!("k");
    let bindings = Bindings::new().with("key", &key).with_lazy("request", || {
        made.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        json!({"a": 1})
    });
    assert_eq!(compile("key == 'k' || request.a == 1").unwrap().eval(&bindings), Ok(json!(true)));
    assert_eq!(made.load(std::sync::atomic::Ordering::SeqCst), 0);
    assert_eq!(compile("request.a + request.a + request['a']").unwrap().eval(&bindings), Ok(json!(3)));
    assert_eq!(made.load(std::sync::atomic::Ordering::SeqCst), 1);
}

#[test]
fn going_over_a_map_and_giving_one_has_one_order() {
    let entries: serde_json::Map<String, Value> = (0..50).map(|n| (format!("k{n:02}"), json!(n))).rev().collect();
    let request = json!({"body": entries});
    let sorted: Vec<String> = (0..50).map(|n| format!("k{n:02}")).collect();
    assert_eq!(eval_on("request.body.map(k, k)", &request), Ok(json!(sorted)));
    let map = eval_on("true ? request.body : {}", &request).unwrap();
    assert_eq!(map.as_object().unwrap().keys().cloned().collect::<Vec<_>>(), sorted);
}

#[test]
fn a_helper_is_called_with_json_and_must_be_announced_and_brought() {
    let source = "lookup('visa') + '/' + string(size(lookup(['x', 1])))";
    assert_eq!(compile(source).unwrap_err().message, "there is no function `lookup`");
    let expression = Expression::compile(source, &names().with_function("lookup")).unwrap();
    assert_eq!(expression.helpers().collect::<Vec<_>>(), ["lookup"]);
    let helper: Helper = Arc::new(|args| match args {
        [Value::String(name)] => Ok(json!(format!("<{name}>"))),
        [Value::Array(items)] => Ok(Value::Array(items.clone())),
        _ => Err("one name is needed".to_owned()),
    });
    let bindings = Bindings::new().with_helper("lookup", helper);
    assert_eq!(expression.eval(&bindings), Ok(json!("<visa>/2")));
    assert_eq!(expression.eval(&Bindings::new()), Err(EvalError::Unbound("lookup()".to_owned())));
    let refused = Expression::compile("lookup(1) + ''", &names().with_function("lookup")).unwrap();
    assert_eq!(refused.eval(&bindings).unwrap_err().to_string(), "lookup(): one name is needed");
}

#[test]
fn a_panic_costs_one_evaluation_and_no_more() {
    let expression = Expression::compile("lookup() == 1", &names().with_function("lookup")).unwrap();
    let helper: Helper = Arc::new(|_| panic!("on purpose"));
    let error = expression.eval(&Bindings::new().with_helper("lookup", helper)).unwrap_err();
    assert!(matches!(error, EvalError::Internal(_)), "{error}");
    let helper: Helper = Arc::new(|_| Ok(json!(1)));
    assert_eq!(expression.eval(&Bindings::new().with_helper("lookup", helper)), Ok(json!(true)));
}

#[test]
fn references_tell_what_is_read_and_how() {
    let source =
        "has(steps.a.id) && steps.b.?price.orValue(0) > 1 && size(steps.c.items[0]) > 0 && steps.a.x.exists(steps, steps.y)";
    let expression = compile(source).unwrap();
    let read: Vec<_> = expression
        .references()
        .iter()
        .map(|reference| (reference.to_string(), reference.reading(), reference.offset_bytes()))
        .collect();
    assert_eq!(
        read,
        [
            ("steps.a.id".to_owned(), Reading::Presence, Some(4)),
            ("steps.b.?price".to_owned(), Reading::Optional, Some(19)),
            ("steps.c.items[0]".to_owned(), Reading::Size, Some(57)),
            ("steps.a.x".to_owned(), Reading::Value, source.find("steps.a.x")),
        ]
    );
    assert!(expression.touches(&["steps", "b"]) && expression.touches(&["steps", "b", "price", "x"]));
    assert!(!expression.touches(&["steps", "d"]) && !expression.touches(&["request"]));
}

#[test]
fn a_check_binds_its_own_value_as_self() {
    let list = json!([1]);
    let check = compile("size(self) > 0").unwrap();
    assert_eq!(check.eval_bool(&Bindings::new().with("self", &list)), Ok(true));
    let number = compile("size(self)").unwrap();
    let error = number.eval_bool(&Bindings::new().with("self", &list)).unwrap_err();
    assert_eq!(error.to_string(), "the condition gives a number, not true or false");
}

#[test]
fn an_expression_is_shared_between_threads() {
    fn shared<T: Clone + Send + Sync + 'static>(_: &T) {}
    shared(&compile("size(request.body) > 0 && key.matches('a')").unwrap());
}
