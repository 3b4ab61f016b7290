//! Expressions: the [Common Expression Language](https://cel.dev), bounded, over JSON.
//!
//! An [`Expression`] is compiled once, when the configuration is loaded: unknown names and functions, and anything
//! that could make the parser or the interpreter run away, are refused then. Evaluating it reads the paths it names
//! straight from the JSON it is given, converts nothing else, and never panics. It has no clock and no randomness:
//! the same bindings give the same bytes.
//!
//! ```
//! use saga_config::expr::{Bindings, Expression, Names};
//! use serde_json::json;
//!
//! let names = Names::new(&["request", "key"]);
//! let when = Expression::compile("request.body.?reference.orValue('') == key", &names).unwrap();
//!
//! let (request, key) = (json!({"body": {"reference": "a-7"}}), json!("a-7"));
//! let bindings = Bindings::new().with("request", &request).with("key", &key);
//! assert!(when.eval_bool(&bindings).unwrap());
//!
//! let error = Expression::compile("reqest.body", &names).unwrap_err();
//! assert_eq!(error.help.as_deref(), Some("did you mean `request`?"));
//! ```
//!
//! An expression that is one path keeps the value as it is, a number's digits and a map's order included. One that
//! computes gives numbers in their shortest form and maps with sorted keys. A number that 64 bits cannot hold without
//! loss can be passed on and compared for equality, and refuses arithmetic. In one thing the language is more lenient
//! than CEL: `120.5 + 1` is a sum, since JSON has one type for both.
//!
//! This module is the only one that names the expression crate.

mod arithmetic;
mod bindings;
mod builtins;
mod check;
mod compile;
mod evaluate;
mod functions;
pub mod limits;
mod place;
mod reference;
mod rewrite;
pub(crate) mod scan;
mod scope;
mod secret;
#[cfg(test)]
mod tests;
mod types;
pub(crate) mod value;
mod vocabulary;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde_json::Value;

pub use bindings::{Bindings, Helper, Roots};
pub use check::{Clash, Use};
pub use reference::{Key, Reading, Reference, Segment};
pub use scope::Names;
pub use secret::SecretUse;
pub use types::{Record, Type};

use compile::Compiled;
pub(crate) use compile::on_a_large_stack;

/// A compiled expression. Cloning it is cheap.
#[derive(Clone)]
pub struct Expression {
    source: Arc<str>,
    compiled: Arc<Compiled>,
}

impl Expression {
    /// Compiles `source`, in which only `names` may be used.
    ///
    /// # Errors
    ///
    /// What is wrong and where, if `source` is not an expression, uses a name or function that is not there, or
    /// exceeds one of the [`limits`].
    pub fn compile(source: &str, names: &Names) -> Result<Self, ExprError> {
        Ok(Self { compiled: Arc::new(compile::compile(source, names)?), source: source.into() })
    }

    /// Evaluates to JSON.
    ///
    /// # Errors
    ///
    /// [`EvalError`]; its text names paths and types, never values.
    pub fn eval(&self, bindings: &Bindings<'_>) -> Result<Value, EvalError> {
        self.eval_ref(bindings).map(Cow::into_owned)
    }

    /// Evaluates to JSON, borrowed from the bindings where the expression is a path.
    ///
    /// # Errors
    ///
    /// As [`eval`](Self::eval).
    pub fn eval_ref<'v>(&'v self, bindings: &'v Bindings<'_>) -> Result<Cow<'v, Value>, EvalError> {
        evaluate::evaluate(&self.compiled, bindings)
    }

    /// Evaluates a condition.
    ///
    /// # Errors
    ///
    /// As [`eval`](Self::eval), and [`EvalError::WrongType`] for anything but `true` and `false`.
    pub fn eval_bool(&self, bindings: &Bindings<'_>) -> Result<bool, EvalError> {
        match &*self.eval_ref(bindings)? {
            Value::Bool(bool) => Ok(*bool),
            other => Err(EvalError::WrongType(format!("the condition gives {}, not true or false", value::kind(other)))),
        }
    }

    /// The source it was compiled from.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The paths it reads, each once, in the order they stand.
    pub fn references(&self) -> &[Reference] {
        &self.compiled.references
    }

    /// What is known of its value before there is one.
    pub fn gives(&self) -> &Type {
        &self.compiled.gives
    }

    /// What it does with values it cannot be done with, in the order of the source. It compiles all the same: a definition that was
    /// accepted before a clash was known must load.
    pub fn clashes(&self) -> &[Clash] {
        &self.compiled.clashes
    }

    /// Whether its value can never be what is wanted of it.
    pub fn clash_as(&self, wanted: Use) -> Option<Clash> {
        let (message, help) = check::clash_of_use(self.gives(), wanted)?;
        let start = self.source.len() - self.source.trim_start().len();
        Some(Clash { span: start..self.source.trim_end().len(), message, help })
    }

    /// The helper functions it calls.
    pub fn helpers(&self) -> impl Iterator<Item = &str> {
        self.compiled.helpers.iter().map(String::as_str)
    }

    /// Whether it needs the value at `path` (`["request", "body"]`), or a part of it, so that the caller can leave
    /// out what would be costly to make.
    pub fn touches(&self, path: &[&str]) -> bool {
        self.references().iter().any(|reference| reference.touches(path))
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Expression").field(&self.source).finish()
    }
}

/// Why a source is not an expression here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ExprError {
    /// What is wrong.
    pub message: String,
    /// Where in the source, in bytes, if one place is to blame.
    pub offset_bytes: Option<usize>,
    /// What would be right.
    pub help: Option<String>,
}

impl ExprError {
    fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), offset_bytes: None, help: None }
    }

    fn at(mut self, offset_bytes: usize) -> Self {
        self.offset_bytes = Some(offset_bytes);
        self
    }

    fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// Why an expression has no value. The text names paths and types, never values, which may be secret; a helper's own
/// message is passed on as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EvalError {
    /// A field that is not there. `.?field` and `has()` provide for that.
    #[error("{} has no field `{field}`", path.as_deref().map_or("a map in the expression".to_owned(), |path| format!("`{path}`")))]
    Missing {
        /// The map, if it stands at a path.
        path: Option<String>,
        /// The field it does not have.
        field: String,
    },
    /// An item past the end of a list.
    #[error("`{path}` has {len} items, and no [{index}]")]
    OutOfBounds {
        /// The list.
        path: String,
        /// The item asked for, counted from 0.
        index: usize,
        /// How many items there are.
        len: usize,
    },
    /// An operation on a value it does not apply to.
    #[error("{0}")]
    WrongType(String),
    /// Division by zero, or a result that does not fit.
    #[error("{0}")]
    Arithmetic(String),
    /// One of the [`limits`].
    #[error("{0}")]
    Limit(String),
    /// A function refused its arguments.
    #[error("{function}(): {message}")]
    Function {
        /// The function.
        function: String,
        /// Its reason.
        message: String,
    },
    /// The value is not JSON.
    #[error("{0}")]
    NotJson(String),
    /// A name that the expression was compiled with was not bound: a mistake of the caller, not of the input.
    #[error("nothing is bound to `{0}` here")]
    Unbound(String),
    /// A fault of the interpreter.
    #[error("the expression cannot be evaluated: {0}")]
    Internal(String),
}
