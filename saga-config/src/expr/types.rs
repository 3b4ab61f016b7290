//! What is known of a value before there is one.

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::Value;

/// The type of a value, as far as it is known where an expression is compiled.
///
/// ```
/// use saga_config::expr::{Expression, Names, Type, Use};
///
/// let names = Names::new(&["response"]).with_type("response", Type::response());
/// let failed = Expression::compile("response.status == '402'", &names).unwrap();
/// assert_eq!(failed.clashes()[0].message, "a whole number and a string are never equal");
/// let failed = Expression::compile("response.status", &names).unwrap();
/// assert_eq!(failed.gives(), &Type::Int);
/// assert_eq!(failed.clash_as(Use::Condition).unwrap().message, "this is a whole number, and has to be true or false");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Type {
    /// Anything: what a service answers, for instance. Nothing that is done with it clashes.
    Dyn,
    /// Nothing: an item of the empty list.
    Never,
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool,
    /// A whole number of 64 bits.
    Int,
    /// One without a sign.
    Uint,
    /// A number with a fraction.
    Double,
    /// A number of JSON: whole or not.
    Number,
    /// A string.
    String,
    /// Bytes.
    Bytes,
    /// A list, and what its items are.
    List(Arc<Type>),
    /// A map, and what its values are.
    Map(Arc<Type>),
    /// A map whose fields are known.
    Record(Arc<Record>),
    /// A value that may be absent.
    Optional(Arc<Type>),
    /// A type.
    Type,
}

/// The fields of a map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    fields: Vec<(Cow<'static, str>, Type)>,
    /// Whether there may be others.
    open: bool,
}

impl Type {
    /// A list of `items`.
    pub fn list(items: Self) -> Self {
        Self::List(Arc::new(items))
    }

    /// A map of `values`.
    pub fn map(values: Self) -> Self {
        Self::Map(Arc::new(values))
    }

    /// A map with these fields and no others.
    pub fn record<N: Into<Cow<'static, str>>>(fields: impl IntoIterator<Item = (N, Self)>) -> Self {
        Self::with_fields(fields, false)
    }

    /// A map with these fields, and perhaps others, of which nothing is known.
    pub fn open_record<N: Into<Cow<'static, str>>>(fields: impl IntoIterator<Item = (N, Self)>) -> Self {
        Self::with_fields(fields, true)
    }

    fn with_fields<N: Into<Cow<'static, str>>>(fields: impl IntoIterator<Item = (N, Self)>, open: bool) -> Self {
        let fields = fields.into_iter().map(|(name, kind)| (name.into(), kind)).collect();
        Self::Record(Arc::new(Record { fields, open }))
    }

    /// A value of this type that may be absent.
    pub fn optional(of: Self) -> Self {
        Self::Optional(Arc::new(of))
    }

    /// `request`: what came in.
    pub fn request() -> Self {
        Self::record([
            ("method", Self::String),
            ("path", Self::String),
            ("query", Self::map(Self::String)),
            ("headers", Self::map(Self::String)),
            ("body", Self::Dyn),
        ])
    }

    /// `response`: what a service answered.
    pub fn response() -> Self {
        Self::record([("status", Self::Int), ("headers", Self::map(Self::String)), ("body", Self::Dyn)])
    }

    /// The type of a value of JSON, but for what it is made of.
    pub fn of_json(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(_) => Self::Bool,
            Value::Number(number) if number.is_i64() => Self::Int,
            Value::Number(_) => Self::Number,
            Value::String(_) => Self::String,
            Value::Array(_) => Self::list(Self::Dyn),
            Value::Object(_) => Self::map(Self::Dyn),
        }
    }

    /// What is left of the type once a value of it was written as JSON and read back. What is nested deeper than a few levels is
    /// forgotten, so that types which are made of types stay small.
    #[must_use]
    pub fn through_json(&self) -> Self {
        self.through_json_within(2)
    }

    fn through_json_within(&self, levels: usize) -> Self {
        let Some(below) = levels.checked_sub(1) else { return self.shallow() };
        match self {
            Self::List(items) => Self::list(items.through_json_within(below)),
            Self::Map(values) => Self::map(values.through_json_within(below)),
            Self::Record(record) => {
                let fields = record.fields.iter().map(|(name, kind)| (name.clone(), kind.through_json_within(below)));
                Self::with_fields(fields, record.open)
            }
            _ => self.shallow(),
        }
    }

    /// The type without what it is made of.
    fn shallow(&self) -> Self {
        match self {
            Self::Uint | Self::Int => Self::Int,
            Self::Double | Self::Number => Self::Number,
            Self::List(_) => Self::list(Self::Dyn),
            Self::Map(_) | Self::Record(_) => Self::map(Self::Dyn),
            Self::Null => Self::Null,
            Self::Bool => Self::Bool,
            Self::String => Self::String,
            // No JSON is any of these.
            Self::Bytes | Self::Optional(_) | Self::Type | Self::Dyn | Self::Never => Self::Dyn,
        }
    }

    /// What either of two values is.
    pub(crate) fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Never, kind) | (kind, Self::Never) => kind,
            (one, other) if one == other => one,
            (Self::List(one), Self::List(other)) => Self::list(one.as_ref().clone().or(other.as_ref().clone())),
            (Self::Optional(one), Self::Optional(other)) => Self::optional(one.as_ref().clone().or(other.as_ref().clone())),
            (one, other) if one.is_json_number() && other.is_json_number() => Self::Number,
            (one, other) if one.is_map() && other.is_map() => Self::map(one.value().or(other.value())),
            _ => Self::Dyn,
        }
    }

    /// Whether nothing is known of it.
    pub(super) fn is_dyn(&self) -> bool {
        matches!(self, Self::Dyn | Self::Never)
    }

    pub(super) fn is_map(&self) -> bool {
        matches!(self, Self::Map(_) | Self::Record(_))
    }

    pub(super) fn is_number(&self) -> bool {
        *self == Self::Uint || self.is_json_number()
    }

    fn is_json_number(&self) -> bool {
        matches!(self, Self::Int | Self::Double | Self::Number)
    }

    pub(super) fn may_be_bool(&self) -> bool {
        self.is_dyn() || *self == Self::Bool
    }

    /// Of a map, what any of its values is.
    pub(super) fn value(&self) -> Self {
        match self {
            Self::Map(values) => values.as_ref().clone(),
            Self::Record(record) if !record.open => {
                record.fields.iter().map(|(_, kind)| kind.clone()).fold(Self::Never, Self::or)
            }
            _ => Self::Dyn,
        }
    }

    /// Whether no value is of both types. `null` is compared with anything: to be on the safe side is no mistake.
    pub(crate) fn excludes(&self, other: &Self) -> bool {
        let known = |kind: &Self| !kind.is_dyn() && *kind != Self::Null;
        let is_optional = |kind: &Self| matches!(kind, Self::Optional(_));
        if is_optional(self) != is_optional(other) {
            // Not even to `null` is an optional equal.
            return !self.is_dyn() && !other.is_dyn();
        }
        known(self) && known(other) && self.family() != other.family()
    }

    /// What can be equal.
    fn family(&self) -> u8 {
        match self {
            Self::Dyn | Self::Never => 0,
            Self::Null => 1,
            Self::Bool => 2,
            Self::Int | Self::Uint | Self::Double | Self::Number => 3,
            Self::String => 4,
            Self::Bytes => 5,
            Self::List(_) => 6,
            Self::Map(_) | Self::Record(_) => 7,
            Self::Optional(_) => 8,
            Self::Type => 9,
        }
    }

    /// The type in words, with its article.
    pub(crate) fn a(&self) -> &'static str {
        match self {
            Self::Dyn | Self::Never => "a value",
            Self::Null => "null",
            Self::Bool => "true or false",
            Self::Int => "a whole number",
            Self::Uint => "a whole number without a sign",
            Self::Double => "a number with a fraction",
            Self::Number => "a number",
            Self::String => "a string",
            Self::Bytes => "bytes",
            Self::List(_) => "a list",
            Self::Map(_) | Self::Record(_) => "a map",
            Self::Optional(_) => "a value that may be absent",
            Self::Type => "a type",
        }
    }
}

impl Record {
    /// What the field is; `None`: nothing is known of it.
    pub(super) fn field(&self, name: &str) -> Option<&Type> {
        self.fields.iter().find_map(|(known, kind)| (known == name).then_some(kind))
    }

    /// Whether there is no field of that name.
    pub(super) fn lacks(&self, name: &str) -> bool {
        !self.open && self.field(name).is_none()
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(|(name, _)| name.as_ref())
    }
}
