//! A Redis server of one's own, without persistence: as fast as it can be, for everyone who uses it.

use std::net::SocketAddr;

use tokio::process::Command;

use crate::error::Error;
use crate::process::{Process, Ready};
use crate::settings::Settings;

/// Starts one.
pub(crate) async fn start(settings: &Settings) -> Result<(Process, SocketAddr), Error> {
    let address = settings.address()?;
    let mut command = Command::new(settings.program("redis-server")?);
    command.args(["--bind", "127.0.0.1", "--port", &address.port().to_string()]);
    command.args(["--save", "", "--appendonly", "no", "--maxmemory-policy", "noeviction", "--daemonize", "no"]);
    command.current_dir(&settings.work);
    let process = Process::start(settings, "redis", command, Ready::Listens(address)).await?;
    Ok((process, address))
}

/// Of the program.
pub(crate) async fn version(settings: &Settings) -> Result<String, Error> {
    super::version(&settings.program("redis-server")?, "--version").await
}
