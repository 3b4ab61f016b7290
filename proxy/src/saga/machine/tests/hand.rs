//! A machine that is driven by hand.

use std::{sync::Arc, time::Duration};

use saga_config::saga::Saga;
use serde_json::{Value, json};

use super::{
    super::Machine,
    build::{BEGIN, ID, shared, started},
    world::{Facts, reply},
};
use crate::{
    saga::{
        entry::{Act, Direction, Entry, Started, What, Which},
        turn::{Answer, Effect, Event, FinalAnswer, Finding, SendEffect, Then, Turn},
    },
    time::Timestamp,
};

/// A machine, and all that came of it.
pub(super) struct Hand {
    pub(super) machine: Machine,
    pub(super) now: Timestamp,
    pub(super) journal: Vec<Entry>,
    pub(super) turn: Turn,
    nonce: u32,
}

impl Hand {
    /// A saga that was just created.
    pub(super) fn start(definition: Saga) -> Self {
        let definition = shared(definition);
        let started = started(&definition);
        Self::begin(&definition, started)
    }

    /// The same, that began in its own way.
    pub(super) fn begin(definition: &Arc<Saga>, started: Started) -> Self {
        let (mut machine, first) = Machine::start(ID, Arc::clone(definition), started, BEGIN);
        let turn = machine.on(Event::Taken, BEGIN, &Facts);
        let journal = std::iter::once(first).chain(turn.entries.iter().cloned()).collect();
        Self { machine, now: BEGIN, journal, turn, nonce: 0 }
    }

    pub(super) fn on(&mut self, event: Event) -> &mut Self {
        self.turn = self.machine.on(event, self.now, &Facts);
        self.journal.extend(self.turn.entries.iter().cloned());
        let replayed = Machine::replay(ID, Arc::clone(&self.machine.definition), &self.journal).unwrap();
        assert_eq!(replayed.state, self.machine.state, "replay equals live");
        let Machine { agenda, definition, state, .. } = &self.machine;
        assert_eq!(*agenda, agenda.again(definition, state), "what can go on follows from the state");
        let is_fault = self.machine.reason().is_some_and(|reason| reason.contains("Refrain's own"));
        assert!(!is_fault, "a saga without a next step: {:#?}", self.journal);
        self
    }

    /// The driver is lost, and another takes the saga after some time.
    pub(super) fn lose(&mut self, after: Duration) -> &mut Self {
        self.machine = Machine::replay(ID, Arc::clone(&self.machine.definition), &self.journal).unwrap();
        self.now = self.now.plus(after);
        self.on(Event::Taken)
    }

    pub(super) fn after(&mut self, time: Duration) -> &mut Self {
        self.now = self.now.plus(time);
        self.on(Event::Tick)
    }

    /// Until the time that the machine asked for.
    pub(super) fn sleep(&mut self) -> &mut Self {
        let until = match self.turn.then {
            Then::Sleep { until } => until,
            Then::Await { tick_at: Some(at) } => at,
            ref other => panic!("{other:?} is no timer: {:#?}", self.journal),
        };
        self.now = until;
        self.on(Event::Tick)
    }

    pub(super) fn answer(&mut self, call: &str, answer: Answer) -> &mut Self {
        let of = self.which(call);
        assert!(self.machine.is_under_way(&of), "{call} is under way: {:#?}", self.journal);
        self.on(Event::Answered { of, answer })
    }

    pub(super) fn replied(&mut self, call: &str, status: u16, body: Value) -> &mut Self {
        self.answer(call, Answer::Replied(reply(status, body, false)))
    }

    pub(super) fn done(&mut self, call: &str) -> &mut Self {
        self.replied(call, 201, json!({"id": format!("{call}-1")}))
    }

    pub(super) fn unknown(&mut self, call: &str) -> &mut Self {
        self.answer(call, Answer::Unknown { reason: "timeout".to_owned() })
    }

    pub(super) fn not_yet(&mut self, call: &str) -> &mut Self {
        self.answer(call, Answer::NotYet { reason: "in-flight".to_owned(), retry_after: None })
    }

    pub(super) fn not_sent(&mut self, call: &str) -> &mut Self {
        self.answer(call, Answer::NotSent { reason: "no route".to_owned(), retry_after: None })
    }

    pub(super) fn found(&mut self, call: &str, body: Value) -> &mut Self {
        let of = self.which(call);
        assert!(self.machine.is_under_way(&of), "the probe of {call} is under way");
        self.on(Event::Checked { of, finding: Finding::Replied(reply(200, body, false)) })
    }

    pub(super) fn command(&mut self, act: Act) -> &mut Self {
        self.nonce += 1;
        let nonce = format!("nonce-{}", self.nonce);
        self.on(Event::Command { act, reason: "because".to_owned(), nonce })
    }

    /// As [`Self::command`], and it applies.
    pub(super) fn obeys(&mut self, act: Act) -> &mut Self {
        assert_eq!(self.machine.can(&act), Ok(()));
        self.command(act);
        let refused = self.turn.entries.iter().any(|entry| matches!(&entry.what, What::Operator { refused: Some(_), .. }));
        assert!(!refused, "{:?}", self.turn.entries);
        self
    }

    /// As [`Self::command`], and it does not apply: why.
    pub(super) fn refuses(&mut self, act: Act) -> String {
        let why = self.machine.can(&act).unwrap_err();
        self.command(act);
        assert!(matches!(&self.turn.entries[0].what, What::Operator { refused: Some(refused), .. } if *refused == why));
        assert_eq!(self.turn.entries.len(), 1);
        why
    }

    /// What the last turn sends: `do a`, `undo b`, `check c`.
    pub(super) fn sends(&self) -> Vec<String> {
        let words = |of: &Which| format!("{} {}", if of.direction == Direction::Forward { "do" } else { "undo" }, of.step);
        let one = |effect: &Effect| match effect {
            Effect::Send(send) => words(&send.of),
            Effect::Check(check) => format!("check {}", words(&check.of)),
        };
        self.turn.effects.iter().map(one).collect()
    }

    /// The only request that the last turn sends.
    pub(super) fn sent(&self) -> &SendEffect {
        match &*self.turn.effects {
            [Effect::Send(send)] => send,
            other => panic!("not one request: {other:?}"),
        }
    }

    /// What the last turn journals.
    pub(super) fn entries(&self) -> Vec<&'static str> {
        self.turn.entries.iter().map(|entry| kind(&entry.what)).collect()
    }

    pub(super) fn end(&self) -> &FinalAnswer {
        match &self.turn.then {
            Then::End { answer } | Then::Rest { answer: Some(answer) } => answer,
            other => panic!("{other:?} is no end: {:#?}", self.journal),
        }
    }

    pub(super) fn states(&self) -> Vec<(&'static str, &'static str)> {
        self.machine.view().iter().map(|view| (view.state, view.undo)).collect()
    }

    /// `a` is the call of step a, `undo a` its undo's.
    pub(super) fn which(&self, call: &str) -> Which {
        let (direction, id) = match call.strip_prefix("undo ") {
            Some(id) => (Direction::Undo, id),
            None => (Direction::Forward, call),
        };
        let i = self.machine.state.instances.find(&self.machine.definition, &id.parse().unwrap()).unwrap();
        let generation = self.machine.state.steps[i].call_of(direction).generation;
        Which { step: id.parse().unwrap(), direction, generation }
    }
}

pub(super) fn kind(what: &What) -> &'static str {
    match what {
        What::Started(_) => "started",
        What::Sending { .. } => "sending",
        What::Asking { .. } => "asking",
        What::NotSent { .. } => "not_sent",
        What::Doubted { .. } => "doubted",
        What::Waiting { .. } => "waiting",
        What::NotDone { .. } => "not_done",
        What::Done { .. } => "done",
        What::Refused { .. } => "refused",
        What::GivenUp { .. } => "given_up",
        What::Skipped { .. } => "skipped",
        What::Set { .. } => "set",
        What::Chosen { .. } => "chosen",
        What::Listed { .. } => "listed",
        What::Timed { .. } => "timed",
        What::Elapsed { .. } => "elapsed",
        What::Accepted { .. } => "accepted",
        What::Polled { .. } => "polled",
        What::CalledBack { .. } => "called_back",
        What::Undone { .. } => "undone",
        What::UndoFailed { .. } => "undo_failed",
        What::Compensating { .. } => "compensating",
        What::Quarantined { .. } => "quarantined",
        What::Ended { .. } => "ended",
        What::Operator { .. } => "operator",
    }
}

pub(super) fn sealed() -> Answer {
    Answer::Sealed
}
