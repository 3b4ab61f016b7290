//! When to read the configuration again: on SIGHUP, and when the file's content changes.
//!
//! Kubernetes swaps a folder's symbolic link, editors rename: so the folder is watched, and what counts is the content's hash. A slow
//! poll finds what the platform's watching misses.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use notify::{RecursiveMode, Watcher as _};
use tokio::sync::mpsc;

/// Writers write more than once: they get this long to finish.
const SETTLE: Duration = Duration::from_millis(200);
/// What the platform's watching misses is found after this long.
const POLL: Duration = Duration::from_secs(30);

/// Watches one file.
#[derive(Debug)]
pub struct Watch {
    file: PathBuf,
    seen: Option<blake3::Hash>,
    events: mpsc::Receiver<()>,
    _watcher: Option<notify::RecommendedWatcher>,
}

impl Watch {
    /// Watches `file` from its content now on. If the platform cannot watch, the poll still does.
    pub fn new(file: &Path) -> Self {
        let (told, events) = mpsc::channel(1);
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let watcher = notify::recommended_watcher(move |_event| {
            // A full channel has word already.
            let _full = told.try_send(());
        });
        let watcher = watcher.and_then(|mut watcher| watcher.watch(folder, RecursiveMode::NonRecursive).map(|()| watcher));
        if let Err(error) = &watcher {
            tracing::warn!(%error, folder = %folder.display(), every = ?POLL, "the folder cannot be watched; the file is polled");
        }
        Self { file: file.to_owned(), seen: hash(file), events, _watcher: watcher.ok() }
    }

    /// Resolves when the file has other content than last time. Cancel-safe.
    pub async fn changed(&mut self) {
        loop {
            tokio::select! {
                Some(()) = self.events.recv() => tokio::time::sleep(SETTLE).await,
                () = tokio::time::sleep(POLL) => {}
            }
            let now = hash(&self.file);
            if now.is_some() && now != self.seen {
                self.seen = now;
                return;
            }
        }
    }
}

fn hash(file: &Path) -> Option<blake3::Hash> {
    std::fs::read(file).ok().map(|content| blake3::hash(&content))
}
