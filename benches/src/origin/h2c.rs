//! The origin over HTTP/2 without TLS: hyper's, since here the framing costs what it costs.

use std::convert::Infallible;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// Serves until the process is stopped.
pub(super) async fn serve(listener: std::net::TcpListener) {
    let document = Bytes::from(super::document());
    let Ok(listener) = TcpListener::from_std(listener) else { return };
    while let Ok((stream, _)) = listener.accept().await {
        let _as_is = stream.set_nodelay(true);
        let document = document.clone();
        let service = service_fn(move |request| answer(request, document.clone()));
        let mut server = hyper::server::conn::http2::Builder::new(Local);
        let connection = server.max_concurrent_streams(1000).serve_connection(TokioIo::new(stream), service);
        // A client that hangs up is no mistake of the origin's.
        tokio::task::spawn_local(async move { drop(connection.await) });
    }
}

async fn answer(request: http::Request<Incoming>, document: Bytes) -> Result<http::Response<Full<Bytes>>, Infallible> {
    let mut body = request.into_body();
    while let Some(Ok(_)) = body.frame().await {}
    let mut response = http::Response::new(Full::new(document));
    response.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    Ok(response)
}

/// Runs what a connection needs on its own thread.
#[derive(Clone, Copy)]
struct Local;

impl<F: Future + 'static> hyper::rt::Executor<F> for Local {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(async move { drop(future.await) });
    }
}
