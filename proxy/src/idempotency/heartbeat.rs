//! Renewal of the leases that this process holds. Runs on the control thread, where no request's work can delay it.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::lease::Leases;
use crate::{
    metrics::{Metrics, StoreOperation},
    store::Store,
};

/// Leases renewed in one round trip.
const BATCH: usize = 1000;

/// Renews what is due until `stop`.
pub async fn run<S: Store>(store: S, leases: Leases, metrics: Metrics, stop: CancellationToken) {
    loop {
        // A lease is due at a third; looked at twice as often, it is renewed before half is over.
        let every = (leases.shortest() / 6).max(Duration::from_millis(5));
        tokio::select! {
            () = tokio::time::sleep(every) => beat(&store, &leases, every, &metrics).await,
            () = stop.cancelled() => return,
        }
    }
}

async fn beat<S: Store>(store: &S, leases: &Leases, every: Duration, metrics: &Metrics) {
    let due = leases.due(Instant::now() + every / 2);
    for batch in due.chunks(BATCH) {
        let at = Instant::now();
        match store.extend(batch.iter().map(|(_, renewal)| *renewal).collect()).await {
            Ok(answers) => batch.iter().zip(answers).for_each(|((id, _), held)| leases.renewed(*id, held, at)),
            Err(error) => {
                metrics.store_failed(StoreOperation::Extend);
                tracing::warn!(%error, leases = batch.len(), "leases could not be renewed; they are tried again");
            }
        }
    }
}
