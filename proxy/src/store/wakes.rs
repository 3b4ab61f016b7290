//! Who waits for which record in this process.
//!
//! A waiter registers *before* it claims, so that no completion can slip between its claim and its waiting. A wake-up is a hint: the
//! waiter claims again and the store decides.

use std::{
    collections::HashMap,
    hash::BuildHasherDefault,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{Notify, futures::OwnedNotified};

use crate::ids::{Mailbox, NameHasher, RecordName};

/// The waiters of one process, shared by all its cores.
#[derive(Clone, Debug)]
pub struct Wakes {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    mailbox: Mailbox,
    waiting: Mutex<HashMap<RecordName, Waiting, BuildHasherDefault<NameHasher>>>,
}

#[derive(Debug)]
struct Waiting {
    notify: Arc<Notify>,
    listeners: usize,
}

impl Default for Wakes {
    fn default() -> Self {
        Self { inner: Arc::new(Inner { mailbox: Mailbox::random(), waiting: Mutex::default() }) }
    }
}

impl Wakes {
    /// The mailbox of this process: what a waiting claim registers with the store.
    pub fn mailbox(&self) -> Mailbox {
        self.inner.mailbox
    }

    /// Starts to listen for `name`. Wake-ups from now on are not lost, even before the first [`Listener::woken`].
    pub fn listen(&self, name: RecordName) -> Listener {
        let notify = {
            let mut waiting = self.lock();
            let entry = waiting.entry(name).or_insert_with(|| Waiting { notify: Arc::default(), listeners: 0 });
            entry.listeners += 1;
            Arc::clone(&entry.notify)
        };
        let mut notified = Box::pin(Arc::clone(&notify).notified_owned());
        notified.as_mut().enable();
        Listener { wakes: self.clone(), name, notify, notified }
    }

    /// Wakes every listener of `name` in this process.
    pub fn wake(&self, name: RecordName) {
        if let Some(entry) = self.lock().get(&name) {
            entry.notify.notify_waiters();
        }
    }

    /// Wakes all: after a lost connection to the store, when word may have been missed.
    pub fn wake_all(&self) {
        for entry in self.lock().values() {
            entry.notify.notify_waiters();
        }
    }

    /// The number of records that somebody waits for.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<RecordName, Waiting, BuildHasherDefault<NameHasher>>> {
        self.inner.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One waiter. Dropping it stops the waiting and nothing else.
#[derive(Debug)]
pub struct Listener {
    wakes: Wakes,
    name: RecordName,
    notify: Arc<Notify>,
    notified: Pin<Box<OwnedNotified>>,
}

impl Listener {
    /// Resolves at the next wake-up since the last one seen. Cancel-safe.
    pub async fn woken(&mut self) {
        self.notified.as_mut().await;
        self.notified = Box::pin(Arc::clone(&self.notify).notified_owned());
        self.notified.as_mut().enable();
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let mut waiting = self.wakes.lock();
        if let Some(entry) = waiting.get_mut(&self.name) {
            entry.listeners -= 1;
            if entry.listeners == 0 {
                waiting.remove(&self.name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_wake_before_the_wait_is_not_lost() {
        let wakes = Wakes::default();
        let name = RecordName::from_bytes([7; 32]);
        let mut listener = wakes.listen(name);
        wakes.wake(name);
        listener.woken().await;
        drop(listener);
        assert!(wakes.is_empty());
    }
}
