//! SQLite: one file per service.

use std::path::Path;
use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Sqlite, SqlitePool, Transaction};

/// Connections per service. SQLite has one writer at a time, so more would only help readers.
const MAX_CONNECTIONS: u32 = 4;

/// How long a request waits for a connection, and then for the writer before it.
const MAX_WAIT: Duration = Duration::from_secs(5);

/// Opens the database at `file`, creating it if there is none, and brings its schema up to date.
///
/// # Errors
/// When the file cannot be opened or a migration fails; nothing of that migration is kept.
pub async fn open(file: &Path, migrations: &Migrator) -> Result<SqlitePool, sqlx::Error> {
    let options = SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        // In WAL mode only FULL keeps a commit over a loss of power.
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(MAX_WAIT);
    let pool = SqlitePoolOptions::new().max_connections(MAX_CONNECTIONS).acquire_timeout(MAX_WAIT).connect_with(options).await?;
    migrations.run(&pool).await?;
    Ok(pool)
}

/// Begins a transaction that will write. It is the only writer from its first statement on, so that what it reads
/// stays true until it commits; dropped without a commit, it did nothing.
///
/// # Errors
/// When there is no connection or no turn to write within five seconds; see [`is_busy`].
pub async fn begin_write(pool: &SqlitePool) -> Result<Transaction<'static, Sqlite>, sqlx::Error> {
    pool.begin_with("BEGIN IMMEDIATE").await
}

/// Whether the request waited in vain for its turn, and so did nothing.
pub fn is_busy(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::PoolTimedOut => true,
        // SQLITE_BUSY
        sqlx::Error::Database(error) => error.code().as_deref() == Some("5"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use sqlx::Connection;
    use sqlx::SqliteConnection;

    use super::*;

    #[tokio::test]
    async fn a_writer_that_gets_no_turn_is_told_apart_from_a_failure() {
        let folder = tempfile::tempdir().unwrap();
        let options = SqliteConnectOptions::new()
            .filename(folder.path().join("test.db"))
            .create_if_missing(true)
            .busy_timeout(Duration::ZERO);
        let mut first = SqliteConnection::connect_with(&options).await.unwrap();
        let mut second = SqliteConnection::connect_with(&options).await.unwrap();
        sqlx::query("BEGIN IMMEDIATE").execute(&mut first).await.unwrap();
        let busy = sqlx::query("BEGIN IMMEDIATE").execute(&mut second).await.unwrap_err();
        assert!(is_busy(&busy), "{busy}");
        let wrong = sqlx::query("SELECT nothing").execute(&mut second).await.unwrap_err();
        assert!(!is_busy(&wrong), "{wrong}");
        assert!(is_busy(&sqlx::Error::PoolTimedOut));
    }
}
