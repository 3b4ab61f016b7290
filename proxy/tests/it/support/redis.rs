//! A Redis of the test's own: its port, its directory, its death.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    sync::Mutex,
    time::Duration,
};

use redis::{ConnectionLike, FromRedisValue};
use tempfile::TempDir;

/// How long a server may take to come up.
const STARTS_WITHIN: Duration = Duration::from_secs(20);

/// A private redis-server. Killed when dropped.
pub(crate) struct RedisServer {
    dir: TempDir,
    port: u16,
    options: Vec<String>,
    child: Option<Child>,
    admin: Mutex<Option<redis::Connection>>,
}

impl RedisServer {
    /// One that keeps over a restart all that it acknowledged. (With `everysec` even a killed process loses what a running fsync has
    /// held up.)
    pub(crate) fn start() -> Self {
        Self::start_with(&["--appendonly", "yes", "--appendfsync", "always"])
    }

    /// One with further options.
    pub(crate) fn start_with(options: &[&str]) -> Self {
        let mut server = Self::not_started(options);
        server.restart();
        server
    }

    /// An address at which nobody answers, until [`Self::restart`].
    pub(crate) fn not_started(options: &[&str]) -> Self {
        let port = free_port();
        let options = options.iter().map(|&option| option.to_owned()).collect();
        Self { dir: tempfile::tempdir().unwrap(), port, options, child: None, admin: Mutex::default() }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Its working directory.
    pub(crate) fn dir(&self) -> &std::path::Path {
        self.dir.path()
    }

    /// Kills it, if it runs, and starts it on the same port and in the same directory.
    pub(crate) fn restart(&mut self) {
        self.kill();
        let child = Command::new("redis-server")
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1", "--save", "", "--dir"])
            .arg(self.dir.path())
            .args(["--enable-debug-command", "yes"])
            .args(&self.options)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        match child {
            Ok(child) => self.child = Some(child),
            Err(error) => panic!("redis-server does not start ({error}); scripts/test tells what the tests need"),
        }
        self.wait_until_it_answers();
    }

    /// SIGKILL: nothing is flushed, nothing is said.
    pub(crate) fn kill(&mut self) {
        *self.admin.lock().unwrap() = None;
        if let Some(mut child) = self.child.take() {
            // A stopped process dies of SIGKILL too.
            let _ = child.kill();
            child.wait().unwrap();
        }
    }

    /// SIGSTOP: its kernel still accepts, and nobody answers.
    pub(crate) fn freeze(&self) {
        self.signal("-STOP");
    }

    /// SIGCONT.
    pub(crate) fn thaw(&self) {
        self.signal("-CONT");
    }

    /// Runs a command as the default user.
    pub(crate) fn admin<T: FromRedisValue>(&self, command: &[&str]) -> T {
        let mut kept = self.admin.lock().unwrap();
        let connection = kept.get_or_insert_with(|| redis::Client::open(self.url()).unwrap().get_connection().unwrap());
        let mut cmd = redis::cmd(command[0]);
        for arg in &command[1..] {
            cmd.arg(*arg);
        }
        redis::from_redis_value(connection.req_command(&cmd).unwrap().extract_error().unwrap()).unwrap()
    }

    /// How often it has run `command`, scripts' own calls included.
    pub(crate) fn calls(&self, command: &str) -> u64 {
        let stats: String = self.admin(&["INFO", "commandstats"]);
        let prefix = format!("cmdstat_{command}:calls=");
        let calls = stats.lines().find_map(|line| line.strip_prefix(&prefix)?.split(',').next()?.parse().ok());
        calls.unwrap_or(0)
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    fn wait_until_it_answers(&mut self) {
        const PAUSE: Duration = Duration::from_millis(10);
        for _ in 0..STARTS_WITHIN.as_millis() / PAUSE.as_millis() {
            if let Some(status) = self.child.as_mut().unwrap().try_wait().unwrap() {
                panic!("redis-server ended at once: {status}");
            }
            if self.answers().is_ok() {
                return;
            }
            std::thread::sleep(PAUSE);
        }
        panic!("redis-server does not answer within {STARTS_WITHIN:?}");
    }

    /// Whether it answers, be it with a refusal: then all that it listens to is open.
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
        self.kill();
    }
}
