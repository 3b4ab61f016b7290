//! What a saga meets on its way: a store that goes away, a process that ends, peers that are not believed, services that are ill.

use std::time::Duration;

use tokio::time::Instant;

use crate::support::{
    books::Outcome::Kept,
    client::Call,
    gate::Moment,
    refrain::{Refrain, Signal, command},
    shop::{Endpoint, Fault},
    sidecars::{EMBEDDED, Order, Setup, Sidecars, Surroundings},
};

/// A lease that nobody can wait for: a saga is taken over only if it was handed back.
const FOR_EVER: Duration = Duration::from_secs(600);
const ADOPTED: &str = "refrain_sagas_adopted_total";

#[tokio::test]
async fn while_the_store_is_away_nothing_is_begun_and_when_it_is_back_the_saga_goes_on() {
    let mut cars = Sidecars::with_redis(Setup::default(), 1).await;
    let gate = cars.shop().hold_at(Endpoint::Pay, Moment::After);
    let order = Order::new();
    let _caller = tokio::spawn(order.call(cars.first()).try_send());
    gate.started(1).await;
    cars.redis().kill();
    gate.open();
    cars.first().until_metric("refrain_store_errors_total{operation=\"append\"}", 2.0).await;
    assert_eq!(cars.shop().count(Endpoint::Complete), 0, "the payment is not in the journal yet");
    let refused = Order::new().call(cars.first()).send().await;
    assert_eq!((refused.status, refused.problem()), (503, "store-lost"));
    cars.redis().restart();
    let answer = order.settled(cars.first()).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    cars.shop().books(order.user).assert(Kept, order.amount, "the order");
    assert_eq!((cars.shop().count(Endpoint::CreateOrder), cars.shop().count(Endpoint::Pay)), (1, 1));
}

#[tokio::test]
async fn a_store_that_keeps_silent_past_the_lease_is_survived() {
    let cars = Sidecars::with_redis(Setup::default(), 2).await;
    let redis = cars.redis.as_ref().unwrap();
    let gate = cars.shop().hold_at(Endpoint::Pay, Moment::After);
    let order = Order::new();
    let _caller = tokio::spawn(order.call(cars.first()).try_send());
    gate.started(1).await;
    redis.freeze();
    gate.open();
    cars.first().until_metric("refrain_store_errors_total{operation=\"append\"}", 1.0).await;
    assert_eq!(cars.shop().count(Endpoint::Complete), 0);
    redis.thaw();
    let answer = order.settled(&cars.orders[1]).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    cars.shop().books(order.user).assert(Kept, order.amount, "the order");
}

#[tokio::test]
async fn told_to_end_a_process_hands_its_sagas_back_at_once() {
    let mut cars = Sidecars::with_redis(Setup { lease: Some(FOR_EVER), ..Setup::default() }, 2).await;
    let gate = cars.shop().hold_at(Endpoint::Pay, Moment::After);
    let order = Order::new();
    let caller = order.call(cars.first()).start();
    gate.started(1).await;
    cars.orders[0].signal(Signal::Term);
    let told = caller.answer().await;
    assert_eq!((told.status, told.how()), (202, "pending"), "{}", told.text());
    // What is under way is waited for.
    assert_eq!(cars.orders[1].metric(ADOPTED).await, 0.0);
    gate.open();
    assert!(cars.orders[0].wait_exit().await.success());
    let answer = order.settled(&cars.orders[1]).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    assert_eq!(cars.orders[1].metric(ADOPTED).await, 1.0);
    cars.shop().books(order.user).assert(Kept, order.amount, "the order");
    assert_eq!(cars.shop().count(Endpoint::Pay), 1, "its answer was not lost");
}

#[tokio::test]
async fn the_sagas_of_a_process_that_cannot_wait_any_longer_are_taken_over() {
    let setup = Setup { more: "limits: {drain: 300ms}\n".to_owned(), ..Setup::default() };
    let mut cars = Sidecars::with_redis(setup, 2).await;
    let gate = cars.shop().hold_at(Endpoint::Pay, Moment::After);
    let order = Order::new();
    let _caller = tokio::spawn(order.call(cars.first()).try_send());
    gate.started(1).await;
    cars.orders[0].signal(Signal::Term);
    assert!(cars.orders[0].wait_exit().await.success());
    gate.open();
    let answer = order.settled(&cars.orders[1]).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    cars.shop().books(order.user).assert(Kept, order.amount, "the order");
    assert_eq!(cars.shop().count(Endpoint::Pay), 1);
}

#[tokio::test]
async fn a_killed_driver_is_followed_by_another_within_three_seconds_by_default() {
    const WITHIN: Duration = Duration::from_secs(3);
    let setup = Setup { lease: None, ..Setup::default() };
    let mut cars = Sidecars::with_redis(setup, 2).await;
    let mut took = Vec::new();
    // A busy machine may delay one of them.
    for _ in 0..3 {
        let gate = cars.shop().hold_at(Endpoint::FindAccount, Moment::After);
        let order = Order::new();
        let before = cars.orders[1].metric(ADOPTED).await;
        let _caller = tokio::spawn(order.call(cars.first()).try_send());
        gate.started(1).await;
        cars.orders[0].kill9();
        let killed = Instant::now();
        gate.open();
        cars.shop().hold_none();
        cars.orders[1].until_metric(ADOPTED, before + 1.0).await;
        took.push(killed.elapsed());
        assert_eq!(order.settled(&cars.orders[1]).await.status, 201);
        cars.shop().books(order.user).assert(Kept, order.amount, "the order");
        if took.last().unwrap() <= &WITHIN {
            return;
        }
        cars.orders[0].restart().await;
    }
    panic!("taken over after {took:?}");
}

#[tokio::test]
async fn a_peer_that_does_not_believe_it_parks_the_saga_with_an_alarm_and_it_goes_on_when_it_is_believed() {
    let around = Surroundings::new(Setup::default());
    std::fs::write(around.file("other.key"), "a key that nobody else has").unwrap();
    let doubting = around.billing_yaml(EMBEDDED).replace("peers.key", "other.key");
    let (orders, billing) = tokio::join!(around.orders(EMBEDDED), Refrain::start(&doubting));
    let mut cars = Sidecars { orders: vec![orders], billing, around, redis: None };
    let order = Order::new();
    let pending = order.call(cars.first()).header("prefer", "wait=1").send().await;
    assert_eq!(pending.status, 202, "{}", pending.text());
    cars.first().logged(&["\"ERROR\"", "untrusted-peer", "billing"]).await;
    let shown = Call::get(&cars.first().url(pending.header("location").unwrap())).send().await.json();
    assert_eq!(shown["state"], "running", "it is no failure of the step: {shown}");
    assert_eq!(cars.shop().count(Endpoint::Pay), 0);
    cars.billing.kill9();
    cars.billing.rewrite(&cars.around.billing_yaml(EMBEDDED));
    cars.billing.restart().await;
    // It is asked again in a minute, or when an operator says so.
    let id = shown["id"].as_str().unwrap();
    let said = command(&["sagas", "retry", id, "--reason", "the keys are the same now"], Some(cars.first().admin_address()));
    assert!(said.status.success(), "{said:?}");
    let answer = order.settled(cars.first()).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    cars.shop().books(order.user).assert(Kept, order.amount, "the order");
}

#[tokio::test]
async fn an_ill_service_is_left_alone_and_costs_the_sagas_that_wait_for_it_nothing() {
    const OPEN: &str = "refrain_upstream_breaker_open{upstream=\"notifications\"}";
    const FAILURES: usize = 3;
    let of_notifications = "idempotency_window: 24h, breaker: {failures: 3, open_for: 1500ms}";
    // Announcing must succeed, and the first one has one start more than it takes to open the breaker.
    let told = "    retry: {max: 4, initial: 20ms}\n    compensate: none";
    let saga = Setup::default().saga.replace("    compensate: none\n    on_failure: continue", told);
    let cars = Sidecars::with_files(Setup { of_notifications, saga, ..Setup::default() }).await;
    cars.shop().fault_times(Endpoint::Announce, Fault::Refuse(500), FAILURES);
    let orders: Vec<_> = (0..6).map(|_| Order::new()).collect();
    let first = orders[0].call(cars.first()).start();
    cars.first().until_metric(OPEN, 1.0).await;
    assert_eq!(cars.shop().count(Endpoint::Announce), FAILURES);
    let others: Vec<_> = orders[1..].iter().map(|order| order.call(cars.first()).start()).collect();
    for (order, pending) in orders.iter().zip(std::iter::once(first).chain(others)) {
        let answer = pending.answer().await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        cars.shop().books(order.user).assert(Kept, order.amount, "what waited");
    }
    assert_eq!(cars.shop().count(Endpoint::Announce), FAILURES + orders.len(), "nothing was asked while it was left alone");
    assert_eq!(cars.first().metric(OPEN).await, 0.0);
}
