//! From a file, flags and the environment to a [`Config`], or to everything that is wrong.

use std::{net::SocketAddr, path::Path, sync::Arc};

use saga_config::{
    diagnostic::{Diagnostic, Source, has_errors},
    yaml::{Pointer, read_file},
};

use super::{
    Config, Forwarded, SagaPeers, Secret,
    authentication::authentication,
    findings::Findings,
    limits::limits,
    raw::{self, Listen, Listener, Raw, Workers},
    read::read,
    routes::{Routes, routes},
    sagas::{SagaFile, sagas},
    secrets::{Surroundings, secret, secrets},
    store::store,
    together,
    upstreams::upstreams,
    workers,
};

pub use super::overrides::{Given, Overrides};

/// The shortest shared key, in characters.
const SHORTEST_PEER_KEY: usize = 16;

/// A configuration that can be used.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// What is allowed in it and probably not meant.
    pub warnings: Vec<Diagnostic>,
}

/// Reads `file`, if there is one, puts `overrides` over it, and checks everything. `env` looks up a variable of the environment, for
/// secrets and the state folder. Blocks: it reads the file, the secrets that it names, and the cgroup's quota.
///
/// # Errors
///
/// Everything that is wrong, and everything that is probably not meant, in the order of the file.
pub fn load(file: Option<&Path>, overrides: &Overrides, env: &dyn Fn(&str) -> Option<String>) -> Result<Loaded, Vec<Diagnostic>> {
    let source = file.map(read_file).transpose().map_err(|error| vec![error])?;
    let folder = file.and_then(Path::parent).unwrap_or(Path::new(""));
    from_source(source.as_ref(), overrides, Surroundings { folder, env })
}

pub(super) fn from_source(
    source: Option<&Arc<Source>>,
    overrides: &Overrides,
    around: Surroundings<'_>,
) -> Result<Loaded, Vec<Diagnostic>> {
    let Judged { config, found, .. } = judge(source, overrides, around, &[])?;
    if has_errors(&found) {
        return Err(found);
    }
    Ok(Loaded { config, warnings: found })
}

/// A configuration, whether it can be used or not.
pub(super) struct Judged {
    pub(super) config: Config,
    /// In the order of the file.
    pub(super) found: Vec<Diagnostic>,
    /// How many files were read, or should have been: the file's own, and those of sagas.
    pub(super) files: usize,
}

/// As [`load`], with sagas that the file need not name: `also`, by their paths.
///
/// # Errors
///
/// Everything that is wrong, if so little of the file can be read that nothing is known of its sagas.
pub(super) fn judge(
    source: Option<&Arc<Source>>,
    overrides: &Overrides,
    around: Surroundings<'_>,
    also: &[SagaFile],
) -> Result<Judged, Vec<Diagnostic>> {
    let (mut raw, mut findings) = match source {
        Some(source) => read(source)?,
        None => (Raw::default(), Findings::default()),
    };
    let in_file = findings.keys(&Pointer::root().child("upstreams"));
    overrides.apply(&mut raw, &mut findings);
    let config = config(&raw, in_file, around, also, &mut findings);
    let files = usize::from(source.is_some()) + findings.files();
    Ok(Judged { config, found: findings.into_sorted(), files })
}

fn config(raw: &Raw, in_file: Vec<String>, around: Surroundings<'_>, also: &[SagaFile], findings: &mut Findings) -> Config {
    let listeners = listeners(raw.listen.as_ref(), findings);
    let admin = admin(raw.admin.as_ref(), &listeners, findings);
    let upstreams = upstreams(raw, in_file, around, findings);
    let Routes { routes, fallback, trigger_policy } = routes(raw, &upstreams, findings);
    let authentication = authentication(raw, &upstreams, around, findings);
    let secrets = secrets(raw, around, findings);
    let sagas = sagas(raw, &upstreams, around, also, findings);
    let limits = limits(raw.limits.as_ref().unwrap_or(&raw::Limits::default()), findings);
    let config = Config {
        listeners,
        admin,
        workers: match raw.workers {
            Some(Workers::Number(number)) => usize::from(number).max(1),
            Some(Workers::Word(raw::Auto::Auto)) | None => workers::auto(),
        },
        store: store(raw.store.as_ref().unwrap_or(&raw::Store::default()), sagas.partitions, around, findings),
        upstreams: upstreams.sound,
        routes,
        fallback,
        limits,
        forwarded: forwarded(raw.forwarded.as_ref()),
        saga_peers: raw.saga_peers.as_ref().map(|peers| saga_peers(peers, around, findings)).unwrap_or_default(),
        authentication,
        access_log: raw.access_log.unwrap_or(false),
        secrets: Arc::new(secrets),
        sagas,
        trigger_policy,
        public_url: raw.public_url.as_ref().map(|url| url.0.clone()),
    };
    together::check(&config, findings);
    config
}

fn listeners(raw: Option<&Listen>, findings: &mut Findings) -> Vec<SocketAddr> {
    let at = Pointer::root().child("listen");
    let many = match raw {
        None => return vec![SocketAddr::from(([127, 0, 0, 1], 8080))],
        Some(Listen::One(address)) => return vec![address.0],
        Some(Listen::Many(many)) => many,
    };
    let mut listeners: Vec<SocketAddr> = Vec::with_capacity(many.len());
    for (index, listener) in many.iter().enumerate() {
        let address = match listener {
            Listener::Plain(address) => Some(address),
            Listener::Full(full) => full.address.as_ref(),
        };
        let Some(address) = address else { continue };
        // Port 0 is any free one.
        if address.0.port() != 0 && listeners.contains(&address.0) {
            findings.error("duplicate-item", &at.child(index), "this address is in the list already", "name every address once");
        }
        listeners.push(address.0);
    }
    listeners
}

fn admin(raw: Option<&raw::Admin>, listeners: &[SocketAddr], findings: &mut Findings) -> SocketAddr {
    let address =
        raw.and_then(|admin| admin.listen.as_ref()).map_or(SocketAddr::from(([127, 0, 0, 1], 9090)), |address| address.0);
    if address.port() != 0 && listeners.contains(&address) {
        let at = Pointer::root().child("admin").child("listen");
        let is_default = !findings.is_written(&at) && !findings.is_given_elsewhere(&at);
        let at = if is_default { Pointer::root().child("listen") } else { at };
        findings.error(
            "admin-among-clients",
            &at,
            "clients are listened to at this address",
            "give the admin side a port of its own",
        );
    }
    address
}

fn forwarded(raw: Option<&raw::Forwarded>) -> Forwarded {
    let said = |get: fn(&raw::Forwarded) -> Option<bool>, default| raw.and_then(get).unwrap_or(default);
    Forwarded {
        x_forwarded: said(|raw| raw.x_forwarded, true),
        forwarded: said(|raw| raw.forwarded, false),
        via: said(|raw| raw.via, false),
    }
}

fn saga_peers(raw: &raw::SagaPeers, around: Surroundings<'_>, findings: &mut Findings) -> SagaPeers {
    let at = Pointer::root().child("saga_peers").child("key");
    let key = raw.key.as_ref().and_then(|key| secret(key, &at, around, findings));
    if key.as_ref().is_some_and(|key| key.chars().count() < SHORTEST_PEER_KEY) {
        let message = format!("the shared key has fewer than {SHORTEST_PEER_KEY} characters: it could be guessed");
        findings.error("weak-key", &at, message, "make one with `openssl rand -base64 32`");
    }
    SagaPeers { key: key.map(Secret::new), networks: raw.networks.iter().flatten().map(|network| network.0).collect() }
}
