//! What goes into the machine and what comes out: events, and turns with entries to append and effects to perform.

use std::time::Duration;

use saga_config::{names::StepPath, saga::Effect as StepEffect};
use serde_json::{Map, Value};

use super::entry::{Act, Entry, FrozenRequest, Which};
use crate::{store::journal::SagaState, time::Timestamp};

/// Something happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A driver has the saga: it was just created, or taken over. What was under way before is under way no more; nobody knows what
    /// became of it.
    Taken,
    /// Time has passed.
    Tick,
    /// A [`Effect::Send`] came to its end.
    Answered {
        /// Which call.
        of: Which,
        /// What came of it.
        answer: Answer,
    },
    /// A [`Effect::Check`] came to its end.
    Checked {
        /// Which call was in doubt, or had been accepted.
        of: Which,
        /// What the probe found.
        finding: Finding,
    },
    /// Somebody called back.
    CalledBack {
        /// The step that waits for it.
        step: StepPath,
        /// What was sent.
        body: Value,
        /// Tells its own repeat: what has a nonce that is in the journal is done already.
        nonce: String,
    },
    /// An operator's command.
    Command {
        /// What is to happen.
        act: Act,
        /// Why.
        reason: String,
        /// Tells its own repeat: a command whose nonce is in the journal is done already.
        nonce: String,
    },
}

/// What came of one send.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// An HTTP answer of the service, or a replay of it. The machine judges it by the step's `outcome` and its status.
    Replied(Reply),
    /// A problem of a Refrain in between that is no answer of the service: it has not decided yet, or could not reach the service.
    NotYet {
        /// Which problem.
        reason: String,
        /// When to ask again, if it said so.
        retry_after: Option<Duration>,
    },
    /// No byte left.
    NotSent {
        /// Why.
        reason: String,
        /// When to try again, where that is known: an open breaker.
        retry_after: Option<Duration>,
    },
    /// Something left, and nobody knows what became of it.
    Unknown {
        /// Why.
        reason: String,
    },
    /// The participant's Refrain did carry it out, and does not have the answer (`response-not-kept`).
    NotKept,
    /// The participant's Refrain has sealed the key (`step-cancelled`): it was not carried out, and never will be.
    Sealed,
    /// The participant's Refrain answered an undo itself: there is nothing to undo, and never will be (empty compensation).
    NothingToUndo,
    /// A Refrain refused the call itself (`untrusted-peer`): it is asked again, seldom, and someone is told.
    Untrusted,
    /// A Refrain said something that must not be (`key-reused`, another 4xx problem of its own): quarantine.
    Wrong {
        /// What it said.
        reason: String,
    },
}

/// An answer of the service.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// Its status.
    pub status: u16,
    /// As expressions see it: `status`, `headers`, `body`.
    pub response: Value,
    /// `Retry-After`, if there is one.
    pub retry_after: Option<Duration>,
    /// Whether a Refrain says that this is the answer of the only send (`Idempotency-Attempt: 1`).
    pub only_send: bool,
    /// How long the participant's Refrain remembers the key (`Idempotency-Expires`).
    pub remembered_for: Option<Duration>,
}

/// What a probe found.
#[derive(Clone, Debug, PartialEq)]
pub enum Finding {
    /// The probe's answer; the machine judges it by `done`.
    Replied(Reply),
    /// It could not tell.
    CannotTell {
        /// Why.
        reason: String,
    },
}

/// What comes of an event. The driver appends `entries` and applies `then` in one store call, and performs `effects` after that.
#[derive(Clone, Debug, PartialEq)]
pub struct Turn {
    /// To append, in this order. The machine has folded them in already.
    pub entries: Vec<Entry>,
    /// To perform, once the entries are durable.
    pub effects: Vec<Effect>,
    /// Where the saga stands now.
    pub state: SagaState,
    /// Whether it is paused.
    pub paused: bool,
    /// What comes then.
    pub then: Then,
    /// Why the answer in `then` is the default and not the definition's own, if that could not be rendered. For the log.
    pub answer_fault: Option<String>,
}

/// What comes after a turn.
#[derive(Clone, Debug, PartialEq)]
pub enum Then {
    /// Calls are under way: wait for their answers, and for this time (`None`: no timer).
    Await {
        /// When to send a [`Event::Tick`] at the latest.
        tick_at: Option<Timestamp>,
    },
    /// Nothing is under way; it goes on at this time. The driver may park it.
    Sleep {
        /// When.
        until: Timestamp,
    },
    /// Nothing goes on without a command: quarantined, or paused.
    Rest {
        /// What callers get, where it is quarantined.
        answer: Option<FinalAnswer>,
    },
    /// It has ended.
    End {
        /// What callers get.
        answer: FinalAnswer,
    },
}

/// What a caller gets.
#[derive(Clone, Debug, PartialEq)]
pub struct FinalAnswer {
    /// The status.
    pub status: u16,
    /// Headers of the definition.
    pub headers: Vec<(String, String)>,
    /// The JSON body, as text, byte for byte.
    pub body: Option<String>,
    /// Whether the body is a problem (RFC 9457).
    pub is_problem: bool,
}

/// What the driver does. Its end comes back as an event with the same [`Which`]. At most one is under way for each [`Which`].
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Sends a step's request, or its undo's.
    Send(Box<SendEffect>),
    /// Sends a probe's request.
    Check(Box<CheckEffect>),
}

/// A request to send.
#[derive(Clone, Debug, PartialEq)]
pub struct SendEffect {
    /// Which call.
    pub of: Which,
    /// Its key (invariant 3): the same for every attempt.
    pub key: String,
    /// The number of the send, from 1, over all starts and askings of this generation as far as this driver knows.
    pub attempt: u32,
    /// The request.
    pub request: FrozenRequest,
    /// Whether the upstream's own credentials go with it.
    pub service_auth: bool,
    /// What it does to the service: with [`StepEffect::None`] it carries no key.
    pub effect: StepEffect,
    /// `Saga-In-Doubt`: whether a participant that cannot find out what became of an attempt is to send it again: the definition itself
    /// says so, or the call sets a state and may be carried out twice.
    pub resend: bool,
    /// `Saga-Resolve`: whether this only asks what became of it (invariant 10).
    pub resolve: bool,
    /// When this call's first start was journalled, where this is a later send: a participant that is only asked what became of it
    /// tells by it "never seen" from "forgotten". `None`: it is the first.
    pub first_sent: Option<Timestamp>,
    /// For an undo.
    pub undo: Option<UndoFacts>,
    /// What is read of the answer besides its status: the rest may be left out of [`Reply::response`].
    pub reads: Reads,
    /// How long to wait for the answer.
    pub timeout: Duration,
}

/// What a definition reads of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reads {
    /// Its headers, or some of them.
    pub headers: bool,
    /// Its body, or a part of it.
    pub body: bool,
}

impl Reads {
    /// All of it.
    pub const ALL: Self = Self { headers: true, body: true };
}

/// What the driver tells a participant's Refrain with an undo.
#[derive(Clone, Debug, PartialEq)]
pub struct UndoFacts {
    /// The step's key (`Saga-Undo-Of`).
    pub of: String,
    /// `Saga-Undo-Knows`: what the driver knows of the step.
    pub knows: UndoKnows,
    /// When the step's first send was journalled (`Saga-First-Sent`).
    pub first_sent: Timestamp,
}

/// What a driver knows of the step that is undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UndoKnows {
    /// It was carried out: there is an answer that says so.
    Done,
    /// There is no answer.
    Unknown,
}

/// A probe to send: to find out what became of a call that is in doubt, or to ask whether one that was accepted is done.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckEffect {
    /// Which call.
    pub of: Which,
    /// The probe's request: GET or HEAD, without a key.
    pub request: FrozenRequest,
    /// Whether the upstream's own credentials go with it.
    pub service_auth: bool,
    /// How long to wait for the answer.
    pub timeout: Duration,
}

/// What the machine knows of the upstreams' configuration: facts that are not in the definition.
pub trait Upstreams {
    /// How long a request may still act after it was sent.
    fn max_execution(&self, upstream: Option<&str>) -> Duration;
    /// How long the participant remembers a key, where it is configured; `None`: 24 hours.
    fn idempotency_window(&self, upstream: Option<&str>) -> Option<Duration>;
    /// Its origins (`https://a.example`), for references that a service gave.
    fn origins(&self, upstream: Option<&str>) -> Vec<String>;
    /// A secret, as it is now; `None`: there is none of this name. For bodies only: in headers secrets are bound by who sends.
    fn secret(&self, name: &str) -> Option<String>;
}

/// A saga as people see it: the status resource, and the operator's view.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct StepView {
    /// The step.
    pub step: StepPath,
    /// `pending`, `sending`, `done`, `failed`, `maybe_done`, `skipped`, `waiting`.
    pub state: &'static str,
    /// `none`, `planned`, `sending`, `undone`, `undo_failed`.
    pub undo: &'static str,
    /// Starts made.
    pub starts: u32,
    /// When it goes on, if it waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub again_at: Option<Timestamp>,
    /// The last reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Its outputs. Left out of the status resource.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<Map<String, Value>>,
}
