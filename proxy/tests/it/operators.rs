//! What an operator sees and decides: `refrain records` against a running process.

use std::process::Output;

use serde_json::Value;

use super::support::{
    client::Call,
    origin::{Origin, Reply},
    refrain::{Refrain, command, yaml},
};

const NOWHERE: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// An origin, a Refrain before it, and a request of unknown outcome.
async fn in_doubt() -> (Origin, Refrain, String) {
    let origin = Origin::start();
    let refrain = Refrain::start(&yaml("embedded:./refrain.db", &origin, "")).await;
    origin.on("/orders", Reply::reset());
    assert_eq!(order(&refrain).send().await.problem(), "outcome-unknown");
    origin.on("/orders", Reply::status(201));
    assert_eq!(order(&refrain).send().await.problem(), "outcome-unknown");
    let listed: Value = serde_json::from_str(&said(&refrain, &["list"])).unwrap();
    let [record] = &listed.as_array().unwrap()[..] else { panic!("one record is in doubt, not {listed}") };
    let name = record["record"].as_str().unwrap().to_owned();
    (origin, refrain, name)
}

fn order(refrain: &Refrain) -> Call {
    Call::post(&refrain.url("/orders")).key("a-key").body("x")
}

fn records(refrain: &Refrain, args: &[&str]) -> Output {
    command(&[&["records"], args].concat(), Some(refrain.admin_address()))
}

/// What a command that succeeds prints.
fn said(refrain: &Refrain, args: &[&str]) -> String {
    let output = records(refrain, args);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What a command that fails says.
fn refused(refrain: &Refrain, args: &[&str]) -> String {
    let output = records(refrain, args);
    assert!(!output.status.success() && output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stderr).unwrap()
}

#[tokio::test]
async fn an_operator_sees_what_is_in_doubt_and_never_a_key() {
    let (_origin, refrain, name) = in_doubt().await;
    assert_eq!(name.len(), 64);
    let shown = said(&refrain, &["show", &name]);
    let record: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!((record["state"].clone(), record["attempt"].clone()), ("unknown".into(), 1.into()));
    assert!(record["expires_in_seconds"].as_u64().unwrap() > 86_000);
    assert!(!shown.contains("a-key") && !said(&refrain, &["list"]).contains("a-key"));
    assert!(refused(&refrain, &["show", NOWHERE]).contains("no such record"));
    assert!(refused(&refrain, &["show", "xyz"]).contains("64 hexadecimal digits"));
}

#[tokio::test]
async fn what_an_operator_says_was_done_is_replayed() {
    let (origin, refrain, name) = in_doubt().await;
    let body = "{\"by\":\"hand\"}";
    said(&refrain, &["resolve", &name, "--done", "--status", "202", "--body", body, "--reason", "seen in the ledger"]);
    let replayed = order(&refrain).send().await;
    assert_eq!((replayed.status, replayed.how(), replayed.text()), (202, "replayed", body));
    assert_eq!(replayed.header("content-type"), Some("application/json"));
    assert_eq!(origin.requests().len(), 1);
    assert_eq!(said(&refrain, &["list"]).trim(), "[]", "nothing is in doubt any more");
    let record: Value = serde_json::from_str(&said(&refrain, &["show", &name])).unwrap();
    assert_eq!((record["state"].clone(), record["status"].clone()), ("done".into(), 202.into()));
    refrain.logged(&["refrain::audit", "seen in the ledger", &name]).await;
    let twice = refused(&refrain, &["resolve", &name, "--not-done", "--reason", "again"]);
    assert!(twice.contains("unknown"), "{twice}");
}

#[tokio::test]
async fn what_an_operator_says_was_not_done_is_sent() {
    let (origin, refrain, name) = in_doubt().await;
    said(&refrain, &["resolve", &name, "--not-done", "--reason", "not in the ledger"]);
    let executed = order(&refrain).send().await;
    assert_eq!((executed.status, executed.how(), executed.header("idempotency-attempt")), (201, "executed", Some("1")));
    assert_eq!(order(&refrain).send().await.how(), "replayed");
    assert_eq!(origin.requests().len(), 2);
    refrain.logged(&["refrain::audit", "not in the ledger"]).await;
}

#[tokio::test]
async fn a_forgotten_key_is_free() {
    let (origin, refrain, name) = in_doubt().await;
    said(&refrain, &["forget", &name, "--reason", "a test"]);
    assert!(refused(&refrain, &["show", &name]).contains("no such record"));
    assert_eq!(order(&refrain).send().await.how(), "executed");
    assert_eq!(origin.requests().len(), 2);
    refrain.logged(&["refrain::audit", "forgot"]).await;
}

#[tokio::test]
async fn nothing_is_decided_without_a_reason_or_an_outcome() {
    let (_origin, refrain, name) = in_doubt().await;
    for args in [
        &["resolve", &name, "--not-done"][..],
        &["resolve", &name, "--not-done", "--reason", " "],
        &["resolve", &name, "--reason", "r"],
        &["resolve", &name, "--done", "--reason", "r"],
        &["resolve", &name, "--done", "--not-done", "--status", "200", "--reason", "r"],
        &["resolve", &name, "--done", "--status", "99", "--reason", "r"],
        &["forget", &name],
        &["forget", &name, "--reason", ""],
    ] {
        refused(&refrain, args);
    }
    assert_eq!(order(&refrain).send().await.problem(), "outcome-unknown");
}

#[tokio::test]
async fn no_web_page_can_decide_in_an_operators_name() {
    let (_origin, refrain, name) = in_doubt().await;
    let url = format!("http://{}/records/{name}/resolve", refrain.admin_address());
    let body = r#"{"outcome":"not-done","reason":"a page"}"#;
    for kind in ["text/plain", "application/x-www-form-urlencoded"] {
        let answer =
            Call::post(&url).header("content-type", kind).header("origin", "https://evil.example").body(body).send().await;
        assert_eq!(answer.status, 415, "{kind}");
    }
    assert_eq!(order(&refrain).send().await.problem(), "outcome-unknown");
}

#[tokio::test]
async fn without_an_admin_side_the_command_says_so() {
    let output = command(&["records", "--admin", "127.0.0.1:1", "list"], None);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("no admin side at 127.0.0.1:1"));
}
