//! The `shop` program; see the README beside it.

use std::error::Error;
use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;
use shop::cli::{Cli, Command};
use shop::running::process::tie_to_parent;
use shop::running::{health, hosting, run, sidecar};
use shop::tour;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let Cli { shop, command } = Cli::parse();
    match command {
        None => in_runtime(run::until_stopped(shop)),
        Some(Command::Service(args)) => match tie_to_parent() {
            Ok(()) => in_runtime(hosting::until_stopped(args)),
            Err(error) => failed(&error),
        },
        Some(Command::Health { address }) => match health::ask(address) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => failed(&error),
        },
        Some(Command::Tour) => in_runtime(tour::guided()),
        Some(Command::Sidecar { arguments }) => sidecar::process(arguments),
    }
}

/// Runs it with a log on standard error.
fn in_runtime<E: Error + 'static>(program: impl Future<Output = Result<(), E>>) -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("shop=info,warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
    // One thread: the kernel ties a process's life to the thread that started it, and this one lives longest.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    match runtime.block_on(program) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

/// Tells the error and all its causes.
fn failed(error: &dyn Error) -> ExitCode {
    let mut said = error.to_string();
    eprintln!("shop: {said}");
    let mut cause = error.source();
    while let Some(error) = cause {
        // Some errors say what their cause says.
        if !said.ends_with(&error.to_string()) {
            said = error.to_string();
            eprintln!("  because: {said}");
        }
        cause = error.source();
    }
    ExitCode::FAILURE
}
