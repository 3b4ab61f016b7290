use serde_json::{Value, json};
use shop::services::billing;

use crate::support::database::Database;
use crate::support::service::Service;

on_each_database![
    an_opened_account_is_empty_and_found_by_id_by_user_and_by_reference,
    a_user_has_one_account_at_most,
    an_account_for_nobody_is_refused,
    an_unused_account_can_be_closed_once_and_its_user_may_open_another,
    an_account_on_which_money_moved_stays,
    charges_and_refunds_add_and_payments_take_away,
    a_transaction_is_answered_as_it_was_written_down,
    a_payment_beyond_the_balance_is_402_and_changes_nothing,
    payments_at_once_never_take_more_than_there_is,
    accounts_opened_at_once_for_a_user_are_one,
    an_account_closed_while_money_moves_is_gone_or_holds_it,
    a_transaction_that_makes_no_sense_is_refused_with_its_reason_and_leaves_nothing,
    a_caller_reads_the_own_account_and_must_be_known,
    to_a_caller_there_is_no_account_but_the_own,
    what_was_written_is_there_when_the_service_starts_again,
    it_says_that_it_is_healthy,
];

/// Billing, with an account of user 5, and the account's id.
async fn service_with_balance(database: Database, balance: i64) -> (Service, i64) {
    let billing = Service::new(billing::service, database).await;
    let account = open_account(&billing, 5).await;
    if balance > 0 {
        billing.post("/balance_transactions/", transaction(account, "charge", balance)).await.is(201);
    }
    (billing, account)
}

async fn open_account(billing: &Service, user_id: i64) -> i64 {
    billing.post("/accounts/", json!({"user_id": user_id})).await.is(201)["id"].as_i64().unwrap()
}

fn transaction(account: i64, kind: &str, amount: i64) -> Value {
    json!({"account_id": account, "type": kind, "amount": amount, "currency": "USD"})
}

async fn balance(billing: &Service, account: i64) -> i64 {
    billing.get(&format!("/accounts/{account}/")).await.is(200)["balance"].as_i64().unwrap()
}

/// The ids in a listing.
async fn listed(billing: &Service, path: &str) -> Vec<i64> {
    let rows = billing.get(path).await.is(200);
    rows.as_array().unwrap().iter().map(|row| row["id"].as_i64().unwrap()).collect()
}

async fn an_opened_account_is_empty_and_found_by_id_by_user_and_by_reference(database: Database) {
    let billing = Service::new(billing::service, database).await;
    let opened = billing.post("/accounts/", json!({"user_id": 5, "reference": "r-5"})).await;
    assert_eq!(opened.headers["location"], "/accounts/1/");
    let expected = json!({"id": 1, "user_id": 5, "balance": 0});
    assert_eq!(opened.is(201), expected);
    assert_eq!(billing.get("/accounts/1/").await.is(200), expected);
    assert_eq!(billing.get("/accounts/find_by_user_id/5/").await.is(200), expected);
    assert_eq!(billing.get("/accounts/?reference=r-5").await.is(200), json!([expected]));
    assert_eq!(billing.get("/accounts/?reference=r-6").await.is(200), json!([]));
    let second = open_account(&billing, 6).await;
    assert_eq!(listed(&billing, "/accounts/").await, [second, 1]);
    assert_eq!(listed(&billing, "/accounts/?limit=1").await, [second]);
}

async fn a_user_has_one_account_at_most(database: Database) {
    let (billing, account) = service_with_balance(database, 0).await;
    let second = billing.post("/accounts/", json!({"user_id": 5, "reference": "again"})).await;
    second.refuses(400, "invalid_request", "user 5 has an account already");
    assert_eq!(listed(&billing, "/accounts/").await, [account]);
    open_account(&billing, 6).await;
}

async fn an_account_for_nobody_is_refused(database: Database) {
    let (billing, _) = service_with_balance(database, 0).await;
    for (body, reason) in [
        (json!({}), "missing field `user_id`"),
        (json!({"user_id": 0}), "user_id: must be at least 1, not 0"),
        (json!({"user_id": "5"}), "user_id: invalid type: string"),
        (json!({"user_id": 6, "reference": ""}), "reference: a reference must not be empty"),
        (json!({"user_id": 6, "balance": 100}), "unknown field `balance`"),
    ] {
        billing.post("/accounts/", body).await.refuses(400, "invalid_request", reason);
    }
}

async fn an_unused_account_can_be_closed_once_and_its_user_may_open_another(database: Database) {
    let (billing, _) = service_with_balance(database, 0).await;
    assert_eq!(billing.delete("/accounts/1/").await.is(204), Value::Null);
    billing.delete("/accounts/1/").await.refuses(404, "not_found", "there is no account 1");
    billing.get("/accounts/1/").await.refuses(404, "not_found", "there is no account 1");
    billing.get("/accounts/find_by_user_id/5/").await.refuses(404, "not_found", "user 5 has no account");
    // Its id is not given to another.
    assert_eq!(open_account(&billing, 5).await, 2);
}

async fn an_account_on_which_money_moved_stays(database: Database) {
    let (billing, account) = service_with_balance(database, 100).await;
    billing.delete("/accounts/1/").await.refuses(409, "conflict", "money has moved on account 1");
    assert_eq!(balance(&billing, account).await, 100);
}

async fn charges_and_refunds_add_and_payments_take_away(database: Database) {
    let (billing, account) = service_with_balance(database, 0).await;
    for (kind, amount, expected) in
        [("charge", 500, 500), ("payment", 200, 300), ("payment_refund", 50, 350), ("payment", 350, 0)]
    {
        billing.post("/balance_transactions/", transaction(account, kind, amount)).await.is(201);
        assert_eq!(balance(&billing, account).await, expected, "after {kind} of {amount}");
    }
}

async fn a_transaction_is_answered_as_it_was_written_down(database: Database) {
    let (billing, account) = service_with_balance(database, 0).await;
    let mut new = transaction(account, "charge", 500);
    new["reference"] = json!("r-1");
    let answer = billing.post("/balance_transactions/", new).await.is(201);
    let written_at = answer["created_at"].as_str().unwrap();
    assert!(written_at.starts_with("20") && written_at.ends_with('Z'), "{written_at}");
    let expected = json!({
        "id": 1,
        "account_id": account,
        "type": "charge",
        "amount": 500,
        "currency": "USD",
        "reference": "r-1",
        "created_at": written_at,
    });
    assert_eq!(answer, expected);
    assert_eq!(billing.get("/balance_transactions/?reference=r-1").await.is(200), json!([expected]));
    assert_eq!(billing.get("/balance_transactions/?reference=r-2").await.is(200), json!([]));
    assert_eq!(billing.get("/balance_transactions/").await.is(200), json!([expected]));
}

async fn a_payment_beyond_the_balance_is_402_and_changes_nothing(database: Database) {
    let (billing, account) = service_with_balance(database, 100).await;
    let refused = billing.post("/balance_transactions/", transaction(account, "payment", 101)).await;
    refused.refuses(402, "insufficient_balance", "the balance of account 1 is less than 101 cents");
    assert_eq!(balance(&billing, account).await, 100);
    assert_eq!(listed(&billing, "/balance_transactions/").await.len(), 1);
}

/// Requests to two processes of billing, all at once; the statuses of the answers.
async fn at_once(billing: &Service, requests: impl IntoIterator<Item = (&'static str, Value)>) -> Vec<u16> {
    let processes = [billing.clone(), billing.another(billing::service).await];
    let mut answers = tokio::task::JoinSet::new();
    for ((path, body), process) in requests.into_iter().zip(processes.iter().cycle()) {
        let process = process.clone();
        answers.spawn(async move { process.post(path, body).await.status.as_u16() });
    }
    answers.join_all().await
}

fn count(statuses: &[u16], status: u16) -> usize {
    statuses.iter().filter(|&&one| one == status).count()
}

async fn payments_at_once_never_take_more_than_there_is(database: Database) {
    let (billing, account) = service_with_balance(database, 1_000).await;
    let payment = ("/balance_transactions/", transaction(account, "payment", 100));
    let answers = at_once(&billing, std::iter::repeat_n(payment, 40)).await;
    assert_eq!((count(&answers, 201), count(&answers, 402)), (10, 30), "{answers:?}");
    assert_eq!(balance(&billing, account).await, 0);
    assert_eq!(listed(&billing, "/balance_transactions/").await.len(), 11);
}

async fn accounts_opened_at_once_for_a_user_are_one(database: Database) {
    let billing = Service::new(billing::service, database).await;
    let opening = ("/accounts/", json!({"user_id": 5}));
    let answers = at_once(&billing, std::iter::repeat_n(opening, 20)).await;
    assert_eq!((count(&answers, 201), count(&answers, 400)), (1, 19), "{answers:?}");
    assert_eq!(listed(&billing, "/accounts/").await.len(), 1);
}

async fn an_account_closed_while_money_moves_is_gone_or_holds_it(database: Database) {
    let billing = Service::new(billing::service, database).await;
    let other = billing.another(billing::service).await;
    for user_id in 1..=20 {
        let account = open_account(&billing, user_id).await;
        let path = format!("/accounts/{account}/");
        let charge = transaction(account, "charge", 100);
        let (closed, charged) = tokio::join!(billing.delete(&path), other.post("/balance_transactions/", charge));
        match (closed.status.as_u16(), charged.status.as_u16()) {
            (204, 400) => billing.get(&path).await.refuses(404, "not_found", "no account"),
            (409, 201) => assert_eq!(balance(&billing, account).await, 100),
            answers => panic!("{answers:?}"),
        }
    }
}

async fn a_transaction_that_makes_no_sense_is_refused_with_its_reason_and_leaves_nothing(database: Database) {
    let (billing, account) = service_with_balance(database, 0).await;
    let with = |field: &str, value: Value| {
        let mut body = transaction(account, "charge", 100);
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
    assert_eq!(balance(&billing, account).await, 0);
}

async fn a_caller_reads_the_own_account_and_must_be_known(database: Database) {
    let (billing, account) = service_with_balance(database, 100).await;
    let own = billing.by(5).get("/account/").await.is(200);
    assert_eq!(own, json!({"id": account, "user_id": 5, "balance": 100}));
    billing.by(6).get("/account/").await.refuses(404, "not_found", "user 6 has no account");

    let nobody = billing.get("/account/").await;
    nobody.refuses(401, "unauthenticated", "say who you are");
    assert_eq!(nobody.headers["www-authenticate"], "Bearer");
    let garbled = billing.by_token("e30");
    garbled.get("/account/").await.refuses(401, "unauthenticated", "missing field `user_id`");
    // Whom nobody can name does not thereby come from inside.
    let charge = transaction(account, "charge", 100);
    garbled.post("/balance_transactions/", charge).await.refuses(401, "unauthenticated", "missing field `user_id`");
    garbled.get("/balance_transactions/").await.refuses(401, "unauthenticated", "missing field `user_id`");
    assert_eq!(balance(&billing, account).await, 100);
}

async fn to_a_caller_there_is_no_account_but_the_own(database: Database) {
    let (billing, account) = service_with_balance(database, 0).await;
    let other = open_account(&billing, 6).await;
    let mut charge = transaction(account, "charge", 100);
    charge["reference"] = json!("r-1");
    let own = billing.by(5).post("/balance_transactions/", charge.clone()).await.is(201)["id"].as_i64().unwrap();
    let payment = transaction(account, "payment", 101);
    billing.by(5).post("/balance_transactions/", payment).await.refuses(402, "insufficient_balance", "less than 101");
    charge["account_id"] = json!(other);
    billing.by(5).post("/balance_transactions/", charge.clone()).await.refuses(400, "invalid_request", "there is no account 2");
    assert_eq!(balance(&billing, other).await, 0);

    let others = billing.post("/balance_transactions/", charge).await.is(201)["id"].as_i64().unwrap();
    for (service, path, expected) in [
        (billing.clone(), "/balance_transactions/", vec![others, own]),
        (billing.clone(), "/balance_transactions/?reference=r-1", vec![others, own]),
        (billing.by(5), "/balance_transactions/", vec![own]),
        (billing.by(5), "/balance_transactions/?reference=r-1", vec![own]),
        (billing.by(5), "/balance_transactions/?reference=r-2", vec![]),
        (billing.by(7), "/balance_transactions/", vec![]),
    ] {
        assert_eq!(listed(&service, path).await, expected, "{path}");
    }
}

async fn what_was_written_is_there_when_the_service_starts_again(database: Database) {
    let (billing, account) = service_with_balance(database, 100).await;
    let again = billing.another(billing::service).await;
    assert_eq!(balance(&again, account).await, 100);
}

async fn it_says_that_it_is_healthy(database: Database) {
    let billing = Service::new(billing::service, database).await;
    assert_eq!(billing.get("/healthz/").await.is(200), json!({"status": "ok"}));
}
