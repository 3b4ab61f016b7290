//! What is said of a step, a box and the saga itself: the same in every format.

use std::time::Duration;

use super::chart::{Block, BlockKind};
use crate::{
    diagnostic::escaped,
    names::VariableName,
    saga::{Action, CallStep, Effect, InDoubt, Later, OnFailure, Position, Reply, Saga, Step, StepIndex, Undo},
    template::{CallTarget, Template, ValueTemplate},
    units::DurationText,
};

/// The most characters of one line; files have no such limit.
const MOST_CHARS: usize = 300;

/// What is said of a step or a box.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Caption {
    pub(super) name: String,
    pub(super) marks: Vec<Mark>,
    pub(super) lines: Vec<Line>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) role: Role,
    pub(super) text: String,
}

/// What a line says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    /// Whether it runs.
    Condition,
    /// What it calls: `upstream METHOD target`.
    Call,
    /// What it computes, `name = …`.
    Value,
    /// Anything else, in words.
    Words,
    /// What undoes it: a call.
    Undo,
    /// That nothing undoes it, though it has an effect.
    Stays,
}

/// What stands beside a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Mark {
    Pivot,
    /// It has no effect.
    Reads,
    /// Its failure means nothing.
    MayFail,
    /// After the pivot.
    UntilDone,
    /// A timer.
    Timer,
    Callback,
    Poll,
    /// It computes.
    Computes,
    Parallel,
    Switch,
    Loop,
    SubSaga,
}

impl Mark {
    /// In a word or two.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Pivot => "pivot",
            Self::Reads => "reads",
            Self::MayFail => "may fail",
            Self::UntilDone => "until done",
            Self::Timer => "timer",
            Self::Callback => "callback",
            Self::Poll => "polled",
            Self::Computes => "computes",
            Self::Parallel => "parallel",
            Self::Switch => "switch",
            Self::Loop => "for each",
            Self::SubSaga => "saga",
        }
    }
}

/// What is said of a step.
pub(super) fn step(saga: &Saga, index: StepIndex) -> Caption {
    let step = &saga[index];
    let mut caption = Caption { name: step.id.id().to_owned(), marks: Vec::new(), lines: Vec::new() };
    caption.condition(step);
    match &step.action {
        Action::Call(call) => caption.call(step, call),
        Action::Set(values) => caption.values(values),
        Action::Wait(span) => {
            caption.marks.push(Mark::Timer);
            caption.say(Role::Words, format!("waits {}", duration(*span)));
        }
        // Boxes say these.
        Action::Switch(_) | Action::Foreach(_) | Action::Enter(_) | Action::Leave(_) => {}
    }
    caption
}

/// What is said of a box.
pub(super) fn block(saga: &Saga, block: &Block) -> Caption {
    let of_step = |step: StepIndex, mark: Mark| {
        let mut caption = Caption { name: saga[step].id.id().to_owned(), marks: vec![mark], lines: Vec::new() };
        caption.condition(&saga[step]);
        caption
    };
    match block.kind {
        BlockKind::Group(index) => {
            let group = &saga.groups[index.0];
            let id = group.id.to_string();
            let name = id.rsplit('/').next().unwrap_or(&id).to_owned();
            let mut caption = Caption { name, marks: vec![Mark::Parallel], lines: Vec::new() };
            if group.max < block.list.entries.len() {
                caption.say(Role::Words, format!("at most {} at once", group.max));
            }
            if !group.cancel_others {
                caption.say(Role::Words, "all are tried, even if one fails".to_owned());
            }
            caption
        }
        BlockKind::Switch(step) => of_step(step, Mark::Switch),
        BlockKind::Arm { switch, arm } => {
            let condition = match &saga[switch].action {
                Action::Switch(arms) => arms.get(arm).and_then(|arm| arm.when.as_ref()),
                _ => None,
            };
            let name = condition.map_or_else(|| "else".to_owned(), |when| format!("when {}", short(when.source())));
            Caption { name: shown(&name), marks: Vec::new(), lines: Vec::new() }
        }
        BlockKind::Loop(index) => {
            let each = &saga.loops[index.0];
            let mut caption = of_step(each.step, Mark::Loop);
            caption.say(Role::Value, format!("{} in {}", each.item, value(&each.list)));
            let how = if each.max == 1 { "one after the other".to_owned() } else { format!("{} at once", each.max) };
            caption.say(Role::Words, format!("{how}, at most {}", each.limit));
            caption
        }
        BlockKind::Sub(index) => {
            let frame = &saga.frames[index.0];
            let mut caption = of_step(frame.enter, Mark::SubSaga);
            caption.name = frame.path.id().to_owned();
            caption.say(Role::Words, format!("{}, version {}", frame.saga, frame.version));
            if let Some(deadline) = frame.deadline {
                caption.say(Role::Words, format!("within {}", duration(deadline)));
            }
            caption
        }
    }
}

/// What starts the saga.
pub(super) fn start(saga: &Saga) -> String {
    shown(&format!("{} {}", saga.trigger.method, saga.trigger.path))
}

/// What the caller gets when all is done.
pub(super) fn completed(saga: &Saga) -> String {
    shown(&format!("completed: {}", status(saga.response.completed.as_ref(), "200")))
}

/// What the caller gets when all that was done is undone.
pub(super) fn compensated(saga: &Saga) -> String {
    shown(&format!("compensated: {}", status(saga.response.compensated.as_ref(), "409")))
}

/// What it does, in its author's words.
pub(super) fn description(saga: &Saga) -> Option<String> {
    saga.description.as_deref().map(|text| shown(&short(text)))
}

/// What holds for the whole saga.
pub(super) fn about(saga: &Saga) -> Vec<String> {
    let mut about: Vec<String> = saga.deadline.iter().map(|deadline| format!("deadline {}", duration(*deadline))).collect();
    if saga.sensitive {
        about.push("sensitive".to_owned());
    }
    about
}

fn status(reply: Option<&Reply>, default: &str) -> String {
    reply.map_or_else(|| default.to_owned(), |reply| value(&reply.status))
}

impl Caption {
    fn say(&mut self, role: Role, text: String) {
        self.lines.push(Line { role, text: shown(&text) });
    }

    fn condition(&mut self, step: &Step) {
        if let Some(when) = &step.when {
            self.say(Role::Condition, format!("when {}", short(when.source())));
        }
    }

    fn values(&mut self, values: &[(VariableName, ValueTemplate)]) {
        self.marks.push(Mark::Computes);
        for (name, template) in values {
            self.say(Role::Value, format!("{name} = {}", value(template)));
        }
    }

    fn call(&mut self, step: &Step, call: &CallStep) {
        match step.position {
            Position::Pivot => self.marks.push(Mark::Pivot),
            Position::After => self.marks.push(Mark::UntilDone),
            Position::Before => {}
        }
        if call.effect == Effect::None {
            self.marks.push(Mark::Reads);
        }
        if step.on_failure == OnFailure::Continue {
            self.marks.push(Mark::MayFail);
        }
        self.say(Role::Call, target(&call.call.target));
        match &call.later {
            None => {}
            Some(Later::Poll(poll)) => {
                self.marks.push(Mark::Poll);
                self.say(Role::Words, format!("then asks every {} to {}", duration(poll.every), duration(poll.max_every)));
                self.say(Role::Call, target(&poll.target));
                self.say(Role::Words, format!("at most {}, until", duration(poll.within)));
                self.say(Role::Value, short(poll.until.source()));
            }
            Some(Later::Callback(callback)) => {
                self.marks.push(Mark::Callback);
                self.say(Role::Words, format!("then waits to be called back, at most {}", duration(callback.within)));
            }
        }
        self.doubt(&call.in_doubt);
        match &call.compensate {
            Some(undo) => self.undo(undo),
            None if call.effect != Effect::None && step.position == Position::Before => {
                self.say(Role::Stays, "nothing undoes it".to_owned());
            }
            None => {}
        }
    }

    fn doubt(&mut self, in_doubt: &InDoubt) {
        match in_doubt {
            InDoubt::Resend => {}
            InDoubt::Check(check) => {
                self.say(Role::Words, "in doubt, asks".to_owned());
                self.say(Role::Call, target(&check.target));
            }
            InDoubt::Compensate => self.say(Role::Words, "in doubt, is undone blindly".to_owned()),
            InDoubt::Barrier => self.say(Role::Words, "in doubt, is undone or forbidden".to_owned()),
            InDoubt::Manual => self.say(Role::Words, "in doubt, waits for an operator".to_owned()),
        }
    }

    fn undo(&mut self, undo: &Undo) {
        self.say(Role::Undo, target(&undo.call.target));
    }
}

fn target(target: &CallTarget) -> String {
    let upstream = target.upstream().map(|name| format!("{name} ")).unwrap_or_default();
    format!("{upstream}{} {}", target.method(), text(target.template()))
}

/// A template as it is written, its expressions in braces.
fn text(template: &Template) -> String {
    let source = template.source();
    let mut shown = String::with_capacity(source.len());
    let mut end = 0;
    for (expression, span) in template.expressions() {
        shown.push_str(&source[end..span.start]);
        shown.push_str(&format!("{{{}}}", short(expression.source())));
        end = span.end;
    }
    shown.push_str(&source[end..]);
    shown
}

/// One value: an expression, text, or what it is made of.
fn value(template: &ValueTemplate) -> String {
    if let Some(constant) = template.constant() {
        return constant.as_str().map_or_else(|| constant.to_string(), str::to_owned);
    }
    match &template.templates()[..] {
        [(at, template)] if at.is_root() => match template.whole() {
            Some(expression) => short(expression.source()),
            None => text(template),
        },
        _ => "…".to_owned(),
    }
}

/// An expression on one line.
fn short(expression: &str) -> String {
    let words: Vec<&str> = expression.split_whitespace().collect();
    words.join(" ")
}

/// On one line, no longer than anybody reads, and without what a reader cannot see.
fn shown(text: &str) -> String {
    match text.char_indices().nth(MOST_CHARS) {
        Some((cut, _)) => format!("{}…", escaped(&text[..cut])),
        None => escaped(text),
    }
}

fn duration(duration: Duration) -> String {
    DurationText::new(duration).map_or_else(|| format!("{duration:?}"), |text| text.to_string())
}
