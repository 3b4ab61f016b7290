//! The database of a service: a file of SQLite's, or a PostgreSQL server's. The URL says which.
//!
//! The same SQL runs on both. What is right on both:
//!
//! - Placeholders are `$1`, `$2`, …; columns hold whole numbers and text, and everything else as text.
//! - A condition on a change stands in the change (`UPDATE … WHERE balance + $2 >= 0`), never in a query before it: the
//!   database decides both at once, however many requests there are.
//! - A transaction begins with the statement that writes. That takes the lock (SQLite's only one, PostgreSQL's of the row)
//!   under which the rest of the transaction reads.
//! - A change that gives a row (`RETURNING`) goes through [`written`] or [`written_if_any`].
//! - `sqlx::Error::Database` tells a unique from a foreign key violation, and [`is_busy`] what did nothing for want of room.

use std::time::Duration;

use sqlx::any::{Any, AnyArguments, AnyConnectOptions, AnyPoolOptions, AnyRow};
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::query::QueryAs;
use sqlx::{AnyConnection, AnyPool, Executor, FromRow};

/// How long a request waits for a connection, and then for the writers before it.
const MAX_WAIT: Duration = Duration::from_secs(5);

/// A service's schema, once for each kind of database.
pub struct Migrations {
    /// The steps on SQLite.
    pub sqlite: Migrator,
    /// The steps on PostgreSQL.
    pub postgres: Migrator,
}

/// Why a database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The URL names no database that a service can use.
    #[error("a database is sqlite:///PATH or postgres://USER:PASSWORD@HOST/NAME, not {scheme}:…")]
    Scheme {
        /// What the URL begins with.
        scheme: String,
    },
    /// The URL asks SQLite to keep everything in memory, where each connection would have a database of its own.
    #[error("a database in memory is not kept: give it a file, sqlite:///PATH")]
    InMemory,
    /// The URL cannot be read, or there is no database where it points to.
    #[error("cannot connect to the database")]
    Connect(#[source] sqlx::Error),
    /// The schema cannot be brought up to date.
    #[error("cannot bring the database's schema up to date")]
    Migrate(#[source] MigrateError),
    /// What the service needs beside its schema cannot be made.
    #[error("cannot prepare the service")]
    Prepare(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// The kinds of database, as the URL tells them apart.
#[derive(Clone, Copy)]
enum Kind {
    Sqlite,
    Postgres,
}

impl Kind {
    fn of(scheme: &str) -> Result<Self, OpenError> {
        match scheme {
            "sqlite" => Ok(Self::Sqlite),
            "postgres" | "postgresql" => Ok(Self::Postgres),
            _ => Err(OpenError::Scheme { scheme: scheme.to_owned() }),
        }
    }

    /// Connections per service. SQLite has one writer at a time, so more would only help readers; a PostgreSQL server
    /// admits a hundred unless told otherwise, and all the shop's services, twice over, fit in there.
    const fn max_connections(self) -> u32 {
        match self {
            Self::Sqlite => 4,
            Self::Postgres => 8,
        }
    }

    /// What each new connection is told first. In SQLite's WAL mode only FULL keeps a commit over a loss of power.
    const fn settings(self) -> &'static str {
        match self {
            Self::Sqlite => {
                "PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON"
            }
            Self::Postgres => "SET lock_timeout = '5s'",
        }
    }
}

/// Opens the database at `url` and brings its schema up to date. A file that is not there is created, in a folder that is.
///
/// # Errors
/// When the URL makes no sense, nothing can be reached there within five seconds, or a migration fails; nothing of that
/// migration is kept.
pub async fn open(url: &str, migrations: &Migrations) -> Result<AnyPool, OpenError> {
    sqlx::any::install_default_drivers();
    let mut options: AnyConnectOptions = url.parse().map_err(OpenError::Connect)?;
    let kind = Kind::of(options.database_url.scheme())?;
    let migrator = match kind {
        Kind::Sqlite => {
            create_if_absent(&mut options)?;
            &migrations.sqlite
        }
        Kind::Postgres => &migrations.postgres,
    };
    let pool = AnyPoolOptions::new()
        .max_connections(kind.max_connections())
        .acquire_timeout(MAX_WAIT)
        .after_connect(move |connection: &mut AnyConnection, _| {
            Box::pin(async move { connection.execute(kind.settings()).await.map(|_| ()) })
        })
        .connect_with(options)
        .await
        .map_err(OpenError::Connect)?;
    migrator.run(&pool).await.map_err(OpenError::Migrate)?;
    Ok(pool)
}

/// Makes SQLite create the file, unless the URL says itself how to open it.
fn create_if_absent(options: &mut AnyConnectOptions) -> Result<(), OpenError> {
    let url = &mut options.database_url;
    let mode = url.query_pairs().find(|(name, _)| name == "mode").map(|(_, mode)| mode.into_owned());
    if mode.as_deref() == Some("memory") || url.as_str().contains(":memory:") {
        return Err(OpenError::InMemory);
    }
    if mode.is_none() {
        url.query_pairs_mut().append_pair("mode", "rwc");
    }
    Ok(())
}

/// Runs a change that gives one row, to its end: only then is the row there to stay. (sqlx's own `fetch_one` takes the row
/// and looks no further, not even whether it could be committed.)
///
/// # Errors
/// When the change was not made, or gave no row ([`sqlx::Error::RowNotFound`]).
pub async fn written<'q, T>(
    change: QueryAs<'q, Any, T, AnyArguments>,
    database: impl Executor<'q, Database = Any>,
) -> Result<T, sqlx::Error>
where
    T: for<'r> FromRow<'r, AnyRow> + Send + Unpin + 'q,
{
    written_if_any(change, database).await?.ok_or(sqlx::Error::RowNotFound)
}

/// As [`written`], for a change that may find nothing to change.
///
/// # Errors
/// When the change was not made.
pub async fn written_if_any<'q, T>(
    change: QueryAs<'q, Any, T, AnyArguments>,
    database: impl Executor<'q, Database = Any>,
) -> Result<Option<T>, sqlx::Error>
where
    T: for<'r> FromRow<'r, AnyRow> + Send + Unpin + 'q,
{
    Ok(change.fetch_all(database).await?.pop())
}

/// Whether the request waited in vain for its turn, or was picked to give way, and so did nothing.
pub fn is_busy(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::PoolTimedOut => true,
        sqlx::Error::Database(error) => matches!(
            error.code().as_deref(),
            // SQLITE_BUSY, SQLITE_BUSY_RECOVERY, SQLITE_BUSY_SNAPSHOT
            Some(
                "5" | "261" | "517"
            // serialization_failure, deadlock_detected, too_many_connections, lock_not_available, cannot_connect_now
            | "40001" | "40P01" | "53300" | "55P03" | "57P03"
            )
        ),
        _ => false,
    }
}
