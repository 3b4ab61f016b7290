//! A process that is measured: started with a wait for readiness, its use of the machine read from the system, and stopped with all that
//! it started, however the run ends.

use std::fs;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::process::{Child, Command};

use crate::clock;
use crate::error::Error;
use crate::settings::Settings;

/// How long a process may take to become ready.
const MAX_START: Duration = Duration::from_secs(60);

/// How long one may take to stop after it was asked to.
const MAX_STOP: Duration = Duration::from_secs(5);

/// How often one is asked whether it is ready.
const EVERY: Duration = Duration::from_millis(2);

/// What /proc counts time in: fixed in Linux's interface (USER_HZ).
const TICKS_PER_SECOND: u64 = 100;

/// How much of a log an error shows, in bytes.
const MAX_TAIL_BYTES: u64 = 2048;

/// When a process is ready.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ready {
    /// As soon as it takes connections here.
    Listens(SocketAddr),
    /// When `GET` of this path is answered 2xx.
    Answers(SocketAddr, &'static str),
}

/// A process group of its own. Dropped, all of it is killed.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Child,
    group: Pid,
    log: PathBuf,
    start: Duration,
}

/// What a process and all that it started use.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// User and system time since the start.
    pub(crate) cpu: Duration,
    /// Resident memory, in bytes.
    pub(crate) rss_bytes: u64,
    /// The most resident memory there was, in bytes.
    pub(crate) peak_bytes: u64,
    /// Open descriptors.
    pub(crate) descriptors: u64,
}

impl Process {
    /// Starts `command` and waits, at most a minute, until it is ready. What it says goes to a file of this run.
    ///
    /// # Errors
    /// When it cannot be started, ends at once, or does not become ready in time; it is gone then.
    pub(crate) async fn start(settings: &Settings, name: &str, mut command: Command, ready: Ready) -> Result<Self, Error> {
        let begun = clock::now();
        let log = settings.work.join(format!("{name}-{}.log", settings.next_port.get()));
        let out = File::create(&log).map_err(Error::io(format!("write {}", log.display())))?;
        let err = out.try_clone().map_err(Error::io("write a log"))?;
        command.stdin(Stdio::null()).stdout(out).stderr(err).process_group(0).kill_on_drop(true);
        let child = command.spawn().map_err(Error::io(format!("start {name}")))?;
        let id = child.id().ok_or_else(|| Error::program(name, "ended at once"))?;
        let group = Pid::from_raw(id.cast_signed());
        let mut process = Self { name: name.to_owned(), child, group, log, start: Duration::ZERO };
        tokio::select! {
            biased;
            ended = process.child.wait() => {
                let status = ended.map_err(Error::io(format!("wait for {name}")))?;
                return Err(Error::program(name, format!("{status} before it was ready; it said: {}", tail(&process.log))));
            }
            ready = tokio::time::timeout(MAX_START, until(ready)) => {
                ready.map_err(|_| Error::program(name, format!("not ready in time; it said: {}", tail(&process.log))))?;
            }
        }
        process.start = begun.elapsed();
        Ok(process)
    }

    /// How long it took from its start to its first answer.
    pub(crate) fn start_time(&self) -> Duration {
        self.start
    }

    /// The process's id.
    pub(crate) fn id(&self) -> u32 {
        self.group.as_raw().cast_unsigned()
    }

    /// What it uses now, with all that it started.
    ///
    /// # Errors
    /// When it has ended: nothing that was measured since counts.
    pub(crate) fn usage(&self) -> Result<Usage, Error> {
        let usage = usage(self.group.as_raw())?;
        if usage.rss_bytes == 0 {
            return Err(Error::program(&self.name, format!("has ended; it said: {}", tail(&self.log))));
        }
        Ok(usage)
    }

    /// Asks it to stop, and after five seconds makes it.
    pub(crate) async fn stop(mut self) {
        // Both fail only where it has ended already, which is what is wanted. Dropping it kills what is left.
        let _asked = killpg(self.group, Signal::SIGTERM);
        let _ended = tokio::time::timeout(MAX_STOP, self.child.wait()).await;
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The group's id stays its own while any process of it lives; fails where none does.
        let _killed = killpg(self.group, Signal::SIGKILL);
    }
}

async fn until(ready: Ready) {
    loop {
        let is_ready = match ready {
            Ready::Listens(address) => tokio::net::TcpStream::connect(address).await.is_ok(),
            Ready::Answers(address, path) => crate::ask::get(address, path).await.is_ok_and(|answer| answer.status / 100 == 2),
        };
        if is_ready {
            return;
        }
        tokio::time::sleep(EVERY).await;
    }
}

fn tail(log: &Path) -> String {
    let read = || {
        let mut file = File::open(log)?;
        let start = file.metadata()?.len().saturating_sub(MAX_TAIL_BYTES);
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = Vec::new();
        file.take(MAX_TAIL_BYTES).read_to_end(&mut bytes)?;
        Ok::<_, std::io::Error>(String::from_utf8_lossy(&bytes).trim().to_owned())
    };
    read().unwrap_or_else(|error| error.to_string())
}

/// Sums over the group, out of /proc.
fn usage(group: i32) -> Result<Usage, Error> {
    let mut sum = Usage::default();
    for entry in fs::read_dir("/proc").map_err(Error::io("read /proc"))?.flatten() {
        let path = entry.path();
        // Whatever is no process, or ends while it is read, has nothing to add.
        let Ok(stat) = fs::read_to_string(path.join("stat")) else { continue };
        // After the name, which may have spaces in it: state, parent, group, …; user and system time are the 12th and 13th.
        let Some((_, rest)) = stat.rsplit_once(')') else { continue };
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let number = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
        if number(2) != u64::from(group.cast_unsigned()) {
            continue;
        }
        sum.cpu += Duration::from_nanos((number(11) + number(12)) * (1_000_000_000 / TICKS_PER_SECOND));
        let status = fs::read_to_string(path.join("status")).unwrap_or_default();
        sum.rss_bytes += status_bytes(&status, "VmRSS:");
        sum.peak_bytes += status_bytes(&status, "VmHWM:");
        sum.descriptors += fs::read_dir(path.join("fd")).map_or(0, |fds| fds.count() as u64);
    }
    Ok(sum)
}

fn status_bytes(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|value| value.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) * 1024
}
