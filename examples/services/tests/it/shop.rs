use std::io::ErrorKind;
use std::time::Duration;

use nix::sys::signal::Signal;
use shop::client::{Edge, Order};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::timeout;

use crate::redis::RedisServer;
use crate::support::customer::{Customer, assert_replayed};
use crate::support::program::{self, Program};

/// How long processes may take to end: longer than any drains.
const MAX_END: Duration = Duration::from_secs(60);

fn edge(shop: &Program) -> Edge {
    Edge::at(&shop.state().edge.url).unwrap()
}

#[tokio::test]
async fn orders_and_payments_sent_twice_under_one_key_are_done_once() {
    let shop = Program::start(&[]).await;
    let edge = edge(&shop);
    let ada = Customer::register(&edge).await;
    for intent in [ada.order("twice"), ada.top_up("twice")] {
        let first = edge.send(&intent).await.unwrap();
        assert_replayed(&first, &edge.send(&intent).await.unwrap());
    }
    assert_eq!(ada.books().await, (1_800, 1));
    shop.stop().await;
}

#[tokio::test]
async fn the_guide_can_be_pasted_into_a_shell() {
    let shop = Program::start(&[]).await;
    let (_, guide) = shop.announced.split_once("# A guided tour").unwrap();
    let (guide, _) = guide.split_once("\n\n").unwrap();
    let shell = Command::new("bash").args(["-euc", &format!("#{guide}")]).output();
    let output = timeout(MAX_END, shell).await.expect("an end in time").unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}\n{said}", String::from_utf8_lossy(&output.stderr));
    let statuses: Vec<_> = said.lines().filter_map(|line| line.strip_prefix("HTTP/1.1 ")?.split(' ').next()).collect();
    assert_eq!(statuses, ["200", "201", "201", "201", "200", "402", "204", "401"], "{said}");
    assert_eq!(said.matches("idempotency-replayed: true").count(), 1, "{said}");
    assert!(said.contains(r#""balance":300"#), "{said}");
    shop.stop().await;
}

#[tokio::test]
async fn what_is_killed_runs_again_at_its_address_and_remembers() {
    let mut shop = Program::start(&[]).await;
    let edge = edge(&shop);
    let ada = Customer::register(&edge).await;
    let first = edge.send(&ada.order("before")).await.unwrap();
    let before = shop.state();
    let (orders, billing) = (before.sidecar("orders").unwrap(), before.service("billing").unwrap());
    let killed = [
        ("The sidecar of orders", orders.pid.unwrap()),
        ("The service billing", billing.pid.unwrap()),
        ("The edge", before.edge.pid.unwrap()),
    ];
    let mut runs = Vec::new();
    for (title, pid) in killed {
        runs.push(shop.kill_one(title, pid).await);
    }
    assert_replayed(&first, &edge.send(&ada.order("before")).await.unwrap());
    assert_eq!(edge.send(&ada.order("after")).await.unwrap().status, 201);
    assert_eq!(ada.books().await, (600, 2));

    let after = shop.state();
    assert_eq!((after.restarts.services, after.restarts.sidecars), (1, 2));
    let (orders, billing) = (after.sidecar("orders").unwrap(), after.service("billing").unwrap());
    assert_eq!([orders.pid, billing.pid, after.edge.pid].map(Option::unwrap), runs[..]);
    assert_eq!(before.sidecar("orders").unwrap().url, orders.url);
    shop.stop().await;
}

#[tokio::test]
async fn a_kept_folder_remembers_orders_keys_and_who_is_logged_in_over_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    // What a URL would take for something else is a folder's name all the same.
    let data = folder.path().join("the shop's 100% data?");
    let arguments = ["--data", data.to_str().unwrap()];
    let shop = Program::start(&arguments).await;
    let ada = Customer::register(&edge(&shop)).await;
    let first = edge(&shop).send(&ada.order("kept")).await.unwrap();
    shop.stop().await;

    let shop = Program::start(&arguments).await;
    let ada = ada.at(&edge(&shop));
    assert_replayed(&first, &edge(&shop).send(&ada.order("kept")).await.unwrap());
    assert_eq!(ada.books().await, (800, 1));
    shop.stop().await;
}

#[tokio::test]
async fn a_stopped_shop_leaves_no_process_no_state_and_no_temporary_folder() {
    let temporary = tempfile::tempdir().unwrap();
    let shop = Program::start_in(temporary.path(), &[]).await;
    let processes = program::processes(&shop.state());
    assert_eq!(processes.len(), 11);
    assert!(processes.iter().all(|process| program::is_alive(*process)));
    assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 1);
    let folder = shop.stop().await;
    assert!(!processes.iter().any(|process| program::is_alive(*process)));
    assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 0);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "the state");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn all_processes_end_with_a_shop_that_was_killed() {
    // Killed, it cannot remove its folder itself.
    let temporary = tempfile::tempdir().unwrap();
    let shop = Program::start_in(temporary.path(), &[]).await;
    let state = shop.state();
    let services = state.services.values().map(|service| &service.url);
    let sidecars = state.services.values().flat_map(|service| &service.sidecars).map(|sidecar| &sidecar.url);
    let urls: Vec<_> = services.chain(sidecars).chain([&state.edge.url]).collect();
    assert_eq!(urls.len(), 11);
    shop.kill();
    for url in urls {
        let refused = timeout(MAX_END, until_refused(url)).await.expect("an end in time");
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused, "{url}");
    }
}

/// Waits until nothing listens there any more. Each connection lasts, at the longest, as long as who accepted it.
async fn until_refused(url: &str) -> std::io::Error {
    loop {
        match TcpStream::connect(url.strip_prefix("http://").unwrap()).await {
            Ok(mut connection) => drop(connection.read(&mut [0]).await),
            Err(refused) => return refused,
        }
    }
}

#[tokio::test]
async fn a_process_that_cannot_start_again_is_given_up_and_ends_the_shop() {
    let folder = tempfile::tempdir().unwrap();
    let shop = Program::start(&["--data", folder.path().to_str().unwrap()]).await;
    let store = folder.path().join("billing/refrain.db");
    std::fs::remove_file(&store).unwrap();
    std::fs::create_dir(&store).unwrap();
    let sidecar = shop.state().sidecar("billing").unwrap().pid.unwrap();
    program::signal(sidecar, Signal::SIGKILL);
    let (status, stderr) = shop.end().await;
    assert_eq!(status.code(), Some(1));
    let expected = "shop: the sidecar of billing was started again 10 times and never became ready: it is given up; it said:\n";
    assert!(stderr.contains(expected) && stderr.contains("billing/refrain.db"), "{stderr}");
}

#[tokio::test]
async fn several_sidecars_of_a_service_answer_as_one_on_a_redis() {
    let redis = RedisServer::start();
    let arguments = ["--redis", &redis.url(), "--replicas", "2"];
    let shop = Program::start(&arguments).await;
    let edge = edge(&shop);
    let ada = Customer::register(&edge).await;
    let state = shop.state();
    let replicas = &state.service("orders").unwrap().sidecars;
    let [first, second] = &replicas[..] else { panic!("{replicas:?}") };
    let [first, second] = [first, second].map(|sidecar| Edge::at(&sidecar.url).unwrap());
    let answer = first.send(&ada.order("one of two")).await.unwrap();
    assert_replayed(&answer, &second.send(&ada.order("one of two")).await.unwrap());
    assert_eq!(ada.books().await, (800, 1));

    // What is in a Redis belongs to a folder, for it was sealed with that folder's key.
    let refused = program::failure(&arguments).await;
    assert!(refused.contains("is not empty") && refused.contains("--data DIR"), "{refused}");
    shop.stop().await;
    // Its folder is gone, and so is what was kept for it.
    let shop = Program::start(&arguments).await;
    shop.stop().await;
}

#[tokio::test]
async fn under_chaos_processes_die_and_orders_come_out_right() {
    let mut shop = Program::start(&["--chaos", "--chaos-seed", "5"]).await;
    assert!(shop.until("chaos ").await.contains("--chaos-seed 5"));
    let edge = edge(&shop);
    let ada = Customer::register(&edge).await;
    for key in ["first", "second"] {
        shop.until("Chaos kills ").await;
        shop.until("The ").await;
        let order: Order = ada.done(&ada.order(key)).await;
        assert_eq!((order.status.as_str(), order.amount), ("complete", 200));
    }
    assert_eq!(ada.books().await, (600, 2));
    assert!(shop.state().chaos);
    shop.stop().await;
}
