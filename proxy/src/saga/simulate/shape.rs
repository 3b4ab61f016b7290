//! The shape of JSON that is read, as far as the readers tell, and JSON of that shape.

use saga_config::{
    expr::{Key, Reading, Reference, Segment},
    saga::InputType,
};
use serde_json::{Map, Value, json};

/// The longest list that is made, whatever index is read.
const MOST_ITEMS: usize = 20;
/// Names of numbers: what is called so is made a number at first.
const NUMBERS: [&str; 14] =
    ["amount", "price", "total", "sum", "cost", "count", "quantity", "qty", "balance", "number", "size", "limit", "fee", "age"];

/// What is known of a value.
#[derive(Clone, Debug, Default)]
pub(super) struct Shape {
    fields: Vec<(String, Shape)>,
    items: Option<Box<Shape>>,
    /// The fewest items.
    least: usize,
    is_sized: bool,
    kind: InputType,
    /// What it is, if that was found.
    chosen: Option<Value>,
}

/// Where a value stands in another.
pub(super) type Path = Vec<Key>;

impl Shape {
    /// It is read like this.
    pub(super) fn read(&mut self, path: &[Segment], reading: Reading) {
        let mut shape = self;
        for segment in path {
            shape = match &segment.key {
                Key::Field(name) => shape.field(name),
                Key::Index(index) => shape.item(*index),
            };
        }
        shape.is_sized |= reading == Reading::Size;
    }

    /// As [`read`](Self::read), for what of a path is below `root` and then these fields.
    pub(super) fn read_below(&mut self, reference: &Reference, root: &str, below: &[&str]) {
        let leads = |(segment, name): (&Segment, &&str)| matches!(&segment.key, Key::Field(field) if field == name);
        let segments = reference.segments();
        if reference.root() == root && segments.len() >= below.len() && segments.iter().zip(below).all(leads) {
            self.read(&segments[below.len()..], reference.reading());
        }
    }

    /// It is declared to be this.
    pub(super) fn is(&mut self, kind: InputType) {
        self.kind = kind;
    }

    /// Its field.
    pub(super) fn field(&mut self, name: &str) -> &mut Self {
        let at = self.fields.iter().position(|(known, _)| known == name).unwrap_or_else(|| {
            self.fields.push((name.to_owned(), Self::default()));
            self.fields.len() - 1
        });
        &mut self.fields[at].1
    }

    fn item(&mut self, index: usize) -> &mut Self {
        self.least = self.least.max(index.saturating_add(1).min(MOST_ITEMS));
        self.items.get_or_insert_default()
    }

    /// Whether nothing is known of it.
    pub(super) fn is_unknown(&self) -> bool {
        self.fields.is_empty() && self.items.is_none()
    }

    /// The value at `path` is this.
    pub(super) fn choose(&mut self, path: &[Key], value: Option<Value>) {
        let mut shape = self;
        for key in path {
            shape = match key {
                Key::Field(name) => shape.field(name),
                Key::Index(index) => shape.item(*index),
            };
        }
        shape.chosen = value;
    }

    /// What was chosen for the value at `path`.
    pub(super) fn chosen(&self, path: &[Key]) -> Option<&Value> {
        let mut shape = self;
        for key in path {
            shape = match key {
                Key::Field(name) => &shape.fields.iter().find(|(known, _)| known == name)?.1,
                Key::Index(_) => shape.items.as_deref()?,
            };
        }
        shape.chosen.as_ref()
    }

    /// Where the scalars are.
    pub(super) fn leaves(&self) -> Vec<Path> {
        let mut leaves = Vec::new();
        self.collect(&mut Vec::new(), &mut leaves);
        leaves
    }

    fn collect(&self, at: &mut Path, leaves: &mut Vec<Path>) {
        if self.is_unknown() {
            leaves.push(at.clone());
        }
        for (name, shape) in &self.fields {
            at.push(Key::Field(name.clone()));
            shape.collect(at, leaves);
            at.pop();
        }
        if let Some(shape) = &self.items {
            at.push(Key::Index(0));
            shape.collect(at, leaves);
            at.pop();
        }
    }

    /// A value of this shape. `whose`: what strings in it begin with.
    pub(super) fn made(&self, whose: &str) -> Value {
        self.named(whose, "")
    }

    fn named(&self, whose: &str, name: &str) -> Value {
        if let Some(chosen) = &self.chosen {
            return chosen.clone();
        }
        if let Some(item) = &self.items {
            return Value::Array((0..self.least.max(2)).map(|_| item.named(whose, name)).collect());
        }
        if !self.fields.is_empty() {
            let entries = self.fields.iter().map(|(name, shape)| (name.clone(), shape.named(whose, name)));
            return Value::Object(entries.collect::<Map<_, _>>());
        }
        let text = || if name.is_empty() { whose.to_owned() } else { format!("{whose}-{name}") };
        match self.kind {
            InputType::Any if self.is_sized => json!([text(), text()]),
            InputType::Any if NUMBERS.iter().any(|number| name.contains(number)) => json!(100),
            InputType::Any if name.is_empty() => json!({}),
            InputType::Any if name == "location" => json!(format!("/{whose}/1")),
            InputType::Any | InputType::String => json!(text()),
            InputType::Int => json!(7),
            InputType::Double => json!(100.5),
            InputType::Bool => json!(true),
            InputType::List => json!([text(), text()]),
            InputType::Map => json!({}),
        }
    }
}

/// A path as an author writes it: `body.items[0].sku`.
pub(super) fn written(path: &[Key]) -> String {
    let mut text = String::new();
    for key in path {
        match key {
            Key::Field(name) if text.is_empty() => text.push_str(name),
            Key::Field(name) => text.extend([".", name]),
            Key::Index(index) => text.push_str(&format!("[{index}]")),
        }
    }
    text
}
