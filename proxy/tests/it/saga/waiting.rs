//! Who waits for a saga: its starter, those who ask again, those who do not want to wait.

use futures_util::future::join_all;

use crate::support::{
    books::Outcome::Kept,
    client::{Answer, Call},
    gate::Moment,
    refrain::Refrain,
    shop::Endpoint,
    sidecars::{Order, Setup, Sidecars},
    within,
};

const CLIENTS: usize = 64;

/// Lets callers wait for 300 ms only.
fn impatient() -> Setup {
    let saga = Setup::default().saga.replace("{after: 10s}", "{after: 300ms}");
    Setup { saga, ..Setup::default() }
}

async fn until_in_flight(cars: &Sidecars, number: usize) {
    let look = async {
        loop {
            let mut sum = 0.0;
            for refrain in &cars.orders {
                sum += refrain.metric("refrain_requests_in_flight").await;
            }
            if sum == f64::from(u32::try_from(number).unwrap()) {
                return;
            }
        }
    };
    within("all clients to be there", look).await;
}

#[tokio::test]
async fn of_many_clients_at_two_replicas_one_starts_it_and_all_get_the_same_bytes() {
    let cars = Sidecars::with_redis(Setup::default(), 2).await;
    let gate = cars.shop().hold_at(Endpoint::Pay, Moment::After);
    let order = Order::new();
    let pending: Vec<_> = (0..CLIENTS).map(|client| order.call(&cars.orders[client % 2]).start()).collect();
    gate.started(1).await;
    until_in_flight(&cars, CLIENTS).await;
    gate.open();
    let answers: Vec<Answer> = join_all(pending.into_iter().map(|pending| pending.answer())).await;
    let executed = answers.iter().filter(|answer| answer.how() == "executed").count();
    let joined = answers.iter().filter(|answer| ["joined", "replayed"].contains(&answer.how())).count();
    assert_eq!((executed, joined), (1, CLIENTS - 1));
    assert!(answers.iter().all(|answer| answer.status == 201 && answer.body == answers[0].body));
    cars.shop().books(order.user).assert(Kept, order.amount, "the order");
    assert_eq!(cars.shop().asked().len(), 5);
}

#[tokio::test]
async fn a_key_that_was_used_with_another_order_is_refused_while_it_runs_and_when_it_has_ended() {
    let cars = Sidecars::with_redis(Setup::default(), 2).await;
    let gate = cars.shop().hold_at(Endpoint::Pay, Moment::After);
    let (order, other) = (Order::new(), Order::new());
    let other = |refrain: &Refrain| {
        let call = Call::post(&refrain.url("/orders/")).key(order.key());
        call.json(other.body()).send()
    };
    let first = order.call(cars.first()).start();
    gate.started(1).await;
    for refrain in &cars.orders {
        let refused = other(refrain).await;
        assert_eq!((refused.status, refused.problem()), (422, "key-reused"));
    }
    gate.open();
    assert_eq!(first.answer().await.status, 201);
    for refrain in &cars.orders {
        let refused = other(refrain).await;
        assert_eq!((refused.status, refused.problem()), (422, "key-reused"));
    }
    assert_eq!(cars.shop().count(Endpoint::CreateOrder), 1);
}

/// What the location of a 202 shows.
async fn status(refrain: &Refrain, pending: &Answer) -> Answer {
    Call::get(&refrain.url(pending.header("location").unwrap())).send().await
}

#[tokio::test]
async fn a_caller_that_waited_long_enough_is_told_where_to_look_and_the_key_gives_the_answer_later() {
    let cars = Sidecars::with_redis(impatient(), 2).await;
    let gate = cars.shop().hold_at(Endpoint::Pay, Moment::After);
    let order = Order::new();
    let pending = order.call(cars.first()).send().await;
    assert_eq!((pending.status, pending.how()), (202, "pending"), "{}", pending.text());
    assert!(pending.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
    assert!(pending.header("location").unwrap().starts_with("/refrain/sagas/"));
    for refrain in &cars.orders {
        let shown = status(refrain, &pending).await;
        let json = shown.json();
        assert_eq!((shown.status, &json["saga"], &json["state"]), (200, &"create-order".into(), &"running".into()));
        assert_eq!((&json["steps"][0]["state"], &json["steps"][2]["state"]), (&"done".into(), &"sending".into()));
        assert!(json.get("response").is_none() && shown.header("retry-after").is_some());
        let again = order.call(refrain).send().await;
        assert_eq!((again.status, again.header("location")), (202, pending.header("location")), "a 202 is not the answer");
    }
    gate.open();
    let answer = order.settled(&cars.orders[1]).await;
    assert_eq!(answer.status, 201);
    for refrain in &cars.orders {
        let json = status(refrain, &pending).await.json();
        assert_eq!((&json["state"], &json["response"]["status"]), (&"completed".into(), &201.into()));
        assert_eq!(json["response"]["body"], answer.json());
    }
    cars.shop().books(order.user).assert(Kept, order.amount, "the order");
}

#[tokio::test]
async fn a_saga_is_shown_to_its_starter_only() {
    let cars = Sidecars::with_files(impatient()).await;
    let _gate = cars.shop().hold_at(Endpoint::Pay, Moment::After);
    let order = Order::new();
    let pending = order.call(cars.first()).header("authorization", "Bearer one").send().await;
    let at = cars.first().url(pending.header("location").unwrap());
    for (header, status) in [(Some("Bearer one"), 200), (Some("Bearer other"), 404), (None, 404)] {
        let call = Call::get(&at);
        let call = header.map_or_else(|| call.clone(), |value| call.clone().header("authorization", value));
        assert_eq!(call.send().await.status, status, "{header:?}");
    }
}

#[tokio::test]
async fn a_caller_says_how_long_it_wants_to_wait() {
    let cars = Sidecars::with_files(Setup::default()).await;
    let gate = cars.shop().hold_at(Endpoint::Pay, Moment::After);
    let order = Order::new();
    let at_once = order.call(cars.first()).header("prefer", "respond-async").send().await;
    assert_eq!((at_once.status, at_once.header("preference-applied")), (202, Some("respond-async")));
    let soon = order.call(cars.first()).header("prefer", "wait=1").send().await;
    assert_eq!((soon.status, soon.header("preference-applied")), (202, Some("wait=1")));
    let patient = order.call(cars.first()).header("prefer", "wait=25").start();
    gate.started(1).await;
    gate.open();
    let patient = patient.answer().await;
    assert_eq!((patient.status, patient.header("preference-applied")), (201, Some("wait=25")));
}

#[tokio::test]
async fn a_starter_that_hangs_up_changes_nothing() {
    let cars = Sidecars::with_files(Setup::default()).await;
    let gate = cars.shop().hold_at(Endpoint::CreateOrder, Moment::After);
    let order = Order::new();
    let starter = order.call(cars.first()).start();
    gate.started(1).await;
    starter.hang_up().await;
    until_in_flight(&cars, 0).await;
    gate.open();
    assert_eq!(order.settled(cars.first()).await.status, 201);
    cars.shop().books(order.user).assert(Kept, order.amount, "the order");
}
