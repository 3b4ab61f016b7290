use serde_json::{Value, json};
use shop::services::billing;

use crate::support::service::Service;

/// Billing, with account 1 of user 5 holding `balance` cents.
async fn service_with_balance(balance: i64) -> Service {
    let billing = Service::new(billing::service).await;
    billing.post("/accounts/", json!({"user_id": 5})).await.is(201);
    if balance > 0 {
        billing.post("/balance_transactions/", transaction("charge", balance)).await.is(201);
    }
    billing
}

fn transaction(kind: &str, amount: i64) -> Value {
    json!({"account_id": 1, "type": kind, "amount": amount, "currency": "USD"})
}

async fn balance(billing: &Service) -> i64 {
    billing.get("/accounts/1/").await.is(200)["balance"].as_i64().unwrap()
}

#[tokio::test]
async fn an_opened_account_is_empty_and_found_by_id_and_by_user() {
    let billing = Service::new(billing::service).await;
    let opened = billing.post("/accounts/", json!({"user_id": 5})).await;
    assert_eq!(opened.headers["location"], "/accounts/1/");
    let expected = json!({"id": 1, "user_id": 5, "balance": 0});
    assert_eq!(opened.is(201), expected);
    assert_eq!(billing.get("/accounts/1/").await.is(200), expected);
    assert_eq!(billing.get("/accounts/find_by_user_id/5/").await.is(200), expected);
}

#[tokio::test]
async fn a_user_has_one_account_at_most() {
    let billing = service_with_balance(0).await;
    let second = billing.post("/accounts/", json!({"user_id": 5})).await;
    second.refuses(400, "invalid_request", "user 5 has an account already");
    billing.post("/accounts/", json!({"user_id": 6})).await.is(201);
}

#[tokio::test]
async fn an_account_for_nobody_is_refused() {
    let billing = service_with_balance(0).await;
    for (body, reason) in [
        (json!({}), "missing field `user_id`"),
        (json!({"user_id": 0}), "user_id: must be at least 1, not 0"),
        (json!({"user_id": "5"}), "user_id: invalid type: string"),
        (json!({"user_id": 6, "balance": 100}), "unknown field `balance`"),
    ] {
        billing.post("/accounts/", body).await.refuses(400, "invalid_request", reason);
    }
}

#[tokio::test]
async fn an_unused_account_can_be_closed_once_and_its_user_may_open_another() {
    let billing = service_with_balance(0).await;
    assert_eq!(billing.delete("/accounts/1/").await.is(204), Value::Null);
    billing.delete("/accounts/1/").await.refuses(404, "not_found", "there is no account 1");
    billing.get("/accounts/1/").await.refuses(404, "not_found", "there is no account 1");
    billing.get("/accounts/find_by_user_id/5/").await.refuses(404, "not_found", "user 5 has no account");
    // Its id is not given to another.
    assert_eq!(billing.post("/accounts/", json!({"user_id": 5})).await.is(201)["id"], 2);
}

#[tokio::test]
async fn an_account_on_which_money_moved_stays() {
    let billing = service_with_balance(100).await;
    billing.delete("/accounts/1/").await.refuses(409, "conflict", "money has moved on account 1");
    assert_eq!(balance(&billing).await, 100);
}

#[tokio::test]
async fn charges_and_refunds_add_and_payments_take_away() {
    let billing = service_with_balance(0).await;
    for (kind, amount, expected) in
        [("charge", 500, 500), ("payment", 200, 300), ("payment_refund", 50, 350), ("payment", 350, 0)]
    {
        billing.post("/balance_transactions/", transaction(kind, amount)).await.is(201);
        assert_eq!(balance(&billing).await, expected, "after {kind} of {amount}");
    }
}

#[tokio::test]
async fn a_transaction_is_answered_as_it_was_written_down() {
    let billing = service_with_balance(0).await;
    let mut new = transaction("charge", 500);
    new["reference"] = json!("r-1");
    let answer = billing.post("/balance_transactions/", new).await.is(201);
    assert!(answer["created_at"].as_str().unwrap().ends_with('Z'));
    let expected = json!({
        "id": 1,
        "account_id": 1,
        "type": "charge",
        "amount": 500,
        "currency": "USD",
        "reference": "r-1",
        "created_at": answer["created_at"],
    });
    assert_eq!(answer, expected);
    assert_eq!(billing.get("/balance_transactions/?reference=r-1").await.is(200), json!([expected]));
    assert_eq!(billing.get("/balance_transactions/?reference=r-2").await.is(200), json!([]));
    assert_eq!(billing.get("/balance_transactions/").await.is(200), json!([expected]));
}

#[tokio::test]
async fn a_payment_beyond_the_balance_is_402_and_changes_nothing() {
    let billing = service_with_balance(100).await;
    let refused = billing.post("/balance_transactions/", transaction("payment", 101)).await;
    refused.refuses(402, "insufficient_balance", "the balance of account 1 is less than 101 cents");
    assert_eq!(balance(&billing).await, 100);
    assert_eq!(billing.get("/balance_transactions/").await.is(200).as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn payments_at_once_never_take_more_than_there_is() {
    let billing = std::sync::Arc::new(service_with_balance(300).await);
    let mut payments = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let billing = billing.clone();
        payments.spawn(async move { billing.post("/balance_transactions/", transaction("payment", 100)).await.status });
    }
    let answers = payments.join_all().await;
    assert_eq!(answers.iter().filter(|status| status.as_u16() == 201).count(), 3);
    assert_eq!(answers.iter().filter(|status| status.as_u16() == 402).count(), 7);
    assert_eq!(balance(&billing).await, 0);
}

#[tokio::test]
async fn a_transaction_that_makes_no_sense_is_refused_with_its_reason_and_leaves_nothing() {
    let billing = service_with_balance(0).await;
    let with = |field: &str, value: Value| {
        let mut body = transaction("charge", 100);
        body[field] = value;
        body
    };
    for (body, reason) in [
        (with("account_id", json!(2)), "account_id: there is no account 2"),
        (with("account_id", json!(0)), "account_id: must be at least 1, not 0"),
        (with("type", json!("gift")), "type: unknown variant `gift`, expected one of `charge`"),
        (with("amount", json!(0)), "amount: must be at least 1, not 0"),
        (with("amount", json!(-100)), "amount: must be at least 1, not -100"),
        (with("amount", json!(0.5)), "amount: invalid type: floating point"),
        (with("amount", json!(10_000_000_001_i64)), "amount: must be at most 10000000000"),
        (with("currency", json!("EUR")), "currency: unknown variant `EUR`, expected `USD`"),
        (with("reference", json!("")), "reference: a reference must not be empty"),
        (with("cents", json!(1)), "unknown field `cents`"),
        (json!({"account_id": 1}), "missing field `type`"),
    ] {
        billing.post("/balance_transactions/", body).await.refuses(400, "invalid_request", reason);
    }
    assert_eq!(billing.get("/balance_transactions/").await.is(200), json!([]));
    assert_eq!(balance(&billing).await, 0);
}

#[tokio::test]
async fn it_says_that_it_is_healthy() {
    let billing = Service::new(billing::service).await;
    assert_eq!(billing.get("/healthz/").await.is(200), json!({"status": "ok"}));
}
