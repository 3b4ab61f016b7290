#![allow(clippy::unwrap_used)]

mod bounds;
mod errors;
mod functions;
mod language;
mod properties;
mod soundness;
mod types;

use serde_json::{Value, json};

use super::*;

fn names() -> Names {
    Names::new(&["request", "claims", "key", "response", "self", "steps"])
}

fn compile(source: &str) -> Result<Expression, ExprError> {
    Expression::compile(source, &names())
}

fn eval_on(source: &str, request: &Value) -> Result<Value, EvalError> {
    let expression = compile(source).unwrap_or_else(|error| panic!("{source}: {error} {:?}", error.help));
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
