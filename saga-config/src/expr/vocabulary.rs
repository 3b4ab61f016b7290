//! What expressions may call, with which types. Everything else is refused at load.

use cel::common::ast::operators;

use super::functions::{self, Run};

/// A function or method.
#[derive(Debug)]
pub(super) struct Function {
    /// Its name; of one in a namespace with that: `math.least`.
    pub(super) name: &'static str,
    /// How it is called.
    pub(super) form: Form,
    /// What it takes and gives.
    pub(super) overloads: &'static [Overload],
    /// What carries it out; `None`: the interpreter itself.
    pub(super) run: Option<Run>,
}

/// How something is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// `size(x)`
    Function,
    /// `x.size()`
    Method,
}

/// One way to call a function.
#[derive(Debug)]
pub(super) struct Overload {
    /// The arguments; of a method what it is called on is the first.
    pub(super) takes: &'static [Kind],
    pub(super) gives: Kind,
}

/// What an argument has to be, or an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Any,
    /// What can be written as JSON.
    Json,
    Bool,
    Int,
    Uint,
    Double,
    Number,
    String,
    Bytes,
    List,
    /// A list of strings.
    Strings,
    Map,
    Optional,
    Type,
}

const fn function(name: &'static str, overloads: &'static [Overload]) -> Function {
    Function { name, form: Form::Function, overloads, run: None }
}

const fn method(name: &'static str, overloads: &'static [Overload]) -> Function {
    Function { name, form: Form::Method, overloads, run: None }
}

const fn own(function: Function, run: Run) -> Function {
    Function { run: Some(run), ..function }
}

macro_rules! overloads {
    ($(($($takes:ident),*) -> $gives:ident),+) => {
        &[$(Overload { takes: &[$(Kind::$takes),*], gives: Kind::$gives }),+]
    };
}

/// Functions and methods.
pub(super) static FUNCTIONS: [Function; 41] = [
    function("size", overloads![(String) -> Int, (Bytes) -> Int, (List) -> Int, (Map) -> Int]),
    method("size", overloads![(String) -> Int, (Bytes) -> Int, (List) -> Int, (Map) -> Int]),
    function(
        "string",
        overloads![(String) -> String, (Bool) -> String, (Int) -> String, (Uint) -> String, (Double) -> String, (Bytes) -> String],
    ),
    function("int", overloads![(Int) -> Int, (Uint) -> Int, (Double) -> Int, (String) -> Int]),
    function("uint", overloads![(Uint) -> Uint, (Int) -> Uint, (Double) -> Uint, (String) -> Uint]),
    function("double", overloads![(Double) -> Double, (Int) -> Double, (Uint) -> Double, (String) -> Double]),
    function("bytes", overloads![(String) -> Bytes, (Bytes) -> Bytes]),
    function("bool", overloads![(Bool) -> Bool, (String) -> Bool]),
    function("type", overloads![(Any) -> Type]),
    function("dyn", overloads![(Any) -> Any]),
    // Texts.
    method("contains", overloads![(String, String) -> Bool]),
    method("startsWith", overloads![(String, String) -> Bool]),
    method("endsWith", overloads![(String, String) -> Bool]),
    method("matches", overloads![(String, String) -> Bool]),
    function("matches", overloads![(String, String) -> Bool]),
    own(method("lowerAscii", overloads![(String) -> String]), functions::text::lower_ascii),
    own(method("upperAscii", overloads![(String) -> String]), functions::text::upper_ascii),
    own(method("trim", overloads![(String) -> String]), functions::text::trim),
    own(method("split", overloads![(String, String) -> Strings, (String, String, Int) -> Strings]), functions::text::split),
    own(method("join", overloads![(Strings) -> String, (Strings, String) -> String]), functions::text::join),
    own(
        method("replace", overloads![(String, String, String) -> String, (String, String, String, Int) -> String]),
        functions::text::replace,
    ),
    own(method("substring", overloads![(String, Int) -> String, (String, Int, Int) -> String]), functions::text::substring),
    own(method("charAt", overloads![(String, Int) -> String]), functions::text::char_at),
    own(method("indexOf", overloads![(String, String) -> Int, (String, String, Int) -> Int]), functions::text::index_of),
    own(method("lastIndexOf", overloads![(String, String) -> Int, (String, String, Int) -> Int]), functions::text::last_index_of),
    // Encodings.
    own(function("json", overloads![(Json) -> String]), functions::encoding::json),
    own(function("fromJson", overloads![(String) -> Any]), functions::encoding::from_json),
    own(function("base64url", overloads![(String) -> String, (Bytes) -> String]), functions::encoding::base64url),
    own(function("fromBase64url", overloads![(String) -> String]), functions::encoding::from_base64url),
    own(function("sha256", overloads![(String) -> String, (Bytes) -> String]), functions::encoding::sha256),
    // Numbers.
    own(
        function(
            "math.least",
            overloads![(List) -> Number, (Number) -> Number, (Number, Number) -> Number, (Number, Number, Number) -> Number, (Number, Number, Number, Number) -> Number],
        ),
        functions::number::least,
    ),
    own(
        function(
            "math.greatest",
            overloads![(List) -> Number, (Number) -> Number, (Number, Number) -> Number, (Number, Number, Number) -> Number, (Number, Number, Number, Number) -> Number],
        ),
        functions::number::greatest,
    ),
    own(function("math.abs", overloads![(Number) -> Number]), functions::number::abs),
    own(function("math.round", overloads![(Number) -> Int]), functions::number::round),
    // Values that may be absent.
    function("optional.of", overloads![(Any) -> Optional]),
    function("optional.none", overloads![() -> Optional]),
    function("optional.ofNonZeroValue", overloads![(Any) -> Optional]),
    method("hasValue", overloads![(Optional) -> Bool]),
    method("value", overloads![(Optional) -> Any]),
    method("or", overloads![(Optional, Any) -> Any]),
    method("orValue", overloads![(Optional, Any) -> Any]),
];

/// Namespaces of functions.
pub(super) const NAMESPACES: [&str; 2] = ["math", "optional"];
/// What the parser expands, given the right arguments, and how each is written.
pub(super) const MACROS: [(&str, &str); 9] = [
    ("has", "has(a.b)"),
    ("all", "list.all(item, condition)"),
    ("exists", "list.exists(item, condition)"),
    ("exists_one", "list.exists_one(item, condition)"),
    ("existsOne", "list.existsOne(item, condition)"),
    ("map", "list.map(item, value)"),
    ("filter", "list.filter(item, condition)"),
    ("optMap", "optional.optMap(value, result)"),
    ("optFlatMap", "optional.optFlatMap(value, optional)"),
];
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

/// The function of that name and form.
pub(super) fn find(name: &str, form: Form) -> Option<&'static Function> {
    FUNCTIONS.iter().find(|function| function.form == form && function.name == name)
}

/// The names of functions of a form, without those in namespaces.
pub(super) fn names<'a>(form: Form) -> impl Iterator<Item = &'a str> {
    FUNCTIONS.iter().filter(move |function| function.form == form && !function.name.contains('.')).map(|function| function.name)
}

impl Function {
    /// How many arguments it is written with, each number once: those of a method do not count what it is called on.
    pub(super) fn arities(&self) -> Vec<usize> {
        let target = usize::from(self.form == Form::Method);
        let mut arities: Vec<usize> = self.overloads.iter().map(|overload| overload.takes.len() - target).collect();
        arities.sort_unstable();
        arities.dedup();
        arities
    }

    /// What the interpreter knows it by, if it is one of our own.
    pub(super) fn inner_name(&self) -> String {
        format!("@{}", self.name.replace('.', "_"))
    }
}
