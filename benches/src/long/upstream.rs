//! The service of the long run: it answers, is slow, refuses, fails and hangs up, as the path says.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use crate::error::Error;

/// How long the slow path takes.
const SLOW: Duration = Duration::from_millis(100);

/// Serves on this address, in a task that ends with the runtime.
///
/// # Errors
/// When the address cannot be listened on.
pub(super) async fn start(address: SocketAddr) -> Result<(), Error> {
    let listener = TcpListener::bind(address).await.map_err(Error::io(format!("listen on {address}")))?;
    tokio::spawn(async move {
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                // Out of descriptors: another connection's end makes room.
                tokio::time::sleep(SLOW).await;
                continue;
            };
            tokio::spawn(async move {
                let service = hyper::server::conn::http1::Builder::new();
                // One that hangs up, or is hung up on, is part of the run.
                let _ended = service.serve_connection(TokioIo::new(stream), service_fn(answer)).await;
            });
        }
    });
    Ok(())
}

/// By the last part of the path.
async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Cut> {
    let path = request.uri().path().to_owned();
    // All of it, so that the connection can be used again.
    request.into_body().collect().await.map_err(|_| Cut)?;
    let status = match path.rsplit('/').next().unwrap_or_default() {
        "slow" => {
            tokio::time::sleep(SLOW).await;
            StatusCode::OK
        }
        "refuse" => StatusCode::UNPROCESSABLE_ENTITY,
        "fail" => StatusCode::INTERNAL_SERVER_ERROR,
        "cut" => return Err(Cut),
        _ => StatusCode::OK,
    };
    let document = format!(r#"{{"id":"o-1","path":"{path}","note":"{}"}}"#, "x".repeat(960));
    let mut response = Response::new(Full::new(Bytes::from(document)));
    *response.status_mut() = status;
    response.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    Ok(response)
}

/// The connection ends without an answer.
#[derive(Debug, thiserror::Error)]
#[error("cut")]
struct Cut;
