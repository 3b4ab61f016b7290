//! Functions of our own: what sagas need and the interpreter's library does not have, or does not bound.
//!
//! Each gets its arguments and, as the last, the meter of the evaluation. It counts what it reads and what it gives before it makes it,
//! and gives no more than [`limits::RESULT_BYTES`]. Names and behaviour of those for texts are those of cel-go's extension.

pub(super) mod encoding;
pub(super) mod number;
pub(super) mod text;

use cel::ExecutionError;
use cel::common::types::{CelInt, CelString};
use cel::common::value::{CowVal, Val};

use super::builtins::{Answer, limit, meter};
use super::value::weight;
use super::{EvalError, limits};

/// What carries out a function.
pub(super) type Run = for<'b, 'v> fn(Vec<CowVal<'b, 'v>>) -> Answer<'b, 'v>;

/// The arguments of one call.
struct Call<'a, 'b, 'v> {
    function: &'static str,
    args: &'a [CowVal<'b, 'v>],
    with_meter: &'a [CowVal<'b, 'v>],
}

impl<'a, 'b, 'v> Call<'a, 'b, 'v> {
    /// Counts what the function reads.
    fn begin(function: &'static str, with_meter: &'a [CowVal<'b, 'v>]) -> Result<Self, ExecutionError> {
        let args = with_meter.split_last().map_or(with_meter, |(_, args)| args);
        let call = Self { function, args, with_meter };
        call.work(args.iter().map(|arg| weight(arg.as_ref())).fold(0, usize::saturating_add))?;
        Ok(call)
    }

    fn arg(&self, at: usize) -> Option<&'a (dyn Val + 'v)> {
        self.args.get(at).map(|arg| arg.as_ref())
    }

    fn text(&self, at: usize) -> Result<&'a str, ExecutionError> {
        let text = self.arg(at).and_then(|arg| arg.downcast_ref::<CelString>());
        text.map(|text| text.inner()).ok_or_else(|| self.unsupported())
    }

    fn int(&self, at: usize) -> Result<i64, ExecutionError> {
        let int = self.arg(at).and_then(|arg| arg.downcast_ref::<CelInt>());
        int.map(|int| *int.inner()).ok_or_else(|| self.unsupported())
    }

    /// As [`int`](Self::int), for an argument that may be left out.
    fn maybe_int(&self, at: usize) -> Result<Option<i64>, ExecutionError> {
        if self.args.len() > at { self.int(at).map(Some) } else { Ok(None) }
    }

    /// Counts `bytes` that are about to be made.
    fn work(&self, bytes: usize) -> Result<(), ExecutionError> {
        let at = self.with_meter.len().saturating_sub(1);
        meter(self.with_meter, at)?.work(bytes).map_err(limit)
    }

    /// Counts the bytes of an answer that is about to be made, and refuses one that is too large.
    fn answer_of(&self, bytes: usize) -> Result<(), ExecutionError> {
        if bytes > limits::RESULT_BYTES {
            let message = format!("{}() would give more than {} bytes", self.function, limits::RESULT_BYTES);
            return Err(limit(EvalError::Limit(message)));
        }
        self.work(bytes)
    }

    fn give(&self, text: String) -> Answer<'b, 'v> {
        Ok(CowVal::owned(CelString::from(text)))
    }

    fn error(&self, message: impl Into<String>) -> ExecutionError {
        ExecutionError::function_error(self.function, message.into())
    }

    fn unsupported(&self) -> ExecutionError {
        let types = self.args.iter().map(|arg| arg.get_type().name().to_owned()).collect();
        ExecutionError::no_such_overload(self.function, types)
    }
}
