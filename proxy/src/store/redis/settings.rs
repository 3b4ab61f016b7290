//! Where Redis is, and how long it may take.

use std::{fmt, time::Duration};

use redis::{Client, ConnectionAddr, IntoConnectionInfo, ProtocolVersion, io::tcp::TcpSettings};

use super::fault::OpenError;

/// After this much silence the kernel asks whether the other side is still there.
const KEEPALIVE_TIME: Duration = Duration::from_secs(15);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);

/// How to reach Redis. `Debug` shows no URL: it may hold a password.
#[derive(Clone)]
pub struct RedisConfig {
    /// `redis://[user:password@]host[:port][/db]`, the same with `rediss://` for TLS (the system's roots of trust), or
    /// `unix:///path[?db=…&user=…&pass=…]`.
    pub url: String,
    /// How long one operation may take, a reconnect included.
    pub timeout: Duration,
    /// Whether a Redis that may evict records is accepted. An evicted record is forgotten, and its request runs again.
    pub allow_eviction: bool,
    /// Into how many partitions the sagas are divided, 1 to [`MAX_PARTITIONS`]. The first process to open a Redis decides for good.
    pub saga_partitions: u16,
}

/// The most partitions: a process asks all of them what is due, in one round trip.
pub const MAX_PARTITIONS: u16 = 1024;

impl RedisConfig {
    /// A store at `url`, with a timeout of 1 s and 16 partitions, that refuses a Redis that may evict records.
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), timeout: Duration::from_secs(1), allow_eviction: false, saga_partitions: 16 }
    }

    /// The client, and the address as it may be shown.
    pub(super) fn client(&self) -> Result<(Client, String), OpenError> {
        let bad = |reason: &dyn fmt::Display| OpenError::BadUrl(reason.to_string());
        let Some(url) = redis::parse_redis_url(&self.url) else {
            return Err(bad(&"it must begin with redis://, rediss:// or unix://"));
        };
        if let Some(fragment) = url.fragment() {
            return Err(bad(&format_args!("#{fragment} is not supported (certificates are always verified)")));
        }
        if self.timeout.is_zero() {
            return Err(bad(&"the timeout must be longer than zero"));
        }
        if !(1..=MAX_PARTITIONS).contains(&self.saga_partitions) {
            return Err(OpenError::NoSuchPartitions { configured: self.saga_partitions });
        }
        let info = url.into_connection_info().map_err(|error| bad(&error))?;
        let address = match info.addr() {
            ConnectionAddr::TcpTls { .. } => format!("{} (TLS)", info.addr()),
            address => address.to_string(),
        };
        let keepalive = redis::io::tcp::socket2::TcpKeepalive::new().with_time(KEEPALIVE_TIME).with_interval(KEEPALIVE_INTERVAL);
        let protocol = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        let info = info
            .set_redis_settings(protocol.set_lib_name("refrain", env!("CARGO_PKG_VERSION")))
            .set_tcp_settings(TcpSettings::default().set_nodelay(true).set_keepalive(keepalive));
        let client = Client::open(info).map_err(|error| bad(&error))?;
        Ok((client, address))
    }
}

impl fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisConfig")
            .field("timeout", &self.timeout)
            .field("allow_eviction", &self.allow_eviction)
            .field("saga_partitions", &self.saga_partitions)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_that_is_not_of_redis_is_refused_and_not_shown() {
        for url in
            ["http://user:s3cret@host", "s3cret", "rediss://:s3cret@host#insecure", "redis://:s3cret@host/nine", "redis://"]
        {
            let config = RedisConfig::new(url);
            let error = config.client().map(|_| ()).unwrap_err();
            assert!(matches!(error, OpenError::BadUrl(_)), "{error}");
            assert!(!format!("{error} {error:?} {config:?}").contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn the_address_shows_neither_user_nor_password() {
        let (_, address) = RedisConfig::new("rediss://bob:s3cret@example.com:6380/3").client().unwrap();
        assert_eq!(address, "example.com:6380 (TLS)");
        let (_, address) = RedisConfig::new("unix:///run/redis.sock?pass=s3cret").client().unwrap();
        assert_eq!(address, "/run/redis.sock");
    }
}
