use shop::services::database::{self, Migrations, OpenError};
use sqlx::migrate::Migrator;
use sqlx::{AnyConnection, AnyPool, Executor};

use crate::support::database::Database;

on_each_database![
    what_violates_a_constraint_is_told_apart_and_never_given_as_written,
    a_change_that_finds_nothing_gives_nothing,
    who_gets_no_turn_is_told_apart_from_a_failure,
    every_connection_is_set_up,
    a_transaction_that_is_dropped_did_nothing,
];

static NO_TABLES: Migrations = Migrations { sqlite: Migrator::DEFAULT, postgres: Migrator::DEFAULT };

/// A parent with the id 1, and no children.
async fn family(database: &Database) -> AnyPool {
    let pool = database::open(&database.url(), &NO_TABLES).await.unwrap();
    for statement in [
        "CREATE TABLE parents (id BIGINT PRIMARY KEY)",
        // Looked at when it is committed: the row is there before, on its way out.
        "CREATE TABLE children (parent BIGINT NOT NULL REFERENCES parents (id) DEFERRABLE INITIALLY DEFERRED)",
        "INSERT INTO parents VALUES (1)",
    ] {
        pool.execute(statement).await.unwrap();
    }
    pool
}

async fn what_violates_a_constraint_is_told_apart_and_never_given_as_written(database: Database) {
    let pool = family(&database).await;
    let twice = sqlx::query_as("INSERT INTO parents VALUES ($1) RETURNING id").bind(1_i64);
    let orphan = sqlx::query_as("INSERT INTO children VALUES ($1) RETURNING parent").bind(2_i64);
    let twice: Result<(i64,), _> = database::written(twice, &pool).await;
    let orphan: Result<(i64,), _> = database::written(orphan, &pool).await;
    let (twice, orphan) = (twice.unwrap_err(), orphan.unwrap_err());
    assert!(twice.as_database_error().unwrap().is_unique_violation(), "{twice}");
    assert!(orphan.as_database_error().unwrap().is_foreign_key_violation(), "{orphan}");
    assert!(!database::is_busy(&twice) && !database::is_busy(&orphan));

    let good = sqlx::query_as("INSERT INTO children VALUES ($1) RETURNING parent").bind(1_i64);
    let good: (i64,) = database::written(good, &pool).await.unwrap();
    assert_eq!(good, (1,));
    let parent_with_child = pool.execute("DELETE FROM parents").await.unwrap_err();
    assert!(parent_with_child.as_database_error().unwrap().is_foreign_key_violation(), "{parent_with_child}");
}

async fn a_change_that_finds_nothing_gives_nothing(database: Database) {
    let pool = family(&database).await;
    let change = || sqlx::query_as("UPDATE parents SET id = $1 WHERE id = $1 RETURNING id").bind(2_i64);
    let changed: Option<(i64,)> = database::written_if_any(change(), &pool).await.unwrap();
    assert_eq!(changed, None);
    let changed: Result<(i64,), _> = database::written(change(), &pool).await;
    assert!(matches!(changed, Err(sqlx::Error::RowNotFound)));
}

async fn who_gets_no_turn_is_told_apart_from_a_failure(database: Database) {
    let pool = family(&database).await;
    let mut first = pool.begin().await.unwrap();
    first.execute("UPDATE parents SET id = 3").await.unwrap();
    let mut second = pool.acquire().await.unwrap();
    let impatience = match database {
        Database::Sqlite(_) => "PRAGMA busy_timeout = 0",
        Database::Postgres(_) => "SET lock_timeout = 1",
    };
    second.execute(impatience).await.unwrap();
    let busy = second.execute("UPDATE parents SET id = 4").await.unwrap_err();
    assert!(database::is_busy(&busy), "{busy}");
    first.commit().await.unwrap();
    second.execute("UPDATE parents SET id = 4").await.unwrap();

    let wrong = second.execute("SELECT nothing").await.unwrap_err();
    assert!(!database::is_busy(&wrong), "{wrong}");
    assert!(database::is_busy(&sqlx::Error::PoolTimedOut));
}

async fn every_connection_is_set_up(database: Database) {
    let pool = database::open(&database.url(), &NO_TABLES).await.unwrap();
    let mut connections = Vec::new();
    for _ in 0..pool.options().get_max_connections() {
        connections.push(pool.acquire().await.unwrap());
    }
    for connection in &mut connections {
        match database {
            Database::Sqlite(_) => {
                // FULL is 2.
                for (setting, expected) in [("foreign_keys", 1), ("synchronous", 2), ("busy_timeout", 5000)] {
                    assert_eq!(number(connection, setting).await, expected, "{setting}");
                }
                let mode: String = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&mut **connection).await.unwrap();
                assert_eq!(mode, "wal");
            }
            Database::Postgres(_) => {
                let wait: String = sqlx::query_scalar("SHOW lock_timeout").fetch_one(&mut **connection).await.unwrap();
                assert_eq!(wait, "5s");
            }
        }
    }
}

async fn number(connection: &mut AnyConnection, setting: &str) -> i64 {
    let pragma = sqlx::AssertSqlSafe(format!("PRAGMA {setting}"));
    sqlx::query_scalar(pragma).fetch_one(connection).await.unwrap()
}

async fn a_transaction_that_is_dropped_did_nothing(database: Database) {
    let pool = family(&database).await;
    let mut transaction = pool.begin().await.unwrap();
    transaction.execute("DELETE FROM parents").await.unwrap();
    drop(transaction);
    let parents: i64 = sqlx::query_scalar("SELECT count(*) FROM parents").fetch_one(&pool).await.unwrap();
    assert_eq!(parents, 1);
}

#[tokio::test]
async fn a_file_is_created_in_a_folder_that_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let url = |file: &str| format!("sqlite://{}/{file}", folder.path().display());
    database::open(&url("a%20shop's.db"), &NO_TABLES).await.unwrap();
    assert!(folder.path().join("a shop's.db").is_file());
    let nowhere = database::open(&url("nowhere/a.db"), &NO_TABLES).await;
    assert!(matches!(nowhere, Err(OpenError::Connect(_))), "{nowhere:?}");
    let not_created = database::open(&url("another.db?mode=rw"), &NO_TABLES).await;
    assert!(matches!(not_created, Err(OpenError::Connect(_))), "{not_created:?}");
}

#[tokio::test]
async fn a_url_that_cannot_be_used_is_refused_without_its_password() {
    for (url, reason) in [
        ("mysql://shop:secret@db/shop", "not mysql:…"),
        ("shop.db", "cannot connect to the database"),
        ("sqlite::memory:", "give it a file"),
        ("sqlite://shop.db?mode=memory", "give it a file"),
        ("postgres://shop:secret@localhost/shop?host=/nowhere/at/all", "cannot connect to the database"),
    ] {
        let refused = database::open(url, &NO_TABLES).await.unwrap_err();
        let said = refused.to_string();
        assert!(said.contains(reason) && !format!("{refused:?}").contains("secret"), "{refused:?}");
    }
}
