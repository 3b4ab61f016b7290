//! A service that is asked whether it acted.

use std::time::Duration;

use tokio::time::Instant;

use super::{order, stays_unknown, when_settled};
use crate::support::{
    client::Call,
    origin::{Gate, LOOKUP, Origin, Reply},
    redis::RedisServer,
    refrain::{Refrain, yaml},
    within,
};

/// Policy that asks the service's ledger.
fn probing(in_flight: &str, after: &str) -> String {
    format!(
        "idempotency:
  lease: 400ms
  on_in_flight: {in_flight}
  on_unknown:
    probe:
      when: \"${{has(request.body.reference)}}\"
      call: \"GET /lookup?reference=${{request.body.reference}}\"
      after: {after}
      done: \"${{size(response.body) > 0}}\"
      response: {{status: 200, body: {{was: \"${{response.body[0].number}}\"}}}}
"
    )
}

/// A Refrain that was killed while `call` was with the service, and started again.
async fn killed(text: &str, gate: Gate, call: impl Fn(&Refrain) -> Call) -> Refrain {
    let mut refrain = Refrain::start(text).await;
    let caller = tokio::spawn(call(&refrain).try_open());
    gate.started(1).await;
    refrain.kill9();
    assert!(caller.await.unwrap().is_err());
    refrain.restart().await;
    gate.open();
    refrain
}

async fn done(store: &str) {
    let origin = Origin::start();
    let refrain = killed(&yaml(store, &origin, &probing("{wait: 30s}", "5m")), origin.gate("/orders"), order).await;
    let lookup = origin.gate(LOOKUP);
    let first = order(&refrain).start();
    lookup.started(1).await;
    let others: Vec<_> = (0..4).map(|_| order(&refrain).start()).collect();
    refrain.until_admin("/metrics", |metrics| metrics.text().contains("\nrefrain_requests_in_flight 5\n")).await;
    lookup.open();
    let first = first.answer().await;
    assert_eq!((first.status, first.how(), first.text()), (200, "replayed", "{\"was\":1}"));
    for other in others {
        let other = other.answer().await;
        assert_eq!((other.status, &other.body), (200, &first.body));
        assert!(["joined", "replayed"].contains(&other.how()));
    }
    assert_eq!(order(&refrain).send().await.how(), "replayed");
    assert_eq!((origin.count("/orders"), origin.count(LOOKUP)), (1, 1), "one prober at a time, and what it found is kept");
    let asked = &origin.requests_to(LOOKUP)[0];
    assert_eq!((asked.method.as_str(), asked.query.as_str(), asked.header("idempotency-key")), ("GET", "reference=r-1", None));
}

#[tokio::test]
async fn what_the_service_says_it_did_is_recorded_and_replayed_and_it_is_asked_once_with_a_file() {
    done("embedded:./refrain.db").await;
}

#[tokio::test]
async fn what_the_service_says_it_did_is_recorded_and_replayed_and_it_is_asked_once_with_redis() {
    done(&RedisServer::start().url()).await;
}

#[tokio::test]
async fn while_the_service_is_asked_duplicates_are_told_to_come_back() {
    let origin = Origin::start();
    let text = yaml("embedded:./refrain.db", &origin, &probing("conflict", "5m"));
    let refrain = killed(&text, origin.gate("/orders"), order).await;
    let lookup = origin.gate(LOOKUP);
    let first = when_settled(|| order(&refrain));
    let second = async {
        lookup.started(1).await;
        let second = order(&refrain).send().await;
        lookup.open();
        second
    };
    let (first, second) = tokio::join!(first, second);
    assert_eq!((second.status, second.problem()), (409, "in-flight"));
    assert!(second.header("retry-after").is_some());
    assert_eq!((first.status, first.how()), (200, "replayed"));
}

#[tokio::test]
async fn that_nothing_was_done_is_believed_only_when_the_send_can_no_longer_be_on_its_way() {
    const AFTER: Duration = Duration::from_millis(1500);
    let origin = Origin::start();
    origin.on("/orders", Reply::status(201).without_effect());
    let text = yaml("embedded:./refrain.db", &origin, &probing("conflict", "1500ms"));
    let before = Instant::now();
    let refrain = killed(&text, origin.gate("/orders"), order).await;
    origin.on("/orders", Reply::status(201));
    let answer = within("the request to be sent again", async {
        loop {
            let answer = when_settled(|| order(&refrain)).await;
            if answer.problem() != "outcome-unknown" {
                return answer;
            }
            assert_eq!(origin.count("/orders"), 1);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    assert!(before.elapsed() >= AFTER, "sent again after {:?}", before.elapsed());
    assert_eq!((answer.status, answer.how()), (201, "executed"));
    assert_eq!(answer.header("idempotency-attempt"), Some("1"), "the earlier send is disproved");
    assert_eq!((origin.count("/orders"), origin.effects()), (2, 1));
}

#[tokio::test]
async fn until_then_that_nothing_was_done_changes_nothing() {
    let origin = Origin::start();
    origin.on("/orders", Reply::status(201).without_effect());
    let text = yaml("embedded:./refrain.db", &origin, &probing("conflict", "5m"));
    let refrain = killed(&text, origin.gate("/orders"), order).await;
    stays_unknown(|| order(&refrain)).await;
    assert_eq!((origin.count("/orders"), origin.count(LOOKUP)), (1, 3));
}

#[tokio::test]
async fn a_service_that_cannot_tell_decides_nothing() {
    let origin = Origin::start();
    let text = yaml("embedded:./refrain.db", &origin, &probing("conflict", "1ms"));
    let refrain = killed(&text, origin.gate("/orders"), order).await;
    let says = |status: u16, body: &'static str| Reply::status(status).header("content-type", "application/json").body(body);
    let trouble = [says(500, "[]"), says(500, "[{\"number\":1}]"), says(429, "[]"), says(200, "no JSON"), Reply::reset()];
    for trouble in trouble {
        origin.on(LOOKUP, trouble.without_effect());
        stays_unknown(|| order(&refrain)).await;
    }
    assert_eq!(origin.count("/orders"), 1);
}

#[tokio::test]
async fn where_the_probe_cannot_tell_the_service_is_not_asked_and_the_outcome_stays_unknown() {
    let origin = Origin::start();
    let without = |refrain: &Refrain| Call::post(&refrain.url("/orders")).key("k").json(r#"{"n":1}"#);
    let text = yaml("embedded:./refrain.db", &origin, &probing("conflict", "1ms"));
    let refrain = killed(&text, origin.gate("/orders"), without).await;
    stays_unknown(|| without(&refrain)).await;
    assert_eq!((origin.count("/orders"), origin.count(LOOKUP)), (1, 0));
}
