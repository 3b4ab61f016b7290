//! Listening sockets: one per core for each address, all on the same port (`SO_REUSEPORT`), so that no connection crosses cores.

use std::{
    io,
    net::{SocketAddr, TcpListener as StdListener},
};

use socket2::{Domain, Protocol, Socket, Type};

/// How many connections the kernel may queue.
pub(super) const BACKLOG: i32 = 4096;

/// Why an address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {reason}")]
pub struct BindError {
    /// The address.
    pub address: SocketAddr,
    /// What the system says.
    pub reason: io::Error,
}

/// `count` listeners on one address; port 0 picks one port for all. Fails if another process listens there, which
/// `SO_REUSEPORT` alone would hide.
///
/// # Errors
///
/// [`BindError`], with the system's reason.
pub fn bind(address: SocketAddr, count: usize) -> Result<Vec<StdListener>, BindError> {
    let failed = |reason| BindError { address, reason };
    let alone = open(address, false).map_err(failed)?;
    let address = alone.local_addr().map_err(failed)?;
    if count <= 1 {
        return Ok(vec![alone]);
    }
    drop(alone);
    (0..count).map(|_| open(address, true).map_err(failed)).collect()
}

fn open(address: SocketAddr, shared: bool) -> io::Result<StdListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn all_listeners_share_one_port_and_strangers_are_refused() {
        let listeners = bind("127.0.0.1:0".parse().unwrap(), 3).unwrap();
        let address = listeners[0].local_addr().unwrap();
        assert!(listeners.iter().all(|listener| listener.local_addr().unwrap() == address));
        assert!(bind(address, 2).unwrap_err().to_string().contains(&address.to_string()));
    }
}
