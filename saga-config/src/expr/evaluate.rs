//! One evaluation: paths resolved where the interpreter asks for them, errors in our words.

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;

use cel::common::types::{CelBool, CelInt, CelOptional};
use cel::common::value::{CowVal, Val};
use cel::context::VariableResolver;
use cel::{Context, ExecutionError, FunctionContext, IdedExpr};
use serde_json::Value;

use super::builtins::{self, LIMIT, METER, Meter};
use super::compile::{Compiled, Plan};
use super::reference::{Reading, Reference};
use super::rewrite::{pattern_index, slot_index};
use super::value::{Budget, into_cel, kind, to_cel, to_json};
use super::{Bindings, EvalError, Helper, limits};

pub(super) fn evaluate<'v>(compiled: &'v Compiled, bindings: &'v Bindings<'_>) -> Result<Cow<'v, Value>, EvalError> {
    match &compiled.plan {
        Plan::Path => {
            let reference = &compiled.references[0];
            let (value, from) = bindings.begin(reference).ok_or_else(|| unbound(reference))?;
            let value = match value {
                Cow::Borrowed(value) => reference.follow(value, from)?.map(Cow::Borrowed),
                Cow::Owned(value) if from == reference.segments.len() => Some(Cow::Owned(value)),
                Cow::Owned(value) => reference.follow(&value, from)?.cloned().map(Cow::Owned),
            };
            // Without an optional segment a path has a value or an error.
            value.ok_or_else(|| EvalError::Internal(reference.to_string()))
        }
        // The interpreter is a young crate with `panic!` in branches it holds unreachable. One bad expression must
        // not take a connection or a saga down with it; nothing it touches is used again after a panic.
        Plan::Tree(tree) => catch_unwind(AssertUnwindSafe(|| interpret(compiled, tree, bindings)))
            .unwrap_or_else(|_| Err(EvalError::Internal("the interpreter panicked".to_owned())))
            .map(Cow::Owned),
    }
}

fn interpret(compiled: &Compiled, tree: &IdedExpr, bindings: &Bindings<'_>) -> Result<Value, EvalError> {
    let slots = Slots {
        compiled,
        bindings,
        values: compiled.references.iter().map(|_| OnceLock::new()).collect(),
        input: Budget::new(limits::INPUT_BYTES, "the JSON that the expression reads"),
        meter: Meter::new(),
    };
    let mut context = Context::with_env(builtins::environment().clone());
    context.set_variable_resolver(&slots);
    for name in &compiled.helpers {
        let helper = bindings.helper(name).ok_or_else(|| EvalError::Unbound(format!("{name}()")))?;
        context
            .add_function(name, adapt(name.clone(), helper.clone()))
            .map_err(|error| EvalError::Internal(error.to_string()))?;
    }
    cel::Value::resolve(tree, &context).map_err(|error| slots.explain(error))?;
    slots.meter.take_result().unwrap_or_else(|| Err(EvalError::Internal("no result".to_owned())))
}

fn unbound(reference: &Reference) -> EvalError {
    EvalError::Unbound(reference.root.clone())
}

/// A path's value, and what it counts for each time it is read.
struct Resolved<'v> {
    value: Box<dyn Val + 'v>,
    weight: usize,
}

/// Gives the interpreter the values of the rewritten names, each resolved when first asked for.
struct Slots<'v> {
    compiled: &'v Compiled,
    bindings: &'v Bindings<'v>,
    values: Vec<OnceLock<Result<Resolved<'v>, EvalError>>>,
    input: Budget,
    meter: Meter,
}

impl<'v> Slots<'v> {
    fn resolve_slot(&self, index: usize) -> Result<Resolved<'v>, EvalError> {
        let reference = &self.compiled.references[index];
        let (json, from) = self.bindings.begin_borrowed(reference).ok_or_else(|| unbound(reference))?;
        let before = self.input.spent();
        let value: Box<dyn Val + 'v> = match reference.reading {
            Reading::Value => match reference.follow(json, from)? {
                Some(value) => to_cel(value, &self.input)?,
                None => return Err(EvalError::Internal(reference.to_string())),
            },
            Reading::Optional => Box::new(match reference.follow(json, from)? {
                Some(value) => CelOptional::of(to_cel(value, &self.input)?),
                None => CelOptional::none(),
            }),
            Reading::Presence => Box::new(CelBool::from(reference.is_present(json, from)?)),
            Reading::Size => Box::new(CelInt::from(size(reference, json, from)?)),
        };
        Ok(Resolved { value, weight: (self.input.spent() - before).max(limits::VALUE_BYTES) })
    }

    fn slot(&self, index: usize) -> Option<&Result<Resolved<'v>, EvalError>> {
        let slot = self.values.get(index)?;
        Some(slot.get_or_init(|| self.resolve_slot(index)))
    }

    /// The interpreter's error in our words. They name paths and types, never values: those may be secret.
    fn explain(&self, error: ExecutionError) -> EvalError {
        match error {
            ExecutionError::UndeclaredReference(name) => {
                match slot_index(&name).and_then(|index| self.slot(index)) {
                    Some(Err(error)) => error.clone(),
                    // A name that resolves is withheld only once the work is used up.
                    Some(Ok(_)) => EvalError::Limit(format!(
                        "the bytes that the expression reads and copies exceeds the limit of {}",
                        limits::WORK_BYTES
                    )),
                    None => EvalError::Internal(format!("`{name}` is not bound")),
                }
            }
            other => explain(other),
        }
    }
}

impl VariableResolver for Slots<'_> {
    /// `None` is an error that [`Slots::explain`] puts into words.
    fn resolve<'b>(&'b self, name: &str) -> Option<CowVal<'b, 'b>> {
        if let Some(index) = slot_index(name) {
            let resolved = self.slot(index)?.as_ref().ok()?;
            self.meter.work(resolved.weight).ok()?;
            return Some(CowVal::Borrowed(resolved.value.as_ref()));
        }
        if name == METER {
            return Some(CowVal::Borrowed(&self.meter));
        }
        let pattern = self.compiled.patterns.get(pattern_index(name)?)?;
        Some(CowVal::Borrowed(pattern))
    }
}

fn size(reference: &Reference, json: &Value, from: usize) -> Result<i64, EvalError> {
    let size = match reference.follow(json, from)? {
        Some(Value::String(text)) => text.chars().count(),
        Some(Value::Array(items)) => items.len(),
        Some(Value::Object(map)) => map.len(),
        other => {
            let kind = other.map_or("absent", kind);
            return Err(EvalError::WrongType(format!("`{reference}` is {kind}, which has no size")));
        }
    };
    i64::try_from(size).map_err(|_| EvalError::Internal(reference.to_string()))
}

type Function = Box<dyn for<'c, 'v> Fn(&mut FunctionContext<'c, 'v>) -> Result<CowVal<'c, 'v>, ExecutionError> + Send + Sync>;

fn adapt(name: String, helper: Helper) -> Function {
    Box::new(move |call| {
        let budget = Budget::new(limits::RESULT_BYTES, "the size of a helper's arguments and answer");
        let failed = |error: EvalError| ExecutionError::function_error(&name, error.to_string());
        let args: Result<Vec<Value>, EvalError> = call.args.iter().map(|arg| to_json(arg.as_ref(), &budget)).collect();
        let answer = helper(&args.map_err(failed)?).map_err(|message| ExecutionError::function_error(&name, message))?;
        Ok(CowVal::Owned(into_cel(answer, &budget).map_err(failed)?))
    })
}

fn explain(error: ExecutionError) -> EvalError {
    match error {
        ExecutionError::NoSuchKey(field) => EvalError::Missing { path: None, field: field.to_string() },
        ExecutionError::NoSuchOverload(overload) => {
            let operator = overload.function().trim_matches(['_', '@']).to_owned();
            let operator = if operator == "." { "field selection".to_owned() } else { format!("`{operator}`") };
            EvalError::WrongType(format!("{operator} does not apply to {}", overload.argument_types().join(" and ")))
        }
        ExecutionError::UnsupportedBinaryOperator(operator, left, right) => {
            EvalError::WrongType(format!("`{}` does not apply to {} and {}", symbol(operator), left.type_of(), right.type_of()))
        }
        ExecutionError::ValuesNotComparable(left, right) => {
            EvalError::WrongType(format!("{} and {} have no order", left.type_of(), right.type_of()))
        }
        ExecutionError::UnexpectedType { got, want } => EvalError::WrongType(format!("{want} is needed here, not {got}")),
        ExecutionError::UnsupportedKeyType(key) => EvalError::WrongType(format!("a map has no key of type {}", key.type_of())),
        ExecutionError::UnsupportedIndex(index, of) => {
            EvalError::WrongType(format!("{} does not index {}", index.type_of(), of.type_of()))
        }
        ExecutionError::IndexOutOfBounds(cel::Value::Int(index)) => {
            EvalError::WrongType(format!("a list in the expression has no item [{index}]"))
        }
        ExecutionError::IndexOutOfBounds(_) => {
            EvalError::WrongType("a list in the expression has no item at that index".to_owned())
        }
        ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => {
            EvalError::Arithmetic("division by zero".to_owned())
        }
        ExecutionError::Overflow(operator, ..) => {
            EvalError::Arithmetic(format!("the result of `{}` does not fit 64 bits", symbol(operator)))
        }
        ExecutionError::DuplicateKey(_) => EvalError::NotJson("a map literal has the same key twice".to_owned()),
        ExecutionError::FunctionError { function, message } if function == LIMIT => EvalError::Limit(message),
        ExecutionError::FunctionError { function, message } => EvalError::Function { function, message },
        ExecutionError::InternalError(message) => EvalError::Internal(message),
        // The others carry values in their text; what remains does not arise from expressions that compile.
        _ => EvalError::Internal("the interpreter refused the expression".to_owned()),
    }
}

fn symbol(operator: &str) -> &str {
    match operator {
        "add" => "+",
        "sub" => "-",
        "mul" => "*",
        "div" => "/",
        "rem" => "%",
        other => other,
    }
}
