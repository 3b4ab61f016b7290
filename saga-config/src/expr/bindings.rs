//! What the names of an expression stand for during one evaluation.

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, OnceLock};

use serde_json::Value;

use super::reference::{Reference, Segment};

/// A helper function: JSON arguments in, JSON or a message out. It has to give the same answer for the same
/// arguments, or a request would not render to the same bytes twice.
pub type Helper = Arc<dyn Fn(&[Value]) -> Result<Value, String> + Send + Sync>;

/// Names whose values stand somewhere else, where they can be pointed at one by one: nothing is put together that no expression reads.
///
/// ```
/// use std::borrow::Cow;
///
/// use saga_config::expr::{Bindings, Expression, Key, Names, Roots, Segment};
/// use serde_json::{Value, json};
///
/// struct Outputs {
///     ids: Vec<Value>,
/// }
///
/// impl Roots for Outputs {
///     fn root(&self, _name: &str) -> Option<&Value> {
///         None
///     }
///     fn at(&self, root: &str, path: &[Segment]) -> Option<(Cow<'_, Value>, usize)> {
///         let [Segment { key: Key::Index(step), .. }, ..] = path else { return None };
///         (root == "ids").then(|| self.ids.get(*step).map(|id| (Cow::Borrowed(id), 1))).flatten()
///     }
/// }
///
/// let outputs = Outputs { ids: vec![json!("a-7")] };
/// let expression = Expression::compile("ids[0]", &Names::new(&["ids"])).unwrap();
/// assert_eq!(expression.eval(&Bindings::over(&outputs)).unwrap(), json!("a-7"));
/// ```
pub trait Roots: Send + Sync {
    /// All that a name stands for; `None`: nothing does.
    fn root(&self, name: &str) -> Option<&Value>;

    /// What the first segments of a path below `root` lead to, and how many those are: at least one. `None`: ask
    /// [`root`](Self::root), which also knows what to say where nothing is there. Both must give the same.
    fn at(&self, root: &str, path: &[Segment]) -> Option<(Cow<'_, Value>, usize)>;
}

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
    over: Option<&'a dyn Roots>,
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

    /// Binds the names of `roots`. What is bound besides comes before them.
    pub fn over(roots: &'a dyn Roots) -> Self {
        Self { over: Some(roots), ..Self::default() }
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

    /// Where a path begins: a value, and how many of the path's segments lead to it.
    pub(super) fn begin(&self, reference: &Reference) -> Option<(Cow<'_, Value>, usize)> {
        if let Some(value) = self.own(&reference.root) {
            return Some((Cow::Borrowed(value), 0));
        }
        let over = self.over?;
        let found = if reference.segments.is_empty() { None } else { over.at(&reference.root, &reference.segments) };
        found.or_else(|| Some((Cow::Borrowed(over.root(&reference.root)?), 0)))
    }

    /// The same, where the value must outlast the question.
    pub(super) fn begin_borrowed(&self, reference: &Reference) -> Option<(&Value, usize)> {
        match self.begin(reference)? {
            (Cow::Borrowed(value), count) => Some((value, count)),
            (Cow::Owned(_), _) => Some((self.over?.root(&reference.root)?, 0)),
        }
    }

    fn own(&self, name: &str) -> Option<&Value> {
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
            .field("over", &self.over.is_some())
            .field("roots", &self.roots.iter().map(|(name, _)| name).collect::<Vec<_>>())
            .field("helpers", &self.helpers.iter().map(|(name, _)| name).collect::<Vec<_>>())
            .finish()
    }
}
