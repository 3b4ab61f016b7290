//! Duplicates that come while the first is under way, through one process and through two.

use super::support::{
    client::{Answer, Call, Pending},
    origin::{Origin, Reply},
    redis::RedisServer,
    refrain::{Refrain, yaml},
    within,
};

const CLIENTS: usize = 64;

/// Two processes with one Redis.
struct Pair {
    origin: Origin,
    refrains: [Refrain; 2],
    _redis: RedisServer,
}

impl Pair {
    async fn start(rest: &str) -> Self {
        let (origin, redis) = (Origin::start(), RedisServer::start());
        let text = yaml(&redis.url(), &origin, rest);
        let refrains = [Refrain::start(&text).await, Refrain::start(&text).await];
        Self { origin, refrains, _redis: redis }
    }

    fn order(&self, client: usize) -> Call {
        order(&self.refrains[client % 2])
    }

    /// All clients at once, half of them through either process.
    fn storm(&self) -> Vec<Pending> {
        (0..CLIENTS).map(|client| self.order(client).start()).collect()
    }

    /// Waits until this many requests are with the two processes.
    async fn until_in_flight(&self, number: usize) {
        let look = async {
            loop {
                let mut sum = 0.0;
                for refrain in &self.refrains {
                    sum += refrain.metric("refrain_requests_in_flight").await;
                }
                if sum == f64::from(u32::try_from(number).unwrap()) {
                    return;
                }
            }
        };
        within("all clients to be there", look).await;
    }
}

fn order(refrain: &Refrain) -> Call {
    Call::post(&refrain.url("/orders")).key("k").body("x")
}

async fn answers(pending: Vec<Pending>) -> Vec<Answer> {
    let mut answers = Vec::new();
    for pending in pending {
        answers.push(pending.answer().await);
    }
    answers
}

#[tokio::test]
async fn of_many_clients_at_two_processes_one_executes_and_all_who_wait_get_its_answer() {
    let pair = Pair::start("idempotency: {on_in_flight: {wait: 30s}}").await;
    let gate = pair.origin.gate("/orders");
    let pending = pair.storm();
    gate.started(1).await;
    pair.until_in_flight(CLIENTS).await;
    gate.open();
    let answers = answers(pending).await;
    let executed = answers.iter().filter(|answer| answer.how() == "executed").count();
    let joined = answers.iter().filter(|answer| ["joined", "replayed"].contains(&answer.how())).count();
    assert_eq!((executed, joined), (1, CLIENTS - 1));
    assert!(answers.iter().all(|answer| answer.status == 201 && answer.body == answers[0].body));
    assert_eq!(pair.origin.requests().len(), 1);
}

#[tokio::test]
async fn of_many_clients_at_two_processes_one_executes_and_the_others_are_told_when_to_come_back() {
    let pair = Pair::start("").await;
    let gate = pair.origin.gate("/orders");
    let mut pending = pair.storm();
    gate.started(1).await;
    let others = async {
        while pending.iter().filter(|pending| pending.is_answered()).count() < CLIENTS - 1 {
            tokio::task::yield_now().await;
        }
    };
    within("all others to be refused", others).await;
    let first = pending.iter().position(|pending| !pending.is_answered()).unwrap();
    let first = pending.swap_remove(first);
    for refused in answers(pending).await {
        assert_eq!((refused.status, refused.problem(), refused.how()), (409, "in-flight", "pending"));
        assert!(refused.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1, "so that retries do not storm");
        assert_eq!(refused.json()["retry"], "same-key");
    }
    gate.open();
    let first = first.answer().await;
    assert_eq!((first.status, first.how()), (201, "executed"));
    for client in 0..2 {
        let replayed = pair.order(client).send().await;
        assert_eq!((replayed.status, replayed.how()), (201, "replayed"));
        assert_eq!(replayed.body, first.body);
    }
    assert_eq!(pair.origin.requests().len(), 1);
}

#[tokio::test]
async fn a_waiter_that_hangs_up_changes_nothing() {
    let pair = Pair::start("idempotency: {on_in_flight: {wait: 30s}}").await;
    let gate = pair.origin.gate("/orders");
    let first = pair.order(0).start();
    gate.started(1).await;
    let waiters = [pair.order(0).start(), pair.order(1).start()];
    pair.until_in_flight(3).await;
    for refrain in &pair.refrains {
        refrain.until_metric("refrain_claims_total{result=\"in_flight\"}", 1.0).await;
    }
    for waiter in waiters {
        waiter.hang_up().await;
    }
    pair.until_in_flight(1).await;
    let late = pair.order(1).start();
    pair.until_in_flight(2).await;
    gate.open();
    let (first, late) = (first.answer().await, late.answer().await);
    assert_eq!((first.status, first.how()), (201, "executed"));
    assert_eq!(late.body, first.body);
    for client in 0..2 {
        assert_eq!(pair.order(client).send().await.body, first.body);
    }
    assert_eq!(pair.origin.requests().len(), 1);
}

#[tokio::test]
async fn a_waiter_whose_time_is_up_is_told_so_and_the_owners_claim_stays() {
    let origin = Origin::start();
    let refrain = Refrain::start(&yaml("memory:", &origin, "idempotency: {on_in_flight: {wait: 300ms}}")).await;
    let gate = origin.gate("/orders");
    let first = order(&refrain).start();
    gate.started(1).await;
    for _ in 0..2 {
        let waiter = order(&refrain).send().await;
        assert_eq!((waiter.status, waiter.problem()), (409, "in-flight"));
        assert!(waiter.header("retry-after").is_some());
    }
    gate.open();
    let first = first.answer().await;
    assert_eq!((first.status, first.how()), (201, "executed"));
    let replayed = order(&refrain).send().await;
    assert_eq!((replayed.status, replayed.how()), (201, "replayed"));
    assert_eq!(replayed.body, first.body);
    assert_eq!(origin.requests().len(), 1);
}

#[tokio::test]
async fn a_waiter_waits_as_long_as_it_may_however_often_it_has_to_look() {
    let origin = Origin::start();
    // Looks are about a lease apart; a shorter one would lapse on a busy machine.
    let text = yaml("memory:", &origin, "idempotency: {on_in_flight: {wait: 60s}, lease: 1s}");
    let refrain = Refrain::start(&text).await;
    let gate = origin.gate("/orders");
    let first = order(&refrain).start();
    gate.started(1).await;
    let waiter = order(&refrain).start();
    refrain.until_metric("refrain_claims_total{result=\"in_flight\"}", 18.0).await;
    gate.open();
    let (first, waiter) = (first.answer().await, waiter.answer().await);
    assert_eq!((first.how(), waiter.how()), ("executed", "joined"));
    assert_eq!(waiter.body, first.body);
}

#[tokio::test]
async fn a_waiter_waits_as_long_as_it_may_however_often_others_turn_out_to_have_done_nothing() {
    let pair = Pair::start("idempotency: {on_in_flight: {wait: 30s}}").await;
    pair.origin.on("/orders", Reply::status(429).without_effect());
    let gate = pair.origin.gate("/orders");
    let pending = pair.storm();
    gate.started(1).await;
    pair.until_in_flight(CLIENTS).await;
    gate.open();
    assert!(answers(pending).await.iter().all(|answer| answer.status == 429), "each had its turn");
    assert_eq!(pair.origin.requests().len(), CLIENTS, "one after the other");
}

#[tokio::test]
async fn when_the_first_turns_out_to_have_done_nothing_one_waiter_takes_its_place() {
    let pair = Pair::start("idempotency: {on_in_flight: {wait: 30s}}").await;
    pair.origin.on("/orders", Reply::status(429).without_effect());
    let gate = pair.origin.gate("/orders");
    let first = pair.order(0).start();
    gate.started(1).await;
    let waiters: Vec<_> = (0..8).map(|client| pair.order(client).start()).collect();
    pair.until_in_flight(9).await;
    pair.origin.on("/orders", Reply::status(201));
    gate.open();
    assert_eq!(first.answer().await.status, 429);
    let answers = answers(waiters).await;
    assert_eq!(answers.iter().filter(|answer| answer.how() == "executed").count(), 1);
    assert!(answers.iter().all(|answer| answer.status == 201 && answer.body == answers[0].body));
    assert_eq!((pair.origin.requests().len(), pair.origin.effects()), (2, 1));
}
