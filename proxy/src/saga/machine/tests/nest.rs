//! Definitions with lists in their steps: switches, loops, sub-sagas, groups, as the loader unfolds them.

use std::time::Duration;

use saga_config::{
    names::{StepId, StepPath},
    saga::{
        Action, Arm, Frame, FrameIndex, Group, GroupIndex, Input, InputType, Loop, LoopIndex, OnFailure, Position, Reply, Saga,
        Step, StepIndex, Within,
    },
};
use serde_json::{Value, json};

use super::build::{StepOf, definition, says, value};

/// What stands in a list.
#[derive(Clone)]
pub(super) enum Node {
    Step(Box<StepOf>),
    Switch { id: &'static str, when: Option<&'static str>, arms: Vec<(Option<&'static str>, Vec<Self>)> },
    Each { id: &'static str, list: Value, max: usize, body: Vec<Self> },
    Wait { id: &'static str, time: Duration },
    Sub { id: &'static str, when: Option<&'static str>, of: SubOf, body: Vec<Self> },
    Group { max: usize, cancel_others: bool, children: Vec<Vec<Self>> },
}

/// A sub-saga: its input is `n`.
#[derive(Clone)]
pub(super) struct SubOf {
    pub(super) n: Value,
    pub(super) check: Option<&'static str>,
    pub(super) reply: Option<Value>,
    pub(super) deadline: Option<Duration>,
    pub(super) max_parallel: usize,
}

pub(super) fn one(step: StepOf) -> Node {
    Node::Step(Box::new(step))
}

pub(super) fn each(id: &'static str, list: &str, max: usize, body: Vec<Node>) -> Node {
    Node::Each { id, list: json!(list), max, body }
}

pub(super) fn wait(id: &'static str, time: Duration) -> Node {
    Node::Wait { id, time }
}

pub(super) fn switch(id: &'static str, arms: Vec<(Option<&'static str>, Vec<Node>)>) -> Node {
    Node::Switch { id, when: None, arms }
}

pub(super) fn sub(id: &'static str, n: Value, body: Vec<Node>) -> Node {
    sub_of(id, SubOf { n, check: None, reply: None, deadline: None, max_parallel: 8 }, body)
}

pub(super) fn sub_of(id: &'static str, of: SubOf, body: Vec<Node>) -> Node {
    Node::Sub { id, when: None, of, body }
}

/// A saga of this list.
pub(super) fn nested(nodes: &[Node]) -> Saga {
    let mut saga = definition(Vec::new());
    list(&mut saga, nodes, &Place::default(), Vec::new());
    saga
}

/// Where a list stands.
#[derive(Clone, Default)]
struct Place {
    within: Option<Within>,
    group: Option<GroupIndex>,
    in_loop: Option<LoopIndex>,
    frame: Option<FrameIndex>,
    below: Option<StepPath>,
}

/// One after the other. Gives what comes after it waits for.
fn list(saga: &mut Saga, nodes: &[Node], place: &Place, mut after: Vec<StepIndex>) -> Vec<StepIndex> {
    for node in nodes {
        after = unfold(saga, node, place, after);
    }
    after
}

fn unfold(saga: &mut Saga, node: &Node, place: &Place, after: Vec<StepIndex>) -> Vec<StepIndex> {
    let first = saga.steps.len();
    match node {
        Node::Step(step) => {
            let i = push(saga, step.id, place, after, step.action());
            let built = &mut saga.steps[i.0];
            (built.when, built.position, built.on_failure) = (step.when.map(says), step.position, step.on_failure);
        }
        Node::Wait { id, time } => {
            push(saga, id, place, after, Action::Wait(*time));
        }
        Node::Switch { id, when, arms } => {
            let conditions = arms.iter().map(|(when, _)| Arm { when: when.map(says) }).collect();
            let switch = push(saga, id, place, after, Action::Switch(conditions));
            saga.steps[switch.0].when = when.map(says);
            for (arm, (_, body)) in arms.iter().enumerate() {
                let inner = Place { within: Some(Within::Arm { switch, arm }), ..place.clone() };
                list(saga, body, &inner, vec![switch]);
            }
        }
        Node::Each { id, list: over, max, body } => {
            let in_loop = LoopIndex(saga.loops.len());
            let step = push(saga, id, place, after, Action::Foreach(in_loop));
            let (list_of, item) = (value(over.clone()), "t".parse().unwrap());
            saga.loops.push(Loop { step, list: list_of, item, max: *max, limit: 1000, body: Vec::new() });
            let inner = Place { within: Some(Within::Body(in_loop)), in_loop: Some(in_loop), ..place.clone() };
            list(saga, body, &inner, vec![step]);
            saga.loops[in_loop.0].body = (step.0 + 1..saga.steps.len()).map(StepIndex).collect();
        }
        Node::Sub { id, when, of, body } => {
            let (frame, path) = (FrameIndex(saga.frames.len()), path(id, place));
            let enter = push(saga, id, place, after, Action::Enter(frame));
            saga.steps[enter.0].id = path.input();
            saga.steps[enter.0].when = when.map(says);
            saga.frames.push(sub_saga(of, &path, place.frame, enter));
            let within = Some(Within::Sub(frame));
            let inner = Place { within, frame: Some(frame), below: Some(path), ..place.clone() };
            list(saga, body, &inner, vec![enter]);
            let all = (enter.0..saga.steps.len()).map(StepIndex).collect();
            let leave = push(saga, id, &Place { within, ..place.clone() }, all, Action::Leave(frame));
            saga.frames[frame.0].leave = leave;
            return vec![leave];
        }
        Node::Group { max, cancel_others, children } => {
            let group = GroupIndex(saga.groups.len());
            let id = format!("group{}", group.0).parse().unwrap();
            saga.groups.push(Group { id, members: Vec::new(), max: *max, cancel_others: *cancel_others });
            for child in children {
                list(saga, child, &Place { group: Some(group), ..place.clone() }, after.clone());
            }
            saga.groups[group.0].members = (first..saga.steps.len()).map(StepIndex).collect();
        }
    }
    (first..saga.steps.len()).map(StepIndex).collect()
}

fn path(id: &str, place: &Place) -> StepPath {
    let id: StepId = id.parse().unwrap();
    place.below.as_ref().map_or_else(|| id.clone().into(), |below| below.child(&id))
}

fn push(saga: &mut Saga, id: &str, place: &Place, after: Vec<StepIndex>, action: Action) -> StepIndex {
    let Place { within, group, in_loop, frame, .. } = place.clone();
    let (position, on_failure) = (Position::Before, OnFailure::Compensate);
    saga.steps.push(Step { id: path(id, place), after, within, group, in_loop, frame, when: None, action, position, on_failure });
    StepIndex(saga.steps.len() - 1)
}

fn sub_saga(of: &SubOf, path: &StepPath, parent: Option<FrameIndex>, enter: StepIndex) -> Frame {
    let name: saga_config::names::VariableName = "n".parse().unwrap();
    let declared = Input { name: name.clone(), from: value(json!(null)), kind: InputType::Int, check: of.check.map(says) };
    let reply =
        |body: &Value| Reply { status: value(json!(201)), headers: Vec::new(), body: Some(value(body.clone())), problem: None };
    Frame {
        path: path.clone(),
        saga: "child".parse().unwrap(),
        version: 1,
        parent,
        enter,
        leave: enter,
        input: vec![declared],
        given: vec![(name, value(of.n.clone()))],
        reply: of.reply.as_ref().map(reply),
        deadline: of.deadline,
        max_parallel: of.max_parallel,
    }
}
