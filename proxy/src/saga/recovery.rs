//! Finds the sagas that are due and have no driver: their timer has come, an operator has spoken, or their driver is gone.
//!
//! Timers, retries and take-overs are one path: a saga is due, somebody leases it, folds its journal and goes on. The control thread
//! asks the store what is due ([`run`]); the cores take the sagas over ([`take_over`]), so that no journal is read where leases are
//! renewed. However many sagas are parked, one question is asked at a time, and a saga that is driven here costs it nothing.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use super::{
    call::Caller,
    engine::{Adopted, Common, Engine},
    plan::Plan,
};
use crate::{
    idempotency::context::Context,
    ids::SagaId,
    metrics::StoreOperation,
    store::{Store, journal::Journal},
};

/// Sagas of one question.
const PAGE: usize = 128;
/// Sagas that wait for one core to take them over.
const QUEUE: usize = 128;
/// Sagas that one core drives because they were due, at once, at the most. The others stay due.
const MAX_ADOPTED: usize = 512;
/// The longest time between two questions while sagas are defined: with the lease, the bound of a take-over.
const LONGEST_LOOK: Duration = Duration::from_millis(600);
/// The same, where no saga is defined: there may be some that another version began, and a proxy without sagas leaves its store alone.
const LONGEST_LOOK_IDLE: Duration = Duration::from_secs(60);
/// The shortest time between two questions.
const SHORTEST_LOOK: Duration = Duration::from_millis(20);
/// The shortest time between two questions of which the first found nothing to hand out.
const SHORTEST_LOOK_IN_VAIN: Duration = Duration::from_millis(200);

/// A saga on its way to a core, which is not handed out twice.
#[derive(Debug)]
pub struct Handed {
    id: SagaId,
    waiting: Waiting,
}

/// The sagas that are on their way.
#[derive(Clone, Debug, Default)]
struct Waiting(Arc<Mutex<HashSet<SagaId>>>);

impl Waiting {
    /// Whether it was not on its way before.
    fn enter(&self, id: SagaId) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id)
    }

    fn leave(&self, id: SagaId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }
}

impl Drop for Handed {
    fn drop(&mut self) {
        self.waiting.leave(self.id);
    }
}

/// The way to one core.
pub fn queue() -> (mpsc::Sender<Handed>, mpsc::Receiver<Handed>) {
    mpsc::channel(QUEUE)
}

/// What a question came to.
enum Asked {
    /// Ask again in this long.
    In(Duration),
    /// Nothing is due, and nothing will be, as far as is known.
    Never,
}

/// Asks what is due, and hands it to the cores in turn, until `stop`. Runs on the control thread.
pub async fn run<S: Store + Journal>(
    context: Arc<Context<S>>,
    plan: Arc<ArcSwap<Plan>>,
    common: Common,
    cores: Vec<mpsc::Sender<Handed>>,
    stop: CancellationToken,
) {
    let mut asker = Asker { context, plan, common, cores, waiting: Waiting::default(), turn: 0 };
    loop {
        let plan = asker.plan.load_full();
        asker.pin(&plan).await;
        let longest = if plan.definitions.is_empty() { LONGEST_LOOK_IDLE } else { LONGEST_LOOK };
        let pause = match asker.ask(plan.lease).await {
            Asked::In(pause) => pause.clamp(SHORTEST_LOOK, longest),
            Asked::Never => longest,
        };
        // Replicas do not ask all at once.
        let pause = pause.mul_f64(0.8 + rand::random::<f64>() * 0.4);
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = stop.cancelled() => return,
        }
    }
}

struct Asker<S> {
    context: Arc<Context<S>>,
    plan: Arc<ArcSwap<Plan>>,
    common: Common,
    cores: Vec<mpsc::Sender<Handed>>,
    waiting: Waiting,
    turn: usize,
}

impl<S: Store + Journal> Asker<S> {
    /// The definitions in force are kept before the first saga needs them, so that none waits for it.
    async fn pin(&self, plan: &Plan) {
        for saga in &plan.definitions {
            if let Err(error) = self.common.definitions.pin(saga, &self.context.store).await {
                tracing::warn!(saga = %saga.name, %error, "a definition could not be kept yet");
                return;
            }
        }
    }

    async fn ask(&mut self, lease: Duration) -> Asked {
        // After an outage drivers renew first: for one lease, a lapsed saga is nobody's to take.
        if self.context.is_just_back(lease) {
            return Asked::In(lease);
        }
        let due = match self.context.store.due(PAGE, rand::random()).await {
            Ok(due) => due,
            Err(error) => {
                self.context.metrics.store_failed(StoreOperation::Due);
                tracing::debug!(%error, "the store did not say which sagas are due");
                return Asked::Never;
            }
        };
        self.common.heard.heard(due.now);
        let found = due.ids.len();
        let handed = due.ids.into_iter().filter(|id| self.hand_out(*id)).count();
        match (found, handed) {
            (0, _) => due.next_in.map_or(Asked::Never, Asked::In),
            (_, 0) => Asked::In(SHORTEST_LOOK_IN_VAIN),
            (PAGE.., _) => Asked::In(Duration::ZERO),
            _ => Asked::In(due.next_in.unwrap_or(LONGEST_LOOK)),
        }
    }

    /// Hands a saga to the next core that has room; `false`: it was handed out before, or none has.
    fn hand_out(&mut self, id: SagaId) -> bool {
        if !self.waiting.enter(id) {
            return false;
        }
        let mut handed = Handed { id, waiting: self.waiting.clone() };
        for _ in 0..self.cores.len() {
            self.turn = (self.turn + 1) % self.cores.len();
            handed = match self.cores[self.turn].try_send(handed) {
                Ok(()) => return true,
                Err(refused) => refused.into_inner(),
            };
        }
        false
    }
}

/// Takes over what is handed to this core, until the process drains.
pub async fn take_over<S: Store + Journal, C: Caller>(engine: Engine<S, C>, mut handed: mpsc::Receiver<Handed>) {
    let places = Arc::new(Semaphore::new(MAX_ADOPTED));
    let drain = engine.shared.drain.clone();
    loop {
        let next = async {
            let handed = handed.recv().await?;
            let place = Arc::clone(&places).acquire_owned().await.ok()?;
            Some((handed, place))
        };
        let taken = tokio::select! {
            biased;
            () = drain.cancelled() => return,
            taken = next => taken,
        };
        let Some((handed, place)) = taken else { return };
        let engine = engine.clone();
        engine.shared.tasks.clone().spawn(async move {
            let id = handed.id;
            let adopted = engine.adopt(id, move || drop(handed)).await;
            if adopted == Adopted::NotNow {
                tracing::debug!(saga = %id, "a saga that is due was not taken over yet");
            }
            drop(place);
        });
    }
}
