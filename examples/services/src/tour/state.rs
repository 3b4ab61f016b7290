//! What runs where, as the shop writes it down (`--state FILE`).

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::books::Databases;

/// The processes of a shop, and where they listen.
#[derive(Clone, Debug, Deserialize)]
pub struct State {
    /// The Refrain in front of everything.
    pub edge: Refrain,
    /// The services by their names.
    pub services: BTreeMap<String, Service>,
    /// Whether chaos goes on.
    #[serde(default)]
    pub chaos: bool,
    /// How often something was started again.
    #[serde(default)]
    pub restarts: Restarts,
}

/// One Refrain.
#[derive(Clone, Debug, Deserialize)]
pub struct Refrain {
    /// Where it listens.
    pub url: String,
    /// Where its admin side listens.
    pub admin: String,
    /// Its process.
    pub pid: Option<i32>,
}

/// One service, and the Refrains beside it.
#[derive(Clone, Debug, Deserialize)]
pub struct Service {
    /// Where it listens.
    pub url: String,
    /// Its process.
    pub pid: Option<i32>,
    /// The URL of its database.
    pub database: String,
    /// The Refrains beside it.
    pub sidecars: Vec<Refrain>,
}

/// How often processes were started again.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub struct Restarts {
    /// Services.
    pub services: u64,
    /// Sidecars, and the edge.
    pub sidecars: u64,
}

/// Why it is not known what runs where.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The file cannot be read.
    #[error("cannot read {}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file does not say it.
    #[error("{} does not say what runs where", file.display())]
    Unclear {
        /// The file.
        file: PathBuf,
        /// What it lacks.
        source: serde_json::Error,
    },
    /// A service or a process that should be there is not.
    #[error("the shop has no {0}")]
    Missing(String),
}

impl State {
    /// What the file says now; `None` while it is not there.
    ///
    /// # Errors
    /// When it cannot be read, or says something else.
    pub fn read(file: &Path) -> Result<Option<Self>, StateError> {
        let text = match std::fs::read(file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(StateError::Unreadable { file: file.to_owned(), source }),
        };
        let state = serde_json::from_slice(&text);
        state.map(Some).map_err(|source| StateError::Unclear { file: file.to_owned(), source })
    }

    /// The service of this name.
    ///
    /// # Errors
    /// When there is none.
    pub fn service(&self, name: &str) -> Result<&Service, StateError> {
        self.services.get(name).ok_or_else(|| StateError::Missing(format!("service {name}")))
    }

    /// The first Refrain beside the service of this name.
    ///
    /// # Errors
    /// When there is none.
    pub fn sidecar(&self, name: &str) -> Result<&Refrain, StateError> {
        self.service(name)?.sidecars.first().ok_or_else(|| StateError::Missing(format!("sidecar of {name}")))
    }

    /// Where the books are kept.
    ///
    /// # Errors
    /// When a service that keeps some is missing.
    pub fn databases(&self) -> Result<Databases, StateError> {
        let database = |name| self.service(name).map(|service| service.database.clone());
        Ok(Databases {
            orders: database("orders")?,
            billing: database("billing")?,
            users: database("users")?,
            notifications: database("notifications")?,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const TEXT: &str = r#"{
        "edge": {"url": "http://127.0.0.1:8080", "admin": "http://127.0.0.1:9090", "pid": 1}, "chaos": true, "data": "/data",
        "services": {
            "orders": {"url": "http://127.0.0.1:8001", "pid": 2, "database": "sqlite:///orders.db",
                       "sidecars": [{"url": "http://127.0.0.1:8101", "admin": "http://127.0.0.1:9101", "pid": 3}]},
            "billing": {"url": "http://127.0.0.1:8002", "pid": null, "database": "sqlite:///billing.db", "sidecars": []},
            "users": {"url": "http://127.0.0.1:8003", "pid": 4, "database": "sqlite:///users.db", "sidecars": []},
            "notifications": {"url": "http://127.0.0.1:8005", "pid": 5, "database": "sqlite:///mails.db", "sidecars": []}
        },
        "restarts": {"services": 4, "sidecars": 7}
    }"#;

    #[test]
    fn the_file_says_what_runs_where() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("state.json");
        assert!(State::read(&file).unwrap().is_none());
        std::fs::write(&file, TEXT).unwrap();
        let state = State::read(&file).unwrap().unwrap();
        assert_eq!(state.edge.url, "http://127.0.0.1:8080");
        assert_eq!(state.sidecar("orders").unwrap().pid, Some(3));
        assert_eq!(state.service("billing").unwrap().pid, None);
        assert_eq!(state.databases().unwrap().billing, "sqlite:///billing.db");
        assert!(state.chaos);
        assert_eq!(state.restarts.sidecars, 7);
    }

    #[test]
    fn what_is_missing_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("state.json");
        std::fs::write(&file, "{").unwrap();
        assert!(matches!(State::read(&file), Err(StateError::Unclear { .. })));
        std::fs::write(&file, TEXT).unwrap();
        let state = State::read(&file).unwrap().unwrap();
        assert_eq!(state.service("auth").unwrap_err().to_string(), "the shop has no service auth");
        assert_eq!(state.sidecar("billing").unwrap_err().to_string(), "the shop has no sidecar of billing");
    }
}
