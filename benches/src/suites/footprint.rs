//! What Refrain needs when nothing happens: memory at rest and with ten thousand connections that are silent, and the time from its
//! start to its first answer on an empty embedded store.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::contender::Contender;
use crate::error::Error;
use crate::origin::Origin;
use crate::peers;
use crate::peers::refrain::Store;
use crate::results::{Measure, Results, Sample};
use crate::settings::Settings;

/// Silent connections.
const CONNECTIONS: usize = 10_000;

/// How many are opened at once.
const AT_ONCE: usize = 100;

/// How long a process is left alone before it is looked at.
const REST: Duration = Duration::from_secs(1);

/// Measures it and writes `footprint.json`.
pub(crate) async fn run(settings: &Settings) -> Result<(), Error> {
    let mut results = Results::new("footprint", settings);
    let origin = Origin::start(settings).await?;
    for round in 0..settings.rounds {
        for store in [Store::Embedded, Store::Memory] {
            let contender = peers::refrain::keyed(settings, &origin, store).await?;
            results.versions.extend(contender.versions.iter().cloned());
            one(settings, &mut results, contender, round).await?;
        }
        let nginx = peers::nginx::start(settings, &origin).await;
        let haproxy = peers::haproxy::start(settings, &origin).await;
        for (name, started) in [("nginx", nginx), ("haproxy", haproxy)] {
            match started {
                Ok(contender) => one(settings, &mut results, contender, round).await?,
                Err(error) => results.skip(name, error),
            }
        }
    }
    results.write(&settings.results)
}

async fn one(settings: &Settings, results: &mut Results, contender: Contender, round: usize) -> Result<(), Error> {
    let name = contender.name.clone();
    if let [process] = &contender.processes[..]
        && name.starts_with("refrain")
    {
        let start = process.start_time().as_secs_f64() * 1e6;
        eprintln!("bench: round {}: {name}, start: {start:.0} µs", round + 1);
        results.add("start to ready", &name, None, Sample::from([(Measure::StartUs, start)]));
    }
    tokio::time::sleep(REST).await;
    rest(results, &contender, "idle", round)?;
    // Both ends of each are descriptors, the harness's and the proxy's.
    let connections = if settings.quick { CONNECTIONS / 10 } else { CONNECTIONS };
    if settings.max_connections() < connections as u64 {
        results.skip(format!("{name}, idle connections"), format!("only {} descriptors are allowed here", settings.descriptors));
    } else {
        let held = silent(&contender, connections).await?;
        tokio::time::sleep(REST).await;
        rest(results, &contender, &format!("{connections} idle connections"), round)?;
        drop(held);
    }
    contender.stop().await;
    Ok(())
}

fn rest(results: &mut Results, contender: &Contender, shape: &str, round: usize) -> Result<(), Error> {
    let used = contender.used()?.own;
    let sample = [(Measure::RssBytes, used.rss_bytes as f64), (Measure::Descriptors, used.descriptors as f64)];
    let (name, megabytes) = (&contender.name, used.rss_bytes as f64 / 1e6);
    eprintln!("bench: round {}: {name}, {shape}: {megabytes:.1} MB", round + 1);
    results.add(shape, name, None, Sample::from(sample));
    Ok(())
}

/// Connections on each of which one request was answered.
async fn silent(contender: &Contender, connections: usize) -> Result<Vec<TcpStream>, Error> {
    let mut held = Vec::with_capacity(connections);
    while held.len() < connections {
        let opening = (0..AT_ONCE.min(connections - held.len())).map(|_| tokio::spawn(open(contender.address)));
        for opened in opening.collect::<Vec<_>>() {
            let opened = opened.await.map_err(|error| Error::Invalid(error.to_string()))?;
            held.push(opened.map_err(Error::io(format!("keep a connection to {}", contender.name)))?);
        }
    }
    Ok(held)
}

async fn open(address: std::net::SocketAddr) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(format!("GET /orders/ HTTP/1.1\r\nHost: {address}\r\n\r\n").as_bytes()).await?;
    let (mut answer, mut buffer) = (Vec::new(), [0; 4096]);
    let end = crate::origin::document();
    while !answer.ends_with(end.as_bytes()) {
        match stream.read(&mut buffer).await? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            read => answer.extend_from_slice(&buffer[..read]),
        }
    }
    Ok(stream)
}
