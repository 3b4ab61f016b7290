//! The barrier: an undo that comes before its step, while it runs, or after it was lost; and a step that comes after its undo.

mod doubt;

use std::time::Duration;

use refrain::{
    store::undo::CLOCKS_DIFFER_BY,
    time::{Timestamp, wall_now},
};

use crate::support::{
    client::{Answer, Call},
    origin::{Gate, Origin, Reply},
    redis::RedisServer,
    refrain::{Refrain, yaml},
    within,
};

const STEPS: &str = "/internal/orders/";
const UNDOS: &str = "/internal/cancellations/";

/// A sidecar that believes whoever is on this machine. `route` is what its one route for saga calls says of idempotency.
fn sidecar(store: &str, origin: &Origin, route: &str) -> String {
    let rest = format!(
        "saga_peers: {{networks: [127.0.0.0/8]}}
routes:
  - match: {{path: \"{STEPS}\"}}
    access: saga
    idempotency: {{lease: 400ms, {route}}}
  - match: {{prefix: /internal/}}
    access: saga
    idempotency: {{lease: 400ms, max_execution: 1s}}
"
    );
    yaml(store, origin, &rest)
}

/// A step that the service can be asked for: it stores the reference it is given.
fn probing(after: &str) -> String {
    format!(
        "on_unknown: {{probe: {{
      when: \"${{request.body.?reference.orValue('') == key}}\",
      call: \"GET /lookup?reference=${{key}}\",
      after: {after},
      done: \"${{size(response.body) > 0}}\",
      response: {{status: 201, body: {{was: \"${{response.body[0].number}}\"}}}}}}}}"
    )
}

fn step(refrain: &Refrain, key: &str) -> Call {
    let body = format!("{{\"reference\":\"{key}\"}}");
    Call::post(&refrain.url(STEPS)).header("saga-step-key", key).header("saga-id", "s1").json(body)
}

/// The undo of the step `of`, whose driver knows nothing of it but when it was first sent: now, as early as can be remembered.
fn undo(refrain: &Refrain, of: &str) -> Call {
    undo_of_one_sent_at(refrain, of, wall_now().plus(CLOCKS_DIFFER_BY - Duration::from_millis(1)))
}

fn undo_of_one_sent_at(refrain: &Refrain, of: &str, first_sent: Timestamp) -> Call {
    blind_undo(refrain, of).header("saga-undo-knows", "unknown").header("saga-first-sent", first_sent.as_unix_ms().to_string())
}

/// The undo of the step `of`, without a word of what its driver knows.
fn blind_undo(refrain: &Refrain, of: &str) -> Call {
    let body = format!("{{\"undo\":\"{of}\"}}");
    let call = Call::post(&refrain.url(UNDOS)).header("saga-step-key", format!("undo-{of}"));
    call.header("saga-id", "s1").header("saga-undo-of", of).json(body)
}

fn is_nothing_to_undo(answer: &Answer) {
    assert_eq!((answer.status, answer.how()), (204, "nothing-to-undo"), "{answer:?}");
    assert!(answer.body.is_empty() && answer.header("idempotency-expires").is_some());
    assert_eq!((answer.problem(), answer.header("idempotency-attempt")), ("", None), "nothing was sent");
}

fn is_cancelled(answer: &Answer) {
    assert_eq!((answer.status, answer.problem()), (409, "step-cancelled"), "{answer:?}");
    assert_eq!(answer.json()["retry"], "never");
}

#[tokio::test]
async fn an_undo_before_its_step_has_nothing_to_undo_and_the_late_step_is_cancelled() {
    let origin = Origin::start();
    let mut refrain = Refrain::start(&sidecar("embedded:./refrain.db", &origin, "ttl: 1h")).await;
    is_nothing_to_undo(&undo(&refrain, "k1").send().await);
    is_nothing_to_undo(&undo(&refrain, "k1").send().await);
    is_cancelled(&step(&refrain, "k1").send().await);
    refrain.restart().await;
    is_nothing_to_undo(&undo(&refrain, "k1").send().await);
    is_cancelled(&step(&refrain, "k1").send().await);
    assert_eq!(origin.requests().len(), 0, "the service has heard of neither");
    let other = step(&refrain, "k2").send().await;
    assert_eq!((other.status, other.how()), (201, "executed"), "another step is not concerned");
}

#[tokio::test]
async fn the_undo_of_a_done_step_is_sent_once() {
    let origin = Origin::start();
    let refrain = Refrain::start(&sidecar("memory:", &origin, "ttl: 1h")).await;
    let done = step(&refrain, "k1").send().await;
    assert_eq!((done.header("idempotency-attempt"), done.header("idempotency-expires").is_some()), (Some("1"), true));
    let first = undo(&refrain, "k1").send().await;
    let again = undo(&refrain, "k1").send().await;
    assert_eq!((first.status, first.how(), again.status, again.how()), (201, "executed", 201, "replayed"));
    assert_eq!((origin.count(STEPS), origin.count(UNDOS)), (1, 1));
    assert_eq!(step(&refrain, "k1").send().await.body, done.body, "the step's own answer stays");
}

#[tokio::test]
async fn an_undo_waits_for_its_step_and_then_is_sent() {
    let (origin, redis) = (Origin::start(), RedisServer::start());
    let text = sidecar(&redis.url(), &origin, "ttl: 1h");
    let (one, other) = (Refrain::start(&text).await, Refrain::start(&text).await);
    let gate = origin.gate(STEPS);
    let first = step(&one, "k1").start();
    gate.started(1).await;
    let impatient = undo(&other, "k1").send().await;
    assert_eq!((impatient.status, impatient.problem()), (409, "in-flight"), "its driver is to ask again");
    assert!(impatient.header("retry-after").is_some());
    let waiting = undo(&other, "k1").start();
    other.until_metric("refrain_claims_total{result=\"in_flight\"}", 2.0).await;
    assert_eq!(origin.count(UNDOS), 0, "an undo never overtakes its step");
    gate.open();
    assert_eq!(first.answer().await.how(), "executed");
    let undone = waiting.answer().await;
    let undone = if undone.problem() == "in-flight" { undo(&other, "k1").send().await } else { undone };
    assert_eq!((undone.status, undone.how()), (201, "executed"));
    let paths: Vec<_> = origin.requests().into_iter().map(|seen| seen.path).collect();
    assert_eq!(paths, [STEPS, UNDOS]);
}

#[tokio::test]
async fn an_undo_is_sent_where_the_step_may_be_forgotten_and_its_step_is_cancelled_all_the_same() {
    let origin = Origin::start();
    let before = wall_now();
    let refrain = Refrain::start(&sidecar("embedded:./refrain.db", &origin, "ttl: 1h")).await;
    let day = Duration::from_secs(24 * 60 * 60);
    let long_ago = Timestamp::from_unix_ms(wall_now().as_unix_ms() - u64::try_from(day.as_millis()).unwrap());
    let knows = |of| blind_undo(&refrain, of).header("saga-undo-knows", "done");
    for (number, (call, why)) in [
        (blind_undo(&refrain, "k0"), "its driver does not say when it was sent"),
        (knows("k1").header("saga-first-sent", wall_now().as_unix_ms().to_string()), "its driver knows that it was done"),
        (undo_of_one_sent_at(&refrain, "k2", before), "it was sent before there was this store"),
        (undo_of_one_sent_at(&refrain, "k3", long_ago), "its record would have expired"),
    ]
    .into_iter()
    .enumerate()
    {
        let undone = call.send().await;
        assert_eq!((undone.status, undone.how()), (201, "executed"), "{why}");
        assert_eq!(origin.count(UNDOS), number + 1);
        is_cancelled(&step(&refrain, &format!("k{number}")).send().await);
    }
    assert_eq!(origin.count(STEPS), 0);
}

#[tokio::test]
async fn when_redis_has_lost_its_records_an_undo_is_sent() {
    let (origin, mut redis) = (Origin::start(), RedisServer::start_with(&["--appendonly", "no"]));
    let refrain = Refrain::start(&sidecar(&redis.url(), &origin, "ttl: 1h")).await;
    let first_sent = wall_now();
    assert_eq!(step(&refrain, "k1").send().await.how(), "executed");
    redis.restart();
    let undone = within("the store to be back", async {
        loop {
            let answer = undo_of_one_sent_at(&refrain, "k1", first_sent).send().await;
            if answer.problem() != "store-lost" {
                return answer;
            }
        }
    })
    .await;
    assert_eq!((undone.status, undone.how()), (201, "executed"), "what was forgotten is undone");
    is_cancelled(&step(&refrain, "k1").send().await);
    assert_eq!((origin.count(STEPS), origin.count(UNDOS)), (1, 1));
}

#[tokio::test]
async fn an_undo_that_nobody_can_have_meant_is_refused_and_changes_nothing() {
    let origin = Origin::start();
    let refrain = Refrain::start(&sidecar("embedded:./refrain.db", &origin, "ttl: 1h")).await;
    let asks = undo(&refrain, "k1").header("saga-resolve", "true").send().await;
    assert_eq!((asks.status, asks.problem()), (400, "malformed"));
    let itself = step(&refrain, "k1").header("saga-undo-of", "k1").send().await;
    assert_eq!((itself.status, itself.problem()), (400, "malformed"));
    let unreadable = blind_undo(&refrain, "k1").header("saga-first-sent", "yesterday").send().await;
    assert_eq!((unreadable.status, unreadable.problem()), (403, "untrusted-peer"), "a driver is not obeyed in part");
    assert_eq!(origin.requests().len(), 0);
    assert_eq!(step(&refrain, "k1").send().await.how(), "executed");
}

#[tokio::test]
async fn a_peer_that_is_not_trusted_cancels_nothing() {
    let origin = Origin::start();
    let rest = "routes: [{match: {prefix: /internal/}, access: saga}]";
    let refrain = Refrain::start(&yaml("embedded:./refrain.db", &origin, rest)).await;
    for call in [undo(&refrain, "k1"), step(&refrain, "k1").header("saga-resolve", "true")] {
        let refused = call.send().await;
        assert_eq!((refused.status, refused.problem()), (403, "untrusted-peer"));
    }
    assert_eq!(origin.requests().len(), 0);
}
