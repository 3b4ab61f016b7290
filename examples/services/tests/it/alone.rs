//! `shop service`, as a container runs it.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::Signal;
use shop::client::{Edge, Intent};
use tokio::time::{sleep, timeout};

use crate::redis::free_port;
use crate::support::program::{command, failed, signal};

const MAX_WAIT: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_service_alone_finds_its_database_in_the_environment_and_stops_when_asked() {
    let folder = tempfile::tempdir().unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let mut command = command(&["service", "notifications", "--listen", &address.to_string()]);
    command.env("DATABASE_URL", format!("sqlite://{}/notifications.db", folder.path().display()));
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let service = Edge::at(&format!("http://{address}")).unwrap();
    let ready = async {
        while !service.send(&Intent::look("/healthz/")).await.is_ok_and(|answer| answer.status == 200) {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(MAX_WAIT, ready).await.expect("a service that is ready");
    assert!(folder.path().join("notifications.db").exists());
    signal(child.id().unwrap().cast_signed(), Signal::SIGTERM);
    assert!(timeout(MAX_WAIT, child.wait()).await.expect("an end in time").unwrap().success());
}

#[tokio::test]
async fn a_service_without_a_database_that_it_can_use_says_so() {
    let port = format!("127.0.0.1:{}", free_port());
    let refused = failed(command(&["service", "orders", "--listen", &port, "--database", "mysql://h/d"])).await;
    assert!(refused.starts_with("shop: cannot open the database of orders\n  because: a database is sqlite:"), "{refused}");
}
