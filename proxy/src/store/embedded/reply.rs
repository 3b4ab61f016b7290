//! The way from the writer back to callers.
//!
//! To wake a task of another thread costs a system call, and a commit answers many tasks of few threads. So the writer wakes one task
//! of each thread, and that one wakes the others, which costs it nothing: it carries the *baton*. A caller that goes away passes it on,
//! and what was not passed on by the next commit, or in a millisecond, the writer wakes itself: a caller may hold its future for long
//! without polling it.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    thread::ThreadId,
};

/// The writer's end: it answers once. Dropped without an answer, it says that there is none.
pub(super) struct Reply<T: Send>(Arc<Slot<T>>);

/// The caller's end. `None`: there will be no answer.
pub(super) struct Answer<T: Send>(Arc<Slot<T>>);

/// Both ends, for a caller on this thread.
pub(super) fn reply<T: Send>() -> (Reply<T>, Answer<T>) {
    let slot = Arc::new(Slot(Mutex::new(State::Open { thread: std::thread::current().id(), waker: None })));
    (Reply(Arc::clone(&slot)), Answer(slot))
}

struct Slot<T>(Mutex<State<T>>);

enum State<T> {
    /// There is no answer yet. The thread is where it was last asked for.
    Open { thread: ThreadId, waker: Option<Waker> },
    /// Not yet seen. `None`: there is none.
    Told { answer: Option<T>, baton: Option<Baton> },
    /// Seen, or nobody waits for it.
    Over,
}

/// Whom to wake still.
type Baton = Arc<Mutex<Vec<Waker>>>;

fn pass(baton: &Baton) {
    let rest = std::mem::take(&mut *baton.lock().unwrap_or_else(PoisonError::into_inner));
    rest.into_iter().for_each(Waker::wake);
}

impl<T> Slot<T> {
    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whom to wake for it, if somebody asks for it already.
    fn tell(&self, told: Option<T>) -> Option<(ThreadId, Waker)> {
        let mut state = self.state();
        let State::Open { thread, waker } = &mut *state else { return None };
        let waiting = (*thread, waker.take());
        *state = State::Told { answer: told, baton: None };
        Some((waiting.0, waiting.1?))
    }

    /// Its answer, if there is one, is seen or dropped; the baton goes on.
    fn end(&self, state: State<T>) -> Option<T> {
        match state {
            State::Told { answer, baton } => {
                if let Some(baton) = baton {
                    pass(&baton);
                }
                answer
            }
            State::Open { .. } | State::Over => None,
        }
    }
}

/// Something that can carry a baton.
trait Carrier: Send + Sync {
    /// `false`: it has seen its answer, and passes nothing on.
    fn carry(&self, baton: &Baton) -> bool;
}

impl<T: Send> Carrier for Slot<T> {
    fn carry(&self, carried: &Baton) -> bool {
        match &mut *self.state() {
            State::Told { baton, .. } => {
                *baton = Some(Arc::clone(carried));
                true
            }
            State::Open { .. } | State::Over => false,
        }
    }
}

impl<T: Send + 'static> Reply<T> {
    /// Answers. The caller is woken with the others of `round`.
    pub(super) fn send(self, answer: T, round: &mut Round) {
        if let Some((thread, waker)) = self.0.tell(Some(answer)) {
            let carrier: Arc<dyn Carrier> = Arc::clone(&self.0) as Arc<dyn Carrier>;
            match round.threads.iter_mut().find(|(known, _)| *known == thread) {
                Some((_, waiting)) => waiting.push((waker, carrier)),
                None => round.threads.push((thread, vec![(waker, carrier)])),
            }
        }
    }
}

impl<T: Send> Drop for Reply<T> {
    fn drop(&mut self) {
        if let Some((_, waker)) = self.0.tell(None) {
            waker.wake();
        }
    }
}

impl<T: Send> Future for Answer<T> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        let mut state = self.0.state();
        if let State::Open { thread, waker } = &mut *state {
            *thread = std::thread::current().id();
            match waker {
                Some(waker) => waker.clone_from(context.waker()),
                None => *waker = Some(context.waker().clone()),
            }
            return Poll::Pending;
        }
        let seen = std::mem::replace(&mut *state, State::Over);
        drop(state);
        Poll::Ready(self.0.end(seen))
    }
}

impl<T: Send> Drop for Answer<T> {
    fn drop(&mut self) {
        let left = std::mem::replace(&mut *self.0.state(), State::Over);
        self.0.end(left);
    }
}

/// Who waits on one thread, and by whom the others of it can be woken.
type Waiting = Vec<(Waker, Arc<dyn Carrier>)>;

/// The answers to one batch.
#[derive(Default)]
pub(super) struct Round {
    threads: Vec<(ThreadId, Waiting)>,
}

/// The batons under way.
#[derive(Default)]
pub(super) struct Batons(Vec<Baton>);

impl Batons {
    /// Whether some are under way.
    pub(super) fn are_out(&self) -> bool {
        !self.0.is_empty()
    }

    /// Wakes who was not woken yet.
    pub(super) fn call_in(&mut self) {
        self.0.drain(..).for_each(|baton| pass(&baton));
    }

    /// Wakes all of this round.
    pub(super) fn wake(&mut self, round: Round) {
        for (_, mut waiting) in round.threads {
            let baton = Baton::default();
            // Whoever does not carry it has seen its answer, and needs no waking.
            while let Some((first, carrier)) = waiting.pop() {
                // Locked until it is whole: it may be passed on at once.
                let mut rest = baton.lock().unwrap_or_else(PoisonError::into_inner);
                if waiting.is_empty() || carrier.carry(&baton) {
                    rest.extend(waiting.drain(..).map(|(waker, _)| waker));
                    drop(rest);
                    first.wake();
                }
            }
            let is_out = !baton.lock().unwrap_or_else(PoisonError::into_inner).is_empty();
            if is_out {
                self.0.push(baton);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::{
        sync::atomic::{AtomicU64, Ordering},
        task::Wake,
    };

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicU64);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    type Callers = Vec<(Answer<u8>, Arc<Woken>)>;

    /// Three callers of one thread that have been answered, and who of them was woken.
    fn answered() -> (Callers, Batons) {
        let (mut callers, mut round, mut batons) = (Vec::new(), Round::default(), Batons::default());
        let mut replies = Vec::new();
        for _ in 0..3 {
            let (reply, mut answer) = reply::<u8>();
            let woken = Arc::<Woken>::default();
            assert!(poll(&mut answer, &woken).is_pending());
            replies.push(reply);
            callers.push((answer, woken));
        }
        for (reply, n) in replies.into_iter().zip(0..) {
            reply.send(n, &mut round);
        }
        batons.wake(round);
        (callers, batons)
    }

    fn poll(answer: &mut Answer<u8>, woken: &Arc<Woken>) -> Poll<Option<u8>> {
        Pin::new(answer).poll(&mut Context::from_waker(&Waker::from(Arc::clone(woken))))
    }

    fn woken(callers: &[(Answer<u8>, Arc<Woken>)]) -> Vec<u64> {
        callers.iter().map(|(_, woken)| woken.0.load(Ordering::Relaxed)).collect()
    }

    #[test]
    fn one_caller_of_a_thread_is_woken_and_wakes_the_others() {
        let (mut callers, mut batons) = answered();
        assert_eq!(woken(&callers), [0, 0, 1]);
        let (answer, waker) = &mut callers[2];
        assert_eq!(poll(answer, &waker.clone()), Poll::Ready(Some(2)));
        assert_eq!(woken(&callers), [1, 1, 1]);
        batons.call_in();
        assert_eq!(woken(&callers), [1, 1, 1], "nobody is woken twice");
        let (answer, waker) = &mut callers[0];
        assert_eq!(poll(answer, &waker.clone()), Poll::Ready(Some(0)));
    }

    #[test]
    fn a_caller_that_goes_away_wakes_the_others() {
        let (mut callers, _batons) = answered();
        drop(callers.pop());
        assert_eq!(woken(&callers), [1, 1]);
    }

    #[test]
    fn a_caller_that_sleeps_on_does_not_hold_up_the_others() {
        let (callers, mut batons) = answered();
        assert!(batons.are_out());
        batons.call_in();
        assert_eq!(woken(&callers), [1, 1, 1]);
        assert!(!batons.are_out());
    }

    #[test]
    fn callers_that_have_gone_carry_nothing() {
        let (mut round, mut batons) = (Round::default(), Batons::default());
        let (first, mut waiting) = reply::<u8>();
        let (second, mut gone) = reply::<u8>();
        let wakers = [Arc::<Woken>::default(), Arc::default()];
        assert!(poll(&mut waiting, &wakers[0]).is_pending() && poll(&mut gone, &wakers[1]).is_pending());
        first.send(1, &mut round);
        second.send(2, &mut round);
        drop(gone);
        batons.wake(round);
        assert_eq!(wakers[0].0.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn an_answer_before_the_question_and_no_answer_at_all_are_seen() {
        let (reply_to, mut early) = reply::<u8>();
        reply_to.send(7, &mut Round::default());
        let waker = Arc::<Woken>::default();
        assert_eq!(poll(&mut early, &waker), Poll::Ready(Some(7)));
        let (lost, mut none) = reply::<u8>();
        assert!(poll(&mut none, &waker).is_pending());
        drop(lost);
        assert_eq!((poll(&mut none, &waker), waker.0.load(Ordering::Relaxed)), (Poll::Ready(None), 1));
    }
}
