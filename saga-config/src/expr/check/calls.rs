//! Functions and methods.

use cel::IdedExpr;
use cel::common::ast::{CallExpr, Expr};

use super::super::types::Type;
use super::super::vocabulary::{Form, Function, Kind, NAMESPACES, find};
use super::Checker;

impl Checker<'_> {
    pub(super) fn call(&mut self, expr: &IdedExpr, call: &CallExpr) -> Type {
        if let Some(kind) = self.operation(expr, call) {
            return kind;
        }
        let namespace = call.target.as_deref().and_then(|target| self.namespace(target));
        let (function, target) = match (namespace, &call.target) {
            (Some(namespace), _) => (find(&format!("{namespace}.{}", call.func_name), Form::Function), None),
            (None, None) => (find(&call.func_name, Form::Function), None),
            (None, Some(target)) => (find(&call.func_name, Form::Method), Some(target.as_ref())),
        };
        let args: Vec<(&IdedExpr, Type)> = target.into_iter().chain(&call.args).map(|arg| (arg, self.infer(arg))).collect();
        // Helpers, and what is refused elsewhere.
        let Some(function) =
            function.filter(|_| target.is_some() || namespace.is_some() || !self.names.has_function(&call.func_name))
        else {
            return Type::Dyn;
        };
        let mut fitting = function.overloads.iter().filter(|overload| {
            overload.takes.len() == args.len() && overload.takes.iter().zip(&args).all(|(kind, (_, given))| kind.may_be(given))
        });
        let Some(first) = fitting.next() else {
            self.unfit(expr, function, &args);
            return Type::Dyn;
        };
        let kinds: Vec<&Type> = args.iter().map(|(_, kind)| kind).collect();
        let gives = answer(function, first.gives, &kinds);
        if fitting.any(|other| other.gives != first.gives) { Type::Dyn } else { gives }
    }

    /// The namespace that a name stands for.
    fn namespace(&self, target: &IdedExpr) -> Option<&'static str> {
        let Expr::Ident(name) = &target.expr else { return None };
        let is_bound = self.names.has_root(name) || self.scope.iter().any(|(bound, _)| bound == name);
        NAMESPACES.into_iter().find(|namespace| *namespace == name.as_str() && !is_bound)
    }

    /// Reports a call that none of the overloads is for. A wrong number of arguments is refused elsewhere.
    fn unfit(&mut self, expr: &IdedExpr, function: &Function, args: &[(&IdedExpr, Type)]) {
        let of_length: Vec<_> = function.overloads.iter().filter(|overload| overload.takes.len() == args.len()).collect();
        // The first argument that does not fit, whatever the others are.
        let wrong =
            args.iter().enumerate().find(|(at, (_, given))| of_length.iter().all(|other| !other.takes[*at].may_be(given)));
        let Some((at, (arg, given))) = wrong else {
            if !of_length.is_empty() {
                self.clash(expr, format!("`{}` does not apply to these values together", function.name), None);
            }
            return;
        };
        let mut wanted: Vec<&str> = of_length.iter().map(|overload| overload.takes[at].a()).collect();
        wanted.dedup();
        let help = match given {
            Type::Optional(_) => Some("end it with `.orValue(…)`".to_owned()),
            _ if of_length.iter().all(|overload| overload.takes[at] == Kind::Optional) => {
                Some("a `?` makes it optional: `a.?b`".to_owned())
            }
            _ => Some(format!("it takes {}", wanted.join(" or "))),
        };
        let message = match (function.form, at) {
            (Form::Method, 0) => format!("this is {}, which has no method `{}`", given.a(), function.name),
            _ => format!("this is {}, which `{}` does not take", given.a(), function.name),
        };
        self.clash(arg, message, help);
    }
}

/// What a function gives for arguments of these types.
fn answer(function: &Function, gives: Kind, args: &[&Type]) -> Type {
    let inside = |kind: &Type| match kind {
        Type::Optional(of) => of.as_ref().clone(),
        _ => Type::Dyn,
    };
    match (function.name, args) {
        ("dyn" | "fromJson", _) => Type::Dyn,
        ("optional.of" | "optional.ofNonZeroValue", [of]) => Type::optional((*of).clone()),
        ("optional.none", _) => Type::optional(Type::Never),
        ("value", [of]) => inside(of),
        ("orValue", [of, other]) => inside(of).or_unknown((*other).clone()),
        // The interpreter takes a value as well, and gives it as it is.
        ("or", [one, other]) if matches!(other, Type::Optional(_)) => Type::optional(inside(one).or_unknown(inside(other))),
        ("math.abs", [of]) if of.is_number() => (*of).clone(),
        ("math.least" | "math.greatest", args) if args.iter().all(|arg| **arg == Type::Int) => Type::Int,
        // What has no sign may be among them.
        ("math.least" | "math.greatest" | "math.abs", _) => Type::Dyn,
        _ => gives.of(),
    }
}

impl Type {
    /// As [`or`](Self::or); where nothing is known of one, nothing is known.
    fn or_unknown(self, other: Self) -> Self {
        if self == Self::Dyn || other == Self::Dyn { Self::Dyn } else { self.or(other) }
    }
}

impl Kind {
    /// Whether a value of that type may be of this kind.
    fn may_be(self, given: &Type) -> bool {
        given.is_dyn()
            || match self {
                Self::Any => true,
                Self::Json => !matches!(given, Type::Bytes | Type::Optional(_) | Type::Type),
                Self::Bool => *given == Type::Bool,
                Self::Int => matches!(given, Type::Int | Type::Number),
                Self::Uint => *given == Type::Uint,
                Self::Double => matches!(given, Type::Double | Type::Number),
                Self::Number => given.is_number(),
                Self::String => *given == Type::String,
                Self::Bytes => *given == Type::Bytes,
                Self::List => matches!(given, Type::List(_)),
                Self::Strings => matches!(given, Type::List(items) if items.is_dyn() || **items == Type::String),
                Self::Map => given.is_map(),
                Self::Optional => matches!(given, Type::Optional(_)),
                Self::Type => *given == Type::Type,
            }
    }

    fn of(self) -> Type {
        match self {
            Self::Any | Self::Json => Type::Dyn,
            Self::Bool => Type::Bool,
            Self::Int => Type::Int,
            Self::Uint => Type::Uint,
            Self::Double => Type::Double,
            Self::Number => Type::Number,
            Self::String => Type::String,
            Self::Bytes => Type::Bytes,
            Self::List => Type::list(Type::Dyn),
            Self::Strings => Type::list(Type::String),
            Self::Map => Type::map(Type::Dyn),
            Self::Optional => Type::optional(Type::Dyn),
            Self::Type => Type::Type,
        }
    }

    /// The kind in words, with its article.
    fn a(self) -> &'static str {
        match self {
            Self::Any => "anything",
            Self::Json => "JSON",
            Self::Map => "a map",
            Self::Strings => "a list of strings",
            other => other.of().a(),
        }
    }
}
