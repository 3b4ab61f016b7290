//! JSON to CEL and back.
//!
//! A JSON number that is an integer of 64 bits becomes an `int`, never a `uint`, so that `body.qty + 1` works.
//! Another number becomes a `double` if that loses nothing; one that a double cannot hold stays exact, can be
//! passed on, and refuses arithmetic rather than being off by a little.

use std::any::Any;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use cel::common::types::{
    CelBool, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelOptional, CelString, CelUInt, Type,
};
use cel::common::value::{StaticVal, Val};
use serde_json::{Map, Number, Value};

use super::{EvalError, limits};

/// A bound on bytes, drawn down by everything that is counted.
#[derive(Debug)]
pub(super) struct Budget {
    left: AtomicUsize,
    limit: usize,
    what: &'static str,
}

impl Budget {
    pub(super) fn new(limit: usize, what: &'static str) -> Self {
        Self { left: AtomicUsize::new(limit), limit, what }
    }

    /// Counts `amount`. An evaluation runs on one thread, so that the check and the change need not be one step.
    pub(super) fn take(&self, amount: usize) -> Result<(), EvalError> {
        let left = self.left.load(Ordering::Relaxed);
        let Some(rest) = left.checked_sub(amount) else {
            return Err(EvalError::Limit(format!("{} exceeds the limit of {}", self.what, self.limit)));
        };
        self.left.store(rest, Ordering::Relaxed);
        Ok(())
    }

    pub(super) fn spent(&self) -> usize {
        self.limit - self.left.load(Ordering::Relaxed)
    }
}

/// What a JSON value is, for messages, which never show the value itself.
pub(crate) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}

/// Converts JSON, borrowing its strings.
pub(super) fn to_cel<'v>(value: &'v Value, budget: &Budget) -> Result<Box<dyn Val + 'v>, EvalError> {
    convert(value, budget, 0)
}

fn convert<'v>(value: &'v Value, budget: &Budget, depth: usize) -> Result<Box<dyn Val + 'v>, EvalError> {
    if depth > limits::JSON_DEPTH {
        return Err(too_deep());
    }
    budget.take(limits::VALUE_BYTES)?;
    Ok(match value {
        Value::Null => Box::new(CelNull),
        Value::Bool(bool) => Box::new(CelBool::from(*bool)),
        Value::Number(number) => {
            budget.take(number.as_str().len())?;
            number_to_cel(number)
        }
        Value::String(text) => {
            budget.take(text.len())?;
            Box::new(CelString::from(text.as_str()))
        }
        Value::Array(items) => {
            let items: Result<Vec<_>, _> = items.iter().map(|item| convert(item, budget, depth + 1)).collect();
            Box::new(CelList::from(items?))
        }
        Value::Object(map) => {
            let entries: Result<HashMap<_, _>, EvalError> = map
                .iter()
                .map(|(key, value)| {
                    budget.take(key.len())?;
                    Ok((CelMapKey::from(key.as_str()), convert(value, budget, depth + 1)?))
                })
                .collect();
            Box::new(CelMap::from(entries?))
        }
    })
}

/// Converts JSON that nothing else keeps, such as a helper's answer.
pub(super) fn into_cel(value: Value, budget: &Budget) -> Result<Box<dyn Val>, EvalError> {
    into_cel_at(value, budget, 0)
}

fn into_cel_at(value: Value, budget: &Budget, depth: usize) -> Result<Box<dyn Val>, EvalError> {
    if depth > limits::JSON_DEPTH {
        return Err(too_deep());
    }
    budget.take(limits::VALUE_BYTES)?;
    Ok(match value {
        Value::Null => Box::new(CelNull),
        Value::Bool(bool) => Box::new(CelBool::from(bool)),
        Value::Number(number) => {
            budget.take(number.as_str().len())?;
            number_to_cel(&number)
        }
        Value::String(text) => {
            budget.take(text.len())?;
            Box::new(CelString::from(text))
        }
        Value::Array(items) => {
            let items: Result<Vec<_>, _> = items.into_iter().map(|item| into_cel_at(item, budget, depth + 1)).collect();
            Box::new(CelList::from(items?))
        }
        Value::Object(map) => {
            let entries: Result<HashMap<_, _>, EvalError> = map
                .into_iter()
                .map(|(key, value)| {
                    budget.take(key.len())?;
                    Ok((CelMapKey::from(key), into_cel_at(value, budget, depth + 1)?))
                })
                .collect();
            Box::new(CelMap::from(entries?))
        }
    })
}

/// More characters than any sensible way to write a double; what is longer stays exact without looking closer.
const LONGEST_DOUBLE: usize = 64;

fn number_to_cel(number: &Number) -> Box<dyn Val> {
    if let Some(int) = number.as_i64() {
        return Box::new(CelInt::from(int));
    }
    let digits = number.as_str();
    let may_be_double = digits.contains(['.', 'e', 'E']) && digits.len() <= LONGEST_DOUBLE;
    match number.as_f64() {
        Some(double) if may_be_double && is_written_as(double, digits) => Box::new(CelDouble::from(double)),
        _ => Box::new(ExactNumber(number.clone())),
    }
}

/// Whether a double is written with these digits when it becomes JSON again. Asked of whoever writes it: two algorithms may choose
/// different digits where two shortest forms are equally near, as for 1000000000000000.25.
fn is_written_as(double: f64, digits: &str) -> bool {
    Number::from_f64(double).is_some_and(|written| Decimal::parse(written.as_str()) == Decimal::parse(digits))
}

/// Converts a result to JSON. Maps come out with their keys sorted: CEL keeps no order, and the same expression
/// over the same input has to give the same bytes.
pub(super) fn to_json(value: &dyn Val, budget: &Budget) -> Result<Value, EvalError> {
    to_json_at(value, budget, 0)
}

fn to_json_at(value: &dyn Val, budget: &Budget, depth: usize) -> Result<Value, EvalError> {
    if depth > limits::JSON_DEPTH {
        return Err(too_deep());
    }
    budget.take(limits::VALUE_BYTES)?;
    if let Some(text) = value.downcast_ref::<CelString>() {
        budget.take(text.inner().len())?;
        return Ok(Value::String(text.inner().to_owned()));
    }
    if let Some(list) = value.downcast_ref::<CelList>() {
        let items: Result<Vec<_>, _> = list.inner().iter().map(|item| to_json_at(item.as_ref(), budget, depth + 1)).collect();
        return Ok(Value::Array(items?));
    }
    if let Some(map) = value.downcast_ref::<CelMap>() {
        return map_to_json(map, budget, depth);
    }
    if let Some(optional) = value.downcast_ref::<CelOptional>() {
        let state = if optional.option().is_some() { "an optional" } else { "an optional without a value" };
        return Err(EvalError::NotJson(format!("the expression gives {state}: end it with `.orValue(…)`")));
    }
    if let Some(bool) = value.downcast_ref::<CelBool>() {
        return Ok(Value::Bool(*bool.inner()));
    }
    if let Some(int) = value.downcast_ref::<CelInt>() {
        return Ok(Value::from(*int.inner()));
    }
    if let Some(uint) = value.downcast_ref::<CelUInt>() {
        return Ok(Value::from(*uint.inner()));
    }
    if let Some(double) = value.downcast_ref::<CelDouble>() {
        return Number::from_f64(*double.inner())
            .map(Value::Number)
            .ok_or_else(|| EvalError::NotJson("the expression gives a number that JSON has no digits for".to_owned()));
    }
    if let Some(exact) = value.downcast_ref::<ExactNumber>() {
        budget.take(exact.0.as_str().len())?;
        return Ok(Value::Number(exact.0.clone()));
    }
    if value.downcast_ref::<CelNull>().is_some() {
        return Ok(Value::Null);
    }
    Err(EvalError::NotJson(format!("the expression gives a value of type `{}`, which is not JSON", value.get_type().name())))
}

fn map_to_json(map: &CelMap<'_>, budget: &Budget, depth: usize) -> Result<Value, EvalError> {
    let mut entries: Vec<(&str, &dyn Val)> = Vec::with_capacity(map.inner().len());
    for (key, value) in map.inner() {
        let CelMapKey::String(key) = key else {
            return Err(EvalError::NotJson(
                "the expression gives a map with a key that is not a string, which is not JSON".to_owned(),
            ));
        };
        budget.take(key.inner().len())?;
        entries.push((key.inner(), value.as_ref()));
    }
    entries.sort_unstable_by_key(|(key, _)| *key);
    let mut json = Map::with_capacity(entries.len());
    for (key, value) in entries {
        json.insert(key.to_owned(), to_json_at(value, budget, depth + 1)?);
    }
    Ok(Value::Object(json))
}

fn too_deep() -> EvalError {
    EvalError::Limit(format!("the value nests deeper than {} levels", limits::JSON_DEPTH))
}

/// What `value` counts for where it is copied, children included. Bounded by the budgets its parts were made under.
pub(super) fn weight(value: &dyn Val) -> usize {
    let own = limits::VALUE_BYTES;
    if let Some(text) = value.downcast_ref::<CelString>() {
        own + text.inner().len()
    } else if let Some(list) = value.downcast_ref::<CelList>() {
        own + list.inner().iter().map(|item| weight(item.as_ref())).sum::<usize>()
    } else if let Some(map) = value.downcast_ref::<CelMap>() {
        let entries = map.inner().iter();
        own + entries.map(|(key, value)| weight(key.inner()) + weight(value.as_ref())).sum::<usize>()
    } else if let Some(exact) = value.downcast_ref::<ExactNumber>() {
        own + exact.0.as_str().len()
    } else {
        own
    }
}

static EXACT_NUMBER: Type = Type::new_unspecified_type("number beyond 64 bits");

/// A JSON number that neither an `int` nor a `double` holds without loss.
#[derive(Debug, Clone)]
struct ExactNumber(Number);

impl Val for ExactNumber {
    fn get_type(&self) -> &Type {
        Self::cel_type()
    }

    fn cel_type() -> &'static Type {
        &EXACT_NUMBER
    }

    fn equals(&self, other: &dyn Val) -> bool {
        other.downcast_ref::<Self>().is_some_and(|other| {
            let (ours, theirs) = (self.0.as_str(), other.0.as_str());
            ours == theirs || Decimal::parse(ours).is_some_and(|ours| Some(ours) == Decimal::parse(theirs))
        })
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v>
    where
        Self: 'v,
    {
        Box::new(self.clone())
    }

    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }
}

impl StaticVal for ExactNumber {}

/// A number as its significant digits and the power of ten of the last one: `1.50` and `15e-1` are equal.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Decimal {
    negative: bool,
    digits: String,
    exponent: i64,
}

impl Decimal {
    /// Reads a JSON number. `None` only where the exponent itself does not fit 64 bits.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (negative, text) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = format!("{whole}{fraction}");
        let digits = all.trim_start_matches('0').trim_end_matches('0');
        if digits.is_empty() {
            return Some(Self { negative: false, digits: String::new(), exponent: 0 });
        }
        let trailing_zeros = all.len() - all.trim_end_matches('0').len();
        let shift = i64::try_from(trailing_zeros).ok()?.checked_sub(i64::try_from(fraction.len()).ok()?)?;
        Some(Self { negative, digits: digits.to_owned(), exponent: exponent.parse::<i64>().ok()?.checked_add(shift)? })
    }
}
