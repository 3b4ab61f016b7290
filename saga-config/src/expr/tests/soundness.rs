//! Nothing that can be evaluated is refused.

use proptest::prelude::*;

use super::*;

/// An expression, apart.
#[derive(Debug, Clone)]
enum Node {
    Leaf(String),
    Binary(&'static str, Box<Node>, Box<Node>),
    Prefix(&'static str, Box<Node>),
    Conditional(Box<Node>, Box<Node>, Box<Node>),
    Index(&'static str, Box<Node>, Box<Node>),
    Field(&'static str, Box<Node>, &'static str),
    Has(Box<Node>, &'static str),
    List(Vec<Node>),
    Map(Vec<(&'static str, Node)>),
    Call(&'static str, Vec<Node>),
    Method(Box<Node>, &'static str, Vec<Node>),
    Loop(Box<Node>, &'static str, Box<Node>),
}

impl Node {
    fn source(&self) -> String {
        let list = |nodes: &[Self]| nodes.iter().map(Self::source).collect::<Vec<_>>().join(", ");
        match self {
            Self::Leaf(text) => text.clone(),
            Self::Binary(operator, left, right) => format!("({} {operator} {})", left.source(), right.source()),
            // Two prefixes in a row cancel, which is for the parser's own tests.
            Self::Prefix(operator, of) => format!("({operator}({}))", of.source()),
            Self::Conditional(condition, yes, no) => {
                format!("({} ? {} : {})", condition.source(), yes.source(), no.source())
            }
            Self::Index(open, of, index) => format!("{}{open}{}]", of.source(), index.source()),
            Self::Field(dot, of, name) => format!("{}{dot}{name}", of.source()),
            Self::Has(of, name) => format!("has({}.{name})", of.source()),
            Self::List(items) => format!("[{}]", list(items)),
            Self::Map(entries) => {
                let entries: Vec<_> = entries.iter().map(|(key, value)| format!("'{key}': {}", value.source())).collect();
                format!("{{{}}}", entries.join(", "))
            }
            Self::Call(name, args) => format!("{name}({})", list(args)),
            Self::Method(of, name, args) => format!("{}.{name}({})", of.source(), list(args)),
            Self::Loop(range, name, body) => format!("{}.{name}(x, {})", range.source(), body.source()),
        }
    }

    fn parts(&self) -> Vec<&Self> {
        match self {
            Self::Leaf(_) => Vec::new(),
            Self::Binary(_, one, other) | Self::Index(_, one, other) => vec![one, other],
            Self::Prefix(_, of) | Self::Field(_, of, _) | Self::Has(of, _) | Self::Loop(of, _, _) => vec![of],
            Self::Conditional(condition, yes, no) => vec![condition, yes, no],
            Self::List(items) | Self::Call(_, items) => items.iter().collect(),
            Self::Map(entries) => entries.iter().map(|(_, value)| value).collect(),
            Self::Method(of, _, args) => std::iter::once(of.as_ref()).chain(args).collect(),
        }
    }
}

/// What names stand for.
#[derive(Debug)]
struct World {
    input: Value,
    body: Value,
    response: Value,
    /// Items of loops, the innermost last.
    items: Vec<Value>,
}

impl World {
    fn names() -> Names {
        let input = Type::record([
            ("s", Type::String),
            ("n", Type::Int),
            ("d", Type::Number),
            ("b", Type::Bool),
            ("l", Type::list(Type::Dyn)),
            ("m", Type::map(Type::Dyn)),
        ]);
        Names::new(&["input", "body", "response"]).with_type("input", input).with_type("response", Type::response())
    }

    fn eval(&self, source: &str) -> Result<Option<Value>, ()> {
        let names = if self.items.is_empty() { Self::names() } else { Self::names().with_root("x") };
        let expression = Expression::compile(source, &names).map_err(drop)?;
        let bindings = Bindings::new().with("input", &self.input).with("body", &self.body).with("response", &self.response);
        let bindings = self.items.iter().fold(bindings, |bindings, item| bindings.with("x", item));
        match expression.eval(&bindings) {
            Ok(value) => Ok(Some(value)),
            // A part may be an optional, or bytes.
            Err(EvalError::NotJson(_)) => Ok(None),
            Err(_) => Err(()),
        }
    }

    /// Whether the expression and every part of it has a value, those included that are not reached; and no comparison in it
    /// compares what cannot be equal.
    fn every_part_evaluates(&mut self, node: &Node) -> bool {
        if !node.parts().into_iter().all(|part| self.every_part_evaluates(part)) || self.eval(&node.source()).is_err() {
            return false;
        }
        let value = |part: &Node| self.eval(&part.source()).unwrap_or(None);
        let is_alike = |one: &Value, other: &Value| {
            std::mem::discriminant(one) == std::mem::discriminant(other) || one.is_null() || other.is_null()
        };
        match node {
            Node::Binary("==" | "!=", left, right) => match (value(left), value(right)) {
                (Some(left), Some(right)) => is_alike(&left, &right),
                _ => false,
            },
            // One operand decides, whatever the other is.
            Node::Binary("&&" | "||", left, right) => {
                matches!((value(left), value(right)), (Some(Value::Bool(_)), Some(Value::Bool(_))))
            }
            Node::Binary("in", item, collection) => match (value(item), value(collection)) {
                (Some(item), Some(Value::Array(items))) => items.iter().any(|other| is_alike(&item, other)),
                (Some(_), Some(Value::Object(_))) => true,
                _ => false,
            },
            Node::Loop(range, _, body) => {
                let items = match value(range) {
                    Some(Value::Array(items)) => items,
                    Some(Value::Object(map)) => map.keys().map(|key| json!(key)).collect(),
                    _ => Vec::new(),
                };
                !items.is_empty()
                    && items.into_iter().all(|item| {
                        self.items.push(item);
                        let evaluates = self.every_part_evaluates(body);
                        self.items.pop();
                        evaluates
                    })
            }
            _ => true,
        }
    }
}

/// Whether a value is one of the type.
fn is(value: &Value, kind: &Type) -> bool {
    match (kind, value) {
        (Type::Dyn, _)
        | (Type::Null, Value::Null)
        | (Type::Bool, Value::Bool(_))
        | (Type::Double | Type::Number, Value::Number(_))
        | (Type::String, Value::String(_)) => true,
        (Type::Int | Type::Uint, Value::Number(number)) => number.is_i64() || number.is_u64(),
        (Type::List(items), Value::Array(values)) => values.iter().all(|value| is(value, items)),
        (Type::Map(_) | Type::Record(_), Value::Object(values)) => values.values().all(|value| is(value, &kind.value())),
        _ => false,
    }
}

fn leaf() -> impl Strategy<Value = Node> {
    prop::sample::select(vec![
        "1",
        "0",
        "2u",
        "-3",
        "2.5",
        "'a'",
        "'7'",
        "''",
        "true",
        "false",
        "null",
        "b'a'",
        "[]",
        "{}",
        "input.s",
        "input.n",
        "input.d",
        "input.b",
        "input.l",
        "input.m",
        "input.?n",
        "input.m.?a",
        "body",
        "body.a",
        "body.?a",
        "body.l",
        "response.status",
        "response.headers",
        "response.headers.a",
        "response.body",
        "input.l[0]",
        "x",
        "x",
        "int",
        "optional.none()",
    ])
    .prop_map(|text| Node::Leaf(text.to_owned()))
}

fn node() -> impl Strategy<Value = Node> {
    let field = || prop::sample::select(vec!["a", "b", "l"]);
    leaf().prop_recursive(4, 12, 3, move |inner| {
        let one = || inner.clone().prop_map(Box::new);
        let some = || prop::collection::vec(inner.clone(), 0..3);
        let binary = prop::sample::select(vec!["+", "-", "*", "/", "%", "<", ">=", "==", "!=", "in", "&&", "||"]);
        let call = prop::sample::select(vec![
            "size",
            "string",
            "int",
            "uint",
            "double",
            "bytes",
            "bool",
            "type",
            "dyn",
            "json",
            "sha256",
            "base64url",
            "math.least",
            "math.abs",
            "math.round",
            "optional.of",
            "optional.ofNonZeroValue",
        ]);
        let method = prop::sample::select(vec![
            "contains",
            "startsWith",
            "size",
            "trim",
            "lowerAscii",
            "split",
            "join",
            "replace",
            "substring",
            "indexOf",
            "hasValue",
            "value",
            "or",
            "orValue",
            "charAt",
        ]);
        let looped = prop::sample::select(vec!["all", "exists", "exists_one", "map", "filter", "optMap"]);
        prop_oneof![
            4 => (binary, one(), one()).prop_map(|(operator, left, right)| Node::Binary(operator, left, right)),
            1 => (prop::sample::select(vec!["!", "-"]), one()).prop_map(|(operator, of)| Node::Prefix(operator, of)),
            1 => (one(), one(), one()).prop_map(|(condition, yes, no)| Node::Conditional(condition, yes, no)),
            1 => (prop::sample::select(vec!["[", "[?"]), one(), one()).prop_map(|(open, of, index)| Node::Index(open, of, index)),
            2 => (prop::sample::select(vec![".", ".?"]), one(), field()).prop_map(|(dot, of, name)| Node::Field(dot, of, name)),
            1 => (one(), field()).prop_map(|(of, name)| Node::Has(of, name)),
            1 => some().prop_map(Node::List),
            1 => prop::collection::vec((field(), inner.clone()), 0..2).prop_map(Node::Map),
            2 => (call, prop::collection::vec(inner.clone(), 1..2)).prop_map(|(name, args)| Node::Call(name, args)),
            2 => (one(), method, some()).prop_map(|(of, name, args)| Node::Method(of, name, args)),
            2 => (one(), looped, one()).prop_map(|(of, name, body)| Node::Loop(of, name, body)),
        ]
    })
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3_i64..9).prop_map(Value::from),
        Just(json!(1.5)),
        "[a7]{0,2}".prop_map(Value::from),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::vec(("[abl]", inner), 0..3).prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

fn world() -> impl Strategy<Value = World> {
    let object = || json_value().prop_map(|value| if value.is_object() { value } else { json!({"a": value, "l": [value]}) });
    let list = prop::collection::vec(json_value(), 0..3);
    let number = prop_oneof![Just(json!(2)), Just(json!(2.5)), Just(json!(0))];
    ("[a7]{0,2}", -2_i64..4, number, any::<bool>(), list, object(), json_value(), object()).prop_map(
        |(s, n, d, b, l, m, body, answer)| World {
            input: json!({"s": s, "n": n, "d": d, "b": b, "l": l, "m": m}),
            body,
            response: json!({"status": 200, "headers": {"a": s}, "body": answer}),
            items: Vec::new(),
        },
    )
}

proptest! {
    #[test]
    fn what_evaluates_in_all_its_parts_is_accepted_and_gives_what_was_foreseen(node in node(), mut world in world()) {
        let source = node.source();
        let Ok(expression) = Expression::compile(&source, &World::names()) else { return Ok(()) };
        if world.every_part_evaluates(&node) {
            prop_assert_eq!(expression.clashes(), [], "{}", source);
        }
        if expression.clashes().is_empty() && let Ok(Some(value)) = world.eval(&source) {
            prop_assert!(is(&value, expression.gives()), "{} gives {} and not {:?}", source, value, expression.gives());
            prop_assert_eq!(expression.clash_as(Use::Value), None, "{}", source);
        }
    }
}
