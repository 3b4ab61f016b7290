//! A process of the shop, kept running.
//!
//! Services and sidecars are this same program under other commands, each a process of its own, so that killing one
//! kills it and nothing else. When it dies it is started again, at the same addresses and with the same files, as an
//! init system would.

mod log;
mod parent;
mod ready;

use std::io;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use crate::running::member::Member;
use log::Log;
pub use parent::tie_to_parent;
pub use ready::Question;

/// How often in a row a process may die without having been ready in between.
const MAX_FAILED_STARTS: u32 = 10;

/// How long to wait after the first start that failed; twice as long after each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// The longest of these pauses.
const MAX_PAUSE: Duration = Duration::from_secs(1);

/// How long a process may take to stop. More than Refrain's own limit for finishing requests, which is 30 s.
const MAX_STOP: Duration = Duration::from_secs(35);

/// The variable that tells a process how often it was started before.
pub const LIFE: &str = "SHOP_LIFE";

/// What to start.
#[derive(Debug)]
pub struct Plan {
    /// Who it is.
    pub member: Member,
    /// This program's arguments.
    pub command: Command,
    /// Where what it says goes.
    pub log: PathBuf,
    /// How to ask whether it is ready.
    pub question: Question,
}

/// Why a process does not run.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// Its log cannot be written.
    #[error("cannot write {}, the log of {member}", path.display())]
    Log {
        /// Whose.
        member: Member,
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The system does not start the process.
    #[error("cannot start {member}")]
    Launch {
        /// Which.
        member: Member,
        /// What the system says.
        source: io::Error,
    },
    /// The process ended before it was ready.
    #[error("{member} ended ({status}) before it was ready; it said:\n{said}")]
    Died {
        /// Which.
        member: Member,
        /// How it ended.
        status: ExitStatus,
        /// The end of its log.
        said: String,
    },
    /// The process runs and does not become ready.
    #[error("{member} was not ready after {} seconds ({question}); it said:\n{said}", ready::MAX_WAIT.as_secs())]
    NotReady {
        /// Which.
        member: Member,
        /// How it was asked.
        question: Question,
        /// The end of its log.
        said: String,
    },
    /// The process was started again too often in vain.
    #[error("{member} was started again {MAX_FAILED_STARTS} times and never became ready: it is given up; it said:\n{said}")]
    GivenUp {
        /// Which.
        member: Member,
        /// The end of its log.
        said: String,
    },
}

/// What happened to a process.
#[derive(Debug)]
pub enum Event {
    /// It ended, and is about to be started again.
    Ended(ExitStatus),
    /// It runs again and is ready: its process id.
    Runs(u32),
}

/// A process that was ready at least once. Dropped, it is killed.
#[derive(Debug)]
pub struct Process {
    member: Member,
    command: Command,
    log: Log,
    question: Question,
    child: Child,
    /// How often it was started again.
    life: u64,
    blow: Arc<Notify>,
}

impl Process {
    /// Starts the process and waits, at most 30 seconds, until it is ready.
    ///
    /// # Errors
    /// When it cannot be started, ends at once, or does not become ready in time; it is gone then.
    pub async fn start(plan: Plan) -> Result<Self, ProcessError> {
        let Plan { member, mut command, log, question } = plan;
        // A group of its own: Ctrl-C in the terminal is for the shop, which then stops its processes in order.
        command.stdin(Stdio::null()).process_group(0).kill_on_drop(true);
        parent::name_in(&mut command);
        let log = Log::new(log);
        let child = launch(member, &mut command, &log)?;
        let mut process = Self { member, command, log, question, child, life: 0, blow: Arc::default() };
        process.ready().await?;
        Ok(process)
    }

    /// Who it is.
    pub fn member(&self) -> Member {
        self.member
    }

    /// The id of its process; `None` once that has ended.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// What kills it, once for each notification.
    pub fn blow(&self) -> Arc<Notify> {
        Arc::clone(&self.blow)
    }

    /// Starts it again whenever it ends, and tells `events` so, until `stop`; then stops it, by SIGTERM and after 35
    /// seconds by SIGKILL.
    ///
    /// # Errors
    /// When it was started again ten times and did not become ready once, or cannot be started at all.
    pub async fn keep_running(
        mut self,
        events: mpsc::Sender<(Member, Event)>,
        stop: CancellationToken,
    ) -> Result<(), ProcessError> {
        let member = self.member;
        loop {
            let ended = tokio::select! {
                biased;
                () = stop.cancelled() => return self.stop().await,
                () = self.blow.notified() => {
                    // It has ended already where this fails, which is what was wanted.
                    let _ended = self.child.start_kill();
                    self.child.wait().await
                }
                ended = self.child.wait() => ended,
            };
            let status = ended.map_err(|source| ProcessError::Launch { member, source })?;
            // Nobody listens any more while the shop is stopped.
            let _heard = events.send((member, Event::Ended(status))).await;
            tokio::select! {
                biased;
                () = stop.cancelled() => return self.stop().await,
                ready = self.start_again() => ready?,
            }
            if let Some(id) = self.id() {
                let _heard = events.send((member, Event::Runs(id))).await;
            }
        }
    }

    /// Starts it until it is ready. Dropped, whatever was started last is the child.
    async fn start_again(&mut self) -> Result<(), ProcessError> {
        let mut pause = FIRST_PAUSE;
        for _ in 0..MAX_FAILED_STARTS {
            self.life += 1;
            self.command.env(LIFE, self.life.to_string());
            self.child = launch(self.member, &mut self.command, &self.log)?;
            match self.ready().await {
                Err(ProcessError::Died { .. }) => {}
                Err(ProcessError::NotReady { .. }) => {
                    // Gone before its addresses are wanted again.
                    let _gone = self.child.kill().await;
                }
                ready => return ready,
            }
            tokio::time::sleep(pause).await;
            pause = MAX_PAUSE.min(pause * 2);
        }
        Err(ProcessError::GivenUp { member: self.member, said: self.log.tail() })
    }

    async fn ready(&mut self) -> Result<(), ProcessError> {
        let Self { member, question, .. } = *self;
        tokio::select! {
            biased;
            ended = self.child.wait() => {
                let status = ended.map_err(|source| ProcessError::Launch { member, source })?;
                Err(ProcessError::Died { member, status, said: self.log.tail() })
            }
            ready = ready::within(ready::MAX_WAIT, question) => {
                ready.map_err(|_| ProcessError::NotReady { member, question, said: self.log.tail() })
            }
        }
    }

    async fn stop(mut self) -> Result<(), ProcessError> {
        let member = self.member;
        // Without an id it has ended already. With one it was not waited for yet, so the id is still its own.
        if let Some(id) = self.child.id()
            && let Err(error) = kill(Pid::from_raw(id.cast_signed()), Signal::SIGTERM)
        {
            tracing::warn!(%member, %error, "the process cannot be told to stop");
        }
        match tokio::time::timeout(MAX_STOP, self.child.wait()).await {
            Ok(Ok(status)) if status.success() => {}
            Ok(ended) => tracing::warn!(%member, ?ended, said = self.log.tail(), "the process stopped badly"),
            // Dropping it kills it.
            Err(_) => tracing::warn!(%member, "the process did not stop and is killed"),
        }
        Ok(())
    }
}

fn launch(member: Member, command: &mut Command, log: &Log) -> Result<Child, ProcessError> {
    let path = || log.path().to_owned();
    let (stdout, stderr) = log.open().map_err(|source| ProcessError::Log { member, path: path(), source })?;
    command.stdout(stdout).stderr(stderr);
    command.spawn().map_err(|source| ProcessError::Launch { member, source })
}
