//! A process that dies at its `n`th fsync: strace sends it SIGKILL when that is about to begin.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

/// How a process is traced.
pub(crate) struct Trace {
    folder: TempDir,
}

impl Trace {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    /// What starts a program under it; `killed_at`: before which fsync of a thread it dies, counted from 1.
    pub(crate) fn launcher(&self, killed_at: Option<usize>) -> Command {
        let mut strace = Command::new("strace");
        // The tracer is apart, so that the program is this process's own child.
        strace.args(["-D", "-f", "-qq", "-e", "signal=none", "-e", "trace=fsync,fdatasync"]);
        if let Some(n) = killed_at {
            strace.args(["-e", &format!("inject=fsync,fdatasync:signal=SIGKILL:when={n}")]);
        }
        strace.arg("-o").arg(self.log());
        strace
    }

    /// How many fsyncs each thread has made: strace counts by threads.
    pub(crate) fn fsyncs(&self) -> BTreeMap<String, usize> {
        let mut threads = BTreeMap::<String, usize>::new();
        for line in std::fs::read_to_string(self.log()).unwrap_or_default().lines() {
            let mut words = line.split_whitespace();
            let (Some(thread), Some(call)) = (words.next(), words.next()) else { continue };
            if call.starts_with("fsync(") || call.starts_with("fdatasync(") {
                *threads.entry(thread.to_owned()).or_default() += 1;
            }
        }
        threads
    }

    fn log(&self) -> PathBuf {
        Path::new(self.folder.path()).join("trace")
    }
}
