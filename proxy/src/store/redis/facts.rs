//! What Redis says of itself, and whether it will do.

use redis::{Cmd, Pipeline, Value};

use super::fault::{ConnectError, OpenError, of_setup_reply};
use crate::time::Timestamp;

/// What `INFO` told.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(super) struct Facts {
    pub(super) version: String,
    pub(super) run_id: String,
    pub(super) replication_id: String,
    pub(super) master: Option<String>,
    pub(super) is_cluster: bool,
    pub(super) eviction_policy: String,
    pub(super) persistence: Persistence,
    /// The store's clock when it answered.
    pub(super) at: Timestamp,
    /// When this process of Redis started, by its clock; later than that, if it has taken over from another since then and does not
    /// tell when. What it acknowledged before may be lost.
    pub(super) remembers_since: Timestamp,
}

/// What survives a restart.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(super) struct Persistence {
    pub(super) aof: bool,
    /// `appendfsync`; `None` if it may not be asked for.
    pub(super) fsync: Option<String>,
    /// When the last snapshot was made, or the server started.
    pub(super) last_save: Timestamp,
}

/// Adds the questions whose answers [`Facts::read`] takes.
pub(super) fn ask(pipeline: &mut Pipeline) {
    pipeline.add_command(command("INFO", &[]));
    pipeline.add_command(command("CONFIG", &["GET", "appendfsync"]));
}

pub(super) fn command(name: &str, args: &[&str]) -> Cmd {
    let mut cmd = redis::cmd(name);
    for arg in args {
        cmd.arg(*arg);
    }
    cmd
}

impl Facts {
    /// Takes the answers to [`ask`].
    pub(super) fn read(answers: &mut impl Iterator<Item = Value>) -> Result<Self, ConnectError> {
        let info = match answers.next() {
            Some(Value::VerbatimString { text, .. }) => text,
            Some(Value::BulkString(text)) => String::from_utf8_lossy(&text).into_owned(),
            Some(Value::ServerError(error)) => return Err(of_setup_reply(&error)),
            other => return Err(unreadable(&format_args!("INFO is {}", kind_of(other.as_ref())))),
        };
        let mut facts = Self::parse(&info).map_err(|reason| unreadable(&reason))?;
        facts.persistence.fsync = appendfsync(answers.next());
        Ok(facts)
    }

    fn parse(info: &str) -> Result<Self, String> {
        let field = |name: &str| {
            info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(|value| value.trim_end().to_owned())
        };
        let needed = |name: &str| field(name).ok_or_else(|| format!("INFO does not tell {name}"));
        let number = |name: &str| needed(name)?.parse::<u64>().map_err(|_| format!("INFO tells a {name} that is not a number"));
        let version = needed("redis_version")?;
        // Before 7.0 there is no clock in INFO; such a version is refused anyway.
        let at = number("server_time_usec").or_else(|reason| if is_recent(&version) { Err(reason) } else { Ok(0) })? / 1000;
        let master = (needed("role")? != "master").then(|| {
            let part = |name: &str| field(name).unwrap_or_else(|| "unknown".to_owned());
            format!("{}:{}", part("master_host"), part("master_port"))
        });
        let took_over = field("master_replid2").is_some_and(|id| id.bytes().any(|digit| digit != b'0'));
        let up_ms = number("uptime_in_seconds")?.saturating_add(1).saturating_mul(1000);
        let since = if took_over { at } else { at.saturating_sub(up_ms) };
        Ok(Self {
            remembers_since: Timestamp::from_unix_ms(since),
            run_id: needed("run_id")?,
            replication_id: needed("master_replid")?,
            master,
            is_cluster: field("redis_mode").as_deref() == Some("cluster"),
            eviction_policy: needed("maxmemory_policy")?,
            persistence: Persistence {
                aof: needed("aof_enabled")? == "1",
                fsync: None,
                last_save: Timestamp::from_unix_ms(number("rdb_last_save_time")?.saturating_mul(1000)),
            },
            at: Timestamp::from_unix_ms(at),
            version,
        })
    }

    /// Why this Redis cannot be used at all.
    pub(super) fn unusable(&self) -> Option<OpenError> {
        if !is_recent(&self.version) {
            return Some(OpenError::TooOld { found: self.version.clone() });
        }
        if self.is_cluster {
            return Some(OpenError::Cluster);
        }
        self.master.clone().map(|master| OpenError::Replica { master })
    }

    /// Why this Redis may forget what it acknowledged.
    pub(super) fn evicts(&self) -> Option<OpenError> {
        (self.eviction_policy != "noeviction").then(|| OpenError::Evicts { policy: self.eviction_policy.clone() })
    }

    /// Whether this is another process, or another history, than `before`.
    pub(super) fn differs_from(&self, before: &Self) -> bool {
        self.run_id != before.run_id || self.replication_id != before.replication_id
    }

    /// What survives what, in a few words.
    pub(super) fn durability(&self) -> String {
        match (&self.persistence.aof, &self.persistence.fsync) {
            (true, Some(fsync)) => format!("redis, AOF {fsync}"),
            (true, None) => "redis, AOF (it may not be asked how often it syncs)".to_owned(),
            (false, _) => "redis, no AOF".to_owned(),
        }
    }
}

impl Persistence {
    /// Since when acknowledged writes may be lost if the Redis that was last heard of at `heard` is gone.
    pub(super) fn may_lose_since(&self, heard: Timestamp) -> Timestamp {
        // `everysec` may lag by two seconds, and so may a replica that took over.
        const LAG_MS: u64 = 2000;
        if self.aof { Timestamp::from_unix_ms(heard.as_unix_ms().saturating_sub(LAG_MS)) } else { self.last_save.min(heard) }
    }
}

fn is_recent(version: &str) -> bool {
    version.split('.').next().and_then(|major| major.parse::<u32>().ok()).is_some_and(|major| major >= 7)
}

/// The answer to `CONFIG GET appendfsync`. Many a managed Redis does not give it.
fn appendfsync(answer: Option<Value>) -> Option<String> {
    let text = |value: &Value| match value {
        Value::BulkString(text) => String::from_utf8(text.clone()).ok(),
        Value::SimpleString(text) => Some(text.clone()),
        _ => None,
    };
    match answer? {
        Value::Map(pairs) => pairs.first().and_then(|(_, value)| text(value)),
        Value::Array(pair) => pair.get(1).and_then(text),
        _ => None,
    }
}

fn unreadable(reason: &dyn std::fmt::Display) -> ConnectError {
    ConnectError::Unusable(OpenError::Unusable(reason.to_string()))
}

/// The kind of a value, for an error: never its content.
pub(super) fn kind_of(value: Option<&Value>) -> &'static str {
    match value {
        None => "missing",
        Some(Value::Nil) => "nil",
        Some(Value::Int(_)) => "an integer",
        Some(Value::BulkString(_)) => "a string",
        Some(Value::Array(_)) => "an array",
        Some(Value::SimpleString(_) | Value::Okay) => "a status",
        Some(Value::ServerError(_)) => "an error",
        Some(_) => "of another type",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INFO: &str = "# Server\r\nredis_version:7.0.15\r\nredis_mode:standalone\r\nrun_id:abc\r\nserver_time_usec:1700000000123456\r\n\
        uptime_in_seconds:60\r\nmaxmemory_policy:noeviction\r\nrdb_last_save_time:1600000000\r\naof_enabled:1\r\nrole:master\r\nmaster_replid:def\r\n";

    #[test]
    fn info_is_read_and_each_wrong_setting_is_named() {
        let good = Facts::parse(INFO).unwrap();
        assert_eq!((good.at.as_unix_ms(), good.unusable(), good.evicts()), (1_700_000_000_123, None, None));
        assert_eq!(good.remembers_since.as_unix_ms(), 1_699_999_939_123, "a second of rounding is not trusted");
        let with = |from: &str, to: &str| Facts::parse(&INFO.replace(from, to)).unwrap();
        assert_eq!(with("7.0.15", "6.2.7").unusable(), Some(OpenError::TooOld { found: "6.2.7".to_owned() }));
        assert_eq!(with("standalone", "cluster").unusable(), Some(OpenError::Cluster));
        let replica = with("role:master", "role:slave\r\nmaster_host:10.0.0.1\r\nmaster_port:6379");
        assert_eq!(replica.unusable(), Some(OpenError::Replica { master: "10.0.0.1:6379".to_owned() }));
        assert_eq!(with("noeviction", "allkeys-lru").evicts(), Some(OpenError::Evicts { policy: "allkeys-lru".to_owned() }));
        let promoted = with("role:master", "role:master\r\nmaster_replid2:00ab00");
        assert_eq!(promoted.remembers_since, promoted.at, "nobody says when it took over");
        assert!(with("run_id:abc", "run_id:xyz").differs_from(&good) && with("replid:def", "replid:xyz").differs_from(&good));
    }

    #[test]
    fn an_info_with_any_line_missing_is_an_error_and_no_panic() {
        let lines: Vec<_> = INFO.split_inclusive("\r\n").collect();
        for missing in (0..lines.len()).filter(|&i| !lines[i].starts_with('#') && !lines[i].contains("redis_mode")) {
            let cut: String = lines.iter().enumerate().filter(|&(i, _)| i != missing).map(|(_, line)| *line).collect();
            assert!(Facts::parse(&cut).is_err(), "without {}", lines[missing]);
        }
    }

    #[test]
    fn without_an_aof_all_since_the_last_snapshot_may_be_lost() {
        let mut facts = Facts::parse(INFO).unwrap();
        assert_eq!(facts.persistence.may_lose_since(facts.at).as_unix_ms(), 1_699_999_998_123);
        facts.persistence.aof = false;
        assert_eq!(facts.persistence.may_lose_since(facts.at).as_unix_ms(), 1_600_000_000_000);
    }
}
