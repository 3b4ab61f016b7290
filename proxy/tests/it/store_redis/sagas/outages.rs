//! Redis is killed, and comes back with what it acknowledged.

use refrain::{ids::Owner, store::StoreError};

use super::*;

async fn is_back(store: &RedisStore) {
    for _ in 0..200 {
        if store.count().await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("Redis is back and no call succeeds");
}

#[tokio::test]
async fn after_a_kill_every_acknowledged_entry_is_there_and_every_saga_is_in_its_indexes() {
    let mut server = RedisServer::start();
    let store = open(&server).await;
    let first = create();
    let mut running = fresh(&store, &first).await;
    let mut parked = driven(&store).await;
    let mut resting = driven(&store).await;
    let mut ended = driven(&store).await;
    running.turn(&store, run()).await;
    parked.turn(&store, park(Duration::ZERO)).await;
    store.command(parked.token.id, Owner::random(), "go".into()).await.unwrap();
    let rest = Next::Rest { answer: Some("stuck".into()) };
    let quarantine = Append { state: SagaState::Quarantined, ..resting.append(&["stuck"], rest) };
    resting.keep(&store, quarantine).await;
    ended.turn(&store, end()).await;
    let ids = [&running, &parked, &resting, &ended].map(|driver| driver.token.id);
    let mut before = Vec::new();
    for id in ids {
        before.push(loaded(&store, id).await);
    }
    let all = Listing { limit: 100, ..Listing::default() };
    let listed = store.list(all.clone()).await.unwrap();

    let last = running.append(&["the answer is lost"], run());
    server.freeze();
    let impatient = open_with(&server, Duration::from_millis(300), Wakes::default()).await;
    assert!(impatient.append(last.clone()).await.is_err());
    server.restart();
    is_back(&store).await;

    for (id, before) in ids.into_iter().zip(before) {
        let after = loaded(&store, id).await;
        assert_eq!((after.head, after.entries, after.commands), (before.head, before.entries, before.commands));
    }
    assert_eq!(store.list(all).await.unwrap(), listed);
    assert_eq!(store.count().await, Ok([2, 0, 1, 0, 1]));
    assert_eq!(store.due(10, 0).await.unwrap().ids, [parked.token.id]);
    let expiry: i64 = server.admin(&["PTTL", &key_of('h', ended.token.id)]);
    assert!(expiry > 0, "the retention is kept too: {expiry}");
    // The driver's own repeat, and one more after it.
    running.keep(&store, last.clone()).await;
    running.keep(&store, last).await;
    assert_eq!(loaded(&store, first.id).await.entries, ["started", "turn", "the answer is lost"]);
    assert_eq!(fresh(&store, &first).await.token, running.token, "its create was the driver's own");
}

#[tokio::test]
async fn an_append_whose_answer_was_lost_is_repeated_without_harm() {
    let server = RedisServer::start();
    let store = open(&server).await;
    let mut driver = driven(&store).await;
    let impatient = open_with(&server, Duration::from_millis(300), Wakes::default()).await;
    loaded(&impatient, driver.token.id).await; // opens the connection
    let append = driver.append(&["once"], park(HOUR));
    server.freeze();
    assert!(matches!(impatient.append(append.clone()).await, Err(StoreError::AnswerLost(_))));
    server.thaw();
    // The first one may still be on its way, or have ended with its connection.
    is_back(&impatient).await;
    driver.keep(&store, append.clone()).await;
    driver.keep(&impatient, append).await;
    assert_eq!(loaded(&store, driver.token.id).await.entries, ["started", "once"]);
}
