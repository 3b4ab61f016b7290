//! The way from callers to the writer: a queue bounded in bytes.

use std::{
    sync::{Arc, mpsc},
    time::Duration,
};

use tokio::{
    sync::{AcquireError, OwnedSemaphorePermit, Semaphore, TryAcquireError, oneshot},
    time::timeout,
};

use super::{
    batch::{ApplyError, Batch, answer},
    reply::{Reply, Round, reply},
};
use crate::store::StoreError;

/// How much waits in the queue and in the batch being written, in KiB: an operation counts as one plus its response.
const QUEUE_KIB: usize = 64 << 10;
/// How long an operation waits for room in the queue.
const ROOM_WITHIN: Duration = Duration::from_secs(1);
/// How long a caller waits for the answer to a queued operation; a disk that takes longer makes it unknown.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// What the writer is told.
pub(super) enum Message {
    /// Do this.
    Work(Queued),
    /// A reader met an I/O error: the database must be opened anew.
    Suspect(String),
    /// Finish, and say so.
    Close(oneshot::Sender<()>),
}

/// An operation with its share of the queue.
pub(super) struct Queued {
    pub(super) job: Box<dyn Job>,
    pub(super) room: OwnedSemaphorePermit,
}

/// An operation, applied at most once, then answered.
pub(super) trait Job: Send {
    /// Applies it. An error means that the transaction is lost; what concerns this operation alone is kept for its answer.
    fn apply(&mut self, batch: &mut Batch<'_>) -> Result<(), Box<redb::Error>>;

    /// Answers the caller: with the outcome, or with what befell the whole batch.
    fn answer(self: Box<Self>, batch: Result<(), StoreError>, round: &mut Round);
}

/// The callers' end.
#[derive(Clone, Debug)]
pub(super) struct Queue {
    room: Arc<Semaphore>,
    sender: mpsc::Sender<Message>,
}

impl Queue {
    pub(super) fn new() -> (Self, mpsc::Receiver<Message>) {
        let (sender, receiver) = mpsc::channel();
        (Self { room: Arc::new(Semaphore::new(QUEUE_KIB)), sender }, receiver)
    }

    /// Queues an operation that carries `bytes` of response, and waits for its answer. Dropping this future does not undo it.
    pub(super) async fn run<T, F>(&self, bytes: usize, rule: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Batch<'_>) -> Result<T, ApplyError> + Send + 'static,
    {
        let room = self.room(bytes).await?;
        let (reply, answer) = reply();
        let job = Box::new(Work { rule: Some(rule), outcome: None, reply });
        self.sender.send(Message::Work(Queued { job, room })).map_err(|_| closed())?;
        match timeout(ANSWER_WITHIN, answer).await {
            Ok(Some(answer)) => answer,
            Ok(None) => Err(StoreError::AnswerLost("the writer ended".to_owned())),
            Err(_) => Err(StoreError::AnswerLost(format!("the disk took longer than {} s", ANSWER_WITHIN.as_secs()))),
        }
    }

    /// Tells the writer of an I/O error. The caller sees to it that this is said once per failure.
    pub(super) fn suspect(&self, reason: String) {
        // A writer that has ended needs no telling.
        let _ended = self.sender.send(Message::Suspect(reason));
    }

    /// Refuses further operations; resolves when those queued are done and the file is closed, or, with `false`, when that took
    /// too long.
    pub(super) async fn close(&self) -> bool {
        self.room.close();
        let (reply, answer) = oneshot::channel();
        self.sender.send(Message::Close(reply)).is_err() || timeout(ANSWER_WITHIN, answer).await.is_ok()
    }

    async fn room(&self, bytes: usize) -> Result<OwnedSemaphorePermit, StoreError> {
        let kib = bytes / 1024 + 1;
        let permits = u32::try_from(kib).ok().filter(|_| kib <= QUEUE_KIB);
        let permits = permits.ok_or_else(|| StoreError::Refused(format!("{kib} KiB are more than the writer takes at once")))?;
        match Arc::clone(&self.room).try_acquire_many_owned(permits) {
            Ok(room) => return Ok(room),
            Err(TryAcquireError::Closed) => return Err(closed()),
            Err(TryAcquireError::NoPermits) => {}
        }
        match timeout(ROOM_WITHIN, Arc::clone(&self.room).acquire_many_owned(permits)).await {
            Ok(room) => room.map_err(|_: AcquireError| closed()),
            Err(_) => Err(StoreError::Refused(format!("the writer's queue was full for {} s", ROOM_WITHIN.as_secs()))),
        }
    }
}

pub(super) fn closed() -> StoreError {
    StoreError::NotReached("it is closed".to_owned())
}

struct Work<F, T: Send> {
    rule: Option<F>,
    outcome: Option<Result<T, StoreError>>,
    reply: Reply<Result<T, StoreError>>,
}

impl<F, T> Job for Work<F, T>
where
    T: Send + 'static,
    F: FnOnce(&mut Batch<'_>) -> Result<T, ApplyError> + Send,
{
    fn apply(&mut self, batch: &mut Batch<'_>) -> Result<(), Box<redb::Error>> {
        if let Some(rule) = self.rule.take() {
            self.outcome = Some(answer(rule(batch))?);
        }
        Ok(())
    }

    fn answer(self: Box<Self>, batch: Result<(), StoreError>, round: &mut Round) {
        let Self { outcome, reply, .. } = *self;
        let unapplied = || Err(StoreError::NotReached("the writer did not come to it".to_owned()));
        reply.send(batch.and_then(|()| outcome.unwrap_or_else(unapplied)), round);
    }
}
