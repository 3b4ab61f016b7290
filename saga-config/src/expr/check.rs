//! What clashes: operations on values that they never apply to.
//!
//! The checker knows what the place where an expression stands says of its names ([`Names::with_type`]), and what follows from
//! literals, operations and functions. Of all else it knows nothing and says nothing: what can be evaluated is never refused, but for
//! comparisons that always have the same answer, and parts that would fail if they were ever reached.

mod calls;
mod operations;

use std::ops::Range;

use cel::IdedExpr;
use cel::common::ast::{ComprehensionExpr, EntryExpr, Expr, ListExpr, LiteralValue, MapExpr, SelectExpr, SourceInfo};

use super::place::Places;
use super::scope::Names;
use super::types::Type;
use super::vocabulary::TYPES;
use crate::diagnostic::did_you_mean;

/// Something that an expression does with a value it cannot be done with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clash {
    /// The part of the expression's source, in bytes.
    pub span: Range<usize>,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub help: Option<String>,
}

/// What an expression's value is wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// Any JSON.
    Value,
    /// A decision.
    Condition,
    /// A part of a text.
    Text,
    /// What a loop goes over.
    List,
    /// The status of an answer.
    Status,
}

/// What is wrong with wanting a value of this type, and what would be right.
pub(super) fn clash_of_use(kind: &Type, wanted: Use) -> Option<(String, Option<String>)> {
    let help = |text: &str| Some(text.to_owned());
    match kind {
        Type::Dyn | Type::Never => return None,
        Type::Optional(_) => {
            return Some(("this may be absent, and has to be a value".to_owned(), help("end it with `.orValue(…)`")));
        }
        Type::Bytes => {
            return Some((
                "these are bytes, which is not JSON".to_owned(),
                help("write base64url(…), or string(…) if they are text"),
            ));
        }
        Type::Type => return Some(("this is a type, which is not JSON".to_owned(), help("compare it: type(…) == string"))),
        _ => {}
    }
    let fits = match wanted {
        Use::Value => true,
        Use::Condition => *kind == Type::Bool,
        Use::Text => kind.is_number() || matches!(kind, Type::String | Type::Bool),
        Use::List => matches!(kind, Type::List(_)),
        Use::Status => kind.is_number() || *kind == Type::String,
    };
    if fits {
        return None;
    }
    let message = match wanted {
        Use::Value => return None,
        Use::Condition => not_a_condition(kind),
        Use::Text => format!("this is {}; only strings, numbers and booleans can stand inside of text", kind.a()),
        Use::List => format!("this is {}, and has to be a list", kind.a()),
        Use::Status => format!("this is {}, and has to be a status such as 201", kind.a()),
    };
    let help = match (wanted, kind) {
        (Use::Condition, _) => help_for_condition(kind),
        (Use::Text, Type::Null) => None,
        (Use::Text, _) => help("write json(…) for its JSON"),
        _ => None,
    };
    Some((message, help))
}

fn not_a_condition(kind: &Type) -> String {
    format!("this is {}, and has to be true or false", kind.a())
}

fn help_for_condition(kind: &Type) -> Option<String> {
    Some(match kind {
        Type::List(_) | Type::Map(_) | Type::Record(_) => "compare its size: `size(…) > 0`".to_owned(),
        Type::Optional(_) => "ask whether it is there, `.hasValue()`, or end it with `.orValue(false)`".to_owned(),
        Type::String => "compare it: `… == 'yes'`".to_owned(),
        _ => "compare it with something".to_owned(),
    })
}

/// Finds the clashes of a tree as the parser gives it, and the type of its value.
pub(super) fn check(tree: &IdedExpr, source: &str, names: &Names, info: &SourceInfo) -> (Type, Vec<Clash>) {
    let mut checker = Checker { source, names, info, scope: Vec::new(), places: None, clashes: Vec::new() };
    let kind = checker.infer(tree);
    let mut clashes = checker.clashes;
    clashes.sort_by_key(|clash| (clash.span.start, clash.span.end));
    clashes.dedup();
    (kind, clashes)
}

/// Walks over a tree.
struct Checker<'s> {
    source: &'s str,
    names: &'s Names,
    info: &'s SourceInfo,
    /// Names that loops bind around the current node.
    scope: Vec<(String, Type)>,
    /// Made for the first clash: most expressions have none.
    places: Option<Places<'s>>,
    clashes: Vec<Clash>,
}

impl<'s> Checker<'s> {
    /// The type of `expr`. The tree's depth is bounded by the caller.
    fn infer(&mut self, expr: &IdedExpr) -> Type {
        match &expr.expr {
            Expr::Literal(literal) => of_literal(literal),
            Expr::Ident(name) => self.of_name(name),
            Expr::Select(select) => self.select(expr, select),
            Expr::List(list) => self.list(list),
            Expr::Map(map) => self.map(map),
            Expr::Comprehension(comprehension) => self.comprehension(comprehension),
            Expr::Call(call) => self.call(expr, call),
            // Refused elsewhere.
            Expr::Struct(_) | Expr::Unspecified => Type::Dyn,
        }
    }

    fn of_name(&self, name: &str) -> Type {
        if let Some((_, kind)) = self.scope.iter().rev().find(|(bound, _)| bound == name) {
            return kind.clone();
        }
        match self.names.has_root(name) {
            true => self.names.type_of(name),
            false if TYPES.contains(&name) => Type::Type,
            false => Type::Dyn,
        }
    }

    fn select(&mut self, expr: &IdedExpr, select: &SelectExpr) -> Type {
        let of = self.infer(&select.operand);
        let result = match &of {
            Type::Optional(of) => {
                let inner = self.field(of, &select.field).unwrap_or(Type::Dyn);
                Type::optional(inner)
            }
            kind if kind.is_dyn() => Type::Dyn,
            Type::Record(record) if !select.test && record.lacks(&select.field) => {
                let help = match did_you_mean(&select.field, record.names()) {
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None => format!("there are {}", record.names().collect::<Vec<_>>().join(", ")),
                };
                let help = record.names().next().map(|_| help);
                self.clash(expr, format!("there is no field `{}`", select.field), help);
                Type::Dyn
            }
            kind if kind.is_map() => self.field(kind, &select.field).unwrap_or(Type::Dyn),
            kind => {
                let help = matches!(kind, Type::List(_)).then(|| format!("write [0].{0}, or .map(item, item.{0})", select.field));
                self.clash(&select.operand, format!("this is {}; it has no field `{}`", kind.a(), select.field), help);
                Type::Dyn
            }
        };
        if select.test { Type::Bool } else { result }
    }

    /// What a field of a map is; `None`: nothing is known of it.
    fn field(&self, of: &Type, name: &str) -> Option<Type> {
        match of {
            Type::Record(record) => record.field(name).cloned(),
            Type::Map(values) => Some(values.as_ref().clone()),
            _ => None,
        }
    }

    fn list(&mut self, list: &ListExpr) -> Type {
        let mut items = Type::Never;
        for (index, element) in list.elements.iter().enumerate() {
            let kind = self.infer(element);
            let kind = match kind {
                Type::Optional(of) if list.optional_indices.contains(&index) => of.as_ref().clone(),
                kind => kind,
            };
            items = items.or(kind);
        }
        Type::list(items)
    }

    fn map(&mut self, map: &MapExpr) -> Type {
        let mut fields: Vec<(String, Type)> = Vec::new();
        let (mut is_known, mut values) = (true, Type::Never);
        for entry in &map.entries {
            let EntryExpr::MapEntry(entry) = &entry.expr else { return Type::Dyn };
            let key = self.infer(&entry.key);
            let is_key = key.is_dyn() || matches!(key, Type::Bool | Type::Int | Type::Uint | Type::Number | Type::String);
            if !is_key {
                self.clash(&entry.key, format!("this is {}, and a key has to be a string", key.a()), None);
            }
            let value = match self.infer(&entry.value) {
                Type::Optional(of) if entry.optional => of.as_ref().clone(),
                value => value,
            };
            values = values.or(value.clone());
            match &entry.key.expr {
                Expr::Literal(LiteralValue::String(name)) if !entry.optional => fields.push((name.inner().to_owned(), value)),
                _ => is_known = false,
            }
        }
        if is_known { Type::record(fields) } else { Type::map(values) }
    }

    fn comprehension(&mut self, comprehension: &ComprehensionExpr) -> Type {
        let ComprehensionExpr { iter_range, iter_var, iter_var2, accu_var, accu_init, loop_step, result, .. } = comprehension;
        let start = self.infer(accu_init);
        let range = self.infer(iter_range);
        let item = match &range {
            Type::List(items) => items.as_ref().clone(),
            kind if kind.is_dyn() || kind.is_map() => Type::Dyn,
            kind => {
                let help = match kind {
                    Type::Optional(_) => Some("end it with `.orValue([])`".to_owned()),
                    Type::String => Some("`.split('')` gives its characters".to_owned()),
                    _ => None,
                };
                self.clash(iter_range, format!("this is {}, and only lists and maps have items to go over", kind.a()), help);
                Type::Dyn
            }
        };
        let outer = self.scope.len();
        self.scope.push((accu_var.clone(), start.clone()));
        self.scope.push((iter_var.clone(), item.clone()));
        self.scope.extend(iter_var2.clone().map(|name| (name, Type::Dyn)));
        // `optMap` binds its name with a comprehension over no items: what it would do with them is of no interest.
        let is_loop = iter_var != "#unused";
        let end = if is_loop { start.or(self.infer(loop_step)) } else { start };
        self.scope.truncate(outer);
        self.scope.push((accu_var.clone(), end));
        let kind = self.infer(result);
        self.scope.truncate(outer);
        kind
    }

    /// Reports a part that has to be true or false and never is.
    fn condition(&mut self, expr: &IdedExpr) {
        let kind = self.infer(expr);
        if !kind.may_be_bool() {
            self.clash(expr, not_a_condition(&kind), help_for_condition(&kind));
        }
    }

    fn clash(&mut self, expr: &IdedExpr, message: impl Into<String>, help: Option<String>) {
        let span = self.places().of(expr);
        self.clashes.push(Clash { span, message: message.into(), help });
    }

    fn places(&mut self) -> &Places<'s> {
        let (source, info) = (self.source, self.info);
        self.places.get_or_insert_with(|| Places::new(source, info))
    }
}

fn of_literal(literal: &LiteralValue) -> Type {
    match literal {
        LiteralValue::Boolean(_) => Type::Bool,
        LiteralValue::Bytes(_) => Type::Bytes,
        LiteralValue::Double(_) => Type::Double,
        LiteralValue::Int(_) => Type::Int,
        LiteralValue::Null => Type::Null,
        LiteralValue::String(_) => Type::String,
        LiteralValue::UInt(_) => Type::Uint,
    }
}
