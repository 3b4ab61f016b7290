//! An HTTP client without a memory: one connection per request, nothing repeated, nothing decoded.

use std::net::SocketAddr;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

const MAX_WAIT: Duration = Duration::from_secs(10);

/// Sends the request to `address` and gives the whole answer.
pub(crate) async fn send(address: SocketAddr, mut request: Request<Full<Bytes>>) -> Response<Bytes> {
    request.headers_mut().insert("host", address.to_string().parse().unwrap());
    let answer = async {
        let stream = TcpStream::connect(address).await.unwrap();
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        let connection = tokio::spawn(connection);
        let (head, body) = sender.send_request(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        connection.abort();
        Response::from_parts(head, body)
    };
    timeout(MAX_WAIT, answer).await.expect("an answer in time")
}

pub(crate) async fn get(address: SocketAddr, path: &str) -> Response<Bytes> {
    send(address, Request::get(path).body(Full::default()).unwrap()).await
}
