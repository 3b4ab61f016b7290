//! nginx.

use tokio::process::Command;

use super::version;
use crate::contender::Contender;
use crate::error::Error;
use crate::origin::Origin;
use crate::process::{Process, Ready};
use crate::settings::{Settings, fill};

const CONFIG: &str = include_str!("../../peers/nginx/nginx.conf");

/// Starts it.
pub(crate) async fn start(settings: &Settings, origin: &Origin) -> Result<Contender, Error> {
    let program = settings.program("nginx")?;
    let (address, h2c) = (settings.address()?, settings.address()?);
    let folder = settings.work.join("nginx");
    std::fs::create_dir_all(&folder).map_err(Error::io("make nginx's folder"))?;
    let config = fill(
        CONFIG,
        &[
            // The other side's count, too, and one worker may have to take all.
            ("connections", &(2 * settings.max_connections().min(11_000)).to_string()),
            ("workers", &settings.workers.to_string()),
            ("folder", &folder.to_string_lossy()),
            ("origin", &origin.address.to_string()),
            ("listen", &address.to_string()),
            ("h2c", &h2c.to_string()),
        ],
    );
    let config = settings.file("nginx.conf", &config)?;
    let version = version(&program, "-v").await?;
    let mut command = Command::new(program);
    command.arg("-p").arg(&folder).arg("-c").arg(config);
    let process = Process::start(settings, "nginx", command, Ready::Answers(address, "/")).await?;
    Ok(Contender { h2c: Some(h2c), ..Contender::new("nginx", version, process, address) })
}
