//! A database of the test's own.

use sqlx::{AnyConnection, AssertSqlSafe, Connection};
use tempfile::TempDir;

use super::postgres;

pub(crate) enum Database {
    /// A file in a folder, removed with it.
    Sqlite(TempDir),
    /// Its name on the server that the tests of this process share.
    Postgres(String),
}

impl Database {
    pub(crate) fn sqlite() -> Self {
        Self::Sqlite(tempfile::tempdir().unwrap())
    }

    pub(crate) async fn postgres() -> Self {
        sqlx::any::install_default_drivers();
        let name = format!("test_{}", uuid::Uuid::new_v4().simple());
        let mut server = AnyConnection::connect(&postgres::url("postgres")).await.unwrap();
        sqlx::query(AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&mut server).await.unwrap();
        server.close().await.unwrap();
        Self::Postgres(name)
    }

    pub(crate) fn url(&self) -> String {
        match self {
            Self::Sqlite(folder) => format!("sqlite://{}/test.db", folder.path().display()),
            Self::Postgres(name) => postgres::url(name),
        }
    }
}
