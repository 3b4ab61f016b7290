//! A saga's inputs: evaluated once from the request that starts it, and checked before anything is written.

use http::HeaderMap;
use saga_config::{
    expr::Bindings,
    saga::{Input, InputType},
};
use serde_json::{Map, Value};

/// Why a request cannot start a saga. Names inputs, paths and types, never values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("input `{input}`: {reason}")]
pub struct InputError {
    /// The input.
    pub input: String,
    /// What is wrong with it.
    pub reason: String,
}

/// Evaluates and checks the inputs in their order. `request` and `claims` are what their expressions see.
///
/// # Errors
///
/// The first input that is not as it must be.
pub fn evaluate(inputs: &[Input], request: &Value, claims: &Value) -> Result<Map<String, Value>, InputError> {
    let bindings = Bindings::new().with("request", request).with("claims", claims);
    let mut values = Map::new();
    for input in inputs {
        let wrong = |reason: String| InputError { input: input.name.as_str().to_owned(), reason };
        let value = input.from.render(&bindings).map_err(|error| wrong(error.to_string()))?;
        check(input, &value)?;
        values.insert(input.name.as_str().to_owned(), value);
    }
    Ok(values)
}

/// Checks the value of an input: a saga's, or what a sub-saga is given.
///
/// # Errors
///
/// It is not what it must be.
pub fn check(input: &Input, value: &Value) -> Result<(), InputError> {
    let wrong = |reason: String| InputError { input: input.name.as_str().to_owned(), reason };
    if !is(value, input.kind) {
        return Err(wrong(format!("it must be {}, and is {}", asked(input.kind), kind(value))));
    }
    let Some(check) = &input.check else { return Ok(()) };
    match check.eval_bool(&Bindings::new().with("self", value)) {
        Ok(true) => Ok(()),
        Ok(false) => Err(wrong(format!("`{}` does not hold", check.source()))),
        Err(error) => Err(wrong(error.to_string())),
    }
}

/// Whether a body that says it is JSON is not: where, and why.
pub fn broken_json(headers: &HeaderMap, body: &[u8]) -> Option<String> {
    if body.is_empty() || !crate::idempotency::view::is_json(headers) {
        return None;
    }
    serde_json::from_slice::<serde::de::IgnoredAny>(body).err().map(|error| format!("the request's body is not JSON: {error}"))
}

fn is(value: &Value, kind: InputType) -> bool {
    match kind {
        InputType::Any => true,
        InputType::String => value.is_string(),
        InputType::Int => value.is_i64() || value.is_u64(),
        InputType::Double => value.is_number(),
        InputType::Bool => value.is_boolean(),
        InputType::List => value.is_array(),
        InputType::Map => value.is_object(),
    }
}

const fn asked(kind: InputType) -> &'static str {
    match kind {
        InputType::Any => "anything",
        InputType::String => "a string",
        InputType::Int => "a whole number",
        InputType::Double => "a number",
        InputType::Bool => "true or false",
        InputType::List => "a list",
        InputType::Map => "a map",
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(number) if number.is_i64() || number.is_u64() => "a whole number",
        Value::Number(_) => "a number with a fraction, or one too large",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use saga_config::{
        expr::{Expression, Names},
        template::ValueTemplate,
    };
    use serde_json::json;

    use super::*;

    fn input(name: &str, from: &str, kind: InputType, check: Option<&str>) -> Input {
        Input {
            name: name.parse().unwrap(),
            from: ValueTemplate::parse(&json!(from), &Names::new(&["request", "claims"])).unwrap(),
            kind,
            check: check.map(|check| Expression::compile(check, &Names::new(&["self"])).unwrap()),
        }
    }

    fn reason(input: Input, body: Value) -> String {
        let result = evaluate(&[input], &json!({"body": body}), &json!({}));
        result.unwrap_err().to_string()
    }

    #[test]
    fn inputs_are_evaluated_and_keep_their_digits() {
        let inputs = [
            input("items", "${request.body.items}", InputType::List, Some("size(self) > 0")),
            input("price", "${request.body.price}", InputType::Double, None),
            input("who", "${claims.sub}", InputType::String, None),
        ];
        let body = json!({"items": [1], "price": 3});
        let values = evaluate(&inputs, &json!({"body": body}), &json!({"sub": "ann"})).unwrap();
        assert_eq!(Value::Object(values), json!({"items": [1], "price": 3, "who": "ann"}));
    }

    #[test]
    fn what_is_wrong_is_told_by_the_inputs_name_and_never_by_its_value() {
        let items = || input("items", "${request.body.items}", InputType::List, Some("size(self) > 0"));
        assert_eq!(reason(items(), json!({"items": []})), "input `items`: `size(self) > 0` does not hold");
        assert_eq!(reason(items(), json!({"items": "secret"})), "input `items`: it must be a list, and is a string");
        assert!(reason(items(), json!({})).starts_with("input `items`: "));
        let whole = input("n", "${request.body.n}", InputType::Int, None);
        assert_eq!(
            reason(whole, json!({"n": 1.5})),
            "input `n`: it must be a whole number, and is a number with a fraction, or one too large"
        );
    }
}
