//! What a Refrain and its store use at a moment, out of /proc and of the store.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::error::Error;

/// How long Redis may take to tell of itself.
const MAX_WAIT: Duration = Duration::from_secs(10);

/// The most that it is believed to say, in bytes.
const MAX_INFO_BYTES: usize = 64 * 1024;

/// What is used at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Sample {
    /// Since the load began.
    pub(super) seconds: f64,
    pub(super) rss_bytes: u64,
    pub(super) descriptors: u64,
    pub(super) threads: u64,
    /// The store's file, or the memory that Redis has for what it keeps.
    pub(super) store_bytes: u64,
}

/// Where the size of a store is.
#[derive(Clone, Debug)]
pub(super) enum Kept {
    File(PathBuf),
    Redis(SocketAddr),
}

/// Of the process with this id.
///
/// # Errors
/// When it has ended, or its store does not tell.
pub(super) async fn take(id: u32, kept: &Kept, since: Duration) -> Result<Sample, Error> {
    let process = Path::new("/proc").join(id.to_string());
    let status = fs::read_to_string(process.join("status")).map_err(Error::io("see the process: it has ended"))?;
    let number = |name: &str| {
        let value = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        value.split_whitespace().next().and_then(|value| value.parse::<u64>().ok()).unwrap_or(0)
    };
    let descriptors = fs::read_dir(process.join("fd")).map_err(Error::io("count descriptors"))?.count() as u64;
    let store_bytes = match kept {
        Kept::File(path) => fs::metadata(path).map_err(Error::io(format!("see {}", path.display())))?.len(),
        Kept::Redis(address) => used_memory(*address).await?,
    };
    let seconds = since.as_secs_f64();
    Ok(Sample { seconds, rss_bytes: number("VmRSS:") * 1024, descriptors, threads: number("Threads:"), store_bytes })
}

/// `used_memory_dataset` of `INFO memory`: what is kept, without the buffers of clients.
async fn used_memory(address: SocketAddr) -> Result<u64, Error> {
    let name = "used_memory_dataset:";
    let ask = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(b"INFO memory\r\nQUIT\r\n").await?;
        let mut text = Vec::new();
        let mut part = [0; 4096];
        while text.len() < MAX_INFO_BYTES {
            let read = stream.read(&mut part).await?;
            if read == 0 {
                break;
            }
            text.extend_from_slice(&part[..read]);
        }
        Ok::<_, std::io::Error>(String::from_utf8_lossy(&text).into_owned())
    };
    let told = tokio::time::timeout(MAX_WAIT, ask).await.map_err(|_| Error::program("redis", "does not tell of itself"))?;
    let told = told.map_err(Error::io("ask Redis"))?;
    let value = told.lines().find_map(|line| line.strip_prefix(name)).and_then(|value| value.trim().parse().ok());
    value.ok_or_else(|| Error::program("redis", "does not tell its memory"))
}
