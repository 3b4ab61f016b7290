//! One keyed request, from its claim to its recorded answer, apart from the client's connection.
//!
//! What a drop or a crash means at each await: before the claim is answered, the claim lapses; after it, the
//! [`Lease`] gives the record up (free if nothing was sent, else unknown); after the completion, nothing is
//! left to do.

mod execute;
mod probing;
#[cfg(test)]
mod tests;
mod undoing;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::Response;
use tokio::{sync::oneshot, time::Instant};
use tower::Service;

use super::{
    answer::Answerer,
    backlog::Deferred,
    context::Context,
    detached::Running,
    key::Key,
    lease::Lease,
    marker::Status,
    note,
    policy::{OnInFlight, OnStoreLoss, Policy, UnknownPolicy},
    probe,
    verdict::CallKind,
    view::RequestView,
};
use crate::{
    body::{Body, Share},
    ids::{Fingerprint, Owner, RecordName},
    metrics::{ClaimResult, StoreOperation},
    problem::ProblemName,
    store::{Absence, Claim, Claimed, Done, Grant, OnAbsent, OnUnknown, Store, StoreError, Token, Undone, wakes::Listener},
    upstream::{Call, SendError},
};

/// How often an exchange claims anew because its lease had become too short to send.
const MAX_RENEWALS: u32 = 16;
/// The longest time between two looks at a record that somebody else works on, should the word of its completion be lost.
const LONGEST_LOOK: Duration = Duration::from_secs(1);

/// How long a saga's call waits for one that is under way, before its driver is told to ask again.
const DRIVERS_PATIENCE: Duration = Duration::from_secs(2);

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
    /// For a saga's call: what its driver wants.
    pub(super) step: Option<OfStep>,
    pub(super) key: Key,
    /// With the body below.
    pub(super) call: Call,
    pub(super) body: Bytes,
    /// What the body takes of the budget, until the exchange ends.
    pub(super) share: Share,
}

/// What a saga's driver wants.
#[derive(Clone, Debug)]
pub(super) struct OfStep {
    /// Whether an unknown attempt is sent again; for an undo also whether it is sent where nobody knows whether its step was done.
    pub(super) resend: bool,
    pub(super) purpose: Purpose,
}

/// What for.
#[derive(Clone, Debug)]
pub(super) enum Purpose {
    /// It is carried out.
    Act,
    /// Only what became of it: where it would be carried out, it is cancelled.
    Ask(Absence),
    /// It is the undo of another.
    Undo(Undoing),
}

/// What is undone.
#[derive(Clone, Debug)]
pub(super) struct Undoing {
    /// The record of the step.
    pub(super) step: RecordName,
    /// The step's key.
    pub(super) key: Key,
    pub(super) knows_done: bool,
    pub(super) absence: Absence,
    /// How long the step may act once it was sent.
    pub(super) step_may_act_for: Duration,
}

/// The exchange, and where its answer comes. Nothing is done before it is polled.
pub(super) fn begin<S: Store, U: Sender>(
    context: Arc<Context<S>>,
    inner: U,
    keyed: Keyed,
) -> (Running, oneshot::Receiver<Response<Body>>) {
    let Keyed { name, payload, fingerprint, policy, step, key, call, body, share } = keyed;
    let (caller, answer) = oneshot::channel();
    let answerer = Answerer::new(caller, policy.dialect, key.clone());
    let upstream = Arc::clone(&call.upstream);
    let note = note_of(step.as_ref(), &policy, &call, &body, &key);
    let note = note.map_or_else(Bytes::new, |note| context.seal_note(name, &note));
    let about = About { name, payload, fingerprint, policy, step, note, key, body, upstream, _share: share };
    // In a place of its own: a future holds what it is given more than once.
    let exchange = Box::new(Exchange { context, about, inner, call: Some(call), answerer });
    (Box::pin(exchange.run()), answer)
}

struct About {
    name: RecordName,
    payload: Option<RecordName>,
    fingerprint: Fingerprint,
    policy: Arc<Policy>,
    step: Option<OfStep>,
    /// What a step leaves for its undo; empty: nothing.
    note: Bytes,
    key: Key,
    body: Bytes,
    upstream: Arc<crate::upstream::Upstream>,
    /// What the body takes of the budget.
    _share: Share,
}

impl About {
    const fn kind(&self) -> CallKind {
        if self.step.is_some() { CallKind::Step } else { CallKind::Client }
    }

    fn resends(&self) -> bool {
        self.step.as_ref().is_some_and(|step| step.resend)
    }

    fn undoing(&self) -> Option<&Undoing> {
        match &self.step {
            Some(OfStep { purpose: Purpose::Undo(undoing), .. }) => Some(undoing),
            _ => None,
        }
    }

    /// What is done where there is no record; for a driver that only asks, never a send.
    fn on_absent(&self) -> OnAbsent {
        match &self.step {
            Some(OfStep { purpose: Purpose::Ask(absence), .. }) => OnAbsent::Seal(*absence),
            _ => OnAbsent::Begin,
        }
    }

    /// How long a duplicate waits for the one that is under way. A driver asks again when it is told to, and has no long patience.
    fn patience(&self) -> Option<Duration> {
        match (&self.step, self.policy.on_in_flight) {
            (Some(_), _) => Some(DRIVERS_PATIENCE),
            (None, OnInFlight::Wait(limit)) => Some(limit),
            (None, OnInFlight::Conflict) => None,
        }
    }
}

/// The note that a step leaves with its record, if its route has a probe that can tell for it.
fn note_of(step: Option<&OfStep>, policy: &Policy, call: &Call, body: &Bytes, key: &Key) -> Option<Vec<u8>> {
    let (Some(OfStep { purpose: Purpose::Act, .. }), UnknownPolicy::Probe(probe)) = (step, &policy.on_unknown) else {
        return None;
    };
    let request = RequestView::new(&call.request, body).value();
    note::write(probe, &probe::question(probe, request, key.as_str()).ok()?, call.request.headers())
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
    /// What stood in the way is decided: look again.
    Again,
}

/// Who listens for word of a record, and an undo also for word of its step's.
struct Ears {
    own: Listener,
    step: Option<Listener>,
}

impl Ears {
    async fn woken(&mut self) {
        match &mut self.step {
            None => self.own.woken().await,
            Some(step) => tokio::select! {
                () = self.own.woken() => {}
                () = step.woken() => {}
            },
        }
    }
}

impl<S: Store, U: Sender> Exchange<S, U> {
    async fn run(mut self: Box<Self>) {
        let until = self.about.patience().map(|patience| Instant::now() + patience);
        let mut held: Option<Claimant> = None;
        let mut seen = Seen::default();
        let mut renewals = 0;
        // Bounded twice: what is renewed by a count, what waits by its time.
        loop {
            // Before the claim, so that no completion slips between the claim and the waiting.
            let mut listener = until.map(|_| self.listen());
            let next = self.claim_and_go_on(held.take(), &mut seen).await;
            match (next, until, &mut listener) {
                (Next::Finished, ..) => return,
                (Next::Renew(claimant), ..) if renewals < MAX_RENEWALS => {
                    renewals += 1;
                    held = Some(claimant);
                }
                (Next::Again, ..) if renewals < MAX_RENEWALS => renewals += 1,
                // Never unprotected, never for ever: the claim, which has sent nothing, is given up.
                (Next::Renew(_) | Next::Again, ..) => return self.answerer.in_flight(LONGEST_LOOK),
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
        let claimed = match self.about.undoing().cloned() {
            None => self.context.store.claim(self.claim(owner, seen)).await,
            // In boxes are those that are rare: an exchange is no larger than a usual one needs.
            Some(undoing) => match Box::pin(self.undo(&undoing, owner, seen)).await {
                Ok(Undone::Own(claimed)) => Ok(claimed),
                Ok(of_step) => return Box::pin(self.step_stands(&undoing, of_step, owner, claimed_at, seen)).await,
                Err(error) => Err(error),
            },
        };
        let claimed = match claimed {
            Ok(claimed) => claimed,
            Err(error) => {
                Box::pin(self.store_lost(owner, held, &error)).await;
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
                return Box::pin(self.probe(owner, fence, sent_ago, claimed_at)).await;
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

    fn claim(&self, owner: Owner, seen: &Seen) -> Claim {
        let policy = &self.about.policy;
        let on_unknown = match &policy.on_unknown {
            // What the route says counts for its clients; a step's driver says it itself, but for what a probe can tell.
            UnknownPolicy::Hold if !self.about.resends() => OnUnknown::Hold,
            UnknownPolicy::Resend if self.about.kind() == CallKind::Step && !self.about.resends() => OnUnknown::Hold,
            // After an outage owners renew first: for one lease, a lapsed record is nobody's to take.
            _ if seen.a_probe || self.context.is_just_back(policy.lease) => OnUnknown::Hold,
            UnknownPolicy::Hold | UnknownPolicy::Resend => OnUnknown::Resend,
            UnknownPolicy::Probe(probe) => OnUnknown::Probe { lease: policy.lease.max(probe.timeout + LONGEST_LOOK) },
        };
        Claim {
            name: self.about.name,
            fingerprint: self.about.fingerprint,
            owner,
            lease: policy.lease,
            ttl: policy.ttl,
            mailbox: self.about.patience().map(|_| self.context.wakes.mailbox()),
            on_unknown,
            on_absent: self.about.on_absent(),
            note: self.about.note.clone(),
        }
    }

    fn listen(&self) -> Ears {
        let step = self.about.undoing().map(|undoing| self.context.wakes.listen(undoing.step));
        Ears { own: self.context.wakes.listen(self.about.name), step }
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
    async fn wait(&mut self, listener: &mut Ears, left: Duration, until: Instant, seen: &mut Seen) -> bool {
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
        if self.about.undoing().is_some() && done.is_nothing_to_undo() {
            return self.answerer.nothing_to_undo(done);
        }
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
        let operation = if self.about.undoing().is_some() { StoreOperation::Undo } else { StoreOperation::Claim };
        self.context.metrics.store_failed(operation);
        tracing::warn!(record = %self.about.name.short(), %error, "a claim failed");
        if held.is_none() && error.may_have_applied() {
            self.context.backlog.push(Deferred::release_unseen(self.about.name, owner));
            if let Some(undoing) = self.about.undoing() {
                // It may have become the step's prober.
                self.context.backlog.push(Deferred::release_unseen(undoing.step, owner));
            }
        }
        drop(held);
        match (self.about.policy.on_store_loss, self.call.take()) {
            (OnStoreLoss::Open, Some(call)) if self.about.kind() == CallKind::Client => self.execute_unprotected(call).await,
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
    /// What an undo has found out of its step by asking.
    of_step: undoing::Asked,
}

fn result(claimed: &Claimed) -> ClaimResult {
    match claimed {
        Claimed::Fresh(_) => ClaimResult::Fresh,
        Claimed::Retake(_) => ClaimResult::Retake,
        Claimed::Replay(done) if done.is_nothing_to_undo() => ClaimResult::NothingToUndo,
        Claimed::Replay(_) => ClaimResult::Replay,
        Claimed::Mismatch => ClaimResult::Mismatch,
        Claimed::Sealed => ClaimResult::Sealed,
        Claimed::InFlight { .. } => ClaimResult::InFlight,
        Claimed::Unknown { .. } => ClaimResult::Unknown,
        Claimed::Probe { .. } => ClaimResult::Probe,
    }
}
