//! The command line.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::running::chaos;
use crate::running::member::Service;
use crate::running::redis::RedisUrl;

/// A shop of five services, each behind its own Refrain, and one more Refrain as the edge.
///
/// Port 0 in an address means any free port. Ctrl-C or SIGTERM stops everything; a second one does not wait.
#[derive(Debug, Parser)]
#[command(name = "shop", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// What to open.
    #[command(flatten)]
    pub shop: Shop,

    /// What to be instead of the shop.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// The whole shop.
#[derive(Debug, Args)]
pub struct Shop {
    /// Where the edge listens: the one address that clients need
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,

    /// Where the edge's admin side listens
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9090")]
    pub admin: SocketAddr,

    /// Services and sidecars on free ports, instead of 8001 to 8005, 8101 to 8105 and 9101 to 9105
    #[arg(long)]
    pub free_ports: bool,

    /// The folder for all data, created if absent. By default a temporary one, removed at the end
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,

    /// Sidecars keep their records in this Redis: redis://HOST:PORT. By default each has a file of its own
    ///
    /// Its databases 0 to 4 are used, one for each service's sidecars. Without --data they have to be empty,
    /// and what the sidecars kept in them is removed at the end. It has to be as docs/redis.md says: version 7 or later, maxmemory-policy noeviction.
    #[arg(long, value_name = "URL")]
    pub redis: Option<RedisUrl>,

    /// How many sidecars stand beside each service, 1 to 8
    ///
    /// More than one needs --redis, for they have to see each other's records.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=8))]
    pub replicas: u8,

    /// Services fail, delay and lose replies, and processes are killed, at random
    #[arg(long, long_help = chaos::ABOUT)]
    pub chaos: bool,

    /// What chaos is drawn from: the same seed draws the same. By default another one each time
    #[arg(long, value_name = "SEED", requires = "chaos")]
    pub chaos_seed: Option<u64>,

    /// Write what runs where, as JSON, to this file: when the shop is open, and whenever a process was started again
    #[arg(long, value_name = "FILE")]
    pub state: Option<PathBuf>,
}

/// What the program can be instead of the shop.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Be one of the shop's services, until SIGTERM
    Service(ServiceArgs),
    /// Ask a service whether it is well; exit code 1 if not
    ///
    /// For the health check of a container that has no other program.
    Health {
        /// Where it listens
        #[arg(value_name = "ADDR")]
        address: SocketAddr,
    },
    /// Open a shop of its own, do there what customers do, kill a sidecar in the middle of it, and check the books
    Tour,
    /// Be Refrain: the shop starts its sidecars this way, so that one program is all there is to build.
    #[command(hide = true, disable_help_flag = true)]
    Sidecar {
        /// The arguments of `refrain`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
}

/// One service.
#[derive(Debug, Args)]
pub struct ServiceArgs {
    /// Which one
    pub name: Service,

    /// Where to listen [default: its own port, 127.0.0.1:8001 to 8005]
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<SocketAddr>,

    /// Its database: sqlite:///PATH, created if absent, or postgres://USER:PASSWORD@HOST/NAME
    #[arg(long, env = "DATABASE_URL", value_name = "URL", hide_env_values = true)]
    pub database: String,

    /// Fail, delay and lose replies, as `shop --chaos` has it.
    #[arg(long, value_name = "SEED", hide = true)]
    pub chaos_seed: Option<u64>,
}
