#![allow(clippy::unwrap_used)]

use std::time::Duration;

use serde_json::{Value, json};
use wiremock::matchers::{body_json, header, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;

/// What the shop says, one answer after the other, and the last one for ever.
async fn shop(answers: Vec<ResponseTemplate>) -> MockServer {
    let server = MockServer::start().await;
    let last = answers.len();
    for (place, answer) in answers.into_iter().enumerate() {
        let mock = Mock::given(method("POST")).and(path("/orders/")).respond_with(answer);
        let mock = if place + 1 == last { mock } else { mock.up_to_n_times(1) };
        mock.mount(&server).await;
    }
    server
}

fn client(server: &MockServer) -> Patient {
    let patience = Patience {
        within: Duration::from_secs(5),
        first_pause: Duration::from_millis(1),
        longest_pause: Duration::from_millis(5),
    };
    Patient::new(Edge::at(&server.uri()).unwrap(), patience)
}

fn order() -> Value {
    json!({"id": 7, "user_id": 5, "status": "complete", "amount": 200, "items": []})
}

fn problem(status: u16, retry: &str) -> ResponseTemplate {
    ResponseTemplate::new(status).set_body_json(json!({"title": "A problem", "status": status, "retry": retry}))
}

async fn ordered(server: &MockServer) -> Settled<Order> {
    let intent = Intent::order("token", &[Item { product_id: 1, quantity: 2 }]).under("k-1");
    client(server).settle(&intent).await.unwrap()
}

#[tokio::test]
async fn every_try_is_the_same_request_with_the_same_key() {
    let undecided = [
        ResponseTemplate::new(202),
        ResponseTemplate::new(503).insert_header("retry-after", "1"),
        problem(409, "same-key"),
        problem(502, "never"),
        ResponseTemplate::new(500),
        ResponseTemplate::new(429),
    ];
    let server = shop([undecided.to_vec(), vec![ResponseTemplate::new(201).set_body_json(order())]].concat()).await;
    let Settled { fate, retries } = ordered(&server).await;
    assert!(matches!(fate, Fate::Final { said: Order { id: 7, amount: 200, .. }, .. }), "{fate:?}");
    assert_eq!(retries, 6);
    let requests = server.received_requests().await.unwrap();
    assert_eq!(requests.len(), 7);
    for request in requests {
        assert_eq!(request.headers["idempotency-key"], "\"k-1\"");
        assert_eq!(request.headers["authorization"], "Bearer token");
        assert_eq!(request.body, br#"{"items":[{"product_id":1,"quantity":2}]}"#);
    }
}

#[tokio::test]
async fn a_refusal_is_not_asked_for_again() {
    for refusal in [
        problem(402, "never"),
        problem(409, "never"),
        ResponseTemplate::new(409).set_body_json(json!({"title": "The order was not placed"})),
        problem(422, "new-key"),
        ResponseTemplate::new(401),
        ResponseTemplate::new(500).insert_header("idempotency-replayed", "true"),
    ] {
        let server = shop(vec![refusal]).await;
        let Settled { fate, retries } = ordered(&server).await;
        assert!(matches!(fate, Fate::Refused { .. }), "{fate:?}");
        assert_eq!(retries, 0);
        assert_eq!(server.received_requests().await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn a_shop_that_never_decides_is_given_up_with_its_last_words() {
    let server = shop(vec![problem(409, "same-key")]).await;
    let patience = Patience {
        within: Duration::from_millis(50),
        first_pause: Duration::from_millis(1),
        longest_pause: Duration::from_millis(5),
    };
    let patient = Patient::new(Edge::at(&server.uri()).unwrap(), patience);
    let Settled { fate, retries } = patient.settle::<Order>(&Intent::order("token", &[])).await.unwrap();
    assert!(matches!(fate, Fate::GaveUp { ref last } if last == "409 A problem"), "{fate:?}");
    assert!(retries > 1);
}

#[tokio::test]
async fn nobody_who_listens_is_asked_again_until_there_is_somebody() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let edge = Edge::at(&format!("http://{address}")).unwrap();
    let patience = Patience {
        within: Duration::from_millis(30),
        first_pause: Duration::from_millis(1),
        longest_pause: Duration::from_millis(5),
    };
    let settled = Patient::new(edge, patience).settle::<Order>(&Intent::order("token", &[])).await.unwrap();
    assert!(matches!(settled.fate, Fate::GaveUp { ref last } if last.contains("POST /orders/")), "{settled:?}");
    assert!(settled.retries > 0);
}

#[tokio::test]
async fn a_charge_names_its_key_as_its_reference() {
    let server = MockServer::start().await;
    let charge = json!({"account_id": 3, "type": "charge", "amount": 500, "currency": "USD", "reference": "c-1"});
    Mock::given(path("/balance_transactions/"))
        .and(header("idempotency-key", "\"c-1\""))
        .and(body_json(charge))
        .respond_with(ResponseTemplate::new(201).set_body_json(json!({"id": 1, "account_id": 3, "amount": 500})))
        .mount(&server)
        .await;
    let settled = client(&server).settle::<Transaction>(&Intent::top_up("token", 3, 500, "c-1")).await.unwrap();
    assert_eq!(settled.done("the charge").unwrap(), Transaction { id: 1, account_id: 3, amount: 500 });
}

#[test]
fn pauses_grow_to_the_longest_and_no_further() {
    let patience = Patience::default();
    for undecided in [0, 1, 5, 31, 32, u32::MAX] {
        let pause = patience.pause(undecided, None);
        assert!(pause >= Duration::from_millis(25) && pause <= patience.longest_pause, "{undecided}: {pause:?}");
    }
    assert!(patience.pause(1, Some(Duration::from_secs(1))) >= Duration::from_secs(1));
    assert_eq!(patience.pause(1, Some(Duration::from_secs(3600))), patience.longest_pause);
}
