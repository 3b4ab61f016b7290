//! `refrain ready`: the health check of a container that has no other program.

use std::process::ExitCode;

use clap::Args;
use http::Method;

use super::{
    ask::{ask, failed},
    print,
};

#[derive(Debug, Args)]
pub(super) struct ReadyArgs {
    /// The admin side of the Refrain to ask
    #[arg(long, env = "REFRAIN_ADMIN", value_name = "ADDR", default_value = "127.0.0.1:9090")]
    admin: String,
}

/// Exit code 0 if `/readyz` says so, else 1 and why.
pub(super) fn run(args: &ReadyArgs) -> ExitCode {
    match ask(&args.admin, Method::GET, "/readyz", None) {
        Ok(readiness) => print(&readiness),
        Err(why) => failed(&why),
    }
}
