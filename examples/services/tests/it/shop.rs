use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::{Request, Response};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::client;
use crate::support::program::{self, Program};

/// How long a process may take to end.
const MAX_END: Duration = Duration::from_secs(60);

async fn post(address: SocketAddr, path: &str, key: &str, body: Value) -> Response<Bytes> {
    let request = Request::post(path)
        .header("content-type", "application/json")
        .header("idempotency-key", key)
        .body(Full::from(body.to_string()))
        .unwrap();
    client::send(address, request).await
}

async fn order(address: SocketAddr, key: &str) -> Response<Bytes> {
    post(address, "/orders/", key, json!({"items": [{"product_id": 1, "quantity": 2}]})).await
}

async fn rows(address: SocketAddr, path: &str) -> usize {
    let listed = client::get(address, path).await;
    assert_eq!(listed.status(), 200);
    serde_json::from_slice::<Vec<Value>>(listed.body()).unwrap().len()
}

#[track_caller]
fn assert_replayed(first: &Response<Bytes>, second: &Response<Bytes>) {
    assert_eq!(second.status(), first.status());
    assert_eq!(second.body(), first.body());
    assert_eq!(second.headers()["content-type"], first.headers()["content-type"]);
    assert_eq!(second.headers()["idempotency-replayed"], "true");
    assert!(!first.headers().contains_key("idempotency-replayed"));
}

#[tokio::test]
async fn an_order_sent_twice_under_one_key_is_one_order_and_one_answer() {
    let shop = Program::start(&[]).await;
    let orders = shop.orders.sidecar;
    let first = order(orders, "twice").await;
    assert_eq!(first.status(), 201);
    let second = order(orders, "twice").await;
    assert_replayed(&first, &second);
    assert_eq!(second.headers()["location"], first.headers()["location"]);
    assert_eq!(rows(orders, "/orders/").await, 1);

    assert_eq!(order(orders, "another").await.status(), 201);
    assert_eq!(rows(orders, "/orders/").await, 2);
    assert!(shop.stop().await.success());
}

#[tokio::test]
async fn a_payment_sent_twice_under_one_key_is_paid_once() {
    let shop = Program::start(&[]).await;
    let billing = shop.billing.sidecar;
    assert_eq!(post(billing, "/accounts/", "account", json!({"user_id": 5})).await.status(), 201);
    let move_money = async |kind: &str, key: &str| {
        let body = json!({"account_id": 1, "type": kind, "amount": 100, "currency": "USD"});
        post(billing, "/balance_transactions/", key, body).await
    };
    assert_eq!(move_money("charge", "charge").await.status(), 201);
    let first = move_money("payment", "payment").await;
    assert_eq!(first.status(), 201);
    assert_replayed(&first, &move_money("payment", "payment").await);
    assert_eq!(rows(billing, "/balance_transactions/").await, 2);
    // What a service refuses is an answer too.
    let refused = move_money("payment", "beyond").await;
    assert_eq!(refused.status(), 402);
    assert_replayed(&refused, &move_money("payment", "beyond").await);
    assert!(shop.stop().await.success());
}

#[tokio::test]
async fn an_order_without_a_key_is_refused_by_the_sidecar_and_taken_by_the_service() {
    let shop = Program::start(&[]).await;
    let keyless = async |address| {
        let body = Full::from(r#"{"items": [{"product_id": 1, "quantity": 2}]}"#);
        let request = Request::post("/orders/").header("content-type", "application/json").body(body);
        client::send(address, request.unwrap()).await
    };
    let refused = keyless(shop.orders.sidecar).await;
    assert_eq!(refused.status(), 400);
    assert_eq!(refused.headers()["content-type"], "application/problem+json");
    assert_eq!(keyless(shop.orders.service).await.status(), 201);
    assert_eq!(rows(shop.orders.sidecar, "/orders/").await, 1);
    assert!(shop.stop().await.success());
}

#[tokio::test]
async fn a_killed_sidecar_runs_again_and_remembers_what_was_ordered() {
    let mut shop = Program::start(&[]).await;
    let orders = shop.orders.sidecar;
    let first = order(orders, "before").await;
    program::signal(shop.orders.process, Signal::SIGKILL);
    shop.line("The Refrain of orders ended (signal: 9 (SIGKILL)) and runs again").await;
    let second = order(orders, "before").await;
    assert_replayed(&first, &second);
    assert_eq!(rows(orders, "/orders/").await, 1);
    assert!(shop.stop().await.success());
}

#[tokio::test]
async fn a_kept_folder_remembers_orders_and_keys_over_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["--data", folder.path().to_str().unwrap()];
    let shop = Program::start(&arguments).await;
    let first = order(shop.orders.sidecar, "kept").await;
    assert!(shop.stop().await.success());

    let shop = Program::start(&arguments).await;
    assert_replayed(&first, &order(shop.orders.sidecar, "kept").await);
    assert_eq!(rows(shop.orders.sidecar, "/orders/").await, 1);
    assert!(shop.stop().await.success());
}

#[tokio::test]
async fn a_stopped_shop_leaves_no_process_and_no_temporary_folder() {
    let temporary = tempfile::tempdir().unwrap();
    let shop = Program::start_in(temporary.path(), &[]).await;
    let sidecars = [shop.orders.process, shop.billing.process];
    assert_eq!(sidecars.map(program::is_alive), [true, true]);
    assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 1);
    assert!(shop.stop().await.success());
    assert_eq!(sidecars.map(program::is_alive), [false, false]);
    assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn each_sidecar_says_on_its_admin_address_that_it_is_ready() {
    let shop = Program::start(&[]).await;
    for admin in [shop.orders.admin, shop.billing.admin] {
        assert_eq!(client::get(admin, "/readyz").await.status(), 200);
    }
    assert!(shop.stop().await.success());
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn sidecars_end_with_a_shop_that_was_killed() {
    // Killed, it cannot remove its folder itself.
    let temporary = tempfile::tempdir().unwrap();
    let shop = Program::start_in(temporary.path(), &[]).await;
    let sidecars = [shop.orders.sidecar, shop.billing.sidecar];
    shop.kill();
    for sidecar in sidecars {
        let refused = timeout(MAX_END, until_refused(sidecar)).await.expect("an end in time");
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    }
}

/// Waits until nothing listens there any more. Each connection lasts, at the longest, as long as who accepted it.
async fn until_refused(address: SocketAddr) -> std::io::Error {
    loop {
        match TcpStream::connect(address).await {
            Ok(mut connection) => drop(connection.read(&mut [0]).await),
            Err(refused) => return refused,
        }
    }
}

#[tokio::test]
async fn a_sidecar_that_keeps_dying_is_given_up_and_ends_the_shop() {
    let mut shop = Program::start_overheard(&[]).await;
    let mut process = shop.billing.process;
    for _ in 0..10 {
        program::signal(process, Signal::SIGKILL);
        let line = shop.line("The Refrain of billing ended").await;
        process = line.rsplit(' ').next().unwrap().trim_end_matches('.').parse().unwrap();
    }
    program::signal(process, Signal::SIGKILL);
    let (status, stderr) = shop.end().await;
    assert_eq!(status.code(), Some(1));
    assert!(stderr.contains("shop: the sidecar of billing ended 11 times and is given up"), "{stderr}");
}

#[tokio::test]
async fn a_sidecar_that_does_not_start_is_told_with_its_own_words() {
    let folder = tempfile::tempdir().unwrap();
    // A store that cannot be opened.
    std::fs::create_dir_all(folder.path().join("orders/refrain.db")).unwrap();
    let output = program::run(&["--data", folder.path().to_str().unwrap()]).await;
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("shop: the sidecar of orders ended ("), "{stderr}");
    assert!(stderr.contains("before it was ready; it said:"), "{stderr}");
    assert!(stderr.contains("orders/refrain.db"), "{stderr}");
}

#[tokio::test]
async fn a_taken_port_is_refused_with_the_flag_that_chooses_another() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for flag in ["--orders-listen", "--orders-admin", "--billing-listen", "--billing-admin"] {
        let output = program::run(&[flag, &address]).await;
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(
            String::from_utf8(output.stderr).unwrap(),
            format!(
                "shop: {address} is taken by another program: choose another address with {flag} ADDR \
                 (port 0: any free one)\n"
            )
        );
    }
}
