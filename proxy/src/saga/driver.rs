//! Drives one saga: an event goes into the machine, what comes out is written, and then it is performed.
//!
//! What a drop or a crash means at each await: before an append is answered, nothing of the turn was performed; while a call is
//! under way, its intent is durable, and whoever takes the saga next knows that nobody knows what became of it. So a driver may
//! stop anywhere. It stops by itself when the saga is somebody else's (its lease is lost), and then performs nothing more; while
//! the store is away it writes again and performs nothing; when the process drains, it finishes what is under way, begins nothing,
//! and hands the saga back.

mod calls;

use std::{panic::AssertUnwindSafe, time::Duration};

use tokio::{sync::oneshot, time::Instant};

pub(super) use self::calls::Calls;

use super::{
    appender::{Appender, Turned, Write},
    call::Caller,
    codec::{Command, TooLarge},
    engine::Engine,
    entry::{Direction, What, Which},
    machine::Machine,
    turn::{Event, FinalAnswer, Then, Turn},
};
use crate::{
    metrics::{CallDirection, CallOutcome},
    store::{
        Store,
        journal::{Journal, Next, SagaState},
    },
    time::Timestamp,
};

/// How a saga came to an end, for who waits for it in this process.
#[derive(Debug)]
pub(super) struct Settled {
    pub(super) state: SagaState,
    pub(super) answer: Option<FinalAnswer>,
}

/// Drives one saga.
pub(super) struct Driver<S, C> {
    pub(super) engine: Engine<S, C>,
    pub(super) machine: Machine,
    pub(super) appender: Appender<S>,
    pub(super) calls: Calls<C>,
    /// When the machine wants to be asked again.
    pub(super) tick: Option<Instant>,
    /// Who started it and waits for its end.
    pub(super) starter: Option<oneshot::Sender<Settled>>,
    pub(super) draining: bool,
}

/// Whether a driver has anything left to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Going {
    On,
    Gone,
}

/// What a driver waits for.
enum Happened {
    Answered(Event),
    Tick,
    Commands,
    Drain,
    Lost,
    /// Nothing can happen any more: a fault.
    Nothing,
}

/// When it is asked again for commands that must be read first.
const COMMANDS_AGAIN: Duration = Duration::from_secs(1);
/// The faults of the machine itself: never a caller's, never the definition's.
const FAULT: &str = "a fault of Refrain's own: this saga's state could not be computed";

impl<S: Store + Journal, C: Caller> Driver<S, C> {
    /// Goes on until the saga is not this driver's any more.
    pub(super) async fn run(mut self) {
        loop {
            let going = match self.next().await {
                Happened::Answered(event) => {
                    let events = self.calls.ready(event);
                    self.turn(events, 0).await
                }
                Happened::Tick => self.tick().await,
                Happened::Commands => self.take_commands(None).await,
                Happened::Drain => self.drain().await,
                Happened::Lost => Going::Gone,
                Happened::Nothing => self.quarantine(FAULT, 0).await,
            };
            if going == Going::Gone {
                return;
            }
        }
    }

    async fn next(&mut self) -> Happened {
        let waits_for_calls = !self.calls.is_idle();
        let tick = self.tick.filter(|_| !self.draining);
        if !waits_for_calls && tick.is_none() {
            return Happened::Nothing;
        }
        let (lease, drain) = (&self.appender.lease, &self.engine.shared.drain);
        tokio::select! {
            biased;
            () = lease.lost() => Happened::Lost,
            // Before answers, which begin what comes next: what an operator or a drain has said by then counts.
            () = drain.cancelled(), if !self.draining => Happened::Drain,
            () = lease.commands(), if !self.draining => Happened::Commands,
            Some(event) = self.calls.next(), if waits_for_calls => Happened::Answered(event),
            () = at(tick), if tick.is_some() => Happened::Tick,
        }
    }

    /// Puts events into the machine, writes what comes of all of them, and performs it.
    pub(super) async fn turn(&mut self, events: Vec<Event>, commands_taken: usize) -> Going {
        if events.is_empty() && commands_taken == 0 {
            return Going::On;
        }
        if events.is_empty() {
            // Commands that could not be read are taken, so that they do not come again.
            let (state, paused, next) = (self.appender.state, self.appender.paused, self.appender.run());
            let turned = Turned { entries: Vec::new(), state, paused, commands_taken, next };
            return match self.calls.meanwhile(self.appender.write(turned)).await {
                Write::Kept | Write::Full => Going::On,
                Write::Gone => Going::Gone,
            };
        }
        let (machine, now) = (&mut self.machine, self.appender.time.now());
        let turned = {
            let plan = self.engine.plan.load();
            std::panic::catch_unwind(AssertUnwindSafe(|| machine.on_all(events, now, &*plan.upstreams)))
        };
        match turned {
            Ok(turn) => self.perform(turn, commands_taken).await,
            Err(_panic) => self.quarantine(FAULT, commands_taken).await,
        }
    }

    /// Writes a turn, and then performs it.
    pub(super) async fn perform(&mut self, mut turn: Turn, commands_taken: usize) -> Going {
        if self.draining {
            // What would begin does not: whoever takes the saga next begins it.
            turn.entries.retain(|entry| !matches!(entry.what, What::Sending { .. } | What::Asking { .. }));
            turn.effects.clear();
        }
        let now = self.appender.time.now();
        let length = u64::try_from(turn.entries.len()).unwrap_or(u64::MAX);
        let next = self.next_of(&turn.then, now, self.appender.version.saturating_add(length));
        let (next, entries) = match next.and_then(|next| Ok((next, self.appender.encode(&turn.entries)?))) {
            Ok(both) => both,
            Err(TooLarge { bytes }) => {
                let reason = format!("an entry or the answer would have {bytes} bytes, more than the store keeps");
                return self.quarantine(&reason, commands_taken).await;
            }
        };
        let gives_up = !matches!(next, Next::Run { .. });
        let was = self.appender.state;
        // Without entries nothing needs to be written, but a call begins under a good lease only.
        let needs_lease = !turn.effects.is_empty() && !self.appender.lease.is_good();
        if gives_up || commands_taken > 0 || !entries.is_empty() || needs_lease {
            let (state, paused) = (turn.state, turn.paused);
            let writing = self.appender.write(Turned { entries, state, paused, commands_taken, next });
            match self.calls.meanwhile(writing).await {
                Write::Kept if self.engine.common.streams.is_any() => {
                    self.engine.context.wakes.wake(self.appender.id().as_changes());
                }
                Write::Kept => {}
                Write::Gone => return Going::Gone,
                Write::Full => {
                    return self.quarantine("its journal has as many entries as a journal may have", commands_taken).await;
                }
            }
        }
        self.performed(turn, was, gives_up)
    }

    /// Performs a turn that is durable. `was`: where the saga stood before it.
    pub(super) fn performed(&mut self, turn: Turn, was: SagaState, gives_up: bool) -> Going {
        self.count(&turn, was);
        if gives_up {
            self.settle(turn);
            return Going::Gone;
        }
        self.tick = match turn.then {
            Then::Await { tick_at: None } | Then::Rest { .. } | Then::End { .. } => None,
            Then::Await { tick_at: Some(at) } | Then::Sleep { until: at } => Some(self.appender.time.instant_of(at)),
        };
        self.calls.begin(turn.effects);
        Going::On
    }

    /// What is said to the store of what comes after a turn. `version`: how many entries the journal has then.
    fn next_of(&self, then: &Then, now: Timestamp, version: u64) -> Result<Next, TooLarge> {
        let answer = |answer: &FinalAnswer| self.appender.codec.answer(self.appender.id(), version, answer);
        let is_idle = self.calls.is_idle();
        let hands_back = self.draining && is_idle;
        Ok(match then {
            Then::End { answer: last } => Next::End { answer: answer(last)?, retention: self.engine.plan.load().retention },
            // What is under way is answered first: an operator should find as little in doubt as can be.
            Then::Rest { .. } if !is_idle => self.appender.run(),
            Then::Rest { answer: preliminary } => {
                Next::Rest { answer: self.of_definition(preliminary.as_ref()).map(answer).transpose()? }
            }
            Then::Sleep { until } if hands_back || now.until(*until) > self.appender.lease.length() => {
                Next::Park { due_in: now.until(*until) }
            }
            Then::Await { .. } if hands_back => Next::Park { due_in: Duration::ZERO },
            Then::Sleep { .. } | Then::Await { .. } => self.appender.run(),
        })
    }

    /// The preliminary answer that the definition has words for. Where it has none, callers get a problem of ours.
    fn of_definition<'a>(&self, preliminary: Option<&'a FinalAnswer>) -> Option<&'a FinalAnswer> {
        preliminary.filter(|_| self.machine.definition().response.quarantined.is_some())
    }

    /// Counts and logs what has become durable.
    fn count(&self, turn: &Turn, was: SagaState) {
        let metrics = &self.engine.context.metrics;
        for (direction, outcome) in turn.entries.iter().filter_map(|entry| counted(&entry.what)) {
            metrics.sagas.called(direction, outcome);
        }
        if turn.state != was {
            metrics.sagas.became(turn.state);
        }
        if turn.state == SagaState::Quarantined && was != turn.state {
            self.alarm(self.machine.reason().unwrap_or_default());
        }
        if let Some(fault) = &turn.answer_fault {
            tracing::warn!(saga = %self.appender.id(), fault, "a saga's answer could not be rendered; the default stands for it");
        }
    }

    /// Tells operators, and nobody else: the reason may name a service.
    fn alarm(&self, reason: &str) {
        let stuck = self.machine.view().into_iter().filter(|step| is_stuck(step.state, step.undo));
        let steps = stuck.map(|step| step.step.as_str().to_owned()).collect::<Vec<_>>().join(",");
        let name = &self.machine.definition().name;
        tracing::error!(saga = %self.appender.id(), %name, steps, reason, "a saga waits for an operator");
    }

    /// Tells who started the saga, if that is who waits, how it ended.
    fn settle(&mut self, turn: Turn) {
        let answer = match turn.then {
            Then::End { answer } => Some(answer),
            Then::Rest { answer } if turn.state == SagaState::Quarantined => self.of_definition(answer.as_ref()).cloned(),
            // It goes on elsewhere: who waits asks the store.
            Then::Rest { .. } | Then::Await { .. } | Then::Sleep { .. } => return,
        };
        if let Some(starter) = self.starter.take() {
            // A starter that has hung up will ask again, or not.
            let _gone = starter.send(Settled { state: turn.state, answer });
        }
    }

    /// The saga waits for an operator, for a reason that the machine does not know. What is under way is not waited for.
    async fn quarantine(&mut self, reason: &str, commands_taken: usize) -> Going {
        let now = self.appender.time.now();
        if self.appender.quarantine(now, reason, commands_taken).await == Write::Kept {
            self.engine.context.metrics.sagas.became(SagaState::Quarantined);
            self.alarm(reason);
            if let Some(starter) = self.starter.take() {
                let _gone = starter.send(Settled { state: SagaState::Quarantined, answer: None });
            }
        }
        Going::Gone
    }

    /// Its time has come. A callback that was taken before that comes before it: who made it was told that it counts.
    async fn tick(&mut self) -> Going {
        let now = self.appender.time.now();
        match self.machine.is_callback_due(now) {
            true => self.take_commands(Some(Event::Tick)).await,
            false => self.turn(vec![Event::Tick], 0).await,
        }
    }

    /// Takes up what waits, and then `last`. Where the store does not say what waits, nothing is taken up.
    async fn take_commands(&mut self, last: Option<Event>) -> Going {
        match self.appender.store.commands(self.appender.id()).await {
            Ok(stored) => {
                let taken = stored.len();
                let events = stored.iter().filter_map(|stored| read_command(&self.appender, stored)).map(as_event);
                self.turn(events.chain(last).collect(), taken).await
            }
            Err(error) if last.is_some() => {
                tracing::warn!(saga = %self.appender.id(), %error, "a saga's commands could not be read; its time is over a little later");
                self.tick = Some(Instant::now() + COMMANDS_AGAIN);
                Going::On
            }
            Err(error) => {
                // The next renewal says again that commands wait.
                tracing::warn!(saga = %self.appender.id(), %error, "a saga's commands could not be read");
                Going::On
            }
        }
    }

    /// The process drains: nothing begins any more. What is under way is waited for.
    async fn drain(&mut self) -> Going {
        self.draining = true;
        if !self.calls.is_idle() {
            return Going::On;
        }
        let due_in = self.tick.map_or(Duration::ZERO, |tick| tick.saturating_duration_since(Instant::now()));
        self.appender.park(due_in).await;
        Going::Gone
    }
}

/// A command, unless it cannot be read: then it is logged and gone.
pub(super) fn read_command<S: Journal>(appender: &Appender<S>, stored: &bytes::Bytes) -> Option<Command> {
    let read = appender.codec.read_command(appender.id(), stored);
    read.inspect_err(|error| tracing::error!(saga = %appender.id(), %error, "a command cannot be read")).ok()
}

pub(super) fn as_event(command: Command) -> Event {
    match command {
        Command::Operator { act, reason, nonce } => Event::Command { act, reason, nonce },
        Command::CalledBack { called_back: step, body, nonce } => Event::CalledBack { step, body, nonce },
    }
}

/// What an entry says of a call.
fn counted(what: &What) -> Option<(CallDirection, CallOutcome)> {
    let of = |which: &Which, outcome| {
        let direction = match which.direction {
            Direction::Forward => CallDirection::Forward,
            Direction::Undo => CallDirection::Undo,
        };
        Some((direction, outcome))
    };
    match what {
        What::Sending { of: which, .. } => of(which, CallOutcome::Started),
        What::Asking { of: which } => of(which, CallOutcome::Asked),
        What::NotSent { of: which, .. } => of(which, CallOutcome::NotSent),
        What::Doubted { of: which, .. } => of(which, CallOutcome::Doubted),
        What::Waiting { of: which, .. } => of(which, CallOutcome::Waiting),
        What::NotDone { of: which } => of(which, CallOutcome::Refused),
        What::Done { .. } => Some((CallDirection::Forward, CallOutcome::Done)),
        What::Refused { .. } => Some((CallDirection::Forward, CallOutcome::Refused)),
        What::Undone { .. } => Some((CallDirection::Undo, CallOutcome::Done)),
        What::UndoFailed { .. } => Some((CallDirection::Undo, CallOutcome::Refused)),
        What::Started(_)
        | What::Chosen { .. }
        | What::Listed { .. }
        | What::Timed { .. }
        | What::Elapsed { .. }
        | What::Accepted { .. }
        | What::Polled { .. }
        | What::CalledBack { .. }
        | What::GivenUp { .. }
        | What::Skipped { .. }
        | What::Set { .. }
        | What::Compensating { .. }
        | What::Quarantined { .. }
        | What::Ended { .. }
        | What::Operator { .. } => None,
    }
}

fn is_stuck(state: &str, undo: &str) -> bool {
    matches!(state, "maybe_done" | "failed" | "waiting") || undo == "undo_failed"
}

async fn at(tick: Option<Instant>) {
    match tick {
        Some(tick) => tokio::time::sleep_until(tick).await,
        None => std::future::pending().await,
    }
}
