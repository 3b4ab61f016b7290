//! A travel desk: a service without a Refrain, which does a thing once for each key, and can take its time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::{HeaderValue, Request};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    gate::{Gate, Moment},
    hold::Holds,
    server::{Served, Server},
    shop::json_response,
    within,
};

/// How often a slow thing is asked after before it is done.
pub(crate) const POLLS: usize = 2;

/// What was done at the desk.
#[derive(Clone, Debug)]
pub(crate) struct Thing {
    pub(crate) trip: String,
    pub(crate) what: String,
    key: String,
    /// How often it was undone.
    pub(crate) undone: usize,
    /// How often it was asked after.
    polled: usize,
}

/// The desk. Ends when dropped.
pub(crate) struct Desk {
    state: Arc<State>,
    server: Server,
}

struct State {
    things: Mutex<Vec<Thing>>,
    holds: Holds<()>,
    /// Where the desk is to call back, by trip.
    asks: watch::Sender<Vec<(String, String)>>,
    /// Whether the last thing of a trip is refused.
    refuses: Mutex<bool>,
    asked: Mutex<usize>,
}

impl Desk {
    /// A desk at which nothing was done.
    pub(crate) fn open() -> Self {
        let state = Arc::new(State {
            things: Mutex::default(),
            holds: Holds::default(),
            asks: watch::Sender::default(),
            refuses: Mutex::default(),
            asked: Mutex::default(),
        });
        let same = Arc::clone(&state);
        let server = Server::start(move |request, cut| handle(request, Arc::clone(&same), cut));
        Self { state, server }
    }

    pub(crate) fn url(&self) -> String {
        self.server.url()
    }

    /// Holds the `n`th request to come from now on, counted from 1.
    pub(crate) fn hold_nth(&self, n: usize, moment: Moment) -> Gate {
        self.state.holds.nth(n, moment)
    }

    /// From now on the last thing of a trip is refused.
    pub(crate) fn refuse_last(&self) {
        *lock(&self.state.refuses) = true;
    }

    /// How many requests came.
    pub(crate) fn asked(&self) -> usize {
        *lock(&self.state.asked)
    }

    /// What was done for a trip, by name.
    pub(crate) fn things(&self, trip: &str) -> Vec<Thing> {
        let mut things: Vec<Thing> = lock(&self.state.things).iter().filter(|thing| thing.trip == trip).cloned().collect();
        things.sort_by(|a, b| a.what.cmp(&b.what));
        things
    }

    /// Waits until the desk was told where to call back for a trip: path and query.
    pub(crate) async fn callback(&self, trip: &str) -> String {
        let mut asks = self.state.asks.subscribe();
        let is_there = |asks: &Vec<(String, String)>| asks.iter().any(|(of, _)| of == trip);
        let asks = within("the desk to be asked", asks.wait_for(is_there)).await.unwrap();
        let url = asks.iter().find(|(of, _)| of == trip).map(|(_, url)| url.clone()).unwrap();
        let uri: http::Uri = url.parse().unwrap();
        uri.path_and_query().unwrap().to_string()
    }
}

async fn handle(request: Request<Incoming>, state: Arc<State>, cut: CancellationToken) -> Served {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(std::io::Error::other)?.to_bytes();
    let body = serde_json::from_slice::<Value>(&body).unwrap_or_default();
    *lock(&state.asked) += 1;
    let key = parts.headers.get("idempotency-key").and_then(|key| key.to_str().ok()).unwrap_or_default().to_owned();
    let asked = Asked { method: parts.method.to_string(), path: parts.uri.path().to_owned(), key, body };
    match state.holds.take(()) {
        // With the caller's connection this future goes, too.
        Some((Moment::Before, gate)) => {
            gate.pass().await;
            Ok(act(&state, asked))
        }
        held => {
            // A service finishes what it has begun.
            let acting = tokio::spawn(async move { act_at(&state, asked, held).await });
            let _until_cut = cut;
            Ok(acting.await.unwrap())
        }
    }
}

struct Asked {
    method: String,
    path: String,
    key: String,
    body: Value,
}

type Answer = http::Response<super::server::Body>;

async fn act_at(state: &State, asked: Asked, held: Option<(Moment, Gate)>) -> Answer {
    match held {
        Some((Moment::After, gate)) => {
            let answer = act(state, asked);
            gate.pass().await;
            answer
        }
        Some((_, gate)) => {
            gate.pass().await;
            act(state, asked)
        }
        None => act(state, asked),
    }
}

fn act(state: &State, asked: Asked) -> Answer {
    let Asked { method, path, key, body } = asked;
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    let (folder, id) = path.trim_start_matches('/').split_once('/').unwrap_or((path.trim_start_matches('/'), ""));
    let mut things = lock(&state.things);
    let known: Option<usize> = id.parse().ok();
    match (method.as_str(), folder, known) {
        ("POST", "last", _) if *lock(&state.refuses) => json_response(422, &json!({"detail": "refused"})),
        ("POST", "things" | "slow" | "asks" | "last", _) => {
            let id = things.iter().position(|thing| thing.key == key && !key.is_empty()).unwrap_or_else(|| {
                things.push(Thing { trip: text("trip"), what: text("what"), key, undone: 0, polled: 0 });
                things.len() - 1
            });
            match folder {
                "asks" => {
                    state.asks.send_modify(|asks| asks.push((text("trip"), text("url"))));
                    json_response(201, &json!({"id": id}))
                }
                "slow" => {
                    let mut answer = json_response(202, &json!({"id": id}));
                    let location = HeaderValue::from_str(&format!("/slow/{id}")).unwrap();
                    answer.headers_mut().insert("location", location);
                    answer
                }
                _ => json_response(201, &json!({"id": id})),
            }
        }
        ("GET", "slow", Some(id)) if id < things.len() => {
            things[id].polled += 1;
            let state = if things[id].polled > POLLS { "DONE" } else { "PENDING" };
            json_response(200, &json!({"state": state, "ticket": id}))
        }
        ("DELETE", "things" | "slow" | "asks", Some(id)) if id < things.len() => {
            things[id].undone += 1;
            json_response(200, &json!({}))
        }
        _ => json_response(404, &json!({"detail": "there is nothing here"})),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
