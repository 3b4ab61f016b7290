//! A Refrain as a process of its own, kept running.
//!
//! The process is this same program under its hidden command `sidecar`, so that killing it kills a sidecar and
//! nothing else. When it dies it is started again on the same store, as an init system would.

mod log;
mod ready;

use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{ExitCode, ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

use crate::address::Reserved;
use crate::announcement;
use log::Log;

/// How often one sidecar is started again before it is given up.
const MAX_RESTARTS: u32 = 10;

/// How long a sidecar may take to stop. More than Refrain's own limit for finishing requests, which is 30 s.
const MAX_STOP: Duration = Duration::from_secs(35);

/// What to start.
#[derive(Debug)]
pub struct Plan {
    /// The service beside which the sidecar stands.
    pub name: &'static str,
    /// The text of its YAML file. The addresses in it are replaced by those below.
    pub config: &'static str,
    /// Where its configuration, its store and its log are written.
    pub folder: PathBuf,
    /// Where the service listens.
    pub upstream: SocketAddr,
    /// Where the sidecar is to listen.
    pub listen: Reserved,
    /// Where its admin interface is to listen.
    pub admin: Reserved,
}

/// Why a sidecar does not run.
#[derive(Debug, thiserror::Error)]
pub enum SidecarError {
    /// Its files cannot be written.
    #[error("cannot write {} for the sidecar of {name}", path.display())]
    File {
        /// The service.
        name: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The system does not start the process.
    #[error("cannot start the sidecar of {name}")]
    Launch {
        /// The service.
        name: &'static str,
        /// What the system says.
        source: io::Error,
    },
    /// The process ended before it was ready.
    #[error("the sidecar of {name} ended ({status}) before it was ready; it said:\n{said}")]
    Died {
        /// The service.
        name: &'static str,
        /// How it ended.
        status: ExitStatus,
        /// The end of its log.
        said: String,
    },
    /// The process runs and does not become ready.
    #[error("the sidecar of {name} was not ready after {waited:?} (GET http://{admin}/readyz); it said:\n{said}")]
    NotReady {
        /// The service.
        name: &'static str,
        /// Its admin interface.
        admin: SocketAddr,
        /// How long it was waited for.
        waited: Duration,
        /// The end of its log.
        said: String,
    },
    /// The process ended once too often.
    #[error("the sidecar of {name} ended {} times and is given up; it said:\n{said}", MAX_RESTARTS + 1)]
    GivenUp {
        /// The service.
        name: &'static str,
        /// The end of its log.
        said: String,
    },
}

/// A sidecar that was ready at least once. Dropped, its process is killed.
#[derive(Debug)]
pub struct Sidecar {
    name: &'static str,
    upstream: SocketAddr,
    listen: SocketAddr,
    admin: SocketAddr,
    command: Command,
    log: Log,
    child: Child,
}

impl Sidecar {
    /// Starts the sidecar and waits, at most 15 seconds, until it is ready.
    ///
    /// # Errors
    /// When it cannot be started, ends at once, or does not become ready in time; its process is gone then.
    pub async fn start(plan: Plan) -> Result<Self, SidecarError> {
        let Plan { name, config, folder, upstream, listen, admin } = plan;
        let config_file = folder.join("sidecar.yaml");
        if let Err(source) = std::fs::write(&config_file, config) {
            return Err(SidecarError::File { name, path: config_file, source });
        }
        let program = std::env::current_exe().map_err(|source| SidecarError::Launch { name, source })?;
        let mut store = OsString::from("embedded:");
        store.push(folder.join("refrain.db"));
        let log = Log::new(name, folder.join("sidecar.log"));
        let (listen, admin) = (listen.release(), admin.release());

        let mut command = Command::new(program);
        command.args(["sidecar", "run", "--config"]).arg(config_file);
        command.args(["--listen", &listen.to_string(), "--upstream", &format!("http://{upstream}")]);
        command.arg("--store").arg(store).args(["--admin", &admin.to_string()]);
        // A group of its own: Ctrl-C in the terminal is for the shop, which then stops its sidecars in order.
        command.current_dir(folder).stdin(Stdio::null()).process_group(0).kill_on_drop(true);

        let child = launch(&mut command, &log)?;
        let mut sidecar = Self { name, upstream, listen, admin, command, log, child };
        sidecar.ready().await?;
        Ok(sidecar)
    }

    /// Starts the process again whenever it ends, until `stop`; then stops it, by SIGTERM and after 35 seconds by
    /// SIGKILL.
    ///
    /// # Errors
    /// When it ended for the eleventh time, or could not be started again or did not become ready again.
    pub async fn keep_running(mut self, stop: CancellationToken) -> Result<(), SidecarError> {
        for _ in 0..MAX_RESTARTS {
            let ended = tokio::select! {
                biased;
                () = stop.cancelled() => return self.stop().await,
                ended = self.child.wait() => ended,
            };
            let status = ended.map_err(|source| SidecarError::Launch { name: self.name, source })?;
            self.child = launch(&mut self.command, &self.log)?;
            let ready = tokio::select! {
                biased;
                () = stop.cancelled() => return self.stop().await,
                ready = self.ready() => ready,
            };
            match ready {
                Ok(()) => announcement::restarted(self.name, status, self.child.id()),
                // Counts as one more end: the next round sees it at once.
                Err(SidecarError::Died { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => self.stop().await,
            _ = self.child.wait() => Err(SidecarError::GivenUp { name: self.name, said: self.log.tail() }),
        }
    }

    /// The service beside which it stands.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Where that service listens.
    pub fn upstream(&self) -> SocketAddr {
        self.upstream
    }

    /// Where the sidecar listens.
    pub fn listen(&self) -> SocketAddr {
        self.listen
    }

    /// Where its admin interface listens.
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// The id of its process; `None` once that has ended.
    pub fn process_id(&self) -> Option<u32> {
        self.child.id()
    }

    async fn ready(&mut self) -> Result<(), SidecarError> {
        let Self { name, admin, .. } = *self;
        tokio::select! {
            biased;
            ended = self.child.wait() => {
                let status = ended.map_err(|source| SidecarError::Launch { name, source })?;
                Err(SidecarError::Died { name, status, said: self.log.tail() })
            }
            ready = ready::within(ready::MAX_WAIT, admin) => ready.map_err(|_| {
                SidecarError::NotReady { name, admin, waited: ready::MAX_WAIT, said: self.log.tail() }
            }),
        }
    }

    async fn stop(mut self) -> Result<(), SidecarError> {
        // Without an id it has ended already. With one it was not waited for yet, so the id is still its own.
        if let Some(id) = self.child.id()
            && let Err(error) = kill(Pid::from_raw(id.cast_signed()), Signal::SIGTERM)
        {
            tracing::warn!(name = self.name, %error, "the sidecar cannot be told to stop");
        }
        match tokio::time::timeout(MAX_STOP, self.child.wait()).await {
            Ok(Ok(status)) if status.success() => {}
            Ok(ended) => tracing::warn!(name = self.name, ?ended, said = self.log.tail(), "the sidecar stopped badly"),
            // Dropping it kills it.
            Err(_) => tracing::warn!(name = self.name, "the sidecar did not stop and is killed"),
        }
        Ok(())
    }
}

/// Is Refrain, with `arguments` as its command line. For the process that [`Sidecar::start`] starts.
pub fn process(arguments: Vec<OsString>) -> ExitCode {
    // A shop that was killed cannot stop its sidecars; elsewhere than on Linux they then have to be stopped by hand.
    #[cfg(target_os = "linux")]
    if let Err(error) = nix::sys::prctl::set_pdeathsig(Signal::SIGTERM) {
        eprintln!("sidecar: cannot ask to be stopped with the shop: {error}");
        return ExitCode::FAILURE;
    }
    refrain::cli::main_from(std::iter::once(OsString::from("refrain")).chain(arguments))
}

fn launch(command: &mut Command, log: &Log) -> Result<Child, SidecarError> {
    let (stdout, stderr) = log.open()?;
    command.stdout(stdout).stderr(stderr);
    command.spawn().map_err(|source| SidecarError::Launch { name: log.name(), source })
}
