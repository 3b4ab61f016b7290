//! What expressions may call. Everything else is refused at load.

use cel::common::ast::operators;

use super::builtins::JSON;

/// Methods, and how many arguments each takes.
pub(super) const METHODS: [(&str, usize); 8] =
    [("contains", 1), ("startsWith", 1), ("endsWith", 1), ("size", 0), ("hasValue", 0), ("value", 0), ("or", 1), ("orValue", 1)];
/// Functions, and how many arguments each takes.
pub(super) const FUNCTIONS: [(&str, usize); 10] = [
    ("size", 1),
    ("string", 1),
    ("int", 1),
    ("uint", 1),
    ("double", 1),
    ("bytes", 1),
    ("bool", 1),
    ("type", 1),
    ("dyn", 1),
    (JSON, 1),
];
/// Functions of the namespace `optional`.
pub(super) const OPTIONAL: [(&str, usize); 3] = [("of", 1), ("none", 0), ("ofNonZeroValue", 1)];
/// What the parser expands, given the right arguments.
pub(super) const MACROS: [&str; 9] = ["has", "all", "exists", "exists_one", "existsOne", "map", "filter", "optMap", "optFlatMap"];
/// Names that stand for types.
pub(super) const TYPES: [&str; 11] =
    ["bool", "int", "uint", "double", "string", "bytes", "list", "map", "null_type", "type", "optional_type"];
/// What operators are called in the tree.
pub(super) const OPERATORS: [&str; 21] = [
    operators::CONDITIONAL,
    operators::LOGICAL_AND,
    operators::LOGICAL_OR,
    operators::LOGICAL_NOT,
    operators::SUBSTRACT,
    operators::ADD,
    operators::MULTIPLY,
    operators::DIVIDE,
    operators::MODULO,
    operators::EQUALS,
    operators::NOT_EQUALS,
    operators::GREATER_EQUALS,
    operators::LESS_EQUALS,
    operators::GREATER,
    operators::LESS,
    operators::NEGATE,
    operators::INDEX,
    operators::OPT_INDEX,
    operators::OPT_SELECT,
    operators::NOT_STRICTLY_FALSE,
    operators::IN,
];
