//! Functions of our own inside the interpreter, and the meter they draw on.

use std::any::Any;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use cel::common::types::{CelBool, CelList, CelMap, CelMapKey, CelNull, CelString, DYN_TYPE, Type};
use cel::common::value::{CowVal, StaticVal, Val};
use cel::{DeclarationError, Env, ExecutionError};
use regex::Regex;
use serde_json::Value;

use super::arithmetic::OPERATIONS;
use super::value::{Budget, to_json};
use super::vocabulary::FUNCTIONS;
use super::{EvalError, limits};

pub(super) const ITEMS: &str = "@items";
pub(super) const MATCHES: &str = "@matches";
pub(super) const GIVE: &str = "@give";
pub(super) const METER: &str = "@meter";
/// Name of the function that an [`ExecutionError`] carries a limit's message under.
pub(super) const LIMIT: &str = "@limit";
/// Largest compiled pattern of `matches`, in bytes.
pub(super) const PATTERN_BYTES: usize = 1024 * 1024;

/// The standard library without clocks, and our own functions.
pub(super) fn environment() -> &'static Arc<Env> {
    static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| {
        let mut env = Env::stdlib();
        let declared = OPERATIONS.iter().try_for_each(|(_, name, function)| env.add_overload(name, name, dyns(3), *function));
        declared
            .and_then(|()| env.add_overload(ITEMS, ITEMS, dyns(2), items))
            .and_then(|()| env.add_overload(MATCHES, MATCHES, dyns(2), matches))
            .and_then(|()| env.add_overload(GIVE, GIVE, dyns(2), give))
            .and_then(|()| own_functions(&mut env))
            .expect("the standard library has no function of these names");
        Arc::new(env)
    });
    &ENVIRONMENT
}

/// Those of the vocabulary that are ours, once for each number of arguments, to which the meter comes.
fn own_functions(env: &mut Env) -> Result<(), DeclarationError> {
    for function in &FUNCTIONS {
        let Some(run) = function.run else { continue };
        let name = function.inner_name();
        let mut counts: Vec<usize> = function.overloads.iter().map(|overload| overload.takes.len() + 1).collect();
        counts.dedup();
        for count in counts {
            env.add_overload(&name, &format!("{name} {count}"), dyns(count), run)?;
        }
    }
    Ok(())
}

fn dyns(count: usize) -> Vec<Type> {
    (0..count).map(|_| DYN_TYPE).collect()
}

pub(super) type Answer<'b, 'v> = Result<CowVal<'b, 'v>, ExecutionError>;

/// `@items(range, @meter)`: the range of a loop, if it is not too long. Of a map, the keys in order: the interpreter
/// would give them in an order that changes from run to run.
fn items<'b, 'v>(mut args: Vec<CowVal<'b, 'v>>) -> Answer<'b, 'v> {
    let meter = meter(&args, 1)?.clone();
    let range = args.swap_remove(0);
    let Some(size) = range.as_sizer().map(|sizer| *sizer.size().inner()) else {
        return Err(ExecutionError::UnexpectedType { got: range.get_type().name().to_owned(), want: "list or map".to_owned() });
    };
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    if size > limits::LOOP_ITEMS {
        let message = format!("a loop goes over {size} items; the limit is {}", limits::LOOP_ITEMS);
        return Err(ExecutionError::function_error(LIMIT, message));
    }
    meter.0.items.take(size).map_err(limit)?;
    let Some(map) = range.downcast_ref::<CelMap>() else {
        return Ok(range);
    };
    let mut keys: Vec<&CelMapKey<'v>> = map.inner().keys().collect();
    keys.sort_unstable();
    let keys: Vec<Box<dyn Val + 'v>> = keys.into_iter().map(|key| key.inner().clone_as_boxed()).collect();
    Ok(CowVal::owned(CelList::from(keys)))
}

/// `@matches(text, @r0)`.
fn matches<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Answer<'b, 'v> {
    let (text, pattern) = (args[0].downcast_ref::<CelString>(), args[1].downcast_ref::<Pattern>());
    match (text, pattern) {
        (Some(text), Some(Pattern(regex))) => Ok(CowVal::owned(CelBool::from(regex.is_match(text.inner())))),
        _ => Err(ExecutionError::no_such_member_overload(
            "matches",
            vec![args[0].get_type().name().to_owned(), "string".to_owned()],
        )),
    }
}

/// `@give(value, @meter)`: takes the value of the whole expression out as JSON.
///
/// The interpreter's own way out knows its own types only. Its inner function, which gives any value, is always
/// inlined, and so compiled as its caller is: unoptimised in a debug build, its frames are many times larger, and
/// what fits the stack in a release would overflow it in a test.
fn give<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Answer<'b, 'v> {
    let budget = Budget::new(limits::RESULT_BYTES, "the size of the result");
    let result = to_json(args[0].as_ref(), &budget);
    let mut slot = meter(&args, 1)?.0.result.lock().unwrap_or_else(PoisonError::into_inner);
    *slot = Some(result);
    Ok(CowVal::owned(CelNull))
}

/// The meter among the arguments.
pub(super) fn meter<'m>(args: &'m [CowVal<'_, '_>], at: usize) -> Result<&'m Meter, ExecutionError> {
    args[at].downcast_ref::<Meter>().ok_or_else(|| ExecutionError::InternalError("an evaluation without a meter".to_owned()))
}

/// A limit's message as the interpreter's error.
pub(super) fn limit(error: EvalError) -> ExecutionError {
    ExecutionError::function_error(LIMIT, error.to_string())
}

static METER_TYPE: Type = Type::new_unspecified_type("meter");
static PATTERN_TYPE: Type = Type::new_unspecified_type("pattern");

/// What one evaluation has left, and its result.
#[derive(Debug, Clone)]
pub(super) struct Meter(Arc<Account>);

#[derive(Debug)]
struct Account {
    items: Budget,
    work: Budget,
    result: Mutex<Option<Result<Value, EvalError>>>,
}

impl Meter {
    pub(super) fn new() -> Self {
        Self(Arc::new(Account {
            items: Budget::new(limits::LOOP_ITEMS_IN_ALL, "the number of items that loops go over"),
            work: Budget::new(limits::WORK_BYTES, "the bytes that the expression reads and copies"),
            result: Mutex::new(None),
        }))
    }

    /// Counts bytes read or copied.
    pub(super) fn work(&self, bytes: usize) -> Result<(), EvalError> {
        self.0.work.take(bytes)
    }

    /// What the whole expression gave, once.
    pub(super) fn take_result(&self) -> Option<Result<Value, EvalError>> {
        self.0.result.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// A compiled pattern of `matches`.
#[derive(Debug, Clone)]
pub(super) struct Pattern(pub(super) Regex);

macro_rules! opaque_value {
    ($type:ty, $cel_type:ident) => {
        impl Val for $type {
            fn get_type(&self) -> &Type {
                &$cel_type
            }

            fn cel_type() -> &'static Type {
                &$cel_type
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

        impl StaticVal for $type {}
    };
}

opaque_value!(Meter, METER_TYPE);
opaque_value!(Pattern, PATTERN_TYPE);
