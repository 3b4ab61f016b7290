//! The books of a shop in which everything fails: services refuse, delay, lose replies and die, sidecars are killed, and
//! clients ask again until they have an answer. At the end the books balance to the cent, and every key has one answer.
//!
//! `SHOP_LEDGER_SECONDS`, `SHOP_LEDGER_USERS` and `SHOP_LEDGER_SEED` say how long, with how many users and with which
//! chances; `scripts/ledger` is the long version. Where something does not fit, the data is kept and named.
#![allow(clippy::unwrap_used)]

mod crowd;
mod evidence;
mod redis;

use std::fmt::Display;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use shop::books::Books;
use shop::tour::Opened;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crowd::Crowd;
use redis::RedisServer;

/// How long sagas may take to end once nothing fails any more.
const MAX_SETTLING: Duration = Duration::from_secs(240);

/// One shop at a time: each is more than ten processes.
static TURN: Mutex<()> = Mutex::const_new(());

fn said<T: FromStr<Err: Display>>(name: &str, default: T) -> T {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|error| panic!("{name}: {text:?}: {error}")),
        Err(_) => default,
    }
}

#[tokio::test]
async fn the_books_balance_on_redis_with_two_replicas_whatever_fails() {
    let _turn = TURN.lock().await;
    let redis = RedisServer::start();
    balances("redis", &["--redis", &redis.url(), "--replicas", "2"]).await;
}

#[tokio::test]
async fn the_books_balance_on_embedded_stores_whatever_fails_and_restarts() {
    let _turn = TURN.lock().await;
    balances("embedded", &[]).await;
}

async fn balances(what: &str, arguments: &[&str]) {
    let seconds = Duration::from_secs(said("SHOP_LEDGER_SECONDS", 15));
    let users = said("SHOP_LEDGER_USERS", 16);
    let seed: u64 = said("SHOP_LEDGER_SEED", rand::random());
    let folder = tempfile::Builder::new().prefix("shop-ledger-").tempdir().unwrap();
    eprintln!("{what}: {users} users for {seconds:?}, SHOP_LEDGER_SEED={seed}, in {}", folder.path().display());
    let failure = match tokio::spawn(run(folder.path().to_owned(), arguments.join(" "), seconds, users, seed)).await {
        Ok(Ok(summary)) => {
            eprintln!("{what}: {summary}");
            return;
        }
        Ok(Err(failure)) => failure,
        Err(panic) => format!("{:?}", panic.into_panic().downcast_ref::<String>()),
    };
    panic!("{what}: {failure}\nSHOP_LEDGER_SEED={seed}; databases, logs and sagas are kept in {}", folder.keep().display());
}

/// What came of it in words, or what is wrong.
async fn run(folder: PathBuf, arguments: String, seconds: Duration, users: usize, seed: u64) -> Result<String, String> {
    let seed_text = seed.to_string();
    let calm: Vec<&str> = arguments.split_whitespace().collect();
    let chaotic = [&calm[..], &["--chaos", "--chaos-seed", &seed_text]].concat();
    let program = Path::new(env!("CARGO_BIN_EXE_shop"));
    // Always the same, so that those who ask find the shop again.
    let edge = SocketAddr::from((Ipv4Addr::LOCALHOST, redis::free_port()));
    let open = async |arguments: &[&str]| Opened::start(program, &folder, edge, arguments).await.map_err(|error| in_full(&error));
    let close = async |shop: Opened| shop.close().await.map_err(|error| error.to_string());

    let begun = Instant::now();
    let shop = open(&chaotic).await?;
    let crowd = Crowd::enter(&format!("http://{edge}"), users, seed);
    tokio::time::sleep(seconds / 2).await;
    // In the middle of everything the whole shop is closed and opened again. Nobody leaves.
    close(shop).await?;
    let shop = open(&chaotic).await?;
    tokio::time::sleep(seconds / 2).await;
    crowd.close();
    close(shop).await?;
    // From here on nothing fails any more. Those who still wait for an answer go on asking.
    let shop = open(&calm).await?;
    let state = shop.state().map_err(|error| in_full(&error))?;
    let tally = crowd.leave().await?;
    let answered = begun.elapsed();
    evidence::settled(&state, MAX_SETTLING, &folder).await?;

    let databases = state.databases().map_err(|error| in_full(&error))?;
    let books = Books::read(&databases).await.map_err(|error| in_full(&error))?;
    let report = books.audit(&tally.told);
    let mut wrong = report.lines();
    wrong.push_str(&tally.unlike_accounts(&books));
    wrong.push_str(&tally.told_otherwise_now(&state.edge.url).await?);
    if !wrong.is_empty() {
        evidence::keep(&state, &wrong, &folder).await;
        return Err(format!("the books do not balance: {}\n{wrong}", report.totals));
    }
    let kills = shop.heard("Chaos kills").map_err(|error| error.to_string())?;
    close(shop).await?;
    Ok(format!("{tally} in {answered:.0?}; {kills} processes were killed. {}", report.totals))
}

/// An error with all its causes.
fn in_full(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
