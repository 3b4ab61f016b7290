//! A Redis that all sidecars share, instead of a file each.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisError};

use crate::running::member::Service;

/// How long Redis may take to be connected to, and to answer.
const MAX_WAIT: Duration = Duration::from_secs(3);

/// Where Redis is. `Debug` and `Display` hide what it may hold of a password.
#[derive(Clone)]
pub struct RedisUrl {
    /// Without the number of a database.
    base: String,
    /// Host and port.
    place: String,
}

/// Why a Redis cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SharedError {
    /// It does not answer as it should.
    #[error("cannot use the Redis at {place}: is it running? Start one with `redis-server`, or leave --redis out")]
    Unusable {
        /// Where.
        place: String,
        /// What it says.
        source: RedisError,
    },
    /// It holds records that were sealed with another key.
    #[error(
        "database {database} of the Redis at {place} is not empty, and what is in it belongs to another data folder: give that \
         folder with --data DIR, or another Redis, or empty the databases 0 to {} of this one", Service::ALL.len() - 1
    )]
    Occupied {
        /// Where.
        place: String,
        /// The number of the first such database.
        database: u16,
    },
}

impl RedisUrl {
    /// The database of `service`'s sidecars. Theirs alone: a saga is for those to carry on that know it.
    pub fn database(&self, service: Service) -> String {
        format!("{}/{}", self.base, service.redis_database())
    }

    /// Makes sure that it answers and, for a shop `is_new`, that there is nothing in its databases.
    ///
    /// # Errors
    /// When it is not so.
    pub async fn check(&self, is_new: bool) -> Result<(), SharedError> {
        let occupied = self.occupied().await.map_err(|source| self.unusable(source))?;
        match occupied {
            Some(database) if is_new => Err(SharedError::Occupied { place: self.place.clone(), database }),
            _ => Ok(()),
        }
    }

    /// Removes what sidecars keep in its databases, and nothing else that may be in them by now.
    ///
    /// # Errors
    /// When it does not answer as it should.
    pub async fn empty(&self) -> Result<(), SharedError> {
        let emptied = async {
            let mut connection = self.connect().await?;
            for service in Service::ALL {
                redis::cmd("SELECT").arg(service.redis_database()).exec_async(&mut connection).await?;
                remove_records(&mut connection).await?;
            }
            Ok(())
        };
        emptied.await.map_err(|source| self.unusable(source))
    }

    /// The first database that is not empty.
    async fn occupied(&self) -> Result<Option<u16>, RedisError> {
        let mut connection = self.connect().await?;
        let mut databases = Service::ALL.map(Service::redis_database);
        databases.sort_unstable();
        for database in databases {
            redis::cmd("SELECT").arg(database).exec_async(&mut connection).await?;
            if redis::cmd("DBSIZE").query_async::<u64>(&mut connection).await? > 0 {
                return Ok(Some(database));
            }
        }
        Ok(None)
    }

    async fn connect(&self) -> Result<MultiplexedConnection, RedisError> {
        let config = AsyncConnectionConfig::new().set_connection_timeout(Some(MAX_WAIT)).set_response_timeout(Some(MAX_WAIT));
        Client::open(self.base.as_str())?.get_multiplexed_async_connection_with_config(&config).await
    }

    fn unusable(&self, source: RedisError) -> SharedError {
        SharedError::Unusable { place: self.place.clone(), source }
    }
}

/// Removes every key of a Refrain from the database that is selected, a page at a time.
async fn remove_records(connection: &mut MultiplexedConnection) -> Result<(), RedisError> {
    let mut cursor = 0_u64;
    loop {
        let mut scan = redis::cmd("SCAN");
        scan.arg(cursor).arg("MATCH").arg("refrain:*").arg("COUNT").arg(1_000);
        let (next, keys) = scan.query_async::<(u64, Vec<Vec<u8>>)>(connection).await?;
        if !keys.is_empty() {
            redis::cmd("UNLINK").arg(keys).exec_async(connection).await?;
        }
        if next == 0 {
            return Ok(());
        }
        cursor = next;
    }
}

impl FromStr for RedisUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // The text is not shown: it may hold a password.
        let url = redis::parse_redis_url(text).filter(|url| url.scheme() == "redis" && url.has_host());
        let Some(mut url) = url else {
            return Err("a Redis is given as redis://HOST:PORT, without TLS".to_owned());
        };
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            return Err("leave out what follows the port: the sidecars of each service get a database of their own".to_owned());
        }
        let place = format!("{}:{}", url.host_str().unwrap_or_default(), url.port().unwrap_or(6379));
        url.set_path("");
        Ok(Self { base: url.to_string(), place })
    }
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the Redis at {}", self.place)
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisUrl").field("place", &self.place).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn each_service_has_a_database_of_its_own() {
        let url: RedisUrl = "redis://:hunter2@127.0.0.1:6379".parse().unwrap();
        let mut databases = Service::ALL.map(|service| url.database(service));
        databases.sort();
        assert_eq!(databases, [0, 1, 2, 3, 4].map(|number| format!("redis://:hunter2@127.0.0.1:6379/{number}")));
        assert!(!format!("{url:?} {url}").contains("hunter2"));
    }

    #[test]
    fn what_is_no_redis_or_names_a_database_is_refused_without_being_repeated() {
        for text in
            ["127.0.0.1:6379", "rediss://h", "unix:///tmp/s", "redis://h/3", "redis://:hunter2@h?protocol=resp3", "redis://"]
        {
            let refused = text.parse::<RedisUrl>().unwrap_err();
            assert!(!refused.contains("hunter2"), "{refused}");
        }
        assert!("redis://h/".parse::<RedisUrl>().is_ok());
    }
}
