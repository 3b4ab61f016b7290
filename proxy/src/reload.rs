//! When to read the configuration again: on SIGHUP, and when the content of its files changes.
//!
//! Kubernetes swaps a folder's symbolic link, editors rename: so folders are watched, and what counts is the content's hash. A slow
//! poll finds what the platform's watching misses.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    time::Duration,
};

use notify::{
    EventKind, RecursiveMode, Watcher as _,
    event::{AccessKind, AccessMode, ModifyKind},
};
use tokio::sync::mpsc;

/// Writers write more than once: they get this long to finish.
const SETTLE: Duration = Duration::from_millis(200);
/// What the platform's watching misses is found after this long.
const POLL: Duration = Duration::from_secs(30);

/// What is watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    /// The file that must be there: while it cannot be read, nothing has changed.
    pub main: PathBuf,
    /// The others. One that is not there is a change.
    pub others: Vec<PathBuf>,
    /// The folders in which others may appear.
    pub folders: Vec<PathBuf>,
}

/// Watches files.
pub struct Watch {
    list: Box<dyn Fn() -> Watched + Send>,
    seen: Option<blake3::Hash>,
    events: mpsc::Receiver<()>,
    _watcher: Option<notify::RecommendedWatcher>,
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch").field("seen", &self.seen).finish_non_exhaustive()
    }
}

impl Watch {
    /// Watches what `list` says, from its content now on. If the platform cannot watch, the poll still does. `list` is asked each time,
    /// and may block for as long as reading the files takes.
    pub fn new(list: impl Fn() -> Watched + Send + 'static) -> Self {
        let (told, events) = mpsc::channel(1);
        let watched = list();
        let told = move |event: notify::Result<notify::Event>| {
            if event.is_ok_and(|event| !may_be_change(event.kind)) {
                return;
            }
            // A full channel has word already.
            let _full = told.try_send(());
        };
        let mut watcher = match notify::recommended_watcher(told) {
            Ok(watcher) => Some(watcher),
            Err(error) => {
                tracing::warn!(%error, every = ?POLL, "files cannot be watched; they are polled");
                None
            }
        };
        for folder in folders(&watched) {
            let watching = watcher.as_mut().map(|watcher| watcher.watch(&folder, RecursiveMode::NonRecursive));
            if let Some(Err(error)) = watching {
                tracing::warn!(%error, folder = %folder.display(), every = ?POLL, "the folder cannot be watched; it is polled");
            }
        }
        Self { seen: hash(&watched), list: Box::new(list), events, _watcher: watcher }
    }

    /// Resolves when there is other content than last time. Cancel-safe.
    pub async fn changed(&mut self) {
        loop {
            tokio::select! {
                Some(()) = self.events.recv() => tokio::time::sleep(SETTLE).await,
                () = tokio::time::sleep(POLL) => {}
            }
            let now = hash(&(self.list)());
            if now.is_some() && now != self.seen {
                self.seen = now;
                return;
            }
        }
    }
}

/// Whether the files may be others after this. That somebody reads one is none: who looks whether they have changed reads them. What is
/// written counts when it is closed, where the platform tells that: a store's file beside the configuration is written all the time.
fn may_be_change(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(access) => access == AccessKind::Close(AccessMode::Write),
        EventKind::Modify(ModifyKind::Data(_)) => cfg!(not(target_os = "linux")),
        _ => true,
    }
}

fn folders(watched: &Watched) -> BTreeSet<PathBuf> {
    let of_files = std::iter::once(&watched.main).chain(&watched.others).filter_map(|file| file.parent());
    let all = of_files.chain(watched.folders.iter().map(PathBuf::as_path));
    all.map(|folder| if folder.as_os_str().is_empty() { Path::new(".") } else { folder }.to_owned()).collect()
}

fn hash(watched: &Watched) -> Option<blake3::Hash> {
    let mut hasher = blake3::Hasher::new();
    let mut add = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_be_bytes());
        hasher.update(bytes);
    };
    add(&std::fs::read(&watched.main).ok()?);
    for file in &watched.others {
        add(file.as_os_str().as_encoded_bytes());
        match std::fs::read(file) {
            Ok(content) => add(&content),
            Err(_) => add(b"absent"),
        }
    }
    Some(hasher.finalize())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_counts_is_the_content_of_all_files_and_which_there_are() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        let watched = |others: &[&str]| Watched {
            main: file("refrain.yaml"),
            others: others.iter().map(|name| file(name)).collect(),
            folders: Vec::new(),
        };
        assert_eq!(hash(&watched(&[])), None, "while the configuration is away, nothing has changed");
        std::fs::write(file("refrain.yaml"), "a").unwrap();
        let mut seen = vec![hash(&watched(&[])), hash(&watched(&["s.yaml"]))];
        for content in ["", "b", "c"] {
            std::fs::write(file("s.yaml"), content).unwrap();
            seen.push(hash(&watched(&["s.yaml"])));
        }
        std::fs::rename(file("s.yaml"), file("t.yaml")).unwrap();
        seen.push(hash(&watched(&["t.yaml"])));
        for (index, one) in seen.iter().enumerate() {
            assert!(one.is_some() && !seen[..index].contains(one), "{index}");
        }
        assert_eq!(hash(&watched(&["t.yaml"])), seen[5]);
    }

    #[tokio::test]
    async fn a_file_that_is_written_is_a_change() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("refrain.yaml");
        std::fs::write(&path, "a").unwrap();
        let main = path.clone();
        let mut watch = Watch::new(move || Watched { main: main.clone(), others: Vec::new(), folders: Vec::new() });
        std::fs::write(&path, "b").unwrap();
        tokio::time::timeout(POLL / 2, watch.changed()).await.unwrap();
    }

    #[test]
    fn only_what_may_be_another_content_is_looked_at() {
        use notify::event::{CreateKind, DataChange, RenameMode};
        for kind in [
            EventKind::Create(CreateKind::File),
            EventKind::Modify(ModifyKind::Name(RenameMode::Both)),
            EventKind::Access(AccessKind::Close(AccessMode::Write)),
            EventKind::Other,
            EventKind::Any,
        ] {
            assert!(may_be_change(kind), "{kind:?}");
        }
        for kind in [AccessKind::Open(AccessMode::Any), AccessKind::Read, AccessKind::Close(AccessMode::Read)] {
            assert!(!may_be_change(EventKind::Access(kind)), "{kind:?}");
        }
        assert_eq!(may_be_change(EventKind::Modify(ModifyKind::Data(DataChange::Any))), cfg!(not(target_os = "linux")));
    }

    #[test]
    fn a_folder_is_watched_once_and_the_current_one_by_its_name() {
        let watched = Watched {
            main: "refrain.yaml".into(),
            others: vec!["sagas/a.yaml".into(), "sagas/b.yaml".into()],
            folders: vec!["sagas".into(), "more".into()],
        };
        assert_eq!(folders(&watched), [".", "more", "sagas"].map(PathBuf::from).into());
    }
}
