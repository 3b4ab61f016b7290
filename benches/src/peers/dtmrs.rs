//! dtmrs, on Redis.
//!
//! Its program answers a saga once it is stored, and runs it afterwards, however many callers there are. [`Answer::Done`] is a front on
//! dtmrs' own library that answers when the saga has run: what everybody else here does, and the only form in which callers and delays
//! are comparable. Both at dtmrs' defaults, its own way of sparing a trip (`DTMRS_INLINE_SUBMIT`) included; logs off.

use tokio::process::Command;

use super::{installed, redis};
use crate::contender::Contender;
use crate::error::Error;
use crate::process::{Process, Ready};
use crate::settings::Settings;

/// What `install` installs.
const VERSION: &str = "0.13.0";

/// When a caller is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// When the saga has run.
    Done,
    /// When it is stored.
    Stored,
}

impl Answer {
    /// In tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Done => "dtmrs",
            Self::Stored => "dtmrs, not waiting",
        }
    }
}

/// Starts it, with a Redis of its own.
pub(crate) async fn start(settings: &Settings, answer: Answer) -> Result<Contender, Error> {
    let program = match answer {
        Answer::Done => "bin/bench-dtmrs-front",
        Answer::Stored => "bin/dtmrs",
    };
    let program = installed(settings, "dtmrs", program)?;
    let (store, redis) = redis::start(settings).await?;
    let address = settings.address()?;
    let mut command = Command::new(program);
    command
        .env("DTMRS_ADDR", address.to_string())
        .env("DTMRS_DB", format!("redis://{redis}/0"))
        .env("RUST_LOG", "error")
        .env("TOKIO_WORKER_THREADS", settings.workers.to_string())
        .current_dir(&settings.work);
    let process = Process::start(settings, "dtmrs", command, Ready::Answers(address, "/health")).await?;
    let mut contender = Contender::new(answer.name(), VERSION.to_owned(), process, address);
    contender.versions.push(("redis".to_owned(), redis::version(settings).await?));
    contender.path = "/api/dtmsvr/submit".to_owned();
    contender.store = Some(store);
    Ok(contender)
}
