//! Services that answer later, through the real program: one that is polled, and somebody who calls back.

use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{
    client::{Answer, Call},
    origin::{Origin, Reply},
    refrain::Refrain,
    within,
};

const SAGA: &str = r#"
saga: permit
version: 1
trigger: {route: POST /permits/, idempotency: required}
defaults: {retry: {max: 5, initial: 20ms, max_delay: 100ms}, compensation: {retry: {for: 1h, initial: 20ms, max_delay: 100ms}}}
steps:
  - id: apply
    call: app POST /applications
    accept:
      poll: {call: "app GET ${response.headers.location}", every: 40ms, max_every: 200ms, until: "${response.body.state != 'PENDING'}", for: 10m}
    outcome: {failure: "${response.body.state == 'DENIED'}"}
    output: {number: "${response.body.number}"}
    compensate: {call: "app DELETE ${steps.apply.accepted.headers.location}", effect: idempotent}
  - id: confirm
    wait: {callback: {send: app POST /confirmations, body: {url: "${callback.url}"}}, for: 10m}
    outcome: {failure: "${callback.body.answer == 'no'}"}
    output: {by: "${callback.body.by}"}
    compensate: {call: app DELETE /confirmations/1, effect: idempotent}
response:
  completed: {status: 201, body: {number: "${steps.apply.number}", by: "${steps.confirm.by}"}}
  pending: {after: 50ms}
"#;

/// A service that accepts permits, and Refrains beside it that keep their sagas in one file.
struct Office {
    service: Origin,
    refrain: Refrain,
    _folder: TempDir,
}

impl Office {
    async fn open() -> Self {
        let (service, folder) = (Origin::start(), tempfile::tempdir().unwrap());
        let json = |status, body: Value| Reply::status(status).header("content-type", "application/json").body(body.to_string());
        service.on("/applications", json(202, json!({})).header("location", "/applications/7"));
        service.on("/applications/7", json(200, json!({"state": "PENDING"})));
        service.on("/confirmations", json(201, json!({})));
        service.on("/confirmations/1", json(200, json!({})));
        let saga = folder.path().join("permit.yaml");
        std::fs::write(&saga, SAGA).unwrap();
        let (url, file) = (service.url(), folder.path().join("records"));
        let refrain = Refrain::start(&format!(
            "store: {{url: \"embedded:{}\"}}\npublic_url: https://shop.example/permits\naccess_log: true\n\
             sagas: {{files: [\"{}\"], lease: 1s}}\nupstreams: {{app: {{url: \"{url}\", local: true, max_execution: 1s}}}}\n",
            file.display(),
            saga.display(),
        ))
        .await;
        Self { service, refrain, _folder: folder }
    }

    fn decide(&self, state: &str) {
        let body = json!({"state": state, "number": "P-1"}).to_string();
        self.service.on("/applications/7", Reply::status(200).header("content-type", "application/json").body(body));
    }

    fn ask(&self, key: &str) -> Call {
        Call::post(&self.refrain.url("/permits/")).key(key).json("{}")
    }

    /// The path at which the saga is called back, once it has told it.
    async fn callback(&self) -> String {
        let path = async {
            loop {
                if let Some(seen) = self.service.requests_to("/confirmations").first() {
                    let body: Value = serde_json::from_slice(&seen.body).unwrap();
                    return body["url"].as_str().unwrap().strip_prefix("https://shop.example/permits").unwrap().to_owned();
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        within("the callback's URL", path).await
    }

    async fn call_back(&self, path: &str, body: &'static str) -> Answer {
        Call::post(&self.refrain.url(path)).json(body).send().await
    }

    async fn until_polled(&self, times: usize) {
        let polled = async {
            while self.service.count("/applications/7") < times {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        within("polls", polled).await;
    }

    /// The saga's last word.
    async fn settled(&self, key: &str) -> Answer {
        let settled = async {
            loop {
                let answer = self.ask(key).header("prefer", "wait=5").send().await;
                if answer.status != 202 {
                    return answer;
                }
            }
        };
        within("the saga's end", settled).await
    }
}

const YES: &str = r#"{"answer": "yes", "by": "ann"}"#;
const NO: &str = r#"{"answer": "no", "by": "eve"}"#;

#[tokio::test]
async fn a_saga_waits_for_a_service_that_is_polled_and_for_who_calls_back_also_over_deaths() {
    let mut office = Office::open().await;
    let pending = office.ask("k1").send().await;
    assert_eq!((pending.status, pending.how()), (202, "pending"), "{}", pending.text());
    assert_eq!(pending.header("vary"), Some("prefer"));
    office.until_polled(2).await;
    office.refrain.restart().await;
    let polled = office.service.count("/applications/7");
    office.until_polled(polled + 2).await;
    assert_eq!(office.service.count("/applications"), 1, "what was accepted is never sent again");
    office.decide("GRANTED");
    let path = office.callback().await;
    office.refrain.restart().await;
    // By a body that is no JSON, by a guess, by another method: nothing.
    assert_eq!(office.call_back(&path, "yes").await.problem(), "malformed");
    let guess = format!("{}{}", &path[..path.len() - 32], "0".repeat(32));
    assert_eq!(office.call_back(&guess, YES).await.problem(), "callback-unknown");
    assert_eq!(Call::get(&office.refrain.url(&path)).send().await.status, 405);
    assert_eq!(office.call_back(&path, YES).await.status, 204);
    office.refrain.restart().await;
    let answer = office.settled("k1").await;
    assert_eq!((answer.status, answer.json()), (201, json!({"number": "P-1", "by": "ann"})), "{}", answer.text());
    assert_eq!(office.call_back(&path, YES).await.status, 204, "its repeat, after the end");
    assert_eq!(office.call_back(&path, NO).await.problem(), "callback-used");
    assert_eq!(office.service.count("/confirmations"), 1);
    office.refrain.logged(&["refrain::access", "/refrain/callbacks/"]).await;
    let token = path.rsplit('/').next().unwrap();
    assert!(!office.refrain.stderr().iter().any(|line| line.contains(token)), "a token is never logged");
}

#[tokio::test]
async fn a_no_undoes_what_was_granted() {
    let office = Office::open().await;
    office.decide("GRANTED");
    office.ask("k2").send().await;
    let path = office.callback().await;
    assert_eq!(office.call_back(&path, NO).await.status, 204);
    assert_eq!(office.settled("k2").await.status, 409);
    let undone: Vec<_> =
        office.service.requests().into_iter().filter(|seen| seen.method == "DELETE").map(|seen| seen.path).collect();
    assert_eq!(undone, ["/confirmations/1", "/applications/7"]);
    assert_eq!(office.call_back(&path, NO).await.status, 204);
}

#[tokio::test]
async fn whoever_watches_is_told_of_each_change_and_of_the_end() {
    let office = Office::open().await;
    let pending = office.ask("k3").send().await;
    let status = office.refrain.url(pending.header("location").unwrap().strip_prefix("https://shop.example/permits").unwrap());
    let mut watched = Call::get(&status).header("accept", "text/event-stream").open().await;
    assert_eq!((watched.status, watched.header("content-type")), (200, Some("text/event-stream")));
    office.decide("GRANTED");
    let path = office.callback().await;
    office.call_back(&path, YES).await;
    let mut text = String::new();
    while let Some(piece) = watched.next().await {
        text.push_str(std::str::from_utf8(&piece).unwrap());
    }
    let last = text.rsplit("event: ").next().unwrap();
    assert!(last.starts_with("final\n") && last.contains(r#""state":"completed""#), "{text}");
    assert!(text.matches("event: change").count() >= 1, "{text}");
    let shown = Call::get(&status).send().await;
    assert_eq!((shown.header("content-type"), &shown.json()["state"]), (Some("application/json"), &json!("completed")));
    let id: u64 = text.lines().filter_map(|line| line.strip_prefix("id: ")).next_back().unwrap().parse().unwrap();
    let again = Call::get(&status).header("accept", "text/event-stream").header("last-event-id", id.to_string()).send().await;
    assert_eq!(again.status, 204);
}
