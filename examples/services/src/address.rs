//! Addresses for processes that are about to be started.

use std::io;
use std::net::{SocketAddr, TcpListener};

/// An address that was free and is kept so until [`Reserved::release`].
#[derive(Debug)]
pub struct Reserved {
    listener: TcpListener,
    address: SocketAddr,
}

/// Why an address cannot be had. Names the flag that would help.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// Another program listens there.
    #[error("{address} is taken by another program: choose another address with {flag} ADDR (port 0: any free one)")]
    Taken {
        /// The address asked for.
        address: SocketAddr,
        /// The flag that asks for it.
        flag: &'static str,
    },
    /// This machine or this user cannot listen there.
    #[error("cannot listen on {address}: choose another address with {flag} ADDR")]
    Unusable {
        /// The address asked for.
        address: SocketAddr,
        /// The flag that asks for it.
        flag: &'static str,
        /// What the system says.
        source: io::Error,
    },
}

impl Reserved {
    /// Reserves `address`, or with port 0 a free port of it. `flag` is how the user chooses it.
    ///
    /// # Errors
    /// When something listens there already, or when it is not an address of this machine.
    pub fn new(address: SocketAddr, flag: &'static str) -> Result<Self, AddressError> {
        let unusable = |source: io::Error| match source.kind() {
            io::ErrorKind::AddrInUse => AddressError::Taken { address, flag },
            _ => AddressError::Unusable { address, flag, source },
        };
        let listener = TcpListener::bind(address).map_err(unusable)?;
        let address = listener.local_addr().map_err(unusable)?;
        Ok(Self { listener, address })
    }

    /// Frees the address for the process that shall listen there.
    pub fn release(self) -> SocketAddr {
        drop(self.listener);
        self.address
    }
}
