use axum::body::Body;
use axum::http::{Method, Request};
use serde_json::{Value, json};
use shop::services::orders;

use crate::support::service::Service;

async fn service() -> Service {
    Service::new(orders::service).await
}

fn one_item() -> Value {
    json!({"items": [{"product_id": 1, "quantity": 1}]})
}

#[tokio::test]
async fn a_placed_order_is_priced_created_and_found_where_it_says() {
    let orders = service().await;
    let items = json!([{"product_id": 7, "quantity": 2}, {"product_id": 9, "quantity": 3}]);
    let placed = orders.post("/orders/", json!({"user_id": 5, "items": items, "reference": "r-1"})).await;
    assert_eq!(placed.headers["location"], "/orders/1/");
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
        "reference": "r-1",
        "created_at": order["created_at"],
    });
    assert_eq!(order, expected);
    assert_eq!(orders.get("/orders/1/").await.is(200), expected);
}

#[tokio::test]
async fn user_and_reference_may_be_left_out() {
    let order = service().await.post("/orders/", one_item()).await.is(201);
    assert_eq!(order["user_id"], Value::Null);
    assert_eq!(order["reference"], Value::Null);
}

#[tokio::test]
async fn every_post_is_an_order_of_its_own() {
    let orders = service().await;
    assert_eq!(orders.post("/orders/", one_item()).await.is(201)["id"], 1);
    assert_eq!(orders.post("/orders/", one_item()).await.is(201)["id"], 2);
}

#[tokio::test]
async fn a_listing_has_the_newest_first_up_to_its_limit_or_only_one_reference() {
    let orders = service().await;
    assert_eq!(orders.get("/orders/").await.is(200), json!([]));
    for reference in ["a b", "c", "a b"] {
        let mut order = one_item();
        order["reference"] = json!(reference);
        orders.post("/orders/", order).await.is(201);
    }
    for (path, expected) in [
        ("/orders/", vec![3, 2, 1]),
        ("/orders/?limit=2", vec![3, 2]),
        ("/orders/?reference=a%20b", vec![3, 1]),
        ("/orders/?reference=a%20b&limit=1", vec![3]),
        ("/orders/?reference=nobody", vec![]),
    ] {
        let listed = orders.get(path).await.is(200);
        let ids: Vec<_> = listed.as_array().unwrap().iter().map(|order| order["id"].as_i64().unwrap()).collect();
        assert_eq!(ids, expected, "{path}");
    }
    orders.get("/orders/?limit=0").await.refuses(400, "invalid_request", "limit: must be at least 1, not 0");
    orders.get("/orders/?reference=").await.refuses(400, "invalid_request", "must not be empty");
    orders.get("/orders/?refrence=a").await.refuses(400, "invalid_request", "unknown field `refrence`");
}

#[tokio::test]
async fn a_status_can_be_set_to_each_of_the_five_and_to_nothing_else() {
    let orders = service().await;
    let mut expected = orders.post("/orders/", one_item()).await.is(201);
    for status in ["processing", "complete", "processing", "cancelled", "refunded", "created"] {
        expected["status"] = json!(status);
        assert_eq!(orders.patch("/orders/1/", json!({"status": status})).await.is(200), expected);
        assert_eq!(orders.get("/orders/1/").await.is(200), expected);
    }
    let lost = orders.patch("/orders/1/", json!({"status": "lost"})).await;
    lost.refuses(400, "invalid_request", "status: unknown variant `lost`, expected one of `created`");
    orders.patch("/orders/1/", json!({})).await.refuses(400, "invalid_request", "missing field `status`");
    assert_eq!(orders.get("/orders/1/").await.is(200), expected);
}

#[tokio::test]
async fn an_order_that_makes_no_sense_is_refused_with_its_reason_and_leaves_nothing() {
    let orders = service().await;
    let item = |product_id: Value, quantity: Value| json!([{"product_id": product_id, "quantity": quantity}]);
    let many = Value::from(vec![json!({"product_id": 1, "quantity": 1}); 101]);
    for (body, reason) in [
        (json!({}), "missing field `items`"),
        (json!({"items": []}), "items: an order has at least one"),
        (json!({"items": many}), "items: an order has at most 100, not 101"),
        (json!({"items": item(json!(1), json!(0))}), "items[0].quantity: must be at least 1, not 0"),
        (json!({"items": item(json!(1), json!(-1))}), "items[0].quantity: must be at least 1, not -1"),
        (json!({"items": item(json!(1), json!(10_001))}), "items[0].quantity: must be at most 10000, not 10001"),
        (json!({"items": item(json!(1), json!(1.5))}), "items[0].quantity: invalid type: floating point"),
        (json!({"items": item(json!(1), json!("2"))}), "items[0].quantity: invalid type: string"),
        (json!({"items": item(json!(0), json!(1))}), "items[0].product_id: must be at least 1, not 0"),
        (json!({"items": [{"product_id": 1}]}), "items[0]: missing field `quantity`"),
        (json!({"items": 1}), "items: invalid type"),
        (json!({"items": item(json!(1), json!(1)), "user_id": 0}), "user_id: must be at least 1, not 0"),
        (json!({"items": item(json!(1), json!(1)), "reference": ""}), "reference: a reference must not be empty"),
        (json!({"items": item(json!(1), json!(1)), "reference": "x".repeat(256)}), "at most 255 characters, not 256"),
        (json!({"items": item(json!(1), json!(1)), "amount": 1}), "unknown field `amount`"),
        (json!([]), "invalid"),
    ] {
        orders.post("/orders/", body).await.refuses(400, "invalid_request", reason);
    }
    assert_eq!(orders.get("/orders/").await.is(200), json!([]));
}

#[tokio::test]
async fn a_body_that_is_not_json_or_too_large_is_refused() {
    let orders = service().await;
    for body in ["", "{", "items"] {
        let answer = orders.call(Method::POST, "/orders/", Body::from(body)).await;
        answer.refuses(400, "invalid_request", "parse the request body as JSON");
    }
    let request = Request::post("/orders/").body(Body::from(one_item().to_string())).unwrap();
    orders.send(request).await.refuses(415, "refused", "Content-Type: application/json");
    let large = Body::from(vec![b' '; 64 * 1024 + 1]);
    orders.call(Method::POST, "/orders/", large).await.refuses(413, "refused", "length limit exceeded");
}

#[tokio::test]
async fn what_is_not_there_is_404_in_json() {
    let orders = service().await;
    orders.get("/orders/1/").await.refuses(404, "not_found", "there is no order 1");
    orders.get("/orders/first/").await.refuses(404, "not_found", "ids are whole numbers");
    orders.patch("/orders/1/", json!({"status": "complete"})).await.refuses(404, "not_found", "there is no order 1");
    orders.get("/orders").await.refuses(404, "not_found", "every path ends in a slash");
    orders.delete("/orders/").await.refuses(405, "refused", "/orders/ does not take DELETE");
}

#[tokio::test]
async fn it_says_that_it_is_healthy() {
    assert_eq!(service().await.get("/healthz/").await.is(200), json!({"status": "ok"}));
}
