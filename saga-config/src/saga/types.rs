//! What is known of the values that expressions read.

use super::{Action, InputType, build::Builder};
use crate::expr::Type;

/// The types of names that differ from saga to saga.
#[derive(Debug, Clone)]
pub(super) struct Types {
    /// The inputs, as they are declared.
    pub(super) input: Type,
    /// The input that is being checked.
    pub(super) own: Type,
    steps: Vec<StepTypes>,
}

/// What is known of the outputs of a step.
#[derive(Debug, Clone)]
struct StepTypes {
    id: String,
    /// For steps of the same loop, and where there is none.
    outputs: Type,
    /// The loop it stands in, and its outputs as they are outside: an item for each.
    looped: Option<(usize, Type)>,
}

impl Types {
    /// Before any step.
    pub(super) fn new(input: Type) -> Self {
        Self { input, own: Type::Dyn, steps: Vec::new() }
    }

    /// What a root is, for a step in that loop.
    pub(super) fn of(&self, root: &str, in_loop: Option<usize>) -> Type {
        let text = Type::String;
        match root {
            "input" => self.input.clone(),
            "steps" => self.outputs(in_loop),
            "self" => self.own.clone(),
            "request" => Type::request(),
            "response" => Type::response(),
            "failure" => Type::record([("step", text.clone()), ("status", Type::Int), ("reason", text)]),
            "saga" => Type::record([("id", text.clone()), ("name", text.clone()), ("started_at", text)]),
            "step" => Type::record([("id", text.clone()), ("key", text), ("attempt", Type::Int)]),
            "callback" => Type::record([("url", text), ("body", Type::Dyn)]),
            _ => Type::Dyn,
        }
    }

    fn outputs(&self, in_loop: Option<usize>) -> Type {
        if self.steps.is_empty() {
            return Type::Dyn;
        }
        Type::open_record(self.steps.iter().map(|step| match &step.looped {
            Some((number, outside)) if Some(*number) != in_loop => (step.id.clone(), outside.clone()),
            _ => (step.id.clone(), step.outputs.clone()),
        }))
    }
}

impl Builder<'_, '_> {
    /// Notes what is known of a step's outputs: of what it computes. What others keep is answered by services, or said by operators.
    pub(super) fn note_types(&mut self, index: usize, action: &Action) {
        let node = &self.plan.nodes[index];
        let outputs: Vec<(String, Type)> = match action {
            Action::Set(values) => {
                values.iter().map(|(name, value)| (name.as_str().to_owned(), value.gives().through_json())).collect()
            }
            Action::Call(call) if node.in_loop.is_some() => {
                call.output.iter().map(|(name, _)| (name.as_str().to_owned(), Type::Dyn)).collect()
            }
            _ => return,
        };
        let Some(id) = &node.id else { return };
        let of_items = || outputs.iter().map(|(name, kind)| (name.clone(), Type::list(kind.clone().or(Type::Null))));
        let looped = node.in_loop.map(|number| (number, Type::open_record(of_items())));
        self.types.steps.push(StepTypes { id: id.as_str().to_owned(), outputs: Type::open_record(outputs), looped });
    }
}

impl InputType {
    /// What is known of a value of this type.
    pub(super) fn known(self) -> Type {
        match self {
            Self::Any => Type::Dyn,
            Self::String => Type::String,
            Self::Int => Type::Int,
            Self::Double => Type::Number,
            Self::Bool => Type::Bool,
            Self::List => Type::list(Type::Dyn),
            Self::Map => Type::map(Type::Dyn),
        }
    }
}
