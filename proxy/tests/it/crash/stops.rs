//! A proxy that is told to end, and one that sleeps past its lease.

use super::{order, stays_unknown, when_settled};
use crate::support::{
    origin::{Origin, Reply},
    redis::RedisServer,
    refrain::{Refrain, Signal, yaml},
    within,
};

#[tokio::test]
async fn a_drain_finishes_what_is_under_way_and_takes_nothing_new() {
    let origin = Origin::start();
    let mut refrain = Refrain::start(&yaml("embedded:./refrain.db", &origin, "")).await;
    let gate = origin.gate("/orders");
    let first = order(&refrain).start();
    gate.started(1).await;
    refrain.signal(Signal::Term);
    let draining = refrain.until_admin("/readyz", |answer| answer.status == 503).await;
    assert!(draining.text().contains("draining"), "{}", draining.text());
    refrain.logged(&["draining"]).await;
    // What the kernel had queued may still be answered.
    within("nobody to accept any more", async { while order(&refrain).try_open().await.is_ok() {} }).await;
    assert!(!first.is_answered());
    gate.open();
    let first = first.answer().await;
    assert_eq!((first.status, first.how()), (201, "executed"));
    assert!(refrain.wait_exit().await.success());
    refrain.restart().await;
    let replayed = order(&refrain).send().await;
    assert_eq!((replayed.how(), &replayed.body), ("replayed", &first.body));
}

#[tokio::test]
async fn told_twice_to_end_it_ends_at_once_and_gives_up_what_is_under_way() {
    let (origin, redis) = (Origin::start(), RedisServer::start());
    // A lease that nobody can wait for: the record is unknown only if it was given up.
    let text = yaml(&redis.url(), &origin, "idempotency: {lease: 10m}");
    let mut refrain = Refrain::start(&text).await;
    let gate = origin.gate("/orders");
    let caller = tokio::spawn(order(&refrain).try_open());
    gate.started(1).await;
    refrain.signal(Signal::Term);
    refrain.logged(&["draining"]).await;
    refrain.signal(Signal::Term);
    assert!(refrain.wait_exit().await.success());
    assert!(caller.await.unwrap().is_err());
    refrain.restart().await;
    let after = order(&refrain).send().await;
    assert_eq!((after.status, after.problem()), (409, "outcome-unknown"));
    assert_eq!(origin.requests().len(), 1);
}

#[tokio::test]
async fn a_drain_ends_in_time_even_if_the_service_does_not_answer() {
    let (origin, redis) = (Origin::start(), RedisServer::start());
    let text = yaml(&redis.url(), &origin, "limits: {drain: 300ms}\nidempotency: {lease: 10m}");
    let mut refrain = Refrain::start(&text).await;
    let gate = origin.gate("/orders");
    let caller = tokio::spawn(order(&refrain).try_open());
    gate.started(1).await;
    refrain.signal(Signal::Term);
    assert!(refrain.wait_exit().await.success());
    assert!(caller.await.unwrap().is_err());
    refrain.restart().await;
    assert_eq!(order(&refrain).send().await.problem(), "outcome-unknown");
}

/// Two processes with one Redis; the first sleeps, its request with the service.
struct Asleep {
    origin: Origin,
    sleeper: Refrain,
    other: Refrain,
    _redis: RedisServer,
}

impl Asleep {
    async fn start(on_unknown: &str) -> (Self, crate::support::client::Pending) {
        let (origin, redis) = (Origin::start(), RedisServer::start());
        let rest = format!("idempotency: {{lease: 600ms, on_unknown: {on_unknown}}}");
        let text = yaml(&redis.url(), &origin, &rest);
        let (sleeper, other) = (Refrain::start(&text).await, Refrain::start(&text).await);
        origin.on("/orders", Reply::status(201).body("of the sleeper"));
        let gate = origin.gate("/orders");
        let caller = order(&sleeper).start();
        gate.started(1).await;
        sleeper.signal(Signal::Stop);
        // The answer comes while it sleeps.
        gate.open();
        origin.on("/orders", Reply::status(201).body("of the other"));
        (Self { origin, sleeper, other, _redis: redis }, caller)
    }
}

#[tokio::test]
async fn an_owner_that_slept_past_its_lease_gives_its_caller_the_answer_of_the_one_that_took_over() {
    let (Asleep { origin, sleeper, other, _redis }, caller) = Asleep::start("resend").await;
    let won = when_settled(|| order(&other)).await;
    assert_eq!((won.how(), won.text(), won.header("idempotency-attempt")), ("executed", "of the other", Some("2")));
    sleeper.signal(Signal::Cont);
    let fenced = caller.answer().await;
    assert_eq!((fenced.status, fenced.text()), (201, "of the other"), "there is one answer");
    assert!(["joined", "replayed"].contains(&fenced.how()), "{}", fenced.how());
    for refrain in [&sleeper, &other] {
        let replayed = order(refrain).send().await;
        assert_eq!((replayed.how(), replayed.text()), ("replayed", "of the other"));
    }
    sleeper.until_metric("refrain_fenced_completions_total", 1.0).await;
    assert_eq!(origin.effects(), 2);
}

#[tokio::test]
async fn an_owner_that_slept_past_its_lease_still_records_its_answer_if_nobody_took_over() {
    let (Asleep { origin, sleeper, other, _redis }, caller) = Asleep::start("hold").await;
    stays_unknown(|| order(&other)).await;
    sleeper.signal(Signal::Cont);
    let late = caller.answer().await;
    assert_eq!((late.status, late.how(), late.text()), (201, "executed", "of the sleeper"));
    for refrain in [&sleeper, &other] {
        // Where its call to the store ran out of time while it slept, it records its answer a little later.
        let replayed = within("the late answer to be recorded", async {
            loop {
                let answer = order(refrain).send().await;
                if answer.problem() != "outcome-unknown" {
                    return answer;
                }
            }
        })
        .await;
        assert_eq!((replayed.how(), replayed.text()), ("replayed", "of the sleeper"));
    }
    assert_eq!(origin.effects(), 1);
}
