//! A client of the admin side of a running Refrain.

use std::{process::ExitCode, time::Duration};

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// The largest answer that is read.
const MAX_ANSWER: usize = 16 * 1024 * 1024;
/// How long the admin side gets to answer.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Asks, and gives the answer's text.
///
/// # Errors
///
/// What to tell the operator: there was no answer, or it was no.
pub(super) fn ask(admin: &str, method: Method, path: &str, body: Option<serde_json::Value>) -> Result<String, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("no runtime: {error}"))?;
    let asked = runtime.block_on(async {
        tokio::time::timeout(TIMEOUT, exchange(admin, method, path, body))
            .await
            .unwrap_or_else(|_| Err(format!("the admin side at {admin} did not answer within {TIMEOUT:?}")))
    });
    match asked? {
        (status, text) if status.is_success() => Ok(text),
        (status, text) => Err(format!("{status}: {}", text.trim())),
    }
}

/// A name in a path: what has other characters cannot be one, and is refused by the admin side.
pub(super) fn safe(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).collect()
}

/// Tells why nothing was done.
pub(super) fn failed(why: &str) -> ExitCode {
    eprintln!("error: {why}");
    ExitCode::FAILURE
}

async fn exchange(
    admin: &str,
    method: Method,
    path: &str,
    body: Option<serde_json::Value>,
) -> Result<(StatusCode, String), String> {
    let tcp = TcpStream::connect(admin).await.map_err(|error| format!("no admin side at {admin}: {error}"))?;
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(tcp)).await;
    let (mut sender, connection) = handshake.map_err(|error| error.to_string())?;
    let connection = tokio::spawn(connection);
    let body = body.map_or_else(Bytes::new, |body| Bytes::from(body.to_string()));
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, admin)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(body))
        .map_err(|error| error.to_string())?;
    let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
    let status = response.status();
    let bytes = Limited::new(response.into_body(), MAX_ANSWER).collect().await.map_err(|error| error.to_string())?;
    drop(sender);
    connection.abort();
    let mut text = String::from_utf8_lossy(&bytes.to_bytes()).into_owned();
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    Ok((status, text))
}
