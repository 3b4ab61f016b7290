//! Restate: its server, and a service on its Rust SDK that makes the steps. Their settings are in `benches/peers/restate`.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::process::Command;

use super::installed;
use crate::ask;
use crate::contender::Contender;
use crate::error::Error;
use crate::origin::Origin;
use crate::process::{Process, Ready};
use crate::settings::Settings;

const CONFIG: &str = include_str!("../../peers/restate/server.toml");

/// How often a first saga is tried before Restate counts as not started.
const MAX_TRIES: u32 = 100;

/// Between two of them.
const BETWEEN: Duration = Duration::from_millis(100);

/// Starts both. The service is returned apart: it is no part of the coordinator, but Restate does not run without it.
pub(crate) async fn start(settings: &Settings, origin: &Origin) -> Result<(Contender, Process), Error> {
    let program = installed(settings, "restate", "bin/restate-server")?;
    let service = service(settings, origin).await?;
    let (ingress, admin, node) = (settings.address()?, settings.address()?, settings.address()?);
    let version = super::version(&program, "--version").await?;
    let mut command = Command::new(program);
    command
        .arg("--no-logo")
        .env("RESTATE_CONFIG", settings.file("restate.toml", CONFIG)?)
        .env("RESTATE_BASE_DIR", settings.work.join("restate"))
        .env("RESTATE_NODE_NAME", "bench")
        .env("RESTATE_BIND_IP", node.ip().to_string())
        .env("RESTATE_BIND_PORT", node.port().to_string())
        .env("RESTATE_ADVERTISED_ADDRESS", format!("http://{node}"))
        .env("RESTATE_INGRESS__BIND_ADDRESS", ingress.to_string())
        .env("RESTATE_ADMIN__BIND_ADDRESS", admin.to_string())
        .env("RESTATE_DEFAULT_THREAD_POOL_SIZE", settings.workers.to_string())
        .current_dir(&settings.work);
    let process = Process::start(settings, "restate", command, Ready::Answers(admin, "/health")).await?;
    let contender = Contender::new("restate", version, process, ingress);
    introduce(admin, service.1).await?;
    first(ingress).await?;
    Ok((contender, service.0))
}

async fn service(settings: &Settings, origin: &Origin) -> Result<(Process, SocketAddr), Error> {
    let program = installed(settings, "restate", "bin/bench-restate-service")?;
    let address = settings.address()?;
    let mut command = Command::new(program);
    command.arg(address.to_string()).arg(format!("http://{}", origin.address));
    command.env("TOKIO_WORKER_THREADS", settings.workers.to_string());
    let process = Process::start(settings, "restate-service", command, Ready::Listens(address)).await?;
    Ok((process, address))
}

/// Tells Restate where the service is.
async fn introduce(admin: SocketAddr, service: SocketAddr) -> Result<(), Error> {
    let answer = ask::post(admin, "/deployments", "", &format!(r#"{{"uri":"http://{service}"}}"#)).await?;
    if answer.status / 100 == 2 {
        return Ok(());
    }
    Err(Error::program("restate", format!("does not take its service: {} {}", answer.status, answer.body)))
}

/// Until a saga runs: its parts learn of the service one after another.
async fn first(ingress: SocketAddr) -> Result<(), Error> {
    for _ in 0..MAX_TRIES {
        let answer = ask::post(ingress, "/Saga/two", "", r#"{"order":"first"}"#).await?;
        if answer.status == 200 {
            return Ok(());
        }
        tokio::time::sleep(BETWEEN).await;
    }
    Err(Error::program("restate", "runs no saga"))
}
