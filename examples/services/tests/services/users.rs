use serde_json::{Value, json};
use shop::services::users;

use crate::support::database::Database;
use crate::support::service::{Answer, Service};

on_each_database![
    a_registered_user_is_shown_without_the_password_and_found_where_it_says,
    a_user_that_makes_no_sense_is_refused_with_its_reason_and_leaves_nothing,
    an_address_or_a_number_has_one_user_however_it_is_written,
    of_registrations_at_once_with_one_address_one_is_taken,
    what_a_change_leaves_out_stays_and_what_it_sets_to_null_is_cleared,
    a_change_that_makes_no_sense_is_refused_with_its_reason_and_changes_nothing,
    a_removed_user_is_gone_and_the_address_is_free,
    the_right_password_logs_in_and_says_when_the_last_time_was,
    whoever_is_refused_is_told_the_same,
    a_caller_sees_and_changes_the_own_user_alone,
    a_caller_must_be_known,
    it_says_that_it_is_healthy,
];

const PASSWORD: &str = "correct horse battery";

async fn service(database: Database) -> Service {
    Service::new(users::service, database).await
}

fn ada() -> Value {
    json!({
        "email": "Ada@Example.com",
        "phone": "+1 (202) 555-0123",
        "first_name": "Ada",
        "last_name": "Lovelace",
        "password": PASSWORD,
    })
}

fn grace() -> Value {
    json!({"email": "grace@example.com", "first_name": "Grace", "last_name": "Hopper"})
}

fn with(mut user: Value, field: &str, value: Value) -> Value {
    user[field] = value;
    user
}

async fn authenticate(users: &Service, email: &str, password: &str) -> Answer {
    users.post("/authenticate/", json!({"email": email, "password": password})).await
}

async fn a_registered_user_is_shown_without_the_password_and_found_where_it_says(database: Database) {
    let users = service(database).await;
    let registered = users.post("/users/", with(ada(), "reference", json!("r-1"))).await;
    assert_eq!(registered.headers["location"], "/users/1/");
    let user = registered.is(201);
    let created_at = user["created_at"].as_str().unwrap();
    assert!(created_at.starts_with("20") && created_at.ends_with('Z'), "{created_at}");
    let expected = json!({
        "id": 1,
        "email": "Ada@Example.com",
        "phone": "+12025550123",
        "first_name": "Ada",
        "last_name": "Lovelace",
        "last_login": null,
        "created_at": created_at,
    });
    assert_eq!(user, expected);
    assert_eq!(users.get("/users/1/").await.is(200), expected);
    assert_eq!(users.get("/users/?reference=r-1").await.is(200), json!([expected]));
    assert_eq!(users.get("/users/?reference=r-2").await.is(200), json!([]));
    let second = users.post("/users/", grace()).await.is(201);
    assert_eq!((&second["phone"], &second["id"]), (&Value::Null, &json!(2)));
    assert_eq!(users.get("/users/").await.is(200), json!([second, expected]));
    assert_eq!(users.get("/users/?limit=1").await.is(200), json!([second]));
    users.get("/users/3/").await.refuses(404, "not_found", "there is no user 3");
}

async fn a_user_that_makes_no_sense_is_refused_with_its_reason_and_leaves_nothing(database: Database) {
    let users = service(database).await;
    for (body, reason) in [
        (json!({}), "missing field `email`"),
        (with(ada(), "email", json!("ada")), "email: must be an e-mail address"),
        (with(ada(), "email", json!("ada\u{0}@example.com")), "email: must be an e-mail address"),
        (with(ada(), "phone", json!("555-0123")), "phone: must be a telephone number with its country"),
        (with(ada(), "first_name", json!(" ")), "first_name: must not be empty"),
        (with(ada(), "first_name", json!("Ada\u{0}")), "first_name: must be one line without control characters"),
        (with(ada(), "last_name", json!("x".repeat(101))), "last_name: must have at most 100 characters, not 101"),
        (with(ada(), "password", json!("short")), "password: a password has at least 8 characters"),
        (with(ada(), "password", json!("x".repeat(129))), "password: a password has at most 128 characters"),
        (with(ada(), "reference", json!("")), "reference: a reference must not be empty"),
        (with(ada(), "last_login", json!(null)), "unknown field `last_login`"),
        (with(ada(), "id", json!(7)), "unknown field `id`"),
    ] {
        users.post("/users/", body).await.refuses(400, "invalid_request", reason);
    }
    assert_eq!(users.get("/users/").await.is(200), json!([]));
}

async fn an_address_or_a_number_has_one_user_however_it_is_written(database: Database) {
    let users = service(database).await;
    users.post("/users/", ada()).await.is(201);
    let same_address = with(with(ada(), "email", json!("aDA@example.COM")), "phone", Value::Null);
    users.post("/users/", same_address).await.refuses(400, "invalid_request", "email: another user has this address");
    let same_number = with(grace(), "phone", json!("+1 202 555 01 23"));
    users.post("/users/", same_number).await.refuses(400, "invalid_request", "phone: another user has this number");
    // An address with a word in it that the refusals speak of is told apart all the same.
    let telephone = with(grace(), "email", json!("phone@example.com"));
    let id = users.post("/users/", telephone.clone()).await.is(201)["id"].clone();
    users.post("/users/", telephone).await.refuses(400, "invalid_request", "email: another user has this address");
    let change = users.patch(&format!("/users/{id}/"), json!({"phone": "+12025550123"})).await;
    change.refuses(400, "invalid_request", "phone: another user has this number");
    // Nobody has no number.
    users.post("/users/", grace()).await.is(201);
    assert_eq!(users.get("/users/").await.is(200).as_array().unwrap().len(), 3);
}

async fn of_registrations_at_once_with_one_address_one_is_taken(database: Database) {
    let users = service(database).await;
    let processes = [users.clone(), users.another(users::service).await];
    let mut answers = tokio::task::JoinSet::new();
    for process in processes.into_iter().cycle().take(8) {
        answers.spawn(async move { process.post("/users/", grace()).await.status.as_u16() });
    }
    let mut answers = answers.join_all().await;
    answers.sort_unstable();
    assert_eq!(answers, [201, 400, 400, 400, 400, 400, 400, 400]);
}

async fn what_a_change_leaves_out_stays_and_what_it_sets_to_null_is_cleared(database: Database) {
    let users = service(database).await;
    let mut expected = users.post("/users/", ada()).await.is(201);
    for (change, field, value) in [
        (json!({}), "email", json!("Ada@Example.com")),
        (json!({"first_name": "Augusta"}), "first_name", json!("Augusta")),
        (json!({"last_name": "King"}), "last_name", json!("King")),
        (json!({"phone": null}), "phone", Value::Null),
        (json!({"phone": "+44 20 7946 0123"}), "phone", json!("+442079460123")),
        (json!({"last_login": "2026-01-02T03:04:05.678Z"}), "last_login", json!("2026-01-02T03:04:05.678Z")),
        (json!({"last_login": null}), "last_login", Value::Null),
    ] {
        expected[field] = value;
        assert_eq!(users.patch("/users/1/", change).await.is(200), expected);
        assert_eq!(users.get("/users/1/").await.is(200), expected);
    }
}

async fn a_change_that_makes_no_sense_is_refused_with_its_reason_and_changes_nothing(database: Database) {
    let users = service(database).await;
    let user = users.post("/users/", ada()).await.is(201);
    for (change, reason) in [
        (json!({"first_name": null}), "first_name: invalid type: null"),
        (json!({"last_name": ""}), "last_name: must not be empty"),
        (json!({"phone": "5"}), "phone: must be a telephone number"),
        (json!({"last_login": "yesterday"}), "last_login: must be a time in UTC"),
        (json!({"last_login": "2026-01-02T03:04:05+01:00"}), "last_login: must be a time in UTC"),
        (json!({"last_login": 5}), "last_login: invalid type: integer"),
        (json!({"email": "lady@example.com"}), "unknown field `email`"),
        (json!({"password": PASSWORD}), "unknown field `password`"),
    ] {
        users.patch("/users/1/", change).await.refuses(400, "invalid_request", reason);
    }
    users.patch("/users/2/", json!({"first_name": "Grace"})).await.refuses(404, "not_found", "there is no user 2");
    assert_eq!(users.get("/users/1/").await.is(200), user);
}

async fn a_removed_user_is_gone_and_the_address_is_free(database: Database) {
    let users = service(database).await;
    users.post("/users/", ada()).await.is(201);
    assert_eq!(users.delete("/users/1/").await.is(204), Value::Null);
    users.delete("/users/1/").await.refuses(404, "not_found", "there is no user 1");
    users.get("/users/1/").await.refuses(404, "not_found", "there is no user 1");
    assert_eq!(authenticate(&users, "ada@example.com", PASSWORD).await.status, 401);
    // Its id is not given to another.
    assert_eq!(users.post("/users/", ada()).await.is(201)["id"], 2);
}

async fn the_right_password_logs_in_and_says_when_the_last_time_was(database: Database) {
    let users = service(database).await;
    let mut expected = users.post("/users/", ada()).await.is(201);
    let first = authenticate(&users, "ada@example.com", PASSWORD).await.is(200);
    expected["last_login"] = first["user"]["last_login"].clone();
    assert!(expected["last_login"].is_string());
    assert_eq!(first, json!({"user": expected, "previous_last_login": null}));
    assert_eq!(users.get("/users/1/").await.is(200), expected);

    let second = authenticate(&users, "ADA@EXAMPLE.COM", PASSWORD).await.is(200);
    assert_eq!(second["previous_last_login"], first["user"]["last_login"]);
    assert!(second["user"]["last_login"].as_str() >= first["user"]["last_login"].as_str());

    // A login that is taken back.
    let back = json!({"last_login": second["previous_last_login"]});
    assert_eq!(users.patch("/users/1/", back).await.is(200), expected);
    let third = authenticate(&users, "ada@example.com", PASSWORD).await.is(200);
    assert_eq!(third["previous_last_login"], first["user"]["last_login"]);
}

async fn whoever_is_refused_is_told_the_same(database: Database) {
    let users = service(database).await;
    users.post("/users/", ada()).await.is(201);
    users.post("/users/", grace()).await.is(201);
    for (email, password) in [
        ("ada@example.com", "correct horse batterx"),
        ("ada@example.com", ""),
        ("ada@example.com", "\u{0}"),
        ("nobody@example.com", PASSWORD),
        ("nobody", PASSWORD),
        ("ada@example.com\u{0}", PASSWORD),
        ("", ""),
        // Who has no password has none that is right, and least of all that of nobody.
        ("grace@example.com", ""),
        ("grace@example.com", "the password of nobody"),
        ("nobody@example.com", "the password of nobody"),
    ] {
        let refused = authenticate(&users, email, password).await;
        refused.refuses(401, "unauthenticated", "the e-mail address or the password is wrong");
        assert_eq!(refused.body["message"], "the e-mail address or the password is wrong");
    }
    assert_eq!(users.get("/users/1/").await.is(200)["last_login"], Value::Null);
    users.post("/authenticate/", json!({"email": "a@b.c"})).await.refuses(400, "invalid_request", "missing field `password`");
}

async fn a_caller_sees_and_changes_the_own_user_alone(database: Database) {
    let users = service(database).await;
    users.post("/users/", ada()).await.is(201);
    let mut grace = users.post("/users/", grace()).await.is(201);
    let caller = users.by(2);
    assert_eq!(caller.get("/user/").await.is(200), grace);
    grace["first_name"] = json!("Amazing Grace");
    grace["phone"] = json!("+12025550199");
    let change = json!({"first_name": "Amazing Grace", "phone": "+12025550199"});
    assert_eq!(caller.patch("/user/", change).await.is(200), grace);
    assert_eq!(users.get("/users/2/").await.is(200), grace);
    assert_eq!(users.get("/users/1/").await.is(200)["first_name"], "Ada");
    let taken = caller.patch("/user/", json!({"phone": "+12025550123"})).await;
    taken.refuses(400, "invalid_request", "phone: another user has this number");
    for (field, value) in [("last_login", Value::Null), ("email", json!("a@b.c")), ("id", json!(1))] {
        let reason = format!("unknown field `{field}`");
        caller.patch("/user/", json!({ field: value })).await.refuses(400, "invalid_request", &reason);
    }
    users.delete("/users/2/").await.is(204);
    caller.get("/user/").await.refuses(404, "not_found", "there is no user 2");
}

async fn a_caller_must_be_known(database: Database) {
    let users = service(database).await;
    users.post("/users/", ada()).await.is(201);
    for nobody in [users.clone(), users.by_token("?")] {
        assert_eq!(nobody.get("/user/").await.status, 401);
        assert_eq!(nobody.patch("/user/", json!({"first_name": "Eve"})).await.status, 401);
    }
    assert_eq!(users.get("/users/1/").await.is(200)["first_name"], "Ada");
}

async fn it_says_that_it_is_healthy(database: Database) {
    assert_eq!(service(database).await.get("/healthz/").await.is(200), json!({"status": "ok"}));
}
