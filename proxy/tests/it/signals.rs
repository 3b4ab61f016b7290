//! How the program starts, hears signals, takes a new configuration, and ends.

use std::{
    net::{SocketAddr, TcpListener},
    os::unix::fs::symlink,
    path::Path,
    process::Output,
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    net::TcpStream,
    process::{Child, ChildStderr, Command},
    time::Instant,
};

use crate::support::{
    client::Call,
    origin::Origin,
    raw::{RawConnection, RawOrigin, beside},
    refrain::{Refrain, Signal, program},
    within,
};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

fn config(origin: &Origin, more: &str) -> String {
    format!("store: {{url: \"memory:\"}}\nupstreams: {{app: {{url: \"{}\", local: true}}}}\n{more}", origin.url())
}

/// Waits until nobody accepts connections there any more.
async fn refused(address: SocketAddr) {
    within("connections to be refused", async {
        while let Ok(tcp) = TcpStream::connect(address).await {
            drop(tcp);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

async fn draining(refrain: &Refrain) {
    refrain.until_admin("/readyz", |answer| answer.status == 503 && answer.text().contains("draining")).await;
}

#[tokio::test]
async fn sigterm_finishes_what_is_under_way_and_takes_nothing_new() {
    let origin = Origin::start();
    let gate = origin.gate("/slow");
    let mut refrain = Refrain::start(&config(&origin, "")).await;
    let mut idle = RawConnection::to(refrain.address()).await;
    idle.exchange(GET).await;
    let mut silent = RawConnection::to(refrain.address()).await;
    let mut slow = RawConnection::to(refrain.address()).await;
    slow.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let keyed = Call::post(&refrain.url("/slow")).key("k").start();
    gate.started(2).await;
    refrain.until_metric("refrain_connections", 4.0).await;

    refrain.signal(Signal::Term);
    draining(&refrain).await;
    idle.closed().await;
    silent.closed().await;
    refused(refrain.address()).await;
    assert_eq!(refrain.admin("/livez").await.status, 200);
    gate.open();
    let (head, _) = slow.response().await;
    assert_eq!((head.status(), head.value("connection")), (201, Some("close")));
    slow.closed().await;
    assert_eq!(keyed.answer().await.status, 201);
    assert_eq!(refrain.wait_exit().await.code(), Some(0));
    refrain.logged(&["every request is finished"]).await;
}

#[tokio::test]
async fn what_the_kernel_had_taken_when_the_drain_began_is_answered() {
    let origin = Origin::start();
    let mut refrain = Refrain::start(&config(&origin, "")).await;
    refrain.signal(Signal::Stop);
    let mut clients = Vec::new();
    for _ in 0..6 {
        let mut client = RawConnection::to(refrain.address()).await;
        client.send(GET).await;
        clients.push(client);
    }
    refrain.signal(Signal::Term);
    refrain.signal(Signal::Cont);
    for mut client in clients {
        assert_eq!(client.response().await.0.status(), 201);
    }
    assert_eq!(refrain.wait_exit().await.code(), Some(0));
}

#[tokio::test]
async fn an_upload_under_way_is_finished_too() {
    let origin = RawOrigin::start().await;
    let mut refrain = beside(&origin.url(), "").await;
    let mut client = RawConnection::to(refrain.address()).await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbo").await;
    let (mut upstream, seen) = origin.accept_request().await;
    refrain.signal(Signal::Term);
    draining(&refrain).await;
    client.send("dy").await;
    assert_eq!(upstream.body(&seen).await, b"body");
    upstream.send(OK).await;
    assert_eq!(client.response().await.1, b"ok");
    assert_eq!(refrain.wait_exit().await.code(), Some(0));
}

#[tokio::test]
async fn sigint_drains_like_sigterm() {
    let origin = Origin::start();
    let mut refrain = Refrain::start(&config(&origin, "")).await;
    refrain.signal(Signal::Int);
    assert_eq!(refrain.wait_exit().await.code(), Some(0));
}

#[tokio::test]
async fn a_second_signal_stops_at_once() {
    let origin = Origin::start();
    let gate = origin.gate("/slow");
    let mut refrain = Refrain::start(&config(&origin, "limits: {drain: 1h}\n")).await;
    let mut client = RawConnection::to(refrain.address()).await;
    client.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await;
    gate.started(1).await;
    refrain.signal(Signal::Term);
    draining(&refrain).await;
    refrain.signal(Signal::Term);
    assert_eq!(refrain.wait_exit().await.code(), Some(0));
    client.closed().await;
    refrain.logged(&["told to hurry"]).await;
}

#[tokio::test]
async fn a_drain_ends_at_its_deadline() {
    let origin = Origin::start();
    let gate = origin.gate("/slow");
    let mut refrain = Refrain::start(&config(&origin, "limits: {drain: 300ms}\n")).await;
    let mut client = RawConnection::to(refrain.address()).await;
    client.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await;
    gate.started(1).await;
    let began = Instant::now();
    refrain.signal(Signal::Term);
    assert_eq!(refrain.wait_exit().await.code(), Some(0));
    assert!((Duration::from_millis(300)..Duration::from_secs(4)).contains(&began.elapsed()), "{:?}", began.elapsed());
    refrain.logged(&["the drain's time is over"]).await;
}

#[tokio::test]
async fn sighup_puts_the_new_file_in_force() {
    let origin = Origin::start();
    let refrain = Refrain::start(&config(&origin, "")).await;
    assert_eq!(Call::get(&refrain.url("/secret/")).send().await.status, 201);
    refrain.rewrite(&config(&origin, "routes: [{match: {prefix: /secret/}, access: deny}]\n"));
    refrain.signal(Signal::Hup);
    refrain.logged(&["is in force", "SIGHUP"]).await;
    assert_eq!(Call::get(&refrain.url("/secret/")).send().await.status, 403);
    assert_eq!(Call::get(&refrain.url("/open/")).send().await.status, 201);
    assert!(refrain.metric("refrain_config_reloads_total{result=\"applied\"}").await >= 1.0);
}

#[tokio::test]
async fn a_file_that_changes_is_read_without_being_told() {
    let origin = Origin::start();
    let refrain = Refrain::start(&config(&origin, "")).await;
    let denied = |path: &str| config(&origin, &format!("routes: [{{match: {{prefix: {path}}}, access: deny}}]\n"));
    refrain.rewrite(&denied("/one/"));
    until_status(&refrain, "/one/", 403).await;

    // As editors do it: a new file takes the old one's name.
    let file = refrain.folder().join("refrain.yaml");
    let basics = std::fs::read_to_string(&file).unwrap().replace("/one/", "/two/");
    std::fs::write(refrain.folder().join("refrain.yaml.new"), &basics).unwrap();
    std::fs::rename(refrain.folder().join("refrain.yaml.new"), &file).unwrap();
    until_status(&refrain, "/two/", 403).await;
    until_status(&refrain, "/one/", 201).await;
}

#[tokio::test]
async fn a_file_behind_a_link_that_moves_is_read_too() {
    let origin = Origin::start();
    let refrain = Refrain::start(&config(&origin, "")).await;
    let file = refrain.folder().join("refrain.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    // As Kubernetes does it: the file is a link through a folder that is a link, which is swapped.
    let put = |name: &str, path: &str| {
        let folder = refrain.folder().join(name);
        std::fs::create_dir(&folder).unwrap();
        let routes = format!("routes: [{{match: {{prefix: {path}}}, access: deny}}]\n");
        std::fs::write(folder.join("refrain.yaml"), text.clone() + &routes).unwrap();
        let link = refrain.folder().join("..data_new");
        symlink(name, &link).unwrap();
        std::fs::rename(link, refrain.folder().join("..data")).unwrap();
    };
    put("..1", "/one/");
    symlink("..data/refrain.yaml", refrain.folder().join("link")).unwrap();
    std::fs::rename(refrain.folder().join("link"), &file).unwrap();
    until_status(&refrain, "/one/", 403).await;
    put("..2", "/two/");
    until_status(&refrain, "/two/", 403).await;
    assert_eq!(Call::get(&refrain.url("/one/")).send().await.status, 201);
}

async fn until_status(refrain: &Refrain, path: &str, status: u16) {
    within(&format!("{path} to answer {status}"), async {
        while Call::get(&refrain.url(path)).send().await.status != status {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_bad_file_is_refused_loudly_and_the_old_one_stays() {
    let origin = Origin::start();
    let refrain = Refrain::start(&config(&origin, "routes: [{match: {prefix: /secret/}, access: deny}]\n")).await;
    refrain.rewrite(&config(&origin, "routes: [{match: {prefix: /secret/}, acess: public}]\n"));
    refrain.signal(Signal::Hup);
    refrain.logged(&["refused", "the old one stays in force", "\"ERROR\""]).await;
    refrain.logged(&["refrain.yaml:", ":"]).await;
    refrain.logged(&["acess"]).await;
    assert_eq!(Call::get(&refrain.url("/secret/")).send().await.status, 403);
    refrain.until_metric("refrain_config_reloads_total{result=\"refused\"}", 1.0).await;

    refrain.rewrite(&config(&origin, "routes: [{match: {prefix: /secret/}, access: public}]\n"));
    refrain.signal(Signal::Hup);
    until_status(&refrain, "/secret/", 201).await;
}

#[tokio::test]
async fn what_needs_a_restart_is_named_and_stays() {
    let origin = Origin::start();
    let refrain = Refrain::start(&config(&origin, "")).await;
    let more = "listen: 127.0.0.2:0\nlimits: {connections: 7}\nroutes: [{match: {prefix: /secret/}, access: deny}]\n";
    refrain.rewrite(&config(&origin, more));
    refrain.signal(Signal::Hup);
    let said = refrain.logged(&["need a restart"]).await;
    assert!(said.contains("listen") && said.contains("limits") && !said.contains("routes"), "{said}");
    assert_eq!(Call::get(&refrain.url("/secret/")).send().await.status, 403);
}

#[tokio::test]
async fn a_reload_disturbs_nobody() {
    let origin = RawOrigin::start().await;
    let refrain = beside(&origin.url(), "").await;
    let mut client = RawConnection::to(refrain.address()).await;
    client.send(GET).await;
    let (mut upstream, _) = origin.accept_request().await;
    refrain.signal(Signal::Hup);
    refrain.logged(&["is in force", "SIGHUP"]).await;
    upstream.send(OK).await;
    assert_eq!(client.response().await.1, b"ok");
    // Neither the client's connection nor the upstream's was closed.
    client.send("GET /again HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(upstream.head().await.start, "GET /again HTTP/1.1");
}

/// Runs the program to its end.
async fn run(folder: &Path, args: &[&str], variables: &[(&str, &str)]) -> (Output, String) {
    let mut command = Command::from(program());
    command.args(args).envs(variables.iter().copied()).current_dir(folder).kill_on_drop(true);
    let output = within("the program to end", command.output()).await.unwrap();
    let said = String::from_utf8(output.stderr.clone()).unwrap();
    (output, said)
}

#[tokio::test]
async fn a_taken_port_is_named_and_nothing_starts() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for (listen, admin) in [(address.as_str(), "127.0.0.1:0"), ("127.0.0.1:0", address.as_str())] {
        for workers in ["1", "2"] {
            let args = [
                "run",
                "--listen",
                listen,
                "--admin",
                admin,
                "--workers",
                workers,
                "--store",
                "memory:",
                "--upstream",
                "http://127.0.0.1:9",
            ];
            let (output, said) = run(folder.path(), &args, &[]).await;
            assert_eq!(output.status.code(), Some(1), "{said}");
            assert!(said.contains(&format!("cannot listen on {address}")) && said.contains("in use"), "{said}");
        }
    }
}

#[tokio::test]
async fn two_processes_cannot_share_a_port() {
    let origin = Origin::start();
    let refrain = Refrain::start(&config(&origin, "workers: 2\n")).await;
    let address = refrain.address().to_string();
    for workers in ["1", "2"] {
        let args = [
            "run",
            "--listen",
            &address,
            "--admin",
            "127.0.0.1:0",
            "--workers",
            workers,
            "--store",
            "memory:",
            "--upstream",
            "http://127.0.0.1:9",
        ];
        let (output, said) = run(refrain.folder(), &args, &[]).await;
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(&address), "{said}");
    }
}

#[tokio::test]
async fn two_processes_cannot_share_an_embedded_store() {
    let origin = Origin::start();
    let yaml =
        format!("store: {{url: \"embedded:./records.db\"}}\nupstreams: {{app: {{url: \"{}\", local: true}}}}\n", origin.url());
    let refrain = Refrain::start(&yaml).await;
    let store = format!("embedded:{}", refrain.folder().join("records.db").display());
    let args =
        ["run", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--store", &store, "--upstream", "http://127.0.0.1:9"];
    let (output, said) = run(refrain.folder(), &args, &[]).await;
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("records.db"), "{said}");
}

#[tokio::test]
async fn every_mistake_of_a_file_is_shown_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let yaml = "listen: 127.0.0.1:0\nworkers: 0\nupstreams:\n  app: {url: http://127.0.0.1:1, locl: true}\nlimits:\n  drain: 5 bananas\n";
    std::fs::write(folder.path().join("refrain.yaml"), yaml).unwrap();
    for command in ["run", "check"] {
        let (output, said) = run(folder.path(), &[command, "--config", "refrain.yaml"], &[]).await;
        assert_eq!(output.status.code(), Some(2), "{command}: {said}");
        for place in ["refrain.yaml:2:10", "refrain.yaml:4:34", "refrain.yaml:6:10"] {
            assert!(said.contains(place), "{command}: no {place} in {said}");
        }
        assert_eq!(output.stdout, b"");
    }
}

#[tokio::test]
async fn a_file_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (output, said) = run(folder.path(), &["run", "--config", "nowhere.yaml"], &[]).await;
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("nowhere.yaml"), "{said}");
}

#[tokio::test]
async fn the_program_tells_what_it_is_and_how_to_use_it() {
    let folder = tempfile::tempdir().unwrap();
    let (version, _) = run(folder.path(), &["--version"], &[]).await;
    assert!(version.status.success());
    assert_eq!(String::from_utf8(version.stdout).unwrap(), format!("refrain {}\n", env!("CARGO_PKG_VERSION")));
    let (help, _) = run(folder.path(), &["--help"], &[]).await;
    let said = String::from_utf8(help.stdout).unwrap();
    assert!(
        help.status.success() && ["run", "check", "schema", "records"].iter().all(|command| said.contains(command)),
        "{said}"
    );
    let (help, _) = run(folder.path(), &["run", "--help"], &[]).await;
    let said = String::from_utf8(help.stdout).unwrap();
    assert!(
        ["--upstream", "--config", "REFRAIN_LISTEN", "[default: 127.0.0.1:8080]"].iter().all(|word| said.contains(word)),
        "{said}"
    );
    let (wrong, said) = run(folder.path(), &["run", "--upstraem", "x"], &[]).await;
    assert_eq!(wrong.status.code(), Some(2));
    assert!(said.contains("--upstream"), "{said}");
}

/// A program that runs, with its log.
struct Running {
    child: Child,
    log: Lines<BufReader<ChildStderr>>,
}

impl Running {
    fn start(folder: &Path, args: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut command = Command::from(program());
        command.arg("run").args(args).envs(variables.iter().copied()).current_dir(folder);
        command.stderr(std::process::Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap()).lines();
        Self { child, log }
    }

    /// Where it listens.
    async fn address(&mut self) -> SocketAddr {
        within("the address", async {
            let mut seen = String::new();
            while let Some(line) = self.log.next_line().await.unwrap() {
                if line.contains("\"listening\"") {
                    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
                    return line["address"].as_str().unwrap().parse().unwrap();
                }
                seen += &format!("{line}\n");
            }
            panic!("it ended: {seen}");
        })
        .await
    }

    async fn stop(mut self) {
        self.child.kill().await.unwrap();
    }
}

#[tokio::test]
async fn an_upstream_is_all_it_needs() {
    let origin = Origin::start();
    let (folder, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let variables =
        [("XDG_STATE_HOME", state.path().to_str().unwrap()), ("REFRAIN_LISTEN", "127.0.0.1:0"), ("REFRAIN_ADMIN", "127.0.0.1:0")];
    let mut running = Running::start(folder.path(), &["--upstream", &origin.url()], &variables);
    let url = format!("http://{}/orders", running.address().await);
    let first = Call::post(&url).key("k").send().await;
    assert_eq!((first.status, first.header("idempotency-status")), (201, Some("executed")));
    running.stop().await;

    let mut running = Running::start(folder.path(), &["--upstream", &origin.url()], &variables);
    let url = format!("http://{}/orders", running.address().await);
    let second = Call::post(&url).key("k").send().await;
    assert_eq!((second.status, second.header("idempotency-status")), (201, Some("replayed")));
    assert_eq!(origin.count("/orders"), 1);
    let kept: Vec<_> = std::fs::read_dir(state.path().join("refrain")).unwrap().collect();
    assert!(!kept.is_empty());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left where it was started");
}

#[tokio::test]
async fn a_flag_counts_before_its_variable_and_that_before_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let yaml = "listen: 127.0.0.2:0\nadmin: {listen: 127.0.0.1:0}\nstore: {url: \"memory:\"}\nupstreams: {app: {url: http://127.0.0.1:1, local: true}}\n";
    std::fs::write(folder.path().join("refrain.yaml"), yaml).unwrap();
    let file = ["--config", "refrain.yaml"];
    let flag = ["--config", "refrain.yaml", "--listen", "127.0.0.4:0"];
    let variable = [("REFRAIN_LISTEN", "127.0.0.3:0")];
    for (args, variables, wins) in
        [(&file[..], &[][..], "127.0.0.2"), (&file[..], &variable[..], "127.0.0.3"), (&flag[..], &variable[..], "127.0.0.4")]
    {
        let mut running = Running::start(folder.path(), args, variables);
        assert_eq!(running.address().await.ip().to_string(), wins);
        running.stop().await;
    }
}
