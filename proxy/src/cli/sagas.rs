//! `refrain sagas`: what an operator sees of sagas and says to them, through the admin side of a running Refrain.

mod shown;

use std::process::ExitCode;

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Map, Value, json};

use super::{
    ask::{ask, failed, safe},
    print,
};

/// Sagas that one request of a command to many looks at.
const PAGE: usize = 500;

#[derive(Debug, Args)]
pub(super) struct SagasArgs {
    /// The admin side of the Refrain to ask
    #[arg(long, env = "REFRAIN_ADMIN", value_name = "ADDR", default_value = "127.0.0.1:9090", global = true)]
    admin: String,
    #[command(subcommand)]
    command: Sagas,
}

#[derive(Debug, Subcommand)]
enum Sagas {
    /// Sagas, the newest change first
    List {
        /// Only in these states: running, compensating, completed, compensated, quarantined; apart by commas
        #[arg(long, value_name = "STATES")]
        state: Option<String>,
        /// Only of this name
        #[arg(long)]
        name: Option<String>,
        /// At most this many
        #[arg(long, default_value_t = 100)]
        limit: usize,
        /// The page after the one that ended with this
        #[arg(long, value_name = "NEXT")]
        before: Option<String>,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// One saga: its steps, what is in doubt, and all that happened
    Show {
        /// 32 hexadecimal digits
        id: String,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Try now what waits, with fresh budgets; a quarantined saga goes on
    Retry {
        /// 32 hexadecimal digits
        id: String,
        /// Only this step
        #[arg(long)]
        step: Option<String>,
        /// With a new key, for a step of which you know that it was not carried out
        #[arg(long, requires = "step")]
        run_again: bool,
        /// Why; it is journalled
        #[arg(long)]
        reason: String,
    },
    /// Say what became of a step that nobody knows the outcome of
    #[command(group(clap::ArgGroup::new("outcome").required(true).args(["done", "not_done", "undone"])))]
    Resolve {
        /// 32 hexadecimal digits
        id: String,
        /// The step
        step: String,
        /// It was carried out
        #[arg(long)]
        done: bool,
        /// What is kept of its answer: a JSON object
        #[arg(long, value_name = "JSON", requires = "done")]
        output: Option<String>,
        /// It was not carried out
        #[arg(long)]
        not_done: bool,
        /// Its undo was carried out by hand, or is not needed
        #[arg(long)]
        undone: bool,
        /// Why; it is journalled
        #[arg(long)]
        reason: String,
    },
    /// Turn back: undo what was done
    Compensate {
        /// 32 hexadecimal digits
        id: String,
        /// Why; it is journalled
        #[arg(long)]
        reason: String,
    },
    /// Leave out a step that has not started
    Skip {
        /// 32 hexadecimal digits
        id: String,
        /// The step
        step: String,
        /// Why; it is journalled
        #[arg(long)]
        reason: String,
    },
    /// Start nothing new: one saga, or all that call an upstream
    Pause(OneOrMany),
    /// Go on: one saga, or all that call an upstream
    Resume(OneOrMany),
}

#[derive(Debug, Args)]
#[group(id = "whom", required = true, args = ["id", "upstream"])]
struct OneOrMany {
    /// 32 hexadecimal digits
    id: Option<String>,
    /// All open sagas whose definition calls this upstream
    #[arg(long, value_name = "NAME")]
    upstream: Option<String>,
    /// Why; it is journalled
    #[arg(long)]
    reason: String,
}

pub(super) fn run(args: SagasArgs) -> ExitCode {
    let admin = &args.admin;
    let done = match args.command {
        Sagas::List { state, name, limit, before, json } => {
            let mut query = form_urlencoded::Serializer::new(String::new());
            query.append_pair("limit", &limit.to_string());
            for (key, value) in [("state", state), ("name", name), ("before", before)] {
                if let Some(value) = value {
                    query.append_pair(key, &value);
                }
            }
            let text = ask(admin, Method::GET, &format!("/sagas?{}", query.finish()), None);
            text.and_then(|text| if json { Ok(text) } else { parsed(&text).map(|page| shown::page(&page)) })
        }
        Sagas::Show { id, json } => {
            let text = ask(admin, Method::GET, &format!("/sagas/{}", safe(&id)), None);
            text.and_then(|text| if json { Ok(text) } else { parsed(&text).map(|saga| shown::saga(&saga)) })
        }
        Sagas::Retry { id, step, run_again, reason } => {
            say(admin, &id, json!({"act": "retry", "step": step, "run_again": run_again, "reason": reason}))
        }
        Sagas::Resolve { id, step, done: true, output, reason, .. } => outputs(output.as_deref())
            .and_then(|output| say(admin, &id, json!({"act": "done", "step": step, "output": output, "reason": reason}))),
        Sagas::Resolve { id, step, not_done: true, reason, .. } => {
            say(admin, &id, json!({"act": "not-done", "step": step, "reason": reason}))
        }
        Sagas::Resolve { id, step, reason, .. } => say(admin, &id, json!({"act": "undone", "step": step, "reason": reason})),
        Sagas::Compensate { id, reason } => say(admin, &id, json!({"act": "compensate", "reason": reason})),
        Sagas::Skip { id, step, reason } => say(admin, &id, json!({"act": "skip", "step": step, "reason": reason})),
        Sagas::Pause(whom) => one_or_many(admin, "pause", &whom),
        Sagas::Resume(whom) => one_or_many(admin, "resume", &whom),
    };
    match done {
        Ok(text) => print(&text),
        Err(why) => failed(&why),
    }
}

fn say(admin: &str, id: &str, said: Value) -> Result<String, String> {
    ask(admin, Method::POST, &format!("/sagas/{}", safe(id)), Some(said))?;
    Ok(format!("told; `refrain sagas show {}` shows what comes of it\n", safe(id)))
}

fn one_or_many(admin: &str, act: &str, whom: &OneOrMany) -> Result<String, String> {
    let reason = &whom.reason;
    match (&whom.id, &whom.upstream) {
        (Some(id), _) => say(admin, id, json!({"act": act, "reason": reason})),
        (None, Some(upstream)) => say_to_all(admin, act, upstream, reason),
        (None, None) => Err("say which saga, or which upstream".to_owned()),
    }
}

/// Page by page, until there are no more.
fn say_to_all(admin: &str, act: &str, upstream: &str, reason: &str) -> Result<String, String> {
    let (mut commanded, mut full, mut before) = (0, 0, Value::Null);
    loop {
        let said = json!({"act": act, "upstream": upstream, "reason": reason, "before": before, "limit": PAGE});
        let reached = parsed(&ask(admin, Method::POST, "/sagas", Some(said))?)?;
        commanded += reached["commanded"].as_u64().unwrap_or_default();
        full += reached["full"].as_u64().unwrap_or_default();
        match &reached["next"] {
            Value::Null => break,
            // Each page begins further back than the one before, so there is a last one.
            next => before = next.clone(),
        }
    }
    match full {
        0 => Ok(format!("told {commanded} sagas\n")),
        full => Err(format!("told {commanded} sagas; {full} have too many commands waiting: say it again")),
    }
}

fn outputs(text: Option<&str>) -> Result<Map<String, Value>, String> {
    let Some(text) = text else { return Ok(Map::new()) };
    match serde_json::from_str(text) {
        Ok(Value::Object(output)) => Ok(output),
        Ok(_) => Err("--output: a JSON object, with a member for each output of the step".to_owned()),
        Err(error) => Err(format!("--output: not JSON: {error}")),
    }
}

fn parsed(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| format!("the admin side's answer is not JSON: {error}"))
}
