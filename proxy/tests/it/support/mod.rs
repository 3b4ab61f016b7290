//! What the tests stand on.

use std::time::Duration;

pub(crate) mod books;
pub(crate) mod client;
pub(crate) mod desk;
pub(crate) mod gate;
pub(crate) mod hold;
pub(crate) mod origin;
pub(crate) mod pipe;
pub(crate) mod raw;
pub(crate) mod redis;
pub(crate) mod refrain;
pub(crate) mod relay;
pub(crate) mod server;
pub(crate) mod shop;
pub(crate) mod sidecars;
pub(crate) mod strace;

/// How long anything is waited for. What takes longer does not happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Waits for something, not for ever.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("waited {PATIENCE:?} in vain for {what}"),
    }
}
