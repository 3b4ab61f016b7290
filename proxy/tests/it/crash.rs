//! What dies in the middle: the client, the proxy, the connection to the service.

mod kills;
mod probes;
mod stops;

use std::time::Duration;

use super::support::{
    client::{Answer, Call},
    origin::{Origin, Reply},
    refrain::{Refrain, yaml},
    within,
};

/// A keyed order with a reference, which a probe can ask for.
fn order(refrain: &Refrain) -> Call {
    Call::post(&refrain.url("/orders")).key("k").json(r#"{"reference":"r-1"}"#)
}

/// The answer that comes once nobody is at it any more.
async fn when_settled(call: impl Fn() -> Call) -> Answer {
    within("a record that is not in flight", async {
        loop {
            let answer = call().send().await;
            if answer.problem() != "in-flight" {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
}

/// That a request is answered with 409 `outcome-unknown`, however often it comes.
async fn stays_unknown(call: impl Fn() -> Call) {
    for _ in 0..3 {
        let answer = when_settled(&call).await;
        assert_eq!((answer.status, answer.problem(), answer.how()), (409, "outcome-unknown", "outcome-unknown"));
        assert!(answer.header("retry-after").is_some());
    }
}

#[tokio::test]
async fn a_client_that_hangs_up_still_gets_its_result_recorded() {
    let origin = Origin::start();
    let refrain = Refrain::start(&yaml("memory:", &origin, "")).await;
    let gate = origin.gate_before_effect("/orders");
    let pending = order(&refrain).start();
    gate.started(1).await;
    pending.hang_up().await;
    refrain.until_admin("/metrics", |metrics| metrics.text().contains("\nrefrain_connections 0\n")).await;
    gate.open();
    let retry = when_settled(|| order(&refrain)).await;
    assert_eq!((retry.status, retry.how()), (201, "replayed"));
    assert_eq!(origin.effects(), 1);
}

#[tokio::test]
async fn a_reset_after_the_request_was_sent_is_an_unknown_outcome_and_the_request_is_not_sent_again() {
    let origin = Origin::start();
    let refrain = Refrain::start(&yaml("memory:", &origin, "")).await;
    // A connection to reuse: a reset of a reused connection proves nothing either.
    assert_eq!(Call::get(&refrain.url("/")).send().await.status, 201);
    origin.on("/orders", Reply::reset());
    let first = order(&refrain).send().await;
    assert_eq!((first.status, first.how(), first.problem()), (502, "outcome-unknown", "outcome-unknown"));
    origin.on("/orders", Reply::status(201));
    stays_unknown(|| order(&refrain)).await;
    assert_eq!((origin.count("/orders"), origin.effects()), (1, 2));
}

/// An origin and a Refrain before it that lets callers wait for 300 ms, and requests act for as long as `max_execution` says.
async fn impatient(max_execution: &str) -> (Origin, Refrain) {
    let origin = Origin::start();
    let text = format!(
        "store: {{url: 'memory:'}}\nupstreams: {{service: {{url: '{}', local: true, response_timeout: 300ms, max_execution: {max_execution}}}}}\n",
        origin.url()
    );
    let refrain = Refrain::start(&text).await;
    (origin, refrain)
}

#[tokio::test]
async fn a_caller_that_waited_long_enough_is_told_to_ask_again_and_then_gets_the_late_answer() {
    let (origin, refrain) = impatient("5m").await;
    let gate = origin.gate("/orders");
    let first = order(&refrain).send().await;
    assert_eq!((first.status, first.problem(), first.how()), (504, "in-progress", "pending"));
    assert_eq!((first.json()["retry"].clone(), first.header("retry-after").is_some()), ("same-key".into(), true));
    let during = order(&refrain).send().await;
    assert_eq!((during.status, during.problem()), (409, "in-flight"), "the send goes on, and its lease is kept");
    gate.open();
    let retry = when_settled(|| order(&refrain)).await;
    assert_eq!((retry.status, retry.how(), retry.text()), (201, "replayed", "{\"number\":1}"));
    assert_eq!(origin.effects(), 1);
}

#[tokio::test]
async fn a_request_that_is_never_answered_is_given_up_after_max_execution_and_not_sent_again() {
    let (origin, refrain) = impatient("1s").await;
    origin.on("/orders", Reply::silence());
    assert_eq!(order(&refrain).send().await.problem(), "in-progress");
    stays_unknown(|| order(&refrain)).await;
    assert_eq!(origin.effects(), 1);
}
