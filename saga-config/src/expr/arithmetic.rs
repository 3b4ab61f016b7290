//! `+`, `-`, `*` and `/`, with two differences from the interpreter's own.
//!
//! In JSON `120` and `120.5` are one type, and a price may be either from one answer to the next. CEL refuses
//! `120.5 + 1`, which would make an expression fail by the value it happens to get. Here an integer beside a double is
//! taken as a double, if a double holds it exactly. And what is added up draws on the evaluation's meter.

use cel::ExecutionError;
use cel::common::types::{CelDouble, CelInt};
use cel::common::value::{CowVal, Val};

use super::builtins::{Answer, limit, meter};
use super::value::weight;

/// The operators, by the interpreter's name and by ours, and what ours does.
pub(super) const OPERATIONS: [(&str, &str, Function); 4] =
    [("_+_", "@add", add), ("_-_", "@sub", sub), ("_*_", "@mul", mul), ("_/_", "@div", div)];

type Function = for<'b, 'v> fn(Vec<CowVal<'b, 'v>>) -> Answer<'b, 'v>;

/// Integers up to this size are doubles without loss: 2^53.
const EXACT_IN_A_DOUBLE: u64 = 1 << 53;

/// Gives the method that applies an operator of [`Val`] to two operands.
macro_rules! operation {
    ($name:ident, $operator:literal, $capability:ident) => {
        fn $name<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Answer<'b, 'v> {
            let (left, right) = (args[0].as_ref(), args[1].as_ref());
            let work = weight(left).saturating_add(weight(right));
            meter(&args, 2)?.work(work).map_err(limit)?;
            let promoted = promote(left, right);
            let (left, right): (&dyn Val, &dyn Val) = match &promoted {
                Some((left, right)) => (left, right),
                None => (left, right),
            };
            let unsupported = || {
                let types = [left, right].map(|value| value.get_type().name().to_owned());
                ExecutionError::no_such_overload($operator, types.to_vec())
            };
            let result = left.$capability().ok_or_else(unsupported)?.$name(right);
            match result {
                Ok(value) => Ok(CowVal::Owned(value.into_owned())),
                Err(ExecutionError::UnsupportedBinaryOperator(..)) => Err(unsupported()),
                Err(error) => Err(error),
            }
        }
    };
}

operation!(add, "_+_", as_adder);
operation!(sub, "_-_", as_subtractor);
operation!(mul, "_*_", as_multiplier);
operation!(div, "_/_", as_divider);

/// Both operands as doubles, if one is and the other is an integer that loses nothing.
fn promote(left: &dyn Val, right: &dyn Val) -> Option<(CelDouble, CelDouble)> {
    let double = |value: &dyn Val| value.downcast_ref::<CelDouble>().copied();
    match (double(left), double(right)) {
        (Some(left), None) => Some((left, exact_double(right)?)),
        (None, Some(right)) => Some((exact_double(left)?, right)),
        _ => None,
    }
}

fn exact_double(value: &dyn Val) -> Option<CelDouble> {
    let int = *value.downcast_ref::<CelInt>()?.inner();
    (int.unsigned_abs() <= EXACT_IN_A_DOUBLE).then(|| CelDouble::from(int as f64))
}
