//! What a run was asked for, and where its things are.

use std::cell::Cell;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use crate::error::Error;

/// What a run was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// The `refrain` program.
    pub(crate) refrain: PathBuf,
    /// One with symbols.
    pub(crate) profiled: PathBuf,
    /// How long one measurement takes.
    pub(crate) measure: Duration,
    /// How often each is made.
    pub(crate) rounds: usize,
    /// Threads of every proxy.
    pub(crate) workers: usize,
    /// Threads of the origin.
    pub(crate) origin_threads: usize,
    /// Threads of the load generator.
    pub(crate) load_threads: usize,
    /// How long one store may be filled for a curve.
    pub(crate) fill: Duration,
    /// Descriptors that a process may open.
    pub(crate) descriptors: u64,
    /// Whether to leave out what takes long.
    pub(crate) quick: bool,
    /// Where peers were installed.
    pub(crate) tools: PathBuf,
    /// Where results are written.
    pub(crate) results: PathBuf,
    /// Where configurations, stores and logs of this run are. Removed at its end.
    pub(crate) work: PathBuf,
    /// The next port to try.
    pub(crate) next_port: Rc<Cell<u16>>,
}

impl Settings {
    /// An address of the loopback interface that nobody listens on. They are given out upwards, below those that the system gives to
    /// clients, so that no connection of a load generator takes one before its server does.
    pub(crate) fn address(&self) -> Result<SocketAddr, Error> {
        for _ in 0..5000 {
            let port = self.next_port.get();
            self.next_port.set(port + 1);
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            if TcpListener::bind(address).is_ok() {
                return Ok(address);
            }
        }
        Err(Error::Invalid("no port is free".to_owned()))
    }

    /// Client connections that a proxy can have, each with one to the upstream.
    pub(crate) fn max_connections(&self) -> u64 {
        (self.descriptors.saturating_sub(1024) / 2).clamp(256, 30_000)
    }

    /// Where plots and flame graphs are written: above the results.
    pub(crate) fn pictures(&self) -> &Path {
        self.results.parent().unwrap_or(&self.results)
    }

    /// A file of this run.
    pub(crate) fn file(&self, name: &str, text: &str) -> Result<PathBuf, Error> {
        let path = self.work.join(name);
        std::fs::write(&path, text).map_err(Error::io(format!("write {}", path.display())))?;
        Ok(path)
    }

    /// A program: one that was installed for this, or the system's.
    pub(crate) fn program(&self, name: &str) -> Result<PathBuf, Error> {
        let ours = ["venv/bin", "node_modules/.bin", "bin"].map(|folder| self.tools.join(folder).join(name));
        let path = std::env::var_os("PATH").unwrap_or_default();
        let theirs = std::env::split_paths(&path).chain([Path::new("/usr/sbin").to_owned()]).map(|folder| folder.join(name));
        let found = ours.into_iter().chain(theirs).find(|path| path.is_file());
        let found = found.ok_or_else(|| Error::Missing(name.to_owned()))?;
        std::path::absolute(&found).map_err(Error::io(format!("find {name}")))
    }
}

/// A text with `{{name}}` for each of `values`.
pub(crate) fn fill(template: &str, values: &[(&str, &str)]) -> String {
    values.iter().fold(template.to_owned(), |text, (name, value)| text.replace(&format!("{{{{{name}}}}}"), value))
}
