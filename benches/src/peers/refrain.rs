//! Refrain itself, in the configurations that are compared.

use std::net::SocketAddr;
use std::path::Path;

use tokio::process::Command;

use super::{redis, version};
use crate::contender::Contender;
use crate::error::Error;
use crate::origin::Origin;
use crate::process::{Process, Ready};
use crate::settings::{Settings, fill};

const BARE: &str = include_str!("../../peers/refrain/bare.yaml");
const CONFIGURED: &str = include_str!("../../peers/refrain/configured.yaml");
const KEYED: &str = include_str!("../../peers/refrain/keyed.yaml");

/// Where records are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Store {
    Memory,
    /// One file, synced at every commit.
    Embedded,
    /// A server of its own, without persistence: what the peers that use Redis are given too.
    Redis,
}

impl Store {
    /// In tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Memory => "refrain, memory",
            Self::Embedded => "refrain, embedded",
            Self::Redis => "refrain, redis",
        }
    }
}

/// A plain proxy.
pub(crate) async fn bare(settings: &Settings, origin: &Origin) -> Result<Contender, Error> {
    start(settings, "refrain", BARE, origin, &[]).await
}

/// A plain proxy in the company of those that protect.
pub(crate) async fn unprotected(settings: &Settings, origin: &Origin) -> Result<Contender, Error> {
    start(settings, "refrain, unprotected", BARE, origin, &[]).await
}

/// With routes, choices for keys and metrics.
pub(crate) async fn configured(settings: &Settings, origin: &Origin) -> Result<Contender, Error> {
    start(settings, "refrain, configured", CONFIGURED, origin, &[]).await
}

/// Protecting what has a key.
pub(crate) async fn keyed(settings: &Settings, origin: &Origin, store: Store) -> Result<Contender, Error> {
    with_store(settings, store.name(), KEYED, origin, store, &[]).await
}

/// By a configuration that has `{{store}}` in it, with a store of its own.
pub(crate) async fn with_store(
    settings: &Settings,
    name: &str,
    template: &str,
    origin: &Origin,
    store: Store,
    values: &[(&str, &str)],
) -> Result<Contender, Error> {
    let mut server = None;
    let url = match store {
        Store::Memory => "memory:".to_owned(),
        Store::Embedded => {
            let file = settings.work.join(format!("store-{}.db", settings.next_port.get()));
            format!("embedded:{}", file.display())
        }
        Store::Redis => {
            let (process, address) = redis::start(settings).await?;
            server = Some(process);
            format!("redis://{address}")
        }
    };
    let values: Vec<_> = [("store", &*url)].into_iter().chain(values.iter().copied()).collect();
    let mut contender = start(settings, name, template, origin, &values).await?;
    contender.store = server;
    if contender.store.is_some() {
        contender.versions.push(("redis".to_owned(), redis::version(settings).await?));
    }
    Ok(contender)
}

/// By any configuration, with what it has in double braces beside the addresses and the number of workers.
pub(crate) async fn start(
    settings: &Settings,
    name: &str,
    template: &str,
    origin: &Origin,
    values: &[(&str, &str)],
) -> Result<Contender, Error> {
    let (listen, admin) = (settings.address()?, settings.address()?);
    let given = [
        ("listen", listen.to_string()),
        ("admin", admin.to_string()),
        ("workers", settings.workers.to_string()),
        ("origin", origin.address.to_string()),
    ];
    let all: Vec<_> = values.iter().copied().chain(given.iter().map(|(name, value)| (*name, &**value))).collect();
    let config = settings.file(&format!("refrain-{}.yaml", listen.port()), &fill(template, &all))?;
    let process = launch(settings, &settings.refrain, &config, admin).await?;
    let version = version(&settings.refrain, "--version").await?;
    Ok(Contender { h2c: Some(listen), ..Contender::new(name, version, process, listen) })
}

/// The process alone.
pub(crate) async fn launch(settings: &Settings, program: &Path, config: &Path, admin: SocketAddr) -> Result<Process, Error> {
    let mut command = Command::new(program);
    command.arg("run").arg("--config").arg(config).env("RUST_LOG", "error");
    Process::start(settings, "refrain", command, Ready::Answers(admin, "/readyz")).await
}
