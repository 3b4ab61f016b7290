//! What one operation costs, what Redis's clock and full memory do to it, and what becomes of what cannot be read.

use refrain::{
    ids::{Fence, Mailbox, Owner},
    store::{
        StoreError,
        journal::{Commanded, Created},
    },
};
use saga_config::saga::DefinitionHash;

use super::*;

#[tokio::test]
async fn each_method_is_one_round_trip_and_one_script_for_a_saga_or_a_partition() {
    let server = RedisServer::start();
    let store = open(&server).await;
    store.count().await.unwrap(); // opens the connection
    let count = std::cell::Cell::new((store.health().round_trips, server.calls("evalsha")));
    let expect = |what: &str, scripts: u64| {
        let before = count.replace((store.health().round_trips, server.calls("evalsha")));
        assert_eq!((count.get().0 - before.0, count.get().1 - before.1), (1, scripts), "{what}");
    };
    let first = create();
    let mut driver = fresh(&store, &first).await;
    expect("create", 1);
    assert!(matches!(store.create(again(&first)).await, Ok(Created::Running(_))));
    expect("create of what is there", 1);
    driver.turn(&store, run()).await;
    expect("append", 1);
    let other = driver.renewal(HOUR);
    store.extend_sagas(vec![other, other, other]).await.unwrap();
    expect("extend", 3);
    driver.turn(&store, park(Duration::ZERO)).await;
    expect("append", 1);
    assert_eq!(store.due(1000, 7).await.unwrap().ids, [first.id]);
    expect("due", 16);
    assert_eq!(store.command(first.id, Owner::random(), "go".into()).await, Ok(Commanded::Queued));
    expect("command", 1);
    assert_eq!(store.commands(first.id).await.unwrap(), ["go"]);
    expect("commands", 1);
    let (mut driver, _) = leased(&store, first.id).await;
    expect("lease", 1);
    assert!(store.attach(first.id, Some(Wakes::default().mailbox())).await.unwrap().is_some());
    expect("attach", 1);
    loaded(&store, first.id).await;
    expect("load", 1);
    assert_eq!(store.list(Listing { limit: 1000, ..Listing::default() }).await.unwrap().len(), 1);
    expect("list", 16);
    assert_eq!(store.count().await, Ok([1, 0, 0, 0, 0]));
    expect("count", 16);
    driver.turn(&store, end()).await;
    expect("the end", 1);
    let hash = DefinitionHash::from_bytes([1; 32]);
    store.pin(hash, "{}".into()).await.unwrap();
    expect("pin", 1);
    assert_eq!(store.definition(hash).await, Ok(Some("{}".into())));
    expect("definition", 1);
}

#[tokio::test]
async fn ten_thousand_parked_sagas_cost_a_new_one_nothing() {
    let server = RedisServer::start_with(&["--appendonly", "no"]);
    let store = open(&server).await;
    for _ in 0..20 {
        let parks = (0..500).map(|_| Create { next: park(HOUR), ..create() });
        let created = futures_util::future::join_all(parks.map(|park| store.create(park))).await;
        assert!(created.iter().all(|created| matches!(created, Ok(Created::Fresh(_)))), "{created:?}");
    }
    assert_eq!(store.count().await, Ok([10_000, 0, 0, 0, 0]));
    let before = (store.health().round_trips, server.calls("evalsha"));
    let mut driver = driven(&store).await;
    driver.turn(&store, run()).await;
    driver.turn(&store, end()).await;
    assert_eq!((store.health().round_trips - before.0, server.calls("evalsha") - before.1), (3, 3));
    let due = store.due(1000, 0).await.unwrap();
    assert_eq!(due.ids, [], "they are not even looked at");
    assert!(due.next_in.is_some_and(|next| next > HOUR / 2));
    assert_eq!(store.health().round_trips - before.0, 4);
}

#[tokio::test]
async fn flushed_scripts_are_loaded_again_and_each_operation_runs_once() {
    let server = RedisServer::start();
    let store = open(&server).await;
    let mut driver = driven(&store).await;
    let () = server.admin(&["SCRIPT", "FLUSH"]);
    let granted = driver.turn(&store, run()).await;
    assert_eq!(granted.version, 2);
    let () = server.admin(&["SCRIPT", "FLUSH"]);
    assert_eq!(store.count().await, Ok([1, 0, 0, 0, 0]), "also where many run in one round trip");
    assert_eq!(loaded(&store, driver.token.id).await.entries.len(), 2);
}

#[tokio::test]
async fn entries_answers_and_commands_of_any_bytes_come_back_as_they_were() {
    let server = RedisServer::start();
    let store = open(&server).await;
    let every_byte: Bytes = (0..=255).cycle().take(100_000).collect::<Vec<u8>>().into();
    let odd = [Bytes::new(), "\0".into(), "\r\n$-1\r\n".into(), every_byte.clone()];
    let first = Create { entries: odd.to_vec(), ..create() };
    let mut driver = fresh(&store, &first).await;
    driver.keep(&store, Append { entries: odd.to_vec(), ..driver.append(&[], run()) }).await;
    for command in &odd {
        store.command(first.id, Owner::random(), command.clone()).await.unwrap();
    }
    let seen = loaded(&store, first.id).await;
    assert_eq!(seen.entries, [odd.clone(), odd.clone()].concat());
    assert_eq!(seen.commands, odd);
    driver.turn(&store, Next::End { answer: every_byte.clone(), retention: DAY }).await;
    assert_eq!(loaded(&store, first.id).await.head.answer.unwrap().bytes, every_byte);
    let hash = DefinitionHash::from_bytes([9; 32]);
    store.pin(hash, every_byte.clone()).await.unwrap();
    assert_eq!(store.definition(hash).await, Ok(Some(every_byte)));
}

#[tokio::test]
async fn a_full_redis_starts_no_saga_and_carries_every_other_to_its_end() {
    let server = RedisServer::start();
    let store = open(&server).await;
    let mut drivers = Vec::new();
    for _ in 0..4 {
        drivers.push(driven(&store).await);
    }
    let first = create();
    let mut ended = fresh(&store, &first).await;
    ended.turn(&store, end()).await;
    drivers[1].turn(&store, park(Duration::ZERO)).await;

    let () = server.admin(&["CONFIG", "SET", "maxmemory", "1"]);
    let refused = |error: StoreError| assert!(matches!(&error, StoreError::Refused(said) if said.starts_with("OOM")), "{error}");
    let late = create();
    refused(store.create(late.clone()).await.unwrap_err());
    assert_eq!(store.load(late.id).await, Ok(None), "and nothing of it was written");
    assert_eq!(server.admin::<i64>(&["EXISTS", &key_of('e', late.id)]), 0);
    refused(store.pin(DefinitionHash::from_bytes([1; 32]), "{}".into()).await.unwrap_err());

    assert!(matches!(store.create(again(&first)).await, Ok(Created::Ended(_))));
    let running = Create { id: drivers[0].token.id, mailbox: Some(Wakes::default().mailbox()), ..create() };
    assert!(matches!(store.create(running).await, Ok(Created::Running(_))));
    let entries = vec![Bytes::from(vec![7; 1_000_000])];
    let id = drivers[0].token.id;
    let append = Append { entries, ..drivers[0].append(&[], run()) };
    drivers[0].keep(&store, append).await;
    assert_eq!(store.extend_sagas(vec![drivers[0].renewal(HOUR)]).await.unwrap(), [SagaHeld::Kept { commands: false }]);
    assert_eq!(store.command(id, Owner::random(), "cancel".into()).await, Ok(Commanded::Queued));
    let (mut taken, _) = leased(&store, drivers[1].token.id).await;
    taken.turn(&store, end()).await;
    assert!(store.attach(id, Some(Wakes::default().mailbox())).await.unwrap().is_some());
    drivers[0].turn(&store, end()).await;
    let rest = Next::Rest { answer: Some("stuck".into()) };
    let quarantine = Append { state: SagaState::Quarantined, ..drivers[2].append(&["stuck"], rest) };
    drivers[2].keep(&store, quarantine).await;
    assert_eq!(store.count().await, Ok([1, 0, 3, 0, 1]));
    // A process that starts now reaches it.
    assert_eq!(open(&server).await.count().await, Ok([1, 0, 3, 0, 1]));
}

#[tokio::test]
async fn a_lease_ends_no_later_than_its_own_length_from_now_whatever_the_clock_did() {
    let server = RedisServer::start();
    let store = open(&server).await;
    let lease = Duration::from_secs(60);
    let driver = fresh(&store, &Create { next: Next::Run { lease }, ..create() }).await;
    let id = driver.token.id;
    let until: u64 = server.admin(&["HGET", &key_of('h', id), "l"]);
    let _: i64 = server.admin(&["HSET", &key_of('h', id), "l", &(until + 10_000_000).to_string()]);
    assert_eq!(asked_for(&store, id).await, Leased::NotDue(Some(lease)));
    let cut: u64 = server.admin(&["HGET", &key_of('h', id), "l"]);
    assert!((until..until + 60_000).contains(&cut), "{cut} against {until}");
    let due: u64 = server.admin(&["ZSCORE", &partition_key("due", id), &id.to_string()]);
    assert_eq!(due, cut);
}

#[tokio::test]
async fn the_fence_grows_even_if_the_clock_stepped_back_and_one_that_cannot_grow_is_told() {
    let server = RedisServer::start();
    let store = open(&server).await;
    let driver = fresh(&store, &Create { next: park(Duration::ZERO), ..create() }).await;
    let id = driver.token.id;
    let ahead = driver.token.fence.0 + 1_000_000_000;
    let _: i64 = server.admin(&["HSET", &key_of('h', id), "f", &ahead.to_string()]);
    let (mut driver, _) = leased(&store, id).await;
    assert_eq!(driver.token.fence, Fence(ahead + 1));
    driver.turn(&store, park(Duration::ZERO)).await;
    let _: i64 = server.admin(&["HSET", &key_of('h', id), "f", "9007199254740991"]);
    assert!(matches!(store.lease(id, Owner::random(), HOUR).await, Err(StoreError::Corrupt(said)) if said.contains("fence")));
}

#[tokio::test]
async fn a_saga_that_cannot_be_read_is_told_and_does_not_stand_before_the_others() {
    let server = RedisServer::start();
    let store = open(&server).await;
    let spoil: [&dyn Fn(SagaId); 5] = [
        &|id| _ = server.admin::<i64>(&["HSET", &key_of('h', id), "v", "2"]),
        &|id| _ = server.admin::<i64>(&["HDEL", &key_of('h', id), "o"]),
        &|id| {
            let _: i64 = server.admin(&["DEL", &key_of('h', id)]);
            _ = server.admin::<String>(&["SET", &key_of('h', id), "text"]);
        },
        &|id| _ = server.admin::<i64>(&["RPUSH", &key_of('e', id), "more"]),
        &|id| _ = server.admin::<i64>(&["DEL", &key_of('e', id)]),
    ];
    let good = fresh(&store, &Create { next: park(Duration::ZERO), ..create() }).await;
    for (n, spoil) in spoil.iter().enumerate() {
        let first = Create { next: park(Duration::ZERO), ..create() };
        let driver = fresh(&store, &first).await;
        let held = fresh(&store, &create()).await;
        spoil(first.id);
        spoil(held.token.id);
        let is_corrupt = |what: &str, error: Option<StoreError>| {
            assert!(matches!(error, Some(StoreError::Corrupt(_))), "{n}: {what}: {error:?}");
        };
        is_corrupt("load", store.load(first.id).await.err());
        is_corrupt("append", store.append(held.append(&["x"], run())).await.err());
        assert!(store.due(1000, 0).await.unwrap().ids.contains(&first.id));
        is_corrupt("lease", store.lease(first.id, Owner::random(), HOUR).await.err());
        assert_eq!(store.due(1000, 0).await.unwrap().ids, [good.token.id], "{n}: it is put off");
        let next = store.due(1000, 0).await.unwrap().next_in.unwrap();
        assert!(next <= Duration::from_secs(60), "{n}: and not for ever");
        if n < 3 {
            is_corrupt("attach", store.attach(first.id, None).await.err());
            is_corrupt("create", store.create(again(&first)).await.err());
            is_corrupt("command", store.command(first.id, Owner::random(), "x".into()).await.err());
            let kept =
                store.extend_sagas(vec![driver.renewal(HOUR), held.renewal(HOUR), driven(&store).await.renewal(HOUR)]).await;
            assert_eq!(kept.unwrap(), [SagaHeld::Lost, SagaHeld::Lost, SagaHeld::Kept { commands: false }], "{n}");
        }
        let _: i64 = server.admin(&["ZREM", &partition_key("due", first.id), &first.id.to_string()]);
    }
}

#[tokio::test]
async fn a_saga_whose_head_is_gone_leaves_every_index() {
    let server = RedisServer::start();
    let store = open(&server).await;
    let first = Create { next: park(Duration::ZERO), ..create() };
    fresh(&store, &first).await;
    let _: i64 = server.admin(&["DEL", &key_of('h', first.id)]);
    assert_eq!(store.due(10, 0).await.unwrap().ids, [first.id]);
    assert_eq!(asked_for(&store, first.id).await, Leased::Gone);
    let due = store.due(10, 0).await.unwrap();
    assert_eq!((due.ids, due.next_in), (Vec::new(), None));
    assert_eq!(store.count().await, Ok([0; 5]));
    // And one that is created anew has nothing of the old one.
    let other = create();
    fresh(&store, &other).await.turn(&store, run()).await;
    store.command(other.id, Owner::random(), "old".into()).await.unwrap();
    let _: i64 = server.admin(&["DEL", &key_of('h', other.id)]);
    fresh(&store, &other).await;
    let seen = loaded(&store, other.id).await;
    assert_eq!((seen.entries, seen.commands), (other.entries, Vec::<Bytes>::new()));
    assert_eq!(store.count().await, Ok([1, 0, 0, 0, 0]));
}

#[tokio::test]
async fn sixty_four_mailboxes_get_word_and_further_ones_are_not_kept() {
    let server = RedisServer::start();
    let store = open(&server).await;
    let mut driver = driven(&store).await;
    let id = driver.token.id;
    for number in (0..70).chain(0..70) {
        store.attach(id, Some(Mailbox::from_bytes([number; 16]))).await.unwrap();
    }
    let kept: u64 = server.admin(&["HSTRLEN", &key_of('h', id), "w"]);
    assert_eq!(kept, 64 * 32);
    let before = server.calls("publish");
    driver.turn(&store, Next::End { answer: "soon gone".into(), retention: Duration::ZERO }).await;
    assert_eq!(server.calls("publish") - before, 64);
    until("it is gone", || server.admin::<i64>(&["EXISTS", &key_of('h', id)]) == 0).await;
}
