//! What the shop says when it does not open.

use std::net::TcpListener;

use crate::support::program::{command, failed, failure};

#[tokio::test]
async fn a_process_that_does_not_start_is_told_with_its_own_words() {
    // A folder where a store, and then a database, should be.
    let without = async |file: &str| {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join(file)).unwrap();
        failure(&["--data", folder.path().to_str().unwrap()]).await
    };
    let said = without("orders/refrain.db").await;
    assert!(said.starts_with("shop: the sidecar of orders ended (exit status: "), "{said}");
    assert!(said.contains("before it was ready; it said:\n") && said.contains("orders/refrain.db"), "{said}");
    let said = without("users/users.db").await;
    assert!(said.starts_with("shop: the service users ended (exit status: 1) before it was ready; it said:\n"), "{said}");
    assert!(said.contains("cannot open the database of users"), "{said}");
}

#[tokio::test]
async fn a_taken_port_is_refused_with_the_flag_that_chooses_another() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for (flag, what) in [("--listen", "the edge"), ("--admin", "the edge's admin side")] {
        let expected = format!(
            "shop: {address} is taken by another program: choose another address for {what} with {flag} ADDR (port 0: any free one)\n"
        );
        let mut command = command(&["--free-ports", flag, &address]);
        let other = if flag == "--listen" { "--admin" } else { "--listen" };
        command.args([other, "127.0.0.1:0"]);
        assert_eq!(failed(command).await, expected);
    }
    // The first that is reserved. If another program has it, so much the better.
    let _taken = TcpListener::bind("127.0.0.1:8004");
    let said = failed(command(&["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])).await;
    assert_eq!(
        said,
        "shop: 127.0.0.1:8004 is taken by another program: let services and sidecars take free ports with --free-ports\n"
    );
}

#[tokio::test]
async fn what_cannot_be_is_told_before_anything_starts() {
    let said = failure(&["--replicas", "2"]).await;
    assert!(said.starts_with("shop: --replicas 2 needs --redis URL: "), "{said}");
    let said = failure(&["--redis", "redis://127.0.0.1:1"]).await;
    assert!(said.starts_with("shop: cannot use the Redis at 127.0.0.1:1: is it running?"), "{said}");
    assert_eq!(said.matches("Connection refused").count(), 1, "{said}");
    let said = failure(&["--state", "/none/state.json"]).await;
    assert!(said.starts_with("shop: cannot write /none/state.json: choose another file with --state FILE\n"), "{said}");
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("keys")).unwrap();
    std::fs::write(folder.path().join("keys/store.key"), "not a key").unwrap();
    let said = failure(&["--data", folder.path().to_str().unwrap()]).await;
    assert!(said.contains("keys/store.key is not a key"), "{said}");
}
