//! One saga before simulated services, with time that jumps.
//!
//! A world goes on by itself until something could go one way or another ([`Moment::Choice`]); who plays says what happens there, and
//! can go both ways from a copy of the world.

mod perform;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use saga_config::{names::StepPath, saga::Effect as StepEffect};

use super::{
    super::{
        entry::{Act, Direction, Entry, What, Which},
        machine::Machine,
        turn::{Effect, Event, FinalAnswer, SendEffect, Then, Turn},
    },
    fault::{Fault, Outcome, Point},
    services::Services,
    stage::{BEGIN, Stage},
};
use crate::{store::journal::SagaState, time::Timestamp};

use perform::told;

/// The most turns of one world.
const MAX_TURNS: u32 = 20_000;
/// The first tries of what lasts, which take no longer than they do.
const EAGER_TRIES: u32 = 20;

/// What a world comes to next.
#[derive(Clone, Debug)]
pub(super) enum Moment {
    /// Something can go one way or another: [`World::decide`] says which.
    Choice(Point),
    /// The saga has ended, or waits for an operator.
    End,
    /// It takes more turns than a simulation makes.
    Endless,
}

/// Something that comes back to the driver.
#[derive(Clone, Debug)]
struct Flight {
    at: Timestamp,
    event: Event,
}

/// How it goes with all sends of a call.
#[derive(Clone, Copy, Debug)]
struct Lasting {
    outcome: Outcome,
    since: Timestamp,
    tries: u32,
}

impl Lasting {
    /// How long a try takes at least: what is tried for long is tried ever more seldom, so that a day is no million of turns.
    fn at_least(self, now: Timestamp) -> Duration {
        if self.tries > EAGER_TRIES { self.since.until(now) / 30 } else { Duration::ZERO }
    }
}

/// Where a world stands between two choices.
#[derive(Clone, Debug)]
enum Phase {
    /// No driver has it.
    Free,
    /// A turn is about to be written.
    Writing { turn: Turn, cause: Option<Which> },
    /// Effects are about to be performed.
    Performing { effects: VecDeque<Effect>, then: Then },
    /// The driver waits.
    Waiting(Then),
    /// All is over.
    Over,
    /// It takes too long.
    Endless,
}

/// A world.
#[derive(Clone, Debug)]
pub(super) struct World<'s> {
    pub(super) stage: &'s Stage,
    pub(super) now: Timestamp,
    pub(super) journal: Vec<Entry>,
    pub(super) services: Services,
    /// What went wrong so far.
    pub(super) faults: Vec<Fault>,
    /// What happened, in words, with the time since the beginning.
    pub(super) story: Vec<(Duration, String)>,
    /// What callers get, and since when.
    pub(super) answer: Option<(Timestamp, FinalAnswer)>,
    machine: Option<Machine>,
    phase: Phase,
    flights: Vec<Flight>,
    late: Vec<(Timestamp, SendEffect)>,
    lasting: BTreeMap<(StepPath, Direction), Lasting>,
    command: bool,
    turns: u32,
    /// Steps of which somebody is to call back, and it is not decided whether.
    awaited: VecDeque<StepPath>,
    /// Callbacks on their way: they come, whatever becomes of a driver.
    callbacks: Vec<Flight>,
    /// Steps that were accepted and are polled.
    polled: BTreeSet<StepPath>,
}

impl<'s> World<'s> {
    pub(super) fn new(stage: &'s Stage) -> Self {
        Self {
            stage,
            now: BEGIN,
            journal: Vec::new(),
            services: Services::default(),
            faults: Vec::new(),
            story: Vec::new(),
            answer: None,
            machine: None,
            phase: Phase::Free,
            flights: Vec::new(),
            late: Vec::new(),
            lasting: BTreeMap::new(),
            command: false,
            turns: 0,
            awaited: VecDeque::new(),
            callbacks: Vec::new(),
            polled: BTreeSet::new(),
        }
    }

    /// Goes on until there is a choice, or until all is over.
    pub(super) fn advance(&mut self) -> Moment {
        loop {
            match std::mem::replace(&mut self.phase, Phase::Over) {
                Phase::Free => self.take(),
                Phase::Writing { turn, cause } => match point_of(&turn, cause.as_ref()) {
                    Some(point) => {
                        self.phase = Phase::Writing { turn, cause };
                        return Moment::Choice(point);
                    }
                    None => self.write(turn),
                },
                Phase::Performing { effects, then } => match effects.front() {
                    None => match self.awaited.front() {
                        None => self.phase = Phase::Waiting(then),
                        Some(step) => {
                            let of = Which { step: step.clone(), direction: Direction::Forward, generation: 1 };
                            self.phase = Phase::Performing { effects, then };
                            return Moment::Choice(Point::Callback(of));
                        }
                    },
                    Some(effect) => {
                        let point = match effect {
                            Effect::Send(send) => Point::Send(send.of.clone()),
                            Effect::Check(check) => Point::Probe(check.of.clone()),
                        };
                        self.phase = Phase::Performing { effects, then };
                        return Moment::Choice(point);
                    }
                },
                Phase::Waiting(then) => self.wait(&then),
                Phase::Over => return Moment::End,
                Phase::Endless => {
                    self.phase = Phase::Endless;
                    return Moment::Endless;
                }
            }
        }
    }

    /// What can happen at a choice, beside what should.
    pub(super) fn can_happen(&self, outcome: Outcome) -> bool {
        let Phase::Performing { effects, .. } = &self.phase else { return true };
        match (effects.front(), &self.machine) {
            (Some(Effect::Send(send)), Some(machine)) => {
                // What goes on as it began is no choice.
                !self.lasting.contains_key(&(send.of.step.clone(), send.of.direction)) && self.is_possible(send, machine, outcome)
            }
            // What is polled can be answered with a no; what is in doubt is only found or not.
            (Some(Effect::Check(check)), Some(machine)) if outcome == Outcome::Refused => {
                self.polled.contains(&check.of.step) && self.stage.polled_no(machine, &check.of, self.now).is_some()
            }
            (None, Some(machine)) if outcome == Outcome::Declined => self.awaited.front().is_some_and(|step| {
                let of = Which { step: step.clone(), direction: Direction::Forward, generation: 1 };
                self.stage.called_back(machine, &of, false, self.now).is_some()
            }),
            _ => true,
        }
    }

    /// Whether the request that is about to leave only reads.
    pub(super) fn reads(&self) -> bool {
        let Phase::Performing { effects, .. } = &self.phase else { return false };
        matches!(effects.front(), Some(Effect::Send(send)) if send.effect == StepEffect::None)
    }

    /// What happens at a choice; `None`: what should.
    pub(super) fn decide(&mut self, fault: Option<Fault>) {
        let outcome = fault.as_ref().map_or(Outcome::Done, |fault| fault.outcome);
        self.faults.extend(fault);
        match std::mem::replace(&mut self.phase, Phase::Over) {
            Phase::Writing { turn, .. } => match outcome {
                Outcome::CrashBeforeRecord => self.crash("the driver is lost before it has written what came of it"),
                Outcome::CrashAfterRecord | Outcome::CrashBeforeSend => {
                    self.append(&turn);
                    self.crash("the driver is lost when that is written");
                }
                _ => self.write(turn),
            },
            Phase::Performing { mut effects, then } => {
                match effects.pop_front() {
                    Some(Effect::Send(send)) => self.send(*send, outcome),
                    Some(Effect::Check(check)) => self.probe(*check, outcome),
                    None => self.calls_back(outcome),
                }
                self.phase = Phase::Performing { effects, then };
            }
            other => self.phase = other,
        }
    }

    /// Where the saga stands.
    pub(super) fn state(&self) -> SagaState {
        self.machine.as_ref().map_or(SagaState::Running, Machine::state)
    }

    /// The saga, as its last driver knew it.
    pub(super) const fn machine(&self) -> Option<&Machine> {
        self.machine.as_ref()
    }

    /// What is still out arrives.
    pub(super) fn settle(&mut self) {
        let last = self.late.iter().map(|(at, _)| *at).max().unwrap_or(self.now);
        self.pass_until(last.max(self.now));
    }

    /// What makes worlds with the same future the same.
    pub(super) fn digest(&self) -> u128 {
        let mut hasher = blake3::Hasher::new();
        // Writing into a hasher does not fail.
        let _ = serde_json::to_writer(&mut hasher, &self.journal);
        let rest = format!(
            "{:?}",
            (
                &self.now,
                &self.services,
                &self.late,
                &self.lasting,
                (&self.flights, &self.callbacks, &self.awaited),
                &self.phase,
                self.command
            )
        );
        hasher.update(rest.as_bytes());
        let mut first = [0; 16];
        first.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        u128::from_le_bytes(first)
    }

    fn tell(&mut self, what: impl Into<String>) {
        self.story.push((BEGIN.until(self.now), what.into()));
    }

    fn take(&mut self) {
        let taken = if self.journal.is_empty() {
            let (machine, first) = self.stage.start(self.now);
            Some((machine, Some(first)))
        } else {
            self.stage.replay(&self.journal).map(|machine| (machine, None))
        };
        let Some((mut machine, first)) = taken else {
            self.phase = Phase::Endless;
            return;
        };
        let mut turn = machine.on(Event::Taken, self.now, self.stage);
        turn.entries.splice(0..0, first);
        self.machine = Some(machine);
        self.phase = Phase::Writing { turn, cause: None };
    }

    fn crash(&mut self, how: &str) {
        self.tell(how);
        self.flights.clear();
        let has_ended = self.machine.as_ref().is_some_and(|machine| machine.state().is_end());
        // What was not written is forgotten; what has ended needs no driver.
        let is_written = self.journal.last().is_some_and(|entry| matches!(entry.what, What::Ended { .. }));
        self.machine = None;
        self.pass_until(self.now.plus(self.stage.lease));
        self.phase = Phase::Free;
        if !(has_ended && is_written) {
            self.tell("another driver takes the saga over");
        }
    }

    fn append(&mut self, turn: &Turn) {
        for entry in &turn.entries {
            if let Some(words) = words(&entry.what) {
                self.tell(words);
            }
        }
        for entry in &turn.entries {
            match &entry.what {
                What::Accepted { step, again_at: None, .. } => self.awaited.push_back(step.clone()),
                What::Accepted { step, again_at: Some(_), .. } => drop(self.polled.insert(step.clone())),
                _ => {}
            }
        }
        self.journal.extend(turn.entries.iter().cloned());
        if matches!(turn.state, SagaState::Compensating) {
            self.lasting.retain(|_, lasting| !lasting.outcome.ends_with_turning_back());
        }
    }

    fn write(&mut self, turn: Turn) {
        self.append(&turn);
        self.phase = Phase::Performing { effects: turn.effects.into(), then: turn.then };
    }

    /// The next that happens to the driver.
    fn wait(&mut self, then: &Then) {
        self.turns += 1;
        if self.turns > MAX_TURNS {
            self.phase = Phase::Endless;
            return;
        }
        let tick = match then {
            Then::End { answer } | Then::Rest { answer: Some(answer) } => {
                self.answer = Some((self.now, answer.clone()));
                self.phase = Phase::Over;
                return;
            }
            // Nobody pauses it.
            Then::Rest { answer: None } => {
                self.phase = Phase::Endless;
                return;
            }
            Then::Await { tick_at } => *tick_at,
            Then::Sleep { until } => Some(*until),
        };
        if std::mem::take(&mut self.command) {
            let (reason, nonce) = ("an operator".to_owned(), "a command".to_owned());
            return self.on(Event::Command { act: Act::Compensate, reason, nonce }, None);
        }
        match (self.soonest(), tick) {
            (Some(next), tick) if tick.is_none_or(|tick| next <= tick) => {
                let Some(Flight { at, event }) = self.landed(next) else { return };
                self.pass_until(at.max(self.now));
                let cause = match &event {
                    Event::Answered { of, .. } | Event::Checked { of, .. } => Some(of.clone()),
                    Event::CalledBack { step, .. } => {
                        Some(Which { step: step.clone(), direction: Direction::Forward, generation: 1 })
                    }
                    Event::Taken | Event::Tick | Event::Command { .. } => None,
                };
                self.on(event, cause);
            }
            (_, Some(tick)) => {
                self.pass_until(tick.max(self.now));
                self.on(Event::Tick, None);
            }
            // The machine waits for what never comes: a fault of Refrain's own.
            (_, None) => self.phase = Phase::Endless,
        }
    }

    /// When something comes back next.
    fn soonest(&self) -> Option<Timestamp> {
        self.flights.iter().chain(&self.callbacks).map(|flight| flight.at).min()
    }

    /// What comes back at this time.
    fn landed(&mut self, at: Timestamp) -> Option<Flight> {
        for flights in [&mut self.flights, &mut self.callbacks] {
            if let Some(place) = flights.iter().position(|flight| flight.at == at) {
                return Some(flights.remove(place));
            }
        }
        None
    }

    fn on(&mut self, event: Event, cause: Option<Which>) {
        let Some(machine) = &mut self.machine else { return };
        let turn = machine.on(event, self.now, self.stage);
        self.phase = Phase::Writing { turn, cause };
    }

    /// What is late arrives before its time is over.
    fn pass_until(&mut self, until: Timestamp) {
        let (mut due, later): (Vec<_>, Vec<_>) = std::mem::take(&mut self.late).into_iter().partition(|(at, _)| *at <= until);
        self.late = later;
        due.sort_by_key(|(at, _)| *at);
        for (at, send) in due {
            self.now = self.now.max(at);
            let kind = self.stage.kind(send.request.upstream.as_deref());
            let said = self.services.arrive(&send, false, kind, at);
            self.tell(format!("{} arrives late: {}", called(&send.of), told(said)));
        }
        self.now = self.now.max(until);
    }
}

/// What can go wrong with the writing of a turn.
fn point_of(turn: &Turn, cause: Option<&Which>) -> Option<Point> {
    if turn.entries.is_empty() {
        return None;
    }
    if let Some(of) = cause {
        return Some(Point::Record(of.clone()));
    }
    let intent = |entry: &Entry| match &entry.what {
        What::Sending { of, .. } | What::Asking { of } => Some(of.clone()),
        _ => None,
    };
    turn.entries.iter().find_map(intent).map(Point::Intent)
}

fn called(of: &Which) -> String {
    match of.direction {
        Direction::Forward => of.step.to_string(),
        Direction::Undo => format!("undo of {}", of.step),
    }
}

/// What an entry adds to the story, beside what is told already.
fn words(what: &What) -> Option<String> {
    match what {
        What::Compensating { .. } => Some("the saga turns back".to_owned()),
        What::Quarantined { reason } => Some(format!("quarantined: {reason}")),
        What::Ended { completed: true } => Some("completed".to_owned()),
        What::Ended { completed: false } => Some("compensated".to_owned()),
        What::Refused { step, reason, .. } => Some(format!("{step} counts as not done: {reason}")),
        What::Done { step, fault: Some(fault), .. } => Some(format!("{step} is done and counts as failed: {fault}")),
        What::GivenUp { step, .. } => Some(format!("{step} is given up in doubt")),
        What::UndoFailed { step, reason, .. } => Some(format!("undo of {step} failed: {reason}")),
        _ => None,
    }
}
