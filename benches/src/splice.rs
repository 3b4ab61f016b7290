//! The floor of any proxy that is a process of its own: bytes from one connection to another, never looked at. One thread per core, each
//! with its own listener, and one upstream connection for each client's.

use std::net::SocketAddr;
use std::thread;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

use crate::error::Error;
use crate::origin::listen;

/// How much is carried at once.
const BUFFER_BYTES: usize = 16 * 1024;

/// Serves until the process is stopped.
///
/// # Errors
/// When the address cannot be listened on.
pub(crate) fn serve(address: SocketAddr, upstream: SocketAddr, threads: usize) -> Result<(), Error> {
    let serving = (0..threads).map(|_| {
        let listener = listen(address)?;
        Ok(thread::spawn(move || on_core(listener, upstream)))
    });
    let serving: Vec<_> = serving.collect::<Result<_, Error>>()?;
    for thread in serving {
        thread.join().map_err(|_| Error::program("splice", "a thread has panicked"))??;
    }
    Ok(())
}

fn on_core(listener: std::net::TcpListener, upstream: SocketAddr) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::io("start"))?;
    runtime.block_on(async {
        let listener = TcpListener::from_std(listener).map_err(Error::io("listen"))?;
        loop {
            let (client, _) = listener.accept().await.map_err(Error::io("accept"))?;
            tokio::spawn(async move {
                let Ok(server) = TcpStream::connect(upstream).await else { return };
                let _as_is = (client.set_nodelay(true), server.set_nodelay(true));
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = server.into_split();
                tokio::spawn(carry(from_client, to_server));
                carry(from_server, to_client).await;
            });
        }
    })
}

/// Until either end hangs up; both halves are closed then.
async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
    let mut buffer = vec![0; BUFFER_BYTES];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
