//! The caller of one core: through the own service's idempotency layer, or straight to an upstream.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use http::{Request, Response, Uri, uri::PathAndQuery};
use saga_config::saga::Effect as StepEffect;
use tower::{Layer as _, Service as _};

use super::{
    CallContext, Caller,
    breaker::{Health, Permit},
    classify::{self, About, BodyRead, Came},
    directory::{Directory, Target},
    request::{self, Credentials, Reader, Unsendable},
};
use crate::{
    body::{Body, Budget, Collected, collect},
    config::{ServiceAuth, UpstreamConfig},
    idempotency::{
        context::Context,
        exchange::Sender,
        key::{Key, KeyForm},
        layer::{Idempotency, IdempotencyLayer, Protected},
        verdict::is_stream,
    },
    peers::{StepCall, UndoCall},
    problem::ProblemName,
    saga::turn::{Answer, CheckEffect, Finding, Reads, SendEffect, UndoFacts, UndoKnows},
    server::Shared,
    store::Store,
    time::wall_now,
    upstream::{Call, Gate, NotSent, SendError},
};

/// The largest answer that is read. Of a larger one only the status counts.
const MAX_ANSWER_BYTES: u64 = 1024 * 1024;
/// When to try again what met a bound of this process.
const WHEN_BUSY: Duration = Duration::from_secs(1);

/// The caller of one core.
#[derive(Debug)]
pub struct HttpCaller<S, U> {
    core: usize,
    directory: Arc<ArcSwap<Directory>>,
    idempotency: Idempotency<S, U>,
    inner: U,
    budget: Budget,
}

impl<S, U: Clone> Clone for HttpCaller<S, U> {
    fn clone(&self) -> Self {
        Self {
            core: self.core,
            directory: Arc::clone(&self.directory),
            idempotency: self.idempotency.clone(),
            inner: self.inner.clone(),
            budget: self.budget.clone(),
        }
    }
}

impl<S: Store, U: Sender> HttpCaller<S, U> {
    /// The caller of one core. `inner` sends.
    pub fn new(core: usize, directory: Arc<ArcSwap<Directory>>, context: Arc<Context<S>>, shared: Shared, inner: U) -> Self {
        let budget = context.budget.clone();
        Self { core, directory, idempotency: IdempotencyLayer::new(context, shared).layer(inner.clone()), inner, budget }
    }

    /// Through the own layer: what the participant's Refrain would do, without a hop.
    async fn through_own_layer(&self, directory: &Directory, call: Call, step: StepCall) -> Outcome {
        let (method, uri) = (call.request.method(), call.request.uri());
        let policy = directory.policy(method, uri, call.upstream.config());
        let protected = Protected { call, policy, step: Some(step) };
        match self.idempotency.clone().call(protected).await {
            Ok(response) => self.read(response).await,
            Err(never) => match never {},
        }
    }

    async fn straight(&self, call: Call) -> Outcome {
        let mut inner = self.inner.clone();
        let sent = match std::future::poll_fn(|cx| inner.poll_ready(cx)).await {
            Ok(()) => inner.call(call).await,
            Err(error) => Err(error),
        };
        match sent {
            Ok(response) => self.read(response).await,
            Err(SendError::NotSent(reason, _)) => Outcome::NotSent(reason),
            Err(SendError::Unknown(reason)) => Outcome::Lost(reason),
        }
    }

    async fn read(&self, response: Response<Body>) -> Outcome {
        let (parts, body) = response.into_parts();
        let body = match is_stream(&parts.headers) {
            true => BodyRead::TooMuch,
            false => match collect(body, MAX_ANSWER_BYTES, &self.budget, None).await {
                Collected::Whole { bytes, .. } => BodyRead::Whole(bytes),
                Collected::Over(_) => BodyRead::TooMuch,
                Collected::NoBudget(_) => BodyRead::NoRoom,
                Collected::Broken(error) => return Outcome::Lost(format!("the answer broke off: {error}")),
                Collected::TimedOut => return Outcome::Lost("the answer did not end in time".to_owned()),
            },
        };
        Outcome::Came(Came { status: parts.status, headers: parts.headers, body })
    }

    async fn send_to(&self, directory: &Directory, target: &Target, saga: &CallContext, effect: &SendEffect) -> Answer {
        let config = target.upstream.config();
        let reader = if config.refrain { Reader::Refrain } else { Reader::Service };
        let auth = match auth_of(config, effect.service_auth) {
            Ok(auth) => auth,
            Err(reason) => return Answer::NotSent { reason, retry_after: None },
        };
        let credentials = Credentials { auth, secrets: &directory.secrets };
        let mut request = match request::of_send(saga, effect, reader, credentials, rand::random()) {
            Ok(request) => request,
            Err(missing @ Unsendable::Secret(..)) => {
                return Answer::NotSent { reason: missing.to_string(), retry_after: None };
            }
            Err(error) => return Answer::Wrong { reason: format!("the request cannot be sent: {error}") },
        };
        if config.refrain {
            sign(directory, config, &mut request);
        }
        let own_step = match config.local.then(|| step_call(saga, effect)).flatten().transpose() {
            Ok(step) => step,
            Err(reason) => return Answer::Wrong { reason },
        };
        let permit = match admit(target) {
            Ok(permit) => permit,
            Err(left) => return breaker_is_open(config, left),
        };
        let is_own = own_step.is_some();
        let (from_refrain, is_undo) = (config.refrain || is_own, effect.undo.is_some());
        let about = About { from_refrain, is_undo, reads: effect.reads, now: wall_now() };
        let begun = Begun::new(saga);
        let call = self.call(target, request, &begun);
        let calling = async {
            match own_step {
                Some(step) => self.through_own_layer(directory, call, step).await,
                None => self.straight(call).await,
            }
        };
        let (answer, health) = match tokio::time::timeout(effect.timeout, calling).await {
            Ok(Outcome::Came(came)) => {
                let answer = classify::answer(about, &came);
                if matches!(answer, Answer::Untrusted) {
                    alarm(saga, config);
                }
                let health = health(&answer);
                (answer, health)
            }
            Ok(Outcome::NotSent(reason)) => {
                log(saga, config, &reason);
                (not_sent(config, &reason), health_of(&reason))
            }
            Ok(Outcome::Lost(reason)) => {
                log(saga, config, &reason);
                (Answer::Unknown { reason: format!("the answer of {} was lost", config.name) }, Health::Ill)
            }
            // An exchange of the own layer goes on when nobody waits for it any more: how far it is, nobody here knows.
            Err(_) if is_own || begun.is() => {
                (Answer::Unknown { reason: format!("no answer within {:?}", effect.timeout) }, Health::Ill)
            }
            Err(_) => {
                let reason = format!("no connection within {:?}", effect.timeout);
                (Answer::NotSent { reason, retry_after: None }, Health::Ill)
            }
        };
        report(permit, health);
        answer
    }

    async fn check_at(&self, directory: &Directory, target: &Target, saga: &CallContext, effect: &CheckEffect) -> Finding {
        let config = target.upstream.config();
        let cannot_tell = |reason: String| Finding::CannotTell { reason };
        let auth = match auth_of(config, effect.service_auth) {
            Ok(auth) => auth,
            Err(reason) => return cannot_tell(reason),
        };
        let credentials = Credentials { auth, secrets: &directory.secrets };
        let mut request = match request::of_check(saga, effect, credentials, rand::random()) {
            Ok(request) => request,
            Err(error) => return cannot_tell(format!("the probe cannot be sent: {error}")),
        };
        if config.refrain {
            sign(directory, config, &mut request);
        }
        let Ok(permit) = admit(target) else { return cannot_tell(format!("the breaker of {} is open", config.name)) };
        let about = About { from_refrain: config.refrain, is_undo: false, reads: Reads::ALL, now: wall_now() };
        let call = self.call(target, request, &Begun::new(saga));
        let (finding, health) = match tokio::time::timeout(effect.timeout, self.straight(call)).await {
            Ok(Outcome::Came(came)) => {
                let health = if came.status.is_server_error() { Health::Ill } else { Health::Well };
                (classify::finding(about, &came), health)
            }
            Ok(Outcome::NotSent(reason)) => {
                log(saga, config, &reason);
                (cannot_tell(why_not_sent(config, &reason)), health_of(&reason))
            }
            Ok(Outcome::Lost(reason)) => {
                log(saga, config, &reason);
                (cannot_tell(format!("the answer of {} was lost", config.name)), Health::Ill)
            }
            Err(_) => (cannot_tell(format!("no answer within {:?}", effect.timeout)), Health::Ill),
        };
        report(permit, health);
        finding
    }

    fn call(&self, target: &Target, request: Request<Body>, begun: &Arc<Begun>) -> Call {
        let gate: Arc<dyn Gate> = Arc::<Begun>::clone(begun);
        Call { upstream: Arc::clone(&target.upstream), core: self.core, request, gate: Some(gate) }
    }
}

impl<S: Store, U: Sender> Caller for HttpCaller<S, U> {
    async fn send(&self, saga: &CallContext, effect: SendEffect) -> Answer {
        let directory = self.directory.load_full();
        match directory.target(effect.request.upstream.as_deref()) {
            Some(target) => self.send_to(&directory, target, saga, &effect).await,
            None => Answer::NotSent { reason: nowhere(effect.request.upstream.as_deref()), retry_after: None },
        }
    }

    async fn check(&self, saga: &CallContext, effect: CheckEffect) -> Finding {
        let directory = self.directory.load_full();
        match directory.target(effect.request.upstream.as_deref()) {
            Some(target) => self.check_at(&directory, target, saga, &effect).await,
            None => Finding::CannotTell { reason: nowhere(effect.request.upstream.as_deref()) },
        }
    }
}

/// What came of one exchange.
enum Outcome {
    Came(Came),
    NotSent(NotSent),
    /// Something was sent, and its answer is lost: what is known, for the log.
    Lost(String),
}

/// Asks the driver's gate, and notes that the first byte was allowed to leave.
#[derive(Debug)]
struct Begun {
    drivers: Option<Arc<dyn Gate>>,
    is: AtomicBool,
}

impl Begun {
    fn new(saga: &CallContext) -> Arc<Self> {
        Arc::new(Self { drivers: saga.gate.clone(), is: AtomicBool::new(false) })
    }

    fn is(&self) -> bool {
        self.is.load(Ordering::Relaxed)
    }
}

impl Gate for Begun {
    fn open(&self) -> bool {
        let is_open = self.drivers.as_ref().is_none_or(|gate| gate.open());
        if is_open {
            self.is.store(true, Ordering::Relaxed);
        }
        is_open
    }
}

/// The step as the own layer is told of it; `None`: the call has no effect, and no key.
fn step_call(saga: &CallContext, effect: &SendEffect) -> Option<Result<StepCall, String>> {
    (effect.effect != StepEffect::None).then(|| {
        Ok(StepCall {
            key: key(&effect.key)?,
            saga: saga.id.to_string(),
            resend: effect.resend,
            resolve: effect.resolve,
            first_sent: request::first_sent(effect),
            undo: effect.undo.as_ref().map(undo_call).transpose()?,
        })
    })
}

fn undo_call(undo: &UndoFacts) -> Result<UndoCall, String> {
    Ok(UndoCall { of: key(&undo.of)?, knows_done: undo.knows == UndoKnows::Done })
}

fn key(text: &str) -> Result<Key, String> {
    Key::from_text(text, &KeyForm::default()).map_err(|error| format!("the step's key is none: {error}"))
}

fn auth_of(config: &UpstreamConfig, is_wanted: bool) -> Result<Option<&ServiceAuth>, String> {
    match (&config.auth, is_wanted) {
        (_, false) => Ok(None),
        (Some(auth), true) => Ok(Some(auth)),
        // A configuration that was in force when the saga began had them.
        (None, true) => Err(format!("upstream {} has no credentials of its own (`auth`) any more", config.name)),
    }
}

/// Signs the message as the other Refrain gets it: with what stands before every path of the upstream.
fn sign(directory: &Directory, config: &UpstreamConfig, request: &mut Request<Body>) {
    let prefix = config.endpoints.first().map_or("", |endpoint| endpoint.path().trim_end_matches('/'));
    let own = request.uri().clone();
    if let Ok(arriving) = PathAndQuery::try_from(format!("{prefix}{own}")) {
        *request.uri_mut() = Uri::from(arriving);
    }
    directory.peers.sign(request);
    *request.uri_mut() = own;
}

fn admit(target: &Target) -> Result<Option<Permit>, Duration> {
    target.breaker.as_ref().map(super::breaker::Breaker::admit).transpose()
}

fn report(permit: Option<Permit>, health: Health) {
    if let Some(permit) = permit {
        permit.report(health);
    }
}

fn breaker_is_open(config: &UpstreamConfig, left: Duration) -> Answer {
    Answer::NotSent { reason: format!("the breaker of {} is open", config.name), retry_after: Some(left) }
}

fn nowhere(upstream: Option<&str>) -> String {
    match upstream {
        Some(upstream) => format!("there is no upstream {upstream} in the configuration"),
        None => "there is no local upstream in the configuration".to_owned(),
    }
}

fn not_sent(config: &UpstreamConfig, reason: &NotSent) -> Answer {
    Answer::NotSent { reason: why_not_sent(config, reason), retry_after: reason.is_overload().then_some(WHEN_BUSY) }
}

/// For the journal, which callers may see in part: where the upstream is, and what the system said, is for the log.
fn why_not_sent(config: &UpstreamConfig, reason: &NotSent) -> String {
    match reason {
        NotSent::Connect { .. } | NotSent::ConnectTimeout { .. } => format!("{} cannot be reached", config.name),
        NotSent::PoolBusy { .. } | NotSent::TooManyInFlight { .. } => {
            format!("too many requests to {} are under way", config.name)
        }
        NotSent::NotTaken { .. } => format!("{} did not take the request", config.name),
        NotSent::GateClosed => "the lease was too short to begin".to_owned(),
    }
}

/// What it says of the upstream's health that nothing was sent.
const fn health_of(reason: &NotSent) -> Health {
    if reason.is_overload() || matches!(reason, NotSent::GateClosed) { Health::Untold } else { Health::Ill }
}

/// What an answer says of the upstream's health.
fn health(answer: &Answer) -> Health {
    match answer {
        Answer::Replied(reply) if reply.status >= 500 => Health::Ill,
        Answer::Unknown { .. } => Health::Ill,
        Answer::NotYet { reason, .. } => match reason.parse() {
            Ok(ProblemName::UpstreamNotReached) => Health::Ill,
            // A bound or a store in between, which says when to come back.
            Ok(ProblemName::StoreLost | ProblemName::Overloaded) => Health::Untold,
            Ok(_) | Err(_) => Health::Well,
        },
        Answer::Replied(_)
        | Answer::NotSent { .. }
        | Answer::NotKept
        | Answer::Sealed
        | Answer::NothingToUndo
        | Answer::Untrusted
        | Answer::Wrong { .. } => Health::Well,
    }
}

fn log(saga: &CallContext, config: &UpstreamConfig, reason: &dyn std::fmt::Display) {
    tracing::warn!(saga = %saga.id, name = %saga.name, upstream = %config.name, %reason, "a saga's call has no answer");
}

/// No retry heals this: somebody has to give both Refrains the same key, or one the other's network.
fn alarm(saga: &CallContext, config: &UpstreamConfig) {
    let (id, name, upstream) = (saga.id, &saga.name, &config.name);
    tracing::error!(saga = %id, %name, %upstream, "untrusted-peer: a saga is parked, for the Refrain there does not trust this one");
}

#[cfg(test)]
mod tests;
