//! Redis is slow, stopped, killed, or not there yet.

use refrain::store::{Completed, Held, Standing, StoreError};

use super::*;
use crate::support::pipe::Pipe;

const TIMEOUT: Duration = Duration::from_millis(800);

/// How much later than its timeout a call may return on a busy machine.
const SLACK: Duration = Duration::from_secs(2);

#[tokio::test]
async fn a_redis_that_is_not_there_yet_does_not_stop_the_start() {
    let mut server = RedisServer::not_started(&[]);
    let store = open_with(&server, TIMEOUT, Wakes::default()).await;
    assert!(store.health().ready.is_err());
    let (answer, took) = timed(store.claim(claim_of(1))).await;
    assert!(matches!(answer, Err(StoreError::NotReached(_))), "{answer:?}");
    assert!(took < TIMEOUT + SLACK, "{took:?}");
    tokio::spawn(store.clone().run_background());
    server.restart();
    until("the store is ready", || store.health().ready.is_ok()).await;
    claim_fresh(&store, &claim_of(1)).await;
    assert!(store.health().recovered_at.is_some(), "others may have lost their leases meanwhile");
}

#[tokio::test]
async fn a_stopped_redis_costs_one_timeout_and_the_answer_is_called_lost() {
    let server = RedisServer::start();
    let store = open_with(&server, TIMEOUT, Wakes::default()).await;
    let mine = claim_fresh(&store, &claim_of(1)).await;
    server.freeze();
    let (answer, took) = timed(store.complete(complete_of(mine, "x"))).await;
    assert!(matches!(&answer, Err(error @ StoreError::AnswerLost(_)) if error.may_have_applied()), "{answer:?}");
    assert!((TIMEOUT..TIMEOUT + SLACK).contains(&took), "{took:?}");
    assert!(store.health().ready.is_err());
    let (answer, took) = timed(store.claim(claim_of(2))).await;
    assert!(matches!(answer, Err(StoreError::NotReached(_))), "nothing was sent: {answer:?}");
    assert!(took < TIMEOUT + SLACK, "{took:?}");
    // While it is down, most calls do not even try.
    let mut at_once = 0;
    for _ in 0..12 {
        let (answer, took) = timed(store.claim(claim_of(2))).await;
        assert!(matches!(answer, Err(StoreError::NotReached(_))), "{answer:?}");
        at_once += u32::from(took < TIMEOUT / 3);
    }
    assert!(at_once >= 3, "{at_once}");
    // Many at once: one tries to connect, none waits longer than its own timeout.
    let many = futures_util::future::join_all((0..50).map(|_| timed(store.claim(claim_of(3))))).await;
    assert!(many.iter().all(|(answer, took)| matches!(answer, Err(StoreError::NotReached(_))) && *took < TIMEOUT + SLACK));
    server.thaw();
    tokio::spawn(store.clone().run_background());
    until("the store is ready", || store.health().ready.is_ok()).await;
    let again = store.complete(complete_of(mine, "x")).await.unwrap();
    assert!(matches!(again, Completed::Kept | Completed::Already), "{again:?}");
}

#[tokio::test]
async fn a_killed_redis_is_found_again_and_the_loss_is_remembered() {
    let mut server = RedisServer::start();
    let wakes = Wakes::default();
    let store = open_with(&server, TIMEOUT, wakes.clone()).await;
    let core = store.handle();
    tokio::spawn(store.clone().run_background());
    let mine = claim_fresh(&core, &claim_of(1)).await;
    until("the background has reached it", || store.health().ready.is_ok()).await;
    assert_eq!((store.health().recovered_at, store.health().writes_may_be_lost_since), (None, None));
    let mut listener = wakes.listen(name(1));
    server.kill();
    until("the outage is noticed", || store.health().ready.is_err()).await;
    let (answer, took) = timed(core.claim(claim_of(2))).await;
    assert!(answer.is_err() && took < TIMEOUT + SLACK, "{answer:?} {took:?}");
    server.restart();
    until("the store is ready again", || store.health().ready.is_ok()).await;
    let health = store.health();
    assert!(health.recovered_at.is_some());
    let since = health.writes_may_be_lost_since.expect("another run may have lost writes");
    assert!(since < refrain::time::wall_now());
    assert!(health.warnings.iter().any(|told| told.contains("restarted or replaced 1 times")), "{:?}", health.warnings);
    tokio::time::timeout(Duration::from_secs(10), listener.woken()).await.expect("a lost subscription wakes everybody");
    // The core's connection was idle: that it died is known before it is used.
    assert_eq!(core.extend(vec![renewal(mine)]).await, Ok(vec![Held::Kept]), "the AOF kept the claim");
}

#[tokio::test]
async fn without_a_background_a_handle_recovers_by_itself() {
    let mut server = RedisServer::start();
    let store = open_with(&server, TIMEOUT, Wakes::default()).await;
    let mine = claim_fresh(&store, &claim_of(1)).await;
    server.kill();
    let mut refused = 0;
    for _ in 0..20 {
        let (answer, took) = timed(store.extend(vec![renewal(mine)])).await;
        assert!(took < TIMEOUT + SLACK);
        refused += u32::from(answer.is_err());
    }
    assert_eq!(refused, 20);
    server.restart();
    let give_up = tokio::time::Instant::now() + Duration::from_secs(10);
    while store.extend(vec![renewal(mine)]).await != Ok(vec![Held::Kept]) {
        assert!(tokio::time::Instant::now() < give_up);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(store.health().ready.is_ok() && store.health().recovered_at.is_some());
}

#[tokio::test]
async fn a_claim_that_got_stuck_on_the_way_is_not_applied_after_its_release() {
    let server = RedisServer::start();
    let pipe = Pipe::to(server.port()).await;
    let config = RedisConfig { timeout: TIMEOUT, ..RedisConfig::new(pipe.url()) };
    let store = RedisStore::open(&config, Wakes::default()).await.unwrap();
    claim_fresh(&store, &claim_of(1)).await;
    pipe.hold_all();
    let claim = claim_of(2);
    assert!(matches!(store.claim(claim.clone()).await, Err(StoreError::AnswerLost(_))));
    assert_eq!(store.release(claim.name, claim.owner, None).await, Ok(Held::Lost), "over a connection of its own");
    let ran = server.calls("evalsha");
    pipe.let_go();
    // The held bytes flow before these: the relay serves one runtime, in order, and Redis ends the old connection when it reads it.
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(5)).await;
        assert_eq!(store.inspect(claim.name).await, Ok(None));
    }
    assert_eq!(server.calls("evalsha") - ran, 20, "the stuck claim never ran");
}

#[tokio::test]
async fn an_answer_that_comes_in_time_on_a_given_up_connection_is_not_lost() {
    let server = RedisServer::start();
    let store = open_with(&server, TIMEOUT, Wakes::default()).await;
    let mine = claim_fresh(&store, &claim_of(1)).await;
    server.freeze();
    let early = tokio::spawn({
        let store = store.clone();
        async move { store.complete(complete_of(mine, "x")).await }
    });
    tokio::time::sleep(TIMEOUT * 2 / 3).await;
    let late = tokio::spawn({
        let store = store.clone();
        async move { store.inspect(mine.name).await }
    });
    assert!(matches!(early.await.unwrap(), Err(StoreError::AnswerLost(_))));
    server.thaw();
    let found = late.await.unwrap().unwrap().unwrap();
    assert_eq!(found.standing, Standing::Done("x".into()), "sent on the same connection, in order");
}
