//! Text and numbers against their schema.

use serde_json::{Number, Value};

use super::expected::format_of;
use super::walk::Checker;
use crate::diagnostic::Span;
use crate::yaml::Node;

/// `format`, `minLength` and `maxLength`.
pub(super) fn text<'a>(checker: &mut Checker<'a>, node: &'a Node, text: &str, schema: &'a Value) -> bool {
    if let Some(format) = format_of(checker.formats, schema)
        && let Err(reason) = (format.parse)(text)
    {
        checker.report(node.span(), "invalid-value", || (reason, Some(format!("write {}", format.expected))));
        return false;
    }
    let bound = |keyword| schema.get(keyword).and_then(Value::as_u64);
    let length = text.chars().count() as u64;
    if let Some(least) = bound("minLength").filter(|least| length < *least) {
        checker.report(node.span(), "out-of-range", || match least {
            1 => ("the text must not be empty".to_owned(), None),
            _ => (format!("the text must have at least {least} characters, it has {length}"), None),
        });
        return false;
    }
    if let Some(most) = bound("maxLength").filter(|most| length > *most) {
        checker.report(node.span(), "out-of-range", || {
            (format!("the text must have at most {most} characters, it has {length}"), None)
        });
        return false;
    }
    true
}

/// `minItems` and `maxItems`, `minProperties` and `maxProperties`.
pub(super) fn length<'a>(checker: &mut Checker<'a>, at: Span, what: &str, length: usize, schema: &'a Value) -> bool {
    let (least, most, unit) = match what {
        "list" => ("minItems", "maxItems", "items"),
        _ => ("minProperties", "maxProperties", "keys"),
    };
    let bound = |keyword| schema.get(keyword).and_then(Value::as_u64);
    let length = length as u64;
    let message = match (bound(least), bound(most)) {
        (Some(1), _) if length == 0 => format!("the {what} must not be empty"),
        (Some(least), _) if length < least => {
            format!("the {what} must have at least {least} {unit}, it has {length}")
        }
        (_, Some(most)) if length > most => {
            format!("the {what} must have at most {most} {unit}, it has {length}")
        }
        _ => return true,
    };
    checker.report(at, "out-of-range", || (message, None));
    false
}

/// `minimum`, `maximum`, their exclusive forms, and the range of a `format` such as `uint32`.
pub(super) fn number<'a>(checker: &mut Checker<'a>, node: &'a Node, number: &Number, schema: &'a Value) -> bool {
    let bound = |keyword| schema.get(keyword).and_then(Value::as_number).cloned();
    let (least, most) = format_range(schema);
    let rules = [
        (bound("minimum").or(least), "at least", Order::Less),
        (bound("maximum").or(most), "at most", Order::Greater),
        (bound("exclusiveMinimum"), "more than", Order::NotGreater),
        (bound("exclusiveMaximum"), "less than", Order::NotLess),
    ];
    for (limit, words, wrong) in rules {
        let Some(limit) = limit.filter(|limit| wrong.holds(number, limit)) else {
            continue;
        };
        checker.report(node.span(), "out-of-range", || (format!("must be {words} {limit}, found {number}"), None));
        return false;
    }
    true
}

/// Whether a number has neither fraction nor exponent, so that it can become an integer type.
pub(super) fn is_whole(number: &Number) -> bool {
    number.to_string().bytes().all(|b| b.is_ascii_digit() || b == b'-')
}

#[derive(Clone, Copy)]
enum Order {
    Less,
    NotLess,
    Greater,
    NotGreater,
}

impl Order {
    fn holds(self, number: &Number, limit: &Number) -> bool {
        use std::cmp::Ordering;
        let order = compare(number, limit);
        match self {
            Self::Less => order == Some(Ordering::Less),
            Self::Greater => order == Some(Ordering::Greater),
            Self::NotLess => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
            Self::NotGreater => matches!(order, Some(Ordering::Less | Ordering::Equal)),
        }
    }
}

/// Exact for integers of 128 bits; beyond them and for fractions as `f64`, which is exact enough to tell a number from
/// bounds that are small integers.
fn compare(number: &Number, limit: &Number) -> Option<std::cmp::Ordering> {
    match (number.as_i128(), limit.as_i128()) {
        (Some(number), Some(limit)) => Some(number.cmp(&limit)),
        _ => {
            let float = |number: &Number| number.to_string().parse::<f64>().ok();
            float(number)?.partial_cmp(&float(limit)?)
        }
    }
}

/// The range of an integer type, which schemars writes for small ones only.
fn format_range(schema: &Value) -> (Option<Number>, Option<Number>) {
    match schema.get("format").and_then(Value::as_str) {
        Some("int32") => (Some(i32::MIN.into()), Some(i32::MAX.into())),
        Some("int64" | "int") => (Some(i64::MIN.into()), Some(i64::MAX.into())),
        Some("uint32") => (Some(0.into()), Some(u32::MAX.into())),
        Some("uint64" | "uint") => (Some(0.into()), Some(u64::MAX.into())),
        _ => (None, None),
    }
}
