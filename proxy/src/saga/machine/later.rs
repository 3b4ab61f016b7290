//! Steps that come to their end later than their call's answer: the service is polled, or somebody calls back.
//!
//! The answer that accepts a step is journalled, freezes an undo that needs it, and ends the sending: from then on nothing is sent but
//! polls, which only read and leave no trace before they are answered, so that a lost one is simply made again. A step that was
//! accepted counts as carried out: if the saga turns back it is undone at once, unless its undo needs the end's answer. Then that is
//! waited for, also on the compensation's time, and at last an operator is asked.
//!
//! A callback proves that the send arrived, whatever is known of the send itself. One that comes while the send has no answer waits for
//! that, since the undo may need it; one that comes while the send is in doubt resolves it, at once or, where the answer is needed, when
//! it was asked for once more.

use std::time::Duration;

use saga_config::{
    names::StepPath,
    saga::{Callback as Called, Frozen, Later, Poll, Position, Retry},
};
use serde_json::{Value, json};

use super::{
    super::{
        backoff,
        callback::Token,
        entry::{By, Direction, What},
        judge::{self, Verdict},
        render::{MAX_KEPT_BYTES, Reach, StepName, size, values},
        state::{CalledBack, Forward, Standing, StepState, call_step, continues, undo},
        turn::{Answer, CheckEffect, Effect as Perform, Finding, Reply},
    },
    Machine,
    legs::{Leg, PATIENCE},
    work::{Progress, Work},
};
use crate::time::Timestamp;

/// How the callback of a step stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Callback {
    /// It is waited for.
    Awaited {
        /// When it must have come, where that is known: not before the send was answered.
        until: Option<Timestamp>,
    },
    /// It came.
    Came {
        /// Tells its own repeat.
        nonce: String,
    },
    /// It is not waited for any more.
    Over,
}

impl Machine {
    /// The step whose callback a token is for, and how that stands; `None`: nobody was given this token.
    pub fn callback(&self, token: Token) -> Option<(StepPath, Callback)> {
        let callbacks = self.state.started.callbacks.as_ref()?;
        // All are looked at: how long it takes does not tell which it was.
        let called_back = (0..self.state.steps.len()).filter(|i| matches!(self.later(*i), Some(Later::Callback(_))));
        let found = called_back.fold(None, |found, i| {
            let path = self.state.instances.path(i);
            let is_it = callbacks.is_for(token, path.as_str(), self.state.steps[i].call.generation);
            if is_it { Some(i) } else { found }
        });
        let i = found?;
        let step = &self.state.steps[i];
        let callback = match &step.called_back {
            Some(CalledBack { nonce, .. }) => Callback::Came { nonce: nonce.clone() },
            // Its URL never left.
            None if !step.call.was_sent() => return None,
            None if step.forward != Forward::Open || self.state.ended.is_some() => Callback::Over,
            None => Callback::Awaited { until: self.end_of_waiting(i) },
        };
        Some((self.state.instances.path(i).clone(), callback))
    }

    /// Whether the time of a callback is over, and the saga will go on without it: what was sent in time must be read first.
    pub fn is_callback_due(&self, now: Timestamp) -> bool {
        let due = |i: &usize| self.end_of_waiting(*i).is_some_and(|end| now >= end);
        self.agenda.active.iter().any(|i| matches!(self.later(*i), Some(Later::Callback(_))) && due(i))
    }

    pub(super) fn later(&self, i: usize) -> Option<&Later> {
        call_step(self.state.instances.step(&self.definition, i))?.later.as_ref()
    }

    /// When the end of a step that was accepted must have come; `None`: it does not wait for it.
    pub(super) fn end_of_waiting(&self, i: usize) -> Option<Timestamp> {
        let step = &self.state.steps[i];
        let accepted = step.call.accepted.filter(|_| matches!(step.call.standing, Standing::Accepted { .. }))?;
        if step.forward != Forward::Open {
            return None;
        }
        let within = match undo(self.state.instances.step(&self.definition, i)) {
            Some(undo) if self.state.turned.is_some() => undo.call.retry.within.unwrap_or(PATIENCE),
            _ => Duration::ZERO,
        };
        Some(accepted.until.max(step.call.budget_from.map_or(accepted.until, |from| from.plus(within))))
    }
}

impl Work<'_> {
    pub(super) fn later(&self, i: usize) -> Option<&Later> {
        self.machine.later(i)
    }

    /// What a step's own expressions see, once there is an answer: the answer that accepted it too.
    pub(super) fn own_reach(&self, leg: Leg) -> Reach {
        match leg.direction {
            Direction::Forward if self.later(leg.step).is_some() => Reach::BeforeAndOwn(leg.step),
            _ => leg.reach(),
        }
    }

    /// Something is evaluated as if this answer had accepted the step, if none has.
    pub(super) fn as_accepted<T>(&mut self, leg: Leg, response: &Value, look: impl FnOnce(&Self) -> T) -> T {
        let is_open = leg.direction == Direction::Forward && self.later(leg.step).is_some();
        if !is_open || self.state(leg.step).accepted.is_some() {
            return look(self);
        }
        self.machine.state.steps[leg.step].accepted = Some(response.clone());
        let seen = look(self);
        self.machine.state.steps[leg.step].accepted = None;
        seen
    }

    /// Whether an answer of this status accepts a step that is polled then, whatever its `outcome` says of the end's answer.
    pub(super) fn is_polled_after(&self, i: usize, status: u16) -> bool {
        matches!(self.later(i), Some(Later::Poll(_))) && self.is_accepted_by(i, status)
    }

    /// Whether it is enough to know that a step was accepted: somebody calls back, and nothing needs the answer.
    pub(super) fn is_accepted_without_answer(&self, i: usize) -> bool {
        let needs = undo(self.step(i)).is_some_and(|undo| undo.frozen == Frozen::WithAcceptance);
        matches!(self.later(i), Some(Later::Callback(_))) && !needs
    }

    /// Whether a positive answer of this status is not the end.
    pub(super) fn is_accepted_by(&self, i: usize, status: u16) -> bool {
        match self.later(i) {
            None => false,
            _ if self.state(i).is_accepted() => false,
            Some(Later::Poll(poll)) => poll.status == status,
            Some(Later::Callback(_)) => true,
        }
    }

    /// A step was accepted. Whoever was asked first is asked again, or calls back; if it did already, that counts now.
    pub(super) fn accept(&mut self, i: usize, response: &Value, retry_after: Option<Duration>) {
        let leg = Leg::forward(i);
        let (within, again_at) = match self.later(i) {
            None => return,
            Some(Later::Poll(poll)) => (poll.within, Some(self.next_poll(leg, poll, 0, retry_after))),
            Some(Later::Callback(callback)) => (callback.within, None),
        };
        let until = self.now.plus(within);
        let fault = self.note_acceptance(i, response, until, again_at.map(|at| at.min(until)));
        if self.state(i).called_back.is_some() {
            self.judge_callback(i, fault);
        } else if let Some(fault) = fault {
            self.done_with(i, serde_json::Map::new(), By::Answer, Some(fault));
        }
    }

    /// The entry, and why the undo cannot be made, if it cannot.
    pub(super) fn note_acceptance(
        &mut self,
        i: usize,
        response: &Value,
        until: Timestamp,
        again_at: Option<Timestamp>,
    ) -> Option<String> {
        let answer = kept(response);
        let is_needed = undo(self.step(i)).is_some_and(|undo| undo.frozen == Frozen::WithAcceptance);
        let rendered = is_needed.then(|| self.as_accepted(Leg::forward(i), &answer, |work| work.render_undo(i)));
        let (undo, fault) = match rendered.transpose() {
            Ok(undo) => (undo, None),
            Err(why) => (None, Some(format!("its undo cannot be made: {why}"))),
        };
        let step = self.path(i);
        self.emit(What::Accepted { step, answer, undo, until, again_at });
        fault
    }

    /// Brings a step further that was accepted.
    pub(super) fn go_on_waiting(&mut self, leg: Leg) {
        let end = self.machine.end_of_waiting(leg.step).unwrap_or(self.now);
        match self.later(leg.step).cloned() {
            _ if self.now >= end => self.overdue(leg.step, None),
            Some(Later::Poll(poll)) => self.poll(leg, &poll),
            Some(Later::Callback(_)) | None => {}
        }
    }

    /// When a step that was accepted has something to do.
    pub(super) fn waiting_timer(&self, i: usize, again_at: Option<Timestamp>) -> Option<Timestamp> {
        let end = self.machine.end_of_waiting(i)?;
        Some(again_at.map_or(end, |at| at.min(end)))
    }

    fn poll(&mut self, leg: Leg, poll: &Poll) {
        let key = self.key(leg);
        let reach = self.own_reach(leg);
        let accepted = self.state(leg.step).accepted.clone().unwrap_or_else(absent);
        match self.machine.scope().poll(poll, reach, &key, &accepted, self.upstreams) {
            // It will be the same each time.
            Err(fault) => self.overdue(leg.step, Some(format!("the service cannot be polled: {fault}"))),
            Ok(request) => {
                let (of, service_auth) = (self.which(leg), super::start::is_service(poll.auth));
                self.perform(Perform::Check(Box::new(CheckEffect { of, request, service_auth, timeout: poll.timeout })));
            }
        }
    }

    /// A poll came to its end.
    pub(super) fn polled(&mut self, leg: Leg, finding: Finding) {
        let Some(Later::Poll(poll)) = self.later(leg.step).cloned() else { return };
        let reply = match finding {
            Finding::CannotTell { reason } => return self.poll_again(leg, &poll, reason, None),
            Finding::Replied(reply) => reply,
        };
        let after = reply.retry_after;
        if !(200..=299).contains(&reply.status) {
            return self.poll_again(leg, &poll, format!("the poll was answered {}", reply.status), after);
        }
        let (is_end, verdict) = {
            let key = self.key(leg);
            let name = StepName { key: &key, attempt: None };
            let known = self.machine.scope().calling(self.own_reach(leg), &name);
            let known = known.bindings().with("response", &reply.response);
            let outcome = self.rules(leg).map(|rules| rules.call.outcome.clone()).unwrap_or_default();
            (poll.until.eval_bool(&known), judge::judge(&outcome, &reply, &known))
        };
        match (is_end, verdict) {
            (Err(error), _) => self.poll_again(leg, &poll, format!("`until`: {error}"), after),
            (Ok(false), _) => self.poll_again(leg, &poll, "it is not done yet".to_owned(), after),
            (Ok(true), Verdict::NotYet { reason } | Verdict::Unknown { reason }) => self.poll_again(leg, &poll, reason, after),
            (Ok(true), verdict) => self.judged(leg, &reply, verdict),
        }
    }

    fn judged(&mut self, leg: Leg, reply: &Reply, verdict: Verdict) {
        match verdict {
            Verdict::Done => self.done(leg.step, &reply.response, By::Answer, None),
            Verdict::DoneButUnclear { fault } => self.done(leg.step, &reply.response, By::Answer, Some(fault)),
            Verdict::Refused { reason, .. } => self.refuse(leg.step, reply.status, reason, By::Answer),
            Verdict::NotYet { .. } | Verdict::Unknown { .. } => {}
        }
    }

    fn poll_again(&mut self, leg: Leg, poll: &Poll, reason: String, retry_after: Option<Duration>) {
        let number = self.call(leg).tries.saturating_add(1);
        let again_at = self.next_poll(leg, poll, number, retry_after);
        let again_at = self.machine.end_of_waiting(leg.step).map_or(again_at, |end| again_at.min(end));
        let step = self.path(leg.step);
        self.emit(What::Polled { step, reason, again_at });
    }

    fn next_poll(&self, leg: Leg, poll: &Poll, number: u32, retry_after: Option<Duration>) -> Timestamp {
        let spacing = Retry { max: None, within: None, initial: poll.every, max_delay: poll.max_every };
        // Half of it is certain: what is asked for every two seconds is not asked for at once.
        let jittered = backoff::delay(
            &Retry { initial: poll.every / 2, max_delay: poll.max_every / 2, ..spacing },
            &self.key(leg),
            number,
            retry_after,
        );
        let least =
            (poll.every / 2).saturating_mul(1_u32.checked_shl(number.min(30)).unwrap_or(u32::MAX)).min(poll.max_every / 2);
        self.now.plus(least.saturating_add(jittered).max(Duration::from_millis(1)))
    }

    /// The end did not come in time, or cannot be had. The step counts as carried out, and as failed; where that is not enough to
    /// undo it, or it can only go forward, its end is still to be found.
    fn overdue(&mut self, i: usize, why: Option<String>) {
        let leg = Leg::forward(i);
        let step = self.step(i);
        let needs_answer = undo(step).is_some_and(|undo| undo.frozen == Frozen::WithAnswer);
        let (is_before, goes_on) = (step.position == Position::Before, continues(step));
        let turned = self.machine.state.turned.is_some();
        let last = self.state(i).reason.clone();
        let reason = why.unwrap_or_else(|| match (self.later(i), last) {
            (Some(Later::Callback(_)), _) => "nobody called back in time".to_owned(),
            (_, Some(last)) => format!("it was accepted, and did not come to its end in time; last: {last}"),
            (_, None) => "it was accepted, and did not come to its end in time".to_owned(),
        });
        match needs_answer {
            true => self.leave(leg, reason, turned || !is_before && !goes_on),
            false if !is_before && !goes_on => self.leave(leg, reason, true),
            false => self.done_with(i, serde_json::Map::new(), By::Rule, Some(reason)),
        }
    }

    /// A saga that turned back does not wait for the end of what it can undo without knowing it.
    pub(super) fn settle_accepted(&mut self) -> Progress {
        let undoes_now = |step: &saga_config::saga::Step| undo(step).is_none_or(|undo| undo.frozen != Frozen::WithAnswer);
        let mut active = self.machine.agenda.active.iter().copied();
        let Some(i) = active.find(|i| self.state(*i).is_accepted() && undoes_now(self.step(*i))) else { return Progress::None };
        let fault = Some("the saga turned back before it was done".to_owned());
        self.done_with(i, serde_json::Map::new(), By::Rule, fault);
        Progress::Made
    }

    /// Somebody called back. What nobody waits for is not taken up.
    pub(super) fn called_back(&mut self, step: StepPath, body: Value, nonce: String) {
        let state = &self.machine.state;
        let Some(i) = state.instances.find(&self.machine.definition, &step) else { return };
        let waits = |known: &StepState| known.forward == Forward::Open && known.call.was_sent() && known.called_back.is_none();
        if state.nonces.contains(&nonce) || !matches!(self.later(i), Some(Later::Callback(_))) || !waits(self.state(i)) {
            return;
        }
        self.emit(What::CalledBack { step, body, nonce });
        let is_answer_to_come = match self.state(i).call.standing {
            Standing::Sending { .. } => self.is_under_way(Leg::forward(i)),
            Standing::Delayed { .. } | Standing::Waiting { .. } | Standing::Doubted { .. } => self.reads_acceptance(i),
            Standing::Idle | Standing::Accepted { .. } | Standing::Left | Standing::Stuck => false,
        };
        if !is_answer_to_come {
            self.resolve(i, None);
        }
    }

    /// Whether the answer that accepts a step is needed of it: it is asked for once more then.
    fn reads_acceptance(&self, i: usize) -> bool {
        let step = self.step(i);
        let id = step.id.id();
        let reads = |template: &saga_config::template::ValueTemplate| {
            template.expressions().iter().any(|expression| expression.touches(&["steps", id, "accepted"]))
        };
        undo(step).is_some_and(|undo| undo.frozen != Frozen::WithIntent)
            || call_step(step).is_some_and(|call| call.output.iter().any(|(_, template)| reads(template)))
    }

    /// Whether a callback came before what is known of the send.
    pub(super) fn was_called_back(&self, leg: Leg) -> bool {
        leg.direction == Direction::Forward && self.state(leg.step).called_back.is_some() && !self.is_settled(leg)
    }

    /// The send has come to its end, and a callback says already that it was carried out.
    pub(super) fn answered_after_callback(&mut self, leg: Leg, answer: &Answer) {
        match answer {
            Answer::Replied(reply) if (200..=299).contains(&reply.status) => self.resolve(leg.step, Some(&reply.response)),
            _ => self.resolve(leg.step, None),
        }
    }

    /// A send was carried out, by what is known besides its answer.
    pub(super) fn resolve(&mut self, i: usize, response: Option<&Value>) {
        match response {
            _ if self.state(i).is_accepted() => self.judge_callback(i, None),
            Some(response) => self.accept(i, response, None),
            None => self.accept(i, &absent(), None),
        }
    }

    /// What a callback means: it was carried out, and went well or did not.
    fn judge_callback(&mut self, i: usize, fault: Option<String>) {
        let Some(Later::Callback(Called { failure, .. })) = self.later(i).cloned() else { return };
        let Some(body) = self.state(i).called_back.as_ref().map(|came| came.body.clone()) else { return };
        let definition = std::sync::Arc::clone(&self.machine.definition);
        let Some(call) = call_step(self.machine.state.instances.step(&definition, i)) else { return };
        let leg = Leg::forward(i);
        let (key, callback) = (self.key(leg), json!({"body": body}));
        let (output, no) = {
            let name = StepName { key: &key, attempt: None };
            let known = self.machine.scope().calling(self.own_reach(leg), &name);
            let known = known.bindings().with("callback", &callback);
            let no = match failure.map(|failure| failure.eval_bool(&known)) {
                None | Some(Ok(false)) => None,
                Some(Ok(true)) => Some("called back with a no by its `outcome`".to_owned()),
                Some(Err(error)) => Some(format!("`outcome.failure`: {error}")),
            };
            let (output, missing) = values(call.output.iter().map(|(name, template)| (name.as_str(), template)), &known);
            (output, no.or(missing))
        };
        self.done_with(i, output, By::Answer, fault.or(no));
    }
}

/// An answer that is not there.
fn absent() -> Value {
    json!({"status": 0, "headers": {}, "body": null})
}

/// An answer as it is kept: without its body, where that is too large.
fn kept(response: &Value) -> Value {
    if size(response) <= MAX_KEPT_BYTES {
        return response.clone();
    }
    let without = |response: &Value| {
        let mut response = response.clone();
        response["body"] = Value::Null;
        response
    };
    let without = without(response);
    if size(&without) <= MAX_KEPT_BYTES { without } else { absent() }
}
