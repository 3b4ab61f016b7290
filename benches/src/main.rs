//! Measures Refrain and others that do its job, side by side: the same origin, the same load, alternating rounds.
//!
//! `scripts/bench` installs what this needs and runs it. It never judges by itself: every figure is a median with the others of its run
//! beside it, and what could not be measured is named.

mod ask;
mod cli;
mod clock;
mod contender;
mod counts;
mod error;
mod load;
mod long;
mod machine;
mod origin;
mod peers;
mod plot;
mod process;
mod report;
mod results;
mod rounds;
mod settings;
mod splice;
mod suites;

use std::process::ExitCode;

use clap::Parser as _;
use tokio::signal::unix::{SignalKind, signal};

use error::Error;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error.tell();
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Error> {
    let cli = cli::Cli::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::io("start"))?;
    runtime.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::io("listen to signals"))?;
        let mut terminate = signal(SignalKind::terminate()).map_err(Error::io("listen to signals"))?;
        // Whatever ends this, processes that were started are dropped, and so stopped.
        tokio::select! {
            done = cli.run() => done,
            _ = interrupt.recv() => Err(Error::Stopped),
            _ = terminate.recv() => Err(Error::Stopped),
        }
    })
}
