//! Drives one saga: an event goes into the machine, what comes out is written, and then it is performed.
//!
//! What a drop or a crash means at each await: before an append is answered, nothing of the turn was performed; while a call is
//! under way, its intent is durable, and whoever takes the saga next knows that nobody knows what became of it. So a driver may
//! stop anywhere. It stops by itself when the saga is somebody else's (its lease is lost), and then performs nothing more; while
//! the store is away it writes again and performs nothing; when the process drains, it finishes what is under way, begins nothing,
//! and hands the saga back.

use std::{collections::HashSet, panic::AssertUnwindSafe, time::Duration};

use futures_util::FutureExt as _;
use tokio::{sync::oneshot, task::JoinSet, time::Instant};

use super::{
    appender::{Appender, Turned, Write},
    call::{CallContext, Caller},
    codec::{Command, TooLarge},
    engine::Engine,
    entry::{Direction, What, Which},
    machine::Machine,
    turn::{Answer, Effect, Event, FinalAnswer, Finding, Then, Turn},
};
use crate::{
    metrics::{CallDirection, CallOutcome},
    store::{
        Store,
        journal::{Journal, Next, SagaState},
    },
    time::Timestamp,
};

/// Answers that are taken up in one turn at the most.
const MAX_AT_ONCE: usize = 64;
/// How much later than its own timeout a call is given up.
const GRACE: Duration = Duration::from_secs(5);

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
        let waits_for_calls = !self.calls.under_way.is_empty();
        let tick = self.tick.filter(|_| !self.draining);
        if !waits_for_calls && tick.is_none() {
            return Happened::Nothing;
        }
        let (lease, drain) = (&self.appender.lease, &self.engine.shared.drain);
        tokio::select! {
            biased;
            () = lease.lost() => Happened::Lost,
            Some(event) = self.calls.next(), if waits_for_calls => Happened::Answered(event),
            () = drain.cancelled(), if !self.draining => Happened::Drain,
            () = lease.commands(), if !self.draining => Happened::Commands,
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
            return match self.appender.write(turned).await {
                Write::Kept | Write::Full => Going::On,
                Write::Gone => Going::Gone,
            };
        }
        let (plan, now) = (self.engine.plan.load_full(), self.appender.time.now());
        let (machine, upstreams) = (&mut self.machine, &*plan.upstreams);
        let turned = std::panic::catch_unwind(AssertUnwindSafe(|| machine.on_all(events, now, upstreams)));
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
            match self.appender.write(Turned { entries, state, paused, commands_taken, next }).await {
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
        for effect in turn.effects {
            self.calls.begin(effect);
        }
        Going::On
    }

    /// What is said to the store of what comes after a turn. `version`: how many entries the journal has then.
    fn next_of(&self, then: &Then, now: Timestamp, version: u64) -> Result<Next, TooLarge> {
        let answer = |answer: &FinalAnswer| self.appender.codec.answer(self.appender.id(), version, answer);
        let is_idle = self.calls.under_way.is_empty();
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
        if let (Then::End { .. } | Then::Rest { .. }, Some(fault)) = (&turn.then, self.machine.answer_fault()) {
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
        if !self.calls.under_way.is_empty() {
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

/// The calls of one saga that are under way. Dropping them gives them up.
pub(super) struct Calls<C> {
    caller: C,
    context: CallContext,
    tasks: JoinSet<(Which, Event)>,
    under_way: HashSet<Which>,
}

impl<C: Caller> Calls<C> {
    pub(super) fn new(caller: C, context: CallContext) -> Self {
        Self { caller, context, tasks: JoinSet::new(), under_way: HashSet::new() }
    }

    /// Begins a call, unless one for the same is under way.
    fn begin(&mut self, effect: Effect) {
        let of = match &effect {
            Effect::Send(send) => send.of.clone(),
            Effect::Check(check) => check.of.clone(),
        };
        if !self.under_way.insert(of.clone()) {
            tracing::error!(saga = %self.context.id, step = %of.step, "a call is under way already, and is not made twice");
            return;
        }
        let (caller, context) = (self.caller.clone(), self.context.clone());
        self.tasks.spawn(async move {
            let event = perform(&caller, &context, effect).await;
            (of, event)
        });
    }

    /// The next call that comes to its end. Cancel-safe.
    async fn next(&mut self) -> Option<Event> {
        loop {
            match self.tasks.join_next().await? {
                Ok((of, event)) => {
                    self.under_way.remove(&of);
                    return Some(event);
                }
                // A call's own panic is caught within it: this is the runtime going down.
                Err(error) => tracing::error!(%error, "a call's task was lost"),
            }
        }
    }

    /// `first`, and what else has come to its end by now.
    fn ready(&mut self, first: Event) -> Vec<Event> {
        let mut events = vec![first];
        while events.len() < MAX_AT_ONCE
            && let Some(Ok((of, event))) = self.tasks.try_join_next()
        {
            self.under_way.remove(&of);
            events.push(event);
        }
        events
    }
}

/// One call, with a bound of its own above the caller's.
async fn perform<C: Caller>(caller: &C, context: &CallContext, effect: Effect) -> Event {
    const PANICKED: &str = "the call met a fault of Refrain's own";
    const TOO_LATE: &str = "the call did not end in time";
    match effect {
        Effect::Send(effect) => {
            let (of, timeout) = (effect.of.clone(), effect.timeout.saturating_add(GRACE));
            let sending = AssertUnwindSafe(caller.send(context, *effect)).catch_unwind();
            let answer = match tokio::time::timeout(timeout, sending).await {
                Ok(Ok(answer)) => answer,
                Ok(Err(_panic)) => Answer::Unknown { reason: PANICKED.to_owned() },
                Err(_elapsed) => Answer::Unknown { reason: TOO_LATE.to_owned() },
            };
            Event::Answered { of, answer }
        }
        Effect::Check(effect) => {
            let (of, timeout) = (effect.of.clone(), effect.timeout.saturating_add(GRACE));
            let checking = AssertUnwindSafe(caller.check(context, *effect)).catch_unwind();
            let finding = match tokio::time::timeout(timeout, checking).await {
                Ok(Ok(finding)) => finding,
                Ok(Err(_panic)) => Finding::CannotTell { reason: PANICKED.to_owned() },
                Err(_elapsed) => Finding::CannotTell { reason: TOO_LATE.to_owned() },
            };
            Event::Checked { of, finding }
        }
    }
}
