//! Partitions: how many there are is said once, and every saga is found in its own.

use refrain::store::{Reserved, StoreError, redis::OpenError};

use super::*;

fn with(server: &RedisServer, saga_partitions: u16) -> RedisConfig {
    RedisConfig { saga_partitions, ..RedisConfig::new(server.url()) }
}

async fn open_with_partitions(server: &RedisServer, partitions: u16) -> Result<RedisStore, OpenError> {
    RedisStore::open(&with(server, partitions), Wakes::default()).await
}

#[tokio::test]
async fn another_number_of_partitions_than_the_first_is_refused_with_both_and_what_to_do() {
    let server = RedisServer::start();
    let store = open_with_partitions(&server, 5).await.unwrap();
    driven(&store).await;
    for wrong in [16, 4] {
        let error = open_with_partitions(&server, wrong).await.unwrap_err();
        assert_eq!(error, OpenError::OtherPartitions { stored: 5, configured: wrong });
        let said = error.to_string();
        assert!(said.contains("5 partitions") && said.contains(&wrong.to_string()), "{said}");
        assert!(said.contains("set sagas.partitions to 5"), "{said}");
    }
    assert_eq!(open_with_partitions(&server, 5).await.unwrap().count().await, Ok([1, 0, 0, 0, 0]));
    for none in [0, refrain::store::redis::MAX_PARTITIONS + 1] {
        let error = open_with_partitions(&server, none).await.unwrap_err();
        assert_eq!(error, OpenError::NoSuchPartitions { configured: none });
    }
    let _: String = server.admin(&["SET", "refrain:partitions", "2 many"]);
    assert!(matches!(open_with_partitions(&server, 5).await, Err(OpenError::Unusable(said)) if said.contains("partitions")));
}

#[tokio::test]
async fn a_redis_that_is_found_with_other_partitions_later_serves_nothing() {
    let mut server = RedisServer::start_with(&["--appendonly", "no"]);
    let store = open_with_partitions(&server, 16).await.unwrap();
    let first = create();
    fresh(&store, &first).await;
    server.kill();
    server.restart();
    open_with_partitions(&server, 8).await.unwrap();
    let mut told = String::new();
    for _ in 0..100 {
        match store.create(first.clone()).await {
            Err(StoreError::Refused(said)) => {
                told = said;
                break;
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            Ok(created) => panic!("it would be looked for elsewhere: {created:?}"),
        }
    }
    assert!(told.contains("8 partitions") && told.contains("16 are configured"), "{told}");
    assert!(store.health().ready.is_err());
    // Not even a reservation, which is in no partition: the whole process is wrong about this Redis.
    assert_ne!(store.reserve(name(1), name(2), DAY).await, Ok(Reserved::Ours));
}

#[tokio::test]
async fn a_redis_that_lost_its_data_gets_the_number_of_partitions_back() {
    let mut server = RedisServer::start_with(&["--appendonly", "no"]);
    let store = open_with_partitions(&server, 7).await.unwrap();
    server.restart();
    for _ in 0..100 {
        if store.count().await.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(server.admin::<String>(&["GET", "refrain:partitions"]), "1 7");
}

#[tokio::test]
async fn the_keys_of_a_saga_have_one_hash_tag_and_none_is_outside() {
    let server = RedisServer::start();
    let store = open(&server).await;
    for n in 0..32 {
        let id = SagaId::from_bytes([n; 16]);
        let mut driver = fresh(&store, &Create { id, ..create() }).await;
        store.command(id, refrain::ids::Owner::random(), "go".into()).await.unwrap();
        driver.turn(&store, run()).await;
        assert_eq!(server.admin::<i64>(&["EXISTS", &key_of('h', id), &key_of('e', id), &key_of('c', id)]), 3);
    }
    let keys: Vec<String> = server.admin(&["KEYS", "*"]);
    let (of_partitions, others): (Vec<String>, Vec<String>) = keys.into_iter().partition(|key| key.starts_with("refrain:j:{s"));
    assert_eq!(others, ["refrain:partitions"]);
    assert_eq!(of_partitions.len(), 32 * 3 + 16 * 3);
}

#[tokio::test]
async fn under_a_backlog_the_seed_decides_which_partitions_come_first() {
    let server = RedisServer::start_with(&["--appendonly", "no"]);
    let store = open(&server).await;
    for n in 0..160_u8 {
        let first = Create { id: SagaId::from_bytes([n; 16]), next: park(Duration::ZERO), ..create() };
        fresh(&store, &first).await;
    }
    for seed in [0, 5, 15, u64::MAX] {
        let page = store.due(20, seed).await.unwrap();
        let mut partitions: Vec<u64> = page.ids.iter().map(|id| u64::from(id.as_bytes()[15]) % 16).collect();
        partitions.sort_unstable();
        partitions.dedup();
        let mut expected = vec![seed % 16, (seed % 16 + 1) % 16];
        expected.sort_unstable();
        assert_eq!((page.ids.len(), partitions), (20, expected));
        assert_eq!(page.next_in, Some(Duration::ZERO), "more is due");
    }
    assert_eq!(store.due(1000, 3).await.unwrap().ids.len(), 160);
}

#[tokio::test]
async fn a_page_that_leaves_something_due_behind_says_so_and_a_page_that_holds_all_does_not() {
    let server = RedisServer::start();
    let store = open_with_partitions(&server, 1).await.unwrap();
    driven(&store).await;
    for _ in 0..3 {
        fresh(&store, &Create { next: park(Duration::ZERO), ..create() }).await;
    }
    for (limit, found, next_is_now) in [(2, 2, true), (3, 3, false), (4, 3, false)] {
        let page = store.due(limit, 0).await.unwrap();
        assert_eq!((page.ids.len(), page.next_in == Some(Duration::ZERO)), (found, next_is_now), "{limit}");
        assert!(page.next_in.is_some());
    }
}

#[tokio::test]
async fn a_partition_that_cannot_be_read_does_not_stop_the_others() {
    let server = RedisServer::start();
    let store = open(&server).await;
    let ids = [1, 2].map(|n| SagaId::from_bytes([n; 16]));
    for id in ids {
        fresh(&store, &Create { id, next: park(Duration::ZERO), ..create() }).await;
    }
    let _: String = server.admin(&["SET", &partition_key("due", ids[0]), "text"]);
    assert_eq!(store.due(10, 0).await.unwrap().ids, [ids[1]]);
    let alone = RedisServer::start();
    let store = open_with_partitions(&alone, 1).await.unwrap();
    let _: String = alone.admin(&["SET", "refrain:j:{s0}:due", "text"]);
    assert!(matches!(store.due(10, 0).await, Err(StoreError::Corrupt(_))), "where no partition can be read, that is told");
}
