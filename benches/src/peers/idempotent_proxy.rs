//! LDC Labs' idempotent-proxy, on Redis.
//!
//! Its configuration is its environment. `REQUEST_TIMEOUT` is also how long it keeps an answer: ten seconds would be gone before a replay
//! is measured, so it is an hour. It forwards to `https://` of a header, or to a URL of its configuration under an alias: that one here.
//! It ends without a file `.env` in its folder.

use tokio::process::Command;

use super::{installed, redis};
use crate::contender::Contender;
use crate::error::Error;
use crate::origin::Origin;
use crate::process::{Process, Ready};
use crate::settings::Settings;

/// What `install` installs.
const VERSION: &str = "1.2.2";

/// Starts it, with a Redis of its own.
pub(crate) async fn start(settings: &Settings, origin: &Origin) -> Result<Contender, Error> {
    let program = installed(settings, "idempotent-proxy", "bin/idempotent-proxy-server")?;
    let (store, redis) = redis::start(settings).await?;
    let address = settings.address()?;
    let folder = settings.work.join("idempotent-proxy");
    let written = std::fs::create_dir_all(&folder).and_then(|()| std::fs::write(folder.join(".env"), ""));
    written.map_err(Error::io("make idempotent-proxy's folder"))?;
    let mut command = Command::new(program);
    command
        .current_dir(folder)
        .env("REDIS_URL", format!("redis://{redis}"))
        .env("SERVER_ADDR", address.to_string())
        .env("URL_ORIGIN", format!("http://{}/orders/", origin.address))
        .env("REQUEST_TIMEOUT", "3600000")
        .env("LOG_LEVEL", "error")
        .env("TOKIO_WORKER_THREADS", settings.workers.to_string());
    let process = Process::start(settings, "idempotent-proxy", command, Ready::Listens(address)).await?;
    let mut contender = Contender::new("idempotent-proxy", VERSION.to_owned(), process, address);
    contender.versions.push(("redis".to_owned(), redis::version(settings).await?));
    contender.path = "/URL_ORIGIN".to_owned();
    contender.store = Some(store);
    Ok(contender)
}
