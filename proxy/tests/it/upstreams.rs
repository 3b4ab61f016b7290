//! Several endpoints, their connections, and what happens when they are slow, full or gone.

use std::time::Duration;

use tokio::{
    net::{TcpSocket, TcpStream},
    time::Instant,
};

use crate::support::{
    client::Call,
    origin::{Origin, Reply},
    raw::{Head, RawConnection, RawOrigin, beside},
    refrain::Refrain,
    within,
};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// A Refrain of one core with one upstream at these endpoints; `settings` are the upstream's.
async fn before(urls: &[String], settings: &str) -> Refrain {
    let yaml = format!(
        "workers: 1\nstore: {{url: \"memory:\"}}\nupstreams: {{app: {{url: [{}], local: true, {settings}}}}}\n",
        urls.join(", ")
    );
    Refrain::start(&yaml).await
}

fn problem(head: &Head) -> (u16, Option<&str>, Option<&str>) {
    (head.status(), head.value("refrain-problem"), head.value("retry-after"))
}

/// A client with its request on its way.
async fn asking(refrain: &Refrain, request: &str) -> RawConnection {
    let mut client = RawConnection::to(refrain.address()).await;
    client.send(request).await;
    client
}

#[tokio::test]
async fn endpoints_take_turns() {
    let origins = [Origin::start(), Origin::start(), Origin::start()];
    let refrain = before(&origins.each_ref().map(Origin::url), "").await;
    let mut client = RawConnection::to(refrain.address()).await;
    for _ in 0..9 {
        assert_eq!(client.exchange(GET).await.0.status(), 201);
    }
    assert_eq!(origins.each_ref().map(|origin| origin.count("/")), [3, 3, 3]);
}

#[tokio::test]
async fn an_endpoint_that_is_down_costs_no_request() {
    let origins = [Origin::start(), Origin::start()];
    origins[0].close().await;
    let refrain = before(&origins.each_ref().map(Origin::url), "").await;
    for _ in 0..6 {
        let answer = Call::post(&refrain.url("/orders")).body("a body that is sent once").send().await;
        assert_eq!(answer.status, 201);
    }
    let seen = origins[1].requests_to("/orders");
    assert_eq!(seen.len(), 6);
    assert!(seen.iter().all(|seen| &seen.body[..] == b"a body that is sent once"));

    origins[0].reopen().await;
    for _ in 0..6 {
        assert_eq!(Call::get(&refrain.url("/")).send().await.status, 201);
    }
    assert_eq!(origins.each_ref().map(|origin| origin.count("/")), [3, 3]);
}

#[tokio::test]
async fn what_may_have_been_taken_is_not_sent_elsewhere() {
    let origins = [Origin::start(), Origin::start()];
    origins[0].on("/orders", Reply::reset());
    let refrain = before(&origins.each_ref().map(Origin::url), "").await;
    let mut answers = Vec::new();
    for _ in 0..6 {
        answers.push(Call::post(&refrain.url("/orders")).body("b").send().await.status);
    }
    answers.sort_unstable();
    assert_eq!(answers, [201, 201, 201, 502, 502, 502]);
    assert_eq!(origins.each_ref().map(|origin| origin.count("/orders")), [3, 3]);
}

#[tokio::test]
async fn a_service_that_is_not_there_is_said_to_be_not_there_and_found_again() {
    let origins = [Origin::start(), Origin::start()];
    let refrain = before(&origins.each_ref().map(Origin::url), "").await;
    for origin in &origins {
        origin.close().await;
    }
    let mut client = RawConnection::to(refrain.address()).await;
    for _ in 0..3 {
        let (head, body) = client.exchange(GET).await;
        assert_eq!(problem(&head), (503, Some("upstream-not-reached"), Some("1")));
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!((&body["retryable"], &body["retry"]), (&true.into(), &"same-key".into()));
    }
    origins[1].reopen().await;
    assert_eq!(client.exchange(GET).await.0.status(), 201);
}

#[tokio::test]
async fn one_connection_serves_many_requests() {
    let origin = RawOrigin::start().await;
    let refrain = before(&[origin.url()], "").await;
    let mut client = asking(&refrain, GET).await;
    let mut upstream = origin.accept().await;
    for _ in 0..20 {
        upstream.head().await;
        upstream.send(OK).await;
        assert_eq!(client.response().await.1, b"ok");
        // Another client, the same connection.
        client = asking(&refrain, GET).await;
    }
    upstream.head().await;
    assert!(!origin.has_caller());
}

#[tokio::test]
async fn a_connection_that_closed_in_between_fails_nobody() {
    let origin = RawOrigin::start().await;
    let refrain = beside(&origin.url(), "routes: [{match: {path: /denied}, access: deny}]\n").await;
    let mut client = RawConnection::to(refrain.address()).await;
    for round in 0..20 {
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").await;
        let (mut upstream, _) = origin.accept_request().await;
        upstream.send(OK).await;
        assert_eq!(client.response().await.0.status(), 200, "round {round}");
        if round % 2 == 0 {
            drop(upstream)
        } else {
            upstream.reset()
        }
        // The close is on its way, and the kernel does not promise that it comes before what another connection brings. What the
        // same core answers by itself, it answers after it.
        assert_eq!(client.exchange("GET /denied HTTP/1.1\r\nHost: a\r\n\r\n").await.0.status(), 403);
    }
}

#[tokio::test]
async fn a_connection_that_the_service_will_close_is_not_used_again() {
    let closing = [
        ("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", false),
        ("HTTP/1.1 200 OK\r\nKeep-Alive: timeout=1\r\nContent-Length: 2\r\n\r\nok", false),
        ("HTTP/1.1 200 OK\r\nKeep-Alive: max=5, timeout=0\r\nContent-Length: 2\r\n\r\nok", false),
        ("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", false),
        ("HTTP/1.1 200 OK\r\nKeep-Alive: timeout=60, max=100\r\nContent-Length: 2\r\n\r\nok", true),
    ];
    for (answer, is_used_again) in closing {
        let origin = RawOrigin::start().await;
        let refrain = before(&[origin.url()], "").await;
        let mut client = asking(&refrain, GET).await;
        let (mut upstream, _) = origin.accept_request().await;
        upstream.send(answer).await;
        assert_eq!(client.response().await.0.status(), 200);
        client.send(GET).await;
        if is_used_again {
            upstream.head().await;
        } else {
            origin.accept_request().await;
            upstream.closed().await;
        }
    }
}

#[tokio::test]
async fn an_idle_connection_is_closed_before_the_service_would() {
    let origin = RawOrigin::start().await;
    let refrain = before(&[origin.url()], "idle_timeout: 200ms").await;
    let mut client = asking(&refrain, GET).await;
    let (mut upstream, _) = origin.accept_request().await;
    upstream.send(OK).await;
    client.response().await;
    let began = Instant::now();
    upstream.closed().await;
    assert!((Duration::from_millis(150)..Duration::from_secs(4)).contains(&began.elapsed()), "{:?}", began.elapsed());
}

#[tokio::test]
async fn no_more_idle_connections_are_kept_than_said() {
    let origin = RawOrigin::start().await;
    let refrain = before(&[origin.url()], "max_idle: 1").await;
    let mut clients = [asking(&refrain, GET).await, asking(&refrain, GET).await];
    let mut upstreams = [origin.accept_request().await.0, origin.accept_request().await.0];
    for (client, upstream) in clients.iter_mut().zip(&mut upstreams) {
        upstream.send(OK).await;
        client.head().await;
    }
    refrain.until_admin("/metrics", |metrics| metrics.text().contains("upstream=\"app\",state=\"idle\"} 1\n")).await;
    let [one, two] = &mut upstreams;
    tokio::select! {
        () = one.closed() => {}
        () = two.closed() => {}
    }
}

#[tokio::test]
async fn an_answer_that_takes_too_long_is_a_504_and_the_upstream_is_let_go() {
    let origin = RawOrigin::start().await;
    let refrain = before(&[origin.url()], "response_timeout: 300ms").await;
    let began = Instant::now();
    let mut client = asking(&refrain, GET).await;
    let (mut upstream, _) = origin.accept_request().await;
    let (head, _) = client.response().await;
    assert_eq!(problem(&head), (504, Some("upstream-timeout"), None));
    assert!((Duration::from_millis(300)..Duration::from_secs(3)).contains(&began.elapsed()), "{:?}", began.elapsed());
    upstream.closed().await;

    // The time is for the head: a body may take longer.
    client.send(GET).await;
    let (mut upstream, _) = origin.accept_request().await;
    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no").await;
    client.head().await;
    tokio::time::sleep(Duration::from_millis(600)).await;
    upstream.send("k").await;
    assert_eq!(client.bytes(2).await, b"ok");
}

/// An address at which connections are neither taken nor refused.
struct Hole {
    _socket: tokio::net::TcpListener,
    _waiting: Vec<TcpStream>,
    url: String,
}

impl Hole {
    async fn dig() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let socket = socket.listen(1).unwrap();
        let address = socket.local_addr().unwrap();
        let mut waiting = Vec::new();
        // Once its queue is full, the kernel drops what comes.
        while let Ok(tcp) = tokio::time::timeout(Duration::from_millis(100), TcpStream::connect(address)).await {
            waiting.push(tcp.unwrap());
        }
        Self { _socket: socket, _waiting: waiting, url: format!("http://{address}") }
    }
}

#[tokio::test]
async fn a_connection_that_does_not_come_about_is_not_waited_for_longer_than_said() {
    let hole = Hole::dig().await;
    let refrain = before(std::slice::from_ref(&hole.url), "connect_timeout: 300ms").await;
    let began = Instant::now();
    let answer = Call::get(&refrain.url("/")).send().await;
    assert_eq!((answer.status, answer.problem()), (503, "upstream-not-reached"));
    assert!((Duration::from_millis(300)..Duration::from_secs(3)).contains(&began.elapsed()), "{:?}", began.elapsed());

    let origin = Origin::start();
    let refrain = before(&[hole.url.clone(), origin.url()], "connect_timeout: 100ms").await;
    for _ in 0..4 {
        assert_eq!(Call::get(&refrain.url("/")).send().await.status, 201);
    }
    assert_eq!(origin.count("/"), 4);
}

#[tokio::test]
async fn more_than_an_upstream_may_have_under_way_are_told_to_come_back() {
    let origin = Origin::start();
    let gate = origin.gate("/slow");
    let refrain = before(&[origin.url()], "max_in_flight: 1").await;
    let slow = Call::get(&refrain.url("/slow")).start();
    gate.started(1).await;
    let refused = Call::get(&refrain.url("/")).send().await;
    assert_eq!((refused.status, refused.problem(), refused.header("retry-after")), (503, "overloaded", Some("1")));
    refrain.until_metric("refrain_overloaded_total{limit=\"upstream\"}", 1.0).await;
    gate.open();
    assert_eq!(slow.answer().await.status, 201);
    assert_eq!(Call::get(&refrain.url("/")).send().await.status, 201);
}

#[tokio::test]
async fn a_request_without_a_connection_waits_for_one() {
    let origin = RawOrigin::start().await;
    let refrain = before(&[origin.url()], "max_connections: 1, connect_timeout: 20s").await;
    let mut first = asking(&refrain, GET).await;
    let (mut upstream, _) = origin.accept_request().await;
    let gives_up = asking(&refrain, "GET /gives-up HTTP/1.1\r\nHost: a\r\n\r\n").await;
    refrain.until_metric("refrain_requests_in_flight", 2.0).await;
    let mut waits = asking(&refrain, "GET /waits HTTP/1.1\r\nHost: a\r\n\r\n").await;
    refrain.until_metric("refrain_requests_in_flight", 3.0).await;
    assert!(!origin.has_caller());
    gives_up.reset();
    upstream.send(OK).await;
    first.response().await;
    loop {
        let seen = upstream.head().await;
        upstream.send(OK).await;
        if seen.start.contains("/waits") {
            break;
        }
    }
    assert_eq!(waits.response().await.1, b"ok");
    assert!(!origin.has_caller());
}

#[tokio::test]
async fn a_request_does_not_wait_for_a_connection_for_ever() {
    let origin = RawOrigin::start().await;
    let refrain = before(&[origin.url()], "max_connections: 1, connect_timeout: 200ms").await;
    let mut first = asking(&refrain, GET).await;
    let (mut upstream, _) = origin.accept_request().await;
    let mut second = asking(&refrain, GET).await;
    let (head, _) = second.response().await;
    assert_eq!(problem(&head), (503, Some("overloaded"), Some("1")));
    upstream.send(OK).await;
    assert_eq!(first.response().await.1, b"ok");
}

#[tokio::test]
async fn a_connection_that_ends_badly_gives_its_place_back() {
    let origin = RawOrigin::start().await;
    let refrain = before(&[origin.url()], "max_connections: 1, max_in_flight: 1").await;
    let mut client = RawConnection::to(refrain.address()).await;
    for answer in ["", "nonsense\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhi"] {
        client.send(GET).await;
        let (mut upstream, _) = origin.accept_request().await;
        upstream.send(answer).await;
        drop(upstream);
        let head = client.head().await;
        if head.status() == 200 {
            client.rest().await;
            client = RawConnection::to(refrain.address()).await;
        } else {
            client.body(&head).await;
        }
    }
    client.send(GET).await;
    let (mut upstream, _) = origin.accept_request().await;
    upstream.send(OK).await;
    assert_eq!(client.response().await.1, b"ok");
}

#[tokio::test]
async fn every_core_has_its_share_of_the_connections() {
    let origin = Origin::start();
    let yaml = format!(
        "workers: 2\nstore: {{url: \"memory:\"}}\nupstreams: {{app: {{url: \"{}\", local: true, max_connections: 4}}}}\n",
        origin.url()
    );
    let refrain = Refrain::start(&yaml).await;
    let clients: Vec<_> = (0..40).map(|_| Call::get(&refrain.url("/")).start()).collect();
    for client in clients {
        assert_eq!(within("an answer", client.answer()).await.status, 201);
    }
    let open = refrain.metric("refrain_upstream_connections{upstream=\"app\",state=\"idle\"}").await
        + refrain.metric("refrain_upstream_connections{upstream=\"app\",state=\"busy\"}").await;
    assert!((1.0..=4.0).contains(&open), "{open}");
}
