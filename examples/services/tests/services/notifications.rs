use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use shop::services::notifications;

use crate::support::database::Database;
use crate::support::service::{Answer, Service};

on_each_database![
    who_registers_is_welcomed,
    who_ordered_gets_a_mail_with_what_and_for_how_much,
    every_event_makes_a_mail_and_the_newest_comes_first,
    an_event_that_lacks_a_header_is_told_which,
    an_event_of_another_kind_or_version_is_refused,
    an_event_that_makes_no_sense_is_refused_with_its_reason_and_leaves_nothing,
    it_says_that_it_is_healthy,
];

async fn service(database: Database) -> Service {
    Service::new(notifications::service, database).await
}

fn headers(id: &str, kind: &str) -> Vec<(&'static str, String)> {
    vec![
        ("ce-specversion", "1.0".to_owned()),
        ("ce-id", id.to_owned()),
        ("ce-source", "/shop".to_owned()),
        ("ce-type", kind.to_owned()),
        ("content-type", "application/json".to_owned()),
    ]
}

async fn send(service: &Service, path: &str, headers: Vec<(&'static str, String)>, data: &Value) -> Answer {
    let mut request = Request::post(path);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    service.send(request.body(Body::from(data.to_string())).unwrap()).await
}

fn registered() -> Value {
    json!({"user_id": 5, "email": "ada@example.com", "first_name": "Ada"})
}

async fn register(service: &Service, id: &str, data: Value) -> Answer {
    send(service, "/events/user-registered/", headers(id, "user-registered"), &data).await
}

fn completed() -> Value {
    json!({
        "order_id": 3,
        "user_id": 5,
        "email": "ada@example.com",
        "amount": 1_250,
        "currency": "USD",
        "items": [{"product_id": 7, "quantity": 12, "unit_price": 100}, {"product_id": 9, "quantity": 1, "unit_price": 50}],
    })
}

async fn complete(service: &Service, id: &str, data: Value) -> Answer {
    send(service, "/events/order-completed/", headers(id, "order-completed"), &data).await
}

async fn who_registers_is_welcomed(database: Database) {
    let service = service(database).await;
    let mut data = registered();
    data["first_name"] = json!("<b>Ada</b> & Co");
    assert_eq!(register(&service, "e-1", data).await.is(202), Value::Null);
    let listed = service.get("/notifications/?reference=e-1").await.is(200);
    let created_at = listed[0]["created_at"].as_str().unwrap();
    assert!(created_at.starts_with("20") && created_at.ends_with('Z'), "{created_at}");
    let expected = json!([{
        "id": 1,
        "event_id": "e-1",
        "kind": "user-registered",
        "recipient": "ada@example.com",
        "subject": "Welcome to the shop, <b>Ada</b> & Co",
        "body": "Hello <b>Ada</b> & Co,\n\nyour account is open. You log in with ada@example.com.\n\nThe shop",
        "created_at": created_at,
    }]);
    assert_eq!(listed, expected);
}

async fn who_ordered_gets_a_mail_with_what_and_for_how_much(database: Database) {
    let service = service(database).await;
    complete(&service, "e-1", completed()).await.is(202);
    let mail = service.get("/notifications/").await.is(200)[0].clone();
    assert_eq!((&mail["kind"], &mail["recipient"]), (&json!("order-completed"), &json!("ada@example.com")));
    assert_eq!(mail["subject"], "Your order 3 is complete");
    let body = mail["body"].as_str().unwrap();
    for line in ["12 × product 7, 1.00 USD each", "1 × product 9, 0.50 USD each", "Paid from your balance: 12.50 USD"] {
        assert!(body.lines().any(|said| said == line), "{body}");
    }

    let mut data = completed();
    data.as_object_mut().unwrap().remove("email");
    data["more"] = json!("events grow");
    complete(&service, "e-2", data).await.is(202);
    assert_eq!(service.get("/notifications/").await.is(200)[0]["recipient"], Value::Null);
}

async fn every_event_makes_a_mail_and_the_newest_comes_first(database: Database) {
    let service = service(database).await;
    assert_eq!(service.get("/notifications/").await.is(200), json!([]));
    register(&service, "a", registered()).await.is(202);
    complete(&service, "b%20c", completed()).await.is(202);
    register(&service, "a", registered()).await.is(202);
    for (path, expected) in [
        ("/notifications/", vec!["a", "b c", "a"]),
        ("/notifications/?limit=2", vec!["a", "b c"]),
        ("/notifications/?reference=b%20c", vec!["b c"]),
        ("/notifications/?reference=a", vec!["a", "a"]),
        ("/notifications/?reference=a&limit=1", vec!["a"]),
        ("/notifications/?reference=c", vec![]),
    ] {
        let listed = service.get(path).await.is(200);
        let ids: Vec<_> = listed.as_array().unwrap().iter().map(|mail| mail["event_id"].as_str().unwrap()).collect();
        assert_eq!(ids, expected, "{path}");
    }
    service.get("/notifications/?limit=0").await.refuses(400, "invalid_request", "limit: must be at least 1, not 0");
}

async fn an_event_that_lacks_a_header_is_told_which(database: Database) {
    let service = service(database).await;
    for missing in ["ce-specversion", "ce-id", "ce-source", "ce-type"] {
        let rest = headers("e-1", "order-completed").into_iter().filter(|header| header.0 != missing).collect();
        let refused = send(&service, "/events/order-completed/", rest, &completed()).await;
        refused.refuses(400, "invalid_request", &format!("{missing}: the header is missing"));
    }
    let rest = headers("e-1", "order-completed").into_iter().filter(|header| header.0 != "content-type").collect();
    let refused = send(&service, "/events/order-completed/", rest, &completed()).await;
    refused.refuses(415, "refused", "Content-Type: application/json");
    assert_eq!(service.get("/notifications/").await.is(200), json!([]));
}

async fn an_event_of_another_kind_or_version_is_refused(database: Database) {
    let service = service(database).await;
    let other = send(&service, "/events/order-completed/", headers("e-1", "user-registered"), &completed()).await;
    other.refuses(400, "invalid_request", "ce-type: this path takes order-completed, not user-registered");
    let mut old = headers("e-1", "user-registered");
    old[0].1 = "0.3".to_owned();
    let old = send(&service, "/events/user-registered/", old, &registered()).await;
    old.refuses(400, "invalid_request", "ce-specversion: must be 1.0, not 0.3");
    assert_eq!(service.get("/notifications/").await.is(200), json!([]));
}

async fn an_event_that_makes_no_sense_is_refused_with_its_reason_and_leaves_nothing(database: Database) {
    let service = service(database).await;
    let with = |mut data: Value, field: &str, value: Value| {
        data[field] = value;
        data
    };
    for (data, reason) in [
        (json!({}), "missing field `user_id`"),
        (with(registered(), "email", json!("ada")), "email: must be an e-mail address"),
        (with(registered(), "email", Value::Null), "email: invalid type: null"),
        (with(registered(), "first_name", json!("Ada\nBcc: all@example.com")), "first_name: must be one line"),
    ] {
        register(&service, "e-1", data).await.refuses(400, "invalid_request", reason);
    }
    for (data, reason) in [
        (with(completed(), "amount", json!(0)), "amount: must be at least 1, not 0"),
        (with(completed(), "currency", json!("EUR")), "currency: unknown variant `EUR`"),
        (with(completed(), "items", json!([{"product_id": 1}])), "items[0]: missing field `quantity`"),
        (with(completed(), "order_id", json!("3")), "order_id: invalid type: string"),
    ] {
        complete(&service, "e-1", data).await.refuses(400, "invalid_request", reason);
    }
    register(&service, "%00", registered()).await.refuses(400, "invalid_request", "ce-id: a reference");
    assert_eq!(service.get("/notifications/").await.is(200), json!([]));
}

async fn it_says_that_it_is_healthy(database: Database) {
    assert_eq!(service(database).await.get("/healthz/").await.is(200), json!({"status": "ok"}));
}
