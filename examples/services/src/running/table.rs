//! The table of what runs where.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer};

use crate::running::member::{Member, Post, Service};

/// All processes of the shop, as `--state` writes it. A process id is absent while its process is down.
#[derive(Clone, Debug, Serialize)]
pub struct Table {
    /// The folder for the data.
    pub data: String,
    /// Whether chaos goes on.
    pub chaos: bool,
    /// How often processes were started again.
    pub restarts: Restarts,
    /// The edge.
    pub edge: RefrainRow,
    /// The services, by their names.
    #[serde(serialize_with = "by_name")]
    pub services: Vec<ServiceRow>,
}

/// How often processes were started again.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Restarts {
    /// Services.
    pub services: u64,
    /// Sidecars, and the edge.
    pub sidecars: u64,
}

/// A service.
#[derive(Clone, Debug, Serialize)]
pub struct ServiceRow {
    /// Which.
    #[serde(skip)]
    pub name: Service,
    /// Where it listens.
    pub url: String,
    /// The URL of its database.
    pub database: String,
    /// Its process.
    pub pid: Option<u32>,
    /// Its sidecars.
    pub sidecars: Vec<RefrainRow>,
}

/// A Refrain.
#[derive(Clone, Debug, Serialize)]
pub struct RefrainRow {
    /// Where it listens.
    pub url: String,
    /// Where its admin side listens.
    pub admin: String,
    /// Its process.
    pub pid: Option<u32>,
}

impl RefrainRow {
    /// One that does not run yet.
    pub fn new(listen: SocketAddr, admin: SocketAddr) -> Self {
        Self { url: url(listen), admin: url(admin), pid: None }
    }
}

impl ServiceRow {
    /// One that does not run yet.
    pub fn new(name: Service, address: SocketAddr, database: String, sidecars: Vec<RefrainRow>) -> Self {
        Self { name, url: url(address), database, pid: None, sidecars }
    }
}

impl Table {
    /// The process of `member`; `None` while it is down.
    pub fn set(&mut self, member: Member, pid: Option<u32>) {
        let service = |row: &&mut ServiceRow, service: Service| row.name == service;
        let cell = match member {
            Member::Refrain(Post::Edge, _) => Some(&mut self.edge.pid),
            Member::Service(name) => self.services.iter_mut().find(|row| service(row, name)).map(|row| &mut row.pid),
            Member::Refrain(Post::Beside(name), index) => {
                let row = self.services.iter_mut().find(|row| service(row, name));
                row.and_then(|row| row.sidecars.get_mut(index)).map(|row| &mut row.pid)
            }
        };
        debug_assert!(cell.is_some(), "{member} is in no row");
        if let Some(cell) = cell {
            *cell = pid;
        }
    }

    /// `member` runs again, as this process.
    pub fn set_again(&mut self, member: Member, pid: u32) {
        self.set(member, Some(pid));
        match member {
            Member::Service(_) => self.restarts.services += 1,
            Member::Refrain(..) => self.restarts.sidecars += 1,
        }
    }

    /// The services and sidecars that run, each with its process.
    pub fn running(&self) -> Vec<(Member, u32)> {
        let mut running = Vec::new();
        for row in &self.services {
            running.extend(row.pid.map(|pid| (Member::Service(row.name), pid)));
            let sidecars = row.sidecars.iter().enumerate();
            running.extend(
                sidecars.filter_map(|(index, sidecar)| Some((Member::Refrain(Post::Beside(row.name), index), sidecar.pid?))),
            );
        }
        running
    }

    /// Writes it to `file`, which at no time holds half of it.
    ///
    /// # Errors
    /// When the file, or one beside it, cannot be written.
    pub fn write(&self, file: &Path) -> io::Result<()> {
        let beside = beside(file);
        std::fs::write(&beside, serde_json::to_string_pretty(self)? + "\n")?;
        std::fs::rename(&beside, file)
    }
}

/// Where the file is written before it takes its place.
pub fn beside(file: &Path) -> PathBuf {
    let mut beside = file.as_os_str().to_owned();
    beside.push(".new");
    beside.into()
}

fn by_name<S: Serializer>(rows: &[ServiceRow], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(rows.iter().map(|row| (row.name.name(), row)))
}

fn url(address: SocketAddr) -> String {
    format!("http://{address}")
}
