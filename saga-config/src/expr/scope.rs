//! Which names an expression may use where it stands.

use std::borrow::Cow;

use crate::names::VariableName;

use super::types::Type;

/// The names an expression may begin a path with, what is known of their types, and the helper functions it may call besides the
/// standard ones.
///
/// ```
/// use saga_config::expr::Names;
///
/// let names = Names::new(&["request", "claims"]).with_function("secret");
/// assert!(names.has_root("claims") && !names.has_root("response"));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    roots: Vec<Cow<'static, str>>,
    functions: Vec<Cow<'static, str>>,
    types: Vec<(Cow<'static, str>, Type)>,
}

impl Names {
    /// Names for the given roots and no helper functions.
    pub fn new(roots: &[&'static str]) -> Self {
        Self { roots: roots.iter().copied().map(Cow::Borrowed).collect(), ..Self::default() }
    }

    /// Adds a root.
    #[must_use]
    pub fn with_root(mut self, root: &'static str) -> Self {
        self.roots.push(Cow::Borrowed(root));
        self
    }

    /// Adds a root that the configuration names, as a `foreach` does.
    #[must_use]
    pub fn with_variable(mut self, name: &VariableName) -> Self {
        self.roots.push(Cow::Owned(name.to_string()));
        self
    }

    /// Says of what type a root is; otherwise it is [`Type::Dyn`].
    #[must_use]
    pub fn with_type(mut self, root: impl Into<Cow<'static, str>>, kind: Type) -> Self {
        self.types.push((root.into(), kind));
        self
    }

    /// Adds a helper function. [`Bindings`](super::Bindings) must bring it to every evaluation.
    #[must_use]
    pub fn with_function(mut self, name: &'static str) -> Self {
        self.functions.push(Cow::Borrowed(name));
        self
    }

    /// Whether a path may begin with `name`.
    pub fn has_root(&self, name: &str) -> bool {
        self.roots.iter().any(|root| root == name)
    }

    /// Whether `name` is a helper function here.
    pub fn has_function(&self, name: &str) -> bool {
        self.functions.iter().any(|function| function == name)
    }

    /// The roots, in the order they were added.
    pub fn roots(&self) -> impl Iterator<Item = &str> {
        self.roots.iter().map(AsRef::as_ref)
    }

    /// What is known of a root.
    pub(super) fn type_of(&self, root: &str) -> Type {
        let known = self.types.iter().rev().find(|(name, _)| name == root);
        known.map_or(Type::Dyn, |(_, kind)| kind.clone())
    }

    pub(super) fn functions(&self) -> impl Iterator<Item = &str> {
        self.functions.iter().map(AsRef::as_ref)
    }
}

/// "did you mean `x`?", or the list of what there is.
pub(super) fn suggest<'c>(name: &str, candidates: impl Iterator<Item = &'c str>) -> Option<String> {
    let candidates: Vec<&str> = candidates.filter(|name| !name.starts_with('@')).collect();
    let nearest = candidates.iter().map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate)).min()?;
    if nearest.0 <= name.len() / 3 {
        return Some(format!("did you mean `{}`?", nearest.1));
    }
    Some(format!("there is {}", candidates.join(", ")))
}
