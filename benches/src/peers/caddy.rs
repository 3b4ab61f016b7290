//! Caddy.

use tokio::process::Command;

use super::version;
use crate::contender::Contender;
use crate::error::Error;
use crate::origin::Origin;
use crate::process::{Process, Ready};
use crate::settings::{Settings, fill};

const CONFIG: &str = include_str!("../../peers/caddy/Caddyfile");

/// Starts it.
pub(crate) async fn start(settings: &Settings, origin: &Origin) -> Result<Contender, Error> {
    let program = settings.program("caddy")?;
    let address = settings.address()?;
    let config = fill(CONFIG, &[("port", &address.port().to_string()), ("origin", &origin.address.to_string())]);
    let config = settings.file("Caddyfile", &config)?;
    let version = version(&program, "version").await?;
    let mut command = Command::new(program);
    command.arg("run").arg("--adapter").arg("caddyfile").arg("--config").arg(config);
    command.env("GOMAXPROCS", settings.workers.to_string());
    // It keeps its state below its home.
    command.env("HOME", &settings.work).env("XDG_DATA_HOME", &settings.work).env("XDG_CONFIG_HOME", &settings.work);
    let process = Process::start(settings, "caddy", command, Ready::Answers(address, "/")).await?;
    Ok(Contender { h2c: Some(address), ..Contender::new("caddy", version, process, address) })
}
