//! Asks a process whether it is ready.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::error::Elapsed;
use tokio::time::{MissedTickBehavior, interval, timeout};

/// How long a process may take to become ready. Making an RSA key takes seconds in a build without optimisation.
pub(super) const MAX_WAIT: Duration = Duration::from_secs(30);

/// How often it is asked.
const EVERY: Duration = Duration::from_millis(25);

/// How long it may take to answer.
const MAX_ANSWER: Duration = Duration::from_secs(1);

/// Where a process says that it is ready: by 200.
#[derive(Clone, Copy, Debug)]
pub struct Question {
    /// Where it is asked.
    pub address: SocketAddr,
    /// What it is asked for.
    pub path: &'static str,
}

impl std::fmt::Display for Question {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "GET http://{}{}", self.address, self.path)
    }
}

/// Asks until the answer is 200.
pub(super) async fn within(limit: Duration, question: Question) -> Result<(), Elapsed> {
    timeout(limit, async {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            // Not listening yet, not answering in time and any other answer all mean: not ready.
            if let Ok(Ok(true)) = timeout(MAX_ANSWER, is_ready(question)).await {
                break;
            }
        }
    })
    .await
}

async fn is_ready(Question { address, path }: Question) -> io::Result<bool> {
    const STATUS_LINE: &[u8] = b"HTTP/1.1 200";
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut start = [0; STATUS_LINE.len()];
    stream.read_exact(&mut start).await?;
    Ok(start == STATUS_LINE)
}
