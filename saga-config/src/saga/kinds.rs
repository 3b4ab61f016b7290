//! What a step is: one key of it says so.

use serde_json::Value;

use super::{
    ordered::Ordered,
    raw::{Arm, Foreach, Parallel, Send, Step, SubSaga, Wait},
};

/// What a step is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind<'r> {
    Group(&'r Parallel),
    Switch(&'r [Option<Arm>]),
    Loop(&'r Foreach),
    Timer(&'r Wait),
    Callback(&'r Wait, &'r Send),
    Call,
    Set(&'r Ordered<Value>),
    Sub(&'r SubSaga),
}

/// The keys that say what a step is, as messages list them.
pub(super) const ONE_OF: &str = "one of `call`, `set`, `saga`, `parallel`, `switch`, `foreach` and `wait`";

/// What a step is, and which of its keys would make it something else.
pub(super) fn kinds(raw: &Step) -> (Option<Kind<'_>>, Vec<&'static str>) {
    let written = [
        ("parallel", raw.parallel.as_deref().map(Kind::Group)),
        ("switch", raw.switch.as_deref().map(Kind::Switch)),
        ("foreach", raw.foreach.as_ref().map(Kind::Loop)),
        ("wait", raw.wait.as_ref().map(Kind::of_wait)),
        ("call", raw.call.as_ref().map(|_| Kind::Call)),
        ("set", raw.set.as_ref().map(Kind::Set)),
        ("saga", raw.saga.as_ref().map(Kind::Sub)),
    ];
    let mut written = written.into_iter().filter_map(|(key, kind)| Some((key, kind?)));
    let first = written.next().map(|(_, kind)| kind);
    (first, written.map(|(key, _)| key).collect())
}

impl<'r> Kind<'r> {
    fn of_wait(wait: &'r Wait) -> Self {
        wait.callback.as_deref().map_or(Self::Timer(wait), |send| Self::Callback(wait, send))
    }

    /// The keys that are there and mean nothing at such a step.
    pub(super) fn meaningless(self, raw: &Step) -> impl Iterator<Item = &'static str> {
        let known = self.known();
        details(raw).into_iter().filter(|(key, is_written)| *is_written && !known.contains(key)).map(|(key, _)| key)
    }

    /// Which of the [`details`] it may have.
    fn known(self) -> &'static [&'static str] {
        match self {
            Self::Group(_) => &[],
            Self::Switch(_) | Self::Timer(_) => &["when"],
            Self::Loop(_) => &["when", "steps"],
            Self::Call => &[
                "body",
                "headers",
                "auth",
                "timeout",
                "retry",
                "accept",
                "outcome",
                "effect",
                "in_doubt",
                "output",
                "compensate",
                "pivot",
                "when",
                "on_failure",
            ],
            Self::Callback(..) => &["outcome", "effect", "in_doubt", "output", "compensate", "pivot", "when", "on_failure"],
            Self::Set(_) | Self::Sub(_) => &["when", "on_failure"],
        }
    }

    /// What it is, in a message that says that something means nothing there.
    pub(super) fn place(self) -> &'static str {
        match self {
            Self::Group(_) => "at a group",
            Self::Switch(_) => "at a switch: it only chooses",
            Self::Loop(_) => "at a loop: its steps act",
            Self::Timer(_) => "at a timer: it only lets time pass",
            Self::Callback(..) => "at a step that waits for a callback",
            Self::Call => "at a step that calls",
            Self::Set(_) => "at a step that computes: it calls nobody",
            Self::Sub(_) => "at a sub-saga: its own steps act",
        }
    }

    /// Why a step that declares no outputs has none.
    pub(super) fn without_outputs(self) -> &'static str {
        match self {
            Self::Group(_) => "a group has no outputs of its own: read its steps",
            Self::Switch(_) => "a switch has no outputs of its own: read the steps of its arms",
            Self::Loop(_) => "a loop has no outputs of its own: read its steps, whose outputs are lists",
            Self::Timer(_) => "a timer has no outputs",
            Self::Call | Self::Callback(..) | Self::Set(_) | Self::Sub(_) => {
                "it keeps nothing of its answer: add it to its `output`"
            }
        }
    }

    /// What to do with a key that means nothing.
    pub(super) fn instead(self, key: &str) -> &'static str {
        match (self, key) {
            (Self::Group(_), "on_failure") => "write `on_failure` inside of `parallel`, or at its steps",
            (Self::Group(_), "steps") => "write them inside of `parallel`",
            (Self::Group(_), _) => "write it at the group's steps",
            (Self::Switch(_), "steps") => "write them at its arms",
            (Self::Switch(_), _) => "write it at the steps of its arms",
            (Self::Loop(_), _) => "write it at its `steps`",
            (Self::Callback(..), "body" | "headers" | "auth" | "timeout" | "retry") => "write it inside of `callback`",
            (Self::Callback(..), "accept") => "the callback is the end: leave it out",
            (Self::Call, "steps") => "write `foreach` beside them, or put them into the list itself",
            (Self::Sub(_), "compensate") => "a sub-saga is undone by undoing its steps: say it at those",
            (Self::Sub(_), "output") => "a sub-saga gives its `status` and `body`: say in its `response.completed` what they are",
            (Self::Sub(_), "pivot") => "put the pivot after it: a sub-saga can be undone to its end",
            (Self::Sub(_), "steps") => "they are in the sub-saga's own file",
            (Self::Sub(_), _) => "say it at the sub-saga's steps",
            (Self::Call | Self::Callback(..) | Self::Timer(_) | Self::Set(_), _) => "leave it out",
        }
    }
}

/// The keys that some kinds of steps have and others do not, and whether each is there.
fn details(raw: &Step) -> [(&'static str, bool); 15] {
    [
        ("steps", raw.steps.is_some()),
        ("body", raw.body.is_some()),
        ("headers", raw.headers.is_some()),
        ("auth", raw.auth.is_some()),
        ("timeout", raw.timeout.is_some()),
        ("retry", raw.retry.is_some()),
        ("accept", raw.accept.is_some()),
        ("outcome", raw.outcome.is_some()),
        ("effect", raw.effect.is_some()),
        ("in_doubt", raw.in_doubt.is_some()),
        ("output", raw.output.is_some()),
        ("compensate", raw.compensate.is_some()),
        ("pivot", raw.pivot.is_some()),
        ("when", raw.when.is_some()),
        ("on_failure", raw.on_failure.is_some()),
    ]
}
