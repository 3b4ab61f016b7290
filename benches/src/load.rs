//! Load: wrk over HTTP/1.1 and h2load over HTTP/2, from the distribution.

use std::time::Duration;

use serde::Deserialize;
use tokio::process::Command;

use crate::error::Error;
use crate::settings::Settings;

/// How long a generator may take beyond its time, to connect and to finish.
const MAX_OVERRUN: Duration = Duration::from_secs(20);

const DONE: &str = include_str!("../load/done.lua");

/// What is asked for: a script of `benches/load`, with its arguments.
#[derive(Clone, Debug)]
pub(crate) enum Shape {
    /// `GET`.
    Get,
    /// `POST` of as many bytes.
    Post(usize),
    /// `POST` under a key never used before.
    First,
    /// `POST` under this key.
    Same(String),
    /// `POST` under one of so many keys that [`Shape::Fill`] has stored, at random.
    Stored(String, u64),
    /// `POST` under the keys after this number, one after another; with one thread.
    Fill(String, u64),
    /// Another script, with its arguments.
    Script(&'static str, Vec<String>),
    /// `POST` of 1 KiB over HTTP/2 with prior knowledge.
    H2cPost,
}

/// One measurement to be made.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    /// Where to.
    pub(crate) url: String,
    /// What.
    pub(crate) shape: Shape,
    /// Connections, each with one request under way at a time.
    pub(crate) connections: usize,
    /// For how long, in whole seconds.
    pub(crate) time: Duration,
}

/// What was measured.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Outcome {
    /// Answers that came.
    pub(crate) requests: u64,
    /// In this time.
    pub(crate) microseconds: u64,
    pub(crate) p50_us: u64,
    pub(crate) p99_us: u64,
    /// Requests without an answer.
    pub(crate) errors: u64,
    /// Answers other than 2xx and 3xx.
    pub(crate) refused: u64,
}

impl Outcome {
    pub(crate) fn requests_per_second(&self) -> f64 {
        self.requests as f64 * 1e6 / self.microseconds.max(1) as f64
    }
}

impl Load {
    /// Makes it.
    ///
    /// # Errors
    /// When the generator cannot run, or anything but 2xx and 3xx was answered, or anything was not answered: it is no measurement then.
    pub(crate) async fn run(&self, settings: &Settings) -> Result<Outcome, Error> {
        let outcome = self.run_leniently(settings).await?;
        if outcome.requests == 0 || outcome.errors > 0 || outcome.refused > 0 {
            return Err(Error::Invalid(format!("{} ({:?}): not all went well: {outcome:?}", self.url, self.shape)));
        }
        Ok(outcome)
    }

    /// Makes it, whatever is answered.
    pub(crate) async fn run_leniently(&self, settings: &Settings) -> Result<Outcome, Error> {
        match &self.shape {
            Shape::H2cPost => self.h2load(settings).await,
            _ => self.wrk(settings).await,
        }
    }

    async fn wrk(&self, settings: &Settings) -> Result<Outcome, Error> {
        let (script, arguments) = self.script();
        let script = settings.file("load.lua", &format!("{script}\n{DONE}"))?;
        // One thread keeps the numbers of a fill without gaps.
        let threads = if matches!(self.shape, Shape::Fill(..)) { 1 } else { settings.load_threads.min(self.connections) };
        let mut command = Command::new(settings.program("wrk")?);
        command.arg(format!("-t{threads}")).arg(format!("-c{}", self.connections));
        command.arg(format!("-d{}s", self.time.as_secs().max(1))).arg("--timeout=20s").arg("-s").arg(script);
        command.arg(&self.url).arg("--").args(arguments);
        let said = self.finish(command).await?;
        let measured = said.lines().find_map(|line| line.strip_prefix("MEASURED "));
        let measured = measured.ok_or_else(|| Error::program("wrk", said.clone()))?;
        serde_json::from_str(measured).map_err(|error| Error::program("wrk", format!("{error}: {measured}")))
    }

    fn script(&self) -> (&'static str, Vec<String>) {
        match &self.shape {
            Shape::Get => (include_str!("../load/get.lua"), Vec::new()),
            Shape::Post(bytes) => (include_str!("../load/post.lua"), vec![bytes.to_string()]),
            Shape::First => (include_str!("../load/first.lua"), vec![crate::clock::nonce()]),
            Shape::Same(key) => (include_str!("../load/same.lua"), vec![key.clone()]),
            Shape::Stored(prefix, keys) => (include_str!("../load/stored.lua"), vec![prefix.clone(), keys.to_string()]),
            Shape::Fill(prefix, after) => (include_str!("../load/fill.lua"), vec![prefix.clone(), after.to_string()]),
            Shape::Script(script, arguments) => (script, arguments.clone()),
            Shape::H2cPost => ("", Vec::new()),
        }
    }

    async fn h2load(&self, settings: &Settings) -> Result<Outcome, Error> {
        let body = settings.file("h2load.json", &format!("\"{}\"", "x".repeat(1022)))?;
        let log = settings.file("h2load.log", "")?;
        let mut command = Command::new(settings.program("h2load")?);
        command.arg(format!("-c{}", self.connections)).arg(format!("-t{}", settings.load_threads.min(self.connections)));
        command.arg("-m1").arg(format!("-D{}", self.time.as_secs().max(1))).arg("-d").arg(body);
        command.arg("-H").arg("content-type: application/json").arg(format!("--log-file={}", log.display())).arg(&self.url);
        let said = self.finish(command).await?;
        let log = std::fs::read_to_string(&log).map_err(Error::io("read what h2load has written"))?;
        h2load_outcome(&said, &log).ok_or_else(|| Error::program("h2load", said))
    }

    async fn finish(&self, mut command: Command) -> Result<String, Error> {
        command.stdin(std::process::Stdio::null()).kill_on_drop(true);
        let output = tokio::time::timeout(self.time + MAX_OVERRUN, command.output()).await;
        let output = output.map_err(|_| Error::program("load", "did not end in time"))?.map_err(Error::io("run the load"))?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() {
            Ok(said)
        } else {
            Err(Error::program("load", format!("{said}{}", String::from_utf8_lossy(&output.stderr))))
        }
    }
}

/// Out of its summary, and of its log: one line per request, `start status microseconds`.
fn h2load_outcome(said: &str, log: &str) -> Option<Outcome> {
    let before = |line: &str, word: &str| -> Option<u64> {
        let found = line.split(',').find(|part| part.trim_end().ends_with(word))?;
        found.split_whitespace().rev().nth(1)?.parse().ok()
    };
    let finished = said.lines().find_map(|line| line.strip_prefix("finished in "))?;
    let seconds: f64 = finished.split("s,").next()?.parse().ok()?;
    let line = said.lines().find(|line| line.starts_with("requests: "))?;
    let statuses = said.lines().find_map(|line| line.strip_prefix("status codes: "))?;
    let mut times: Vec<u64> = log.lines().filter_map(|line| line.split_whitespace().nth(2)?.parse().ok()).collect();
    times.sort_unstable();
    let at = |percent: usize| times.get((times.len() * percent / 100).min(times.len().saturating_sub(1))).copied();
    Some(Outcome {
        requests: before(line, "done")?,
        microseconds: (seconds * 1e6) as u64,
        p50_us: at(50)?,
        p99_us: at(99)?,
        errors: before(line, "errored")? + before(line, "timeout")?,
        refused: before(statuses, "4xx")? + before(statuses, "5xx")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_h2load_says_is_read() {
        let said = "finished in 2.00s, 100.50 req/s, 12.31KB/s\nrequests: 201 total, 205 started, 201 done, 200 succeeded, 1 failed, 2 \
                    errored, 3 timeout\nstatus codes: 190 2xx, 0 3xx, 7 4xx, 4 5xx\n";
        let log: String = (1..=100).map(|n| format!("1700000000{n}\t200\t{n}\n")).collect();
        let outcome = h2load_outcome(said, &log).expect("it is what h2load says");
        assert_eq!((outcome.requests, outcome.microseconds, outcome.errors, outcome.refused), (201, 2_000_000, 5, 11));
        assert_eq!((outcome.p50_us, outcome.p99_us), (51, 100));
    }
}
