//! Envoy.

use tokio::process::Command;

use super::version;
use crate::contender::Contender;
use crate::error::Error;
use crate::origin::Origin;
use crate::process::{Process, Ready};
use crate::settings::{Settings, fill};

const CONFIG: &str = include_str!("../../peers/envoy/envoy.yaml");

/// Starts it.
pub(crate) async fn start(settings: &Settings, origin: &Origin) -> Result<Contender, Error> {
    let program = settings.program("envoy")?;
    let (address, h2c) = (settings.address()?, settings.address()?);
    let config = fill(
        CONFIG,
        &[
            ("port", &address.port().to_string()),
            ("h2c_port", &h2c.port().to_string()),
            ("origin_port", &origin.address.port().to_string()),
        ],
    );
    let config = settings.file("envoy.yaml", &config)?;
    let version = version(&program, "--version").await?;
    let mut command = Command::new(program);
    command.arg("--concurrency").arg(settings.workers.to_string()).arg("-c").arg(config);
    command.arg("--disable-hot-restart").arg("-l").arg("error");
    let process = Process::start(settings, "envoy", command, Ready::Answers(address, "/")).await?;
    Ok(Contender { h2c: Some(h2c), ..Contender::new("envoy", version, process, address) })
}
