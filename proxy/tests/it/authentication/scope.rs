//! Whose keys are whose, by who they are; and what sagas take from their callers.

use super::*;

const BY_USER: &str = "idempotency: {scope: \"${claims.user_id}\"}";

#[tokio::test]
async fn a_key_belongs_to_a_user_whatever_token_he_comes_with() {
    let town = Town::new("leeway: 5s", BY_USER).await;
    let order = |token: &str| bearing(town.post("/orders/"), token).key("k").send();
    let (first, again) = (town.token(7), town.token(7));
    assert_ne!(first, again);
    let made = order(&first).await;
    assert_eq!((made.status, made.how()), (201, "executed"));
    let replayed = order(&again).await;
    assert_eq!((replayed.how(), &replayed.body), ("replayed", &made.body), "one user, two tokens, one key");
    let his = order(&town.token(8)).await;
    assert_eq!((his.status, his.how()), (201, "executed"), "another user, the same key");
    assert_ne!(his.body, made.body);
    assert_eq!(town.orders.effects_of("k"), 2);
}

#[tokio::test]
async fn a_key_that_nobody_owns_is_refused_before_anything_is_written() {
    let town = Town::new("leeway: 5s", BY_USER).await;
    let order = || town.post("/orders/").key("k");
    assert_eq!(said(&order().send().await), (401, "token-missing"));
    let expired = town.issuer.first.token(&issuer::expired());
    assert_eq!(said(&bearing(order(), &expired).send().await), (401, "token-invalid"));
    let nobody = bearing(order(), &town.issuer.token(&json!({}))).send().await;
    assert_eq!(said(&nobody), (400, "key-invalid"), "a good token without the claim");
    assert!(nobody.json()["detail"].as_str().unwrap().contains("claims.user_id"), "{}", nobody.text());
    assert_eq!(town.orders.requests().len(), 0);
    let unkeyed = town.post("/orders/").send().await;
    assert_eq!((unkeyed.status, unkeyed.how()), (201, ""), "where there is no key, nobody has to own it");
    assert_eq!(bearing(order(), &town.token(7)).send().await.how(), "executed", "the key was free");
}

#[tokio::test]
async fn a_key_can_be_what_a_token_says() {
    let keyed = "idempotency: {scope: global, key: {from: \"${claims.intent}\", required: true}}";
    let town = Town::new("leeway: 5s", keyed).await;
    let pay = || bearing(town.post("/pay/"), &town.issuer.token(&json!({"intent": "pay-1"})));
    assert_eq!((pay().send().await.how(), pay().send().await.how()), ("executed", "replayed"));
    assert_eq!(said(&town.post("/pay/").send().await), (401, "token-missing"));
    assert_eq!(said(&bearing(town.post("/pay/"), &town.token(7)).send().await), (400, "key-missing"));
    assert_eq!(town.orders.effects(), 1);
}

const SAGA: &str = "saga: note
version: 1
trigger: {route: POST /notes/, idempotency: optional}
input:
  user: {from: \"${claims.user_id}\", type: int}
  text: {from: \"${request.body.text}\", type: string}
steps:
  - id: keep
    call: orders POST /internal/notes/
    body: {user: \"${input.user}\", text: \"${input.text}\"}
    compensate: none
response:
  completed: {status: 201, body: {user: \"${input.user}\"}}
";

#[tokio::test]
async fn a_saga_takes_from_a_verified_token_whose_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("note.yaml");
    std::fs::write(&file, SAGA).unwrap();
    let town = Town::new("leeway: 5s", &format!("{BY_USER}\nsagas: {{files: [\"{}\"]}}", file.display())).await;
    let note = |body: &str| Call::post(&town.refrain.url("/notes/")).json(body.to_owned());
    let text = r#"{"text": "hello", "user": 1, "user_id": 1}"#;

    assert_eq!(said(&note(text).send().await), (401, "token-missing"));
    assert_eq!(said(&note(text).key("k").send().await), (401, "token-missing"));
    assert_eq!(town.orders.requests().len(), 0);
    let made = bearing(note(text), &town.token(7)).key("k").send().await;
    assert_eq!((made.status, made.json()), (201, json!({"user": 7})), "{}", made.text());
    let kept: serde_json::Value = serde_json::from_slice(&town.orders.requests_to("/internal/notes/")[0].body).unwrap();
    assert_eq!(kept, json!({"user": 7, "text": "hello"}));
    assert_eq!(town.orders.requests()[0].header("x-jwt-payload"), None, "a step has no caller");
    assert_eq!(bearing(note(text), &town.token(7)).key("k").send().await.how(), "replayed");
    assert_eq!(bearing(note(text), &town.token(8)).key("k").send().await.json(), json!({"user": 8}));
    let unfit = bearing(note("{}"), &town.token(7)).send().await;
    assert_eq!(said(&unfit), (422, "input-invalid"), "another mistake is told as before");
    assert_eq!(town.orders.effects(), 2);
}

#[tokio::test]
async fn a_saga_without_a_caller_is_not_started_where_its_input_needs_one() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("note.yaml");
    std::fs::write(&file, SAGA).unwrap();
    let more = format!("idempotency: {{scope: global}}\nsagas: {{files: [\"{}\"]}}", file.display());
    let town = Town::new("leeway: 5s", &more).await;
    let note = || Call::post(&town.refrain.url("/notes/")).json(r#"{"text": "hello"}"#).key("k");
    assert_eq!(bearing(note(), &town.token(7)).send().await.status, 201);
    assert_eq!(said(&note().send().await), (401, "token-missing"), "nor is told how another's ended");
    assert_eq!(town.orders.effects(), 1);
}
