//! What the hot operations cost Redis, which all replicas share: how much their scripts call, and how often it reads.

use std::collections::BTreeMap;

use super::*;
use crate::conformance::sagas::{driven, end, run};
use futures_util::future::join_all;
use refrain::store::Completed;

/// What the scripts call.
fn called(server: &RedisServer) -> BTreeMap<String, u64> {
    let stats: String = server.admin(&["INFO", "commandstats"]);
    let call = |line: &str| {
        let (command, counts) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
        Some((command.to_owned(), counts.split(',').next()?.parse().ok()?))
    };
    let by_the_test = ["evalsha", "info", "client|info"];
    stats.lines().filter_map(call).filter(|(command, _)| !by_the_test.contains(&command.as_str())).collect()
}

/// What `work` makes the scripts call, as `2 hset, 1 time`.
async fn calls_of(server: &RedisServer, work: impl Future<Output = ()>) -> String {
    let before = called(server);
    work.await;
    let more = |(command, calls): (String, u64)| {
        let more = calls - before.get(&command).copied().unwrap_or(0);
        (more > 0).then(|| format!("{more} {command}"))
    };
    called(server).into_iter().filter_map(more).collect::<Vec<_>>().join(", ")
}

#[tokio::test]
async fn a_first_request_and_its_replay_call_redis_as_rarely_as_they_can() {
    let server = RedisServer::start();
    let store = open(&server).await;
    let claim = claim_of(1);
    store.inspect(name(9)).await.unwrap(); // opens the connection
    let mut mine = None;
    let calls = calls_of(&server, async { mine = Some(claim_fresh(&store, &claim).await) }).await;
    assert_eq!(calls, "1 hmget, 1 hset, 1 pexpire, 1 time");
    let complete = complete_of(mine.unwrap(), vec![b'x'; 1000]);
    let calls = calls_of(&server, async { assert_eq!(store.complete(complete).await, Ok(Completed::Kept)) }).await;
    assert_eq!(calls, "1 hdel, 1 hmget, 1 hset, 1 pexpire");
    let again = Claim { owner: Owner::random(), ..claim };
    let replay = async { assert!(matches!(store.claim(again).await, Ok(Claimed::Replay(done)) if done.response.len() == 1000)) };
    assert_eq!(calls_of(&server, replay).await, "1 hmget, 1 pttl");
}

#[tokio::test]
async fn a_saga_calls_redis_as_rarely_as_it_can() {
    let server = RedisServer::start();
    let store = open(&server).await;
    store.inspect(name(9)).await.unwrap(); // opens the connection
    let mut driver = None;
    let calls = calls_of(&server, async { driver = Some(driven(&store).await) }).await;
    assert_eq!(calls, "1 exists, 2 hget, 2 hset, 1 rpush, 1 time, 2 zadd, 1 zrangebylex");
    let mut driver = driver.unwrap();
    let calls = calls_of(&server, async { _ = driver.turn(&store, run()).await }).await;
    assert_eq!(calls, "1 hmget, 2 hset, 1 rpush, 1 time, 2 zadd, 1 zrem");
    let calls = calls_of(&server, async { _ = driver.turn(&store, end()).await }).await;
    assert_eq!(calls, "1 hdel, 1 hmget, 2 hset, 2 pexpireat, 1 rpush, 1 time, 1 zadd, 2 zrem");
}

#[tokio::test]
async fn operations_of_many_callers_share_writes() {
    let server = RedisServer::start_with(&["--appendonly", "no"]);
    let store = open(&server).await;
    store.inspect(name(99)).await.unwrap(); // opens the connection
    let reads = || {
        let stats: String = server.admin(&["INFO", "stats"]);
        let count = stats.lines().find_map(|line| line.strip_prefix("total_reads_processed:"));
        count.unwrap().parse::<u64>().unwrap()
    };
    let claims: Vec<_> = (0..64).map(claim_of).collect();
    let before = reads();
    let tokens = join_all(claims.iter().map(|claim| claim_fresh(&store, claim))).await;
    // One is the count's own.
    let between = reads();
    assert!(between - before <= 1 + 4, "64 claims came with {} reads", between - before - 1);
    let completed = join_all(tokens.into_iter().map(|token| store.complete(complete_of(token, vec![b'x'; 1000])))).await;
    assert!(completed.iter().all(|completed| *completed == Ok(Completed::Kept)));
    // Redis reads 16 KiB at a time.
    let after = reads();
    assert!(after - between <= 1 + 12, "64 completions of 1 KiB came with {} reads", after - between - 1);
}
