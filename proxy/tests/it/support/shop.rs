//! The services of a shop: orders, billing and notifications, each with a ledger that only grows.
//!
//! None of them knows about keys, but for notifications, which sends once for each key: orders and billing do again what they are
//! told again, so that every second time is in the books. All they do for sagas is to keep the `reference` they are given, and to be
//! asked by it.

use std::{
    collections::{HashMap, VecDeque},
    convert::Infallible,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{
    books::{Books, Effect},
    gate::{Gate, Moment},
    hold::Holds,
    server::{Served, Server},
};

/// What can be asked of the shop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Endpoint {
    CreateOrder,
    FindOrder,
    ShowOrder,
    /// `status: complete`.
    Complete,
    /// `status: processing`.
    Reopen,
    /// `status: cancelled`.
    Cancel,
    FindAccount,
    Pay,
    Refund,
    FindTransaction,
    Announce,
}

/// What goes wrong with a request.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// Answered with this status, and nothing done.
    Refuse(u16),
    /// Answered with this status and body once it was done.
    Answer(u16, Value),
    /// Done, and never answered.
    Silence,
    /// Done, and the connection reset.
    Reset,
    /// The connection reset, and nothing done.
    ResetAtOnce,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) endpoint: Endpoint,
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Asked {
    /// A header's value; nothing if it is not there.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// The shop. Ends when dropped.
pub(crate) struct Shop {
    state: Arc<State>,
    orders: Server,
    billing: Server,
    notifications: Server,
}

#[derive(Default)]
struct State {
    asked: Mutex<Vec<Asked>>,
    ledger: Mutex<Ledger>,
    faults: Mutex<HashMap<Endpoint, VecDeque<Fault>>>,
    holds: Holds<Endpoint>,
    /// Payments of customers whose number is a multiple are declined; 0: nobody's.
    declined: AtomicU64,
}

impl State {
    fn declines(&self, user: u64) -> bool {
        let every = self.declined.load(Ordering::Relaxed);
        every != 0 && user.is_multiple_of(every)
    }
}

#[derive(Default)]
struct Ledger {
    effects: Vec<Effect>,
    /// The keys for which something was announced.
    announced: Vec<String>,
}

impl Shop {
    /// A shop without orders, with an account for everybody.
    pub(crate) fn open() -> Self {
        let state = Arc::<State>::default();
        let serve = |route: Route| {
            let state = Arc::clone(&state);
            Server::start(move |request, cut| handle(request, Arc::clone(&state), route, cut))
        };
        let (orders, billing, notifications) = (serve(at_orders), serve(at_billing), serve(at_notifications));
        Self { state, orders, billing, notifications }
    }

    pub(crate) fn orders(&self) -> &Server {
        &self.orders
    }

    pub(crate) fn billing(&self) -> &Server {
        &self.billing
    }

    pub(crate) fn notifications(&self) -> &Server {
        &self.notifications
    }

    /// From now on all requests to an endpoint meet this.
    pub(crate) fn fault(&self, endpoint: Endpoint, fault: Fault) {
        self.fault_times(endpoint, fault, usize::from(u16::MAX));
    }

    /// The next requests to an endpoint meet this.
    pub(crate) fn fault_times(&self, endpoint: Endpoint, fault: Fault, times: usize) {
        lock(&self.state.faults).insert(endpoint, std::iter::repeat_n(fault, times).collect());
    }

    /// Declines the payments of every so many customers (402).
    pub(crate) fn decline_every(&self, customers: u64) {
        self.state.declined.store(customers, Ordering::Relaxed);
    }

    /// Whether a customer's payments are declined.
    pub(crate) fn declines(&self, user: u64) -> bool {
        self.state.declines(user)
    }

    /// All that was paid, less all that was paid back.
    pub(crate) fn balance(&self) -> i64 {
        let ledger = lock(&self.state.ledger);
        let moved = ledger.effects.iter().map(|effect| match effect {
            Effect::Moved { amount, is_refund, .. } => {
                if *is_refund {
                    -amount
                } else {
                    *amount
                }
            }
            _ => 0,
        });
        moved.sum()
    }

    /// Holds the `n`th request to come from now on, counted from 1, at any service. Replaces an earlier hold.
    pub(crate) fn hold_nth(&self, n: usize, moment: Moment) -> Gate {
        self.state.holds.nth(n, moment)
    }

    /// Holds all requests to an endpoint. Replaces an earlier hold.
    pub(crate) fn hold_at(&self, endpoint: Endpoint, moment: Moment) -> Gate {
        self.state.holds.at(endpoint, moment)
    }

    /// Holds nothing any more. What is held stays so until its gate is opened.
    pub(crate) fn hold_none(&self) {
        self.state.holds.none();
    }

    /// Every request so far, in the order of arrival.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        lock(&self.state.asked).clone()
    }

    /// The requests to one endpoint.
    pub(crate) fn asked_at(&self, endpoint: Endpoint) -> Vec<Asked> {
        self.asked().into_iter().filter(|asked| asked.endpoint == endpoint).collect()
    }

    /// How many requests came to an endpoint.
    pub(crate) fn count(&self, endpoint: Endpoint) -> usize {
        self.asked_at(endpoint).len()
    }

    /// The books of one customer.
    pub(crate) fn books(&self, user: u64) -> Books {
        Books::of(user, &lock(&self.state.ledger).effects)
    }
}

/// What a request is, by its method, path and body.
type Route = fn(&Method, &str, &Value) -> Option<Endpoint>;

fn at_orders(method: &Method, path: &str, body: &Value) -> Option<Endpoint> {
    match (method.as_str(), path.strip_prefix("/internal/orders/")?, body["status"].as_str()) {
        ("POST", "", _) => Some(Endpoint::CreateOrder),
        ("GET", "", _) => Some(Endpoint::FindOrder),
        ("GET", "at", _) => Some(Endpoint::ShowOrder),
        ("PATCH", _, Some("complete")) => Some(Endpoint::Complete),
        ("PATCH", _, Some("processing")) => Some(Endpoint::Reopen),
        ("PATCH", _, Some("cancelled")) => Some(Endpoint::Cancel),
        _ => None,
    }
}

fn at_billing(method: &Method, path: &str, body: &Value) -> Option<Endpoint> {
    match (method.as_str(), path, body["type"].as_str()) {
        ("GET", path, _) if path.starts_with("/accounts/find_by_user_id/") => Some(Endpoint::FindAccount),
        ("POST", "/balance_transactions/", Some("payment")) => Some(Endpoint::Pay),
        ("POST", "/balance_transactions/", Some("payment_refund")) => Some(Endpoint::Refund),
        ("GET", "/balance_transactions/", _) => Some(Endpoint::FindTransaction),
        _ => None,
    }
}

fn at_notifications(method: &Method, path: &str, _body: &Value) -> Option<Endpoint> {
    (method == Method::POST && path == "/events/order-completed/").then_some(Endpoint::Announce)
}

async fn handle(request: Request<Incoming>, state: Arc<State>, route: Route, cut: CancellationToken) -> Served {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(std::io::Error::other)?.to_bytes();
    let body = serde_json::from_slice::<Value>(&body).unwrap_or_default();
    let Some(endpoint) = route(&parts.method, parts.uri.path(), &body) else {
        return Ok(json_response(404, &json!({"detail": "there is nothing here"})));
    };
    let target = parts.uri.to_string();
    let asked = Asked { endpoint, target, headers: parts.headers, body };
    lock(&state.asked).push(asked.clone());
    let held = state.holds.take(endpoint);
    let fault = lock(&state.faults).get_mut(&endpoint).and_then(VecDeque::pop_front);
    match held {
        // With the caller's connection this future goes, too.
        Some((Moment::Before, gate)) => gate.pass().await,
        _ => {
            let (state, fault) = (Arc::clone(&state), fault.clone());
            // A service finishes what it has begun.
            let acting = tokio::spawn(async move { act_at(&state, asked, fault, held).await });
            return finish(acting.await.unwrap(), &cut).await;
        }
    }
    finish(act_at(&state, asked, fault, None).await, &cut).await
}

/// What is left to do once the service has acted, or not.
enum End {
    Answer(u16, Value),
    Reset,
    Silence,
}

async fn act_at(state: &State, asked: Asked, fault: Option<Fault>, held: Option<(Moment, Gate)>) -> End {
    let after = match held {
        Some((Moment::After, gate)) => Some(gate),
        Some((_, gate)) => {
            gate.pass().await;
            None
        }
        None => None,
    };
    let end = match fault {
        Some(Fault::Refuse(status)) => End::Answer(status, json!({"detail": "refused"})),
        Some(Fault::ResetAtOnce) => End::Reset,
        None => {
            let (status, body) = act(state, &asked);
            End::Answer(status, body)
        }
        Some(fault) => {
            act(state, &asked);
            match fault {
                Fault::Answer(status, body) => End::Answer(status, body),
                Fault::Silence => End::Silence,
                Fault::Reset | Fault::ResetAtOnce | Fault::Refuse(_) => End::Reset,
            }
        }
    };
    if let Some(gate) = after {
        gate.pass().await;
    }
    end
}

async fn finish(end: End, cut: &CancellationToken) -> Served {
    match end {
        End::Answer(status, body) => return Ok(json_response(status, &body)),
        End::Reset => cut.cancel(),
        End::Silence => {}
    }
    std::future::pending().await
}

/// Does what is asked, and says so.
fn act(state: &State, asked: &Asked) -> (u16, Value) {
    let mut ledger = lock(&state.ledger);
    let Asked { endpoint, body, target, .. } = asked;
    let last = last_segment(target.split('?').next().unwrap_or_default());
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    match endpoint {
        Endpoint::CreateOrder => {
            let user = body["user_id"].as_u64().unwrap_or_default();
            let prices = body["items"].as_array().into_iter().flatten().map(|item| item["price"].as_i64().unwrap_or_default());
            let (amount, reference) = (prices.sum(), text("reference"));
            let id = ledger.effects.len() as u64 + 1;
            ledger.effects.push(Effect::Ordered { id, user, amount, reference });
            (201, order(&ledger.effects, id))
        }
        Endpoint::ShowOrder => {
            let path = asked_for(target, "path");
            match order(&ledger.effects, last_segment(&path).parse().unwrap_or_default()) {
                Value::Null => (404, json!({"detail": "no such order"})),
                order => (200, order),
            }
        }
        Endpoint::Complete | Endpoint::Reopen | Endpoint::Cancel => {
            let id = last.parse().unwrap_or_default();
            if order(&ledger.effects, id).is_null() {
                return (404, json!({"detail": "no such order"}));
            }
            ledger.effects.push(Effect::Set { id, status: text("status") });
            (200, order(&ledger.effects, id))
        }
        Endpoint::FindOrder => {
            let asked = asked_for(target, "reference");
            let orders = ledger.effects.iter().filter_map(|effect| match effect {
                Effect::Ordered { id, reference, .. } if *reference == asked => Some(order(&ledger.effects, *id)),
                _ => None,
            });
            (200, orders.collect())
        }
        Endpoint::FindAccount => (200, json!({"id": format!("account-{last}"), "currency": "USD"})),
        Endpoint::Pay | Endpoint::Refund => {
            let user = text("account_id").trim_start_matches("account-").parse().unwrap_or_default();
            if *endpoint == Endpoint::Pay && state.declines(user) {
                return (402, json!({"detail": "declined"}));
            }
            let (amount, reference) = (body["amount"].as_i64().unwrap_or_default(), text("reference"));
            let id = ledger.effects.len() as u64 + 1;
            let is_refund = *endpoint == Endpoint::Refund;
            let effect = Effect::Moved { id, user, amount, reference, is_refund };
            let answer = effect.as_transaction();
            ledger.effects.push(effect);
            (201, answer)
        }
        Endpoint::FindTransaction => {
            let asked = asked_for(target, "reference");
            let moved = ledger.effects.iter().filter(|effect| effect.reference() == Some(&asked)).map(Effect::as_transaction);
            (200, moved.filter(|found| !found.is_null()).collect())
        }
        Endpoint::Announce => {
            let (id, key) = (body["order_id"].as_u64().unwrap_or_default(), asked.header("idempotency-key").to_owned());
            if !ledger.announced.contains(&key) {
                ledger.announced.push(key);
                ledger.effects.push(Effect::Announced { id });
            }
            (202, json!({}))
        }
    }
}

/// An order as it stands; `null` if there is none.
fn order(effects: &[Effect], id: u64) -> Value {
    let mut found = Value::Null;
    for effect in effects {
        match effect {
            Effect::Ordered { id: this, user, amount, reference } if *this == id => {
                found = json!({"id": id, "user_id": user, "amount": amount, "reference": reference, "status": "processing"});
            }
            Effect::Set { id: this, status } if *this == id => found["status"] = json!(status),
            _ => {}
        }
    }
    found
}

/// A parameter of a query; empty if it is not there.
fn asked_for(target: &str, parameter: &str) -> String {
    let query = target.split_once('?').map_or("", |(_, query)| query);
    let found = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == parameter);
    found.map(|(_, value)| value.into_owned()).unwrap_or_default()
}

fn last_segment(path: &str) -> &str {
    path.trim_end_matches('/').rsplit('/').next().unwrap_or_default()
}

pub(super) fn json_response(status: u16, body: &Value) -> Response<super::server::Body> {
    let body = Full::new(Bytes::from(body.to_string())).map_err(never).boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/json"));
    response
}

fn never(error: Infallible) -> std::io::Error {
    match error {}
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
