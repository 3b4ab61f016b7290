//! An exchange that outlives whoever waits for it.
//!
//! It runs inside its caller's own task: nothing is spawned for it, and nothing has to be woken twice. If the caller goes first, or
//! has its answer before the exchange is over, what is left of it goes on in a task of its own. So a client that hangs up cancels
//! only its own waiting, whatever the exchange was waiting for.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll},
};

use http::Response;
use tokio::{runtime::Handle, sync::oneshot};
use tokio_util::task::{TaskTracker, task_tracker::TaskTrackerToken};

use crate::body::Body;

/// An exchange that can be gone on with anywhere.
pub(super) type Running = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Resolves with the exchange's answer; `None` if it ended without one. Dropping it ends the waiting, not the exchange.
pub(super) struct Detached {
    /// Absent once it is over.
    exchange: Option<Running>,
    answer: oneshot::Receiver<Response<Body>>,
    tasks: TaskTracker,
    /// A drain waits for the exchange wherever it runs.
    _counted: TaskTrackerToken,
}

impl Detached {
    /// Runs `exchange`, which sends its answer to `answer`'s other end. What is left of it goes on among `tasks`.
    pub(super) fn new(exchange: Running, answer: oneshot::Receiver<Response<Body>>, tasks: &TaskTracker) -> Self {
        Self { exchange: Some(exchange), answer, tasks: tasks.clone(), _counted: tasks.token() }
    }
}

impl Future for Detached {
    type Output = Option<Response<Body>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(exchange) = &mut self.exchange else { return Poll::Ready(None) };
        // As in a task of its own: a panic ends the exchange, and nobody else.
        let is_over = match catch_unwind(AssertUnwindSafe(|| exchange.as_mut().poll(cx))) {
            Ok(polled) => polled.is_ready(),
            Err(_panic) => true,
        };
        if is_over {
            self.exchange = None;
        }
        match self.answer.try_recv() {
            Ok(answer) => Poll::Ready(Some(answer)),
            Err(_) if is_over => Poll::Ready(None),
            Err(_) => Poll::Pending,
        }
    }
}

impl Drop for Detached {
    fn drop(&mut self) {
        // Without a runtime nothing goes on: the exchange's lease gives its record up.
        if let (Some(exchange), Ok(handle)) = (self.exchange.take(), Handle::try_current()) {
            self.tasks.spawn_on(exchange, &handle);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use tokio::sync::Notify;

    use super::*;

    struct Going {
        detached: Detached,
        go_on: Arc<Notify>,
        is_done: oneshot::Receiver<()>,
        tasks: TaskTracker,
    }

    /// An exchange that waits until it is told to go on; `answers_first`: it answers before that, and else after.
    fn going(answers_first: bool) -> Going {
        let (caller, answer) = oneshot::channel();
        let (done, is_done) = oneshot::channel();
        let (go_on, tasks) = (Arc::new(Notify::new()), TaskTracker::new());
        let told = Arc::clone(&go_on);
        let exchange = async move {
            let mut caller = Some(caller);
            if answers_first {
                caller.take().unwrap().send(Response::new(Body::empty())).unwrap();
            }
            told.notified().await;
            if let Some(caller) = caller {
                let _gone = caller.send(Response::new(Body::empty()));
            }
            done.send(()).unwrap();
        };
        Going { detached: Detached::new(Box::pin(exchange), answer, &tasks), go_on, is_done, tasks }
    }

    #[tokio::test]
    async fn an_exchange_goes_on_when_its_caller_has_gone() {
        let Going { mut detached, go_on, is_done, tasks } = going(false);
        let waited = tokio::time::timeout(Duration::ZERO, &mut detached).await;
        assert!(waited.is_err(), "it is under way");
        drop(detached);
        assert_eq!(tasks.len(), 1, "a drain waits for it");
        go_on.notify_one();
        is_done.await.unwrap();
    }

    #[tokio::test]
    async fn an_exchange_that_nobody_has_begun_to_wait_for_runs_all_the_same() {
        let Going { detached, go_on, is_done, .. } = going(false);
        drop(detached);
        go_on.notify_one();
        is_done.await.unwrap();
    }

    #[tokio::test]
    async fn a_caller_has_its_answer_while_the_exchange_goes_on() {
        let Going { detached, go_on, is_done, .. } = going(true);
        assert!(detached.await.is_some());
        go_on.notify_one();
        is_done.await.unwrap();
    }

    #[tokio::test]
    async fn a_drain_waits_for_what_runs_in_its_callers_task() {
        let Going { detached, go_on, tasks, .. } = going(false);
        assert_eq!(tasks.len(), 1);
        go_on.notify_one();
        assert!(detached.await.is_some());
        assert!(tasks.is_empty());
    }

    #[tokio::test]
    async fn an_exchange_that_panics_ends_without_an_answer_and_is_not_gone_on_with() {
        let (caller, answer) = oneshot::channel::<Response<Body>>();
        let tasks = TaskTracker::new();
        let exchange = async move {
            let _caller = caller;
            panic!("a fault");
        };
        let detached = Detached::new(Box::pin(exchange), answer, &tasks);
        assert!(detached.await.is_none());
        assert!(tasks.is_empty());
    }
}
