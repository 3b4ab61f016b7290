//! `refrain records`: what an operator sees and says, through the admin side of a running Refrain.

use std::process::ExitCode;

use bytes::Bytes;
use clap::{Args, Subcommand};
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpStream;

use super::print;

/// The largest answer that is read.
const MAX_ANSWER: usize = 16 * 1024 * 1024;
/// How long the admin side gets to answer.
const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);

#[derive(Debug, Args)]
pub(super) struct RecordsArgs {
    /// The admin side of the Refrain to ask
    #[arg(long, env = "REFRAIN_ADMIN", value_name = "ADDR", default_value = "127.0.0.1:9090", global = true)]
    admin: String,
    #[command(subcommand)]
    command: Records,
}

#[derive(Debug, Subcommand)]
enum Records {
    /// The unknown outcomes that this Refrain has seen
    List,
    /// One record: its state, attempt, fence and time left
    Show {
        /// 64 hexadecimal digits, as in logs and in `list`
        record: String,
    },
    /// Say what became of an unknown request
    Resolve {
        /// 64 hexadecimal digits
        record: String,
        /// The service did not act: the next request with this key is sent
        #[arg(long, conflicts_with = "done", required_unless_present = "done")]
        not_done: bool,
        /// The service acted: later requests with this key get --status and --body
        #[arg(long, requires = "status")]
        done: bool,
        /// The status that is replayed
        #[arg(long)]
        status: Option<u16>,
        /// The body that is replayed
        #[arg(long, default_value = "")]
        body: String,
        /// The Content-Type that is replayed
        #[arg(long, default_value = "application/json")]
        content_type: String,
        /// Why; it is logged
        #[arg(long)]
        reason: String,
    },
    /// Delete a record, whatever its state: its key is free, and a request with it is sent
    Forget {
        /// 64 hexadecimal digits
        record: String,
        /// Why; it is logged
        #[arg(long)]
        reason: String,
    },
}

pub(super) fn run(args: RecordsArgs) -> ExitCode {
    let (method, path, body) = match args.command {
        Records::List => (Method::GET, "/records".to_owned(), None),
        Records::Show { record } => (Method::GET, format!("/records/{}", safe(&record)), None),
        Records::Resolve { record, done: true, status, body, content_type, reason, .. } => {
            let said = json!({
                "outcome": "done", "reason": reason, "status": status, "body": body, "headers": {"content-type": content_type},
            });
            (Method::POST, format!("/records/{}/resolve", safe(&record)), Some(said))
        }
        Records::Resolve { record, reason, .. } => {
            let said = json!({"outcome": "not-done", "reason": reason});
            (Method::POST, format!("/records/{}/resolve", safe(&record)), Some(said))
        }
        Records::Forget { record, reason } => {
            let query = form_urlencoded::Serializer::new(String::new()).append_pair("reason", &reason).finish();
            (Method::DELETE, format!("/records/{}?{query}", safe(&record)), None)
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&format!("no runtime: {error}")),
    };
    let asked = runtime.block_on(async {
        tokio::time::timeout(TIMEOUT, ask(&args.admin, method, &path, body))
            .await
            .unwrap_or_else(|_| Err(format!("the admin side at {} did not answer within {TIMEOUT:?}", args.admin)))
    });
    match asked {
        Ok((status, text)) if status.is_success() => print(&text),
        Ok((status, text)) => failed(&format!("{status}: {}", text.trim())),
        Err(error) => failed(&error),
    }
}

/// A record's name in a path: what is not hexadecimal cannot be one, and is refused by the admin side.
fn safe(record: &str) -> String {
    record.chars().filter(char::is_ascii_alphanumeric).collect()
}

fn failed(why: &str) -> ExitCode {
    eprintln!("error: {why}");
    ExitCode::FAILURE
}

async fn ask(admin: &str, method: Method, path: &str, body: Option<serde_json::Value>) -> Result<(StatusCode, String), String> {
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
