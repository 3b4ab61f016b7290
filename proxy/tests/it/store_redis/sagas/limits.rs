//! Retention: what is left of an ended saga, and for how long.

use refrain::store::journal::Commanded;

use super::*;

/// How long a saga is kept that a test wants to see go.
const SOON: Duration = Duration::from_millis(30);

fn ends(retention: Duration) -> Next {
    Next::End { answer: "the answer".into(), retention }
}

fn ttl(server: &RedisServer, kind: char, id: SagaId) -> i64 {
    server.admin(&["PTTL", &key_of(kind, id)])
}

#[tokio::test]
async fn an_open_saga_has_no_expiry_and_an_ended_one_expires_as_a_whole() {
    let server = RedisServer::start();
    let store = open(&server).await;
    let mut driver = driven(&store).await;
    let id = driver.token.id;
    store.command(id, refrain::ids::Owner::random(), "go".into()).await.unwrap();
    for next in [run(), run()] {
        driver.turn(&store, next).await;
        assert_eq!(['h', 'e', 'c'].map(|kind| ttl(&server, kind, id)), [-1; 3]);
    }
    driver.turn(&store, ends(DAY)).await;
    let left = ['h', 'e'].map(|kind| ttl(&server, kind, id));
    assert!(left.iter().all(|left| *left > 80_000_000 && *left <= 86_400_000), "{left:?}");
    assert_eq!(ttl(&server, 'c', id), -2, "what nobody will take up is gone");
    assert_eq!(server.admin::<Option<u64>>(&["ZSCORE", &partition_key("due", id), &id.to_string()]), None);
}

/// One partition with a saga that is kept, and then many that outlived their retention: more than one script trims.
async fn outlived(server: &RedisServer) -> (RedisStore, SagaId) {
    const RETENTION: Duration = Duration::from_millis(500);
    let config = RedisConfig { saga_partitions: 1, ..RedisConfig::new(server.url()) };
    let store = RedisStore::open(&config, Wakes::default()).await.unwrap();
    let kept = fresh(&store, &Create { state: SagaState::Completed, next: ends(DAY), ..create() }).await;
    let creates = (0..600).map(|n| {
        let state = if n % 2 == 0 { SagaState::Completed } else { SagaState::Compensated };
        store.create(Create { state, next: ends(RETENTION), ..create() })
    });
    let created = futures_util::future::join_all(creates).await;
    assert!(created.iter().all(Result::is_ok), "{created:?}");
    tokio::time::sleep(RETENTION + Duration::from_millis(2)).await;
    (store, kept.token.id)
}

#[tokio::test]
async fn what_outlived_its_retention_is_not_counted_and_its_traces_are_trimmed_by_later_sagas() {
    let server = RedisServer::start_with(&["--appendonly", "no"]);
    let (store, _) = outlived(&server).await;
    assert_eq!(store.count().await, Ok([0, 0, 1, 0, 0]));
    for _ in 0..100 {
        driven(&store).await;
    }
    let traces: (u64, u64) = (server.admin(&["ZCARD", "refrain:j:{s0}:index"]), server.admin(&["HLEN", "refrain:j:{s0}:table"]));
    assert_eq!(traces, (101 * 2 + 1, 101 * 2), "each has its rows and members, and nothing else is left");
    assert_eq!(store.count().await, Ok([100, 0, 1, 0, 0]));
}

#[tokio::test]
async fn what_outlived_its_retention_is_not_listed_and_hides_nothing() {
    let server = RedisServer::start_with(&["--appendonly", "no"]);
    let (store, kept) = outlived(&server).await;
    for name in [Some("order".to_owned()), None] {
        let listing = Listing { name, limit: 1, ..Listing::default() };
        let listed = store.list(listing).await.unwrap();
        assert_eq!(listed.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [kept]);
    }
}

#[tokio::test]
async fn an_id_that_is_used_again_is_listed_once_and_as_it_is_now() {
    let server = RedisServer::start();
    let store = open(&server).await;
    let first = create();
    for round in 0..3 {
        let mut driver = fresh(&store, &first).await;
        driver.turn(&store, ends(SOON)).await;
        until("it is gone", || server.admin::<i64>(&["EXISTS", &key_of('h', first.id)]) == 0).await;
        let mut again = fresh(&store, &first).await;
        assert!(again.token.fence > driver.token.fence, "{round}");
        assert_eq!(store.count().await, Ok([1, 0, 0, 0, 0]));
        let listing = Listing { name: Some("order".to_owned()), limit: 10, ..Listing::default() };
        let listed = store.list(listing).await.unwrap();
        assert_eq!(listed, [(first.id, loaded(&store, first.id).await.head)]);
        again.turn(&store, ends(SOON)).await;
        until("it is gone", || server.admin::<i64>(&["EXISTS", &key_of('h', first.id)]) == 0).await;
        assert_eq!(store.command(first.id, refrain::ids::Owner::random(), "x".into()).await, Ok(Commanded::Absent));
    }
}

#[tokio::test]
async fn what_outlived_its_retention_is_absent_also_before_redis_removes_it() {
    let server = RedisServer::start();
    let store = open(&server).await;
    let first = create();
    let mut driver = fresh(&store, &first).await;
    driver.turn(&store, ends(DAY)).await;
    let ahead = driver.token.fence.0 + 1_000_000_000;
    let _: i64 = server.admin(&["HSET", &key_of('h', first.id), "l", "1", "f", &ahead.to_string()]);
    assert_eq!(store.load(first.id).await, Ok(None));
    assert_eq!(asked_for(&store, first.id).await, Leased::Gone);
    let again = fresh(&store, &first).await;
    assert_eq!(again.token.fence.0, ahead + 1, "the fence grows from the old one");
    let seen = loaded(&store, first.id).await;
    assert_eq!((seen.head.answer, seen.entries), (None, first.entries));
    assert_eq!(['h', 'e'].map(|kind| ttl(&server, kind, first.id)), [-1; 2], "and it is open: it does not expire");
}
