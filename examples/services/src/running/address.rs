//! Addresses for processes that are about to be started.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

use rand::Rng;

/// Where free ports are looked for. Below what systems give to connections that go out: while a process is away for a
/// moment, no connection can take the port that it comes back to.
const FREE_PORTS: std::ops::Range<u16> = 20_000..32_000;

/// How many ports are tried.
const MAX_TRIES: u32 = 200;

/// An address that was free and is kept so until [`Reserved::release`].
#[derive(Debug)]
pub struct Reserved {
    listener: TcpListener,
    address: SocketAddr,
}

/// Why an address cannot be had. Says what would help.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// Another program listens there.
    #[error("{address} is taken by another program: {instead}")]
    Taken {
        /// The address asked for.
        address: SocketAddr,
        /// What to do instead.
        instead: &'static str,
    },
    /// This machine or this user cannot listen there.
    #[error("cannot listen on {address}: {instead}")]
    Unusable {
        /// The address asked for.
        address: SocketAddr,
        /// What to do instead.
        instead: &'static str,
        /// What the system says.
        source: io::Error,
    },
    /// There is no free port.
    #[error("found no free port from {} to {} on this machine", FREE_PORTS.start, FREE_PORTS.end - 1)]
    NoneFree,
}

impl Reserved {
    /// Reserves `address`, or with port 0 a free port of it. `instead` is what to do if that cannot be.
    ///
    /// # Errors
    /// When something listens there already, or when it is not an address of this machine.
    pub fn new(address: SocketAddr, instead: &'static str) -> Result<Self, AddressError> {
        if address.port() == 0 {
            return Self::free(address.ip(), instead);
        }
        Self::bind(address).map_err(|source| match source.kind() {
            io::ErrorKind::AddrInUse => AddressError::Taken { address, instead },
            _ => AddressError::Unusable { address, instead, source },
        })
    }

    /// Reserves a free port of the loopback interface.
    ///
    /// # Errors
    /// When there is none.
    pub fn any() -> Result<Self, AddressError> {
        Self::free(IpAddr::V4(Ipv4Addr::LOCALHOST), "the shop needs the loopback interface")
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Frees the address for the process that shall listen there.
    pub fn release(self) -> SocketAddr {
        drop(self.listener);
        self.address
    }

    fn free(ip: IpAddr, instead: &'static str) -> Result<Self, AddressError> {
        let mut rng = rand::rng();
        for _ in 0..MAX_TRIES {
            let address = SocketAddr::new(ip, rng.random_range(FREE_PORTS));
            match Self::bind(address) {
                Ok(reserved) => return Ok(reserved),
                Err(source) if source.kind() == io::ErrorKind::AddrInUse => {}
                Err(source) => return Err(AddressError::Unusable { address, instead, source }),
            }
        }
        Err(AddressError::NoneFree)
    }

    fn bind(address: SocketAddr) -> io::Result<Self> {
        Ok(Self { listener: TcpListener::bind(address)?, address })
    }
}
