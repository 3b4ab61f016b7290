//! How long expressions take that are evaluated once for each step of a saga.
//!
//! `cargo bench -p saga-config --bench evaluate`

use divan::Bencher;
use saga_config::expr::{Bindings, Expression, Names};
use serde_json::{Value, json};

fn main() {
    divan::main();
}

fn response() -> Value {
    json!({"status": 201, "headers": {"location": "/things/7/"}, "body": {"id": "o-1", "state": "PAID", "note": "x".repeat(1000)}})
}

/// A path, a condition, and what is computed: as definitions have them.
#[divan::bench(args = [
    "response.body.id",
    "response.status in [402, 409, 422] || response.body.?state.orValue('') == 'DENIED'",
    "input.items.map(item, item.price * item.count)",
])]
fn one_expression(bencher: Bencher<'_, '_>, source: &str) {
    let names = Names::new(&["input", "response"]);
    let expression = Expression::compile(source, &names).unwrap_or_else(|error| panic!("{error}"));
    let (input, response) = (json!({"items": [{"price": 5, "count": 2}, {"price": 7, "count": 1}]}), response());
    bencher.bench(|| {
        let bindings = Bindings::new().with("input", &input).with("response", &response);
        expression.eval(&bindings).unwrap_or_else(|error| panic!("{error}"))
    });
}
