//! Puts a sub-saga's steps in the place of the step that runs it. Pure: what may not be linked has been refused.

use super::super::{
    Action, Frame, FrameIndex, Group, GroupIndex, Input, Loop, LoopIndex, OnFailure, Position, Saga, Step, StepIndex, Within,
    sub_saga::SubSaga,
};
use crate::{names::VariableName, template::ValueTemplate};

/// `own` with its sub-sagas in it. `children`: for each of `subs` the saga it names, with its own sub-sagas in it.
pub(super) fn inline(own: &Saga, subs: &[SubSaga], children: &[&Saga]) -> Saga {
    let mut inliner = Inliner {
        steps: Vec::new(),
        groups: own.groups.clone(),
        loops: own.loops.clone(),
        frames: Vec::new(),
        begins: Vec::new(),
        ends: Vec::new(),
    };
    for (index, step) in own.steps.iter().enumerate() {
        let sub = subs.iter().zip(children).find(|(sub, _)| sub.step == StepIndex(index));
        match sub {
            None => inliner.own(step),
            Some((sub, child)) => inliner.sub(step, sub, child),
        }
    }
    inliner.settle(own);
    let Inliner { steps, groups, loops, frames, .. } = inliner;
    let mut secrets = own.secrets.clone();
    for secret in children.iter().flat_map(|child| &child.secrets) {
        if !secrets.contains(secret) {
            secrets.push(secret.clone());
        }
    }
    Saga { steps, groups, loops, frames, secrets, ..own.clone() }
}

struct Inliner {
    steps: Vec<Step>,
    groups: Vec<Group>,
    loops: Vec<Loop>,
    frames: Vec<Frame>,
    /// By the saga's own indices: where a step begins.
    begins: Vec<usize>,
    /// Where it ends: the same, but for a sub-saga.
    ends: Vec<usize>,
}

impl Inliner {
    /// A step of the saga itself.
    fn own(&mut self, step: &Step) {
        let moved = Step { after: self.after(&step.after), within: self.within(step.within), ..step.clone() };
        let at = self.steps.len();
        self.begins.push(at);
        self.ends.push(at);
        self.steps.push(moved);
    }

    /// A step that runs another saga: its beginning, the other's steps, its end.
    fn sub(&mut self, step: &Step, sub: &SubSaga, child: &Saga) {
        let frame = FrameIndex(self.frames.len());
        let enter = self.steps.len();
        let moves =
            Moves { outer: step.clone(), frame, enter: StepIndex(enter), groups: self.groups.len(), loops: self.loops.len() };
        self.begins.push(enter);
        self.steps.push(Step {
            id: step.id.input(),
            after: self.after(&step.after),
            within: self.within(step.within),
            action: Action::Enter(frame),
            // It fails as a whole.
            on_failure: OnFailure::Compensate,
            ..step.clone()
        });
        self.steps.extend(child.steps.iter().map(|step| moves.step(step)));
        let leave = self.steps.len();
        self.ends.push(leave);
        self.steps.push(Step {
            after: last(child).map(|index| moves.index(index)).collect(),
            within: Some(Within::Sub(frame)),
            when: None,
            action: Action::Leave(frame),
            on_failure: OnFailure::Compensate,
            ..step.clone()
        });
        self.groups.extend(child.groups.iter().map(|group| moves.group(group)));
        self.loops.extend(child.loops.iter().map(|of| moves.of_loop(of)));
        self.frames.push(Frame {
            path: step.id.clone(),
            saga: child.name.clone(),
            version: child.version,
            parent: None,
            enter: StepIndex(enter),
            leave: StepIndex(leave),
            input: child.input.clone(),
            given: child.input.iter().filter_map(|input| given(sub, input)).collect(),
            reply: child.response.completed.clone(),
            deadline: child.deadline,
            max_parallel: child.max_parallel,
        });
        self.frames.extend(child.frames.iter().map(|frame| moves.frame_of(frame)));
    }

    /// What follows a sub-saga waits for its end.
    fn after(&self, after: &[StepIndex]) -> Vec<StepIndex> {
        let mut after: Vec<StepIndex> = after.iter().map(|index| StepIndex(self.ends[index.0])).collect();
        after.sort_unstable();
        after
    }

    fn within(&self, within: Option<Within>) -> Option<Within> {
        within.map(|within| match within {
            Within::Arm { switch, arm } => Within::Arm { switch: StepIndex(self.begins[switch.0]), arm },
            other @ (Within::Body(_) | Within::Sub(_)) => other,
        })
    }

    /// The saga's own groups and loops, once it is known where their steps are.
    fn settle(&mut self, own: &Saga) {
        let (begins, ends) = (&self.begins, &self.ends);
        for group in self.groups.iter_mut().take(own.groups.len()) {
            let is_bounded = group.max < group.members.len();
            group.members = group.members.iter().flat_map(|step| begins[step.0]..=ends[step.0]).map(StepIndex).collect();
            if !is_bounded {
                group.max = group.members.len();
            }
        }
        for of in self.loops.iter_mut().take(own.loops.len()) {
            of.step = StepIndex(begins[of.step.0]);
            of.body = of.body.iter().flat_map(|step| begins[step.0]..=ends[step.0]).map(StepIndex).collect();
        }
    }
}

/// How a sub-saga's indices and names become those of the saga that runs it.
struct Moves {
    /// The step that runs it.
    outer: Step,
    frame: FrameIndex,
    enter: StepIndex,
    groups: usize,
    loops: usize,
}

impl Moves {
    fn index(&self, index: StepIndex) -> StepIndex {
        StepIndex(self.enter.0 + 1 + index.0)
    }

    fn frame(&self, frame: FrameIndex) -> FrameIndex {
        FrameIndex(self.frame.0 + 1 + frame.0)
    }

    fn in_loop(&self, index: LoopIndex) -> LoopIndex {
        LoopIndex(self.loops + index.0)
    }

    fn step(&self, step: &Step) -> Step {
        let after: Vec<StepIndex> = match step.after.as_slice() {
            [] => vec![self.enter],
            after => after.iter().map(|index| self.index(*index)).collect(),
        };
        let within = match step.within {
            Some(Within::Arm { switch, arm }) => Within::Arm { switch: self.index(switch), arm },
            Some(Within::Body(index)) => Within::Body(self.in_loop(index)),
            Some(Within::Sub(frame)) => Within::Sub(self.frame(frame)),
            None => Within::Sub(self.frame),
        };
        let action = match &step.action {
            Action::Foreach(index) => Action::Foreach(self.in_loop(*index)),
            Action::Enter(frame) => Action::Enter(self.frame(*frame)),
            Action::Leave(frame) => Action::Leave(self.frame(*frame)),
            same @ (Action::Call(_) | Action::Set(_) | Action::Switch(_) | Action::Wait(_)) => same.clone(),
        };
        Step {
            id: step.id.below(&self.outer.id),
            after,
            within: Some(within),
            group: step.group.map(|group| GroupIndex(self.groups + group.0)).or(self.outer.group),
            in_loop: step.in_loop.map(|index| self.in_loop(index)).or(self.outer.in_loop),
            frame: Some(step.frame.map_or(self.frame, |frame| self.frame(frame))),
            when: step.when.clone(),
            action,
            position: Position::Before,
            on_failure: step.on_failure,
        }
    }

    fn group(&self, group: &Group) -> Group {
        let members = group.members.iter().map(|member| self.index(*member)).collect();
        Group { id: group.id.below(&self.outer.id), members, ..group.clone() }
    }

    fn of_loop(&self, of: &Loop) -> Loop {
        let body = of.body.iter().map(|step| self.index(*step)).collect();
        Loop { step: self.index(of.step), body, ..of.clone() }
    }

    fn frame_of(&self, frame: &Frame) -> Frame {
        Frame {
            path: frame.path.below(&self.outer.id),
            parent: Some(frame.parent.map_or(self.frame, |parent| self.frame(parent))),
            enter: self.index(frame.enter),
            leave: self.index(frame.leave),
            ..frame.clone()
        }
    }
}

/// What a saga gives for one of the inputs of a sub-saga.
fn given(sub: &SubSaga, input: &Input) -> Option<(VariableName, ValueTemplate)> {
    sub.given.iter().find(|(name, _)| *name == input.name).cloned()
}

/// The steps that no other step waits for.
fn last(saga: &Saga) -> impl Iterator<Item = StepIndex> {
    let is_waited_for = |index: &StepIndex| saga.steps.iter().any(|step| step.after.contains(index));
    (0..saga.steps.len()).map(StepIndex).filter(move |index| !is_waited_for(index))
}
