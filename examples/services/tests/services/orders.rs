use axum::body::Body;
use axum::http::{Method, Request};
use serde_json::{Value, json};
use shop::services::orders;

use crate::support::database::Database;
use crate::support::service::Service;

on_each_database![
    a_placed_order_is_priced_created_and_found_where_it_says,
    the_reference_may_be_left_out,
    every_post_is_an_order_of_its_own,
    a_listing_has_the_newest_first_up_to_its_limit_or_only_one_reference,
    a_status_can_be_set_to_each_of_the_five_and_to_nothing_else,
    an_order_that_makes_no_sense_is_refused_with_its_reason_and_leaves_nothing,
    a_body_that_is_not_json_or_too_large_is_refused,
    what_is_not_there_is_404_in_json,
    a_caller_sees_the_own_orders_alone,
    it_says_that_it_is_healthy,
];

async fn service(database: Database) -> Service {
    Service::new(orders::service, database).await
}

fn one_item() -> Value {
    json!({"user_id": 5, "items": [{"product_id": 1, "quantity": 1}]})
}

/// The ids in a listing.
async fn listed(orders: &Service, path: &str) -> Vec<i64> {
    let rows = orders.get(path).await.is(200);
    rows.as_array().unwrap().iter().map(|row| row["id"].as_i64().unwrap()).collect()
}

async fn a_placed_order_is_priced_created_and_found_where_it_says(database: Database) {
    let orders = service(database).await;
    let items = json!([{"product_id": 7, "quantity": 2}, {"product_id": 9, "quantity": 3}]);
    let placed = orders.post("/internal/orders/", json!({"user_id": 5, "items": items, "reference": "r-1"})).await;
    assert_eq!(placed.headers["location"], "/internal/orders/1/");
    let order = placed.is(201);
    assert!(order["created_at"].as_str().unwrap().ends_with('Z'));
    let expected = json!({
        "id": 1,
        "user_id": 5,
        "items": [
            {"product_id": 7, "quantity": 2, "unit_price": 100},
            {"product_id": 9, "quantity": 3, "unit_price": 100},
        ],
        "status": "created",
        "amount": 500,
        "currency": "USD",
        "reference": "r-1",
        "created_at": order["created_at"],
    });
    assert_eq!(order, expected);
    assert_eq!(orders.get("/internal/orders/1/").await.is(200), expected);
}

async fn the_reference_may_be_left_out(database: Database) {
    let order = service(database).await.post("/internal/orders/", one_item()).await.is(201);
    assert_eq!(order["reference"], Value::Null);
}

async fn every_post_is_an_order_of_its_own(database: Database) {
    let orders = service(database).await;
    assert_eq!(orders.post("/internal/orders/", one_item()).await.is(201)["id"], 1);
    assert_eq!(orders.post("/internal/orders/", one_item()).await.is(201)["id"], 2);
}

async fn a_listing_has_the_newest_first_up_to_its_limit_or_only_one_reference(database: Database) {
    let orders = service(database).await;
    assert_eq!(orders.get("/internal/orders/").await.is(200), json!([]));
    for reference in ["a b", "c", "a b"] {
        let mut order = one_item();
        order["reference"] = json!(reference);
        orders.post("/internal/orders/", order).await.is(201);
    }
    for (path, expected) in [
        ("/internal/orders/", vec![3, 2, 1]),
        ("/internal/orders/?limit=2", vec![3, 2]),
        ("/internal/orders/?reference=a%20b", vec![3, 1]),
        ("/internal/orders/?reference=a%20b&limit=1", vec![3]),
        ("/internal/orders/?reference=nobody", vec![]),
    ] {
        assert_eq!(listed(&orders, path).await, expected, "{path}");
    }
    orders.get("/internal/orders/?limit=0").await.refuses(400, "invalid_request", "limit: must be at least 1, not 0");
    orders.get("/internal/orders/?reference=").await.refuses(400, "invalid_request", "must not be empty");
    orders.get("/internal/orders/?refrence=a").await.refuses(400, "invalid_request", "unknown field `refrence`");
}

async fn a_status_can_be_set_to_each_of_the_five_and_to_nothing_else(database: Database) {
    let orders = service(database).await;
    let mut expected = orders.post("/internal/orders/", one_item()).await.is(201);
    for status in ["processing", "complete", "processing", "cancelled", "refunded", "created"] {
        expected["status"] = json!(status);
        assert_eq!(orders.patch("/internal/orders/1/", json!({"status": status})).await.is(200), expected);
        assert_eq!(orders.get("/internal/orders/1/").await.is(200), expected);
    }
    let lost = orders.patch("/internal/orders/1/", json!({"status": "lost"})).await;
    lost.refuses(400, "invalid_request", "status: unknown variant `lost`, expected one of `created`");
    orders.patch("/internal/orders/1/", json!({})).await.refuses(400, "invalid_request", "missing field `status`");
    assert_eq!(orders.get("/internal/orders/1/").await.is(200), expected);
}

async fn an_order_that_makes_no_sense_is_refused_with_its_reason_and_leaves_nothing(database: Database) {
    let orders = service(database).await;
    let item = |product_id: Value, quantity: Value| json!([{"product_id": product_id, "quantity": quantity}]);
    let many = Value::from(vec![json!({"product_id": 1, "quantity": 1}); 101]);
    for (body, reason) in [
        (json!({}), "missing field `user_id`"),
        (json!({"user_id": 5}), "missing field `items`"),
        (json!({"user_id": 5, "items": []}), "items: an order has at least one"),
        (json!({"user_id": 5, "items": many}), "items: an order has at most 100, not 101"),
        (json!({"user_id": 5, "items": item(json!(1), json!(0))}), "items[0].quantity: must be at least 1, not 0"),
        (json!({"user_id": 5, "items": item(json!(1), json!(-1))}), "items[0].quantity: must be at least 1, not -1"),
        (json!({"user_id": 5, "items": item(json!(1), json!(10_001))}), "items[0].quantity: must be at most 10000, not 10001"),
        (json!({"user_id": 5, "items": item(json!(1), json!(1.5))}), "items[0].quantity: invalid type: floating point"),
        (json!({"user_id": 5, "items": item(json!(1), json!("2"))}), "items[0].quantity: invalid type: string"),
        (json!({"user_id": 5, "items": item(json!(0), json!(1))}), "items[0].product_id: must be at least 1, not 0"),
        (json!({"user_id": 5, "items": [{"product_id": 1}]}), "items[0]: missing field `quantity`"),
        (json!({"user_id": 5, "items": 1}), "items: invalid type"),
        (json!({"user_id": 0, "items": item(json!(1), json!(1))}), "user_id: must be at least 1, not 0"),
        (json!({"user_id": 5, "items": item(json!(1), json!(1)), "reference": ""}), "reference: a reference must not be empty"),
        (
            json!({"user_id": 5, "items": item(json!(1), json!(1)), "reference": "a\u{0}"}),
            "reference: a reference has no control characters",
        ),
        (
            json!({"user_id": 5, "items": item(json!(1), json!(1)), "reference": "x".repeat(256)}),
            "at most 255 characters, not 256",
        ),
        (json!({"user_id": 5, "items": item(json!(1), json!(1)), "amount": 1}), "unknown field `amount`"),
        (json!([]), "invalid"),
    ] {
        orders.post("/internal/orders/", body).await.refuses(400, "invalid_request", reason);
    }
    assert_eq!(orders.get("/internal/orders/").await.is(200), json!([]));
}

async fn a_body_that_is_not_json_or_too_large_is_refused(database: Database) {
    let orders = service(database).await;
    for body in ["", "{", "items"] {
        let answer = orders.call(Method::POST, "/internal/orders/", Body::from(body)).await;
        answer.refuses(400, "invalid_request", "parse the request body as JSON");
    }
    let request = Request::post("/internal/orders/").body(Body::from(one_item().to_string())).unwrap();
    orders.send(request).await.refuses(415, "refused", "Content-Type: application/json");
    let large = Body::from(vec![b' '; 64 * 1024 + 1]);
    orders.call(Method::POST, "/internal/orders/", large).await.refuses(413, "refused", "length limit exceeded");
}

async fn what_is_not_there_is_404_in_json(database: Database) {
    let orders = service(database).await;
    orders.get("/internal/orders/1/").await.refuses(404, "not_found", "there is no order 1");
    orders.get("/internal/orders/first/").await.refuses(404, "not_found", "ids are whole numbers");
    orders.patch("/internal/orders/1/", json!({"status": "complete"})).await.refuses(404, "not_found", "there is no order 1");
    orders.get("/orders").await.refuses(404, "not_found", "every path ends in a slash");
    orders.delete("/internal/orders/").await.refuses(405, "refused", "/internal/orders/ does not take DELETE");
}

async fn a_caller_sees_the_own_orders_alone(database: Database) {
    let orders = service(database).await;
    for (user_id, reference) in [(5, "r-1"), (6, "r-1"), (5, "r-2")] {
        let mut order = one_item();
        order["user_id"] = json!(user_id);
        order["reference"] = json!(reference);
        orders.post("/internal/orders/", order).await.is(201);
    }
    for (user_id, path, expected) in [
        (5, "/orders/", vec![3, 1]),
        (5, "/orders/?limit=1", vec![3]),
        (5, "/orders/?reference=r-1", vec![1]),
        (6, "/orders/", vec![2]),
        (7, "/orders/", vec![]),
    ] {
        assert_eq!(listed(&orders.by(user_id), path).await, expected, "{path} of {user_id}");
    }
    let first = orders.get("/internal/orders/1/").await.is(200);
    assert_eq!(orders.by(5).get("/orders/1/").await.is(200), first);
    orders.by(6).get("/orders/1/").await.refuses(404, "not_found", "there is no order 1");

    for path in ["/orders/", "/orders/1/"] {
        orders.get(path).await.refuses(401, "unauthenticated", "say who you are");
    }
    // Who places an order is not the service's to know: it is told so from inside.
    orders.by(5).post("/orders/", one_item()).await.refuses(405, "refused", "/orders/ does not take POST");
}

async fn it_says_that_it_is_healthy(database: Database) {
    assert_eq!(service(database).await.get("/healthz/").await.is(200), json!({"status": "ok"}));
}
