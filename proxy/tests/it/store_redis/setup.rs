//! What is checked before Redis is used.

use refrain::store::{Completed, Reserved, StoreError, redis::OpenError};

use super::*;

#[tokio::test]
async fn a_redis_that_may_evict_is_refused_by_name_unless_it_is_allowed() {
    let server = RedisServer::start_with(&["--maxmemory-policy", "allkeys-lru", "--appendonly", "no"]);
    let error = RedisStore::open(&RedisConfig::new(server.url()), Wakes::default()).await.unwrap_err();
    assert_eq!(error, OpenError::Evicts { policy: "allkeys-lru".to_owned() });
    assert!(error.to_string().contains("set maxmemory-policy to noeviction"), "{error}");
    let config = RedisConfig { allow_eviction: true, ..RedisConfig::new(server.url()) };
    let store = RedisStore::open(&config, Wakes::default()).await.unwrap();
    claim_fresh(&store, &claim_of(1)).await;
    let health = store.health();
    assert_eq!((health.ready.clone(), health.durability.as_str()), (Ok(()), "redis, no AOF"));
    assert!(health.warnings.iter().any(|warning| warning.contains("evict")), "{:?}", health.warnings);
    assert!(health.warnings.iter().any(|warning| warning.contains("AOF is off")), "{:?}", health.warnings);
}

#[tokio::test]
async fn a_policy_that_becomes_wrong_stops_new_claims_and_nothing_else() {
    let server = RedisServer::start_with(&["--appendonly", "yes", "--appendfsync", "everysec"]);
    let store = open(&server).await;
    tokio::spawn(store.clone().run_background());
    let mine = claim_fresh(&store, &claim_of(1)).await;
    assert_eq!(store.health().durability, "redis, AOF everysec");
    assert_eq!(store.health().warnings, Vec::<String>::new());
    let () = server.admin(&["CONFIG", "SET", "maxmemory-policy", "volatile-ttl"]);
    until("the policy is noticed", || store.health().ready.is_err()).await;
    assert!(matches!(store.claim(claim_of(2)).await, Err(StoreError::Refused(said)) if said.contains("volatile-ttl")));
    assert!(matches!(store.reserve(name(2), name(1), DAY).await, Err(StoreError::Refused(_))));
    assert_eq!(store.complete(complete_of(mine, "x")).await, Ok(Completed::Kept));
    let () = server.admin(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    until("the policy is right again", || store.health().ready.is_ok()).await;
    claim_fresh(&store, &claim_of(2)).await;
    assert_eq!(store.reserve(name(2), name(1), DAY).await, Ok(Reserved::Ours));
}

#[tokio::test]
async fn a_replica_is_refused_and_its_master_named() {
    let master = RedisServer::start();
    let port = master.port().to_string();
    let replica = RedisServer::start_with(&["--replicaof", "127.0.0.1", &port]);
    let error = RedisStore::open(&RedisConfig::new(replica.url()), Wakes::default()).await.unwrap_err();
    // Before its first synchronisation it may say that it is loading: then it is not reached, which is no error.
    assert_eq!(error, OpenError::Replica { master: format!("127.0.0.1:{port}") });
}

#[tokio::test]
async fn a_master_that_becomes_a_replica_takes_no_claim_and_says_why() {
    let master = RedisServer::start();
    let server = RedisServer::start();
    let store = open(&server).await;
    let mine = claim_fresh(&store, &claim_of(1)).await;
    let () = server.admin(&["REPLICAOF", "127.0.0.1", &master.port().to_string()]);
    let error = store.complete(complete_of(mine, "x")).await.unwrap_err();
    assert!(matches!(&error, StoreError::Refused(_)), "{error}");
    let error = store.claim(claim_of(2)).await.unwrap_err();
    assert!(matches!(&error, StoreError::Refused(said) if said.contains("replica")), "{error}");
    assert!(store.health().ready.is_err());
}

#[tokio::test]
async fn a_wrong_password_is_told_without_showing_it() {
    let server = RedisServer::start_with(&["--requirepass", "s3cret"]);
    let url = |user: &str| format!("redis://{user}@127.0.0.1:{}", server.port());
    for (user, hidden) in [(":wr0ng", "wr0ng"), ("bob:wr0ng", "wr0ng"), ("", "s3cret")] {
        let config = RedisConfig::new(url(user));
        let error = RedisStore::open(&config, Wakes::default()).await.unwrap_err();
        assert!(matches!(error, OpenError::Auth(_)), "{error:?}");
        assert!(!format!("{error} {error:?} {config:?}").contains(hidden), "{error:?}");
    }
    let store = RedisStore::open(&RedisConfig::new(url(":s3cret")), Wakes::default()).await.unwrap();
    claim_fresh(&store, &claim_of(1)).await;
    assert!(!format!("{store:?} {:?}", store.health()).contains("s3cret"));
}

#[tokio::test]
async fn a_user_who_may_not_do_all_that_scripts_do_is_refused_before_a_record_is_half_written() {
    let server = RedisServer::start();
    let url = format!("redis://bob:pw@127.0.0.1:{}", server.port());
    let allow = |rules: &[&str]| {
        let _: String = server.admin(&[&["ACL", "SETUSER", "bob", "reset", "on", ">pw"], rules].concat());
    };
    for lacking in
        ["-pexpire", "-hdel", "-publish", "-info", "-evalsha", "-rpush", "-ltrim", "-zadd", "-zrevrangebylex", "-persist"]
    {
        allow(&["~refrain:*", "&refrain:*", "+@all", lacking]);
        let error = RedisStore::open(&RedisConfig::new(&*url), Wakes::default()).await.unwrap_err();
        assert!(
            matches!(&error, OpenError::NotPermitted(said) if said.to_lowercase().contains(&lacking[1..])),
            "{lacking}: {error:?}"
        );
    }
    allow(&["~other:*", "&refrain:*", "+@all"]);
    let error = RedisStore::open(&RedisConfig::new(&*url), Wakes::default()).await.unwrap_err();
    assert!(matches!(error, OpenError::NotPermitted(_)), "{error:?}");
    // What is only better to have is a warning.
    allow(&["~refrain:*", "&refrain:*", "+@all", "-client", "-config", "-subscribe"]);
    let store = RedisStore::open(&RedisConfig::new(&*url), Wakes::default()).await.unwrap();
    tokio::spawn(store.clone().run_background());
    claim_fresh(&store, &claim_of(1)).await;
    until("the refused subscription is told", || store.health().warnings.iter().any(|told| told.contains("SUBSCRIBE"))).await;
    assert!(store.health().warnings.iter().any(|told| told.contains("CLIENT KILL")), "{:?}", store.health().warnings);
    assert!(store.health().ready.is_ok());
}

#[tokio::test]
async fn all_processes_agree_on_the_key_of_record_names() {
    let server = RedisServer::start();
    let (one, other) = (open(&server).await, open(&server).await);
    let (first, second) = tokio::join!(one.hash_key(), other.hash_key());
    let key = first.unwrap();
    assert_eq!(second.unwrap(), key);
    let before = one.health().round_trips;
    assert_eq!(one.handle().hash_key().await.unwrap(), key);
    assert_eq!(one.health().round_trips, before, "it is asked for once");
    assert_eq!(open(&server).await.hash_key().await.unwrap(), key);
}

#[tokio::test]
async fn a_redis_that_lost_its_data_gets_the_key_of_record_names_back_before_any_claim() {
    let mut server = RedisServer::start_with(&["--appendonly", "no"]);
    let store = open(&server).await;
    let key = store.hash_key().await.unwrap();
    server.restart();
    until("the closed connection is noticed", || server.admin::<i64>(&["EXISTS", "refrain:hash-key"]) == 0).await;
    claim_after_loss(&store).await;
    assert_eq!(open(&server).await.hash_key().await.unwrap(), key, "a process that starts later agrees with those that ran on");
}

#[tokio::test]
async fn another_key_of_record_names_is_adopted_and_told() {
    let mut server = RedisServer::start_with(&["--appendonly", "no"]);
    let store = open(&server).await;
    let old = store.hash_key().await.unwrap();
    server.restart();
    let new = open(&server).await.hash_key().await.unwrap();
    assert_ne!(new, old);
    claim_after_loss(&store).await;
    assert_eq!(store.hash_key().await.unwrap(), new);
    assert!(store.health().warnings.iter().any(|told| told.contains("key of record names")), "{:?}", store.health().warnings);
}

#[tokio::test]
async fn a_unix_socket_and_a_database_number_are_honoured() {
    let server = RedisServer::start_with(&["--unixsocket", "redis.sock"]);
    let url = format!("unix://{}?db=3", server.dir().join("redis.sock").display());
    let store = RedisStore::open(&RedisConfig::new(url), Wakes::default()).await.unwrap();
    claim_fresh(&store, &claim_of(1)).await;
    let keyspace: String = server.admin(&["INFO", "keyspace"]);
    assert!(keyspace.contains("db3:keys=2"), "{keyspace}");
}

/// The call that meets the dead connection may fail; the next one stands on a new one.
async fn claim_after_loss(store: &RedisStore) {
    for _ in 0..50 {
        if store.claim(claim_of(9)).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("Redis is back and no claim succeeds");
}
