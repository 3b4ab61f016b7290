//! What the names of an expression stand for during one evaluation.

use std::fmt;
use std::sync::{Arc, OnceLock};

use serde_json::Value;

/// A helper function: JSON arguments in, JSON or a message out. It has to give the same answer for the same
/// arguments, or a request would not render to the same bytes twice.
pub type Helper = Arc<dyn Fn(&[Value]) -> Result<Value, String> + Send + Sync>;

/// Root values and helper functions for one or more evaluations.
///
/// Nothing is converted when it is bound: an evaluation converts what the expression reads, and no more.
///
/// ```
/// use saga_config::expr::{Bindings, Expression, Names};
/// use serde_json::json;
///
/// let expression = Expression::compile("request.body.qty + 1", &Names::new(&["request"])).unwrap();
/// let request = json!({"body": {"qty": 2, "note": "a long one"}});
/// let bindings = Bindings::new().with("request", &request);
/// assert_eq!(expression.eval(&bindings).unwrap(), json!(3));
/// ```
#[derive(Default)]
pub struct Bindings<'a> {
    roots: Vec<(&'a str, Root<'a>)>,
    helpers: Vec<(&'a str, Helper)>,
}

enum Root<'a> {
    Ready(&'a Value),
    Lazy { made: OnceLock<Value>, make: Box<dyn Fn() -> Value + Send + Sync + 'a> },
}

impl<'a> Bindings<'a> {
    /// Binds nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Binds `root` to a value. A later binding of the same name wins, as an inner scope does.
    #[must_use]
    pub fn with(mut self, root: &'a str, value: &'a Value) -> Self {
        self.roots.push((root, Root::Ready(value)));
        self
    }

    /// Binds `root` to a value that is made the first time an expression reads it, at most once.
    #[must_use]
    pub fn with_lazy(mut self, root: &'a str, make: impl Fn() -> Value + Send + Sync + 'a) -> Self {
        let make = Box::new(make);
        self.roots.push((root, Root::Lazy { made: OnceLock::new(), make }));
        self
    }

    /// Brings a helper function that [`Names::with_function`](super::Names::with_function) announced.
    #[must_use]
    pub fn with_helper(mut self, name: &'a str, helper: Helper) -> Self {
        self.helpers.push((name, helper));
        self
    }

    pub(super) fn root(&self, name: &str) -> Option<&Value> {
        let (_, root) = self.roots.iter().rev().find(|(bound, _)| *bound == name)?;
        Some(match root {
            Root::Ready(value) => value,
            Root::Lazy { made, make } => made.get_or_init(make),
        })
    }

    pub(super) fn helper(&self, name: &str) -> Option<&Helper> {
        self.helpers.iter().rev().find_map(|(bound, helper)| (*bound == name).then_some(helper))
    }
}

impl fmt::Debug for Bindings<'_> {
    /// Names only: the values may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bindings")
            .field("roots", &self.roots.iter().map(|(name, _)| name).collect::<Vec<_>>())
            .field("helpers", &self.helpers.iter().map(|(name, _)| name).collect::<Vec<_>>())
            .finish()
    }
}
