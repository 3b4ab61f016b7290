//! What the clients of the long run do, and what they must be answered.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{Method, StatusCode};
use serde::Serialize;
use tokio::task::JoinSet;

use super::client::{Answer, Ask, Client, hang_up_after};

/// Unlike answers that are told in words.
const MAX_TOLD: usize = 20;

/// What was asked so far, and what was not answered as it has to be.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally(Arc<Mutex<Counts>>);

/// How often each was asked.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Counts {
    /// By what they are.
    pub(super) asked: BTreeMap<&'static str, u64>,
    /// Answers that must not be.
    pub(super) wrong: u64,
    /// The first of them, in words.
    pub(super) told: Vec<String>,
}

impl Tally {
    pub(super) fn counts(&self) -> Counts {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, what: &'static str, wrong: Option<String>) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.asked.entry(what).or_default() += 1;
        if let Some(wrong) = wrong {
            counts.wrong += 1;
            if counts.told.len() < MAX_TOLD {
                counts.told.push(format!("{what}: {wrong}"));
            }
        }
    }
}

/// What a client does over and over.
#[derive(Clone, Copy, Debug)]
enum Part {
    /// Without a key, of many sizes.
    Plain,
    /// A new key, and its answer twice more.
    Keyed,
    /// Five calls; every eighth one is undone.
    Saga,
    /// Hung up on at every point of a request.
    HangUp,
    /// The service fails or hangs up.
    Fails,
}

/// Who does what: how many clients, and how long each pauses between two turns.
const PARTS: [(Part, usize, Duration); 5] = [
    (Part::Plain, 4, Duration::from_millis(40)),
    (Part::Keyed, 4, Duration::from_millis(80)),
    (Part::Saga, 4, Duration::from_millis(150)),
    (Part::HangUp, 2, Duration::from_millis(100)),
    (Part::Fails, 2, Duration::from_millis(100)),
];

/// All clients of one Refrain, until the set is dropped. `run` tells this run's keys from another's.
pub(super) fn start(address: SocketAddr, run: &str, tally: &Tally) -> JoinSet<()> {
    let mut clients = JoinSet::new();
    for (part, count, pause) in PARTS {
        for number in 0..count {
            let one = One { address, part, name: format!("{run}-{part:?}-{number}"), tally: tally.clone() };
            clients.spawn(one.run(pause));
        }
    }
    clients
}

struct One {
    address: SocketAddr,
    part: Part,
    name: String,
    tally: Tally,
}

impl One {
    async fn run(self, pause: Duration) {
        let mut client = Client::new(self.address);
        let mut turn = 0_usize;
        loop {
            match self.part {
                Part::Plain => self.plain(&mut client, turn).await,
                Part::Keyed => self.keyed(&mut client, turn).await,
                Part::Saga => self.saga(&mut client, turn).await,
                Part::HangUp => self.hang_up(turn).await,
                Part::Fails => self.fails(&mut client, turn).await,
            }
            turn += 1;
            tokio::time::sleep(pause).await;
        }
    }

    async fn plain(&self, client: &mut Client, turn: usize) {
        // From nothing to 64 KiB.
        let ask = match turn % 3 {
            0 => Ask { method: Method::GET, ..Ask::post("/plain/orders", None, 0) },
            1 => Ask::post("/plain/orders", None, (turn * 7919) % 65_536),
            _ => Ask::post("/orders", None, 1024),
        };
        self.expect("plain", client.ask(&ask).await, StatusCode::OK, None);
    }

    async fn keyed(&self, client: &mut Client, turn: usize) {
        let bytes = if turn.is_multiple_of(16) { 32_768 } else { 1024 };
        let ask = Ask::post("/orders", Some(format!("{}-{turn}", self.name)), bytes);
        let first = client.ask(&ask).await;
        let body = first.as_ref().map(|answer| answer.body.clone()).unwrap_or_default();
        self.expect("first", first, StatusCode::OK, Some("executed"));
        for _ in 0..2 {
            let again = client.ask(&ask).await;
            let wrong = again.as_ref().is_ok_and(|again| again.body != body).then(|| "another body".to_owned());
            self.expect("replay", wrong.map_or(again, Err), StatusCode::OK, Some("replayed"));
        }
    }

    async fn saga(&self, client: &mut Client, turn: usize) {
        let (last, status) = match turn % 8 {
            7 => ("refuse", StatusCode::CONFLICT),
            _ => ("done", StatusCode::CREATED),
        };
        let ask = self.order(turn, last);
        self.expect(if last == "done" { "saga" } else { "saga undone" }, client.ask(&ask).await, status, None);
        if turn % 4 == 3 {
            self.expect("saga replay", client.ask(&ask).await, status, Some("replayed"));
        }
    }

    fn order(&self, turn: usize, last: &str) -> Ask {
        let key = format!("{}-{turn}", self.name);
        let body = format!(r#"{{"order":"{key}","last":"{last}"}}"#).into();
        Ask { body, ..Ask::post("/sagas/order", Some(key), 0) }
    }

    async fn hang_up(&self, turn: usize) {
        let key = || Some(format!("{}-{turn}", self.name));
        let whole = usize::MAX;
        let (ask, bytes) = match turn % 8 {
            0 => (Ask::post("/plain/orders", None, 10), 0),
            1 => (Ask::post("/plain/orders", None, 10), 20),
            2 => (Ask::post("/plain/slow", None, 10_000), 5000),
            3 => (Ask::post("/plain/slow", None, 10), whole),
            4 => (Ask::post("/orders", key(), 10_000), 5000),
            5 => (Ask::post("/orders/slow", key(), 10), whole),
            6 => (self.order(turn, "done"), whole),
            _ => (self.order(turn, "refuse"), 150),
        };
        let done = hang_up_after(self.address, &ask, bytes, Duration::from_millis((turn as u64 * 7) % 50)).await;
        self.tally.note("hung up", done.err());
    }

    async fn fails(&self, client: &mut Client, turn: usize) {
        let key = Some(format!("{}-{turn}", self.name));
        match turn % 4 {
            0 => {
                let ask = Ask::post("/orders/fail", key, 100);
                self.expect("failure", client.ask(&ask).await, StatusCode::INTERNAL_SERVER_ERROR, Some("executed"));
                self.expect("failure replay", client.ask(&ask).await, StatusCode::INTERNAL_SERVER_ERROR, Some("replayed"));
            }
            1 => {
                let ask = Ask::post("/plain/fail", None, 100);
                self.expect("failure", client.ask(&ask).await, StatusCode::INTERNAL_SERVER_ERROR, None);
            }
            2 => {
                let ask = Ask::post("/plain/cut", None, 100);
                self.expect("cut", client.ask(&ask).await, StatusCode::BAD_GATEWAY, None);
            }
            _ => {
                let ask = Ask::post("/orders/cut", key, 100);
                self.expect("outcome unknown", client.ask(&ask).await, StatusCode::BAD_GATEWAY, Some("outcome-unknown"));
            }
        }
    }

    fn expect(&self, what: &'static str, answer: Result<Answer, String>, status: StatusCode, said: Option<&str>) {
        let wrong = match answer {
            Err(error) => Some(error),
            Ok(answer) => {
                let says =
                    answer.headers.get("idempotency-status").map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
                let is_right = answer.status == status && (said.is_none() || says.as_deref() == said);
                (!is_right).then(|| {
                    let start: String = String::from_utf8_lossy(&answer.body).chars().take(200).collect();
                    format!("{} {}: {start}", answer.status, says.unwrap_or_default())
                })
            }
        };
        self.tally.note(what, wrong);
    }
}
