//! Operators.

use cel::IdedExpr;
use cel::common::ast::{CallExpr, Expr, LiteralValue, operators};

use super::super::types::Type;
use super::Checker;

impl Checker<'_> {
    /// The type of an operation; `None`: it is none.
    pub(super) fn operation(&mut self, expr: &IdedExpr, call: &CallExpr) -> Option<Type> {
        let kind = match (call.func_name.as_str(), call.args.as_slice()) {
            (operators::CONDITIONAL, [condition, yes, no]) => {
                self.condition(condition);
                let yes = self.infer(yes);
                yes.or(self.infer(no))
            }
            (operators::LOGICAL_AND | operators::LOGICAL_OR, [left, right]) => {
                self.condition(left);
                self.condition(right);
                Type::Bool
            }
            (operators::LOGICAL_NOT, [operand]) => {
                self.condition(operand);
                Type::Bool
            }
            (operators::NOT_STRICTLY_FALSE, [operand]) => {
                self.infer(operand);
                Type::Bool
            }
            (operators::NEGATE, [operand]) => self.negate(expr, operand),
            (operators::EQUALS | operators::NOT_EQUALS, [left, right]) => self.equals(expr, left, right),
            (operators::IN, [item, collection]) => self.within(expr, item, collection),
            (operators::INDEX, [of, index]) => self.index(of, index),
            (operators::OPT_INDEX | operators::OPT_SELECT, [of, index]) => {
                let of = self.infer(of);
                let index_kind = self.infer(index);
                let of = if let Type::Optional(of) = &of { of.as_ref().clone() } else { of };
                Type::optional(self.item(&of, index, &index_kind).unwrap_or(Type::Dyn))
            }
            (
                operators::ADD | operators::SUBSTRACT | operators::MULTIPLY | operators::DIVIDE | operators::MODULO,
                [left, right],
            ) => self.arithmetic(expr, &call.func_name, left, right),
            (operators::LESS | operators::LESS_EQUALS | operators::GREATER | operators::GREATER_EQUALS, [left, right]) => {
                self.compare(expr, &call.func_name, left, right)
            }
            _ => return None,
        };
        Some(kind)
    }

    fn negate(&mut self, expr: &IdedExpr, operand: &IdedExpr) -> Type {
        let kind = self.infer(operand);
        if kind.is_dyn() || matches!(kind, Type::Int | Type::Double | Type::Number) {
            return kind;
        }
        self.clash(expr, format!("`-` does not apply to {}", kind.a()), None);
        Type::Dyn
    }

    fn equals(&mut self, expr: &IdedExpr, left: &IdedExpr, right: &IdedExpr) -> Type {
        let (left_kind, right_kind) = (self.infer(left), self.infer(right));
        if left_kind.excludes(&right_kind) {
            let message = format!("{} and {} are never equal", left_kind.a(), right_kind.a());
            let help = to_compare((left, &left_kind), (right, &right_kind), false);
            self.clash(expr, message, help);
        }
        Type::Bool
    }

    fn within(&mut self, expr: &IdedExpr, item: &IdedExpr, collection: &IdedExpr) -> Type {
        let (item_kind, collection_kind) = (self.infer(item), self.infer(collection));
        match &collection_kind {
            Type::List(items) if item_kind.excludes(items) => {
                let message = format!("{} is never in a list of which each item is {}", item_kind.a(), items.a());
                let help = matches!(item_kind, Type::Optional(_)).then(|| "end it with `.orValue(…)`".to_owned());
                self.clash(expr, message, help);
            }
            kind if kind.is_map() => {
                let is_key = item_kind.is_dyn() || item_kind.is_number() || matches!(item_kind, Type::String | Type::Bool);
                if !is_key {
                    self.clash(item, format!("this is {}, and no map has such a key", item_kind.a()), None);
                }
            }
            kind if kind.is_dyn() || matches!(kind, Type::List(_)) => {}
            kind => {
                let help = match kind {
                    Type::String => Some("write text.contains(part)".to_owned()),
                    Type::Optional(_) => Some("end it with `.orValue([])`".to_owned()),
                    _ => None,
                };
                self.clash(collection, format!("this is {}; `in` looks into lists and maps", kind.a()), help);
            }
        }
        Type::Bool
    }

    fn index(&mut self, of: &IdedExpr, index: &IdedExpr) -> Type {
        let (of_kind, index_kind) = (self.infer(of), self.infer(index));
        match &of_kind {
            Type::Optional(inner) => Type::optional(self.item(inner, index, &index_kind).unwrap_or(Type::Dyn)),
            kind if kind.is_dyn() => Type::Dyn,
            Type::List(items) => {
                if !(index_kind.is_dyn() || index_kind.is_number()) {
                    self.clash(index, format!("this is {}, and the items of a list have numbers", index_kind.a()), None);
                }
                items.as_ref().clone()
            }
            kind if kind.is_map() => {
                let is_key = index_kind.is_dyn() || index_kind.is_number() || matches!(index_kind, Type::String | Type::Bool);
                if !is_key {
                    self.clash(index, format!("this is {}, and no map has such a key", index_kind.a()), None);
                }
                if let (Type::Record(record), Some(name)) = (kind, literal_text(index))
                    && record.lacks(name)
                {
                    self.clash(index, format!("there is no field `{name}`"), None);
                }
                self.item(kind, index, &index_kind).unwrap_or(Type::Dyn)
            }
            kind => {
                let help = matches!(kind, Type::String).then(|| "write text.charAt(0), or text.substring(0, 2)".to_owned());
                self.clash(of, format!("this is {}, and only lists and maps have items", kind.a()), help);
                Type::Dyn
            }
        }
    }

    /// What an item is; `None`: nothing is known of it.
    fn item(&self, of: &Type, index: &IdedExpr, index_kind: &Type) -> Option<Type> {
        match (of, literal_text(index)) {
            (Type::List(items), _) if index_kind.is_dyn() || index_kind.is_number() => Some(items.as_ref().clone()),
            (kind, Some(name)) if kind.is_map() => self.field(kind, name),
            (kind, None) if kind.is_map() => Some(kind.value()),
            _ => None,
        }
    }

    fn arithmetic(&mut self, expr: &IdedExpr, operator: &str, left: &IdedExpr, right: &IdedExpr) -> Type {
        let kinds = (self.infer(left), self.infer(right));
        let fits = match operator {
            operators::ADD => match &kinds {
                (Type::String, Type::String) => Some(Type::String),
                (Type::Bytes, Type::Bytes) => Some(Type::Bytes),
                (Type::List(one), Type::List(other)) => Some(Type::list(one.as_ref().clone().or(other.as_ref().clone()))),
                (known, unknown) | (unknown, known) if unknown.is_dyn() => {
                    let may_be_added =
                        known.is_dyn() || known.is_number() || matches!(known, Type::String | Type::Bytes | Type::List(_));
                    may_be_added.then(|| if known.is_number() { Type::Dyn } else { known.clone() })
                }
                (one, other) => sum(one, other),
            },
            operators::MODULO => match &kinds {
                (Type::Double, _) | (_, Type::Double) => None,
                (one, other) => sum(one, other),
            },
            _ => sum(&kinds.0, &kinds.1),
        };
        fits.unwrap_or_else(|| {
            let symbol = symbol(operator);
            let message = format!("`{symbol}` does not apply to {} and {}", kinds.0.a(), kinds.1.a());
            let help = match (&kinds.0, &kinds.1) {
                (Type::Optional(_), _) | (_, Type::Optional(_)) => Some("end it with `.orValue(…)`"),
                (Type::String, other) | (other, Type::String) if operator == operators::ADD && other.is_number() => {
                    Some("write string(…) around the number")
                }
                (Type::String, other) | (other, Type::String) if other.is_number() => Some("write int(…) around the string"),
                (Type::Uint, other) | (other, Type::Uint) if other.is_number() => Some("write int(…) around what has no sign"),
                _ => None,
            };
            self.clash(expr, message, help.map(str::to_owned));
            Type::Dyn
        })
    }

    fn compare(&mut self, expr: &IdedExpr, operator: &str, left: &IdedExpr, right: &IdedExpr) -> Type {
        let (left_kind, right_kind) = (self.infer(left), self.infer(right));
        let has_order =
            |kind: &Type| kind.is_dyn() || kind.is_number() || matches!(kind, Type::String | Type::Bool | Type::Bytes);
        if !has_order(&left_kind) || !has_order(&right_kind) || left_kind.excludes(&right_kind) {
            let symbol = symbol(operator);
            let message = format!("`{symbol}` does not apply to {} and {}", left_kind.a(), right_kind.a());
            let help = to_compare((left, &left_kind), (right, &right_kind), true);
            self.clash(expr, message, help);
        }
        Type::Bool
    }
}

/// An operator as it is written.
fn symbol(operator: &str) -> &str {
    operator.trim_matches('_')
}

/// The type of a sum of numbers, of a difference, and so on; `None`: there is none.
fn sum(one: &Type, other: &Type) -> Option<Type> {
    let fits = |kind: &Type| kind.is_dyn() || kind.is_number();
    match (one, other) {
        (one, other) if !fits(one) || !fits(other) => None,
        (Type::Uint, Type::Uint) => Some(Type::Uint),
        (Type::Uint, known) | (known, Type::Uint) if known.is_number() => None,
        (Type::Uint, _) | (_, Type::Uint) => Some(Type::Uint),
        (Type::Int, Type::Int) => Some(Type::Int),
        (Type::Double, known) | (known, Type::Double) if known.is_number() => Some(Type::Double),
        (one, other) if one.is_dyn() || other.is_dyn() => Some(Type::Dyn),
        _ => Some(Type::Number),
    }
}

/// What makes two values comparable: equal or not, or `by_order`.
fn to_compare((left, left_kind): (&IdedExpr, &Type), (right, right_kind): (&IdedExpr, &Type), by_order: bool) -> Option<String> {
    if matches!(left_kind, Type::Optional(_)) || matches!(right_kind, Type::Optional(_)) {
        return Some("end it with `.orValue(…)`, or ask with `.hasValue()`".to_owned());
    }
    let (text, number) = match (left_kind, right_kind) {
        (Type::String, other) if other.is_number() => (left, right),
        (other, Type::String) if other.is_number() => (right, left),
        _ => return None,
    };
    let is_literal = |expr: &IdedExpr| matches!(expr.expr, Expr::Literal(_));
    match literal_text(text) {
        Some(digits) if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some(format!("write {digits}, without quotes"))
        }
        _ if by_order => Some("write int(…) around the string".to_owned()),
        None if is_literal(number) => Some("write the number in quotes".to_owned()),
        _ => Some("write string(…) around the number".to_owned()),
    }
}

fn literal_text(expr: &IdedExpr) -> Option<&str> {
    match &expr.expr {
        Expr::Literal(LiteralValue::String(text)) => Some(text.inner()),
        _ => None,
    }
}
