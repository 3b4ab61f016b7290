//! The floor of a proxy, of this program's own.

use tokio::process::Command;

use crate::contender::Contender;
use crate::error::Error;
use crate::origin::Origin;
use crate::process::{Process, Ready};
use crate::settings::Settings;

/// Starts it.
pub(crate) async fn start(settings: &Settings, origin: &Origin) -> Result<Contender, Error> {
    let address = settings.address()?;
    let this = std::env::current_exe().map_err(Error::io("find this program"))?;
    let mut command = Command::new(this);
    command.arg("splice").arg(address.to_string()).arg(origin.address.to_string());
    command.arg("--threads").arg(settings.workers.to_string());
    let process = Process::start(settings, "splice", command, Ready::Answers(address, "/")).await?;
    Ok(Contender { versions: Vec::new(), ..Contender::new("splice", String::new(), process, address) })
}
