//! What one operation costs, and what it does in a full Redis, without its script, and to a record that is none.

use refrain::{
    ids::{Fence, Mailbox, Owner, RecordName},
    store::{
        Claim, Claimed, Completed, Held, OnUnknown, ProbeVerdict, Reserved, Resolution, Resolved, Settle, Settled, Standing,
        Store, StoreError,
    },
};

use super::*;

#[tokio::test]
async fn each_operation_is_one_round_trip_and_one_script() {
    let server = RedisServer::start();
    let store = open(&server).await;
    let claim = claim_of(1);
    store.inspect(claim.name).await.unwrap(); // opens the connection
    let count = std::cell::Cell::new((store.health().round_trips, server.calls("evalsha")));
    let expect = |what: &str, scripts: u64| {
        let before = count.replace((store.health().round_trips, server.calls("evalsha")));
        assert_eq!((count.get().0 - before.0, count.get().1 - before.1), (1, scripts), "{what}");
    };
    let mine = claim_fresh(&store, &claim).await;
    expect("claim", 1);
    assert_eq!(
        store.extend(vec![renewal(mine), renewal(Token { fence: Fence(1), ..mine })]).await,
        Ok(vec![Held::Kept, Held::Lost])
    );
    expect("extend", 2);
    assert_eq!(store.complete(complete_of(mine, "x")).await, Ok(Completed::Kept));
    expect("complete", 1);
    assert!(matches!(store.claim(claim_of(1)).await, Ok(Claimed::Replay(done)) if done.response == "x"));
    expect("replay", 1);
    assert!(matches!(store.inspect(claim.name).await, Ok(Some(found)) if found.standing == Standing::Done("x".into())));
    expect("inspect", 1);
    assert_eq!(store.forget(claim.name).await, Ok(true));
    expect("forget", 1);
    let mine = claim_fresh(&store, &claim).await;
    expect("claim", 1);
    assert_eq!(store.doubt(mine).await, Ok(Held::Kept));
    expect("doubt", 1);
    let prober = Claim { owner: Owner::random(), on_unknown: OnUnknown::Probe { lease: HOUR }, ..claim.clone() };
    assert!(matches!(store.claim(prober.clone()).await, Ok(Claimed::Probe { attempt: 1, .. })));
    expect("probe", 1);
    let settle = Settle { name: claim.name, prober: prober.owner, fence: mine.fence, verdict: ProbeVerdict::Undecided };
    assert_eq!(store.settle(settle).await, Ok(Settled::Freed));
    expect("settle", 1);
    assert_eq!(store.resolve(claim.name, Resolution::NotDone).await, Ok(Resolved::Applied));
    expect("resolve", 1);
    assert_eq!(store.release(claim.name, claim.owner, None).await, Ok(Held::Kept));
    expect("release", 1);
    assert_eq!(store.reserve(name(2), claim.name, HOUR).await, Ok(Reserved::Ours));
    expect("reserve", 1);
    assert_eq!(store.reserve(name(2), name(3), HOUR).await, Ok(Reserved::Theirs));
    expect("reserve", 1);
    assert_eq!(store.unreserve(name(2), name(3)).await, Ok(()));
    expect("unreserve", 1);
    assert_eq!(store.reserve(name(2), name(3), HOUR).await, Ok(Reserved::Theirs));
    expect("reserve", 1);
    assert_eq!(store.unreserve(name(2), claim.name).await, Ok(()));
    expect("unreserve", 1);
    assert_eq!(store.reserve(name(2), name(3), HOUR).await, Ok(Reserved::Ours));
}

#[tokio::test]
async fn a_thousand_leases_are_renewed_in_one_round_trip_also_when_the_scripts_are_gone() {
    let server = RedisServer::start();
    let store = open(&server).await;
    let mut renewals = Vec::new();
    for i in 0..1000_u16 {
        let mut bytes = [0; 32];
        bytes[..2].copy_from_slice(&i.to_be_bytes());
        let claim = Claim { name: RecordName::from_bytes(bytes), ..claim_of(0) };
        renewals.push(renewal(claim_fresh(&store, &claim).await));
    }
    let before = store.health().round_trips;
    assert_eq!(store.extend(renewals.clone()).await.unwrap(), vec![Held::Kept; 1000]);
    assert_eq!(store.health().round_trips - before, 1);
    let () = server.admin(&["SCRIPT", "FLUSH"]);
    assert_eq!(store.extend(renewals).await.unwrap(), vec![Held::Kept; 1000]);
    assert_eq!(store.extend(Vec::new()).await, Ok(Vec::new()));
}

#[tokio::test]
async fn a_flushed_script_is_loaded_again_and_the_operation_runs_once() {
    let server = RedisServer::start();
    let store = open(&server).await;
    claim_fresh(&store, &claim_of(1)).await;
    let () = server.admin(&["SCRIPT", "FLUSH"]);
    let before = store.health().round_trips;
    let mine = claim_fresh(&store, &claim_of(2)).await;
    assert_eq!(store.health().round_trips - before, 2);
    let () = server.admin(&["SCRIPT", "FLUSH"]);
    assert_eq!(store.complete(complete_of(mine, "x")).await, Ok(Completed::Kept));
}

#[tokio::test]
async fn a_full_redis_begins_nothing_and_finishes_everything() {
    let server = RedisServer::start();
    let store = open(&server).await;
    let claims: Vec<_> = (1..=7).map(claim_of).collect();
    let mut mine = Vec::new();
    for claim in &claims {
        mine.push(claim_fresh(&store, claim).await);
    }
    store.complete(complete_of(mine[0], "kept")).await.unwrap();
    store.reserve(name(20), name(1), DAY).await.unwrap();
    store.doubt(mine[5]).await.unwrap();
    store.doubt(mine[6]).await.unwrap();
    let probe = Claim { owner: Owner::random(), on_unknown: OnUnknown::Probe { lease: HOUR }, ..claims[5].clone() };
    assert!(matches!(store.claim(probe.clone()).await, Ok(Claimed::Probe { .. })));

    let () = server.admin(&["CONFIG", "SET", "maxmemory", "1"]);
    let refused = |error: StoreError| assert!(matches!(&error, StoreError::Refused(said) if said.starts_with("OOM")), "{error}");
    refused(store.claim(claim_of(10)).await.unwrap_err());
    refused(store.claim(Claim { on_unknown: OnUnknown::Resend, ..claim_of(7) }).await.unwrap_err());
    refused(store.reserve(name(21), name(1), DAY).await.unwrap_err());

    assert!(matches!(store.claim(claim_of(1)).await, Ok(Claimed::Replay(done)) if done.response == "kept"));
    let waiting = waiting(&claims[1], Wakes::default().mailbox());
    assert!(matches!(store.claim(waiting).await, Ok(Claimed::InFlight { .. })));
    assert_eq!(store.reserve(name(20), name(1), DAY).await, Ok(Reserved::Ours));
    assert_eq!(store.complete(complete_of(mine[1], vec![7; 100_000])).await, Ok(Completed::Kept));
    assert_eq!(store.extend(vec![renewal(mine[2])]).await, Ok(vec![Held::Kept]));
    assert_eq!(store.doubt(mine[3]).await, Ok(Held::Kept));
    assert_eq!(store.release(mine[4].name, mine[4].owner, None).await, Ok(Held::Kept));
    let verdict = ProbeVerdict::Done { response: "found".into(), ttl: DAY };
    let settle = Settle { name: probe.name, prober: probe.owner, fence: mine[5].fence, verdict };
    assert!(matches!(store.settle(settle).await, Ok(Settled::Done(done)) if done.response == "found"));
    assert_eq!(store.resolve(mine[6].name, Resolution::NotDone).await, Ok(Resolved::Applied));
    assert_eq!(store.forget(mine[2].name).await, Ok(true));
    assert_eq!(store.unreserve(name(20), name(1)).await, Ok(()));
    assert!(store.inspect(mine[1].name).await.unwrap().is_some());
    // A process that starts now reaches it, and can at least replay.
    let late = open(&server).await;
    assert!(matches!(late.claim(claim_of(1)).await, Ok(Claimed::Replay(_))));
}

#[tokio::test]
async fn a_completion_wakes_the_waiters_of_another_process() {
    let server = RedisServer::start();
    let (owner, waiter_wakes) = (open(&server).await, Wakes::default());
    let waiter = open_with(&server, Duration::from_secs(5), waiter_wakes.clone()).await;
    let background = tokio::spawn(waiter.clone().run_background());
    until("the mailbox is subscribed to", || waiter.health().ready.is_ok() && channels(&server) == 1).await;
    let claim = claim_of(1);
    let mine = claim_fresh(&owner, &claim).await;
    let mut listener = waiter_wakes.listen(claim.name);
    let mut other = waiter_wakes.listen(name(9));
    let waiting = waiting(&claim, waiter_wakes.mailbox());
    assert!(matches!(waiter.claim(waiting.clone()).await, Ok(Claimed::InFlight { .. })));
    owner.complete(complete_of(mine, "x")).await.unwrap();
    tokio::time::timeout(Duration::from_secs(10), listener.woken()).await.expect("the waiter is woken");
    assert!(matches!(waiter.claim(waiting).await, Ok(Claimed::Replay(_))));
    let silent = tokio::time::timeout(Duration::ZERO, other.woken()).await;
    assert!(silent.is_err(), "who waits for another record is not woken");
    waiter.close().await;
    background.await.unwrap();
    assert!(matches!(waiter.inspect(claim.name).await, Err(StoreError::NotReached(_))));
    assert!(waiter.health().ready.is_err());
}

#[tokio::test]
async fn each_way_out_of_flight_wakes() {
    let server = RedisServer::start();
    let wakes = Wakes::default();
    let store = open_with(&server, Duration::from_secs(5), wakes.clone()).await;
    tokio::spawn(store.clone().run_background());
    until("the mailbox is subscribed to", || channels(&server) == 1).await;
    for way in 0..4 {
        let claim = claim_of(way);
        let mine = claim_fresh(&store, &claim).await;
        let mut listener = wakes.listen(claim.name);
        store.claim(waiting(&claim, wakes.mailbox())).await.unwrap();
        match way {
            0 => assert_eq!(store.doubt(mine).await, Ok(Held::Kept)),
            1 => assert_eq!(store.release(mine.name, mine.owner, Some(mine.fence)).await, Ok(Held::Kept)),
            2 => assert_eq!(store.forget(mine.name).await, Ok(true)),
            _ => assert_eq!(store.complete(complete_of(mine, "x")).await, Ok(Completed::Kept)),
        }
        tokio::time::timeout(Duration::from_secs(10), listener.woken())
            .await
            .unwrap_or_else(|_| panic!("way {way} does not wake"));
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_corrupt_and_can_be_forgotten() {
    let server = RedisServer::start();
    let store = open(&server).await;
    let key = |number: u8| key_of(name(number));
    let mine = claim_fresh(&store, &claim_of(1)).await;
    let _: i64 = server.admin(&["HSET", &key(1), "v", "2"]);
    let error = store.claim(claim_of(1)).await.unwrap_err();
    assert!(matches!(&error, StoreError::Corrupt(said) if said.contains("version")), "{error}");
    let held = store.extend(vec![renewal(claim_fresh(&store, &claim_of(4)).await), renewal(mine)]).await;
    assert_eq!(held, Ok(vec![Held::Kept, Held::Lost]), "one bad record does not cost the others their leases");
    let _: String = server.admin(&["SET", &key(2), "text"]);
    assert!(matches!(store.claim(claim_of(2)).await, Err(StoreError::Corrupt(_))));
    let _: i64 = server.admin(&["HSET", &key(3), "v", "1", "s", "O"]);
    assert!(matches!(store.claim(claim_of(3)).await, Err(StoreError::Corrupt(_))));
    for number in 1..=3 {
        assert!(matches!(store.inspect(name(number)).await, Err(StoreError::Corrupt(_))));
        assert_eq!(store.forget(name(number)).await, Ok(true));
        claim_fresh(&store, &claim_of(number)).await;
    }
    let _: String = server.admin(&["SET", &key_of(name(1)).replace("refrain:r:", "refrain:p:"), "2nonsense"]);
    assert!(matches!(store.reserve(name(1), name(2), DAY).await, Err(StoreError::Corrupt(_))));
}

#[tokio::test]
async fn a_lease_ends_no_later_than_its_own_length_from_now_whatever_the_clock_did() {
    let server = RedisServer::start();
    let store = open(&server).await;
    let claim = Claim { lease: Duration::from_secs(60), ..claim_of(1) };
    claim_fresh(&store, &claim).await;
    let key = key_of(claim.name);
    let lease_until: u64 = server.admin(&["HGET", &key, "l"]);
    let _: i64 = server.admin(&["HSET", &key, "l", &(lease_until + 10_000_000).to_string()]);
    match store.claim(claim_of(1)).await.unwrap() {
        Claimed::InFlight { left } => assert_eq!(left, claim.lease),
        other => panic!("{other:?}"),
    }
    let cut: u64 = server.admin(&["HGET", &key, "l"]);
    assert!((lease_until..lease_until + 60_000).contains(&cut), "{cut} against {lease_until}");
}

#[tokio::test]
async fn the_fence_grows_even_if_the_clock_stepped_back() {
    let server = RedisServer::start();
    let store = open(&server).await;
    let claim = claim_of(1);
    let mine = claim_fresh(&store, &claim).await;
    store.doubt(mine).await.unwrap();
    let ahead = mine.fence.0 + 1_000_000_000;
    let _: i64 = server.admin(&["HSET", &key_of(claim.name), "f", &ahead.to_string()]);
    match store.claim(Claim { on_unknown: OnUnknown::Resend, ..claim_of(1) }).await.unwrap() {
        Claimed::Retake(grant) => assert_eq!((grant.fence, grant.attempt), (Fence(ahead + 1), 2)),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_record_ends_with_its_retention() {
    let server = RedisServer::start();
    let store = open(&server).await;
    let claim = Claim { ttl: Duration::from_millis(30), ..claim_of(1) };
    claim_fresh(&store, &claim).await;
    let left: i64 = server.admin(&["PTTL", &key_of(claim.name)]);
    assert!(left <= 30, "{left}");
    let left: i64 = server.admin(&["PTTL", "refrain:hash-key"]);
    assert_eq!(left, -2, "nobody asked for the key yet");
    store.hash_key().await.unwrap();
    let left: i64 = server.admin(&["PTTL", "refrain:hash-key"]);
    assert_eq!(left, -1, "the key of record names is kept for ever");
    until("the record is gone", || server.admin::<i64>(&["EXISTS", &key_of(claim.name)]) == 0).await;
    assert_eq!(store.inspect(claim.name).await, Ok(None));
}

#[tokio::test]
async fn a_prober_settles_nothing_once_the_owner_is_back() {
    let server = RedisServer::start();
    let store = open(&server).await;
    let claim = claim_of(1);
    let mine = claim_fresh(&store, &claim).await;
    store.doubt(mine).await.unwrap();
    let prober = Claim { owner: Owner::random(), on_unknown: OnUnknown::Probe { lease: HOUR }, ..claim.clone() };
    assert!(matches!(store.claim(prober.clone()).await, Ok(Claimed::Probe { .. })));
    assert_eq!(store.extend(vec![renewal(mine)]).await, Ok(vec![Held::Kept]));
    let verdict = ProbeVerdict::NotDone { lease: HOUR, ttl: DAY };
    let settle = Settle { name: claim.name, prober: prober.owner, fence: mine.fence, verdict };
    assert_eq!(store.settle(settle).await, Ok(Settled::Lost));
    assert_eq!(store.complete(complete_of(mine, "x")).await, Ok(Completed::Kept));
}

#[tokio::test]
async fn sixty_four_mailboxes_get_word_and_further_ones_are_not_kept() {
    let server = RedisServer::start();
    let store = open(&server).await;
    let claim = claim_of(1);
    let mine = claim_fresh(&store, &claim).await;
    for number in 0..70 {
        let mailbox = Mailbox::from_bytes([number; 16]);
        assert!(matches!(store.claim(waiting(&claim, mailbox)).await, Ok(Claimed::InFlight { .. })));
    }
    let kept: u64 = server.admin(&["HSTRLEN", &key_of(claim.name), "w"]);
    assert_eq!(kept, 64 * 32);
    let before = server.calls("publish");
    store.complete(complete_of(mine, "x")).await.unwrap();
    assert_eq!(server.calls("publish") - before, 64);
}

fn channels(server: &RedisServer) -> usize {
    server.admin::<Vec<String>>(&["PUBSUB", "CHANNELS", "refrain:m:*"]).len()
}
