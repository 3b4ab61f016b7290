use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Value, json};
use shop::services::auth;
use sqlx::AnyPool;

use crate::support::database::Database;
use crate::support::service::{Answer, Service};

on_each_database![
    a_token_says_what_was_asked_and_is_signed_by_a_published_key,
    every_token_has_an_id_of_its_own,
    a_token_that_makes_no_sense_is_refused_with_its_reason,
    a_blacklisted_token_is_found_by_its_id_and_no_other_is,
    what_this_service_has_not_signed_is_not_blacklisted,
    a_token_leaves_the_blacklist_once_nobody_takes_it_any_more,
    after_a_rotation_the_new_key_signs_and_the_old_one_stays_as_long_as_its_tokens,
    a_key_without_a_token_that_is_still_good_is_gone,
    keys_are_bounded_in_number,
    keys_and_blacklist_are_there_when_the_service_starts_again,
    a_key_made_by_one_process_is_used_by_all,
    it_says_that_it_is_healthy,
];

async fn service(database: Database) -> Service {
    Service::new(auth::service, database).await
}

fn asked() -> Value {
    json!({"iss": "shop", "sub": "5", "payload": {"user_id": 5, "email": "ada@example.com"}})
}

async fn encode(auth: &Service, asked: Value) -> String {
    let answer = auth.post("/jwt/encode/", asked).await.is(200);
    assert_eq!(answer.as_object().unwrap().len(), 1);
    answer["access_token"].as_str().unwrap().to_owned()
}

async fn blacklist(auth: &Service, token: &str) -> Answer {
    auth.post("/jwt/blacklist/", json!({"access_token": token})).await
}

/// The header or the payload of a token.
fn part(token: &str, index: usize) -> Value {
    let part = token.split('.').nth(index).unwrap();
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

fn jti(token: &str) -> String {
    part(token, 1)["jti"].as_str().unwrap().to_owned()
}

async fn published(auth: &Service) -> Vec<String> {
    let keys = auth.get("/jwks/").await.is(200);
    keys["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

async fn rotate(auth: &Service) -> String {
    auth.post("/keys/", json!({})).await.is(201)["kid"].as_str().unwrap().to_owned()
}

async fn execute(pool: &AnyPool, statement: &'static str) {
    sqlx::query(statement).execute(pool).await.unwrap();
}

async fn a_token_says_what_was_asked_and_is_signed_by_a_published_key(database: Database) {
    let auth = service(database).await;
    let token = encode(&auth, asked()).await;
    let claims = part(&token, 1);
    let issued_at = claims["iat"].as_i64().unwrap();
    let expected = json!({
        "iss": "shop",
        "sub": "5",
        "iat": issued_at,
        "exp": issued_at + 3_600,
        "jti": claims["jti"],
        "user_id": 5,
        "email": "ada@example.com",
    });
    assert_eq!(claims, expected);

    let keys: JwkSet = serde_json::from_value(auth.get("/jwks/").await.is(200)).unwrap();
    let header = part(&token, 0);
    assert_eq!((&header["alg"], &header["typ"]), (&json!("RS256"), &json!("JWT")));
    let key = keys.find(header["kid"].as_str().unwrap()).unwrap();
    let mut signature_alone = Validation::new(Algorithm::RS256);
    signature_alone.required_spec_claims.clear();
    signature_alone.validate_exp = false;
    let verified = jsonwebtoken::decode::<Value>(&token, &DecodingKey::from_jwk(key).unwrap(), &signature_alone);
    assert_eq!(verified.unwrap().claims, expected);

    let short = encode(&auth, json!({"iss": "shop", "sub": "5", "expires_in": 60})).await;
    assert_eq!(part(&short, 1)["exp"].as_i64().unwrap() - part(&short, 1)["iat"].as_i64().unwrap(), 60);
}

async fn every_token_has_an_id_of_its_own(database: Database) {
    let auth = service(database).await;
    assert_ne!(jti(&encode(&auth, asked()).await), jti(&encode(&auth, asked()).await));
}

async fn a_token_that_makes_no_sense_is_refused_with_its_reason(database: Database) {
    let auth = service(database).await;
    let with = |field: &str, value: Value| {
        let mut body = asked();
        body[field] = value;
        body
    };
    for (body, reason) in [
        (json!({"sub": "5"}), "missing field `iss`"),
        (json!({"iss": "shop"}), "missing field `sub`"),
        (with("iss", json!("")), "iss: must not be empty"),
        (with("sub", json!(5)), "sub: invalid type: integer"),
        (with("payload", json!({"exp": 1})), "payload: `exp` is not the asker's to choose"),
        (with("payload", json!({"jti": "j"})), "payload: `jti` is not the asker's to choose"),
        (with("payload", json!({"aud": "shop"})), "payload: `aud` is not the asker's to choose"),
        (with("payload", json!([])), "payload: invalid type"),
        (with("payload", json!({"text": "x".repeat(4096)})), "payload: must have at most 4096 bytes of JSON, not 4107"),
        (with("expires_in", json!(0)), "expires_in: must be at least 1, not 0"),
        (with("expires_in", json!(86_401)), "expires_in: must be at most 86400, not 86401"),
        (with("aud", json!("shop")), "unknown field `aud`"),
    ] {
        auth.post("/jwt/encode/", body).await.refuses(400, "invalid_request", reason);
    }
}

async fn a_blacklisted_token_is_found_by_its_id_and_no_other_is(database: Database) {
    let auth = service(database).await;
    let [token, other] = [encode(&auth, asked()).await, encode(&auth, asked()).await];
    for _ in 0..2 {
        assert_eq!(blacklist(&auth, &token).await.is(204), Value::Null);
    }
    let found = auth.get(&format!("/jwt/blacklist/{}/", jti(&token))).await.is(200);
    assert_eq!(found["jti"], jti(&token));
    let expires_at = found["expires_at"].as_str().unwrap();
    assert!(expires_at.starts_with("20") && expires_at.ends_with('Z'), "{expires_at}");
    for unknown in [&*jti(&other), "none", "%00", "a%20b"] {
        let answer = auth.get(&format!("/jwt/blacklist/{unknown}/")).await;
        answer.refuses(404, "not_found", "this token is not blacklisted");
    }
}

async fn what_this_service_has_not_signed_is_not_blacklisted(database: Database) {
    let auth = service(database).await;
    let token = encode(&auth, asked()).await;
    let parts: Vec<_> = token.split('.').collect();
    let others = encode(&service(Database::sqlite()).await, asked()).await;
    let claims = BASE64_URL_SAFE_NO_PAD.encode(json!({"jti": jti(&others), "exp": 4_102_444_800_i64}).to_string());
    let odd_key = BASE64_URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256","kid":"\u0000"}"#);
    let unsigned = BASE64_URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#);
    for (token, reason) in [
        (String::new(), "access_token: it is no JWT"),
        ("a.b.c".to_owned(), "access_token: it is no JWT"),
        (format!("{unsigned}.{claims}."), "access_token: it is no JWT"),
        (others.clone(), "access_token: it names no key"),
        (format!("{odd_key}.{claims}.{}", parts[2]), "access_token: it names no key"),
        (format!("{}.{claims}.{}", parts[0], parts[2]), "access_token: it is not signed by this service"),
        (format!("{}.{}.", parts[0], parts[1]), "access_token: it is not signed by this service"),
    ] {
        blacklist(&auth, &token).await.refuses(400, "invalid_request", reason);
    }
    for jti in [jti(&token), jti(&others)] {
        assert_eq!(auth.get(&format!("/jwt/blacklist/{jti}/")).await.status, 404);
    }
    auth.post("/jwt/blacklist/", json!({})).await.refuses(400, "invalid_request", "missing field `access_token`");
}

async fn a_token_leaves_the_blacklist_once_nobody_takes_it_any_more(database: Database) {
    let url = database.url();
    let auth = service(database).await;
    let pool = AnyPool::connect(&url).await.unwrap();
    let tokens = [encode(&auth, asked()).await, encode(&auth, asked()).await];
    blacklist(&auth, &tokens[0]).await.is(204);
    execute(&pool, "UPDATE blacklist SET expires_at = expires_at - 3600 - 400").await;
    blacklist(&auth, &tokens[1]).await.is(204);
    assert_eq!(auth.get(&format!("/jwt/blacklist/{}/", jti(&tokens[0]))).await.status, 404);
    // Whose clock is behind takes a token for some time more.
    execute(&pool, "UPDATE blacklist SET expires_at = expires_at - 3600 - 200").await;
    blacklist(&auth, &encode(&auth, asked()).await).await.is(204);
    assert_eq!(auth.get(&format!("/jwt/blacklist/{}/", jti(&tokens[1]))).await.status, 200);
    pool.close().await;
}

async fn after_a_rotation_the_new_key_signs_and_the_old_one_stays_as_long_as_its_tokens(database: Database) {
    let url = database.url();
    let auth = service(database).await;
    let pool = AnyPool::connect(&url).await.unwrap();
    let old_token = encode(&auth, asked()).await;
    let old = published(&auth).await;
    assert_eq!(old, [part(&old_token, 0)["kid"].as_str().unwrap()]);

    let new = rotate(&auth).await;
    assert_eq!(published(&auth).await, [new.as_str(), old[0].as_str()]);
    assert_eq!(part(&encode(&auth, asked()).await, 0)["kid"], new);
    blacklist(&auth, &old_token).await.is(204);

    execute(&pool, "UPDATE signing_keys SET tokens_expire_at = tokens_expire_at - 3600 - 200").await;
    assert_eq!(published(&auth).await, [new.as_str(), old[0].as_str()]);
    execute(&pool, "UPDATE signing_keys SET tokens_expire_at = tokens_expire_at - 200").await;
    assert_eq!(published(&auth).await, [new]);
    pool.close().await;
}

async fn a_key_without_a_token_that_is_still_good_is_gone(database: Database) {
    let auth = service(database).await;
    let first = encode(&auth, asked()).await;
    let never_signed = rotate(&auth).await;
    let signing = rotate(&auth).await;
    assert_eq!(published(&auth).await, [signing.as_str(), part(&first, 0)["kid"].as_str().unwrap()]);
    assert!(!published(&auth).await.contains(&never_signed));
}

async fn keys_are_bounded_in_number(database: Database) {
    let url = database.url();
    let auth = service(database).await;
    let pool = AnyPool::connect(&url).await.unwrap();
    for key in 1..20 {
        sqlx::query(
            "INSERT INTO signing_keys (kid, private_key, public_key, tokens_expire_at, created_at)
             SELECT $1, private_key, public_key, 4102444800, created_at FROM signing_keys WHERE id = 1",
        )
        .bind(format!("key-{key}"))
        .execute(&pool)
        .await
        .unwrap();
    }
    // The first has signed nothing and makes room for one.
    let signing = rotate(&auth).await;
    let refused = auth.post("/keys/", json!({})).await;
    refused.refuses(409, "conflict", "20 keys have tokens that are still good");
    assert_eq!(published(&auth).await.len(), 20);
    assert_eq!(part(&encode(&auth, asked()).await, 0)["kid"], signing);
    pool.close().await;
}

async fn keys_and_blacklist_are_there_when_the_service_starts_again(database: Database) {
    let auth = service(database).await;
    let [token, blacklisted] = [encode(&auth, asked()).await, encode(&auth, asked()).await];
    blacklist(&auth, &blacklisted).await.is(204);
    let again = auth.another(auth::service).await;
    assert_eq!(published(&again).await, published(&auth).await);
    assert_eq!(again.get(&format!("/jwt/blacklist/{}/", jti(&blacklisted))).await.status, 200);
    blacklist(&again, &token).await.is(204);
}

async fn a_key_made_by_one_process_is_used_by_all(database: Database) {
    let auth = service(database).await;
    let another = auth.another(auth::service).await;
    let new = rotate(&another).await;
    let token = encode(&auth, asked()).await;
    assert_eq!(part(&token, 0)["kid"], new);
    blacklist(&another, &token).await.is(204);
}

async fn it_says_that_it_is_healthy(database: Database) {
    assert_eq!(service(database).await.get("/healthz/").await.is(200), json!({"status": "ok"}));
}
