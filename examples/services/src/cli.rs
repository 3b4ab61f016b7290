//! The command line.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Two services, each behind its own Refrain.
///
/// Port 0 in any address means any free port. Ctrl-C or SIGTERM stops everything.
#[derive(Debug, Parser)]
#[command(name = "shop", version)]
pub struct Shop {
    /// The folder for all data, created if absent. By default a temporary one, removed at the end
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,

    /// Where the Refrain of orders listens
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    pub orders_listen: SocketAddr,

    /// Where the admin interface of orders' Refrain listens
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9090")]
    pub orders_admin: SocketAddr,

    /// Where the Refrain of billing listens
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8081")]
    pub billing_listen: SocketAddr,

    /// Where the admin interface of billing's Refrain listens
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9091")]
    pub billing_admin: SocketAddr,

    /// What to be instead of the shop.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What the program can be instead of the shop.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Be Refrain: the shop starts its sidecars this way, so that one program is all there is to build.
    #[command(hide = true, disable_help_flag = true)]
    Sidecar {
        /// The arguments of `refrain`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
}
