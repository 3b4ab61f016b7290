//! `shop health ADDR`: the health check of a container that has no other program.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long the connection, and each part of the exchange, may take.
const MAX_WAIT: Duration = Duration::from_secs(2);

/// What every service answers 200 to.
const PATH: &str = "/healthz/";

/// Why a service is not well.
#[derive(Debug, thiserror::Error)]
pub enum HealthError {
    /// It does not answer in time, or at all.
    #[error("GET http://{address}{PATH} has no answer")]
    Silent {
        /// The service.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// It answers something else than 200.
    #[error("GET http://{address}{PATH} is answered with {said:?}")]
    Unwell {
        /// The service.
        address: SocketAddr,
        /// The beginning of the answer.
        said: String,
    },
}

/// Asks the service at `address` once. Blocks, for six seconds at most.
///
/// # Errors
/// When it is not well.
pub fn ask(address: SocketAddr) -> Result<(), HealthError> {
    let said = exchange(address).map_err(|source| HealthError::Silent { address, source })?;
    match said.as_str() {
        "HTTP/1.1 200" => Ok(()),
        _ => Err(HealthError::Unwell { address, said }),
    }
}

/// The version and the status of the answer.
fn exchange(address: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, MAX_WAIT)?;
    stream.set_read_timeout(Some(MAX_WAIT))?;
    stream.set_write_timeout(Some(MAX_WAIT))?;
    write!(stream, "GET {PATH} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut start = [0; 12];
    stream.read_exact(&mut start)?;
    Ok(String::from_utf8_lossy(&start).into_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io::{BufRead as _, BufReader};
    use std::net::TcpListener;

    use super::*;

    /// A service that answers so, once, after it has read the head of a request.
    fn service(answer: &'static str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let mut stream = listener.accept().unwrap().0;
            let head = BufReader::new(stream.try_clone().unwrap()).lines().map(Result::unwrap);
            let head: Vec<String> = head.take_while(|line| !line.is_empty()).collect();
            assert_eq!(head[0], "GET /healthz/ HTTP/1.1");
            stream.write_all(answer.as_bytes()).unwrap();
        });
        address
    }

    #[test]
    fn only_an_answer_of_200_is_health() {
        ask(service("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")).unwrap();
        let unwell = ask(service("HTTP/1.1 503 Service Unavailable\r\n\r\n")).unwrap_err();
        assert!(unwell.to_string().ends_with("/healthz/ is answered with \"HTTP/1.1 503\""), "{unwell}");
        let silent = ask(service("HTTP")).unwrap_err();
        assert!(matches!(silent, HealthError::Silent { .. }), "{silent}");
        let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert!(matches!(ask(nobody).unwrap_err(), HealthError::Silent { .. }));
    }
}
