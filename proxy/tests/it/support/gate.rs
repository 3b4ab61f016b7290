//! Where something is held until a test lets it go on.

use std::sync::Arc;

use tokio::sync::watch;

use super::within;

/// When something is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// Before it takes effect; if who asked for it is gone by then, it does not.
    Before,
    /// Before it takes effect; it does once it is let go, whether or not who asked for it is still there.
    Late,
    /// When it has taken effect, before that is answered.
    After,
}

/// A gate. Closed at first.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    arrived: Arc<watch::Sender<usize>>,
    gone: Arc<watch::Sender<usize>>,
    open: Arc<watch::Sender<bool>>,
}

/// Counts one that goes away before the gate is open.
struct Waits<'a>(Option<&'a watch::Sender<usize>>);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        if let Some(gone) = self.0 {
            gone.send_modify(|number| *number += 1);
        }
    }
}

impl Gate {
    pub(crate) fn closed() -> Self {
        let none = || Arc::new(watch::Sender::new(0));
        Self { arrived: none(), gone: none(), open: Arc::new(watch::Sender::new(false)) }
    }

    /// Waits until `count` in all have reached the gate.
    pub(crate) async fn started(&self, count: usize) {
        let mut arrived = self.arrived.subscribe();
        let what = format!("{count} at the gate");
        within(&what, arrived.wait_for(|number| *number >= count)).await.unwrap();
    }

    /// Waits until one that was held has gone away.
    pub(crate) async fn one_is_gone(&self) {
        let mut gone = self.gone.subscribe();
        within("one at the gate to go away", gone.wait_for(|number| *number >= 1)).await.unwrap();
    }

    /// Lets everything through, from now on.
    pub(crate) fn open(&self) {
        self.open.send_replace(true);
    }

    /// Arrives, and waits until it is open.
    pub(crate) async fn pass(&self) {
        self.arrived.send_modify(|number| *number += 1);
        let mut waits = Waits(Some(&self.gone));
        let mut open = self.open.subscribe();
        open.wait_for(|open| *open).await.unwrap();
        waits.0 = None;
    }
}
