//! `refrain records`: what an operator sees and says, through the admin side of a running Refrain.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use http::Method;
use serde_json::json;

use super::{
    ask::{ask, failed, safe},
    print,
};

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
    match ask(&args.admin, method, &path, body) {
        Ok(text) => print(&text),
        Err(why) => failed(&why),
    }
}
