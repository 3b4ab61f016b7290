//! A Redis of the test's own.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

/// How long the server may take to come up.
const STARTS_WITHIN: Duration = Duration::from_secs(20);

/// A private redis-server that keeps what it acknowledged. Killed when dropped.
pub(crate) struct RedisServer {
    child: Child,
    port: u16,
    _folder: TempDir,
}

impl RedisServer {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let child = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--dir"])
            .arg(folder.path())
            .args(["--appendonly", "yes", "--appendfsync", "always", "--maxmemory-policy", "noeviction"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("redis-server does not start ({error}); scripts/test tells what the tests need"));
        let mut server = Self { child, port, _folder: folder };
        server.wait_until_it_answers();
        server
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    fn wait_until_it_answers(&mut self) {
        const PAUSE: Duration = Duration::from_millis(10);
        for _ in 0..STARTS_WITHIN.as_millis() / PAUSE.as_millis() {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("redis-server ended at once: {status}");
            }
            if self.answers().is_ok() {
                return;
            }
            std::thread::sleep(PAUSE);
        }
        panic!("redis-server does not answer within {STARTS_WITHIN:?}");
    }

    fn answers(&self) -> std::io::Result<()> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(STARTS_WITHIN))?;
        stream.write_all(b"PING\r\n")?;
        stream.read_exact(&mut [0; 5])
    }
}

/// A port that is free, and stays so: it is below those that the kernel gives out by itself.
pub(crate) fn free_port() -> u16 {
    let candidates = std::iter::repeat_with(|| rand::random_range(20_000..30_000)).take(1000);
    candidates.into_iter().find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).expect("a free port")
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _waited = self.child.wait();
    }
}
