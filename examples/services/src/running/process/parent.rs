//! A shop that was killed cannot stop its processes: they end with it by themselves.
//!
//! On Linux only; elsewhere they then have to be stopped by hand.

use std::io;

#[cfg(target_os = "linux")]
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use tokio::process::Command;

/// The variable that tells a process of the shop which process started it.
const PARENT: &str = "SHOP_PARENT";

/// Names this process as the one that `command` is to end with.
pub(super) fn name_in(command: &mut Command) {
    command.env(PARENT, std::process::id().to_string());
}

/// Asks the system to stop this process, by SIGTERM, when the shop that started it ends. Does nothing in a process that
/// no shop has started.
///
/// # Errors
/// When the shop has ended already, or the system refuses.
pub fn tie_to_parent() -> io::Result<()> {
    let Ok(parent) = std::env::var(PARENT) else { return Ok(()) };
    let parent: i32 = parent.parse().map_err(|_| io::Error::other(format!("{PARENT} is not a process id: {parent}")))?;
    #[cfg(target_os = "linux")]
    nix::sys::prctl::set_pdeathsig(Signal::SIGTERM)?;
    // It may have ended before the system was asked.
    if Pid::parent() == Pid::from_raw(parent) { Ok(()) } else { Err(io::Error::other("the shop has ended")) }
}
