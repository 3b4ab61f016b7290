//! A tree of JSON whose strings are templates: a step's body, a saga's response.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::{RenderError, Template, TemplateError, evaluate};
use crate::expr::{Bindings, Expression, Names, Type};
use crate::yaml::Pointer;

/// Deepest tree.
const DEPTH: usize = 64;

/// JSON with templates for strings. Everything else is kept as it is, the order of maps included.
///
/// ```
/// use saga_config::expr::{Bindings, Names};
/// use saga_config::template::ValueTemplate;
/// use serde_json::json;
///
/// let body = json!({"amount": "${order.amount}", "text": "Order ${order.id}", "tags": ["a", 1]});
/// let body = ValueTemplate::parse(&body, &Names::new(&["order"])).unwrap();
/// let order = json!({"id": 17, "amount": 5});
/// let rendered = body.render(&Bindings::new().with("order", &order)).unwrap();
/// assert_eq!(rendered, json!({"amount": 5, "text": "Order 17", "tags": ["a", 1]}));
/// ```
#[derive(Debug, Clone)]
pub struct ValueTemplate {
    node: Node,
    has_secrets: bool,
}

#[derive(Debug, Clone)]
enum Node {
    Constant(Value),
    Template(Template),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

/// A string of the tree that is not a template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{pointer}: {error}")]
pub struct ValueTemplateError {
    /// Where it stands (RFC 6901).
    pub pointer: String,
    /// What is wrong with it.
    pub error: TemplateError,
}

impl ValueTemplate {
    /// Parses every string of `value`; the keys of maps are not templates.
    ///
    /// # Errors
    ///
    /// Everything that is wrong, in the order it stands.
    pub fn parse(value: &Value, names: &Names) -> Result<Self, Vec<ValueTemplateError>> {
        let mut parser = Parser { names, pointer: String::new(), errors: Vec::new() };
        let node = parser.node(value, 0);
        if !parser.errors.is_empty() {
            return Err(parser.errors);
        }
        let has_secrets = node.any(&|expression| !expression.secrets().is_empty());
        Ok(Self { node, has_secrets })
    }

    /// Renders to JSON.
    ///
    /// # Errors
    ///
    /// [`RenderError`] of the first template that does not render.
    pub fn render(&self, bindings: &Bindings<'_>) -> Result<Value, RenderError> {
        self.node.render(bindings)
    }

    /// Renders to the text of the JSON: what [`render`](Self::render) gives, written without blanks.
    ///
    /// # Errors
    ///
    /// As [`render`](Self::render).
    pub fn render_text(&self, bindings: &Bindings<'_>) -> Result<String, RenderError> {
        let mut text = Vec::with_capacity(128);
        self.node.write(bindings, &mut text)?;
        Ok(String::from_utf8(text).expect("JSON is written in UTF-8"))
    }

    /// The expressions, in the order they stand.
    pub fn expressions(&self) -> Vec<&Expression> {
        let mut expressions = Vec::new();
        self.node.collect(&mut expressions);
        expressions
    }

    /// Whether an expression reads a secret.
    pub const fn has_secrets(&self) -> bool {
        self.has_secrets
    }

    /// Whether an expression needs the value at `path`, or a part of it: see [`Expression::touches`].
    pub fn touches(&self, path: &[&str]) -> bool {
        self.node.any(&|expression| expression.touches(path))
    }

    /// The texts with expressions in them, in the order they stand, and where.
    pub fn templates(&self) -> Vec<(Pointer, &Template)> {
        let mut templates = Vec::new();
        self.node.templates(&Pointer::root(), &mut templates);
        templates
    }

    /// What is known of what it renders to.
    pub fn gives(&self) -> Type {
        self.node.gives()
    }

    /// The value, if there is no expression in it.
    pub fn constant(&self) -> Option<&Value> {
        match &self.node {
            Node::Constant(value) => Some(value),
            _ => None,
        }
    }
}

impl Node {
    fn render(&self, bindings: &Bindings<'_>) -> Result<Value, RenderError> {
        match self {
            Self::Constant(value) => Ok(value.clone()),
            Self::Template(template) => template.render(bindings),
            Self::List(nodes) => nodes.iter().map(|node| node.render(bindings)).collect::<Result<Vec<_>, _>>().map(Value::Array),
            Self::Map(nodes) => {
                let entries = nodes.iter().map(|(key, node)| Ok((key.clone(), node.render(bindings)?)));
                entries.collect::<Result<Map<_, _>, _>>().map(Value::Object)
            }
        }
    }

    fn write(&self, bindings: &Bindings<'_>, out: &mut Vec<u8>) -> Result<(), RenderError> {
        match self {
            Self::Constant(value) => write(out, value),
            Self::Template(template) => match template.whole() {
                Some(expression) => write(out, &*evaluate(expression, bindings)?),
                None => write(out, &template.render_string(bindings)?),
            },
            Self::List(nodes) => {
                out.push(b'[');
                for (nth, node) in nodes.iter().enumerate() {
                    if nth > 0 {
                        out.push(b',');
                    }
                    node.write(bindings, out)?;
                }
                out.push(b']');
            }
            Self::Map(nodes) => {
                out.push(b'{');
                for (nth, (key, node)) in nodes.iter().enumerate() {
                    if nth > 0 {
                        out.push(b',');
                    }
                    write(out, key);
                    out.push(b':');
                    node.write(bindings, out)?;
                }
                out.push(b'}');
            }
        }
        Ok(())
    }

    /// Whether any expression is like this.
    fn any(&self, is: &dyn Fn(&Expression) -> bool) -> bool {
        match self {
            Self::Constant(_) => false,
            Self::Template(template) => template.expressions().any(|(expression, _)| is(expression)),
            Self::List(nodes) => nodes.iter().any(|node| node.any(is)),
            Self::Map(nodes) => nodes.iter().any(|(_, node)| node.any(is)),
        }
    }

    fn gives(&self) -> Type {
        match self {
            Self::Constant(value) => Type::of_json(value),
            Self::Template(template) => template.whole().map_or(Type::String, |expression| expression.gives().clone()),
            Self::List(nodes) => Type::list(nodes.iter().map(Self::gives).fold(Type::Never, Type::or)),
            Self::Map(nodes) => Type::record(nodes.iter().map(|(key, node)| (key.clone(), node.gives()))),
        }
    }

    fn collect<'t>(&'t self, expressions: &mut Vec<&'t Expression>) {
        match self {
            Self::Constant(_) => {}
            Self::Template(template) => expressions.extend(template.expressions().map(|(expression, _)| expression)),
            Self::List(nodes) => nodes.iter().for_each(|node| node.collect(expressions)),
            Self::Map(nodes) => nodes.iter().for_each(|(_, node)| node.collect(expressions)),
        }
    }

    fn templates<'t>(&'t self, at: &Pointer, templates: &mut Vec<(Pointer, &'t Template)>) {
        match self {
            Self::Constant(_) => {}
            Self::Template(template) => templates.push((at.clone(), template)),
            Self::List(nodes) => nodes.iter().enumerate().for_each(|(index, node)| node.templates(&at.child(index), templates)),
            Self::Map(nodes) => nodes.iter().for_each(|(key, node)| node.templates(&at.child(key), templates)),
        }
    }

    fn into_constant(self) -> Result<Value, Self> {
        match self {
            Self::Constant(value) => Ok(value),
            other => Err(other),
        }
    }
}

fn write<T: serde::Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    serde_json::to_writer(out, value).expect("texts and JSON values always have a JSON form, and a Vec takes all");
}

/// A list; one of constants is a constant.
fn list(nodes: Vec<Node>) -> Node {
    if !nodes.iter().all(|node| matches!(node, Node::Constant(_))) {
        return Node::List(nodes);
    }
    Node::Constant(nodes.into_iter().flat_map(Node::into_constant).collect())
}

/// A map; one of constants is a constant.
fn map(nodes: Vec<(String, Node)>) -> Node {
    if !nodes.iter().all(|(_, node)| matches!(node, Node::Constant(_))) {
        return Node::Map(nodes);
    }
    let entries = nodes.into_iter().flat_map(|(key, node)| Some((key, node.into_constant().ok()?)));
    Node::Constant(Value::Object(entries.collect()))
}

struct Parser<'n> {
    names: &'n Names,
    pointer: String,
    errors: Vec<ValueTemplateError>,
}

impl Parser<'_> {
    fn node(&mut self, value: &Value, depth: usize) -> Node {
        if depth > DEPTH {
            self.error(TemplateError::new(0..0, format!("the value nests deeper than {DEPTH} levels")));
            return Node::Constant(Value::Null);
        }
        match value {
            Value::String(text) => match Template::parse(text, self.names) {
                Ok(template) => match template.literal() {
                    Some(literal) => Node::Constant(Value::String(literal.to_owned())),
                    None => Node::Template(template),
                },
                Err(error) => {
                    self.error(error);
                    Node::Constant(Value::Null)
                }
            },
            Value::Array(items) => {
                let items = items.iter().enumerate();
                list(items.map(|(index, item)| self.child(&index.to_string(), item, depth)).collect())
            }
            Value::Object(entries) => {
                map(entries.iter().map(|(key, value)| (key.clone(), self.entry(key, value, depth))).collect())
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => Node::Constant(value.clone()),
        }
    }

    fn entry(&mut self, key: &str, value: &Value, depth: usize) -> Node {
        if let Some(at) = key.find("${") {
            let error = TemplateError::new(at..key.len(), format!("the key `{key}` is not a template"));
            self.error(error.help("build the map in one expression: ${{'a' + b: c}}"));
        }
        self.child(key, value, depth)
    }

    fn child(&mut self, token: &str, value: &Value, depth: usize) -> Node {
        let length = self.pointer.len();
        // Writing to a string does not fail.
        let _ = write!(self.pointer, "/{}", token.replace('~', "~0").replace('/', "~1"));
        let node = self.node(value, depth + 1);
        self.pointer.truncate(length);
        node
    }

    fn error(&mut self, error: TemplateError) {
        let pointer = self.pointer.clone();
        self.errors.push(ValueTemplateError { pointer, error });
    }
}
