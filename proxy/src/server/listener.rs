//! Listening sockets: one per core for each address, all on the same port (`SO_REUSEPORT`), so that no connection crosses cores. Where
//! the system does not divide connections between them, the cores share one; a connection stays on the core that has taken it.

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
    bind_where(address, count, has_shared_ports)
}

/// Where ports are not shared, all cores take from one queue: one listener, under as many descriptors.
fn bind_where(
    address: SocketAddr,
    count: usize,
    has_shared_ports: impl Fn(SocketAddr) -> bool,
) -> Result<Vec<StdListener>, BindError> {
    let failed = |reason| BindError { address, reason };
    let alone = open(address, false).map_err(failed)?;
    if count <= 1 {
        return Ok(vec![alone]);
    }
    let address = alone.local_addr().map_err(failed)?;
    if has_shared_ports(address) {
        drop(alone);
        return (0..count).map(|_| open(address, true).map_err(failed)).collect();
    }
    let others = (1..count).map(|_| alone.try_clone().map_err(failed)).collect::<Result<Vec<_>, _>>()?;
    Ok(std::iter::once(alone).chain(others).collect())
}

/// Whether the system divides connections between the sockets of a port. Elsewhere `SO_REUSEPORT` is not there, or gives all of them
/// to one socket; and a sandbox may refuse it.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn has_shared_ports(address: SocketAddr) -> bool {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP));
    let shared = socket.and_then(|socket| socket.set_reuse_port(true));
    if let Err(error) = &shared {
        tracing::warn!(%error, "no socket of its own for each core: all of them take connections from one queue");
    }
    shared.is_ok()
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
const fn has_shared_ports(_address: SocketAddr) -> bool {
    false
}

fn open(address: SocketAddr, is_shared: bool) -> io::Result<StdListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if is_shared {
        socket.set_reuse_port(true)?;
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    debug_assert!(!is_shared, "only where ports are shared");
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

    #[test]
    fn where_ports_are_not_shared_all_cores_take_from_one_queue() {
        let listeners = bind_where("127.0.0.1:0".parse().unwrap(), 3, |_| false).unwrap();
        let address = listeners[0].local_addr().unwrap();
        assert_eq!(listeners.len(), 3);
        for listener in &listeners {
            let client = std::net::TcpStream::connect(address).unwrap();
            listener.set_nonblocking(false).unwrap();
            assert_eq!(listener.accept().unwrap().1, client.local_addr().unwrap());
        }
        assert!(bind(address, 2).is_err(), "a stranger is refused");
    }
}
