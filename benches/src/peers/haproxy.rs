//! HAProxy.

use tokio::process::Command;

use super::version;
use crate::contender::Contender;
use crate::error::Error;
use crate::origin::Origin;
use crate::process::{Process, Ready};
use crate::settings::{Settings, fill};

const CONFIG: &str = include_str!("../../peers/haproxy/haproxy.cfg");

/// Starts it.
pub(crate) async fn start(settings: &Settings, origin: &Origin) -> Result<Contender, Error> {
    let program = settings.program("haproxy")?;
    let (address, h2c) = (settings.address()?, settings.address()?);
    let config = fill(
        CONFIG,
        &[
            ("connections", &settings.max_connections().to_string()),
            ("workers", &settings.workers.to_string()),
            ("origin", &origin.address.to_string()),
            ("listen", &address.to_string()),
            ("h2c", &h2c.to_string()),
        ],
    );
    let config = settings.file("haproxy.cfg", &config)?;
    let version = version(&program, "-v").await?;
    let mut command = Command::new(program);
    command.arg("-db").arg("-f").arg(config);
    let process = Process::start(settings, "haproxy", command, Ready::Answers(address, "/")).await?;
    Ok(Contender { h2c: Some(h2c), ..Contender::new("haproxy", version, process, address) })
}
