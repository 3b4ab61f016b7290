//! What does not begin, and what a step's answer must give.

use crate::support::{
    books::Outcome::Undone,
    client::Call,
    refrain::command,
    shop::{Endpoint, Fault},
    sidecars::{Order, Setup, Sidecars},
};
use serde_json::json;

#[tokio::test]
async fn what_fails_its_input_checks_is_told_why_and_writes_nothing() {
    let mut cars = Sidecars::with_redis(Setup::default(), 1).await;
    let bodies = [
        (r#"{"user_id": 7, "items": []}"#, 422, "items"),
        (r#"{"user_id": "7", "items": [1]}"#, 422, "user_id"),
        (r#"{"items": [1]}"#, 422, "user_id"),
        (r#"{"user_id": 7, "items": [1"#, 400, "JSON"),
    ];
    for (body, status, named) in bodies {
        let refused = Call::post(&cars.first().url("/orders/")).key("k").json(body).send().await;
        assert_eq!(refused.status, status, "{body}: {}", refused.text());
        assert!(refused.json()["detail"].as_str().unwrap().contains(named), "{body}: {}", refused.text());
    }
    let without_key = Call::post(&cars.first().url("/orders/")).json(Order::new().body()).send().await;
    assert_eq!((without_key.status, without_key.problem()), (400, "key-missing"));
    for pattern in ["refrain:j:*", "refrain:r:*"] {
        let keys: Vec<String> = cars.redis().admin(&["KEYS", pattern]);
        assert_eq!(keys, Vec::<String>::new());
    }
    assert_eq!(cars.shop().asked().len(), 0);
    let body = Order::new().body();
    let right = Call::post(&cars.first().url("/orders/")).key("k").json(body).send().await;
    assert_eq!((right.status, right.how()), (201, "executed"), "the key was not used");
}

#[tokio::test]
async fn an_answer_without_what_is_needed_of_it_is_a_failure_of_its_step() {
    let cars = Sidecars::with_files(Setup::default()).await;
    cars.shop().fault(Endpoint::FindAccount, Fault::Answer(200, json!({"number": 7})));
    let order = Order::new();
    let refused = order.call(cars.first()).send().await;
    assert_eq!((refused.status, refused.how()), (409, "executed"), "{}", refused.text());
    let books = cars.shop().books(order.user);
    books.assert(Undone, order.amount, "the order");
    assert_eq!((books.orders.len(), cars.shop().count(Endpoint::Pay)), (1, 0), "nothing was paid to nobody's account");
}

#[tokio::test]
async fn what_was_done_and_cannot_be_undone_for_want_of_its_answer_waits_for_an_operator() {
    let cars = Sidecars::with_files(Setup::default()).await;
    cars.shop().fault(Endpoint::CreateOrder, Fault::Answer(201, json!({"number": 7})));
    let order = Order::new();
    let stuck = order.call(cars.first()).send().await;
    assert_eq!((stuck.status, stuck.how(), stuck.problem()), (500, "pending", "quarantined"), "{}", stuck.text());
    let said = cars.first().logged(&["\"ERROR\"", "waits for an operator"]).await;
    assert!(said.contains("create_order") && said.contains("id"), "{said}");
    assert_eq!(cars.first().metric("refrain_saga_transitions_total{state=\"quarantined\"}").await, 1.0);
}

/// What `refrain check` says of a saga.
fn checked(cars: &Sidecars, saga: &str) -> (Option<i32>, String) {
    cars.around.rewrite_saga(saga);
    let file = cars.around.file("refrain.yaml");
    std::fs::write(&file, cars.around.orders_yaml("embedded:./refrain.db")).unwrap();
    let output = command(&["check", "--config", file.to_str().unwrap()], None);
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[tokio::test]
async fn a_saga_with_secrets_is_refused_where_the_store_does_not_encrypt() {
    let cars = Sidecars::with_files(Setup::default()).await;
    let saga = Setup::default().saga;
    assert_eq!(checked(&cars, &saga).0, Some(0));
    let (code, said) = checked(&cars, &saga.replace("deadline: 30s", "deadline: 30s\nsensitive: true"));
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("saga.yaml:") && said.contains("sensitive") && said.contains("encrypt"), "{said}");
}
