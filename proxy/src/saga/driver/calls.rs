//! The calls of one saga that are under way.
//!
//! A call that is alone runs within the driver's own task: a saga whose steps follow each other needs no other. Calls beside each other
//! run in tasks of their own.

use std::{collections::BTreeSet, future::Future, panic::AssertUnwindSafe, pin::Pin, sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use tokio::task::JoinSet;

use crate::saga::{
    call::{CallContext, Caller},
    entry::Which,
    turn::{Answer, Effect, Event, Finding},
};

/// Answers that are taken up in one turn at the most.
const MAX_AT_ONCE: usize = 64;
/// How much later than its own timeout a call is given up.
const GRACE: Duration = Duration::from_secs(5);

type Running = Pin<Box<dyn Future<Output = Event> + Send>>;

/// The calls of one saga that are under way. Dropping them gives them up.
pub(in super::super) struct Calls<C> {
    caller: C,
    context: Arc<CallContext>,
    /// The one that runs here, and which it is.
    here: Option<(Which, Running)>,
    /// What came of the one that ran here, until it is asked for.
    came: Option<(Which, Event)>,
    tasks: JoinSet<(Which, Event)>,
    under_way: BTreeSet<Which>,
}

impl<C: Caller> Calls<C> {
    pub(in super::super) fn new(caller: C, context: CallContext) -> Self {
        let (tasks, under_way) = (JoinSet::new(), BTreeSet::new());
        Self { caller, context: Arc::new(context), here: None, came: None, tasks, under_way }
    }

    /// Whether none is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.under_way.is_empty()
    }

    /// Begins calls, but for those of which the same is under way.
    pub(super) fn begin(&mut self, effects: Vec<Effect>) {
        let is_alone = effects.len() == 1 && self.is_idle();
        for effect in effects {
            let of = match &effect {
                Effect::Send(send) => send.of.clone(),
                Effect::Check(check) => check.of.clone(),
            };
            if !self.under_way.insert(of.clone()) {
                tracing::error!(saga = %self.context.id, step = %of.step, "a call is under way already, and is not made twice");
                continue;
            }
            let (caller, context) = (self.caller.clone(), Arc::clone(&self.context));
            let performed = async move { perform(&caller, &context, effect).await };
            if is_alone {
                self.here = Some((of, Box::pin(performed)));
            } else {
                self.tasks.spawn(async move { (of, performed.await) });
            }
        }
    }

    /// Waits for something else, while what runs here goes on.
    pub(super) async fn meanwhile<T>(&mut self, work: impl Future<Output = T>) -> T {
        let Some((of, call)) = &mut self.here else { return work.await };
        let mut work = std::pin::pin!(work);
        let event = tokio::select! {
            biased;
            done = &mut work => return done,
            event = call => event,
        };
        self.came = Some((of.clone(), event));
        self.here = None;
        work.await
    }

    /// The next call that comes to its end; `None`: none is under way. Cancel-safe.
    pub(super) async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some((of, event)) = self.came.take() {
                self.under_way.remove(&of);
                return Some(event);
            }
            let joined = match &mut self.here {
                None => self.tasks.join_next().await?,
                Some((of, call)) => tokio::select! {
                    biased;
                    event = call => {
                        self.came = Some((of.clone(), event));
                        self.here = None;
                        continue;
                    }
                    Some(joined) = self.tasks.join_next(), if !self.tasks.is_empty() => joined,
                },
            };
            match joined {
                Ok(came) => self.came = Some(came),
                // A call's own panic is caught within it: this is the runtime going down.
                Err(error) => tracing::error!(%error, "a call's task was lost"),
            }
        }
    }

    /// `first`, and what else has come to its end by now.
    pub(super) fn ready(&mut self, first: Event) -> Vec<Event> {
        let mut events = vec![first];
        while events.len() < MAX_AT_ONCE
            && let Some((of, event)) = self.came.take().or_else(|| self.tasks.try_join_next()?.ok())
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
