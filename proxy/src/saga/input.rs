//! A saga's inputs: evaluated once from the request that starts it, and checked before anything is written.

use std::{borrow::Cow, sync::OnceLock};

use bytes::Bytes;
use http::Request;
use saga_config::{
    expr::{Bindings, Key, Roots, Segment},
    saga::{Input, InputType},
};
use serde_json::{Map, Value};

use crate::idempotency::view::{RequestView, body_value, headers_value, is_json};

/// Why a request cannot start a saga. Names inputs, paths and types, never values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("input `{input}`: {reason}")]
pub struct InputError {
    /// The input.
    pub input: String,
    /// What is wrong with it.
    pub reason: String,
}

/// Evaluates and checks the inputs in their order. `bindings`: `request` and `claims`, which their expressions see.
///
/// # Errors
///
/// The first input that is not as it must be.
pub fn evaluate(inputs: &[Input], bindings: &Bindings<'_>) -> Result<Map<String, Value>, InputError> {
    let mut values = Map::new();
    for input in inputs {
        let wrong = |reason: String| InputError { input: input.name.as_str().to_owned(), reason };
        let value = input.from.render(bindings).map_err(|error| wrong(error.to_string()))?;
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

/// What inputs see of the request that starts a saga: `request` and `claims`. What none of them reads is not made.
#[derive(Debug)]
pub struct Asked<'a> {
    view: RequestView<'a>,
    request: &'a Request<()>,
    /// `null`, where no input reads it.
    body: Value,
    headers: OnceLock<Value>,
    whole: OnceLock<Value>,
}

impl<'a> Asked<'a> {
    /// Of a request whose body is `body`.
    ///
    /// # Errors
    ///
    /// The body says that it is JSON and is not: where, and why.
    pub fn new(inputs: &[Input], request: &'a Request<()>, bytes: &'a Bytes) -> Result<Self, String> {
        let headers = request.headers();
        let says_json = !bytes.is_empty() && is_json(headers);
        let reads = inputs.iter().any(|input| input.from.touches(&["request", "body"]));
        let read = match (reads, says_json) {
            (true, true) => serde_json::from_slice(bytes).ok(),
            (true, false) => Some(body_value(headers, bytes)),
            (false, _) => None,
        };
        if read.is_none() && says_json {
            let broken = serde_json::from_slice::<serde::de::IgnoredAny>(bytes);
            broken.map_err(|error| format!("the request's body is not JSON: {error}"))?;
        }
        // What nests too deep to be read is a text.
        let body = read.unwrap_or_else(|| if reads { body_value(headers, bytes) } else { Value::Null });
        let view = RequestView::new(request, bytes);
        Ok(Self { view, request, body, headers: OnceLock::new(), whole: OnceLock::new() })
    }

    /// What is known of the request besides.
    pub const fn view(&self) -> &RequestView<'a> {
        &self.view
    }

    fn query(&self, name: &str) -> Option<Value> {
        let query = form_urlencoded::parse(self.request.uri().query()?.as_bytes());
        // Of a name that is there twice the last counts, as in the whole.
        query.filter(|(other, _)| other == name).last().map(|(_, value)| Value::String(value.into_owned()))
    }
}

impl Roots for Asked<'_> {
    fn root(&self, name: &str) -> Option<&Value> {
        match name {
            "request" => Some(self.whole.get_or_init(|| self.view.value())),
            "claims" => Some(self.view.claims()),
            _ => None,
        }
    }

    fn at(&self, root: &str, path: &[Segment]) -> Option<(Cow<'_, Value>, usize)> {
        let field = |nth: usize| match &path.get(nth)?.key {
            Key::Field(name) => Some(name.as_str()),
            Key::Index(_) => None,
        };
        match (root, field(0)?) {
            ("request", "method") => Some((Cow::Owned(self.request.method().as_str().into()), 1)),
            ("request", "path") => Some((Cow::Owned(self.request.uri().path().into()), 1)),
            ("request", "query") => Some((Cow::Owned(self.query(field(1)?)?), 2)),
            ("request", "headers") => {
                let headers = self.headers.get_or_init(|| headers_value(self.request.headers()));
                Some((Cow::Borrowed(headers), 1))
            }
            ("request", "body") => Some((Cow::Borrowed(&self.body), 1)),
            _ => None,
        }
    }
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

    fn evaluated(inputs: &[Input], body: Value, claims: &Value) -> Result<Map<String, Value>, InputError> {
        let request = json!({"body": body});
        evaluate(inputs, &Bindings::new().with("request", &request).with("claims", claims))
    }

    fn reason(input: Input, body: Value) -> String {
        let result = evaluated(&[input], body, &json!({}));
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
        let values = evaluated(&inputs, body, &json!({"sub": "ann"})).unwrap();
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

    #[test]
    fn an_input_sees_the_same_of_a_request_whether_it_is_put_together_or_not() {
        let sources = [
            "request.method",
            "request.path",
            "request.query.a",
            "request.query.b",
            "request.?query.?none.orValue('-')",
            "request.headers['x-a']",
            "request.headers.?none.orValue('-')",
            "request.body",
            "request.body.n[0]",
            "request.body.?none.orValue(1)",
            "size(request.headers)",
            "has(request.query.a)",
            "has(request.body)",
            "claims",
            "request",
        ];
        let bodies = ["{\"n\": [1.50]}", "[]", "", "not JSON"];
        for (source, body) in sources.iter().flat_map(|source| bodies.map(|body| (source, body))) {
            let request = Request::post("/p/?a=1&a=2&b=%20").header("x-a", "1").header("x-a", "2");
            let request = match body.starts_with(['{', '[']) {
                true => request.header("content-type", "application/json"),
                false => request,
            };
            let (request, body) = (request.body(()).unwrap(), Bytes::from_static(body.as_bytes()));
            let input = [input("x", &format!("${{{source}}}"), InputType::Any, None)];
            let asked = Asked::new(&input, &request, &body).unwrap();
            let (whole, claims) = (asked.view().value(), asked.view().claims());
            let expected = evaluate(&input, &Bindings::new().with("request", &whole).with("claims", claims));
            assert_eq!(evaluate(&input, &Bindings::over(&asked)), expected, "{source} of {body:?}");
        }
    }

    #[test]
    fn a_body_that_says_it_is_json_and_is_not_starts_nothing_whether_it_is_read_or_not() {
        for source in ["request.body", "request.path"] {
            let input = [input("x", &format!("${{{source}}}"), InputType::Any, None)];
            let request = Request::post("/").header("content-type", "application/json").body(()).unwrap();
            let refused = |body: &'static [u8]| Asked::new(&input, &request, &Bytes::from_static(body)).is_err();
            assert!(refused(b"{") && refused(b"{}}") && !refused(b"") && !refused(b"{}"), "{source}");
        }
    }
}
