//! dtmrs behind a front that waits: a saga is stored and leased by one write, run by dtmrs' own driver, and answered when the
//! driver is through.
//!
//! This is what dtmrs' `/api/dtmsvr/submit` does (`Api::submit` with its inline driver), but for the answer, which there goes out after the
//! write. No status is read afterwards, which would cost dtmrs a round trip; that every step ran is counted where the
//! steps are. Workers that pick up what a crash left run as in its own program.

use std::env;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use dtmrs::server::driver::Driver;
use dtmrs::{SagaStep, Store};

/// Every part of `Submit` that dtmrs' own request has and a saga needs.
#[derive(serde::Deserialize)]
struct Submit {
    gid: String,
    steps: Vec<SagaStep>,
}

#[derive(Clone)]
struct Front {
    store: Store,
    driver: Driver,
}

async fn submit(State(front): State<Front>, Json(submit): Json<Submit>) -> (StatusCode, &'static str) {
    let (mut global, branches) = dtmrs::server::saga_rows(&submit.gid, &submit.steps);
    global.owner.clone_from(&front.driver.owner);
    global.next_cron_time = dtmrs::store::now() + front.driver.lease;
    global.lease_until = global.next_cron_time;
    match front.store.create_global(&global, &branches).await {
        Ok(true) => {}
        Ok(false) => return (StatusCode::CONFLICT, r#"{"dtm_result":"FAILURE"}"#),
        Err(_) => return (StatusCode::INTERNAL_SERVER_ERROR, r#"{"dtm_result":"FAILURE"}"#),
    }
    // In a task of its own, as dtmrs' own submit has it: a saga goes on when its caller hangs up, instead of waiting for its lease to end.
    let run = tokio::spawn(async move { front.driver.process(&global).await });
    match run.await {
        Ok(Ok(())) => (StatusCode::OK, r#"{"dtm_result":"SUCCESS"}"#),
        Ok(Err(_)) | Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, r#"{"dtm_result":"FAILURE"}"#),
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let [Ok(addr), Ok(db)] = ["DTMRS_ADDR", "DTMRS_DB"].map(env::var) else {
        return Err("DTMRS_ADDR and DTMRS_DB are needed".into());
    };
    let store = Store::open(&db).await?;
    let driver = Driver::from_env(store.clone(), "front".to_owned());
    tokio::spawn(driver.clone().run_forever(Duration::from_secs(1)));
    let front = Router::new()
        .route("/api/dtmsvr/submit", post(submit))
        .route("/health", get(|| async { "ok" }))
        .with_state(Front { store, driver });
    axum::serve(tokio::net::TcpListener::bind(addr).await?, front).await?;
    Ok(())
}
