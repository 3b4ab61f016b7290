//! A step that calls: its call, what becomes of doubt, how it comes to its end, how it is undone.

use std::time::Duration;

use http::HeaderName;

use crate::{
    expr::Expression,
    names::VariableName,
    template::{CallTarget, Template, ValueTemplate},
};

/// A step that calls.
#[derive(Debug, Clone)]
pub struct CallStep {
    /// The call. Names: `input`, `steps`, `saga`, `step`.
    pub call: Call,
    /// What the call does to the service.
    pub effect: Effect,
    /// What is done when nobody knows whether the call was carried out.
    pub in_doubt: InDoubt,
    /// Whether the step itself said so, and not `defaults`: a participant believes only that (`Saga-In-Doubt: resend`).
    pub in_doubt_is_own: bool,
    /// What comes between the call's answer and the step's end; `None`: the answer is the end.
    pub later: Option<Later>,
    /// What is kept of the answer. Names: those of the call and `response`; for [`Later::Callback`] `callback`.
    pub output: Vec<(VariableName, ValueTemplate)>,
    /// How it is undone; `None`: not at all, as its author said, or because it has no effect.
    pub compensate: Option<Undo>,
}

/// How a step that was accepted comes to its end. The call's positive answer is journalled as `accepted`, and freezes the undo
/// ([`Frozen::WithAcceptance`]); from then on the call is never sent again.
#[derive(Debug, Clone)]
pub enum Later {
    /// The service is asked until it is done (`accept`).
    Poll(Box<Poll>),
    /// Somebody calls back (`wait: {callback: …}`).
    Callback(Callback),
}

/// Asks a service that has accepted a request until it is done. The step's `outcome` judges the last answer.
#[derive(Debug, Clone)]
pub struct Poll {
    /// The status by which the service accepts; any other positive answer is the end at once.
    pub status: u16,
    /// A GET or HEAD. Names: those of the call, and `response`: the answer that accepted.
    pub target: CallTarget,
    /// Headers, with the same names.
    pub headers: Vec<(HeaderName, Template)>,
    /// Whose credentials it carries.
    pub auth: Auth,
    /// For one attempt.
    pub timeout: Duration,
    /// The first delay, which doubles each time.
    pub every: Duration,
    /// The longest delay.
    pub max_every: Duration,
    /// Whether an answer is the end. Names: those of the call, and `response`: the poll's answer. Only of 2xx; others are asked again.
    pub until: Expression,
    /// How long, from the acceptance (`for`); then the step has failed, and is undone as one that was carried out.
    pub within: Duration,
}

/// Somebody calls back, at a URL that the call is given (`callback.url`): unguessable, and good for one answer.
#[derive(Debug, Clone)]
pub struct Callback {
    /// How long, from the acceptance (`for`); then the step has failed, and is undone as one that was carried out.
    pub within: Duration,
    /// Whether what came is a no: the step has failed, and is undone as one that was carried out. Names: those of the call, `callback`
    /// (`body`).
    pub failure: Option<Expression>,
}

/// One call.
#[derive(Debug, Clone)]
pub struct Call {
    /// Upstream, method and target.
    pub target: CallTarget,
    /// Headers.
    pub headers: Vec<(HeaderName, Template)>,
    /// Whether the upstream's own credentials are sent.
    pub auth: Auth,
    /// The JSON body.
    pub body: Option<ValueTemplate>,
    /// For one attempt.
    pub timeout: Duration,
    /// How often, and how it is spaced.
    pub retry: Retry,
    /// Which answers mean what. Names: those of the call and `response`.
    pub outcome: Outcome,
}

/// Whose credentials a call carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Auth {
    /// None.
    #[default]
    None,
    /// The upstream's own (`auth: service`).
    Service,
}

/// What a call does to the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Effect {
    /// It reads. It carries no key and needs no undo.
    None,
    /// Doing it twice is as doing it once.
    Idempotent,
    /// It must happen once.
    #[default]
    Once,
}

/// How often a call is tried. At least one of `max` and `within` is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// The most starts, the first included. Asking again for an answer, and attempts that sent nothing, are not starts.
    pub max: Option<u32>,
    /// How long, from the first start (`for`).
    pub within: Option<Duration>,
    /// The backoff's first bound.
    pub initial: Duration,
    /// The backoff's last bound.
    pub max_delay: Duration,
}

/// Which answers mean what. Tried in this order: failure, pending, success; what none says is judged by its status.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// A definite no.
    pub failure: Option<Expression>,
    /// Not an answer yet: ask again with the same key.
    pub pending: Option<Expression>,
    /// Done. Where it is there and says no, the answer is a failure if its status is 1xx to 4xx, and unknown otherwise.
    pub success: Option<Expression>,
}

/// What is done when nobody knows whether a call was carried out.
#[derive(Debug, Clone)]
pub enum InDoubt {
    /// The same request again, with the same key, until there is a definite answer.
    Resend,
    /// A probe decides.
    Check(Box<Check>),
    /// It is undone blindly. Its undo uses nothing of the step's own answer.
    Compensate,
    /// It is undone through the participant's Refrain, which knows or forbids it. Its undo uses nothing of the step's own answer.
    Barrier,
    /// An operator decides.
    Manual,
}

/// Asks a service whether it did what nobody knows.
#[derive(Debug, Clone)]
pub struct Check {
    /// A GET or HEAD. Names: `input`, `steps`, `saga`, `step`.
    pub target: CallTarget,
    /// Headers.
    pub headers: Vec<(HeaderName, Template)>,
    /// Whose credentials it carries.
    pub auth: Auth,
    /// "Not done" counts only this long after the send.
    pub after: Duration,
    /// For one attempt.
    pub timeout: Duration,
    /// Whether the answer says that it was done. Names: those of the target and `response`.
    pub done: Expression,
    /// What counts as the step's answer then; absent: the probe's own.
    pub response: Option<CheckResponse>,
}

/// The answer built from a probe's.
#[derive(Debug, Clone)]
pub struct CheckResponse {
    /// Its status. Names: as for [`Check::done`].
    pub status: ValueTemplate,
    /// Its body.
    pub body: ValueTemplate,
}

/// How a step is undone.
#[derive(Debug, Clone)]
pub struct Undo {
    /// The call. Names: `input`, `steps`, `saga`, `step` (the undo's own key).
    pub call: Call,
    /// What it does to the service.
    pub effect: Effect,
    /// [`InDoubt::Resend`] or [`InDoubt::Check`].
    pub in_doubt: InDoubt,
    /// Whether it says so itself.
    pub in_doubt_is_own: bool,
    /// When its request can be rendered.
    pub frozen: Frozen,
    /// What happens when its budget is spent.
    pub on_exhausted: OnExhausted,
}

/// When an undo's request is rendered and frozen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frozen {
    /// With the intent: it uses nothing of the step's own answer.
    WithIntent,
    /// With the acceptance ([`Later`]): it uses `steps.ID.accepted`, and no other output of its own step.
    WithAcceptance,
    /// With the step's success: it uses the answer.
    WithAnswer,
}

/// What happens when an undo's budget is spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnExhausted {
    /// The saga waits for an operator.
    #[default]
    Quarantine,
    /// The undo counts as made; said in the journal and in a metric.
    Continue,
}
