//! Asks a sidecar whether it is ready.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::error::Elapsed;
use tokio::time::{MissedTickBehavior, interval, timeout};

/// How long a sidecar may take to become ready.
pub(super) const MAX_WAIT: Duration = Duration::from_secs(15);

/// How often it is asked.
const EVERY: Duration = Duration::from_millis(25);

/// How long it may take to answer.
const MAX_ANSWER: Duration = Duration::from_secs(1);

/// Asks `GET /readyz` on `admin` until the answer is 200.
pub(super) async fn within(limit: Duration, admin: SocketAddr) -> Result<(), Elapsed> {
    timeout(limit, async {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            // Not listening yet, not answering in time and any other answer all mean: not ready.
            if let Ok(Ok(true)) = timeout(MAX_ANSWER, is_ready(admin)).await {
                break;
            }
        }
    })
    .await
}

async fn is_ready(admin: SocketAddr) -> io::Result<bool> {
    const STATUS_LINE: &[u8] = b"HTTP/1.1 200";
    let mut stream = TcpStream::connect(admin).await?;
    let request = format!("GET /readyz HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut start = [0; STATUS_LINE.len()];
    stream.read_exact(&mut start).await?;
    Ok(start == STATUS_LINE)
}
