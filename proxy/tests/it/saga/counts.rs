//! What a saga costs its store: one round trip for each step and one for its start, however many others wait.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use refrain::store::{
    journal::{Create, Created, Journal as _, Next},
    redis::{RedisConfig, RedisStore},
    wakes::Wakes,
};
use tokio::time::Instant;

use crate::{
    conformance::sagas::create,
    support::{
        client::Call,
        redis::RedisServer,
        refrain::Refrain,
        relay::Relay,
        sidecars::{EMBEDDED, Order, Setup, Sidecars, Surroundings},
    },
};

/// Renewals do not come within a test.
const LONG: Duration = Duration::from_secs(60);
/// Of one saga.
const PARKED: usize = 10_000;
/// Questions of what is due come a partition at a time.
const PARTITIONS: usize = 16;

/// Five steps, none of which is at the own service.
fn announcing() -> String {
    let steps: String = (1..=5)
        .map(|number| {
            format!(
                "  - id: s{number}\n    call: notifications POST /events/order-completed/\n    body: {{order_id: {number}}}\n    compensate: none\n"
            )
        })
        .collect();
    format!(
        "saga: announce\nversion: 1\ntrigger: {{route: POST /announcements/}}\ninput: {{}}\nsteps:\n{steps}response:\n  completed: {{status: 201}}\n"
    )
}

/// Sidecars of which orders' has a relay to Redis.
async fn relayed(saga: String) -> (Sidecars, Relay) {
    let (around, redis) = (Surroundings::new(Setup { saga, lease: Some(LONG), ..Setup::default() }), RedisServer::start());
    let relay = Relay::to(redis.port()).await;
    let url = relay.url();
    let (orders, billing) = tokio::join!(around.orders(&url), around.billing(EMBEDDED));
    (Sidecars { orders: vec![orders], billing, around, redis: Some(redis) }, relay)
}

fn announce(refrain: &Refrain, key: &str) -> Call {
    Call::post(&refrain.url("/announcements/")).key(key).json("{}")
}

/// Round trips of one request.
async fn cost(relay: &Relay, call: Call, how: &str) -> usize {
    let before = relay.writes();
    let answer = call.send().await;
    assert_eq!((answer.status, answer.how()), (201, how), "{}", answer.text());
    relay.writes() - before
}

#[tokio::test]
async fn n_steps_cost_n_plus_one_round_trips_and_a_replay_costs_one() {
    let (cars, relay) = relayed(announcing()).await;
    for key in ["first", "second"] {
        assert_eq!(cost(&relay, announce(cars.first(), key), "executed").await, 5 + 1);
        assert_eq!(cost(&relay, announce(cars.first(), key), "replayed").await, 1);
    }
}

#[tokio::test]
async fn a_step_at_the_own_service_costs_its_record_two_more() {
    let (cars, relay) = relayed(Setup::default().saga).await;
    for order in [Order::new(), Order::new()] {
        assert_eq!(cost(&relay, order.call(cars.first()), "executed").await, 5 + 1 + 2 * 2);
        assert_eq!(cost(&relay, order.call(cars.first()), "replayed").await, 1);
    }
}

#[tokio::test]
async fn an_embedded_store_is_asked_as_rarely() {
    const TRIPS: &str = "refrain_store_round_trips";
    let cars = Sidecars::with_files(Setup { saga: announcing(), lease: Some(LONG), ..Setup::default() }).await;
    // A sample may itself ask the store, and between two there may be a question of what is due: not every time.
    let least = |costs: &[f64]| costs.iter().copied().fold(f64::INFINITY, f64::min);
    let (mut idle, mut costs) = (Vec::new(), Vec::new());
    for number in 0..20 {
        let before = cars.first().metric(TRIPS).await;
        let after = cars.first().metric(TRIPS).await;
        idle.push(after - before);
        assert_eq!(announce(cars.first(), &format!("k{number}")).send().await.status, 201);
        costs.push(cars.first().metric(TRIPS).await - after);
    }
    assert_eq!(least(&costs) - least(&idle), 6.0, "{costs:?} and {idle:?}");
}

/// Puts sagas into the store that wait for an hour.
async fn park(redis: &RedisServer) {
    let config = RedisConfig { timeout: Duration::from_secs(20), ..RedisConfig::new(redis.url()) };
    let store = RedisStore::open(&config, Wakes::default()).await.unwrap();
    let parked = |number: usize| Create {
        entries: vec![Bytes::from(format!("waits as number {number}"))],
        next: Next::Park { due_in: Duration::from_secs(3600) },
        ..create()
    };
    let created = stream::iter((0..PARKED).map(|number| store.create(parked(number)))).buffer_unordered(64);
    let all_fresh = created.all(|created| async move { matches!(created, Ok(Created::Fresh(_))) }).await;
    assert!(all_fresh);
}

#[tokio::test]
async fn ten_thousand_sagas_that_wait_cost_a_new_one_nothing() {
    let (cars, relay) = relayed(announcing()).await;
    assert_eq!(cost(&relay, announce(cars.first(), "before"), "executed").await, 6);
    park(cars.redis.as_ref().unwrap()).await;
    let (began, asked) = (Instant::now(), relay.others());
    for number in 0..20 {
        assert_eq!(cost(&relay, announce(cars.first(), &format!("k{number}")), "executed").await, 6);
    }
    // What is due is asked at its own pace, the same as without them.
    let questions = (relay.others() - asked).div_ceil(PARTITIONS);
    let most = usize::try_from(began.elapsed().as_millis() / 100).unwrap() + 2;
    assert!(questions <= most, "{questions} questions in {:?}", began.elapsed());
    assert_eq!(cars.first().metric("refrain_sagas_adopted_total").await, 0.0);
}
