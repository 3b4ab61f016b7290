//! The Redis store against a real redis-server.

use std::time::{Duration, Instant};

use bytes::Bytes;
use refrain::{
    ids::{Fingerprint, Mailbox, Owner, RecordName},
    store::{
        Claim, Claimed, Complete, Grant, OnAbsent, OnUnknown, Renewal, Store, Token,
        redis::{RedisConfig, RedisStore},
        wakes::Wakes,
    },
};

use crate::support::redis::RedisServer;

mod costs;
mod model;
mod operations;
mod outages;
mod sagas;
mod setup;
mod tls;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

async fn open(server: &RedisServer) -> RedisStore {
    open_with(server, Duration::from_secs(5), Wakes::default()).await
}

async fn open_with(server: &RedisServer, timeout: Duration, wakes: Wakes) -> RedisStore {
    RedisStore::open(&RedisConfig { timeout, ..RedisConfig::new(server.url()) }, wakes).await.unwrap()
}

fn name(number: u8) -> RecordName {
    RecordName::from_bytes([number; 32])
}

/// Where a record is.
fn key_of(name: RecordName) -> String {
    let name = name.to_string();
    format!("refrain:r:{{{}}}{}", &name[..16], &name[16..])
}

fn claim_of(number: u8) -> Claim {
    Claim {
        name: name(number),
        fingerprint: Fingerprint::from_bytes([1; 32]),
        owner: Owner::random(),
        lease: HOUR,
        ttl: DAY,
        mailbox: None,
        on_unknown: OnUnknown::Hold,
        on_absent: OnAbsent::Begin,
        note: Bytes::new(),
    }
}

fn token(claim: &Claim, grant: Grant) -> Token {
    Token { name: claim.name, owner: claim.owner, fence: grant.fence }
}

async fn claim_fresh(store: &RedisStore, claim: &Claim) -> Token {
    match store.claim(claim.clone()).await.unwrap() {
        Claimed::Fresh(grant) => token(claim, grant),
        other => panic!("{other:?}"),
    }
}

fn complete_of(token: Token, response: impl Into<Bytes>) -> Complete {
    Complete { token, attempt: 1, fingerprint: Fingerprint::from_bytes([1; 32]), ttl: DAY, response: response.into() }
}

fn renewal(token: Token) -> Renewal {
    Renewal { token, lease: HOUR, sent: true }
}

fn waiting(claim: &Claim, mailbox: Mailbox) -> Claim {
    Claim { owner: Owner::random(), mailbox: Some(mailbox), ..claim.clone() }
}

/// Waits, within a bound, until `holds`.
async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let give_up = tokio::time::Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(tokio::time::Instant::now() < give_up, "not within 20 s: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// How long `work` takes.
async fn timed<T>(work: impl Future<Output = T>) -> (T, Duration) {
    let from: Instant = refrain::time::monotonic_now();
    let done = work.await;
    (done, from.elapsed())
}
