//! Who belongs to the shop: its services, the Refrain beside each, and the edge.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};

use axum::Router;
use clap::ValueEnum;

use crate::services::database::OpenError;
use crate::services::{auth, billing, notifications, orders, users};

/// A service of the shop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Service {
    /// Tokens, and the keys they are signed with.
    Auth,
    /// People and their passwords.
    Users,
    /// Accounts and the money on them.
    Billing,
    /// What was ordered.
    Orders,
    /// Mails.
    Notifications,
}

impl Service {
    /// All of them, in the order in which the shop shows them.
    pub const ALL: [Self; 5] = [Self::Auth, Self::Users, Self::Billing, Self::Orders, Self::Notifications];

    /// Its name, everywhere: on the command line, as a folder, as an upstream in the sidecars' files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::Users => "users",
            Self::Billing => "billing",
            Self::Orders => "orders",
            Self::Notifications => "notifications",
        }
    }

    /// The service of that name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|service| service.name() == name)
    }

    /// Where it listens if nothing else is said.
    pub const fn address(self) -> SocketAddr {
        local(8000 + self.number())
    }

    /// Where its first Refrain listens if nothing else is said.
    pub const fn sidecar_address(self) -> SocketAddr {
        local(8100 + self.number())
    }

    /// Where the admin side of its first Refrain listens if nothing else is said.
    pub const fn admin_address(self) -> SocketAddr {
        local(9100 + self.number())
    }

    /// The database of a shared Redis that is its sidecars' alone.
    pub const fn redis_database(self) -> u16 {
        self.number() - 1
    }

    /// Opens its database, with the schema brought up to date, and gives what answers requests.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn open(self, database: &str) -> Result<Router, OpenError> {
        match self {
            Self::Auth => auth::service(database).await,
            Self::Users => users::service(database).await,
            Self::Billing => billing::service(database).await,
            Self::Orders => orders::service(database).await,
            Self::Notifications => notifications::service(database).await,
        }
    }

    const fn number(self) -> u16 {
        match self {
            Self::Orders => 1,
            Self::Billing => 2,
            Self::Users => 3,
            Self::Auth => 4,
            Self::Notifications => 5,
        }
    }
}

const fn local(port: u16) -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

/// Where a Refrain stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Post {
    /// In front of the whole shop.
    Edge,
    /// Beside a service.
    Beside(Service),
}

impl Post {
    /// All of them, the edge last.
    pub fn all() -> impl Iterator<Item = Self> {
        Service::ALL.into_iter().map(Self::Beside).chain([Self::Edge])
    }

    /// The name of its folder, and of its file in `sidecars/`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Edge => "edge",
            Self::Beside(service) => service.name(),
        }
    }
}

/// A process of the shop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Member {
    /// A service.
    Service(Service),
    /// A Refrain, and which of those that stand there, from 0.
    Refrain(Post, usize),
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(service) => write!(f, "the service {}", service.name()),
            Self::Refrain(Post::Edge, _) => f.write_str("the edge"),
            Self::Refrain(Post::Beside(service), 0) => write!(f, "the sidecar of {}", service.name()),
            Self::Refrain(Post::Beside(service), index) => write!(f, "sidecar {} of {}", index + 1, service.name()),
        }
    }
}
