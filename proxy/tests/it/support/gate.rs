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
    open: Arc<watch::Sender<bool>>,
}

impl Gate {
    pub(crate) fn closed() -> Self {
        Self { arrived: Arc::new(watch::Sender::new(0)), open: Arc::new(watch::Sender::new(false)) }
    }

    /// Waits until `count` in all have reached the gate.
    pub(crate) async fn started(&self, count: usize) {
        let mut arrived = self.arrived.subscribe();
        let what = format!("{count} at the gate");
        within(&what, arrived.wait_for(|number| *number >= count)).await.unwrap();
    }

    /// How many have reached it.
    pub(crate) fn arrived(&self) -> usize {
        *self.arrived.borrow()
    }

    /// Lets everything through, from now on.
    pub(crate) fn open(&self) {
        self.open.send_replace(true);
    }

    /// Arrives, and waits until it is open.
    pub(crate) async fn pass(&self) {
        self.arrived.send_modify(|number| *number += 1);
        let mut open = self.open.subscribe();
        open.wait_for(|open| *open).await.unwrap();
    }
}
