//! What a process says, in a file.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// How much of the log an error shows, in bytes.
const MAX_TAIL_BYTES: u64 = 4096;

/// A log longer than this is begun anew when its process is started again; the one before it is kept.
const MAX_LOG_BYTES: u64 = 16 * 1024 * 1024;

/// The file that a process's standard output and error go to, over all its restarts.
#[derive(Debug)]
pub(super) struct Log {
    path: PathBuf,
}

impl Log {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The file's end, twice.
    pub(super) fn open(&self) -> io::Result<(File, File)> {
        if self.path.metadata().is_ok_and(|metadata| metadata.len() > MAX_LOG_BYTES) {
            std::fs::rename(&self.path, self.path.with_extension("log.1"))?;
        }
        let file = File::options().create(true).append(true).open(&self.path)?;
        Ok((file.try_clone()?, file))
    }

    /// The last lines, at most 4 KiB.
    pub(super) fn tail(&self) -> String {
        match self.read_tail() {
            Ok(tail) if tail.trim().is_empty() => "(nothing)".to_owned(),
            Ok(tail) => tail.trim_end().to_owned(),
            Err(error) => format!("({} cannot be read: {error})", self.path.display()),
        }
    }

    fn read_tail(&self) -> io::Result<String> {
        let mut file = File::open(&self.path)?;
        let start = file.metadata()?.len().saturating_sub(MAX_TAIL_BYTES);
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = Vec::new();
        file.take(MAX_TAIL_BYTES).read_to_end(&mut bytes)?;
        let text = String::from_utf8_lossy(&bytes);
        // Cut inside a line: leave that line out.
        let whole = if start == 0 { 0 } else { text.find('\n').map_or(0, |end| end + 1) };
        Ok(text[whole..].to_owned())
    }
}
