//! One keyed request, from its claim to its recorded answer, apart from the client's connection.
//!
//! What a drop or a crash means at each await: before the claim is answered, the claim lapses; after it, the
//! [`Lease`] gives the record up (free if nothing was sent, else unknown); after the completion, nothing is
//! left to do.

mod execute;
mod probing;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::Response;
use tokio::{sync::oneshot, time::Instant};
use tower::Service;

use super::{
    answer::Answerer,
    backlog::Deferred,
    context::Context,
    key::Key,
    lease::Lease,
    marker::Status,
    policy::{OnInFlight, OnStoreLoss, Policy, UnknownPolicy},
    verdict::CallKind,
};
use crate::{
    body::{Body, Share},
    ids::{Fingerprint, Owner, RecordName},
    metrics::{ClaimResult, StoreOperation},
    problem::ProblemName,
    store::{Claim, Claimed, Done, Grant, OnAbsent, OnUnknown, Store, StoreError, Token},
    upstream::{Call, SendError},
};

/// How often an exchange claims anew because its lease had become too short to send.
const MAX_RENEWALS: u32 = 16;
/// The longest time between two looks at a record that somebody else works on, should the word of its completion be lost.
const LONGEST_LOOK: Duration = Duration::from_secs(1);

/// What sends a call to its upstream.
pub trait Sender:
    Service<Call, Response = Response<Body>, Error = SendError, Future: Send> + Clone + Send + Sync + 'static
{
}

impl<T> Sender for T where
    T: Service<Call, Response = Response<Body>, Error = SendError, Future: Send> + Clone + Send + Sync + 'static
{
}

/// A keyed request, read and named.
#[derive(Debug)]
pub(super) struct Keyed {
    pub(super) name: RecordName,
    /// Reserved too, where another key with the same payload is refused.
    pub(super) payload: Option<RecordName>,
    pub(super) fingerprint: Fingerprint,
    pub(super) policy: Arc<Policy>,
    pub(super) kind: CallKind,
    /// For a step: whether an unknown attempt is sent again.
    pub(super) resend: bool,
    pub(super) key: Key,
    /// With the body below.
    pub(super) call: Call,
    pub(super) body: Bytes,
    /// What the body takes of the budget, until the exchange ends.
    pub(super) share: Share,
}

/// Runs the exchange. The answer goes to `caller`, who may have gone.
pub(super) async fn run<S: Store, U: Sender>(
    context: Arc<Context<S>>,
    inner: U,
    keyed: Keyed,
    caller: oneshot::Sender<Response<Body>>,
) {
    let Keyed { name, payload, fingerprint, policy, kind, resend, key, call, body, share } = keyed;
    let answerer = Answerer::new(caller, policy.dialect, key.clone());
    let upstream = Arc::clone(&call.upstream);
    let about = About { name, payload, fingerprint, policy, kind, resend, key, body, upstream };
    Exchange { context, about, inner, call: Some(call), answerer }.run().await;
    drop(share);
}

struct About {
    name: RecordName,
    payload: Option<RecordName>,
    fingerprint: Fingerprint,
    policy: Arc<Policy>,
    kind: CallKind,
    resend: bool,
    key: Key,
    body: Bytes,
    upstream: Arc<crate::upstream::Upstream>,
}

struct Exchange<S: Store, U> {
    context: Arc<Context<S>>,
    about: About,
    inner: U,
    /// Taken by the send.
    call: Option<Call>,
    answerer: Answerer,
}

/// A claim that was granted.
struct Claimant {
    grant: Grant,
    lease: Lease,
}

/// How the exchange goes on.
enum Next {
    /// The caller has its answer.
    Finished,
    /// Nothing was sent, for the lease had become too short: claim anew, as the same owner.
    Renew(Claimant),
    /// Somebody else is at it, for this long as far as known.
    Wait(Duration),
}

impl<S: Store, U: Sender> Exchange<S, U> {
    async fn run(mut self) {
        let until = match self.about.policy.on_in_flight {
            OnInFlight::Wait(limit) => Some(Instant::now() + limit),
            OnInFlight::Conflict => None,
        };
        let mut held: Option<Claimant> = None;
        let mut seen = Seen::default();
        let mut renewals = 0;
        // Bounded twice: what is renewed by a count, what waits by its time.
        loop {
            // Before the claim, so that no completion slips between the claim and the waiting.
            let mut listener = until.map(|_| self.context.wakes.listen(self.about.name));
            let next = self.claim_and_go_on(held.take(), &mut seen).await;
            match (next, until, &mut listener) {
                (Next::Finished, ..) => return,
                (Next::Renew(claimant), ..) if renewals < MAX_RENEWALS => {
                    renewals += 1;
                    held = Some(claimant);
                }
                // Never unprotected, never for ever: the claim, which has sent nothing, is given up.
                (Next::Renew(_), ..) => return self.answerer.in_flight(LONGEST_LOOK),
                (Next::Wait(left), Some(until), Some(listener)) => {
                    if !self.wait(listener, left, until, &mut seen).await {
                        return;
                    }
                }
                (Next::Wait(left), ..) => return self.answerer.in_flight(left),
            }
        }
    }

    async fn claim_and_go_on(&mut self, held: Option<Claimant>, seen: &mut Seen) -> Next {
        let owner = held.as_ref().map_or_else(Owner::random, |claimant| claimant.lease.token().owner);
        let claimed_at = Instant::now();
        let claimed = match self.claim(owner, seen).await {
            Ok(claimed) => claimed,
            Err(error) => {
                self.store_lost(owner, held, &error).await;
                return Next::Finished;
            }
        };
        self.context.metrics.claimed(result(&claimed));
        match claimed {
            Claimed::Fresh(grant) | Claimed::Retake(grant) => {
                let claimant = self.claimant(held, owner, grant, claimed_at);
                return self.execute(claimant).await;
            }
            Claimed::Probe { fence, sent_ago, .. } => {
                seen.a_probe = true;
                return self.probe(owner, fence, sent_ago, claimed_at).await;
            }
            Claimed::InFlight { left } => return Next::Wait(left),
            Claimed::Unknown { probing: true } => {
                seen.a_probe = true;
                return Next::Wait(LONGEST_LOOK);
            }
            Claimed::Unknown { probing: false } => self.unknown(),
            Claimed::Replay(done) => self.replay(&done, seen.waited),
            Claimed::Mismatch => self.answerer.problem(ProblemName::KeyReused),
            Claimed::Sealed => self.answerer.problem(ProblemName::StepCancelled),
        }
        Next::Finished
    }

    async fn claim(&self, owner: Owner, seen: &Seen) -> Result<Claimed, StoreError> {
        let policy = &self.about.policy;
        let on_unknown = match &policy.on_unknown {
            // What the route says counts for its clients; a step's driver says it itself, but for what a probe can tell.
            UnknownPolicy::Hold if !self.about.resend => OnUnknown::Hold,
            UnknownPolicy::Resend if self.about.kind == CallKind::Step && !self.about.resend => OnUnknown::Hold,
            // After an outage owners renew first: for one lease, a lapsed record is nobody's to take.
            _ if seen.a_probe || self.context.is_just_back(policy.lease) => OnUnknown::Hold,
            UnknownPolicy::Hold | UnknownPolicy::Resend => OnUnknown::Resend,
            UnknownPolicy::Probe(probe) => OnUnknown::Probe { lease: policy.lease.max(probe.timeout + LONGEST_LOOK) },
        };
        let waits = matches!(policy.on_in_flight, OnInFlight::Wait(_));
        let claim = Claim {
            name: self.about.name,
            fingerprint: self.about.fingerprint,
            owner,
            lease: policy.lease,
            ttl: policy.ttl,
            mailbox: waits.then(|| self.context.wakes.mailbox()),
            on_unknown,
            on_absent: OnAbsent::Begin,
            note: Bytes::new(),
        };
        self.context.store.claim(claim).await
    }

    fn claimant(&self, held: Option<Claimant>, owner: Owner, grant: Grant, claimed_at: Instant) -> Claimant {
        match held {
            Some(claimant) if claimant.grant.fence == grant.fence => {
                claimant.lease.claimed_again(claimed_at);
                claimant
            }
            _ => {
                let token = Token { name: self.about.name, owner, fence: grant.fence };
                let lease = self.context.leases.hold(token, self.about.policy.lease, claimed_at);
                Claimant { grant, lease }
            }
        }
    }

    /// Waits for word of the record; `false` if the exchange is over. A waiter that gives up, or whose client hangs up, stops its
    /// own waiting and changes nobody's record.
    async fn wait(
        &mut self,
        listener: &mut crate::store::wakes::Listener,
        left: Duration,
        until: Instant,
        seen: &mut Seen,
    ) -> bool {
        seen.waited = true;
        if Instant::now() >= until {
            self.answerer.in_flight(left);
            return false;
        }
        let look = left.clamp(Duration::from_millis(10), LONGEST_LOOK).mul_f64(1.0 + rand::random::<f64>() / 4.0);
        tokio::select! {
            () = listener.woken() => true,
            () = tokio::time::sleep_until(until.min(Instant::now() + look)) => true,
            () = self.answerer.caller_gone() => false,
        }
    }

    fn replay(&mut self, done: &Done, waited: bool) {
        self.context.unknowns.resolved(self.about.name);
        let how = if waited { Status::Joined } else { Status::Replayed };
        match self.context.open(self.about.name, done) {
            Ok(recorded) => self.answerer.replay(recorded, done, how),
            Err(error) => {
                tracing::error!(record = %self.about.name.short(), %error, "a recorded response cannot be read");
                self.answerer.problem(ProblemName::ResponseNotKept);
            }
        }
    }

    fn unknown(&mut self) {
        self.context.unknowns.seen(self.about.name);
        self.answerer.problem(ProblemName::OutcomeUnknown);
    }

    /// The store did not answer a claim: nothing was sent. By policy, nothing is, or it is sent unprotected.
    async fn store_lost(&mut self, owner: Owner, held: Option<Claimant>, error: &StoreError) {
        self.context.metrics.store_failed(StoreOperation::Claim);
        tracing::warn!(record = %self.about.name.short(), %error, "a claim failed");
        if held.is_none() && error.may_have_applied() {
            self.context.backlog.push(Deferred::release_unseen(self.about.name, owner));
        }
        drop(held);
        match (self.about.policy.on_store_loss, self.call.take()) {
            (OnStoreLoss::Open, Some(call)) if self.about.kind == CallKind::Client => self.execute_unprotected(call).await,
            _ => self.answerer.problem(ProblemName::StoreLost),
        }
    }
}

/// What an exchange has met.
#[derive(Default)]
struct Seen {
    /// It has waited for somebody else.
    waited: bool,
    /// The service was asked, by it or while it waited: it does not ask again.
    a_probe: bool,
}

const fn result(claimed: &Claimed) -> ClaimResult {
    match claimed {
        Claimed::Fresh(_) => ClaimResult::Fresh,
        Claimed::Retake(_) => ClaimResult::Retake,
        Claimed::Replay(_) => ClaimResult::Replay,
        Claimed::Mismatch => ClaimResult::Mismatch,
        Claimed::Sealed => ClaimResult::Sealed,
        Claimed::InFlight { .. } => ClaimResult::InFlight,
        Claimed::Unknown { .. } => ClaimResult::Unknown,
        Claimed::Probe { .. } => ClaimResult::Probe,
    }
}
