//! Sagas in Redis: every rule of the journal, and what only Redis can do wrong.

use std::sync::{
    Arc, LazyLock, Mutex, Weak,
    atomic::{AtomicUsize, Ordering},
};

use refrain::{
    ids::SagaId,
    store::journal::{Append, Appended, Create, Journal, Leased, Listing, Next, SagaHeld, SagaState},
};

use super::*;
use crate::{
    conformance::{
        self,
        sagas::{again, asked_for, create, driven, end, fresh, leased, loaded, park, run},
    },
    support::redis::RedisServer,
};

mod limits;
mod model;
mod operations;
mod outages;
mod partitions;
mod races;

/// One server for the rules that run at the same time, with a database for each; it ends with the last of them.
static SERVER: LazyLock<Mutex<Weak<Databases>>> = LazyLock::new(Mutex::default);

struct Databases {
    server: RedisServer,
    taken: AtomicUsize,
}

/// Two processes: each with its own connections, mailbox and waiters.
async fn setup() -> conformance::sagas::Setup<RedisStore> {
    let databases = {
        let mut running = SERVER.lock().unwrap();
        running.upgrade().unwrap_or_else(|| {
            let options = ["--appendonly", "no", "--databases", "1000"];
            let databases = Arc::new(Databases { server: RedisServer::start_with(&options), taken: AtomicUsize::new(0) });
            *running = Arc::downgrade(&databases);
            databases
        })
    };
    let url = format!("{}/{}", databases.server.url(), databases.taken.fetch_add(1, Ordering::Relaxed));
    let config = RedisConfig { timeout: Duration::from_secs(10), ..RedisConfig::new(url) };
    let process = || async {
        let wakes = Wakes::default();
        let store = RedisStore::open(&config, wakes.clone()).await.unwrap();
        let mut told = wakes.listen(name(0));
        tokio::spawn(store.handle().run_background());
        // All are woken once the mailbox is subscribed to: from then on no word is lost.
        tokio::time::timeout(Duration::from_secs(20), told.woken()).await.expect("the mailbox is subscribed to");
        conformance::Process { store, wakes }
    };
    let (a, b) = (process().await, process().await);
    conformance::sagas::Setup { a, b, time: conformance::sagas::Time::Real, one_partition: false, kept: Box::new(databases) }
}

crate::conformance::sagas::every_rule!(setup);

/// The key of a saga's head (`h`), journal (`e`) or commands (`c`), with 16 partitions.
fn key_of(kind: char, id: SagaId) -> String {
    format!("refrain:j:{{s{}}}:{kind}:{id}", id.as_bytes()[15] % 16)
}

/// A key of the saga's partition: `due`, `index`, `table`.
fn partition_key(kind: &str, id: SagaId) -> String {
    format!("refrain:j:{{s{}}}:{kind}", id.as_bytes()[15] % 16)
}
