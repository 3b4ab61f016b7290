//! A listener with a thread and a runtime of its own, so that a test may block; it can refuse connections, and reset them.

use std::{net::SocketAddr, thread::JoinHandle, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::watch,
};
use tokio_util::sync::CancellationToken;

use super::within;

/// The body of an answer.
pub(crate) type Body = UnsyncBoxBody<Bytes, std::io::Error>;
/// What becomes of a request.
pub(crate) type Served = Result<Response<Body>, std::io::Error>;

/// A server. Ends when dropped.
pub(crate) struct Server {
    address: SocketAddr,
    up: watch::Sender<bool>,
    is_up: watch::Receiver<bool>,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// One that answers as `handle` does. Cancelling the token that it is given resets the request's connection.
    pub(crate) fn start<H, F>(handle: H) -> Self
    where
        H: Fn(Request<Incoming>, CancellationToken) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Served> + Send + 'static,
    {
        let stop = CancellationToken::new();
        let (up, wanted) = watch::channel(true);
        let (is, is_up) = watch::channel(true);
        let (tell, told) = std::sync::mpsc::channel();
        let until = stop.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = bound("127.0.0.1:0".parse().unwrap()).listen(1024).unwrap();
                tell.send(listener.local_addr().unwrap()).unwrap();
                until.run_until_cancelled(run(listener, handle, wanted, is)).await;
            });
        });
        let address = told.recv_timeout(Duration::from_secs(20)).unwrap();
        Self { address, up, is_up, stop, thread: Some(thread) }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Refuses connections and resets those there are, until [`Self::reopen`]. The port stays its own.
    pub(crate) async fn close(&self) {
        self.switch(false).await;
        // A process that another test is starting has the listener too, until it becomes another program.
        within("connections to be refused", async { while TcpStream::connect(self.address).await.is_ok() {} }).await;
    }

    /// Listens again, on the same port.
    pub(crate) async fn reopen(&self) {
        self.switch(true).await;
    }

    async fn switch(&self, on: bool) {
        self.up.send_replace(on);
        let mut is_up = self.is_up.clone();
        within("the server to open or close", is_up.wait_for(|is| *is == on)).await.unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            if !std::thread::panicking() {
                ended.unwrap();
            }
        }
    }
}

/// A socket that has its port and does not listen.
fn bound(address: SocketAddr) -> TcpSocket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.set_reuseport(true).unwrap();
    socket.bind(address).unwrap();
    socket
}

async fn run<H, F>(first: TcpListener, handle: H, mut wanted: watch::Receiver<bool>, is: watch::Sender<bool>)
where
    H: Fn(Request<Incoming>, CancellationToken) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Served> + Send + 'static,
{
    let address = first.local_addr().unwrap();
    let mut listener = first;
    loop {
        let cut = CancellationToken::new();
        tokio::select! {
            () = accept(&listener, &handle, &cut) => {}
            changed = wanted.wait_for(|up| !up) => if changed.is_err() { return },
        }
        // Before the listener goes, so that nobody else gets the port.
        let silent = bound(address);
        drop(listener);
        cut.cancel();
        is.send_replace(false);
        if wanted.wait_for(|up| *up).await.is_err() {
            return;
        }
        listener = silent.listen(1024).unwrap();
        is.send_replace(true);
    }
}

async fn accept<H, F>(listener: &TcpListener, handle: &H, cut: &CancellationToken)
where
    H: Fn(Request<Incoming>, CancellationToken) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Served> + Send + 'static,
{
    while let Ok((tcp, _)) = listener.accept().await {
        tokio::spawn(serve(tcp, handle.clone(), cut.child_token()));
    }
}

/// Serves one connection until its end, or until `cut`: then it is reset.
async fn serve<H, F>(tcp: TcpStream, handle: H, cut: CancellationToken)
where
    H: Fn(Request<Incoming>, CancellationToken) -> F + Sync,
    F: Future<Output = Served> + Send,
{
    let tcp = tcp.into_std().unwrap();
    let same = tcp.try_clone().unwrap();
    let tcp = TcpStream::from_std(tcp).unwrap();
    tcp.set_nodelay(true).unwrap();
    let service = service_fn(|request| handle(request, cut.clone()));
    let connection = http1::Builder::new().serve_connection(TokioIo::new(tcp), service);
    tokio::select! {
        // How it ended, the client knows.
        _ended = connection => {}
        () = cut.cancelled() => {
            // No time to linger: the close is a reset.
            socket2::SockRef::from(&same).set_linger(Some(Duration::ZERO)).unwrap();
        }
    }
}
