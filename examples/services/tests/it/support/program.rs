//! The `shop` program as its user runs it.

use std::path::Path;
use std::process::{ExitStatus, Output, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use shop::tour::{Refrain, Service, State};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

/// Longer than everything the program itself waits for.
const MAX_WAIT: Duration = Duration::from_secs(120);

/// A running shop on free ports. Dropped, it is killed.
pub(crate) struct Program {
    child: Child,
    stdout: Lines<BufReader<ChildStdout>>,
    /// All that it said until it was open.
    pub(crate) announced: String,
    folder: TempDir,
}

/// The program with these arguments.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shop"));
    command.args(arguments).env("RUST_LOG", "warn").env_remove("DATABASE_URL").stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// A shop on free ports.
fn shop(arguments: &[&str]) -> Command {
    let mut command = command(&["--free-ports", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
    command.args(arguments);
    command
}

/// Runs a shop on free ports that is expected to fail, and gives what it says.
pub(crate) async fn failure(arguments: &[&str]) -> String {
    failed(shop(arguments)).await
}

/// Runs a program that is expected to fail, and gives what it says.
pub(crate) async fn failed(mut command: Command) -> String {
    let output: Output = timeout(MAX_WAIT, command.output()).await.expect("an end in time").unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

impl Program {
    pub(crate) async fn start(arguments: &[&str]) -> Self {
        Self::spawn(shop(arguments)).await
    }

    /// Starts it with `temporary` as the folder for temporary files.
    pub(crate) async fn start_in(temporary: &Path, arguments: &[&str]) -> Self {
        let mut command = shop(arguments);
        command.env("TMPDIR", temporary);
        Self::spawn(command).await
    }

    async fn spawn(mut command: Command) -> Self {
        let folder = tempfile::tempdir().unwrap();
        command.arg("--state").arg(folder.path().join("state.json"));
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap()).lines();
        let announced = until(&mut stdout, "Ctrl-C").await;
        Self { child, stdout, announced, folder }
    }

    /// What runs where, now.
    pub(crate) fn state(&self) -> State {
        State::read(&self.folder.path().join("state.json")).unwrap().expect("a state")
    }

    /// Waits for a line that begins so, and gives all lines up to it.
    pub(crate) async fn until(&mut self, beginning: &str) -> String {
        until(&mut self.stdout, beginning).await
    }

    /// Kills a process of it, waits until it runs again, and gives its new process.
    pub(crate) async fn kill_one(&mut self, title: &str, pid: i32) -> i32 {
        signal(pid, Signal::SIGKILL);
        self.until(&format!("{title} ended (signal: 9 (SIGKILL)).")).await;
        let line = self.until(&format!("{title} runs again as process ")).await;
        line.trim_end().trim_end_matches('.').rsplit(' ').next().unwrap().parse().unwrap()
    }

    /// Ends it by SIGKILL, which it cannot see coming.
    pub(crate) fn kill(mut self) {
        self.child.start_kill().unwrap();
    }

    /// Waits until it ends by itself, and gives what it said on standard error.
    pub(crate) async fn end(self) -> (ExitStatus, String) {
        let (status, stderr, _) = self.ended().await;
        (status, stderr)
    }

    async fn ended(self) -> (ExitStatus, String, TempDir) {
        let output = timeout(MAX_WAIT, self.child.wait_with_output()).await.expect("an end in time").unwrap();
        (output.status, String::from_utf8(output.stderr).unwrap(), self.folder)
    }

    /// Stops it by SIGTERM. It must say nothing of trouble. Gives the folder that its state was in.
    pub(crate) async fn stop(self) -> TempDir {
        signal(self.child.id().unwrap().cast_signed(), Signal::SIGTERM);
        let (status, stderr, folder) = self.ended().await;
        assert!(status.success() && stderr.is_empty(), "{status}: {stderr}");
        folder
    }
}

/// All processes of a shop.
pub(crate) fn processes(state: &State) -> Vec<i32> {
    let of_service = |service: &Service| {
        std::iter::once(service.pid).chain(service.sidecars.iter().map(|sidecar| sidecar.pid)).collect::<Vec<_>>()
    };
    let Refrain { pid, .. } = &state.edge;
    state.services.values().flat_map(of_service).chain([*pid]).map(Option::unwrap).collect()
}

pub(crate) fn signal(process: i32, signal: Signal) {
    kill(Pid::from_raw(process), signal).unwrap();
}

/// Whether there is such a process, be it one that nobody has waited for yet.
pub(crate) fn is_alive(process: i32) -> bool {
    kill(Pid::from_raw(process), None).is_ok()
}

async fn until(stdout: &mut Lines<BufReader<ChildStdout>>, beginning: &str) -> String {
    let mut seen = String::new();
    let found = async {
        while let Some(line) = stdout.next_line().await.unwrap() {
            seen += &format!("{line}\n");
            if line.starts_with(beginning) {
                return true;
            }
        }
        false
    };
    let found = timeout(MAX_WAIT, found).await;
    assert!(matches!(found, Ok(true)), "no line that begins {beginning:?}: {found:?}; there is:\n{seen}");
    seen
}
