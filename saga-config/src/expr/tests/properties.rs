use proptest::prelude::*;

use super::*;

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,4})?".prop_map(|digits| serde_json::from_str(&digits).unwrap()),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec(("[a-c]", inner), 0..5).prop_map(|entries| Value::Object(entries.into_iter().collect())),
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

/// Two shortest forms are equally near to these; whichever was sent comes back.
#[test]
fn a_tie_between_two_shortest_forms_keeps_the_digits_that_were_sent() {
    for digits in ["1000000000000000.2", "1000000000000000.3", "-1000000000000000.3"] {
        let body: Value = serde_json::from_str(digits).unwrap();
        let through = eval_on("[request.body][0]", &json!({"body": body})).unwrap();
        assert_eq!(through.to_string(), digits);
    }
}

/// Equal, number for number, however the digits are written.
fn same_numbers(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => {
            value::Decimal::parse(one.as_str()) == value::Decimal::parse(other.as_str())
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same_numbers(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len() && one.iter().all(|(key, one)| other.get(key).is_some_and(|other| same_numbers(one, other)))
        }
        _ => one == other,
    }
}
