//! The `shop` program as its user runs it.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{ExitStatus, Output, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

/// Longer than everything the program itself waits for.
const MAX_WAIT: Duration = Duration::from_secs(60);

const ANY_PORT: &str = "127.0.0.1:0";
const ADDRESS_FLAGS: [&str; 4] = ["--orders-listen", "--orders-admin", "--billing-listen", "--billing-admin"];

/// A running shop on free ports. Dropped, it is killed.
pub(crate) struct Program {
    child: Child,
    stdout: Lines<BufReader<ChildStdout>>,
    pub(crate) orders: Place,
    pub(crate) billing: Place,
}

/// A line of the table that the shop prints.
pub(crate) struct Place {
    pub(crate) service: SocketAddr,
    pub(crate) sidecar: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) process: i32,
}

/// The shop's command line: free ports, except where `arguments` say otherwise.
fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shop"));
    for flag in ADDRESS_FLAGS {
        if !arguments.contains(&flag) {
            command.args([flag, ANY_PORT]);
        }
    }
    command.args(arguments).env("RUST_LOG", "warn").stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// Runs a shop that is expected to end by itself.
pub(crate) async fn run(arguments: &[&str]) -> Output {
    timeout(MAX_WAIT, command(arguments).output()).await.expect("an end in time").unwrap()
}

impl Program {
    pub(crate) async fn start(arguments: &[&str]) -> Self {
        Self::spawn(command(arguments)).await
    }

    /// Starts it with `temporary` as the folder for temporary files.
    pub(crate) async fn start_in(temporary: &Path, arguments: &[&str]) -> Self {
        let mut command = command(arguments);
        command.env("TMPDIR", temporary);
        Self::spawn(command).await
    }

    /// Starts it so that [`Program::end`] gives what it says on standard error.
    pub(crate) async fn start_overheard(arguments: &[&str]) -> Self {
        let mut command = command(arguments);
        command.stderr(Stdio::piped());
        Self::spawn(command).await
    }

    async fn spawn(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap()).lines();
        let orders = Place::parse(&line(&mut stdout, "orders ").await);
        let billing = Place::parse(&line(&mut stdout, "billing ").await);
        line(&mut stdout, "Ctrl-C").await;
        Self { child, stdout, orders, billing }
    }

    /// Waits for the line that begins so.
    pub(crate) async fn line(&mut self, beginning: &str) -> String {
        line(&mut self.stdout, beginning).await
    }

    /// Ends it by SIGKILL, which it cannot see coming.
    pub(crate) fn kill(mut self) {
        self.child.start_kill().unwrap();
    }

    /// Waits until it ends by itself, and gives what an overheard one said on standard error.
    pub(crate) async fn end(self) -> (ExitStatus, String) {
        let output = self.child.wait_with_output();
        let output = timeout(MAX_WAIT, output).await.expect("an end in time").unwrap();
        (output.status, String::from_utf8(output.stderr).unwrap())
    }

    /// Stops it by SIGTERM.
    pub(crate) async fn stop(mut self) -> ExitStatus {
        signal(i32::try_from(self.child.id().unwrap()).unwrap(), Signal::SIGTERM);
        timeout(MAX_WAIT, self.child.wait()).await.expect("an end in time").unwrap()
    }
}

impl Place {
    fn parse(line: &str) -> Self {
        let columns: Vec<_> = line.split_whitespace().collect();
        let address = |column: usize| columns[column].strip_prefix("http://").unwrap().parse().unwrap();
        Self { service: address(1), sidecar: address(2), admin: address(3), process: columns[4].parse().unwrap() }
    }
}

pub(crate) fn signal(process: i32, signal: Signal) {
    kill(Pid::from_raw(process), signal).unwrap();
}

/// Whether there is such a process, be it one that nobody has waited for yet.
pub(crate) fn is_alive(process: i32) -> bool {
    kill(Pid::from_raw(process), None).is_ok()
}

async fn line(stdout: &mut Lines<BufReader<ChildStdout>>, beginning: &str) -> String {
    let found = async {
        while let Some(line) = stdout.next_line().await.unwrap() {
            if line.starts_with(beginning) {
                return line;
            }
        }
        panic!("the shop ended without a line that begins {beginning:?}");
    };
    timeout(MAX_WAIT, found).await.expect("the line in time")
}
