use std::io;
use std::sync::{Arc, Mutex};

use serde_json::json;
use shop::services::{auth, users};
use sqlx::AnyPool;
use tracing_subscriber::filter::LevelFilter;

use crate::support::database::Database;
use crate::support::service::Service;

on_each_database![no_password_hash_token_or_private_key_is_ever_logged];

/// All that any test of this process logs from here on.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Everything, from every thread: databases and hashes work on threads of their own.
fn log() -> Log {
    static LOG: std::sync::LazyLock<Log> = std::sync::LazyLock::new(|| {
        let log = Log::default();
        let writer = log.clone();
        tracing_subscriber::fmt().with_max_level(LevelFilter::TRACE).with_writer(move || writer.clone()).init();
        log
    });
    LOG.clone()
}

async fn no_password_hash_token_or_private_key_is_ever_logged(database: Database) {
    let log = log();
    let url = database.url();
    let users = Service::new(users::service, database).await;
    let password = "a password that is nowhere else";
    let user = json!({"email": "ada@example.com", "first_name": "Ada", "last_name": "Lovelace", "password": password});
    users.post("/users/", user).await.is(201);
    users.post("/authenticate/", json!({"email": "ada@example.com", "password": password})).await.is(200);
    users.post("/authenticate/", json!({"email": "ada@example.com", "password": format!("{password}!")})).await.is(401);
    let pool = AnyPool::connect(&url).await.unwrap();
    let hash: String = sqlx::query_scalar("SELECT password_hash FROM users").fetch_one(&pool).await.unwrap();
    // What is kept and cannot be read makes the service fail, and say so.
    sqlx::query("UPDATE users SET password_hash = $1").bind(format!("x{hash}")).execute(&pool).await.unwrap();
    users.post("/authenticate/", json!({"email": "ada@example.com", "password": password})).await.is(500);
    pool.close().await;

    let database = Database::sqlite();
    let url = database.url();
    let auth = Service::new(auth::service, database).await;
    let token = auth.post("/jwt/encode/", json!({"iss": "shop", "sub": "5"})).await.is(200);
    auth.post("/jwt/blacklist/", token.clone()).await.is(204);
    let pool = AnyPool::connect(&url).await.unwrap();
    let key: String = sqlx::query_scalar("SELECT private_key FROM signing_keys").fetch_one(&pool).await.unwrap();
    sqlx::query("UPDATE signing_keys SET private_key = $1").bind(&key[..key.len() / 2]).execute(&pool).await.unwrap();
    auth.post("/jwt/encode/", json!({"iss": "shop", "sub": "5"})).await.is(500);
    pool.close().await;

    let said = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(said.contains("served") && said.contains("the service failed"), "the log is overheard");
    let token = token["access_token"].as_str().unwrap();
    let key = key.lines().nth(3).unwrap();
    let hash = hash.rsplit('$').next().unwrap();
    for secret in [password, hash, token.rsplit('.').next().unwrap(), key] {
        let line = said.lines().find(|line| line.contains(secret));
        assert!(line.is_none(), "{}", line.unwrap());
    }
}
