//! Numbers.

use std::cmp::Ordering;

use cel::ExecutionError;
use cel::common::types::{CelDouble, CelInt, CelList, CelUInt};
use cel::common::value::{CowVal, Val};

use super::{Answer, Call};

/// `math.least(a, b, …)` or `math.least(list)`: the first of those that no other is less than.
pub(in super::super) fn least<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Answer<'b, 'v> {
    extreme("math.least", &args, Ordering::Less)
}

/// `math.greatest(a, b, …)` or `math.greatest(list)`: the first of those that no other is greater than.
pub(in super::super) fn greatest<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Answer<'b, 'v> {
    extreme("math.greatest", &args, Ordering::Greater)
}

/// `math.abs(number)`: without its sign.
pub(in super::super) fn abs<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Answer<'b, 'v> {
    let call = Call::begin("math.abs", &args)?;
    let value = call.arg(0).ok_or_else(|| call.unsupported())?;
    if let Some(int) = value.downcast_ref::<CelInt>() {
        let abs = int.inner().checked_abs().ok_or_else(|| call.error("the result does not fit 64 bits"))?;
        return Ok(CowVal::owned(CelInt::from(abs)));
    }
    if let Some(uint) = value.downcast_ref::<CelUInt>() {
        return Ok(CowVal::owned(CelUInt::from(*uint.inner())));
    }
    let double = value.downcast_ref::<CelDouble>().ok_or_else(|| call.unsupported())?;
    Ok(CowVal::owned(CelDouble::from(double.inner().abs())))
}

/// `math.round(number)`: the nearest whole number; of two that are equally near, the one further from 0.
pub(in super::super) fn round<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Answer<'b, 'v> {
    let call = Call::begin("math.round", &args)?;
    let value = call.arg(0).ok_or_else(|| call.unsupported())?;
    let too_large = || call.error("the result does not fit 64 bits");
    if let Some(int) = value.downcast_ref::<CelInt>() {
        return Ok(CowVal::owned(CelInt::from(*int.inner())));
    }
    if let Some(uint) = value.downcast_ref::<CelUInt>() {
        return Ok(CowVal::owned(CelInt::from(i64::try_from(*uint.inner()).map_err(|_| too_large())?)));
    }
    let double = value.downcast_ref::<CelDouble>().ok_or_else(|| call.unsupported())?.inner().round();
    // -2^63 and 2^63 are doubles; the second is one too large.
    let fits = (i64::MIN as f64..-(i64::MIN as f64)).contains(&double);
    if fits { Ok(CowVal::owned(CelInt::from(double as i64))) } else { Err(too_large()) }
}

fn extreme<'b, 'v>(function: &'static str, args: &[CowVal<'b, 'v>], wanted: Ordering) -> Answer<'b, 'v> {
    let call = Call::begin(function, args)?;
    let list = call.arg(0).and_then(|arg| arg.downcast_ref::<CelList>()).filter(|_| call.args.len() == 1);
    let candidates: Vec<&(dyn Val + 'v)> = match list {
        Some(list) => list.inner().iter().map(|item| item.as_ref()).collect(),
        None => call.args.iter().map(|arg| arg.as_ref()).collect(),
    };
    let mut candidates = candidates.into_iter();
    let first = candidates.next().ok_or_else(|| call.error("the list is empty"))?;
    let mut best = number(&call, first)?;
    for candidate in candidates {
        let order = number(&call, candidate)?.as_comparer().map(|comparer| comparer.compare(best));
        if order.ok_or_else(|| call.unsupported())?? == wanted {
            best = candidate;
        }
    }
    Ok(CowVal::Owned(best.clone_as_boxed()))
}

fn number<'a, 'v>(call: &Call<'_, '_, '_>, value: &'a (dyn Val + 'v)) -> Result<&'a (dyn Val + 'v), ExecutionError> {
    let is_number = value.downcast_ref::<CelInt>().is_some()
        || value.downcast_ref::<CelUInt>().is_some()
        || value.downcast_ref::<CelDouble>().is_some();
    is_number.then_some(value).ok_or_else(|| call.error("not everything is a number"))
}
