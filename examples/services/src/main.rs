//! The `shop` program; see the README beside it.

use std::error::Error;
use std::process::ExitCode;

use clap::Parser;
use shop::cli::{Command, Shop};
use shop::{run, sidecar};
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let mut shop = Shop::parse();
    if let Some(Command::Sidecar { arguments }) = shop.command.take() {
        return sidecar::process(arguments);
    }
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("shop=info,warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    // One thread: the kernel ties a sidecar's life to the thread that started it, and this one lives longest.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    match runtime.block_on(run::until_stopped(shop)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

/// Tells the error and all its causes.
fn failed(error: &dyn Error) -> ExitCode {
    eprintln!("shop: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        eprintln!("  because: {error}");
        cause = error.source();
    }
    ExitCode::FAILURE
}
