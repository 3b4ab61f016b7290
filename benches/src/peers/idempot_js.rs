//! idempot-js: a proxy on its middleware for Fastify, on Redis. Its settings are in `benches/peers/idempot-js/proxy.js`.

use tokio::process::Command;

use super::{installed, redis};
use crate::contender::Contender;
use crate::error::Error;
use crate::origin::Origin;
use crate::process::{Process, Ready};
use crate::settings::Settings;

/// Of its core, as `install` pins it.
const VERSION: &str = "1.3.0";

/// Starts it, with a Redis of its own.
pub(crate) async fn start(settings: &Settings, origin: &Origin) -> Result<Contender, Error> {
    let script = installed(settings, "idempot-js", "proxy.js")?;
    installed(settings, "idempot-js", "commit")?;
    let node = settings.program("node")?;
    let node_version = super::version(&node, "--version").await?;
    let (store, redis) = redis::start(settings).await?;
    let address = settings.address()?;
    let mut command = Command::new(node);
    command
        .arg(script)
        .env("NODE_ENV", "production")
        .env("LISTEN", address.to_string())
        .env("ORIGIN", format!("http://{}", origin.address))
        .env("REDIS", redis.to_string())
        .env("WORKERS", settings.workers.to_string());
    let process = Process::start(settings, "idempot-js", command, Ready::Answers(address, "/.ready")).await?;
    let mut contender = Contender::new("idempot-js", VERSION.to_owned(), process, address);
    contender.versions.push(("node".to_owned(), node_version));
    contender.versions.push(("redis".to_owned(), redis::version(settings).await?));
    contender.store = Some(store);
    Ok(contender)
}
