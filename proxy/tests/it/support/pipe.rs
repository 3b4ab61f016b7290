//! A TCP relay that can hold back what clients send, connection by connection.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
};

/// Relays to one port. What clients of a held connection send waits, even if they have hung up, until it is let go.
pub(crate) struct Pipe {
    port: u16,
    /// Connections with a number below this one are held.
    held_below: watch::Sender<usize>,
    accepted: watch::Receiver<usize>,
}

impl Pipe {
    /// A relay to a port of this machine, on this runtime.
    pub(crate) async fn to(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (held_below, held) = watch::channel(0);
        let (count, accepted) = watch::channel(0);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let number = *count.borrow();
                count.send_replace(number + 1);
                let server = TcpStream::connect(("127.0.0.1", target)).await.unwrap();
                let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
                tokio::spawn(relay(from_client, to_server, Some((number, held.clone()))));
                tokio::spawn(relay(from_server, to_client, None));
            }
        });
        Self { port, held_below, accepted }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Holds all connections accepted so far. Later ones are relayed.
    pub(crate) fn hold_all(&self) {
        self.held_below.send_replace(*self.accepted.borrow());
    }

    /// Lets go.
    pub(crate) fn let_go(&self) {
        self.held_below.send_replace(0);
    }
}

async fn relay(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut held: Option<(usize, watch::Receiver<usize>)>) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        if let Some((number, held)) = &mut held
            && held.wait_for(|below| *number >= *below).await.is_err()
        {
            return;
        }
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
