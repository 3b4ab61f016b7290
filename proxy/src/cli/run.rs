//! `refrain run`: configuration → store → serve → signals → drain.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use saga_config::diagnostic::Diagnostic;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{Format, environment, show};
use crate::{
    app::App,
    config::{
        Config, FilePattern, StoreUrl,
        load::{Loaded, Overrides, load},
    },
    metrics::ReloadResult,
    reload::{Watch, Watched},
    telemetry,
};

pub(super) fn run(file: Option<PathBuf>, overrides: Overrides) -> ExitCode {
    if let Err(error) = telemetry::start() {
        eprintln!("error: {error}");
        return ExitCode::from(2);
    }
    let config = match load(file.as_deref(), &overrides, &environment) {
        Ok(Loaded { config, warnings }) => {
            log(&warnings);
            config
        }
        Err(mistakes) => {
            show(&mistakes, Format::Human);
            return ExitCode::from(2);
        }
    };
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        tracing::debug!("a TLS provider is installed already");
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "the control thread's runtime cannot be started");
            return ExitCode::FAILURE;
        }
    };
    runtime.block_on(serve(file, overrides, config))
}

async fn serve(file: Option<PathBuf>, overrides: Overrides, config: Config) -> ExitCode {
    let mut signals = match Signals::new() {
        Ok(signals) => signals,
        Err(error) => {
            tracing::error!(%error, "signals cannot be listened to");
            return ExitCode::FAILURE;
        }
    };
    let mut app = match App::start(config).await {
        Ok(app) => app,
        Err(error) => {
            tracing::error!("{error}");
            return ExitCode::FAILURE;
        }
    };
    announce(&app);
    let mut watch = file.as_deref().map(|file| watch(file, &app.config().sagas.files));
    loop {
        let patterns = app.config().sagas.files.clone();
        let changed = async {
            match &mut watch {
                Some(watch) => watch.changed().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            said = signals.next() => match said {
                Said::Stop => break,
                Said::Reload => reload(&mut app, file.as_deref(), &overrides, "SIGHUP").await,
            },
            () = changed => reload(&mut app, file.as_deref(), &overrides, "a file changed").await,
        }
        if app.config().sagas.files != patterns {
            // What changes between this reading of the files and the watching is found by another reading.
            watch = file.as_deref().map(|file| self::watch(file, &app.config().sagas.files));
            reload(&mut app, file.as_deref(), &overrides, "the files that sagas are read from are others").await;
        }
    }
    app.drain(async move { signals.stop().await }).await;
    tracing::info!("stopped");
    ExitCode::SUCCESS
}

/// Watches the configuration and the files of its sagas, those that come later as well.
fn watch(file: &Path, patterns: &[FilePattern]) -> Watch {
    let (main, patterns) = (file.to_owned(), patterns.to_vec());
    Watch::new(move || Watched {
        main: main.clone(),
        // A folder that cannot be read has no files: that it could be read before is a change.
        others: patterns.iter().flat_map(|pattern| pattern.files().unwrap_or_default()).collect(),
        folders: patterns.iter().map(|pattern| pattern.folder().to_owned()).collect(),
    })
}

/// Warnings are part of the log: what is legal and unwise does not stop anything.
fn log(warnings: &[Diagnostic]) {
    for warning in warnings {
        let (place, help) = (warning.place().name(), warning.help());
        tracing::warn!(code = warning.code(), place, help, "{}", warning.message());
    }
}

fn announce(app: &App) {
    let config = app.config();
    for address in app.addresses() {
        tracing::info!(%address, workers = config.workers, "listening");
    }
    tracing::info!(address = %app.admin_address(), "admin: /livez /readyz /metrics /records");
    match &config.store.url {
        StoreUrl::Memory => tracing::warn!("records are kept in memory: they end with this process"),
        StoreUrl::Embedded(path) => tracing::info!(path = %path.display(), "records are kept in a file"),
        StoreUrl::Redis(_) => tracing::info!("records are kept in Redis"),
    }
    for upstream in &config.upstreams {
        let endpoints = upstream.endpoints.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        tracing::info!(upstream = %upstream.name, endpoints, local = upstream.local, "upstream");
    }
    for saga in &config.sagas.definitions {
        let (method, path) = (&saga.trigger.method, &saga.trigger.path);
        tracing::info!(saga = %saga.name, version = saga.version, definition = %saga.hash, "started by {method} {path}");
    }
    for route in config.routes.iter().chain(&config.fallback) {
        let scope = route.policy.as_ref().map_or("off", |policy| policy.scope.as_str());
        tracing::info!(route = route.label, scope, "keyed requests are apart by scope");
    }
}

async fn reload(app: &mut App, file: Option<&Path>, overrides: &Overrides, why: &str) {
    let (path, given) = (file.map(Path::to_owned), overrides.clone());
    // Elsewhere, for this thread renews leases: many sagas take their time.
    let loaded = tokio::task::spawn_blocking(move || load(path.as_deref(), &given, &environment)).await;
    let result = match loaded {
        Err(error) => Err(error.to_string()),
        Ok(Err(mistakes)) => {
            show(&mistakes, Format::Human);
            Err("it has mistakes".to_owned())
        }
        Ok(Ok(Loaded { config, warnings })) => {
            log(&warnings);
            app.reload(config).map_err(|error| error.to_string())
        }
    };
    match result {
        Ok(needs_restart) => {
            app.metrics().reloaded(ReloadResult::Applied);
            tracing::info!(why, "the configuration was read again and is in force");
            if !needs_restart.is_empty() {
                tracing::warn!(settings = needs_restart.join(", "), "these have changed and need a restart; the old ones stay");
            }
        }
        Err(reason) => {
            app.metrics().reloaded(ReloadResult::Refused);
            tracing::error!(why, reason, "the new configuration is refused; the old one stays in force");
        }
    }
}

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Stop,
    Reload,
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Said {
        tokio::select! {
            _term = self.terminate.recv() => Said::Stop,
            _int = self.interrupt.recv() => Said::Stop,
            _hangup = self.hangup.recv() => Said::Reload,
        }
    }

    /// Resolves at SIGTERM or SIGINT.
    async fn stop(&mut self) {
        while self.next().await != Said::Stop {}
    }
}
