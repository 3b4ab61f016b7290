//! What answers a callback: `POST /refrain/callbacks/<saga's id>/<token>`.
//!
//! A callback is durable before it is answered: it waits in the store as operators' commands do, and the saga's driver, wherever that
//! is, journals it. Whoever has the URL may call back, once: the same body again gets the same answer, so that a caller that lost it
//! can repeat itself; another body is refused. What was answered 204 counts, also if its driver is late: no callback that was taken in
//! time is beaten by the end of its time.

use std::time::Duration;

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{ALLOW, CACHE_CONTROL},
};
use serde_json::Value;
use tokio::time::Instant;

use super::{
    call::Caller,
    callback::{Address, CALLBACK_PATH},
    codec::Command,
    engine::Engine,
    machine::Callback,
    operate,
    plan::Plan,
};
use crate::{
    body::{Body, Collected, collect},
    idempotency::marker::Dialect,
    ids::Owner,
    metrics::{CallbackOutcome, Limit},
    problem::{Problem, ProblemName},
    router,
    store::{
        Store, StoreError,
        journal::{Commanded, Journal, Loaded},
    },
};

/// The largest body of a callback, in bytes.
const MAX_BODY: u64 = 64 * 1024;
/// How long a body may take to arrive.
const BODY_TIME: Duration = Duration::from_secs(30);
/// How often it is asked what became of a callback that came at the end of its time, and how long after each other.
const LOOKS: u32 = 5;
const PAUSE: Duration = Duration::from_millis(200);

/// What a path that is meant for callbacks says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Called {
    /// The address of a callback.
    At(Address),
    /// It is not the address of any.
    Nowhere,
}

/// Whether a path is meant for callbacks. Without sagas it is an ordinary one.
pub fn called(plan: &Plan, path: &str) -> Option<Called> {
    if plan.definitions.is_empty() {
        return None;
    }
    let path = router::canonical(path);
    let rest = path.strip_prefix(CALLBACK_PATH)?;
    Some(Address::parse(rest).map_or(Called::Nowhere, Called::At))
}

/// How a callback stands.
enum Standing {
    /// It may be made.
    Open,
    /// It was made, by this caller or with the same body.
    Taken,
    /// It was made with another body.
    Used,
    /// It is not waited for any more.
    Over,
    /// It waits for the driver, and came when its time was over: the driver decides.
    Undecided,
}

/// A callback that is being answered.
struct Calling {
    address: Address,
    nonce: Owner,
}

impl<S: Store + Journal, C: Caller> Engine<S, C> {
    /// Answers a callback. Errors are answers.
    pub async fn called_back(&self, called: Called, request: Request<Body>) -> Response<Body> {
        let answer = match called {
            Called::At(address) => self.take(address, request).await,
            Called::Nowhere => Err(unknown()),
        };
        match answer {
            Ok(outcome) => {
                self.context.metrics.sagas.called_back(outcome);
                let mut response = Response::new(Body::empty());
                *response.status_mut() = StatusCode::NO_CONTENT;
                response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
                response
            }
            Err(problem) => {
                self.context.metrics.sagas.called_back(CallbackOutcome::Refused);
                let allows = problem.name() == ProblemName::MethodNotAllowed;
                let mut response = problem.into_response(Dialect::Ietf).map(Body::full);
                if allows {
                    response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
                }
                response
            }
        }
    }

    async fn take(&self, address: Address, request: Request<Body>) -> Result<CallbackOutcome, Problem> {
        if request.method() != Method::POST {
            return Err(Problem::new(ProblemName::MethodNotAllowed, "a callback is sent with POST"));
        }
        let bytes = self.read(request.into_body()).await?;
        let body: Value = serde_json::from_slice(&bytes)
            .map_err(|error| Problem::new(ProblemName::Malformed, format!("the body is not JSON: {error}")))?;
        let calling = Calling { address, nonce: address.nonce(&bytes) };
        let (step, standing) = self.standing(&calling).await?;
        match standing {
            Standing::Open => {}
            other => return calling.answer(&other).map(|()| CallbackOutcome::Repeated),
        }
        let command = Command::CalledBack { called_back: step, body, nonce: calling.nonce.to_string() };
        self.queue(&calling, &command).await?;
        for look in 1..=LOOKS {
            // Two may have come at once: only one of them counts.
            match self.standing(&calling).await?.1 {
                Standing::Open | Standing::Undecided if look < LOOKS => tokio::time::sleep(PAUSE).await,
                standing => return calling.answer(&standing).map(|()| CallbackOutcome::Taken),
            }
        }
        calling.answer(&Standing::Undecided).map(|()| CallbackOutcome::Taken)
    }

    async fn read(&self, body: Body) -> Result<Bytes, Problem> {
        match collect(body, MAX_BODY, &self.context.budget, Some(Instant::now() + BODY_TIME)).await {
            Collected::Whole { bytes, .. } => Ok(bytes),
            Collected::Over(_) => {
                Err(Problem::new(ProblemName::TooLarge, format!("a callback's body may have {MAX_BODY} bytes at most")))
            }
            Collected::NoBudget(_) => {
                self.context.metrics.refused_at(Limit::Buffered);
                Err(Problem::new(ProblemName::Overloaded, "too many request bodies are held at once"))
            }
            Collected::Broken(error) => Err(Problem::new(ProblemName::BodyIncomplete, format!("the body broke off: {error}"))),
            Collected::TimedOut => Err(Problem::new(ProblemName::BodyIncomplete, "the body did not end in time")),
        }
    }

    /// For which step a callback is, and how it stands, by the journal and by what waits for the driver.
    async fn standing(&self, calling: &Calling) -> Result<(saga_config::names::StepPath, Standing), Problem> {
        let id = calling.address.id;
        let Loaded { head, entries, commands, now } =
            self.context.store.load(id).await.map_err(|error| lost(&calling.address, &error))?.ok_or_else(unknown)?;
        let plan = self.plan.load_full();
        let folded = operate::fold(&self.codec, &self.common.definitions, &plan, &self.context.store, id, &head, &entries).await;
        let (machine, _) = folded.map_err(|reason| {
            tracing::warn!(saga = %id, reason, "a callback cannot be taken: its saga cannot be read here");
            Problem::new(ProblemName::StoreLost, "the saga cannot be read just now; nothing was recorded")
        })?;
        let (step, callback) = machine.callback(calling.address.token).ok_or_else(unknown)?;
        let nonce = calling.nonce.to_string();
        let standing = match callback {
            Callback::Came { nonce: of } if of == nonce => Standing::Taken,
            Callback::Came { .. } => Standing::Used,
            Callback::Over => Standing::Over,
            Callback::Awaited { until } => {
                let waiting = commands.iter().find_map(|stored| match self.codec.read_command(id, stored) {
                    Ok(Command::CalledBack { called_back, nonce, .. }) if called_back == step => Some(nonce),
                    _ => None,
                });
                let is_late = until.is_some_and(|until| now >= until);
                match waiting {
                    None if is_late => Standing::Over,
                    None => Standing::Open,
                    Some(of) if of != nonce => Standing::Used,
                    Some(_) if is_late => Standing::Undecided,
                    Some(_) => Standing::Taken,
                }
            }
        };
        Ok((step, standing))
    }

    async fn queue(&self, calling: &Calling, command: &Command) -> Result<(), Problem> {
        let Address { id, .. } = calling.address;
        let bytes = self.codec.command(id, command);
        let bytes = bytes.map_err(|error| Problem::new(ProblemName::TooLarge, format!("the callback would have {error}")))?;
        let mut queued = self.context.store.command(id, calling.nonce, bytes.clone()).await;
        if queued.as_ref().is_err_and(StoreError::may_have_applied) {
            // The same nonce again is its own repeat.
            queued = self.context.store.command(id, calling.nonce, bytes).await;
        }
        match queued.map_err(|error| lost(&calling.address, &error))? {
            Commanded::Queued => {
                self.common.leases.spoken_to(id);
                Ok(())
            }
            Commanded::Absent => Err(unknown()),
            Commanded::Ended => calling.answer(&Standing::Over),
            Commanded::Full => Err(Problem::new(ProblemName::Overloaded, "too much waits for the saga's driver already")),
        }
    }
}

impl Calling {
    fn answer(&self, standing: &Standing) -> Result<(), Problem> {
        let problem = |name, detail: &str| Err(Problem::new(name, detail));
        match standing {
            Standing::Taken => Ok(()),
            Standing::Used => problem(ProblemName::CallbackUsed, "another body came before this one, and counts"),
            Standing::Over => problem(ProblemName::CallbackOver, "the saga does not wait for this any more"),
            Standing::Open | Standing::Undecided => problem(
                ProblemName::OutcomeUnknown,
                "it came at the end of its time, and is not decided yet; the same body again gets the answer",
            ),
        }
    }
}

fn unknown() -> Problem {
    Problem::new(ProblemName::CallbackUnknown, "no saga waits to be called back at this URL")
}

fn lost(address: &Address, error: &StoreError) -> Problem {
    tracing::warn!(saga = %address.id, %error, "the store did not take a callback");
    let detail = match error.may_have_applied() {
        true => "the store's answer was lost; send the same body again",
        false => "the store of sagas cannot be reached; send the same body again",
    };
    Problem::new(ProblemName::StoreLost, detail)
}
