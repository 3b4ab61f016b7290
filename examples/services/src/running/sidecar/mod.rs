//! The Refrains of the shop: their files, and how each is started.
//!
//! The files are those in `sidecars/` and `sagas/`, as they are: the shop writes them into its data folder and says by
//! flags what only it knows, the addresses and the store.

mod files;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use tokio::process::Command;

use crate::running::keys::Keys;
use crate::running::member::{Member, Post, Service};
use crate::running::process::{Plan, Question, tie_to_parent};
pub use files::{FileError, Files};

/// How many cores a Refrain of the shop serves with: there are at least six of them on one machine.
const WORKERS: &str = "2";

/// Variables that would say something of the configuration that the shop has not said.
const NOT_INHERITED: [&str; 3] = ["REFRAIN_PRESET", "REFRAIN_STORE", "REFRAIN_UPSTREAM"];

/// Where a sidecar keeps its records.
#[derive(Debug)]
pub enum Store {
    /// As its file says.
    Own,
    /// In this file.
    Embedded(PathBuf),
    /// In this database of a Redis.
    Redis(String),
}

/// What is known of a sidecar before it starts.
#[derive(Debug)]
pub struct Sidecar<'a> {
    /// Where it stands.
    pub post: Post,
    /// Which of those that stand there, from 0.
    pub index: usize,
    /// Where it is to listen.
    pub listen: SocketAddr,
    /// Where its admin side is to listen.
    pub admin: SocketAddr,
    /// Where it keeps its records.
    pub store: Store,
    /// The folder that it works in.
    pub folder: &'a Path,
}

/// Where everyone is.
#[derive(Debug)]
pub struct Directory {
    /// Of each service, where it and its sidecars listen.
    pub services: Vec<(Service, SocketAddr, Vec<SocketAddr>)>,
}

impl Directory {
    /// The endpoints of the upstream of that name, as `post` reaches it: the service that it stands beside by itself,
    /// others by their sidecars.
    fn endpoints(&self, post: Post, upstream: &str) -> Vec<SocketAddr> {
        let Some((service, address, sidecars)) = self.services.iter().find(|(service, ..)| service.name() == upstream) else {
            return Vec::new();
        };
        if post == Post::Beside(*service) { vec![*address] } else { sidecars.clone() }
    }
}

impl Sidecar<'_> {
    /// How it is started.
    ///
    /// # Errors
    /// When its file cannot be read.
    pub fn plan(self, program: &Path, files: &Files, directory: &Directory, keys: &Keys) -> Result<Plan, FileError> {
        let Self { post, index, listen, admin, store, folder } = self;
        let mut command = Command::new(program);
        for name in NOT_INHERITED {
            command.env_remove(name);
        }
        command.args(["sidecar", "run", "--config"]).arg(files.config(post));
        command.args(["--listen", &listen.to_string(), "--admin", &admin.to_string(), "--workers", WORKERS]);
        match store {
            Store::Own => {}
            Store::Embedded(file) => {
                let mut url = OsString::from("embedded:");
                url.push(file);
                command.arg("--store").arg(url);
            }
            // Not a flag: it may hold a password, and flags are for everyone to see.
            Store::Redis(url) => {
                command.env("REFRAIN_STORE", url);
            }
        }
        for upstream in files::upstreams(post)? {
            for endpoint in directory.endpoints(post, &upstream) {
                command.args(["--upstream", &format!("{upstream}=http://{endpoint}")]);
            }
        }
        command.envs(keys.variables()).current_dir(folder);
        let log = match index {
            0 => "sidecar.log".to_owned(),
            index => format!("sidecar-{}.log", index + 1),
        };
        let question = Question { address: admin, path: "/readyz" };
        Ok(Plan { member: Member::Refrain(post, index), command, log: folder.join(log), question })
    }
}

/// Is Refrain, with `arguments` as its command line. For the processes that the shop starts.
pub fn process(arguments: Vec<OsString>) -> ExitCode {
    if let Err(error) = tie_to_parent() {
        eprintln!("sidecar: cannot ask to be stopped with the shop: {error}");
        return ExitCode::FAILURE;
    }
    refrain::cli::main_from(std::iter::once(OsString::from("refrain")).chain(arguments))
}
