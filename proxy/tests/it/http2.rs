//! HTTP/2 on either side, and gRPC through.

use std::{convert::Infallible, net::SocketAddr, sync::Arc};

use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, Request, Response, StatusCode, Version};
use http_body::Frame;
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{body::Incoming, client::conn::http2::SendRequest, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
};

use crate::support::{
    client::Call,
    origin::Origin,
    raw::{RawOrigin, beside},
    refrain::{Refrain, Signal},
    within,
};

type Body = UnsyncBoxBody<Bytes, Infallible>;
type Frames = mpsc::UnboundedSender<Frame<Bytes>>;

fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).boxed_unsync()
}

/// A body that is said piece by piece.
fn spoken() -> (Frames, Body) {
    let (frames, said) = mpsc::unbounded_channel();
    let said = futures_util::stream::unfold(said, |mut said| async move { said.recv().await.map(|frame| (Ok(frame), said)) });
    (frames, StreamBody::new(said).boxed_unsync())
}

/// A client's HTTP/2 connection, with prior knowledge.
async fn client(address: SocketAddr) -> SendRequest<Body> {
    let tcp = within("a connection", TcpStream::connect(address)).await.unwrap();
    let (sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(tcp)).await.unwrap();
    tokio::spawn(connection);
    sender
}

async fn ask(sender: &mut SendRequest<Body>, request: Request<Body>) -> Response<Incoming> {
    within("an answer", sender.send_request(request)).await.unwrap()
}

async fn whole(response: Response<Incoming>) -> (Bytes, Option<HeaderMap>) {
    let collected = within("a body", response.into_body().collect()).await.unwrap();
    let trailers = collected.trailers().cloned();
    (collected.to_bytes(), trailers)
}

fn get(refrain: &Refrain, path: &str) -> Request<Body> {
    Request::get(refrain.url(path)).body(full("")).unwrap()
}

/// A gRPC service: it says every message back, and ends with a status in the trailers. Speaks HTTP/2 only.
struct Grpc {
    address: SocketAddr,
    seen: Arc<watch::Sender<Vec<Request<()>>>>,
    connections: Arc<watch::Sender<usize>>,
    open_streams: Arc<watch::Sender<usize>>,
}

impl Grpc {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let grpc = Self {
            address: listener.local_addr().unwrap(),
            seen: Arc::default(),
            connections: Arc::default(),
            open_streams: Arc::default(),
        };
        let (seen, connections, open) = (Arc::clone(&grpc.seen), Arc::clone(&grpc.connections), Arc::clone(&grpc.open_streams));
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                connections.send_modify(|count| *count += 1);
                let (seen, open) = (Arc::clone(&seen), Arc::clone(&open));
                let service = service_fn(move |request| {
                    let (parts, body) = request.into_parts();
                    seen.send_modify(|seen| seen.push(Request::from_parts(parts, ())));
                    let open = Arc::clone(&open);
                    async move { Ok::<_, Infallible>(answer(body, open)) }
                });
                let serving = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                tokio::spawn(async move { serving.serve_connection(TokioIo::new(tcp), service).await });
            }
        });
        grpc
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn seen(&self) -> Vec<Request<()>> {
        self.seen.borrow().clone()
    }
}

fn answer(mut asked: Incoming, open: Arc<watch::Sender<usize>>) -> Response<Body> {
    let (frames, said) = spoken();
    tokio::spawn(async move {
        open.send_modify(|open| *open += 1);
        let mut messages = 0;
        loop {
            tokio::select! {
                frame = asked.frame() => match frame {
                    Some(Ok(frame)) => {
                        if let Ok(data) = frame.into_data() && !data.is_empty() {
                            messages += 1;
                            // Nobody listens any more: the end of the loop is near.
                            let _gone = frames.send(Frame::data(data));
                        }
                    }
                    Some(Err(_)) => break,
                    None => {
                        let mut trailers = HeaderMap::new();
                        trailers.insert("grpc-status", "0".parse().unwrap());
                        trailers.insert("x-messages", messages.into());
                        let _gone = frames.send(Frame::trailers(trailers));
                        break;
                    }
                },
                () = frames.closed() => break,
            }
        }
        open.send_modify(|open| *open -= 1);
    });
    Response::builder().header("content-type", "application/grpc+proto").body(said).unwrap()
}

/// A message with gRPC's prefix: not compressed, so long.
fn message(text: &str) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_u8(0);
    bytes.put_u32(u32::try_from(text.len()).unwrap());
    bytes.put_slice(text.as_bytes());
    bytes.freeze()
}

fn grpc_call(refrain: &Refrain, body: Body) -> Request<Body> {
    Request::post(refrain.url("/shop.Orders/Place"))
        .header("content-type", "application/grpc+proto")
        .header("te", "trailers")
        .header("grpc-timeout", "5S")
        .body(body)
        .unwrap()
}

#[tokio::test]
async fn a_client_of_http2_reaches_a_service_of_http1() {
    let origin = RawOrigin::start().await;
    let refrain = beside(&origin.url(), "").await;
    let mut sender = client(refrain.address()).await;
    let request = Request::post(format!("http://shop.example:81{}", "/a%2Fb//c?x=%20+"))
        .header("x-twice", "1")
        .header("x-twice", "2")
        .header("cookie", "a=1")
        .header("cookie", "b=2")
        .body(full("hello"))
        .unwrap();
    let asking = tokio::spawn(async move { ask(&mut sender, request).await });
    let (mut upstream, seen) = origin.accept_request().await;
    assert_eq!(seen.start, "POST /a%2Fb//c?x=%20+ HTTP/1.1");
    assert_eq!((seen.value("host"), seen.value("x-forwarded-host")), (Some("shop.example:81"), Some("shop.example:81")));
    assert_eq!(seen.values("x-twice"), ["1", "2"]);
    assert_eq!(seen.value("cookie"), Some("a=1; b=2"), "RFC 9113, section 8.2.3");
    assert_eq!(upstream.body(&seen).await, b"hello");
    let head = "HTTP/1.1 201 Made Up\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5\r\nX-Answer: 1\r\nTrailer: x-sum\r\n\
                Transfer-Encoding: chunked\r\n\r\n";
    upstream.send(format!("{head}2\r\nok\r\n0\r\nx-sum: 7\r\n\r\n")).await;
    let response = asking.await.unwrap();
    assert_eq!((response.status(), response.version()), (StatusCode::CREATED, Version::HTTP_2));
    assert_eq!(response.headers()["x-answer"], "1");
    assert!(!response.headers().contains_key("keep-alive"));
    let (body, trailers) = whole(response).await;
    assert_eq!((&body[..], &trailers.unwrap()["x-sum"]), (&b"ok"[..], &"7".parse().unwrap()));
}

#[tokio::test]
async fn streams_of_one_connection_do_not_wait_for_each_other() {
    let origin = Origin::start();
    let gate = origin.gate("/slow");
    let refrain = beside(&origin.url(), "").await;
    let mut sender = client(refrain.address()).await;
    let slow: Vec<_> = (0..20)
        .map(|_| {
            let (mut sender, request) = (sender.clone(), get(&refrain, "/slow"));
            tokio::spawn(async move { ask(&mut sender, request).await.status() })
        })
        .collect();
    gate.started(20).await;
    assert_eq!(ask(&mut sender, get(&refrain, "/quick")).await.status(), 201);
    assert_eq!(refrain.metric("refrain_connections").await, 1.0);
    gate.open();
    for slow in slow {
        assert_eq!(slow.await.unwrap(), 201);
    }
}

#[tokio::test]
async fn a_stream_that_its_client_resets_lets_its_call_go_and_no_other() {
    let origin = RawOrigin::start().await;
    let refrain = beside(&origin.url(), "").await;
    let sender = client(refrain.address()).await;
    let start = |path| {
        let (mut sender, request) = (sender.clone(), get(&refrain, path));
        tokio::spawn(async move { ask(&mut sender, request).await.status() })
    };
    let given_up = start("/given-up");
    let (mut let_go, _) = origin.accept_request().await;
    let kept = start("/kept");
    let (mut upstream, _) = origin.accept_request().await;
    given_up.abort();
    let_go.closed().await;
    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    assert_eq!(kept.await.unwrap(), 200);
}

#[tokio::test]
async fn a_key_protects_over_http2_too() {
    let origin = Origin::start();
    let refrain = beside(&origin.url(), "").await;
    let mut sender = client(refrain.address()).await;
    for how in ["executed", "replayed"] {
        let request = Request::post(refrain.url("/orders")).header("idempotency-key", "k").body(full("{}")).unwrap();
        let response = ask(&mut sender, request).await;
        assert_eq!(response.headers()["idempotency-status"], how);
        assert_eq!(whole(response).await.0, r#"{"number":1}"#);
    }
}

#[tokio::test]
async fn a_grpc_call_passes_with_its_trailers() {
    let service = Grpc::start().await;
    let refrain = beside(&service.url(), "").await;
    let mut sender = client(refrain.address()).await;
    let response = ask(&mut sender, grpc_call(&refrain, full(message("one")))).await;
    assert_eq!(response.headers()["content-type"], "application/grpc+proto");
    let (body, trailers) = whole(response).await;
    let trailers = trailers.unwrap();
    assert_eq!((body, &trailers["grpc-status"], &trailers["x-messages"]), (message("one"), &"0".parse().unwrap(), &1.into()));
    let seen = service.seen().remove(0);
    assert_eq!((seen.version(), seen.headers()["te"].to_str().unwrap()), (Version::HTTP_2, "trailers"));
    assert_eq!(seen.headers()["grpc-timeout"], "5S");
    assert_eq!(seen.uri().authority().unwrap().as_str(), refrain.address().to_string(), "the authority is the client's");
    assert!(!seen.headers().contains_key("host"));
}

#[tokio::test]
async fn a_grpc_stream_flows_both_ways_at_once() {
    let service = Grpc::start().await;
    let refrain = beside(&service.url(), "").await;
    let mut sender = client(refrain.address()).await;
    let (say, said) = spoken();
    let mut response = ask(&mut sender, grpc_call(&refrain, said)).await;
    for number in 0..10 {
        let message = message(&format!("message {number}"));
        say.send(Frame::data(message.clone())).unwrap();
        let frame = within("a message", response.frame()).await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), message);
    }
    drop(say);
    let trailers = within("trailers", response.frame()).await.unwrap().unwrap().into_trailers().unwrap();
    assert_eq!((&trailers["grpc-status"], &trailers["x-messages"]), (&"0".parse().unwrap(), &10.into()));
}

#[tokio::test]
async fn a_grpc_stream_that_its_client_leaves_is_let_go() {
    let service = Grpc::start().await;
    let refrain = beside(&service.url(), "").await;
    let mut sender = client(refrain.address()).await;
    let (say, said) = spoken();
    let mut response = ask(&mut sender, grpc_call(&refrain, said)).await;
    say.send(Frame::data(message("one"))).unwrap();
    within("a message", response.frame()).await.unwrap().unwrap();
    drop((response, say));
    let mut open = service.open_streams.subscribe();
    within("the stream to end", open.wait_for(|open| *open == 0)).await.unwrap();
}

#[tokio::test]
async fn a_grpc_call_with_a_key_is_marked_as_unprotected() {
    let service = Grpc::start().await;
    let refrain = beside(&service.url(), "").await;
    let mut sender = client(refrain.address()).await;
    for _ in 0..2 {
        let mut request = grpc_call(&refrain, full(message("one")));
        request.headers_mut().insert("idempotency-key", "k".parse().unwrap());
        let response = ask(&mut sender, request).await;
        assert_eq!(response.headers()["idempotency-status"], "unprotected");
        whole(response).await;
    }
    assert_eq!(service.seen().len(), 2);
}

#[tokio::test]
async fn grpc_for_browsers_is_no_grpc_and_goes_over_http1() {
    let origin = RawOrigin::start().await;
    let refrain = beside(&origin.url(), "").await;
    let asking =
        Call::post(&refrain.url("/shop.Orders/Place")).header("content-type", "application/grpc-web+proto").body("x").start();
    let (mut upstream, seen) = origin.accept_request().await;
    assert_eq!(seen.start, "POST /shop.Orders/Place HTTP/1.1");
    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    assert_eq!(asking.answer().await.status, 200);
}

#[tokio::test]
async fn a_service_of_http2_gets_http2_over_one_connection() {
    let service = Grpc::start().await;
    let yaml = format!(
        "workers: 1\nstore: {{url: \"memory:\"}}\nupstreams: {{app: {{url: \"{}\", local: true, protocol: http2}}}}\n",
        service.url()
    );
    let refrain = Refrain::start(&yaml).await;
    let first = Call::post(&refrain.url("/a?b")).header("host", "shop.example").body("hello").send().await;
    assert_eq!((first.status, &first.body[..]), (200, &b"hello"[..]));
    let calls: Vec<_> = (0..20).map(|number| Call::post(&refrain.url("/many")).body(format!("call {number}")).start()).collect();
    for (number, call) in calls.into_iter().enumerate() {
        assert_eq!(call.answer().await.text(), format!("call {number}"));
    }
    let seen = service.seen();
    assert!(seen.iter().all(|seen| seen.version() == Version::HTTP_2));
    assert_eq!(seen[0].uri().to_string(), "http://shop.example/a?b");
    assert_eq!(*service.connections.borrow(), 1);
}

/// A service of HTTP/2 that does to its n-th request (from 0) what `act` does; gives its address, and how many of its connections
/// have ended.
async fn h2_service<F>(act: F) -> (String, watch::Receiver<usize>)
where
    F: Fn(usize, h2::server::SendResponse<Bytes>) -> Next + Send + Sync + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (end, ended) = watch::channel(0);
    tokio::spawn(async move {
        let mut number = 0;
        while let Ok((tcp, _)) = listener.accept().await {
            let mut connection = h2::server::handshake(tcp).await.unwrap();
            let mut next = Next::Stream;
            while let Next::Stream = next {
                let Some(Ok((_, respond))) = connection.accept().await else { break };
                next = act(number, respond);
                number += 1;
            }
            // What was said so far goes out; then the connection is gone.
            connection.graceful_shutdown();
            let _gone = connection.accept().await;
            drop(connection);
            end.send_modify(|count| *count += 1);
        }
    });
    (url, ended)
}

#[derive(Clone, Copy)]
enum Next {
    Stream,
    Connection,
}

fn respond(mut respond: h2::server::SendResponse<Bytes>) {
    respond.send_response(Response::new(()), true).unwrap();
}

async fn before_http2(url: &str) -> Refrain {
    let upstream = format!("{{url: \"{url}\", local: true, protocol: http2}}");
    Refrain::start(&format!("workers: 1\nstore: {{url: \"memory:\"}}\nupstreams: {{app: {upstream}}}\n")).await
}

#[tokio::test]
async fn a_refused_stream_was_not_taken_and_any_other_reset_may_have_been() {
    let (url, _) = h2_service(|number, mut stream| {
        match number {
            0 => stream.send_reset(h2::Reason::REFUSED_STREAM),
            1 => stream.send_reset(h2::Reason::INTERNAL_ERROR),
            _ => respond(stream),
        }
        Next::Stream
    })
    .await;
    let refrain = before_http2(&url).await;
    let mut answers = Vec::new();
    for _ in 0..3 {
        let answer = Call::post(&refrain.url("/")).send().await;
        answers.push((answer.status, answer.problem().to_owned()));
    }
    let expected = [(503, "upstream-not-reached"), (502, "upstream-failed"), (200, "")];
    assert_eq!(answers, expected.map(|(status, problem)| (status, problem.to_owned())));
}

#[tokio::test]
async fn a_connection_of_http2_that_ended_is_replaced() {
    let (url, mut ended) = h2_service(|_, stream| {
        respond(stream);
        Next::Connection
    })
    .await;
    let refrain = before_http2(&url).await;
    for round in 0..5 {
        let answer = Call::post(&refrain.url("/")).send().await;
        assert_eq!(answer.status, 200, "round {round}");
        within("the goodbye", ended.wait_for(|ended| *ended > round)).await.unwrap();
    }
}

#[tokio::test]
async fn a_head_over_its_limit_is_refused_over_http2_too() {
    let origin = RawOrigin::start().await;
    let refrain = beside(&origin.url(), "limits: {header_bytes: 10KiB}\n").await;
    let mut sender = client(refrain.address()).await;
    let mut request = get(&refrain, "/");
    request.headers_mut().insert("x-long", "v".repeat(12 * 1024).parse().unwrap());
    let refused = within("an answer", sender.send_request(request)).await;
    // A client that knows the limit does not even send it.
    assert!(refused.map_or(true, |response| response.status() == 431));
    assert!(!origin.has_caller());
}

#[tokio::test]
async fn a_drain_finishes_the_streams_of_a_connection_and_takes_no_more() {
    let origin = Origin::start();
    let gate = origin.gate("/slow");
    let mut refrain = beside(&origin.url(), "").await;
    let sender = client(refrain.address()).await;
    let (mut slow_sender, request) = (sender.clone(), get(&refrain, "/slow"));
    let slow = tokio::spawn(async move { ask(&mut slow_sender, request).await });
    gate.started(1).await;
    refrain.signal(Signal::Term);
    refrain.until_admin("/readyz", |answer| answer.status == 503).await;
    gate.open();
    let response = slow.await.unwrap();
    assert_eq!(response.status(), 201);
    whole(response).await;
    assert_eq!(refrain.wait_exit().await.code(), Some(0));
}
#[tokio::test]
async fn a_stream_that_fails_does_not_cost_its_connection() {
    let (url, ended) = h2_service(|number, mut stream| {
        match number % 2 {
            0 => stream.send_reset(h2::Reason::INTERNAL_ERROR),
            _ => respond(stream),
        }
        Next::Stream
    })
    .await;
    let refrain = before_http2(&url).await;
    for status in [502, 200, 502, 200] {
        assert_eq!(Call::post(&refrain.url("/")).send().await.status, status);
    }
    assert_eq!(*ended.borrow(), 0);
}
