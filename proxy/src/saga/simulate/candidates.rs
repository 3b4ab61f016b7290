//! Answers that are tried out: which of them a step takes for what is looked for, the machine itself says.

use std::collections::BTreeSet;

use saga_config::{
    expr::Expression,
    saga::{Check, InDoubt, Later, Outcome, Saga, test::Mock},
};
use serde_json::{Value, json};

use super::{
    super::{
        entry::{Direction, Which},
        state::{call_step, undo},
    },
    literals::literals,
    shape::Shape,
};

/// Statuses by which services say no, the most telling first.
const REFUSALS: [u16; 10] = [409, 402, 422, 400, 404, 403, 410, 401, 500, 200];
/// The most answers that are tried.
const MOST: usize = 200;

/// A no, perhaps: by its status, or by its body where `outcome` looks at that.
pub(super) fn refusals(definition: &Saga, of: &Which, done: &Mock) -> Vec<Mock> {
    let bodies = |outcome: &Outcome, done: &Value| {
        let mut bodies = vec![json!({}), done.clone()];
        bodies.extend(variants(done, outcome_expressions(outcome)));
        bodies
    };
    let Some(outcome) = outcome(definition, of) else { return Vec::new() };
    // What the expressions name comes first: it is what the author had in mind.
    let named = literals(outcome_expressions(&outcome)).into_iter().filter_map(|value| status(&value));
    let statuses: Vec<u16> = named.chain(REFUSALS).collect();
    let bodies = bodies(&outcome, &done.body);
    let plain = statuses.iter().map(|status| Mock { status: *status, headers: Vec::new(), body: json!({}) });
    let with_bodies = statuses
        .iter()
        .chain([&done.status])
        .flat_map(|status| bodies.iter().map(|body| Mock { status: *status, headers: done.headers.clone(), body: body.clone() }));
    plain.chain(with_bodies).take(MOST).collect()
}

/// A yes to an undo, perhaps.
pub(super) fn undone(definition: &Saga, of: &Which) -> Vec<Mock> {
    let Some(outcome) = outcome(definition, of) else { return Vec::new() };
    let mut shape = Shape::default();
    for reference in outcome_expressions(&outcome).flat_map(Expression::references) {
        shape.read_below(reference, "response", &["body"]);
    }
    let body = shape.made(of.step.id());
    let bodies: Vec<Value> =
        [Value::Null, body.clone()].into_iter().chain(variants(&body, outcome_expressions(&outcome))).collect();
    let made = bodies.iter().flat_map(|body| {
        [204, 200, 202, 201, 404, 410].into_iter().map(|status| Mock { status, headers: Vec::new(), body: body.clone() })
    });
    made.take(MOST).collect()
}

/// What a probe says, perhaps.
pub(super) fn probed(definition: &Saga, of: &Which, happened: bool, done: &Mock) -> Vec<Mock> {
    let Some(check) = check(definition, of) else { return Vec::new() };
    let mut shape = Shape::default();
    for reference in check_expressions(check).flat_map(Expression::references) {
        shape.read_below(reference, "response", &["body"]);
    }
    let made = shape.made(of.step.id());
    let found = [json!([done.body]), done.body.clone(), made.clone()];
    let nothing = [json!([]), json!({}), Value::Null, made.clone()];
    let mut bodies = if happened { found.to_vec() } else { nothing.to_vec() };
    bodies.extend(variants(&made, check_expressions(check)));
    let statuses = if happened { [200, 201, 204] } else { [200, 404, 204] };
    let made = statuses.into_iter().flat_map(|status| {
        bodies.iter().map(move |body| Mock { status, headers: Vec::new(), body: body.clone() }).collect::<Vec<_>>()
    });
    made.take(MOST).collect()
}

/// What is called back, perhaps.
pub(super) fn called_back(definition: &Saga, of: &Which) -> Vec<Mock> {
    let step = definition.step(of.step.name()).and_then(|index| call_step(&definition[index]));
    let Some(call) = step else { return Vec::new() };
    let Some(Later::Callback(callback)) = &call.later else { return Vec::new() };
    let expressions = || callback.failure.iter().chain(call.output.iter().flat_map(|(_, value)| value.expressions()));
    let mut shape = Shape::default();
    for reference in expressions().flat_map(Expression::references) {
        shape.read_below(reference, "callback", &["body"]);
    }
    let made = shape.made(of.step.id());
    let bodies = std::iter::once(made.clone()).chain(variants(&made, expressions()));
    bodies.map(|body| Mock { status: 200, headers: Vec::new(), body }).take(MOST).collect()
}

/// `body` with one of its scalars replaced by each of the values that the expressions name.
fn variants<'e>(body: &Value, expressions: impl Iterator<Item = &'e Expression>) -> Vec<Value> {
    let mut values: Vec<Value> = literals(expressions);
    values.extend([json!(true), json!(false), Value::Null, json!(0), json!(1), json!([]), json!("")]);
    let mut at = Vec::new();
    scalars(body, &mut Vec::new(), &mut at);
    let replaced = |at: &Vec<String>, value: &Value| {
        let mut body = body.clone();
        let pointer = at.iter().map(|token| format!("/{}", token.replace('~', "~0").replace('/', "~1"))).collect::<String>();
        if let Some(place) = body.pointer_mut(&pointer) {
            *place = value.clone();
        }
        body
    };
    at.iter().flat_map(|at| values.iter().map(move |value| replaced(at, value))).collect()
}

fn scalars(value: &Value, at: &mut Vec<String>, found: &mut Vec<Vec<String>>) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (key, value) in map {
                at.push(key.clone());
                scalars(value, at, found);
                at.pop();
            }
        }
        Value::Array(items) if !items.is_empty() => {
            at.push("0".to_owned());
            scalars(&items[0], at, found);
            at.pop();
        }
        _ => found.push(at.clone()),
    }
}

fn status(value: &Value) -> Option<u16> {
    value.as_u64().and_then(|number| u16::try_from(number).ok()).filter(|status| (200..=599).contains(status))
}

fn outcome(definition: &Saga, of: &Which) -> Option<Outcome> {
    let step = &definition[definition.step(of.step.name())?];
    match of.direction {
        Direction::Forward => call_step(step).map(|call| call.call.outcome.clone()),
        Direction::Undo => undo(step).map(|undo| undo.call.outcome.clone()),
    }
}

fn check<'d>(definition: &'d Saga, of: &Which) -> Option<&'d Check> {
    let step = &definition[definition.step(of.step.name())?];
    let in_doubt = match of.direction {
        Direction::Forward => &call_step(step)?.in_doubt,
        Direction::Undo => &undo(step)?.in_doubt,
    };
    match in_doubt {
        InDoubt::Check(check) => Some(check),
        InDoubt::Resend | InDoubt::Compensate | InDoubt::Barrier | InDoubt::Manual => None,
    }
}

fn outcome_expressions(outcome: &Outcome) -> impl Iterator<Item = &Expression> {
    [&outcome.failure, &outcome.pending, &outcome.success].into_iter().flatten()
}

fn check_expressions(check: &Check) -> impl Iterator<Item = &Expression> {
    let response = check.response.iter().flat_map(|response| [&response.status, &response.body]);
    std::iter::once(&check.done).chain(response.flat_map(|template| template.expressions()))
}

/// Whether a list of values has each once.
pub(super) fn deduplicated(values: impl IntoIterator<Item = Value>) -> Vec<Value> {
    let mut seen = BTreeSet::new();
    values.into_iter().filter(|value| seen.insert(value.to_string())).collect()
}
