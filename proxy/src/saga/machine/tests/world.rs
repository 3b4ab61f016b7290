//! A world for a saga: services that keep books, a network that loses and delays, a store, and drivers that crash.
//!
//! Whatever can go one way or another is asked of [`Choices`]: 0 is what should happen, everything else is a fault.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use saga_config::saga::Saga;
use serde_json::{Value, json};

use super::{
    super::Machine,
    build::{BEGIN, ID, MAX_EXECUTION, started},
};
use crate::{
    saga::{
        entry::{Act, Direction, Entry, Which},
        turn::{Answer, Effect, Event, Finding, Reply, SendEffect, Then, Turn, Upstreams},
    },
    store::journal::SagaState,
    time::Timestamp,
};

mod audit;
mod checks;
mod later;
mod services;

/// What the machine is told of upstreams.
pub(super) struct Facts;

impl Upstreams for Facts {
    fn max_execution(&self, _: Option<&str>) -> Duration {
        MAX_EXECUTION
    }

    fn idempotency_window(&self, _: Option<&str>) -> Option<Duration> {
        None
    }

    fn origins(&self, _: Option<&str>) -> Vec<String> {
        vec!["http://svc.example".to_owned()]
    }

    fn secret(&self, _name: &str) -> Option<String> {
        None
    }
}

/// Where choices come from. `of` is how many there are; 0 is the good one.
pub(super) trait Choices {
    fn choose(&mut self, of: usize) -> usize;
}

/// What a service is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It has a Refrain beside it: keys are remembered, sealed and probed.
    Refrain,
    /// It remembers keys itself and replays its answer.
    Remembers,
    /// It remembers nothing, and can be asked by the reference.
    Ledger,
}

/// What becomes of one request on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Good,
    /// It arrives, and its answer is lost.
    AnswerLost,
    /// It is lost.
    Lost,
    /// It arrives late, when nobody waits for the answer any more.
    Late,
    NotSent,
    NotYet,
    /// The service says no.
    No,
    /// The service has an internal error, and did nothing.
    Broken,
    /// It arrives, and its answer is not kept.
    NotKept,
    Untrusted,
    /// A Refrain says what must not be.
    Wrong,
}

use Fate::{AnswerLost, Broken, Good, Late, Lost, No, NotKept, NotSent, NotYet, Untrusted, Wrong};

const FATES: [Fate; 8] = [Good, AnswerLost, Lost, Late, NotSent, NotYet, No, Broken];
const KINDLY_UNDONE: [Fate; 6] = [Good, AnswerLost, Lost, Late, NotSent, NotYet];
const ODD: [Fate; 11] = [Good, AnswerLost, Lost, Late, NotSent, NotYet, No, Broken, NotKept, Untrusted, Wrong];

/// What a participant remembers of a key.
#[derive(Clone, Debug, PartialEq)]
enum Record {
    Answered {
        reply: Value,
        status: u16,
        sends: u32,
    },
    /// Its Refrain died mid-call.
    Unknown,
    Sealed,
}

/// How the world plays.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    pub(super) kind: Kind,
    /// Whether drivers crash.
    pub(super) crashes: bool,
    /// Whether a service may refuse an undo.
    pub(super) undo_may_be_refused: bool,
    /// Whether Refrains say what they seldom say.
    pub(super) odd: bool,
    /// Whether operators meddle.
    pub(super) meddles: bool,
    /// Whether a saga that sleeps is given up, so that another driver takes it.
    pub(super) parks: bool,
}

/// What happened to a step at its service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Book {
    pub(super) done: u32,
    pub(super) undone: u32,
}

/// A world.
pub(super) struct World<'c> {
    pub(super) definition: Arc<Saga>,
    rules: Rules,
    choices: &'c mut dyn Choices,
    pub(super) now: Timestamp,
    pub(super) journal: Vec<Entry>,
    pub(super) books: BTreeMap<String, Book>,
    records: BTreeMap<String, Record>,
    late: Vec<(Timestamp, SendEffect)>,
    keys: BTreeMap<Which, String>,
    pub(super) faults: u32,
    pub(super) seen: BTreeSet<(String, String)>,
    pub(super) appends: usize,
    nonces: u32,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum End {
    Completed,
    Compensated,
    Quarantined,
}

impl<'c> World<'c> {
    pub(super) fn new(definition: Arc<Saga>, rules: Rules, choices: &'c mut dyn Choices) -> Self {
        Self {
            definition,
            rules,
            choices,
            now: BEGIN,
            journal: Vec::new(),
            books: BTreeMap::new(),
            records: BTreeMap::new(),
            late: Vec::new(),
            keys: BTreeMap::new(),
            faults: 0,
            seen: BTreeSet::new(),
            appends: 0,
            nonces: 0,
        }
    }

    /// Runs the saga until it ends or waits for an operator, and looks at the books.
    pub(super) fn run(&mut self) -> End {
        let end = self.drive(None);
        self.audit(end);
        end
    }

    /// Runs the saga, and if it waits for an operator, has one tell the truth until it ends.
    pub(super) fn run_with_operator(&mut self) -> End {
        let mut end = self.run();
        for round in 0..20 {
            if end != End::Quarantined {
                return end;
            }
            let act = self.truth(round);
            end = self.drive(Some(act));
            self.audit(end);
        }
        panic!("the operator cannot help: {}", self.story());
    }

    /// The journal, for a failing test.
    pub(super) fn story(&self) -> String {
        let lines =
            self.journal.iter().map(|entry| format!("{:>8} {:?}", entry.at.as_unix_ms() - BEGIN.as_unix_ms(), entry.what));
        format!("{}\n{:?}\n", lines.collect::<Vec<_>>().join("\n"), self.books)
    }

    fn fault(&mut self, of: usize) -> usize {
        let choice = self.choices.choose(of);
        self.faults += u32::from(choice != 0);
        choice
    }

    /// One driver after the other.
    fn drive(&mut self, mut command: Option<Act>) -> End {
        for _ in 0..200 {
            let (mut machine, mut turn) = self.take();
            let mut out: Vec<Effect> = Vec::new();
            for _ in 0..2000 {
                self.check_turn(&machine, &turn);
                if self.rules.crashes && !turn.entries.is_empty() {
                    match self.fault(3) {
                        0 => self.append(&machine, &turn),
                        // Before the append, and after it, or with its reply lost, but before the effects.
                        1 => break,
                        _ => {
                            self.append(&machine, &turn);
                            break;
                        }
                    }
                } else {
                    self.append(&machine, &turn);
                }
                out.append(&mut turn.effects);
                let called = match &turn.then {
                    Then::Sleep { .. } | Then::Await { .. } if command.is_none() => {
                        self.calls_back(&machine, matches!(turn.then, Then::Sleep { .. }))
                    }
                    _ => None,
                };
                let event = match &turn.then {
                    Then::End { .. } => {
                        // But what only reads, where a callback was quicker.
                        let reads = |effect: &Effect| matches!(effect, Effect::Check(_));
                        assert!(out.iter().all(reads), "nothing is under way at the end: {}", self.story());
                        return if turn.state == SagaState::Completed { End::Completed } else { End::Compensated };
                    }
                    _ if command.is_some() => {
                        let act = command.take().unwrap();
                        self.says(act)
                    }
                    Then::Rest { answer: None } => {
                        assert!(machine.is_paused() && out.is_empty(), "{}", self.story());
                        self.says(Act::Resume)
                    }
                    Then::Rest { .. } => {
                        assert!(out.is_empty(), "nothing is under way in quarantine: {}", self.story());
                        return End::Quarantined;
                    }
                    Then::Sleep { .. } | Then::Await { .. } if self.rules.meddles && self.meddles() => {
                        let skip = Act::Skip { step: machine.view().last().unwrap().step.clone() };
                        let acts = [Act::Pause, Act::Compensate, Act::Retry { step: None, run_again: false }, Act::Resume, skip];
                        let act = acts[self.choices.choose(acts.len())].clone();
                        self.says(act)
                    }
                    Then::Sleep { .. } | Then::Await { .. } if called.is_some() => called.unwrap(),
                    Then::Sleep { until } => {
                        assert!(out.is_empty() && *until > self.now, "a sleep has an end: {}", self.story());
                        self.pass_until(*until);
                        if self.rules.parks {
                            break;
                        }
                        Event::Tick
                    }
                    Then::Await { tick_at } => {
                        assert!(!out.is_empty(), "somebody waits for nothing: {}", self.story());
                        let waits = tick_at.filter(|_| self.rules.meddles && self.choices.choose(2) == 1);
                        if let Some(at) = waits.or(tick_at.filter(|at| *at <= self.now)) {
                            self.pass_until(at.max(self.now));
                            Event::Tick
                        } else {
                            let which = if out.len() > 1 { self.choices.choose(out.len()) } else { 0 };
                            let effect = out.remove(which);
                            let event = self.perform(effect);
                            if self.rules.crashes && self.fault(2) == 1 {
                                break;
                            }
                            event
                        }
                    }
                };
                self.inject(&machine);
                self.note(&machine, &event);
                turn = machine.on(event, self.now, &Facts);
            }
            // The lease runs out.
            self.pass(Duration::from_secs(15));
        }
        panic!("it never ends: {}", self.story());
    }

    fn meddles(&mut self) -> bool {
        self.fault(2) == 1
    }

    fn says(&mut self, act: Act) -> Event {
        self.nonces += 1;
        Event::Command { act, reason: "an operator".to_owned(), nonce: format!("said-{}", self.nonces) }
    }

    fn take(&mut self) -> (Machine, Turn) {
        let (mut machine, first) = if self.journal.is_empty() {
            let (machine, first) = Machine::start(ID, Arc::clone(&self.definition), started(&self.definition), self.now);
            (machine, vec![first])
        } else {
            (Machine::replay(ID, Arc::clone(&self.definition), &self.journal).unwrap(), Vec::new())
        };
        self.note(&machine, &Event::Taken);
        let mut turn = machine.on(Event::Taken, self.now, &Facts);
        turn.entries.splice(0..0, first);
        (machine, turn)
    }

    fn append(&mut self, machine: &Machine, turn: &Turn) {
        self.appends += usize::from(!turn.entries.is_empty());
        for entry in &turn.entries {
            let text = serde_json::to_vec(entry).unwrap();
            assert_eq!(serde_json::from_slice::<Entry>(&text).unwrap(), *entry, "an entry is read as it was written");
        }
        self.journal.extend(turn.entries.iter().cloned());
        let replayed = Machine::replay(ID, Arc::clone(&self.definition), &self.journal).unwrap();
        assert_eq!(replayed.state, machine.state, "replay equals live: {}", self.story());
        let Machine { agenda, definition, state, .. } = machine;
        assert_eq!(*agenda, agenda.again(definition, state), "what can go on follows from the state: {}", self.story());
    }

    /// What does not apply changes nothing.
    fn inject(&self, machine: &Machine) {
        if self.faults > 1 && !self.faults.is_multiple_of(4) {
            return;
        }
        for instance in machine.state.instances.iter() {
            for direction in [Direction::Forward, Direction::Undo] {
                for generation in [1, 2] {
                    let of = Which { step: instance.path.clone(), direction, generation };
                    if machine.is_under_way(&of) {
                        continue;
                    }
                    let events = [
                        Event::Answered { of: of.clone(), answer: Answer::Unknown { reason: String::new() } },
                        Event::Answered { of: of.clone(), answer: Answer::Sealed },
                        Event::Checked { of: of.clone(), finding: Finding::CannotTell { reason: String::new() } },
                    ];
                    for event in events {
                        let mut other = machine.clone();
                        // The present time may be one at which something is due.
                        other.on(Event::Tick, self.now, &Facts);
                        if other.is_under_way(&of) {
                            continue;
                        }
                        let turn = other.on(event, self.now, &Facts);
                        assert!(turn.entries.is_empty() && turn.effects.is_empty(), "{turn:?} {}", self.story());
                    }
                }
            }
        }
    }

    fn note(&mut self, machine: &Machine, event: &Event) {
        let (kind, of) = match event {
            Event::Taken => ("taken".to_owned(), None),
            Event::Tick => ("tick".to_owned(), None),
            Event::Answered { of, answer } => (first_word(answer), Some(of)),
            Event::Checked { of, finding } => (format!("checked {}", first_word(finding)), Some(of)),
            Event::CalledBack { .. } => ("called back".to_owned(), None),
            Event::Command { act, .. } => (first_word(act), None),
        };
        for view in machine.view() {
            match of {
                None => {
                    self.seen.insert((view.state.to_owned(), kind.clone()));
                    self.seen.insert((format!("undo {}", view.undo), kind.clone()));
                }
                Some(of) if of.step != view.step => {}
                Some(of) if of.direction == Direction::Forward => {
                    self.seen.insert((view.state.to_owned(), kind.clone()));
                }
                Some(_) => {
                    self.seen.insert((format!("undo {}", view.undo), kind.clone()));
                }
            }
        }
    }

    pub(super) fn pass(&mut self, time: Duration) {
        self.pass_until(self.now.plus(time));
    }

    /// What is late arrives before its time is over.
    fn pass_until(&mut self, until: Timestamp) {
        let (due, later) = std::mem::take(&mut self.late).into_iter().partition(|(at, _)| *at <= until);
        self.late = later;
        self.now = until;
        for (_, send) in due {
            self.arrive(&send, Fate::Good);
        }
    }

    fn perform(&mut self, effect: Effect) -> Event {
        match effect {
            Effect::Send(send) => {
                let answer = self.send(&send);
                Event::Answered { of: send.of, answer }
            }
            Effect::Check(check) => {
                let finding = self.probe(&check);
                Event::Checked { of: check.of, finding }
            }
        }
    }

    fn send(&mut self, send: &SendEffect) -> Answer {
        let fates: &[Fate] = match send.of.direction {
            Direction::Undo if !self.rules.undo_may_be_refused => &KINDLY_UNDONE,
            _ if self.rules.odd && self.rules.kind == Kind::Refrain => &ODD,
            _ => &FATES,
        };
        let fate = fates[self.fault(fates.len())];
        let unknown = || Answer::Unknown { reason: "lost".to_owned() };
        match fate {
            Fate::Good | Fate::No | Fate::Broken => {
                self.pass(Duration::from_millis(20));
                self.arrive(send, fate)
            }
            Fate::AnswerLost => {
                self.arrive(send, Fate::AnswerLost);
                self.pass(send.timeout);
                unknown()
            }
            Fate::Lost => {
                self.pass(send.timeout);
                unknown()
            }
            Fate::Late => {
                let by = self.now.plus(MAX_EXECUTION - Duration::from_millis(1));
                self.late.push((by, send.clone()));
                self.pass(send.timeout);
                unknown()
            }
            Fate::NotSent => {
                self.pass(Duration::from_millis(5));
                Answer::NotSent { reason: "no route".to_owned(), retry_after: None }
            }
            Fate::NotKept => {
                self.pass(Duration::from_millis(20));
                match self.arrive(send, Fate::Good) {
                    Answer::Replied(reply) if reply.status < 300 => Answer::NotKept,
                    other => other,
                }
            }
            Fate::Untrusted => Answer::Untrusted,
            Fate::Wrong => Answer::Wrong { reason: "key-reused".to_owned() },
            Fate::NotYet => {
                self.pass(Duration::from_millis(20));
                Answer::NotYet { reason: "overloaded".to_owned(), retry_after: Some(Duration::from_secs(1)) }
            }
        }
    }
}

fn first_word(thing: &dyn std::fmt::Debug) -> String {
    format!("{thing:?}").split(|c: char| !c.is_alphanumeric()).next().unwrap().to_owned()
}

pub(super) fn reply(status: u16, body: Value, only_send: bool) -> Reply {
    let response = json!({"status": status, "headers": {}, "body": body});
    Reply { status, response, retry_after: None, only_send, remembered_for: None }
}

fn replied(status: u16, body: Value, only_send: bool) -> Answer {
    Answer::Replied(reply(status, body, only_send))
}
