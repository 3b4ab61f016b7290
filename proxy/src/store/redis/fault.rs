//! What an error of Redis means: whether the operation may have been applied, and what an operator can do.

use std::sync::Arc;

use redis::{ErrorKind, RedisError, ServerError, ServerErrorKind};

use super::super::StoreError;

/// Why a Redis that was reached cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The URL is not one, or asks for what is not supported.
    #[error("the URL of Redis is not valid: {0}")]
    BadUrl(String),
    /// The user or the password is wrong or missing.
    #[error("Redis does not let us in: {0} (check the user and the password in the URL)")]
    Auth(String),
    /// The user lacks a permission.
    #[error("the Redis user may not do what is needed: {0}")]
    NotPermitted(String),
    /// The certificate does not verify.
    #[error("the certificate of Redis does not verify: {0}")]
    Certificate(String),
    /// Scripts with flags, and functions that they call, came with Redis 7.0.
    #[error("this Redis is of version {found}; 7.0 or later is needed")]
    TooOld {
        /// Its version.
        found: String,
    },
    /// It takes no writes.
    #[error("this Redis is a replica of {master} and takes no writes: give the address of its master")]
    Replica {
        /// The address of its master.
        master: String,
    },
    /// It would forget records when its memory is full, and their requests would run again.
    #[error("this Redis may evict records (maxmemory-policy is {policy}): set maxmemory-policy to noeviction, or allow eviction")]
    Evicts {
        /// Its `maxmemory-policy`.
        policy: String,
    },
    /// It is a node of a cluster.
    #[error("this Redis is a node of a Redis Cluster, which is not supported: give a Redis that is not in cluster mode")]
    Cluster,
    /// Sagas would be looked for where they are not.
    #[error(
        "the sagas of this Redis are divided into {stored} partitions, and {configured} are configured: set sagas.partitions to \
         {stored} (or, if all sagas there may be forgotten, stop every Refrain that uses it and delete the keys refrain:partitions \
         and refrain:j:*)"
    )]
    OtherPartitions {
        /// As the first process decided.
        stored: u16,
        /// As this one is configured.
        configured: u16,
    },
    /// None, or too many.
    #[error("sagas.partitions is {configured}: it must be from 1 to {}", super::settings::MAX_PARTITIONS)]
    NoSuchPartitions {
        /// As configured.
        configured: u16,
    },
    /// Anything else that it said.
    #[error("this Redis cannot be used: {0}")]
    Unusable(String),
}

/// Why there is no connection. Nothing was sent but what opens it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ConnectError {
    /// Nobody answers, or not yet.
    Unreachable(String),
    /// Somebody answers, and is not what is needed.
    Unusable(OpenError),
}

impl From<ConnectError> for StoreError {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::Unreachable(reason) => Self::NotReached(reason),
            ConnectError::Unusable(reason) => Self::Refused(reason.to_string()),
        }
    }
}

/// What it means that a connection could not be opened.
pub(super) fn of_opening(error: &RedisError) -> ConnectError {
    let said = error.to_string();
    match error.kind() {
        ErrorKind::Io => match certificate_fault(error) {
            Some(reason) => ConnectError::Unusable(OpenError::Certificate(reason)),
            None => ConnectError::Unreachable(said),
        },
        ErrorKind::AuthenticationFailed => ConnectError::Unusable(OpenError::Auth(said)),
        ErrorKind::RESP3NotSupported => ConnectError::Unusable(OpenError::TooOld { found: "5 or earlier".to_owned() }),
        ErrorKind::Parse => ConnectError::Unusable(OpenError::Unusable("it does not speak the protocol of Redis".to_owned())),
        // A name without an address: the crate calls it a wrong setting, and it is most often a passing fault of the resolver.
        ErrorKind::InvalidClientConfig => ConnectError::Unreachable(said),
        _ => match error.code() {
            Some(code) => of_setup(code, error.detail().unwrap_or_default()),
            None => ConnectError::Unusable(OpenError::Unusable(said)),
        },
    }
}

/// What it means that a command that prepares a connection was answered with an error.
pub(super) fn of_setup_reply(error: &ServerError) -> ConnectError {
    of_setup(error.code(), error.details().unwrap_or_default())
}

fn of_setup(code: &str, detail: &str) -> ConnectError {
    let said = format!("{code} {detail}");
    match code {
        "NOAUTH" | "WRONGPASS" => ConnectError::Unusable(OpenError::Auth(said)),
        "NOPERM" => ConnectError::Unusable(OpenError::NotPermitted(said)),
        "LOADING" | "BUSY" | "MASTERDOWN" => ConnectError::Unreachable(said),
        "ERR" if detail.starts_with("max number of clients") => ConnectError::Unreachable(said),
        "MOVED" | "ASK" | "CROSSSLOT" | "CLUSTERDOWN" => ConnectError::Unusable(OpenError::Cluster),
        _ => ConnectError::Unusable(OpenError::Unusable(said)),
    }
}

fn certificate_fault(error: &RedisError) -> Option<String> {
    // The crate keeps its cause behind an `Arc`.
    let cause = std::error::Error::source(error)?.downcast_ref::<Arc<dyn std::error::Error + Send + Sync>>()?;
    let io = (**cause).downcast_ref::<std::io::Error>()?;
    match io.get_ref()?.downcast_ref::<rustls::Error>()? {
        fault @ (rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented) => Some(fault.to_string()),
        _ => None,
    }
}

/// What it means that a script was answered with an error.
///
/// A script checks before its first write, and Redis refuses a write only if it is the first; so whatever names such a refusal
/// says that nothing was written. A permission is checked at each command: one that changed under way may have stopped a script
/// half-way.
pub(super) fn of_reply(error: &ServerError) -> StoreError {
    let detail = error.details().unwrap_or_default();
    let said = format!("{} {detail}", error.code());
    match error.code() {
        "REFRAIN" => StoreError::Corrupt(detail.to_owned()),
        "WRONGTYPE" => StoreError::Corrupt(said),
        "ERR" if detail.contains("user executing the script") => StoreError::AnswerLost(said),
        "ERR" if detail.contains("user_script") => StoreError::Corrupt(said),
        "LOADING" | "BUSY" | "MASTERDOWN" | "CLUSTERDOWN" | "TRYAGAIN" => StoreError::NotReached(said),
        "OOM" | "READONLY" | "MISCONF" | "NOREPLICAS" => StoreError::Refused(said),
        "MOVED" | "ASK" | "CROSSSLOT" => StoreError::Refused(format!("{} ({said})", OpenError::Cluster)),
        _ if detail.contains("script: ") => StoreError::AnswerLost(said),
        _ => StoreError::Refused(said),
    }
}

/// Whether the error says that another connection might do better: another node is the master now, or the password has changed.
pub(super) fn asks_for_another_connection(error: &ServerError) -> bool {
    matches!(error.code(), "READONLY" | "NOAUTH" | "MASTERDOWN" | "MOVED")
}

/// Whether the script is not (any more) known to Redis. It did not run.
pub(super) fn is_noscript(error: &ServerError) -> bool {
    error.kind() == Some(ServerErrorKind::NoScript)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server_error(line: &str) -> ServerError {
        match redis::parse_redis_value(format!("-{line}\r\n").as_bytes()).unwrap() {
            redis::Value::ServerError(error) => error,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_refusal_is_never_called_possibly_applied_and_a_stopped_script_always_is() {
        for line in
            ["OOM command not allowed", "READONLY You can't write", "MISCONF Errors writing to the AOF file", "NOREPLICAS x"]
        {
            assert!(matches!(of_reply(&server_error(line)), StoreError::Refused(_)), "{line}");
            let inside = format!("{line} script: abc, on @user_script:9.");
            assert!(matches!(of_reply(&server_error(&inside)), StoreError::Refused(_)), "{inside}");
        }
        let before = server_error("NOPERM this user has no permissions to run the 'evalsha' command");
        assert!(matches!(of_reply(&before), StoreError::Refused(_)));
        // Redis 7.2 and later, and 7.0.
        for said in [
            "NOPERM User bob has no permissions to run the 'pexpire' command",
            "ERR The user executing the script can't run this",
        ] {
            let inside = server_error(&format!("{said} script: abc, on @user_script:9."));
            assert!(of_reply(&inside).may_have_applied(), "{said}");
        }
        assert!(matches!(of_reply(&server_error("LOADING Redis is loading the dataset")), StoreError::NotReached(_)));
        assert!(matches!(of_reply(&server_error("WRONGTYPE Operation against a key")), StoreError::Corrupt(_)));
    }

    #[test]
    fn a_redis_that_is_loading_or_full_of_clients_is_out_of_reach_and_not_wrong() {
        for line in ["LOADING Redis is loading the dataset in memory", "ERR max number of clients reached"] {
            assert!(matches!(of_setup_reply(&server_error(line)), ConnectError::Unreachable(_)), "{line}");
        }
        assert!(matches!(of_setup_reply(&server_error("ERR DB index is out of range")), ConnectError::Unusable(_)));
    }

    #[test]
    fn a_cluster_is_named_as_the_reason() {
        let error = of_reply(&server_error("MOVED 3999 127.0.0.1:6381"));
        assert!(matches!(&error, StoreError::Refused(said) if said.contains("Redis Cluster")), "{error}");
    }
}
