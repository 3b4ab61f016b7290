//! A shop of one's own: this program as a child process, on free ports, with its data in a folder.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::time::{Instant, interval};

use super::state::{State, StateError};

/// How long a shop may take to open: eleven processes on a busy machine.
const MAX_OPENING: Duration = Duration::from_secs(120);

/// How long it may take to close. A little more than it gives its own processes.
const MAX_CLOSING: Duration = Duration::from_secs(60);

/// How often is looked whether something has come about.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A shop that is open. Dropped, it is killed, and its processes end with it.
#[derive(Debug)]
pub struct Opened {
    child: Child,
    folder: PathBuf,
}

/// Why a shop is not open.
#[derive(Debug, thiserror::Error)]
pub enum OpeningError {
    /// The system does not start it.
    #[error("cannot start the shop")]
    Launch(#[source] io::Error),
    /// It ended by itself.
    #[error("the shop ended ({status}); it said:\n{said}")]
    Ended {
        /// How it ended.
        status: ExitStatus,
        /// The end of what it said.
        said: String,
    },
    /// It runs and does not open.
    #[error("the shop did not open within {} seconds; it said:\n{said}", MAX_OPENING.as_secs())]
    NotOpen {
        /// The end of what it said.
        said: String,
    },
    /// It is open, and does not say where.
    #[error(transparent)]
    State(#[from] StateError),
}

impl Opened {
    /// Starts `program` as a shop with its edge at `listen` (port 0: any free one), its data in `folder` and these further
    /// arguments, and waits until it is open: at most two minutes.
    ///
    /// # Errors
    /// When it cannot be started, or does not open.
    pub async fn start(
        program: &Path,
        folder: &Path,
        listen: SocketAddr,
        arguments: &[impl AsRef<OsStr>],
    ) -> Result<Self, OpeningError> {
        let mut command = Command::new(program);
        command.args(["--free-ports", "--listen", &listen.to_string(), "--admin", "127.0.0.1:0"]);
        command.arg("--data").arg(folder.join("data")).arg("--state").arg(folder.join("state.json")).args(arguments);
        let log = File::options().create(true).append(true).open(folder.join("shop.log")).map_err(OpeningError::Launch)?;
        let said = log.try_clone().map_err(OpeningError::Launch)?;
        // A group of its own: who interrupts its parent leaves the closing to that one.
        command.stdin(Stdio::null()).stdout(said).stderr(log).process_group(0).kill_on_drop(true);
        let child = command.spawn().map_err(OpeningError::Launch)?;
        let mut opened = Self { child, folder: folder.to_owned() };
        opened.until_open().await?;
        Ok(opened)
    }

    /// What runs where, now.
    ///
    /// # Errors
    /// When the shop does not say so.
    pub fn state(&self) -> Result<State, StateError> {
        let state = State::read(&self.state_file())?;
        state.ok_or_else(|| StateError::Missing(format!("state file {}", self.state_file().display())))
    }

    /// Waits until the shop's state is as `wanted`, and gives it; `None` when it is not within `limit`.
    ///
    /// # Errors
    /// When the shop has ended, or does not say how it stands.
    pub async fn until(&mut self, limit: Duration, wanted: impl Fn(&State) -> bool) -> Result<Option<State>, OpeningError> {
        let begun = Instant::now();
        let mut looks = interval(LOOK_EVERY);
        while begun.elapsed() < limit {
            looks.tick().await;
            self.still_runs()?;
            let state = self.state()?;
            if wanted(&state) {
                return Ok(Some(state));
            }
        }
        Ok(None)
    }

    /// Sends a signal to the shop itself.
    ///
    /// # Errors
    /// When it has ended.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        let id = self.child.id().ok_or_else(|| io::Error::other("the shop has ended"))?;
        kill(Pid::from_raw(id.cast_signed()), signal).map_err(io::Error::from)
    }

    /// How many lines of what it has said begin so, over all its starts in this folder.
    ///
    /// # Errors
    /// When its log cannot be read.
    pub fn heard(&self, beginning: &str) -> io::Result<usize> {
        let said = std::fs::read_to_string(self.folder.join("shop.log"))?;
        Ok(said.lines().filter(|line| line.starts_with(beginning)).count())
    }

    /// Stops the shop, at most one minute.
    ///
    /// # Errors
    /// When it does not end, or ended badly.
    pub async fn close(mut self) -> io::Result<()> {
        self.signal(Signal::SIGTERM)?;
        match tokio::time::timeout(MAX_CLOSING, self.child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(io::Error::other(format!("the shop ended badly ({status}); it said:\n{}", self.said()))),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(io::Error::other(format!("the shop did not stop; it said:\n{}", self.said()))),
        }
    }

    async fn until_open(&mut self) -> Result<(), OpeningError> {
        let begun = Instant::now();
        let mut looks = interval(LOOK_EVERY);
        while begun.elapsed() < MAX_OPENING {
            looks.tick().await;
            self.still_runs()?;
            if State::read(&self.state_file())?.is_some() {
                return Ok(());
            }
        }
        Err(OpeningError::NotOpen { said: self.said() })
    }

    fn still_runs(&mut self) -> Result<(), OpeningError> {
        match self.child.try_wait().map_err(OpeningError::Launch)? {
            Some(status) => Err(OpeningError::Ended { status, said: self.said() }),
            None => Ok(()),
        }
    }

    fn state_file(&self) -> PathBuf {
        self.folder.join("state.json")
    }

    /// The last twenty lines of what it said.
    fn said(&self) -> String {
        let file = self.folder.join("shop.log");
        match std::fs::read_to_string(&file) {
            Ok(text) => {
                let lines: Vec<&str> = text.lines().collect();
                lines[lines.len().saturating_sub(20)..].join("\n")
            }
            Err(error) => format!("({} cannot be read: {error})", file.display()),
        }
    }
}
